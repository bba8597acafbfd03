use supervisor::api::{NodeEnd, SupervisorResponse};

use super::super::Output;
use super::super::dispatch::tests::{dispatch, dispatched, to_nodes};
use super::super::tests::*;
use super::*;
use crate::api::agent::AgentRequest;
use crate::model::State;

/// API §12.2 D39: stock says yes as soon as the supervisor has taken the order.
#[test]
fn a_restart_asks_for_each_node_and_answers_when_all_said_hello() {
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
    for id in &ids {
        assert_eq!(restarted(&mut rig, id, true), []);
    }
    let order = ["worker-01", "manager", "logger-01", "proxy-01", "worker-02"];
    for name in order {
        rig.started(name);
    }
    for (i, name) in (20..).zip(&order[..4]) {
        assert_eq!(rig.node_hello(name, peer(i)), []);
    }
    let results = order.map(|node| on(node, ok("79hHQyk99eg")));
    let answer = rig.node_hello("worker-02", peer(24));
    assert_eq!(answer, [restart_response("79hHQyk99eg", results)]);
    assert_eq!(rig.pass(secs(9)), []);
    assert_eq!(rig.agent.poll_timeout(), None);
}

#[test]
fn a_restarted_node_is_pending_until_it_says_hello() {
    let mut rig = Rig::deployed();
    let asked = rig.ask(restart("o5MbHSoXdxi", ["worker-01"]));
    assert_eq!(restarted(&mut rig, &order_id(&asked[0]), true), []);
    assert_eq!(rig.node_hello("worker-01", peer(13)), [], "the old one");
    assert_eq!(rig.state("worker-01"), State::Pending);
    rig.started("worker-01");
    let why = "cluster node worker-01 not in running state";
    let refused = rig.ask(dispatch("d1", ["get_id_value", "a"], ["worker-01"]));
    let want = dispatched("d1", [on("worker-01", failed("d1", why))]);
    assert_eq!(refused, [want]);
    let results = [on("worker-01", ok("o5MbHSoXdxi"))];
    assert_eq!(
        rig.node_hello("worker-01", peer(60)),
        [restart_response("o5MbHSoXdxi", results)]
    );
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
    assert_eq!(rig.state("manager"), State::Stopped);
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
fn nodes_that_end_or_come_up_too_slowly_fail_each_in_its_own_words() {
    let mut rig = Rig::deployed();
    let t0 = rig.now;
    let nodes = ["manager", "proxy-01", "worker-01", "worker-02"];
    let asked = rig.ask(restart("r1", nodes));
    taken(&mut rig, &asked);
    rig.started("manager");
    rig.node_hello("manager", peer(20));
    rig.started("proxy-01");
    rig.started("worker-01");
    let reason = "died with status 1 after 0.250 s";
    let died = format!("cluster node worker-01 {reason}");
    assert_eq!(rig.died("worker-01", "", 1), [error("worker-01", &died)]);
    assert_eq!(rig.agent.poll_timeout(), Some(t0 + millis(8500)));
    assert_eq!(rig.pass(secs(5)), []);
    let failure =
        |node: &str, why: &str| on(node, failed("r1", &format!("cluster node {node} {why}")));
    let results = [
        on("manager", ok("r1")),
        failure("proxy-01", "did not report in time"),
        failure("worker-01", reason),
        failure("worker-02", "was not started in time"),
    ];
    assert_eq!(rig.pass(millis(3500)), [restart_response("r1", results)]);
    assert_eq!(rig.pass(secs(5)), []);
}

#[test]
fn a_node_that_dies_again_and_again_is_not_waited_for() {
    let mut rig = Rig::deployed();
    let asked = rig.ask(restart("r1", ["manager"]));
    taken(&mut rig, &asked);
    for _ in 0..2 {
        rig.started("manager");
        assert_eq!(rig.died("manager", "", 1).len(), 1);
    }
    rig.started("manager");
    let why = "cluster node manager died with status 1 after 0.250 s, 3 times by now";
    let result = on("manager", failed("r1", why));
    assert_eq!(
        rig.died("manager", "", 1),
        [error("manager", why), restart_response("r1", [result])]
    );
}

#[test]
fn a_node_that_is_given_up_before_it_starts_again_is_failed_at_once() {
    let mut rig = Rig::deployed();
    let asked = rig.ask(restart("r1", ["manager"]));
    assert_eq!(restarted(&mut rig, &order_id(&asked[0]), true), []);
    let end = NodeEnd {
        status: Some(1),
        run_time: secs(2),
        is_given_up: true,
        ..NodeEnd::default()
    };
    let why = "died with status 1 after 2.000 s; its supervisor has given up";
    let why = format!("cluster node manager {why}");
    let result = on("manager", failed("r1", &why));
    assert_eq!(
        rig.exit("manager", "", Some(end)),
        [error("manager", &why), restart_response("r1", [result])]
    );
    assert_eq!(rig.state("manager"), State::Failed);
}

#[test]
fn a_deployment_ends_open_restarts() {
    let mut rig = Rig::deployed();
    rig.ask(restart("r1", ["manager"]));
    let outputs = rig.ask(deploy_request("r2", config("c2", vec![])));
    let why = "superseded by a later deployment";
    let results = [on("manager", failed("r1", why))];
    assert_eq!(outputs[0], restart_response("r1", results));
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
fn restarts_beyond_the_limit_are_refused() {
    let mut rig = Rig::deployed();
    for i in 0..super::super::MAX_OPEN {
        rig.ask(dispatch(&format!("d{i}"), ["get_id_value", "a"], []));
    }
    let why = "agent has too many open requests";
    let refused = rig.ask(restart("one more", []));
    let want = restart_response("one more", [failed("one more", why)]);
    assert_eq!(refused, [want]);
}

/// The news of a start is told once, perhaps while nobody hears it.
#[test]
fn a_node_that_starts_again_while_the_supervisor_is_away_is_not_pending_for_good() {
    for is_hello_first in [true, false] {
        let mut rig = Rig::deployed();
        rig.ask(restart("r1", ["worker-01"]));
        rig.peer_down(peer(13));
        rig.peer_down(SUPERVISOR);
        if is_hello_first {
            assert_eq!(rig.node_hello("worker-01", peer(60)), []);
        }
        let asked = rig.peer_up(SUPERVISOR, Some(9999));
        let reqid = order_id(&asked[0]);
        let mut result = status(NAMES);
        result.nodes.get_mut("worker-01").unwrap().pid = Some(85);
        let mut said = rig.supervisor(SupervisorResponse::Status { reqid, result });
        if !is_hello_first {
            assert_eq!(said, []);
            said = rig.node_hello("worker-01", peer(60));
        }
        let results = [on("worker-01", ok("r1"))];
        assert_eq!(said, [restart_response("r1", results)]);
        assert!(rig.agent.nodes.all_running());
    }
}

#[test]
fn a_supervisor_that_returns_with_the_process_that_is_to_end_has_not_restarted_it() {
    let mut rig = Rig::deployed();
    rig.started("worker-01");
    rig.ask(restart("r1", ["worker-01"]));
    rig.peer_down(SUPERVISOR);
    assert_eq!(rig.node_hello("worker-01", peer(60)), [], "the old one's");
    let asked = rig.peer_up(SUPERVISOR, Some(9999));
    let (reqid, result) = (order_id(&asked[0]), status(NAMES));
    let said = rig.supervisor(SupervisorResponse::Status { reqid, result });
    assert_eq!(said, []);
    assert_eq!(rig.state("worker-01"), State::Pending);
}

fn restart<const N: usize>(reqid: &str, nodes: [&str; N]) -> AgentRequest {
    AgentRequest::Restart {
        reqid: reqid.into(),
        nodes: names(nodes),
    }
}

/// Answers come in the order of what the supervisor does.
#[test]
fn a_start_that_is_told_before_the_order_is_taken_is_of_the_life_that_it_ends() {
    let mut rig = Rig::deployed();
    rig.died("manager", "", 1);
    let asked = rig.ask(restart("r1", ["manager"]));
    rig.started("manager");
    taken(&mut rig, &asked);
    assert_eq!(rig.node_hello("manager", peer(20)), [], "on its way out");
    rig.peer_down(peer(20));
    rig.started("manager");
    assert_eq!(rig.state("manager"), State::Pending);
    assert_eq!(rig.pass(millis(8499)), []);
    let why = "cluster node manager did not report in time";
    let result = on("manager", failed("r1", why));
    assert_eq!(rig.pass(millis(1)), [restart_response("r1", [result])]);
}

#[test]
fn a_start_after_an_order_that_is_never_answered_comes_of_it() {
    let mut rig = Rig::deployed();
    rig.ask(restart("r1", ["manager"]));
    assert_eq!(rig.pass(secs(5)), []);
    rig.started("manager");
    let results = [on("manager", ok("r1"))];
    let up = [restart_response("r1", results)];
    assert_eq!(rig.node_hello("manager", peer(20)), up);
}

/// The supervisor takes all these orders.
fn taken(rig: &mut Rig, asked: &[Output]) {
    for order in asked {
        assert_eq!(restarted(rig, &order_id(order), true), []);
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
