use super::*;

#[test]
fn nothing_to_deploy_is_said() {
    let mut rig = Rig::new();
    rig.request(deploy("d"));
    assert_eq!(
        rig.lines(),
        ["deploy d: failed (no configuration available to deploy)"]
    );
}

#[test]
fn problems_are_answered_in_order_and_change_nothing() {
    let mut rig = Rig::new();
    rig.stage(config("good", &["a"], &["a"]));
    let mut bad = config("bad", &["x", "a"], &["b"]);
    bad.nodes.insert(Node::new("a", "x", ClusterRole::Worker));
    let reqid = "s".into();
    rig.request(ControllerRequest::StageConfiguration { reqid, config: bad });
    assert_eq!(
        rig.lines(),
        [
            "stage s: failed (node 'w-b' has undeclared instance name 'b'); \
             failed (node and instance names collide: x)"
        ]
    );
    assert_eq!(rig.configuration(false).unwrap().id, "good");
}

#[test]
fn a_configuration_without_id_gets_one() {
    let mut rig = Rig::new();
    rig.stage(config("", &["a"], &["a"]));
    assert!(!rig.configuration(false).unwrap().id.is_empty());
}

#[test]
fn agents_results_come_in_order_of_their_answers_and_the_id_last() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.join("b");
    rig.stage(config("c", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d"));
    assert_eq!(rig.lines(), ["a <- welcome #1", "b <- welcome #2"]);
    rig.agent("a", welcomed(&rig.id(1)));
    assert_eq!(rig.lines(), [""; 0]);
    rig.agent("b", welcomed(&rig.id(2)));
    assert_eq!(rig.lines(), ["a <- deploy #3 c", "b <- deploy #4 c"]);
    rig.agent("b", deployed(&rig.id(4), came_up("b", &["w-b"])));
    let mut failed = came_up("a", &["w-a"]);
    failed[0].success = false;
    rig.agent("a", deployed(&rig.id(3), failed));
    assert_eq!(
        rig.lines(),
        ["deploy d: ok @b /w-b; failed @a /w-a; ok = c"]
    );
    assert_eq!(rig.controller.poll_timeout(), None);
    // Answers that come late, or twice, count for nothing (API §12.2 D30, D31).
    let late = vec![ApiResult::failed("x", "request timed out").on_instance("a")];
    rig.agent("a", deployed(&rig.id(3), late.clone()));
    rig.agent("a", deployed("", late));
    assert_eq!(rig.lines(), [""; 0]);
}

#[test]
fn one_deployment_at_a_time() {
    let mut rig = Rig::new();
    rig.stage(config("c", &["a"], &["a"]));
    rig.request(deploy("first"));
    rig.request(deploy("second"));
    assert_eq!(
        rig.lines(),
        ["deploy second: failed (earlier deployment first still pending)"]
    );
}

#[test]
fn results_that_came_in_time_stay_before_the_timeout() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["a <- deploy #1 c1", "b <- deploy #2 c1"]);
    rig.agent("a", deployed(&rig.id(1), came_up("a", &["w-a"])));
    rig.pass(secs(9));
    assert_eq!(rig.lines(), [""; 0]);
    rig.pass(secs(1));
    assert_eq!(
        rig.lines(),
        [
            "deploy d1: ok @a /w-a; failed @b (instance b did not answer); failed @b /w-b = 2 items (instance b did not answer); \
             failed (request timed out); ok = c1"
        ]
    );
    rig.agent("b", deployed(&rig.id(2), came_up("b", &["w-b"])));
    assert_eq!(rig.lines(), [""; 0]);
}

#[test]
fn d02_an_instance_without_nodes_is_told_but_not_waited_for() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a", "b"], &["a"]));
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["a <- deploy #1 c1", "b <- deploy #2 c1"]);
    rig.agent("a", deployed(&rig.id(1), came_up("a", &["w-a"])));
    assert_eq!(rig.lines(), ["deploy d1: ok @a /w-a; ok = c1"]);
    rig.agent("b", deployed(&rig.id(2), vec![]));
    assert_eq!(rig.lines(), [""; 0]);
}

#[test]
fn without_any_node_all_instances_are_waited_for() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a", "b"], &[]));
    rig.request(deploy("d1"));
    rig.lines();
    rig.agent(
        "a",
        deployed(&rig.id(1), vec![ApiResult::ok("x").on_instance("a")]),
    );
    assert_eq!(rig.lines(), [""; 0]);
    rig.agent(
        "b",
        deployed(&rig.id(2), vec![ApiResult::ok("x").on_instance("b")]),
    );
    assert_eq!(rig.lines(), ["deploy d1: ok @a; ok @b; ok = c1"]);
}

#[test]
fn d20_a_configuration_without_instances_is_deployed_at_once_and_once() {
    let mut rig = Rig::deployed(&["a"]);
    rig.stage(config("empty", &[], &[]));
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["a <- standby -", "deploy d1: ok = empty"]);
    assert_eq!(rig.controller.poll_timeout(), None);
    rig.request(deploy("d2"));
    assert_eq!(rig.lines(), ["deploy d2: ok = empty"]);
}

#[test]
fn nothing_is_torn_down_before_the_new_agents_are_there() {
    let mut rig = Rig::deployed(&["b"]);
    rig.join("a");
    rig.stage(config("c1", &["a"], &["a"]));
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["a <- welcome #1"]);
    rig.agent("a", welcomed(&rig.id(1)));
    assert_eq!(rig.lines(), ["b <- standby -", "a <- deploy #2 c1"]);
}

#[test]
fn d11_what_returning_agents_are_sent_does_not_hold_up_clients() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.peer_down("b");
    rig.join("b");
    assert_eq!(rig.lines(), ["b <- welcome #1"]);
    rig.agent("b", welcomed(&rig.id(1)));
    assert_eq!(rig.lines(), ["b <- deploy #2 c0"]);
    rig.stage(config("c1", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["a <- deploy #3 c1", "b <- deploy #4 c1"]);
    rig.agent("b", deployed(&rig.id(2), came_up("b", &["w-b"])));
    rig.agent("a", deployed(&rig.id(3), vec![]));
    assert_eq!(rig.lines(), [""; 0]);
    rig.agent("b", deployed(&rig.id(4), vec![]));
    assert_eq!(rig.lines(), ["deploy d1: ok = c1"]);
    assert_eq!(rig.controller.poll_timeout(), None);
}

#[test]
fn what_a_returning_agent_never_answers_is_sent_again_by_a_client() {
    let mut rig = Rig::deployed(&["a"]);
    rig.peer_down("a");
    rig.join("a");
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    rig.lines();
    rig.pass(secs(10));
    assert_eq!(rig.lines(), [""; 0]);
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["a <- deploy #3 c0 by force"]);
}

#[test]
fn d05_staging_does_not_change_what_is_deployed_again() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a"], &["a"]));
    rig.peer_down("a");
    rig.join("a");
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    assert_eq!(rig.lines(), ["a <- welcome #1", "a <- deploy #2 c0"]);
}

#[test]
fn d19_only_the_agent_that_flaps_is_asked_again() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["a <- deploy #1 c1", "b <- deploy #2 c1"]);
    rig.peer_down("b");
    rig.pass(secs(1));
    rig.join("b");
    rig.agent("b", welcomed(&rig.last_id("welcome", "b")));
    assert_eq!(
        rig.lines(),
        ["b <- welcome #3", "b <- deploy #4 c1 by force"]
    );
    rig.agent("b", deployed(&rig.id(2), vec![]));
    rig.agent("a", deployed(&rig.id(1), came_up("a", &["w-a"])));
    assert_eq!(rig.lines(), [""; 0]);
    rig.agent("b", deployed(&rig.id(4), came_up("b", &["w-b"])));
    assert_eq!(rig.lines(), ["deploy d1: ok @a /w-a; ok @b /w-b; ok = c1"]);
}

#[test]
fn an_agent_that_leaves_after_its_answer_is_served_when_it_returns() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d1"));
    rig.lines();
    rig.agent("a", deployed(&rig.id(1), came_up("a", &["w-a"])));
    rig.peer_down("a");
    rig.agent("b", deployed(&rig.id(2), came_up("b", &["w-b"])));
    assert_eq!(rig.lines(), ["deploy d1: ok @a /w-a; ok @b /w-b; ok = c1"]);
    rig.join("a");
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    assert_eq!(rig.lines(), ["a <- welcome #3", "a <- deploy #4 c1"]);
}

#[test]
fn d06_hosts_learned_after_staging_are_in_the_layout_and_decide_metrics_ports() {
    let mut rig = Rig::with(|settings| settings.metrics_ports = AutoAssign::From(9000));
    rig.stage(config("c", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d"));
    for (name, host) in [("a", "10.0.0.1"), ("b", "10.0.0.2")] {
        let network = PeerNetwork {
            certificate: None,
            remote: format!("{host}:40000").parse().unwrap(),
            dialed: None,
        };
        let id = endpoint(name);
        rig.input(Input::PeerUp { id, network });
        rig.agent(name, hello(name));
        rig.agent(name, welcomed(&rig.last_id("welcome", name)));
    }
    rig.lines();
    let sent = rig.sent.clone().unwrap();
    let hosts: Vec<String> = sent.instances.iter().map(|i| i.host.to_string()).collect();
    assert_eq!(hosts, ["10.0.0.1", "10.0.0.2"]);
    assert!(
        sent.nodes
            .iter()
            .all(|n| n.metrics_port == Some(Port::tcp(9000)))
    );
    // What was learned is no move: the next deployment drops nobody (API §12.1 D04).
    rig.agent("a", deployed(&rig.id(3), vec![]));
    rig.agent("b", deployed(&rig.id(4), vec![]));
    rig.stage(config("c1", &["a", "b"], &["a", "b"]));
    rig.lines();
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["a <- deploy #5 c1", "b <- deploy #6 c1"]);
}

#[test]
fn d01_answers_for_an_instance_whose_name_is_longer_do_not_count() {
    let mut rig = Rig::new();
    for name in ["sensor-1", "sensor-10"] {
        rig.join(name);
    }
    let both = ["sensor-1", "sensor-10"];
    rig.stage(config("c", &both, &both));
    rig.request(deploy("d"));
    assert_eq!(
        rig.lines(),
        ["sensor-1 <- welcome #1", "sensor-10 <- welcome #2"]
    );
    // A stock agent answers both on its own topic.
    rig.agent("sensor-1", welcomed(&rig.id(2)));
    rig.agent("sensor-1", welcomed(&rig.id(1)));
    assert_eq!(rig.lines(), [""; 0]);
    rig.agent_from("sensor-10", endpoint("sensor-1"), welcomed(&rig.id(2)));
    assert_eq!(rig.lines(), [""; 0]);
    rig.agent("sensor-10", welcomed(&rig.id(2)));
    assert_eq!(
        rig.lines(),
        ["sensor-1 <- deploy #3 c", "sensor-10 <- deploy #4 c"]
    );
    rig.agent("sensor-1", deployed(&rig.id(4), vec![]));
    rig.agent_from(
        "sensor-10",
        endpoint("sensor-1"),
        deployed(&rig.id(4), vec![]),
    );
    rig.agent(
        "sensor-1",
        deployed(&rig.id(3), came_up("sensor-1", &["w-sensor-1"])),
    );
    assert_eq!(rig.lines(), [""; 0]);
    rig.agent(
        "sensor-10",
        deployed(&rig.id(4), came_up("sensor-10", &["w-sensor-10"])),
    );
    assert_eq!(
        rig.lines(),
        ["deploy d: ok @sensor-1 /w-sensor-1; ok @sensor-10 /w-sensor-10; ok = c"]
    );
}

#[test]
fn d01_a_deployment_waits_for_a_standby_that_its_agent_overhears() {
    let mut rig = Rig::deployed(&["sensor-1", "sensor-10"]);
    rig.stage(config("c1", &["sensor-1"], &["sensor-1"]));
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["sensor-10 <- standby -"]);
    rig.pass(secs(1));
    assert_eq!(rig.lines(), ["sensor-1 <- deploy #1 c1"]);
    rig.agent("sensor-1", deployed(&rig.id(1), vec![]));
    assert_eq!(rig.lines(), ["deploy d1: ok = c1"]);
}

#[test]
fn an_agent_cannot_deploy_in_the_name_of_another() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.request(deploy("d1"));
    rig.lines();
    rig.agent("a", deployed(&rig.id(1), came_up("b", &["w-b"])));
    rig.agent("b", deployed(&rig.id(2), came_up("b", &["w-b"])));
    assert_eq!(rig.lines(), ["deploy d1: ok @a /w-b; ok @b /w-b; ok = c0"]);
}

#[test]
fn data_that_is_no_output_is_not_passed_on() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(deploy("d1"));
    rig.lines();
    let nodes = came_up("a", &["x", "y"]).into_iter();
    let outputs = Data::Vector(vec![Data::string("out"), Data::string("err")]);
    let results = nodes.zip([outputs, Data::Count(1)]);
    let results = results
        .map(|(result, data)| result.with_data(data))
        .collect();
    rig.agent("a", deployed(&rig.id(1), results));
    assert_eq!(
        rig.lines(),
        ["deploy d1: ok @a /x = 2 items; ok @a /y; ok = c0"]
    );
}

/// Its nodes may have come up, and died, before the client asked.
#[test]
fn d11_a_client_that_deploys_what_an_agent_is_being_sent_is_told_how_its_nodes_are_then() {
    for (state, outcome) in [
        ("RUNNING", "ok @a /w-a"),
        ("PENDING", "failed @a /w-a = 2 items"),
    ] {
        let (mut rig, child) = joined();
        rig.agent("a", deployed(&child, came_up("a", &["w-a"])));
        assert_eq!(rig.lines(), ["a <- get_nodes #3"]);
        let result = ApiResult::ok("x").with_data(Data::Vector(vec![row("w-a", state)]));
        let reqid = rig.id(3);
        rig.agent("a", AgentResponse::GetNodes { reqid, result });
        assert_eq!(rig.lines(), [format!("deploy d1: {outcome}; ok = c0")]);
    }
}

#[test]
fn what_an_agent_says_to_have_failed_is_told_whether_or_not_it_lists_the_others() {
    for is_answered in [true, false] {
        let mut rig = Rig::new();
        rig.join("a");
        let mut c0 = config("c0", &["a"], &["a"]);
        c0.nodes.insert(Node::new("a", "x", ClusterRole::Worker));
        rig.stage(c0);
        rig.request(deploy("d0"));
        rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
        rig.peer_down("a");
        rig.pass(secs(20));
        rig.join("a");
        rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
        let child = rig.last_id("deploy", "a");
        rig.pass(secs(1));
        rig.request(deploy("d1"));
        rig.lines();
        let mut results = came_up("a", &["w-a", "x"]);
        results[1].success = false;
        rig.agent("a", deployed(&child, results));
        let mut answer = "deploy d1: failed @a /x; ";
        if is_answered {
            let rows = ["w-a", "x"].map(|name| row(name, "RUNNING"));
            let result = ApiResult::ok("x").with_data(Data::Vector(rows.into()));
            let reqid = rig.last_id("get_nodes", "a");
            rig.agent("a", AgentResponse::GetNodes { reqid, result });
            answer = "deploy d1: failed @a /x; ok @a /w-a; ";
        }
        rig.pass(secs(10));
        let lines = rig.lines();
        assert_eq!(lines.last(), Some(&format!("{answer}ok = c0")));
    }
}

#[test]
fn of_nodes_that_have_all_failed_nothing_more_is_asked() {
    let (mut rig, child) = joined();
    let mut results = came_up("a", &["w-a"]);
    results[0].success = false;
    rig.agent("a", deployed(&child, results));
    assert_eq!(rig.lines(), ["deploy d1: failed @a /w-a; ok = c0"]);
}

/// Two agents run the configuration already, and are asked how its nodes are.
fn asked() -> Rig {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.request(deploy("d1"));
    for name in ["a", "b"] {
        let running = vec![ApiResult::ok("x").on_instance(name)];
        rig.agent(name, deployed(&rig.last_id("deploy", name), running));
    }
    rig
}

#[test]
fn what_one_agent_is_asked_stays_open_when_another_one_leaves() {
    let mut rig = asked();
    let reqid = rig.last_id("get_nodes", "b");
    rig.peer_down("a");
    let result = ApiResult::ok("x").with_data(Data::Vector(vec![row("w-b", "RUNNING")]));
    rig.agent("b", AgentResponse::GetNodes { reqid, result });
    rig.pass(secs(20));
    let lines = rig.lines();
    let answer = lines.last().unwrap();
    assert!(answer.starts_with("deploy d1: ok @b /w-b; "), "{answer}");
}

#[test]
fn what_one_agent_is_asked_no_other_one_answers() {
    let mut rig = asked();
    let asked = ["a", "b"].map(|name| rig.last_id("get_nodes", name));
    rig.lines();
    for (from, about, reqid) in [("b", "w-a", 0), ("a", "w-a", 0), ("b", "w-b", 1)] {
        let rows = Data::Vector(vec![row(about, "RUNNING")]);
        let (reqid, result) = (asked[reqid].clone(), ApiResult::ok("x").with_data(rows));
        rig.agent(from, AgentResponse::GetNodes { reqid, result });
    }
    assert_eq!(rig.lines(), ["deploy d1: ok @a /w-a; ok @b /w-b; ok = c0"]);
}

/// Of links that are stuck nobody knows that they are dead.
#[test]
fn an_agent_without_its_supervisor_does_not_know_that_its_nodes_run() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(deploy("d1"));
    let running = vec![ApiResult::ok("x").on_instance("a")];
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), running));
    let result = ApiResult::failed("x", "request timed out");
    let result = result.with_data(Data::Vector(vec![row("w-a", "RUNNING")]));
    let reqid = rig.last_id("get_nodes", "a");
    rig.agent("a", AgentResponse::GetNodes { reqid, result });
    let lines = rig.lines();
    let answer = "deploy d1: failed @a /w-a = 2 items; ok = c0";
    assert_eq!(lines.last().map(String::as_str), Some(answer));
}

/// An agent has been sent what is deployed, and then a client asks for that; the id it was sent.
fn joined() -> (Rig, String) {
    let mut rig = Rig::deployed(&["a"]);
    rig.peer_down("a");
    rig.join("a");
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    rig.pass(secs(1));
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["a <- welcome #1", "a <- deploy #2 c0"]);
    let child = rig.id(2);
    (rig, child)
}

fn row(node: &str, state: &str) -> Data {
    Data::Vector(vec![
        Data::string(node),
        Data::enum_value(format!("Management::{state}")),
        Data::enum_value("Management::NONE"),
        Data::enum_value("Supervisor::WORKER"),
    ])
}
