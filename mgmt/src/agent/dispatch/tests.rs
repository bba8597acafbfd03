use broker_proto::Data;
use supervisor::api::SupervisorResponse;

use super::super::Input;
use super::super::tests::*;
use super::*;
use crate::api::agent::AgentRequest;
use crate::api::node::NodeResponse;

#[test]
fn a_dispatch_to_all_asks_once_and_collects_in_the_order_of_arrival() {
    let mut rig = Rig::deployed();
    let id = rig.id();
    let asked = rig.ask(dispatch("3kkK9BxC6A", ["get_id_value", "bits_per_uid"], []));
    assert_eq!(asked, [to_nodes(&id, ["get_id_value", "bits_per_uid"], [])]);
    let order = ["logger-01", "manager", "worker-01", "proxy-01", "worker-02"];
    let (last, first) = order.split_last().unwrap();
    for node in first {
        assert_eq!(says(&mut rig, &id, node, "96"), []);
    }
    let results = order.map(|node| value(&id, node, "96"));
    assert_eq!(
        says(&mut rig, &id, last, "96"),
        [dispatched("3kkK9BxC6A", results)]
    );
    assert_eq!(rig.agent.poll_timeout(), None);
}

#[test]
fn a_dispatch_to_some_passes_their_names_on_as_received() {
    let mut rig = Rig::deployed();
    let id = rig.id();
    let wanted = ["manager", "elsewhere"];
    let asked = rig.ask(dispatch("x38IhQZaX52", ["get_id_value", "a"], wanted));
    assert_eq!(asked, [to_nodes(&id, ["get_id_value", "a"], wanted)]);
    assert_eq!(says(&mut rig, &id, "worker-01", "not asked"), []);
    assert_eq!(
        says(&mut rig, &id, "manager", "1"),
        [dispatched("x38IhQZaX52", [value(&id, "manager", "1")])]
    );
    assert_eq!(says(&mut rig, &id, "manager", "1"), []);
}

#[test]
fn a_failure_that_a_node_reports_is_passed_on() {
    let mut rig = Rig::deployed();
    let id = rig.id();
    rig.ask(dispatch("JgkvhNXIeOg", ["get_id_value", "no"], ["manager"]));
    let result = ApiResult::failed(&id, "unknown id").on_node("manager");
    let answer = rig.feed(dispatch_response(&id, result));
    let want = on("manager", failed(&id, "unknown id"));
    assert_eq!(answer, [dispatched("JgkvhNXIeOg", [want])]);
}

#[test]
fn a_dispatch_to_nobody_here_is_answered_with_nothing() {
    let mut rig = Rig::deployed();
    let elsewhere = rig.ask(dispatch("d1", ["get_id_value", "a"], ["elsewhere"]));
    assert_eq!(elsewhere, [dispatched("d1", [])]);
    let mut rig = Rig::new();
    let none = rig.ask(dispatch("d2", ["get_id_value", "a"], []));
    assert_eq!(none, [dispatched("d2", [])]);
}

#[test]
fn nodes_that_do_not_run_are_not_asked() {
    let mut rig = Rig::deployed();
    rig.started("proxy-01");
    let not_running = |reqid| {
        let why = "cluster node proxy-01 not in running state";
        on("proxy-01", failed(reqid, why))
    };
    let one = rig.ask(dispatch("d1", ["get_id_value", "a"], ["proxy-01"]));
    assert_eq!(one, [dispatched("d1", [not_running("d1")])]);
    let id = rig.id();
    rig.ask(dispatch(
        "d2",
        ["get_id_value", "a"],
        ["proxy-01", "manager"],
    ));
    let results = [not_running("d2"), value(&id, "manager", "1")];
    assert_eq!(
        says(&mut rig, &id, "manager", "1"),
        [dispatched("d2", results)]
    );
}

#[test]
fn a_silent_node_is_named_beside_the_answers_of_the_others() {
    let mut rig = Rig::deployed();
    let id = rig.id();
    let wanted = ["manager", "proxy-01"];
    rig.ask(dispatch("d1", ["get_id_value", "a"], wanted));
    says(&mut rig, &id, "manager", "1");
    assert_eq!(rig.agent.poll_timeout(), Some(rig.now + secs(5)));
    let silent = on("proxy-01", failed("d1", "request timed out"));
    let results = [value(&id, "manager", "1"), silent];
    assert_eq!(rig.pass(secs(5)), [dispatched("d1", results)]);
    assert_eq!(says(&mut rig, &id, "proxy-01", "1"), []);
}

#[test]
fn a_restart_asks_for_each_node_and_answers_in_the_order_of_arrival() {
    let mut rig = Rig::deployed();
    let asked = rig.ask(restart("79hHQyk99eg", []));
    let ids: Vec<_> = asked.iter().map(order_id).collect();
    let orders = ids.iter().zip(NAMES).map(|(id, node)| {
        ask(SupervisorRequest::Restart {
            reqid: id.clone(),
            node: node.into(),
        })
    });
    assert_eq!(asked, Vec::from_iter(orders));
    for i in [3, 1, 0, 2] {
        assert_eq!(restarted(&mut rig, &ids[i], true), []);
    }
    let order = ["worker-01", "manager", "logger-01", "proxy-01", "worker-02"];
    let results = order.map(|node| on(node, ok("79hHQyk99eg")));
    let answer = restarted(&mut rig, &ids[4], true);
    assert_eq!(answer, [restart_response("79hHQyk99eg", results)]);
    assert_eq!(rig.agent.poll_timeout(), None);
}

#[test]
fn a_restarted_node_is_pending_until_it_says_hello() {
    let mut rig = Rig::deployed();
    let asked = rig.ask(restart("o5MbHSoXdxi", ["worker-01"]));
    let id = order_id(&asked[0]);
    let results = [on("worker-01", ok("o5MbHSoXdxi"))];
    assert_eq!(
        restarted(&mut rig, &id, true),
        [restart_response("o5MbHSoXdxi", results)]
    );
    rig.started("worker-01");
    let why = "cluster node worker-01 not in running state";
    let refused = rig.ask(dispatch("d1", ["get_id_value", "a"], ["worker-01"]));
    let want = dispatched("d1", [on("worker-01", failed("d1", why))]);
    assert_eq!(refused, [want]);
    rig.node_hello("worker-01", peer(60));
    let id = rig.id();
    let asked = rig.ask(dispatch("d2", ["get_id_value", "a"], ["worker-01"]));
    let want = to_nodes(&id, ["get_id_value", "a"], ["worker-01"]);
    assert_eq!(asked, [want]);
}

#[test]
fn a_restart_that_the_supervisor_refuses_is_reported_twice() {
    let mut rig = Rig::deployed();
    let asked = rig.ask(restart("r1", ["manager"]));
    let result = on("manager", failed("r1", "could not restart node manager"));
    assert_eq!(
        restarted(&mut rig, &order_id(&asked[0]), false),
        [
            error("manager", "failed to restart node manager"),
            restart_response("r1", [result]),
        ]
    );
}

#[test]
fn a_restart_of_nobody_here_is_answered_with_nothing() {
    let mut rig = Rig::new();
    assert_eq!(rig.ask(restart("r1", [])), [restart_response("r1", [])]);
    let mut rig = Rig::deployed();
    let elsewhere = rig.ask(restart("r2", ["elsewhere"]));
    assert_eq!(elsewhere, [restart_response("r2", [])]);
}

#[test]
fn a_restart_that_times_out_says_what_came_before() {
    let mut rig = Rig::deployed();
    let asked = rig.ask(restart("r1", ["manager", "proxy-01"]));
    restarted(&mut rig, &order_id(&asked[0]), true);
    let results = [on("manager", ok("r1")), failed("r1", "request timed out")];
    assert_eq!(rig.pass(secs(5)), [restart_response("r1", results)]);
    assert_eq!(restarted(&mut rig, &order_id(&asked[1]), true), []);
    assert_eq!(rig.agent.poll_timeout(), None);
}

#[test]
fn without_supervisor_a_restart_fails_at_once_and_the_nodes_stay_as_they_are() {
    let mut rig = Rig::deployed();
    rig.peer_down(SUPERVISOR);
    let why = "agent has no connection to its supervisor";
    assert_eq!(
        rig.ask(restart("r1", [])),
        [restart_response("r1", [failed("r1", why)])]
    );
    assert!(rig.agent.nodes.all_running());
}

#[test]
fn queries_beyond_the_limit_are_refused() {
    let mut rig = Rig::deployed();
    for i in 0..super::super::MAX_OPEN {
        rig.ask(dispatch(&format!("d{i}"), ["get_id_value", "a"], []));
    }
    let why = "agent has too many open requests";
    let refused = rig.ask(dispatch("one more", ["get_id_value", "a"], []));
    let want = dispatched("one more", [failed("one more", why)]);
    assert_eq!(refused, [want]);
    let refused = rig.ask(restart("one more", []));
    let want = restart_response("one more", [failed("one more", why)]);
    assert_eq!(refused, [want]);
}

fn dispatch<const N: usize>(reqid: &str, action: [&str; 2], nodes: [&str; N]) -> AgentRequest {
    AgentRequest::NodeDispatch {
        reqid: reqid.into(),
        action: action.map(String::from).into(),
        nodes: names(nodes),
    }
}

fn to_nodes<const N: usize>(reqid: &str, action: [&str; 2], nodes: [&str; N]) -> Output {
    Output::ToNodes {
        request: NodeRequest::Dispatch {
            reqid: reqid.into(),
            action: action.map(String::from).into(),
            nodes: names(nodes),
        },
    }
}

/// A node answers with a value.
fn says(rig: &mut Rig, id: &str, node: &str, text: &str) -> Vec<Output> {
    let result = ApiResult::ok(id).with_data(Data::string(text));
    rig.feed(dispatch_response(id, result.on_node(node)))
}

fn dispatch_response(id: &str, result: ApiResult) -> Input {
    let reqid = id.to_owned();
    Input::Node {
        from: peer(10),
        message: NodeResponse::Dispatch { reqid, result },
    }
}

fn value(id: &str, node: &str, text: &str) -> ApiResult {
    on(node, ok(id)).with_data(Data::string(text))
}

fn dispatched<const N: usize>(reqid: &str, results: [ApiResult; N]) -> Output {
    respond(AgentResponse::NodeDispatch {
        reqid: reqid.into(),
        results: results.into(),
    })
}

fn restart<const N: usize>(reqid: &str, nodes: [&str; N]) -> AgentRequest {
    AgentRequest::Restart {
        reqid: reqid.into(),
        nodes: names(nodes),
    }
}

fn restarted(rig: &mut Rig, id: &str, result: bool) -> Vec<Output> {
    let reqid = id.to_owned();
    rig.supervisor(SupervisorResponse::Restart { reqid, result })
}

fn restart_response<const N: usize>(reqid: &str, results: [ApiResult; N]) -> Output {
    respond(AgentResponse::Restart {
        reqid: reqid.into(),
        results: results.into(),
    })
}
