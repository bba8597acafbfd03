use broker_proto::zeek::ToData;

use super::*;
use crate::model::{NodeStatus, Role};

#[test]
fn requests_before_any_agent_or_cluster_are_refused() {
    let mut rig = Rig::new();
    rig.request(get_nodes("1"));
    rig.request(get_value("2", &[]));
    rig.request(restart("3", &[]));
    rig.join("a");
    rig.request(get_value("4", &["w"]));
    rig.request(restart("5", &["w"]));
    assert_eq!(
        rig.lines(),
        [
            "nodes 1: failed (no instances connected)",
            "value 2: failed (no cluster deployed)",
            "restart 3: failed (no instances connected)",
            "value 4: failed (no cluster deployed)",
            "restart 5: failed (no active cluster deployment)",
        ]
    );
}

#[test]
fn d16_names_are_refused_before_the_first_deployment_is_complete() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.stage(config("c", &["a"], &["a"]));
    rig.request(deploy("d"));
    rig.request(get_value("v", &["w-a"]));
    rig.request(get_value("v", &[]));
    assert_eq!(
        rig.lines(),
        [
            "a <- welcome #1",
            "value v: failed (no cluster deployed)",
            "value v: failed (no cluster deployed)"
        ]
    );
}

#[test]
fn nodes_of_all_connected_agents_are_listed() {
    let mut rig = Rig::deployed(&["b"]);
    rig.join("a");
    rig.request(get_nodes("r"));
    assert_eq!(rig.lines(), ["a <- get_nodes #1", "b <- get_nodes #2"]);
    rig.agent("b", nodes(&rig.id(2), Some(vec![row()])));
    assert_eq!(rig.lines(), [""; 0]);
    rig.agent("a", nodes(&rig.id(1), Some(vec![])));
    assert_eq!(rig.lines(), ["nodes r: ok @b = 1 items; ok @a = 0 items"]);
    assert_eq!(rig.controller.poll_timeout(), None);
    assert!(rig.controller.fanouts.is_empty());
}

#[test]
fn an_agent_cannot_list_nodes_in_the_name_of_another() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.request(get_nodes("r"));
    rig.lines();
    let AgentResponse::GetNodes { reqid, result } = nodes(&rig.id(1), Some(vec![row()])) else {
        panic!("a list of nodes")
    };
    let result = result.on_instance("b");
    rig.agent("a", AgentResponse::GetNodes { reqid, result });
    rig.agent("b", nodes(&rig.id(2), Some(vec![])));
    assert_eq!(rig.lines(), ["nodes r: ok @a = 1 items; ok @b = 0 items"]);
}

#[test]
fn d18_an_answer_without_node_list_is_a_failure_of_that_agent() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.request(get_nodes("r"));
    rig.lines();
    rig.agent("a", nodes(&rig.id(1), None));
    rig.agent("b", nodes(&rig.id(2), Some(vec![Data::Count(1)])));
    assert_eq!(
        rig.lines(),
        [
            "nodes r: failed @a (instance a sent no list of nodes); failed @b (instance b sent no list of nodes)"
        ]
    );
}

#[test]
fn lists_in_the_layout_before_metrics_ports_are_brought_up_to_date() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(get_nodes("r"));
    rig.lines();
    let Data::Vector(mut fields) = row() else {
        panic!("a record is a vector")
    };
    fields.pop();
    rig.agent("a", nodes(&rig.id(1), Some(vec![Data::Vector(fields)])));
    let reqid = rig.id(1);
    let result = ApiResult::ok(reqid).on_instance("a");
    let result = result.with_data(Data::Vector(vec![row()]));
    let response = ControllerResponse::GetNodes {
        reqid: "r".into(),
        results: vec![result],
    };
    assert_eq!(
        rig.controller.poll_output(),
        Some(Output::Respond { response })
    );
}

/// What agents of ours know without their supervisor: clients show no data of a failed result.
#[test]
fn d36_nodes_of_an_agent_that_has_lost_its_supervisor_are_listed_beside_the_reason() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(get_nodes("n"));
    rig.lines();
    let row = NodeStatus {
        node: "w-a".into(),
        state: State::Unknown,
        mgmt_role: Role::None,
        cluster_role: ClusterRole::Worker,
        pid: None,
        p: None,
        metrics_port: None,
    };
    let result = ApiResult::failed(rig.id(1), "agent has no connection to its supervisor");
    let result = result.on_instance("a").with_data(vec![row].into_data());
    let reqid = rig.id(1);
    rig.agent("a", AgentResponse::GetNodes { reqid, result });
    assert_eq!(
        rig.lines(),
        ["nodes n: ok @a = 1 items; failed @a (agent has no connection to its supervisor)"]
    );
}

#[test]
fn d14_silent_agents_are_named_when_a_request_expires() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.request(get_nodes("n"));
    rig.request(get_value("v", &[]));
    rig.request(restart("r", &["w-a"]));
    rig.lines();
    rig.agent("a", nodes(&rig.id(1), Some(vec![])));
    rig.pass(secs(10));
    let mut lines = rig.lines();
    lines.sort();
    assert_eq!(
        lines,
        [
            "nodes n: ok @a = 0 items; ok @b = 1 items; failed @b (instance b did not answer); failed (request timed out)",
            "restart r: failed /w-a (instance a did not answer); failed (request timed out)",
            "value v: failed /w-a (instance a did not answer); failed /w-b (instance b did not answer); failed (request timed out)",
        ]
    );
    rig.agent("b", nodes(&rig.id(2), Some(vec![])));
    assert_eq!(rig.lines(), [""; 0]);
    assert!(rig.controller.fanouts.is_empty());
}

#[test]
fn values_are_asked_of_valid_names_and_unknown_ones_come_first() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.request(get_value("v", &["nope", "w-a", "no"]));
    assert_eq!(
        rig.lines(),
        ["a <- dispatch #1 get_id_value Foo::bar on [w-a]"]
    );
    let value = came_up("a", &["w-a"])
        .remove(0)
        .with_data(Data::string("96"));
    rig.agent("a", dispatched(&rig.id(1), vec![value]));
    assert_eq!(
        rig.lines(),
        [
            "value v: failed /no (unknown cluster node); failed /nope (unknown cluster node); ok @a /w-a = 96"
        ]
    );
}

#[test]
fn an_agent_without_the_nodes_that_it_was_asked_for_is_told_of() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(get_value("v", &["w-a"]));
    rig.request(restart("r", &[]));
    rig.lines();
    rig.agent("a", dispatched(&rig.id(1), vec![]));
    rig.agent("a", restarted(&rig.id(2), vec![]));
    assert_eq!(
        rig.lines(),
        [
            "value v: failed /w-a (instance a does not run it)",
            "restart r: failed /w-a (instance a does not run it)"
        ]
    );
    // A failure of the whole agent says enough.
    rig.request(get_value("v", &["w-a"]));
    rig.lines();
    let failure = ApiResult::failed("", "no supervisor").on_instance("a");
    rig.agent("a", dispatched(&rig.id(3), vec![failure]));
    assert_eq!(rig.lines(), ["value v: failed @a (no supervisor)"]);
}

#[test]
fn unknown_names_alone_are_answered_at_once() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(get_value("v", &["x"]));
    rig.request(restart("r", &["x"]));
    assert_eq!(
        rig.lines(),
        [
            "value v: failed /x (unknown cluster node)",
            "restart r: failed /x (unknown cluster node)"
        ]
    );
}

#[test]
fn restart_passes_all_names_on() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(restart("r1", &["w-a", "x"]));
    rig.request(restart("r2", &[]));
    assert_eq!(
        rig.lines(),
        ["a <- restart #1 [w-a,x]", "a <- restart #2 []"]
    );
    rig.agent("a", restarted(&rig.id(2), came_up("a", &["w-a"])));
    rig.agent("a", restarted(&rig.id(1), came_up("a", &["w-a"])));
    assert_eq!(
        rig.lines(),
        [
            "restart r2: ok @a /w-a",
            "restart r1: failed /x (unknown cluster node); ok @a /w-a"
        ]
    );
}

#[test]
fn d17_without_a_ready_instance_the_answer_comes_at_once() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.join("other");
    rig.peer_down("a");
    rig.peer_down("b");
    rig.request(get_value("v", &[]));
    rig.request(restart("r", &["w-a", "x"]));
    assert_eq!(
        rig.lines(),
        [
            "value v: failed /w-a (instance a is not connected); failed /w-b (instance b is not connected)",
            "restart r: failed /x (unknown cluster node); failed /w-a (instance a is not connected)",
        ]
    );
}

#[test]
fn answers_count_only_from_the_agent_asked_and_of_the_kind_asked_for() {
    let mut rig = Rig::deployed(&["s-1", "s-10"]);
    rig.request(restart("r", &[]));
    assert_eq!(
        rig.lines(),
        ["s-1 <- restart #1 []", "s-10 <- restart #2 []"]
    );
    rig.agent("s-1", restarted(&rig.id(2), came_up("s-1", &["w-s-1"])));
    rig.agent_from("s-10", endpoint("s-1"), restarted(&rig.id(2), vec![]));
    rig.agent("s-10", dispatched(&rig.id(2), vec![]));
    rig.agent("s-10", restarted(&rig.id(2), came_up("s-10", &["w-s-10"])));
    assert_eq!(rig.lines(), [""; 0]);
    rig.agent("s-1", restarted(&rig.id(1), came_up("s-1", &["w-s-1"])));
    assert_eq!(rig.lines(), ["restart r: ok @s-10 /w-s-10; ok @s-1 /w-s-1"]);
}

#[test]
fn two_clients_with_one_id_are_both_answered() {
    let mut rig = Rig::deployed(&["a"]);
    rig.request(get_nodes(""));
    rig.request(get_nodes(""));
    rig.lines();
    rig.agent("a", nodes(&rig.id(1), Some(vec![])));
    rig.agent("a", nodes(&rig.id(2), Some(vec![row()])));
    assert_eq!(
        rig.lines(),
        ["nodes : ok @a = 0 items", "nodes : ok @a = 1 items"]
    );
}

#[test]
fn open_requests_are_limited() {
    let mut rig = Rig::deployed(&["a"]);
    for _ in 0..1024 {
        rig.request(get_nodes("r"));
    }
    rig.lines();
    rig.request(get_nodes("r"));
    rig.request(ControllerRequest::TestTimeout {
        reqid: "t".into(),
        with_state: true,
    });
    assert_eq!(
        rig.lines(),
        [
            "nodes r: failed (too many open requests)",
            "timeout t: failed (too many open requests)"
        ]
    );
}

#[test]
fn test_timeout_answers_only_with_state() {
    let mut rig = Rig::new();
    for (reqid, with_state) in [("no", false), ("yes", true)] {
        let reqid = reqid.into();
        rig.request(ControllerRequest::TestTimeout { reqid, with_state });
    }
    rig.pass(secs(9));
    assert_eq!(rig.lines(), [""; 0]);
    rig.pass(secs(1));
    assert_eq!(rig.lines(), ["timeout yes: failed (request timed out)"]);
}

fn get_value(reqid: &str, nodes: &[&str]) -> ControllerRequest {
    ControllerRequest::GetIdValue {
        reqid: reqid.into(),
        id: "Foo::bar".into(),
        nodes: names(nodes),
    }
}

fn restart(reqid: &str, nodes: &[&str]) -> ControllerRequest {
    ControllerRequest::Restart {
        reqid: reqid.into(),
        nodes: names(nodes),
    }
}

fn nodes(reqid: &str, rows: Option<Vec<Data>>) -> AgentResponse {
    AgentResponse::GetNodes {
        reqid: reqid.into(),
        result: ApiResult {
            data: rows.map(|rows| Data::Vector(rows).into()),
            ..ApiResult::ok(reqid)
        },
    }
}

/// A NodeStatus as it travels.
fn row() -> Data {
    Data::Vector(vec![
        Data::string("w"),
        Data::enum_value("Management::RUNNING"),
        Data::enum_value("Management::NONE"),
        Data::enum_value("Supervisor::WORKER"),
        Data::Integer(42),
        Data::None,
        Data::None,
    ])
}

fn dispatched(reqid: &str, results: Vec<ApiResult>) -> AgentResponse {
    AgentResponse::NodeDispatch {
        reqid: reqid.into(),
        results,
    }
}

fn restarted(reqid: &str, results: Vec<ApiResult>) -> AgentResponse {
    AgentResponse::Restart {
        reqid: reqid.into(),
        results,
    }
}

#[test]
fn answers_that_no_memory_could_hold_are_left_out_and_the_others_counted() {
    let mut rig = Rig::deployed(&["a", "b"]);
    rig.request(get_nodes("r"));
    assert_eq!(rig.lines(), ["a <- get_nodes #1", "b <- get_nodes #2"]);
    let huge = ApiResult::failed("r", "x".repeat(65 << 20));
    let result = huge.with_data(Vec::<NodeStatus>::new().into_data());
    let reqid = rig.id(1);
    rig.agent("a", AgentResponse::GetNodes { reqid, result });
    rig.agent("b", nodes(&rig.id(2), Some(vec![row()])));
    assert_eq!(
        rig.lines(),
        [
            "nodes r: failed @a (instance a answered too much: answer_bytes is 67108864 for all \
             answers to a request); ok @b = 1 items"
        ]
    );
}

#[test]
fn agents_are_told_of_their_own_nodes_only_if_many_are_named() {
    let many: Vec<String> = (0..65).map(|n| format!("n{n:02}")).collect();
    let mut config = config("c", &["a", "b"], &[]);
    config.nodes = many
        .iter()
        .map(|name| Node::new("a", name, ClusterRole::Worker))
        .collect();
    config
        .nodes
        .insert(Node::new("b", "w-b", ClusterRole::Worker));
    let mut rig = Rig::new();
    rig.join("a");
    rig.join("b");
    rig.stage(config);
    rig.request(deploy("d"));
    rig.agent("a", welcomed(&rig.last_id("welcome", "a")));
    rig.agent("b", welcomed(&rig.last_id("welcome", "b")));
    rig.lines();
    let mut named: Vec<&str> = many.iter().map(String::as_str).collect();
    named.push("w-b");
    rig.request(restart("r", &named));
    let orders = rig.lines();
    let told = |name: &str| orders.iter().find(|order| order.starts_with(name)).unwrap();
    assert!(told("a <- restart").contains("n00,n01") && !told("a <- restart").contains("w-b"));
    assert!(told("b <- restart").ends_with("[w-b]"), "{orders:?}");
}
