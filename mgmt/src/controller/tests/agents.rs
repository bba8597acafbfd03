use super::*;

#[test]
fn agents_are_listed_by_name_with_the_address_they_come_from() {
    let mut rig = Rig::new();
    rig.join("b");
    rig.peer_up("a", Some(2151));
    rig.agent("a", hello_of_dialed("a"));
    let host: Address = "10.0.0.1".parse().unwrap();
    let want = [("a", Some(Port::tcp(2151))), ("b", None)];
    let want = want.map(|(name, listen_port)| Instance {
        name: name.into(),
        host,
        listen_port,
    });
    assert_eq!(rig.instances(), want);
}

#[test]
fn an_agent_that_dials_has_no_port_even_if_it_is_dialed_too() {
    let mut rig = Rig::new();
    rig.peer_up("a", Some(2151));
    rig.agent("a", hello("a"));
    let [a] = &rig.instances()[..] else {
        panic!("one agent is there")
    };
    assert_eq!(a.listen_port, None);
}

#[test]
fn d28_an_agent_is_lost_with_its_peering_however_that_ends() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.peer_down("a");
    rig.request(ControllerRequest::GetInstances { reqid: "r".into() });
    assert_eq!(rig.lines(), ["instances r: ok = 0 items"]);
}

#[test]
fn an_unwanted_agent_is_left_alone() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.agent("a", hello("a"));
    assert_eq!(rig.lines(), [""; 0]);
    assert_eq!(rig.controller.poll_timeout(), None);
}

#[test]
fn hellos_of_a_ready_agent_are_no_news() {
    let mut rig = Rig::deployed(&["a"]);
    rig.agent("a", hello("a"));
    assert_eq!(rig.lines(), [""; 0]);
}

#[test]
fn d12_welcome_is_repeated_until_it_is_answered() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.stage(config("c", &["a"], &["a"]));
    rig.request(deploy("d"));
    rig.pass(secs(4));
    assert_eq!(rig.lines(), ["a <- welcome #1"; 3]);
    rig.agent("a", welcomed(&rig.id(1)));
    assert_eq!(rig.lines(), ["a <- deploy #2 c"]);
    rig.agent("a", welcomed(&rig.id(1)));
    assert_eq!(rig.lines(), [""; 0]);
}

#[test]
fn welcome_is_not_repeated_to_an_agent_that_left() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.stage(config("c", &["a"], &["a"]));
    rig.request(deploy("d"));
    rig.peer_down("a");
    rig.pass(secs(9));
    assert_eq!(rig.lines(), ["a <- welcome #1"]);
}

#[test]
fn an_agent_that_refuses_the_welcome_stands_by() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.stage(config("c", &["a"], &["a"]));
    rig.request(deploy("d"));
    assert_eq!(rig.lines(), ["a <- welcome #1"]);
    let reqid = rig.id(1);
    let result = ApiResult::failed(&reqid, "no");
    rig.agent("a", AgentResponse::Welcome { reqid, result });
    assert_eq!(
        rig.lines(),
        [
            "a <- standby -",
            "deploy d: failed @a (instance a refused to join: no)"
        ]
    );
}

#[test]
fn an_agent_that_is_no_peer_is_welcomed_but_not_recorded() {
    let mut rig = Rig::new();
    rig.stage(config("c", &["a"], &["a"]));
    rig.request(deploy("d"));
    rig.agent("a", hello("a"));
    rig.request(ControllerRequest::GetInstances { reqid: "r".into() });
    rig.pass(secs(5));
    assert_eq!(
        rig.lines(),
        ["a <- welcome #1", "instances r: ok = 0 items"]
    );
    rig.agent("a", welcomed(&rig.id(1)));
    assert_eq!(rig.lines(), ["a <- deploy #2 c"]);
    rig.agent("a", deployed(&rig.id(2), came_up("a", &["w-a"])));
    assert_eq!(rig.lines(), ["deploy d: ok @a /w-a; ok = c"]);
}

#[test]
fn a_hello_that_names_another_peer_is_not_recorded() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.peer_up("b", None);
    rig.agent_from("b", endpoint("a"), hello("b"));
    rig.agent_from("x", endpoint("b"), hello("b"));
    let names: Vec<String> = rig.instances().into_iter().map(|i| i.name).collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn an_agent_of_another_api_version_is_dropped() {
    let mut rig = Rig::deployed(&["a", "b"]);
    let id = endpoint("b").to_string();
    rig.agent(
        "b",
        AgentResponse::Hello {
            instance: "b".into(),
            id,
            connecting: true,
            api_version: 2,
        },
    );
    rig.request(ControllerRequest::GetInstances { reqid: "r".into() });
    assert_eq!(rig.lines(), ["b <- standby -", "instances r: ok = 1 items"]);
}

#[test]
fn an_agent_of_another_api_version_does_not_hold_up_a_deployment() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.stage(config("c", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d"));
    assert_eq!(rig.lines(), ["a <- welcome #1"]);
    rig.agent("a", welcomed(&rig.id(1)));
    assert_eq!(rig.lines(), [""; 0]);
    rig.peer_up("b", None);
    let id = endpoint("b").to_string();
    rig.agent(
        "b",
        AgentResponse::Hello {
            instance: "b".into(),
            id,
            connecting: true,
            api_version: 7,
        },
    );
    assert_eq!(rig.lines(), ["b <- standby -", "a <- deploy #2 c"]);
    rig.agent("a", deployed(&rig.id(2), came_up("a", &["w-a"])));
    assert_eq!(
        rig.lines(),
        [
            "deploy d: failed @b (instance b has API version 7, the controller 1); failed @b /w-b = 2 items (instance b has API version 7, the controller 1); ok @a /w-a; ok = c"
        ]
    );
}

#[test]
fn an_agent_that_returns_as_another_endpoint_is_welcomed_before_the_old_one_is_lost() {
    let mut rig = Rig::deployed(&["a"]);
    let again = endpoint("a again");
    let network = PeerNetwork {
        certificate: None,
        remote: "10.0.0.9:41000".parse().unwrap(),
        dialed: None,
    };
    rig.input(Input::PeerUp { id: again, network });
    let hello = AgentResponse::Hello {
        instance: "a".into(),
        id: again.to_string(),
        connecting: true,
        api_version: 1,
    };
    rig.agent_from("a", again, hello);
    assert_eq!(rig.lines(), ["a <- welcome #1"]);
    rig.peer_down("a");
    rig.agent_from("a", again, welcomed(&rig.id(1)));
    assert_eq!(rig.lines(), ["a <- deploy #2 c0"]);
}

#[test]
fn an_agent_whose_former_process_said_hello_late_is_known_again_when_that_is_gone() {
    let mut rig = Rig::deployed(&["a"]);
    let again = endpoint("a again");
    let network = PeerNetwork {
        certificate: None,
        remote: "10.0.0.9:41000".parse().unwrap(),
        dialed: None,
    };
    rig.input(Input::PeerUp { id: again, network });
    let hello_again = AgentResponse::Hello {
        instance: "a".into(),
        id: again.to_string(),
        connecting: true,
        api_version: 1,
    };
    rig.agent_from("a", again, hello_again);
    rig.agent("a", hello("a"));
    assert_eq!(rig.lines(), ["a <- welcome #1", "a <- welcome #2"]);

    rig.peer_down("a");

    assert_eq!(rig.lines(), ["a <- welcome #3"]);
    let [a] = &rig.instances()[..] else {
        panic!("one agent is there")
    };
    assert_eq!(a.host, "10.0.0.9".parse().unwrap());
    rig.agent_from("a", again, welcomed(&rig.id(3)));
    assert_eq!(rig.lines(), ["a <- deploy #4 c0"]);
    let reason = "gone".into();
    rig.input(Input::PeerDown { id: again, reason });
    assert_eq!(rig.instances(), []);
}

#[test]
fn d15_instances_with_a_port_are_dialed_and_let_go() {
    let mut rig = Rig::new();
    let mut c1 = config("c1", &[], &["a"]);
    c1.instances = BTreeSet::from([instance("a", Some(("10.0.0.1", 2151)))]);
    rig.stage(c1.clone());
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["peer 10.0.0.1:2151 every 1s"]);
    rig.peer_up("a", Some(2151));
    rig.agent("a", hello_of_dialed("a"));
    assert_eq!(rig.lines(), ["a <- welcome #1"]);
    rig.agent("a", welcomed(&rig.id(1)));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    assert_eq!(rig.lines(), ["a <- deploy #2 c1", "deploy d1: ok = c1"]);

    // Another port: the old peering ends, its agent has no say, the new one is dialed.
    let mut c2 = c1.clone();
    c2.id = "c2".into();
    c2.instances = BTreeSet::from([instance("a", Some(("10.0.0.1", 2161)))]);
    rig.stage(c2);
    rig.request(deploy("d2"));
    assert_eq!(
        rig.lines(),
        [
            "a <- standby -",
            "unpeer 10.0.0.1:2151",
            "peer 10.0.0.1:2161 every 1s"
        ]
    );
    rig.peer_down("a");
    rig.peer_up("a", Some(2161));
    rig.agent("a", hello_of_dialed("a"));
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    assert_eq!(
        rig.lines(),
        ["a <- welcome #3", "a <- deploy #4 c2", "deploy d2: ok = c2"]
    );

    rig.stage(config("c3", &[], &[]));
    rig.request(deploy("d3"));
    assert_eq!(rig.lines(), ["a <- standby -", "deploy d3: ok = c3"]);
    rig.agent("a", stands_by());
    assert_eq!(rig.lines(), ["unpeer 10.0.0.1:2161"]);
}

/// Its connection may be dead for a minute before anybody notices.
#[test]
fn an_agent_that_goes_before_it_has_heard_that_it_was_dropped_is_told_again() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a"], &["a"]));
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["b <- standby -", "a <- deploy #1 c1"]);
    rig.agent("a", deployed(&rig.id(1), came_up("a", &["w-a"])));
    rig.lines();
    rig.agent("b", hello("b"));
    assert_eq!(rig.lines(), [""; 0]);
    rig.peer_down("b");
    rig.join("b");
    assert_eq!(rig.lines(), ["b <- standby -"]);
    // Somebody else's answer is none, nor is one of an agent that does not.
    rig.agent_from("b", endpoint("a"), stands_by());
    let (reqid, result) = (String::new(), ApiResult::failed("", "superseded"));
    rig.agent("b", AgentResponse::Standby { reqid, result });
    rig.peer_down("b");
    rig.join("b");
    assert_eq!(rig.lines(), ["b <- standby -"]);
    rig.agent("b", stands_by());
    rig.peer_down("b");
    rig.join("b");
    assert_eq!(rig.lines(), [""; 0]);
}

#[test]
fn d04_an_agent_that_dials_from_another_address_keeps_its_peering() {
    let mut rig = Rig::deployed(&["a"]);
    let mut c = config("c1", &[], &["a"]);
    let mut moved = instance("a", None);
    moved.host = "10.0.0.7".parse().unwrap();
    c.instances.insert(moved);
    rig.stage(c);
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["a <- deploy #1 c1"]);
}

#[test]
fn an_agent_that_returns_for_a_deployment_in_vain_stands_by_all_the_same() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.peer_down("b");
    rig.stage(config("c1", &["a"], &["a"]));
    rig.request(deploy("d1"));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    // It needs one that never comes, so b returns to a cluster that it is not of.
    rig.stage(config("c2", &["b", "c"], &["c"]));
    rig.request(deploy("d2"));
    rig.lines();
    rig.join("b");
    let welcome = rig.last_id("welcome", "b");
    rig.agent("b", welcomed(&welcome));
    assert_eq!(rig.lines().len(), 1);
    rig.pass(secs(10));
    let lines = rig.lines();
    assert_eq!(lines[0], "b <- standby -", "{lines:?}");
}

#[test]
fn an_agent_that_is_dialed_hears_that_it_was_dropped_while_it_was_away() {
    let mut rig = Rig::new();
    let mut both = config("c0", &["a", "b"], &["a", "b"]);
    let dialed = Instance {
        name: "b".into(),
        host: "10.0.0.7".parse().unwrap(),
        listen_port: Some(Port::tcp(2151)),
    };
    both.instances.retain(|instance| instance.name != "b");
    both.instances.insert(dialed);
    rig.join("a");
    rig.stage(both);
    rig.request(deploy("d0"));
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    rig.pass(secs(10));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    rig.lines();
    rig.stage(config("c1", &["a"], &["a"]));
    rig.request(deploy("d1"));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    let dialing = rig.lines();
    assert!(
        !dialing.iter().any(|line| line.contains("unpeer")),
        "{dialing:?}"
    );
    rig.join("b");
    assert_eq!(rig.lines(), ["b <- standby -"]);
    rig.agent("b", stands_by());
    assert_eq!(rig.lines(), ["unpeer 10.0.0.7:2151"]);
}

#[test]
fn an_agent_without_nodes_that_could_not_end_its_former_ones_is_asked_again() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a", "b"], &["a"]));
    rig.request(deploy("d1"));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    let child = rig.last_id("deploy", "b");
    let failed = |error| vec![ApiResult::failed("x", error).on_instance("b")];
    rig.lines();
    rig.agent(
        "b",
        deployed(&child, failed("agent has no connection to its supervisor")),
    );
    rig.pass(secs(10));
    let child = rig.last_id("deploy", "b");
    // All that a stock agent ever says then (API §12.1 D02).
    rig.agent("b", deployed(&child, failed("request timed out")));
    rig.pass(secs(100));
    assert_eq!(rig.lines(), ["b <- deploy #3 c1"]);
}

/// A stock agent whose supervisor answers too late has taken the id and ended its nodes by then, and
/// says only that it timed out (API §5.3 A6 – A8).
#[test]
fn d46_an_agent_that_timed_out_without_a_word_about_its_nodes_is_forced() {
    let late = || vec![ApiResult::failed("", "request timed out").on_instance("a")];
    let mut rig = Rig::deployed(&["a"]);
    rig.stage(config("c1", &["a"], &["a"]));
    rig.request(deploy("d1"));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), late()));
    rig.lines();
    rig.pass(secs(10));
    assert_eq!(rig.lines(), ["a <- deploy #2 c1 by force"]);
    rig.agent("a", deployed(&rig.id(2), late()));
    rig.request(deploy("d2"));
    assert_eq!(rig.lines(), ["a <- deploy #3 c1 by force"]);
    rig.agent("a", deployed(&rig.id(3), late()));
    rig.lines();
    rig.peer_down("a");
    rig.join("a");
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    assert_eq!(
        rig.lines(),
        ["a <- welcome #4", "a <- deploy #5 c1 by force"]
    );
}

#[test]
fn d08_a_node_that_its_agent_does_not_list_has_failed_and_is_forced_the_next_time() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(deploy("d1"));
    let running = vec![ApiResult::ok("x").on_instance("a")];
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), running));
    let reqid = rig.last_id("get_nodes", "a");
    let result = ApiResult::ok(&reqid).with_data(Data::Vector(vec![]));
    rig.agent("a", AgentResponse::GetNodes { reqid, result });
    assert_eq!(
        rig.lines(),
        [
            "a <- deploy #1 c0",
            "a <- get_nodes #2",
            "deploy d1: failed @a /w-a = 2 items; ok = c0"
        ]
    );
    rig.request(deploy("d2"));
    assert_eq!(rig.lines(), ["a <- deploy #3 c0 by force"]);
}

#[test]
fn d46_an_agent_that_refuses_again_and_again_is_asked_after_ever_longer_pauses() {
    let mut rig = Rig::deployed(&["a"]);
    rig.peer_down("a");
    rig.join("a");
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    let refuse = |rig: &mut Rig| {
        let refusal = ApiResult::failed("", "agent has no connection to its supervisor");
        let refusal = vec![refusal.on_instance("a")];
        rig.agent("a", deployed(&rig.last_id("deploy", "a"), refusal));
        rig.lines();
        let due = rig.controller.poll_timeout().unwrap();
        let pause = due - rig.now;
        rig.pass(pause);
        pause.as_secs()
    };
    let pauses: Vec<u64> = (0..7).map(|_| refuse(&mut rig)).collect();
    assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
    // Where it comes back, all may be well again.
    rig.peer_down("a");
    rig.join("a");
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    assert_eq!(refuse(&mut rig), 10);
    rig.agent(
        "a",
        deployed(&rig.last_id("deploy", "a"), came_up("a", &["w-a"])),
    );
    rig.lines();
    assert_eq!(rig.controller.poll_timeout(), None);
}

/// Also if it had the configuration running before.
#[test]
fn an_agent_that_left_after_saying_that_all_runs_is_awaited_anew() {
    for comes_back in [true, false] {
        let mut rig = Rig::deployed(&["a"]);
        rig.request(deploy("d1"));
        let running = vec![ApiResult::ok("x").on_instance("a")];
        rig.agent("a", deployed(&rig.last_id("deploy", "a"), running));
        rig.last_id("get_nodes", "a");
        rig.peer_down("a");
        let mut problem = "is not connected";
        if comes_back {
            rig.join("a");
            rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
            rig.last_id("deploy", "a");
            problem = "did not answer";
        }
        rig.pass(secs(30));
        let answer = format!(
            "deploy d1: failed @a (instance a {problem}); \
             failed @a /w-a = 2 items (instance a {problem}); failed (request timed out); ok = c0"
        );
        assert_eq!(rig.lines().last(), Some(&answer));
    }
}

#[test]
fn d01_who_overhears_the_standby_of_an_agent_that_returns_gets_the_configuration_again() {
    let mut rig = Rig::deployed(&["b", "sensor-1", "sensor-10"]);
    rig.peer_down("sensor-10");
    rig.stage(config("c1", &["b", "sensor-1"], &["b", "sensor-1"]));
    rig.request(deploy("d1"));
    rig.pass(secs(1));
    for name in ["b", "sensor-1"] {
        rig.agent(name, deployed(&rig.last_id("deploy", name), vec![]));
    }
    rig.pass(secs(60));
    rig.lines();
    rig.join("sensor-10");
    assert_eq!(rig.lines(), ["sensor-10 <- standby -"]);
    rig.pass(secs(1));
    assert_eq!(rig.lines(), ["sensor-1 <- deploy #3 c1"]);
    rig.agent(
        "sensor-1",
        deployed(&rig.id(3), came_up("sensor-1", &["w-sensor-1"])),
    );
    assert_eq!(rig.controller.poll_timeout(), None);
}
