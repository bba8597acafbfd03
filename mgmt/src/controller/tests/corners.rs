//! What happens rarely: agents that leave, move, answer late or speak for others.

use broker_proto::zeek::ToData;

use super::*;

#[test]
fn a_question_is_answered_at_once_when_the_last_agent_asked_leaves() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.request(ControllerRequest::TestTimeout {
        reqid: "t".into(),
        with_state: true,
    });
    rig.request(get_nodes("n"));
    assert_eq!(rig.lines(), ["a <- get_nodes #1", "b <- get_nodes #2"]);
    rig.agent("a", list(ApiResult::ok(rig.id(1)).with_data(rows())));
    rig.peer_down("b");
    assert_eq!(
        rig.lines(),
        [
            "nodes n: ok @a = 0 items; ok @b = 1 items; failed @b (instance b left before it answered)"
        ]
    );
    rig.pass(secs(10));
    assert_eq!(rig.lines(), ["timeout t: failed (request timed out)"]);
    assert!(rig.controller.fanouts.is_empty());
}

#[test]
fn an_agent_that_refuses_is_named_in_the_answer() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(get_nodes("n"));
    rig.request(ControllerRequest::Restart {
        reqid: "r".into(),
        nodes: names(&[]),
    });
    rig.lines();
    let refusal = |reqid: String| ApiResult::failed(reqid, "busy").on_instance("a");
    rig.agent("a", list(refusal(rig.id(1))));
    let (reqid, results) = (rig.id(2), vec![refusal(rig.id(2))]);
    rig.agent("a", AgentResponse::Restart { reqid, results });
    assert_eq!(
        rig.lines(),
        [
            "nodes n: failed @a (busy)",
            "restart r: failed (instance a: busy)"
        ]
    );
}

#[test]
fn a_deployed_configuration_of_no_instances_has_nothing_to_restart() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.stage(config("c", &[], &[]));
    rig.request(deploy("d"));
    rig.request(ControllerRequest::Restart {
        reqid: "r".into(),
        nodes: names(&[]),
    });
    assert_eq!(
        rig.lines(),
        [
            "deploy d: ok = c",
            "restart r: failed (no active cluster deployment)"
        ]
    );
}

/// Of a failed node clients show only its output (CLIENT §C7).
#[test]
fn what_its_agent_said_of_a_node_is_shown_if_the_node_itself_said_nothing() {
    let said = |from: &str, topic: &str, output: &str| {
        let mut rig = Rig::deployed(&["a", "b"]);
        rig.request(deploy("d1"));
        rig.lines();
        let error = AgentResponse::Error {
            instance: "a".into(),
            msg: "out of memory".into(),
            node: "w-a".into(),
        };
        rig.agent_from(topic, endpoint(from), error);
        let outputs = [output, ""].map(Data::string);
        let mut result = came_up("a", &["w-a"]).remove(0);
        result.success = false;
        let result = result.with_data(Data::Vector(outputs.into()));
        rig.agent("a", deployed(&rig.id(1), vec![result]));
        rig.agent("b", deployed(&rig.id(2), vec![]));
        let Some(Output::Respond {
            response: ControllerResponse::Deploy { results, .. },
        }) = rig.controller.outputs.pop_back()
        else {
            panic!("the deployment is answered")
        };
        results[0].data.clone()
    };
    let outputs = |texts: [&str; 2]| Some(Data::Vector(texts.map(Data::string).into()).into());
    assert_eq!(said("a", "a", ""), outputs(["", "out of memory"]));
    assert_eq!(said("a", "a", "it said"), outputs(["it said", ""]));
    // Others know nothing of it.
    assert_eq!(said("b", "b", ""), outputs(["", ""]));
    assert_eq!(said("b", "a", ""), outputs(["", ""]));
}

#[test]
fn an_answer_to_an_earlier_deployment_is_none_to_the_next() {
    for success in [true, false] {
        let mut rig = Rig::deployed(&["a"]);
        rig.peer_down("a");
        rig.join("a");
        rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
        let former = rig.last_id("deploy", "a");
        rig.stage(config("c1", &["a", "b"], &["a", "b"]));
        rig.request(deploy("d1"));
        rig.lines();
        let mut results = came_up("a", &["w-a"]);
        results[0].success = success;
        rig.agent("a", deployed(&former, results));
        assert_eq!(rig.lines(), [""; 0]);
        rig.pass(secs(10));
        let child = rig.last_id("deploy", "a");
        rig.agent("a", deployed(&child, came_up("a", &["w-a"])));
        let lines = rig.lines();
        let answer = lines.last().unwrap();
        assert!(answer.starts_with("deploy d1: failed @b"), "{answer}");
        assert!(answer.ends_with("ok @a /w-a; ok = c1"), "{answer}");
    }
}

#[test]
fn an_agent_that_had_its_time_is_not_heard_any_more_while_others_have_theirs() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d1"));
    rig.lines();
    rig.pass(secs(8));
    rig.peer_down("b");
    rig.join("b");
    rig.agent("b", welcomed(&rig.last_id("welcome", "b")));
    let again = rig.last_id("deploy", "b");
    rig.pass(secs(3));
    rig.lines();
    rig.agent("a", deployed(&rig.id(1), came_up("a", &["w-a"])));
    assert_eq!(rig.lines(), [""; 0]);
    rig.agent("b", deployed(&again, came_up("b", &["w-b"])));
    assert_eq!(
        rig.lines(),
        [
            "deploy d1: failed @a (instance a did not answer); failed @a /w-a = 2 items (instance a did not answer); ok @b /w-b; failed (request timed out); ok = c1"
        ]
    );
}

#[test]
fn a_client_that_asks_for_nodes_meanwhile_gets_its_own_answer() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(deploy("d1"));
    // It runs already, so it names no nodes.
    rig.agent(
        "a",
        deployed(&rig.last_id("deploy", "a"), vec![ApiResult::ok("r")]),
    );
    rig.request(get_nodes("n"));
    assert_eq!(
        rig.lines(),
        [
            "a <- deploy #1 c0",
            "a <- get_nodes #2",
            "a <- get_nodes #3"
        ]
    );
    rig.agent("a", list(ApiResult::ok(rig.id(3)).with_data(rows())));
    assert_eq!(rig.lines(), ["nodes n: ok @a = 0 items"]);
    rig.agent("a", list(ApiResult::ok(rig.id(2)).with_data(rows())));
    assert_eq!(
        rig.lines(),
        ["deploy d1: failed @a /w-a = 2 items; ok = c0"]
    );
}

#[test]
fn a_pause_for_a_standby_holds_up_no_other_agent() {
    let mut rig = Rig::deployed(&["b", "sensor-1", "sensor-10"]);
    rig.stage(config("c1", &["b", "sensor-1"], &["b", "sensor-1"]));
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["sensor-10 <- standby -", "b <- deploy #1 c1"]);
    rig.agent("b", deployed(&rig.id(1), came_up("b", &["w-b"])));
    rig.pass(secs(1));
    assert_eq!(rig.lines(), ["sensor-1 <- deploy #2 c1"]);
    rig.agent("sensor-1", deployed(&rig.id(2), vec![]));
    assert_eq!(rig.lines(), ["deploy d1: ok @b /w-b; ok = c1"]);
}

#[test]
fn an_agent_that_may_still_be_busy_with_the_same_configuration_elsewhere_is_forced() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.peer_down("b");
    let network = PeerNetwork {
        certificate: None,
        remote: "10.0.0.9:40000".parse().unwrap(),
        dialed: None,
    };
    let id = endpoint("b");
    rig.input(Input::PeerUp { id, network });
    rig.agent("b", hello("b"));
    rig.agent("b", welcomed(&rig.last_id("welcome", "b")));
    rig.lines();
    rig.request(deploy("d1"));
    assert_eq!(
        rig.lines(),
        ["a <- deploy #3 c0 by force", "b <- deploy #4 c0 by force"]
    );
}

#[test]
fn an_agent_that_changes_its_name_is_listed_once() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.agent_from("b", endpoint("a"), hello_of("b", "a", 1));
    let names: Vec<String> = rig.instances().into_iter().map(|i| i.name).collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn an_agent_of_another_api_version_is_told_to_stand_by_once() {
    let mut rig = Rig::deployed(&["a"]);
    let mut told = |from: &str, api_version| {
        rig.peer_up(from, None);
        rig.agent_from("a", endpoint(from), hello_of("a", from, api_version));
        rig.lines()
    };
    assert_eq!(told("a", 2), ["a <- standby -"]);
    assert_eq!(told("a", 2), [""; 0]);
    assert_eq!(told("a", 3), ["a <- standby -"]);
    assert_eq!(told("x", 3), ["a <- standby -"]);
}

#[test]
fn of_instances_in_trouble_or_dropped_while_away_only_so_many_are_remembered() {
    let mut rig = Rig::deployed(&["a"]);
    let away: Vec<String> = (0..1100).map(|n| format!("x{n}")).collect();
    for name in &away {
        rig.agent(name, hello_of(name, name, 2));
    }
    let problems = away
        .iter()
        .map(|name| rig.controller.instances.problem(name));
    let remembered = problems.filter(|it| it.contains("API version"));
    assert_eq!(remembered.count(), 1024);
    let mut names: Vec<&str> = away.iter().map(String::as_str).collect();
    names.push("a");
    for (id, names) in [("c1", &names[..]), ("c2", &["a"])] {
        rig.stage(config(id, names, &["a"]));
        rig.request(deploy(id));
        rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    }
    let lines = rig.lines();
    assert_eq!(lines.last().unwrap(), "deploy c2: ok = c2");
    for name in &away {
        rig.join(name);
    }
    let stand_by = rig.lines();
    assert_eq!(stand_by.len(), 1024);
    assert!(stand_by.iter().all(|line| line.ends_with("<- standby -")));
}

#[test]
fn an_address_to_dial_is_never_replaced_by_one_that_was_seen() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.stage(dialed("c1", &[], "a", "0.0.0.0", 2151));
    let staged = rig.configuration(false).unwrap();
    let hosts: Vec<_> = staged.instances.iter().map(|i| i.host).collect();
    assert_eq!(hosts, [Address::UNSPECIFIED]);
}

#[test]
fn d04_an_agent_that_dials_is_dialed_from_the_next_configuration_on() {
    let mut rig = Rig::deployed(&["a"]);
    rig.stage(dialed("c1", &[], "a", "10.0.0.1", 2151));
    rig.request(deploy("d1"));
    assert_eq!(
        rig.lines(),
        ["peer 10.0.0.1:2151 every 1s", "a <- deploy #1 c1"]
    );
}

#[test]
fn d04_an_agent_on_a_host_that_is_not_the_configured_one_any_more_stands_by() {
    let mut rig = moving();
    rig.stage(dialed("c2", &["b"], "a", "10.0.0.9", 2151));
    rig.request(deploy("d2"));
    assert_eq!(
        rig.lines(),
        [
            "a <- standby -",
            "unpeer 10.0.0.1:2151",
            "peer 10.0.0.9:2151 every 1s",
            "b <- deploy #4 c2"
        ]
    );
}

#[test]
fn d04_an_instance_that_moves_while_it_is_away_is_only_dialed_elsewhere() {
    let mut rig = moving();
    rig.peer_down("a");
    rig.stage(dialed("c2", &["b"], "a", "10.0.0.1", 2161));
    rig.request(deploy("d2"));
    rig.pass(secs(10));
    assert_eq!(
        rig.lines(),
        [
            "peer 10.0.0.1:2161 every 1s",
            "unpeer 10.0.0.1:2151",
            "b <- deploy #4 c2"
        ]
    );
}

#[test]
fn only_known_agents_are_welcomed_again() {
    let mut rig = Rig::new();
    rig.join("b");
    rig.stage(config("c", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d"));
    // No peer of this name is there.
    rig.agent("a", hello("a"));
    assert_eq!(rig.lines(), ["b <- welcome #1", "a <- welcome #2"]);
    rig.pass(secs(2));
    assert_eq!(rig.lines(), ["b <- welcome #1"]);
}

#[test]
fn an_agent_that_returns_while_something_is_staged_gets_what_is_in_force() {
    let mut rig = Rig::deployed(&["a"]);
    rig.disk = Disk::ByHand(Vec::new());
    rig.request(ControllerRequest::StageConfiguration {
        reqid: "s".into(),
        config: config("c1", &["a"], &["a"]),
    });
    rig.peer_down("a");
    rig.join("a");
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    assert_eq!(rig.lines(), ["a <- welcome #1", "a <- deploy #2 c0"]);
}

#[test]
fn news_of_what_nobody_asked_for_change_nothing() {
    let mut rig = Rig::deployed(&["a"]);
    let addr = PeerAddr {
        host: "10.0.0.1".into(),
        port: 1,
    };
    let reason = "no route".to_owned();
    rig.input(Input::PeerUnreachable { addr, reason });
    rig.input(Input::Saved { result: Ok(()) });
    assert_eq!(rig.lines(), [""; 0]);
    assert_eq!(rig.configuration(true).unwrap().id, "c0");
}

/// With `a` dialed at 10.0.0.1:2151 and `b`, both of which have `c1`.
fn moving() -> Rig {
    let mut rig = Rig::deployed(&["b"]);
    rig.stage(dialed("c1", &["b"], "a", "10.0.0.1", 2151));
    rig.request(deploy("d1"));
    rig.peer_up("a", Some(2151));
    rig.agent("a", hello_of_dialed("a"));
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    for name in ["a", "b"] {
        rig.agent(name, deployed(&rig.last_id("deploy", name), vec![]));
    }
    let lines = rig.lines();
    assert_eq!(lines.last().unwrap(), "deploy d1: ok = c1");
    rig
}

/// A configuration with one more instance, which is dialed.
fn dialed(id: &str, others: &[&str], name: &str, host: &str, port: u16) -> Configuration {
    let mut config = config(id, others, others);
    config.instances.insert(instance(name, Some((host, port))));
    let node = Node::new(name, format!("w-{name}"), ClusterRole::Worker);
    config.nodes.insert(node);
    config
}

fn hello_of(name: &str, id: &str, api_version: u64) -> AgentResponse {
    AgentResponse::Hello {
        instance: name.into(),
        id: endpoint(id).to_string(),
        connecting: true,
        api_version,
    }
}

fn list(result: ApiResult) -> AgentResponse {
    let reqid = result.reqid.clone();
    AgentResponse::GetNodes { reqid, result }
}

/// No nodes.
fn rows() -> Data {
    Vec::<crate::model::NodeStatus>::new().into_data()
}
