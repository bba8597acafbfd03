//! What is kept over a restart, and what clients hear when the disk is slow or fails.

use super::*;

impl Rig {
    /// From here on the test answers the orders to save.
    fn hold_disk(&mut self) {
        self.disk = Disk::ByHand(Vec::new());
    }

    /// The ids of what is to be saved, staged, ready and deployed, one line for each open order.
    fn orders(&self) -> Vec<String> {
        let Disk::ByHand(open) = &self.disk else {
            panic!("the disk works by itself");
        };
        let id = |config: &Option<Configuration>| config.as_ref().map_or("-", |c| &c.id).to_owned();
        open.iter()
            .map(|s| format!("{} {} {}", id(&s.staged), id(&s.ready), id(&s.deployed)))
            .collect()
    }

    /// Ends the oldest save.
    fn saved(&mut self, result: Result<(), &str>) {
        let Disk::ByHand(open) = &mut self.disk else {
            panic!("the disk works by itself");
        };
        open.remove(0);
        let result = result.map_err(str::to_owned);
        self.input(Input::Saved { result });
    }
}

fn stage(reqid: &str, id: &str) -> ControllerRequest {
    ControllerRequest::StageConfiguration {
        reqid: reqid.into(),
        config: config(id, &["a"], &["a"]),
    }
}

fn get(reqid: &str, deployed: bool) -> ControllerRequest {
    ControllerRequest::GetConfiguration {
        reqid: reqid.into(),
        deployed,
    }
}

/// A deployment of `c1` over `c0` whose agent is ready, but which is not stored.
fn storing() -> Rig {
    let mut rig = Rig::deployed(&["a"]);
    rig.stage(config("c1", &["a"], &["a"]));
    rig.hold_disk();
    rig.request(deploy("d1"));
    assert_eq!(rig.orders(), ["c1 c1 c1"]);
    assert_eq!(rig.lines(), [""; 0]);
    rig
}

#[test]
fn staging_is_answered_once_it_is_stored() {
    let mut rig = Rig::new();
    rig.hold_disk();
    rig.request(stage("s1", "c1"));
    assert_eq!(rig.orders(), ["c1 c1 -"]);
    assert_eq!(rig.lines(), [""; 0]);
    rig.saved(Ok(()));
    assert_eq!(rig.lines(), ["stage s1: ok = c1"]);
    assert_eq!(rig.controller.poll_timeout(), None);
}

#[test]
fn what_could_not_be_stored_is_not_staged() {
    let mut rig = Rig::new();
    rig.stage(config("c0", &["a"], &["a"]));
    rig.hold_disk();
    rig.request(stage("s1", "c1"));
    rig.saved(Err("disk full"));
    assert_eq!(
        rig.lines(),
        ["stage s1: failed (cannot store the staged configuration: disk full)"]
    );
    assert_eq!(rig.configuration(false).unwrap().id, "c0");
    rig.request(stage("s2", "c2"));
    assert_eq!(rig.orders(), ["c2 c2 -"]);
    rig.saved(Ok(()));
    assert_eq!(rig.lines(), ["stage s2: ok = c2"]);
}

#[test]
fn a_deployment_is_sent_out_once_it_is_stored() {
    let mut rig = storing();
    rig.saved(Ok(()));
    assert_eq!(rig.lines(), ["a <- deploy #1 c1"]);
    rig.agent("a", deployed(&rig.id(1), came_up("a", &["w-a"])));
    assert_eq!(rig.lines(), ["deploy d1: ok @a /w-a; ok = c1"]);
    assert_eq!(rig.configuration(true).unwrap().id, "c1");
    assert_eq!(rig.controller.poll_timeout(), None);
}

#[test]
fn what_could_not_be_stored_is_not_deployed() {
    let mut rig = storing();
    rig.saved(Err("disk full"));
    assert_eq!(
        rig.lines(),
        ["deploy d1: failed (cannot store the deployed configuration: disk full)"]
    );
    assert_eq!(rig.configuration(true).unwrap().id, "c0");
    rig.request(deploy("d2"));
    assert_eq!(rig.lines(), [""; 0]);
    rig.saved(Ok(()));
    assert_eq!(rig.lines(), ["a <- deploy #1 c1"]);
    rig.agent("a", deployed(&rig.id(1), vec![]));
    assert_eq!(rig.lines(), ["deploy d2: ok = c1"]);
}

#[test]
fn requests_about_configurations_wait_for_the_save_and_others_do_not() {
    let mut rig = Rig::new();
    rig.hold_disk();
    rig.request(stage("s1", "c1"));
    rig.request(get("g1", false));
    rig.request(deploy("d1"));
    rig.request(stage("s2", "c2"));
    rig.request(get("g2", false));
    rig.request(get_nodes("n"));
    assert_eq!(rig.lines(), ["nodes n: failed (no instances connected)"]);
    rig.saved(Ok(()));
    let lines = rig.lines();
    assert_eq!(lines[0], "stage s1: ok = c1");
    assert_eq!(lines[1..], ["config g1: ok = 3 items"]);
    assert_eq!(rig.orders(), ["c2 c2 -"]);
    rig.request(get("g3", false));
    rig.saved(Err("disk full"));
    assert_eq!(
        rig.lines(),
        [
            "stage s2: failed (cannot store the staged configuration: disk full)",
            "config g2: ok = 3 items",
            "config g3: ok = 3 items"
        ]
    );
    assert_eq!(rig.configuration(false).unwrap().id, "c1");
}

#[test]
fn a_deployment_whose_agents_come_during_a_save_is_stored_after_it() {
    for staged in [Ok(()), Err("disk full")] {
        let mut rig = Rig::deployed(&["a"]);
        rig.stage(config("c1", &["a"], &["a"]));
        rig.peer_down("a");
        rig.hold_disk();
        rig.request(deploy("d1"));
        rig.request(stage("s2", "c2"));
        rig.join("a");
        rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
        assert_eq!(rig.orders(), ["c2 c2 c0"]);
        assert_eq!(rig.lines(), ["a <- welcome #1"]);
        rig.saved(staged);
        let kept = if staged.is_ok() { "c2" } else { "c1" };
        assert_eq!(rig.orders(), [format!("{kept} {kept} c1")]);
        assert_eq!(rig.lines().len(), 1);
        rig.saved(Ok(()));
        assert_eq!(rig.lines(), ["a <- deploy #2 c1"]);
        rig.agent("a", deployed(&rig.id(2), vec![]));
        assert_eq!(rig.lines(), ["deploy d1: ok = c1"]);
        assert_eq!(rig.configuration(false).unwrap().id, kept);
        assert_eq!(rig.configuration(true).unwrap().id, "c1");
    }
}

#[test]
fn who_waits_for_the_disk_too_long_is_told() {
    let mut rig = Rig::new();
    rig.hold_disk();
    rig.request(stage("s1", "c1"));
    rig.pass(secs(1));
    rig.request(get("g1", false));
    rig.request(deploy("d1"));
    rig.pass(secs(9));
    assert_eq!(
        rig.lines(),
        ["stage s1: failed (cannot store the staged configuration: \
          the disk has not answered in time)"]
    );
    rig.pass(secs(1));
    assert_eq!(
        rig.lines(),
        [
            "config g1: failed (request timed out)",
            "deploy d1: failed (request timed out)"
        ]
    );
    assert_eq!(rig.controller.poll_timeout(), None);
    // What a client has given up on counts all the same, for it is on disk.
    rig.saved(Ok(()));
    assert_eq!(rig.lines(), [""; 0]);
    assert_eq!(rig.configuration(false).unwrap().id, "c1");
}

#[test]
fn the_time_behind_a_save_counts() {
    let mut rig = Rig::new();
    rig.hold_disk();
    rig.request(stage("s1", "c1"));
    rig.pass(secs(1));
    rig.request(stage("s2", "c2"));
    rig.pass(secs(8));
    rig.saved(Ok(()));
    assert_eq!(rig.lines(), ["stage s1: ok = c1"]);
    let slow = "cannot store the staged configuration: the disk has not answered in time";
    rig.pass(secs(2));
    assert_eq!(rig.lines(), [format!("stage s2: failed ({slow})")]);
}

#[test]
fn a_deployment_behind_a_slow_disk_is_answered_within_nineteen_seconds() {
    let mut rig = Rig::deployed(&["a"]);
    rig.hold_disk();
    rig.request(stage("s1", "c1"));
    rig.request(deploy("d1"));
    rig.pass(secs(9));
    rig.saved(Ok(()));
    assert_eq!(rig.lines(), ["stage s1: ok = c1"]);
    rig.pass(secs(8));
    rig.saved(Ok(()));
    assert_eq!(rig.lines(), ["a <- deploy #1 c1"]);
    rig.pass(Duration::from_millis(1999));
    assert_eq!(rig.lines(), [""; 0]);
    rig.pass(Duration::from_millis(1));
    let silent = "failed @a (instance a did not answer)";
    let node = "failed @a /w-a = 2 items (instance a did not answer)";
    assert_eq!(
        rig.lines(),
        [format!(
            "deploy d1: {silent}; {node}; failed (request timed out); ok = c1"
        )]
    );
}

#[test]
fn a_deployment_that_waits_for_the_disk_too_long_says_so() {
    let mut rig = storing();
    rig.pass(secs(10));
    assert_eq!(
        rig.lines(),
        [
            "deploy d1: failed (cannot store the deployed configuration: \
             the disk has not answered in time); failed (request timed out)"
        ]
    );
    // What is on disk is in force, whoever has given up on it.
    rig.saved(Ok(()));
    assert_eq!(rig.lines(), ["a <- deploy #1 c1"]);
    assert_eq!(rig.configuration(true).unwrap().id, "c1");
}

#[test]
fn an_agent_that_returns_during_a_save_gets_what_is_deployed_then() {
    for (stored, wanted) in [(Ok(()), "c1"), (Err("disk full"), "c0")] {
        let mut rig = storing();
        rig.peer_down("a");
        rig.join("a");
        rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
        assert_eq!(rig.lines(), ["a <- welcome #1"]);
        rig.saved(stored);
        let lines = rig.lines();
        assert_eq!(lines.last(), Some(&format!("a <- deploy #2 {wanted}")));
    }
}

#[test]
fn a_deployment_that_changes_nothing_needs_no_disk() {
    let mut rig = Rig::deployed(&["a"]);
    rig.hold_disk();
    rig.peer_down("a");
    rig.join("a");
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    assert_eq!(rig.orders(), [""; 0]);
    rig.lines();
    rig.request(deploy("d1"));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    let lines = rig.lines();
    assert_eq!(lines[1], "deploy d1: ok = c0");
}

#[test]
fn requests_held_behind_a_save_are_bounded() {
    let mut rig = Rig::new();
    rig.hold_disk();
    rig.request(stage("s", "c"));
    for n in 0..1024 {
        rig.request(get(&format!("g{n}"), false));
    }
    rig.request(get("g", false));
    rig.request(stage("t", "c"));
    rig.request(deploy("d"));
    assert_eq!(
        rig.lines(),
        [
            "config g: failed (too many open requests)",
            "stage t: failed (too many open requests)",
            "deploy d: failed (too many open requests)"
        ]
    );
    rig.saved(Ok(()));
    assert_eq!(rig.lines().len(), 1025);
}

#[test]
fn configurations_held_behind_a_save_are_bounded_in_size() {
    let mut rig = Rig::new();
    rig.hold_disk();
    rig.request(stage("s", "c"));
    let mut big = config("big", &["a"], &["a"]);
    let mut worker = big.nodes.pop_first().unwrap();
    worker.env.insert("A".into(), "x".repeat(40 << 20));
    big.nodes.insert(worker);
    for reqid in ["b1", "b2"] {
        rig.request(ControllerRequest::StageConfiguration {
            reqid: reqid.into(),
            config: big.clone(),
        });
    }
    assert_eq!(rig.lines(), ["stage b2: failed (too many open requests)"]);
}

#[test]
fn a_restarted_controller_deploys_again_what_was_deployed() {
    let Disk::Works(saved) = Rig::deployed(&["a", "b"]).disk else {
        unreachable!();
    };
    let mut rig = Rig::restarted(saved, |_| ());
    assert_eq!(rig.configuration(false).unwrap().id, "c0");
    assert_eq!(rig.configuration(true).unwrap().id, "c0");
    rig.join("a");
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    assert_eq!(rig.lines(), ["a <- welcome #1", "a <- deploy #2 c0"]);
    rig.join("b");
    rig.agent("b", welcomed(&rig.last_id("welcome", "b")));
    assert_eq!(rig.lines(), ["b <- welcome #3", "b <- deploy #4 c0"]);
    rig.agent("a", deployed(&rig.id(2), vec![]));
    rig.agent("b", deployed(&rig.id(4), vec![]));
    assert_eq!(rig.lines(), [""; 0]);
    assert_eq!(rig.controller.poll_timeout(), None);
}

#[test]
fn a_restarted_controller_deploys_when_agents_return_after_the_timeout() {
    let Disk::Works(saved) = Rig::deployed(&["a"]).disk else {
        unreachable!();
    };
    let mut rig = Rig::restarted(saved, |_| ());
    rig.pass(secs(60));
    assert_eq!(rig.lines(), [""; 0]);
    rig.join("a");
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    assert_eq!(rig.lines(), ["a <- welcome #1", "a <- deploy #2 c0"]);
}

#[test]
fn a_restarted_controller_dials_the_agents_it_dialed() {
    let mut deployed = config("c", &[], &["a"]);
    deployed.instances = BTreeSet::from([instance("a", Some(("10.0.0.7", 2151)))]);
    let saved = Saved {
        deployed: Some(deployed),
        ..Saved::default()
    };
    let mut rig = Rig::restarted(saved, |_| ());
    assert_eq!(rig.lines(), ["peer 10.0.0.7:2151 every 1s"]);
}

#[test]
fn a_restarted_controller_knows_what_was_staged() {
    let mut first = Rig::new();
    first.join("a");
    first.stage(config("c", &["a"], &["a"]));
    let Disk::Works(saved) = first.disk else {
        unreachable!();
    };
    let host = |config: &Option<Configuration>| {
        let instance = config.as_ref().and_then(|c| c.instances.first());
        instance.unwrap().host.to_string()
    };
    assert_eq!(
        [host(&saved.staged), host(&saved.ready)],
        ["0.0.0.0", "10.0.0.1"]
    );
    let mut rig = Rig::restarted(saved, |_| ());
    rig.request(get("g", true));
    assert_eq!(
        rig.lines(),
        ["config g: failed (no deployed configuration available)"]
    );
    rig.join("a");
    rig.request(deploy("d"));
    assert_eq!(rig.lines(), ["a <- welcome #1"]);
}

#[test]
fn an_agent_that_is_due_during_a_save_is_asked_as_soon_as_that_is_given_up() {
    let mut rig = Rig::deployed(&["a"]);
    rig.stage(config("c1", &["a"], &["a"]));
    rig.peer_down("a");
    rig.join("a");
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    let error = "agent has no connection to its supervisor";
    let refused = vec![ApiResult::failed("x", error).on_instance("a")];
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), refused));
    rig.pass(secs(1));
    rig.hold_disk();
    rig.request(deploy("d1"));
    rig.lines();
    rig.now += secs(10);
    rig.controller.handle_timeout(rig.now);
    let lines = rig.lines();
    assert_eq!(lines[1..], ["a <- deploy #3 c0"], "{lines:?}");
    assert_eq!(rig.controller.poll_timeout(), None);
}

#[test]
fn what_is_learned_of_a_host_meanwhile_does_not_undo_what_the_disk_takes_late() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.stage(config("c0", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d0"));
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    rig.pass(secs(10));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    rig.stage(config("c1", &["a", "b"], &["a"]));
    rig.hold_disk();
    rig.request(deploy("d1"));
    assert_eq!(rig.orders(), ["c1 c1 c1"]);
    rig.join("b");
    rig.agent("b", welcomed(&rig.last_id("welcome", "b")));
    rig.pass(secs(19));
    rig.lines();

    rig.saved(Ok(()));
    assert_eq!(rig.orders(), ["c1 c1 c1"]);
    let Disk::ByHand(open) = &rig.disk else {
        panic!("the disk works by itself");
    };
    let instances = &open[0].deployed.as_ref().unwrap().instances;
    let hosts: Vec<String> = instances.iter().map(|i| i.host.to_string()).collect();
    assert_eq!(hosts, ["10.0.0.1", "10.0.0.1"]);
    rig.saved(Ok(()));
    assert_eq!(rig.orders(), [""; 0]);
    assert_eq!(rig.configuration(true).unwrap().id, "c1");
    assert_eq!(rig.lines().len(), 2);
}

/// World 31343: both have had all of the time that they may.
#[test]
fn who_may_have_overheard_a_standby_does_not_hold_up_the_answer() {
    let mut rig = Rig::deployed(&["b", "sensor-1", "sensor-10"]);
    rig.peer_down("b");
    rig.stage(config("c1", &["b", "sensor-1"], &["b", "sensor-1"]));
    rig.hold_disk();
    rig.request(deploy("d1"));
    rig.pass(secs(10));
    assert_eq!(rig.orders(), ["c1 c1 c1"]);
    rig.pass(Duration::from_millis(8500));
    rig.saved(Ok(()));
    assert_eq!(rig.lines(), ["sensor-10 <- standby -"]);
    rig.pass(Duration::from_millis(500));
    let [away, silent] = ["b is not connected", "sensor-1 did not answer"];
    let answer = format!(
        "deploy d1: failed @b (instance {away}); failed @b /w-b = 2 items (instance {away}); \
         failed @sensor-1 (instance {silent}); \
         failed @sensor-1 /w-sensor-1 = 2 items (instance {silent}); \
         failed (request timed out); ok = c1"
    );
    assert_eq!(rig.lines(), [answer]);
    rig.pass(Duration::from_millis(500));
    assert_eq!(rig.lines(), ["sensor-1 <- deploy #1 c1"]);
}

#[test]
fn what_is_learned_of_a_host_and_cannot_be_stored_is_not_told_to_be_deployed_there() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.stage(config("c0", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d0"));
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    rig.pass(secs(10));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    rig.hold_disk();
    rig.join("b");
    rig.agent("b", welcomed(&rig.last_id("welcome", "b")));
    assert_eq!(rig.orders(), ["c0 c0 c0"]);
    rig.saved(Err("disk full"));
    let instances = rig.configuration(true).unwrap().instances;
    let hosts: Vec<String> = instances.iter().map(|i| i.host.to_string()).collect();
    assert_eq!(hosts, ["10.0.0.1", "0.0.0.0"]);
    assert_eq!(rig.orders(), [""; 0]);
}
