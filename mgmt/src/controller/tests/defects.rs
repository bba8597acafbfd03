//! Stock's defects of API §12.1 that concern a deployment as a whole, by number. Those about one
//! detail are beside the tests of that detail, also by number.

use super::*;

/// `a` runs the manager and is ready, `b` and `c` have a worker each and are not there.
fn waiting_for_others() -> Rig {
    let mut rig = Rig::new();
    rig.join("a");
    let mut config = config("c1", &["a", "b", "c"], &["a", "b", "c"]);
    config
        .nodes
        .insert(Node::new("a", "m", ClusterRole::Manager));
    rig.stage(config);
    rig.request(deploy("d1"));
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    assert_eq!(rig.lines(), ["a <- welcome #1"]);
    rig
}

/// What became of a deployment, without the welcomes.
fn deployment_lines(rig: &mut Rig) -> Vec<String> {
    let mut lines = rig.lines();
    lines.retain(|line| !line.contains(" <- welcome "));
    lines
}

#[test]
fn d03_a_deployment_goes_to_those_who_are_ready_and_names_the_others() {
    let mut rig = waiting_for_others();
    rig.join("b");
    rig.pass(secs(9));
    assert_eq!(deployment_lines(&mut rig), [""; 0]);
    rig.pass(secs(1));
    assert_eq!(deployment_lines(&mut rig), ["a <- deploy #3 c1"]);
    rig.agent("a", deployed(&rig.id(3), came_up("a", &["m", "w-a"])));
    assert_eq!(
        rig.lines(),
        [
            "deploy d1: failed @b (instance b did not answer); failed @b /w-b = 2 items (instance b did not answer); \
          failed @c (instance c is not connected); failed @c /w-c = 2 items (instance c is not connected); ok @a /m; ok @a /w-a; ok = c1"
        ]
    );
    assert_eq!(rig.configuration(true).unwrap().id, "c1");
}

#[test]
fn d03_who_comes_in_time_takes_part() {
    let mut rig = waiting_for_others();
    rig.pass(secs(9));
    for name in ["b", "c"] {
        rig.join(name);
        rig.agent(name, welcomed(&rig.last_id("welcome", name)));
    }
    assert_eq!(
        deployment_lines(&mut rig),
        [
            "a <- deploy #4 c1",
            "b <- deploy #5 c1",
            "c <- deploy #6 c1"
        ]
    );
}

#[test]
fn d03_who_returns_later_gets_the_configuration_and_only_they() {
    let mut rig = waiting_for_others();
    rig.pass(secs(10));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    rig.lines();
    rig.pass(secs(3600));
    rig.join("c");
    rig.agent("c", welcomed(&rig.last_id("welcome", "c")));
    assert_eq!(deployment_lines(&mut rig), ["c <- deploy #4 c1"]);
    // Nobody dials a worker, so nobody else has to know where it is.
    let deployed = rig.configuration(true).unwrap();
    let hosts: Vec<String> = deployed
        .instances
        .iter()
        .map(|i| i.host.to_string())
        .collect();
    assert_eq!(hosts, ["10.0.0.1", "0.0.0.0", "10.0.0.1"]);
}

#[test]
fn d03_others_get_the_configuration_again_if_they_have_to_dial_who_returns() {
    let mut rig = Rig::new();
    rig.join("a");
    let mut config = config("c1", &["a", "b"], &["a"]);
    config
        .nodes
        .insert(Node::new("b", "m", ClusterRole::Manager));
    rig.stage(config);
    rig.request(deploy("d1"));
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    rig.pass(secs(10));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    rig.lines();
    rig.join("b");
    rig.agent("b", welcomed(&rig.last_id("welcome", "b")));
    assert_eq!(
        deployment_lines(&mut rig),
        ["a <- deploy #4 c1 by force", "b <- deploy #5 c1"]
    );
}

#[test]
fn d03_nothing_is_touched_if_nobody_is_ready() {
    let mut rig = Rig::deployed(&["a"]);
    rig.join("a");
    rig.stage(config("c1", &["b", "c"], &["b", "c"]));
    rig.request(deploy("d1"));
    rig.pass(secs(10));
    assert_eq!(
        rig.lines(),
        ["deploy d1: failed @b (instance b is not connected); \
          failed @c (instance c is not connected); failed (request timed out)"]
    );
    assert_eq!(rig.configuration(true).unwrap().id, "c0");
    assert_eq!(rig.controller.poll_timeout(), None);
}

#[test]
fn d04_an_instance_dialed_elsewhere_is_dropped_and_added_in_one_deployment() {
    let mut rig = Rig::new();
    let at = |port| BTreeSet::from([instance("a", Some(("10.0.0.1", port)))]);
    let mut c1 = config("c1", &[], &["a"]);
    c1.instances = at(2151);
    let mut c2 = config("c2", &[], &["a"]);
    c2.instances = at(2161);
    rig.stage(c1);
    rig.request(deploy("d1"));
    rig.peer_up("a", Some(2151));
    rig.agent("a", hello_of_dialed("a"));
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    rig.lines();
    // The agent was restarted with another port.
    rig.peer_down("a");
    rig.stage(c2);
    rig.request(deploy("d2"));
    assert_eq!(rig.lines(), ["peer 10.0.0.1:2161 every 1s"]);
    rig.peer_up("a", Some(2161));
    rig.agent("a", hello_of_dialed("a"));
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    assert_eq!(
        rig.lines(),
        [
            "a <- welcome #3",
            "unpeer 10.0.0.1:2151",
            "a <- deploy #4 c2"
        ]
    );
}

#[test]
fn d07_a_loopback_address_that_cannot_work_is_refused_before_anything_is_touched() {
    let mut rig = Rig::deployed(&["b"]);
    let network = PeerNetwork {
        certificate: None,
        remote: "127.0.0.1:40000".parse().unwrap(),
        dialed: None,
    };
    let id = endpoint("a");
    rig.input(Input::PeerUp { id, network });
    rig.agent("a", hello("a"));
    let mut config = config("c1", &["a", "b"], &["b"]);
    config
        .nodes
        .insert(Node::new("a", "m", ClusterRole::Manager));
    rig.stage(config);
    rig.request(deploy("d1"));
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    assert_eq!(
        rig.lines(),
        [
            "a <- welcome #1",
            "deploy d1: failed (instance 'a' has the loopback address 127.0.0.1, but nodes on \
             other hosts have to connect to its nodes: set Management::Agent::controller of its \
             agent to an address of the controller's that other hosts can reach)"
        ]
    );
    assert_eq!(rig.configuration(true).unwrap().id, "c0");
}

#[test]
fn d08_a_deployment_that_failed_is_forced_when_it_is_tried_again() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d1"));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    let mut failed = came_up("b", &["w-b"]);
    failed[0].success = false;
    rig.agent("b", deployed(&rig.last_id("deploy", "b"), failed));
    rig.lines();
    rig.request(deploy("d2"));
    assert_eq!(
        rig.lines(),
        ["a <- deploy #3 c1", "b <- deploy #4 c1 by force"]
    );
    rig.agent("a", deployed(&rig.id(3), vec![]));
    rig.agent("b", deployed(&rig.id(4), came_up("b", &["w-b"])));
    rig.request(deploy("d3"));
    assert_eq!(
        rig.lines(),
        [
            "deploy d2: ok @b /w-b; ok = c1",
            "a <- deploy #5 c1",
            "b <- deploy #6 c1"
        ]
    );
}

/// An agent that has lost its supervisor, or whose supervisor does not answer, refuses as a whole.
#[test]
fn d46_an_agent_that_has_refused_everything_is_asked_again_until_it_takes_it() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d1"));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    let refusal = || {
        let refusal = ApiResult::failed("", "agent has no connection to its supervisor");
        vec![refusal.on_instance("b")]
    };
    rig.agent("b", deployed(&rig.last_id("deploy", "b"), refusal()));
    rig.lines();
    rig.pass(secs(9));
    assert_eq!(rig.lines(), [""; 0]);
    rig.pass(secs(1));
    assert_eq!(rig.lines(), ["b <- deploy #3 c1"]);
    rig.agent("b", deployed(&rig.id(3), refusal()));
    rig.pass(secs(20));
    assert_eq!(rig.lines(), ["b <- deploy #4 c1"]);
    rig.agent("b", deployed(&rig.id(4), came_up("b", &["w-b"])));
    rig.pass(secs(3600));
    assert_eq!(rig.lines(), [""; 0]);
}

/// It has taken the configuration, and sees to its nodes itself.
#[test]
fn an_agent_with_a_failed_node_is_not_asked_again() {
    let mut rig = Rig::deployed(&["a"]);
    rig.stage(config("c1", &["a"], &["a"]));
    rig.request(deploy("d1"));
    let mut failed = came_up("a", &["w-a"]);
    failed[0].success = false;
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), failed));
    rig.lines();
    rig.pass(secs(3600));
    assert_eq!(rig.lines(), [""; 0]);
}

#[test]
fn d08_the_same_configuration_with_other_addresses_is_forced() {
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
    rig.agent("b", deployed(&rig.last_id("deploy", "b"), vec![]));
    assert_eq!(rig.lines(), ["b <- welcome #1", "b <- deploy #2 c0"]);
    rig.request(deploy("d1"));
    assert_eq!(
        rig.lines(),
        ["a <- deploy #3 c0 by force", "b <- deploy #4 c0 by force"]
    );
}

#[test]
fn d09_a_deployment_with_failed_nodes_is_in_force() {
    let mut rig = Rig::deployed(&["a"]);
    rig.stage(config("c1", &["a"], &["a"]));
    rig.request(deploy("d1"));
    let mut failed = came_up("a", &["w-a"]);
    failed[0].success = false;
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), failed));
    assert_eq!(
        rig.lines(),
        ["a <- deploy #1 c1", "deploy d1: failed @a /w-a; ok = c1"]
    );
    assert_eq!(rig.configuration(true).unwrap().id, "c1");
}

#[test]
fn d10_agents_are_not_put_back_after_a_deployment_that_one_of_them_missed() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d1"));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    rig.pass(secs(10));
    assert_eq!(
        rig.lines(),
        [
            "a <- deploy #1 c1",
            "b <- deploy #2 c1",
            "deploy d1: failed @b (instance b did not answer); failed @b /w-b = 2 items (instance b did not answer); failed (request timed out); ok = c1"
        ]
    );
    // The agent wakes up and takes it after all; later it is restarted.
    rig.agent("b", deployed(&rig.id(2), came_up("b", &["w-b"])));
    rig.peer_down("b");
    rig.join("b");
    rig.agent("b", welcomed(&rig.last_id("welcome", "b")));
    assert_eq!(rig.lines(), ["b <- welcome #3", "b <- deploy #4 c1"]);
}

#[test]
fn d11_one_client_after_the_other() {
    let mut rig = waiting_for_others();
    rig.request(deploy("d2"));
    assert_eq!(
        rig.lines(),
        ["deploy d2: failed (earlier deployment d1 still pending)"]
    );
    rig.pass(secs(30));
    rig.lines();
    rig.request(deploy("d3"));
    rig.pass(secs(10));
    assert_eq!(deployment_lines(&mut rig), ["a <- deploy #3 c1 by force"]);
}

#[test]
fn d13_waiting_for_agents_leaves_them_time_to_start_their_nodes() {
    let mut rig = waiting_for_others();
    rig.pass(secs(9));
    rig.join("b");
    rig.agent("b", welcomed(&rig.last_id("welcome", "b")));
    rig.pass(secs(1));
    assert_eq!(
        deployment_lines(&mut rig),
        ["a <- deploy #3 c1", "b <- deploy #4 c1"]
    );
    // Up to 7 s are usual for a stock agent whose nodes do not start.
    rig.pass(secs(7));
    rig.agent("a", deployed(&rig.id(3), vec![]));
    assert_eq!(rig.lines(), [""; 0]);
    // zeek-client waits for 20 s.
    rig.pass(secs(2));
    assert_eq!(
        rig.lines(),
        [
            "deploy d1: failed @c (instance c is not connected); failed @c /w-c = 2 items (instance c is not connected); \
          failed @b (instance b did not answer); failed @b /w-b = 2 items (instance b did not answer); failed (request timed out); ok = c1"
        ]
    );
}

#[test]
fn d13_an_agent_that_flaps_without_end_does_not_hold_up_the_answer() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.stage(config("c1", &["a", "b"], &["a", "b"]));
    rig.request(deploy("d1"));
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), vec![]));
    for _ in 0..10 {
        rig.pass(secs(2));
        rig.peer_down("b");
        rig.join("b");
        rig.agent("b", welcomed(&rig.last_id("welcome", "b")));
    }
    let lines = rig.lines();
    let answers: Vec<&String> = lines.iter().filter(|l| l.starts_with("deploy")).collect();
    assert_eq!(
        answers,
        [
            "deploy d1: failed @b (instance b did not answer); failed @b /w-b = 2 items (instance b did not answer); failed (request timed out); ok = c1"
        ]
    );
}

#[test]
fn d21_what_can_never_run_is_refused_at_staging_beside_stocks_own_checks() {
    let mut rig = Rig::new();
    let mut bad = config("bad", &["a"], &["x"]);
    bad.nodes
        .insert(Node::new("a", "controller", ClusterRole::Worker));
    bad.nodes
        .insert(Node::new("a", "../up", ClusterRole::Worker));
    bad.nodes.insert(Node::new("a", "n", ClusterRole::None));
    let reqid = "s".into();
    rig.request(ControllerRequest::StageConfiguration { reqid, config: bad });
    assert_eq!(
        rig.lines(),
        [
            "stage s: failed (node 'controller' has the name of the controller); \
             failed (node 'n' has no role); \
             failed (node 'w-x' has undeclared instance name 'x'); \
             failed (node name '../up' leaves the state directory)"
        ]
    );
    assert_eq!(rig.configuration(false), None);
}

#[test]
fn d21_metrics_ports_that_collide_once_hosts_are_known_are_refused_at_deploying() {
    let mut rig = Rig::new();
    let mut config = config("c1", &["a", "b"], &[]);
    for (instance, name) in [("a", "x"), ("b", "y")] {
        let mut node = Node::new(instance, name, ClusterRole::Worker);
        node.metrics_port = Some(Port::tcp(9000));
        config.nodes.insert(node);
    }
    rig.stage(config);
    rig.request(deploy("d1"));
    for name in ["a", "b"] {
        rig.join(name);
        rig.agent(name, welcomed(&rig.last_id("welcome", name)));
    }
    assert_eq!(
        deployment_lines(&mut rig),
        ["deploy d1: failed (multiple nodes on host 10.0.0.1 using metrics port 9000/tcp)"]
    );
}

#[test]
fn d27_options_and_state_reach_the_agent_as_they_are() {
    let mut rig = Rig::deployed(&["a"]);
    let mut config = config("c1", &["a"], &[]);
    let mut worker = Node::new("a", "w", ClusterRole::Worker);
    worker.state = State::Stopped;
    worker.options = Some(BTreeSet::from([crate::model::NodeOption {
        name: "Foo::x".into(),
        value: "1".into(),
    }]));
    config.nodes.insert(worker.clone());
    rig.stage(config);
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["a <- deploy #1 c1"]);
    let sent = rig.sent.clone().unwrap();
    assert_eq!(Vec::from_iter(sent.nodes), [worker]);
}

#[test]
fn an_agent_that_was_dropped_while_it_was_away_stands_by_when_it_returns() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.peer_down("b");
    rig.stage(config("c1", &["a"], &["a"]));
    rig.request(deploy("d1"));
    assert_eq!(rig.lines(), ["a <- deploy #1 c1"]);
    rig.join("b");
    rig.agent("b", hello("b"));
    assert_eq!(rig.lines(), ["b <- standby -"]);
}

#[test]
fn what_an_agent_said_about_a_failed_node_is_its_output_if_there_is_no_other() {
    let mut rig = Rig::deployed(&["a"]);
    rig.stage(config("c1", &["a"], &["a"]));
    rig.request(deploy("d1"));
    rig.agent(
        "a",
        AgentResponse::Error {
            instance: "a".into(),
            msg: "failed to create node w-a: no such directory".into(),
            node: "w-a".into(),
        },
    );
    let mut failed = came_up("a", &["w-a"]);
    failed[0].success = false;
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), failed));
    let Some(Output::Respond {
        response: ControllerResponse::Deploy { results, .. },
    }) = std::iter::from_fn(|| rig.controller.poll_output()).last()
    else {
        panic!("the deployment is answered")
    };
    let want = Data::Vector(vec![
        Data::string(""),
        Data::string("failed to create node w-a: no such directory"),
    ]);
    assert_eq!(results[0].data, Some(want.into()));
}

#[test]
fn a_configuration_that_runs_already_is_answered_with_how_its_nodes_are() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.request(deploy("d1"));
    for name in ["a", "b"] {
        let running = vec![ApiResult::ok("x").on_instance(name)];
        rig.agent(name, deployed(&rig.last_id("deploy", name), running));
    }
    assert_eq!(
        rig.lines(),
        [
            "a <- deploy #1 c0",
            "b <- deploy #2 c0",
            "a <- get_nodes #3",
            "b <- get_nodes #4"
        ]
    );
    for (name, n, state) in [("a", 3, "RUNNING"), ("b", 4, "PENDING")] {
        let row = Data::Vector(vec![
            Data::string(format!("w-{name}")),
            Data::enum_value(format!("Management::{state}")),
            Data::enum_value("Management::NONE"),
            Data::enum_value("Supervisor::WORKER"),
        ]);
        let other = Data::Vector(vec![
            Data::string(name),
            Data::enum_value("Management::RUNNING"),
        ]);
        let reqid = rig.id(n);
        let result = ApiResult::ok(&reqid).with_data(Data::Vector(vec![other, row]));
        rig.agent(name, AgentResponse::GetNodes { reqid, result });
    }
    assert_eq!(
        rig.lines(),
        ["deploy d1: ok @a /w-a; failed @b /w-b = 2 items; ok = c0"]
    );
    assert_eq!(rig.controller.poll_timeout(), None);
}

#[test]
fn an_agent_that_runs_the_configuration_but_not_says_how_its_nodes_are_does_not_fail() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(deploy("d1"));
    let running = vec![ApiResult::ok("x").on_instance("a")];
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), running));
    rig.pass(secs(10));
    assert_eq!(
        rig.lines(),
        [
            "a <- deploy #1 c0",
            "a <- get_nodes #2",
            "deploy d1: ok = c0"
        ]
    );
}

#[test]
fn an_agent_whose_list_of_nodes_is_none_does_not_fail_either() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(deploy("d1"));
    let running = vec![ApiResult::ok("x").on_instance("a")];
    rig.agent("a", deployed(&rig.last_id("deploy", "a"), running));
    assert_eq!(rig.lines(), ["a <- deploy #1 c0", "a <- get_nodes #2"]);
    let reqid = rig.id(2);
    let result = ApiResult::ok(&reqid).with_data(Data::string("nodes"));
    rig.agent("a", AgentResponse::GetNodes { reqid, result });
    assert_eq!(rig.lines(), ["deploy d1: ok = c0"]);
}

#[test]
fn an_address_that_cannot_be_reached_is_named_with_the_reason() {
    let mut rig = Rig::new();
    let mut c1 = config("c1", &[], &["a"]);
    c1.instances = BTreeSet::from([instance("a", Some(("10.0.0.1", 2151)))]);
    rig.stage(c1);
    rig.request(deploy("d1"));
    let addr = PeerAddr {
        host: "10.0.0.1".into(),
        port: 2151,
    };
    let reason = "connection refused".into();
    rig.input(Input::PeerUnreachable { addr, reason });
    rig.pass(secs(10));
    assert_eq!(
        rig.lines(),
        [
            "peer 10.0.0.1:2151 every 1s",
            "deploy d1: failed @a (instance a is not connected: 10.0.0.1:2151: connection refused); \
             failed (request timed out)"
        ]
    );
}
