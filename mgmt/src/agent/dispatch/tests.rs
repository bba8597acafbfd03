use broker_proto::Data;

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
fn queries_beyond_the_limit_are_refused() {
    let mut rig = Rig::deployed();
    for i in 0..super::super::MAX_OPEN {
        rig.ask(dispatch(&format!("d{i}"), ["get_id_value", "a"], []));
    }
    let why = "agent has too many open requests";
    let refused = rig.ask(dispatch("one more", ["get_id_value", "a"], []));
    let want = dispatched("one more", [failed("one more", why)]);
    assert_eq!(refused, [want]);
}

#[test]
fn a_node_that_goes_has_no_answer_for_what_it_was_asked() {
    let mut rig = Rig::deployed();
    let id = rig.id();
    rig.ask(dispatch(
        "d1",
        ["get_id_value", "a"],
        ["manager", "proxy-01"],
    ));
    says(&mut rig, &id, "manager", "1");
    let why = "cluster node proxy-01 left before it answered";
    let results = [
        value(&id, "manager", "1"),
        on("proxy-01", failed("d1", why)),
    ];
    let reason = "reset".to_owned();
    let gone = Input::PeerDown {
        id: peer(12),
        reason,
    };
    assert_eq!(rig.feed(gone), [dispatched("d1", results)]);
}

pub(in super::super) fn dispatch<const N: usize>(
    reqid: &str,
    action: [&str; 2],
    nodes: [&str; N],
) -> AgentRequest {
    AgentRequest::NodeDispatch {
        reqid: reqid.into(),
        action: action.map(String::from).into(),
        nodes: names(nodes),
    }
}

pub(in super::super) fn to_nodes<const N: usize>(
    reqid: &str,
    action: [&str; 2],
    nodes: [&str; N],
) -> Output {
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

pub(in super::super) fn dispatched<const N: usize>(reqid: &str, results: [ApiResult; N]) -> Output {
    respond(AgentResponse::NodeDispatch {
        reqid: reqid.into(),
        results: results.into(),
    })
}
