//! API §12.2 D43.

use super::*;
use crate::agent::tests::{
    CONTROLLER, NAMES, Rig, SUPERVISOR, ask_status, config, deploy_request, hello, names, node, ok,
    on, order_id, peer, recorded, respond, secs, settings, status,
};
use crate::api::agent::{AgentRequest, AgentResponse};
use crate::model::ClusterRole;
use supervisor::api::SupervisorResponse;

#[test]
fn a_returning_agent_offers_itself_when_its_nodes_have_said_hello_and_leaves_them_alone() {
    let mut rig = returning();
    let reqid = ask_for_status(&mut rig);
    assert_eq!(rig.peer_up(CONTROLLER, Some(2150)), []);
    assert_eq!(rig.pass(secs(1)), []);
    assert_eq!(tell(&mut rig, reqid), []);
    for (i, name) in (10..).zip(NAMES) {
        let last = name == "worker-02";
        let expected = if last { vec![hello(true)] } else { vec![] };
        assert_eq!(rig.node_hello(name, peer(i)), expected, "{name}");
    }
    assert_eq!(rig.agent.poll_timeout(), None);
    // API §5.3 A6.
    let answer = AgentResponse::Deploy {
        reqid: "r1".into(),
        results: vec![ok("r1")],
    };
    let outputs = rig.ask(deploy_request("r1", recorded()));
    assert_eq!(outputs, [respond(answer)]);
}

#[test]
fn hellos_that_come_before_the_supervisors_answer_count() {
    let mut rig = returning();
    for (i, name) in (10..).zip(NAMES) {
        assert_eq!(rig.node_hello(name, peer(i)), []);
    }
    let reqid = ask_for_status(&mut rig);
    assert_eq!(tell(&mut rig, reqid), [hello(true)]);
}

#[test]
fn a_node_that_is_revived_after_the_return_is_pending_until_it_says_hello() {
    let mut rig = returned();
    rig.started("manager");
    assert!(!rig.agent.nodes.all_running());
    rig.node_hello("manager", peer(99));
    assert!(rig.agent.nodes.all_running());
}

#[test]
fn a_node_that_is_gone_is_stopped_and_the_next_deployment_mends_it() {
    let mut rig = returning();
    let reqid = ask_for_status(&mut rig);
    let [.., last] = NAMES;
    let mut result = running(&rig);
    result.nodes.remove(last);
    let told = rig.supervisor(SupervisorResponse::Status { reqid, result });
    assert_eq!(told, []);
    let [logger, others @ .., _] = NAMES;
    for (i, name) in (10..).zip(others) {
        assert_eq!(rig.node_hello(name, peer(i)), []);
    }
    assert_eq!(rig.node_hello(logger, peer(20)), [hello(true)]);
    assert_eq!(rig.state(last), State::Stopped);
    let outputs = rig.ask(deploy_request("r1", recorded()));
    assert_eq!(outputs[0], forget());
}

#[test]
fn a_node_of_another_configuration_is_none_of_the_former_life() {
    let mut rig = returning();
    let reqid = ask_for_status(&mut rig);
    let mut result = running(&rig);
    let [name, ..] = NAMES;
    let node = &mut result.nodes.get_mut(name).unwrap().node;
    node.env.insert("NEW".to_owned(), "1".to_owned());
    rig.supervisor(SupervisorResponse::Status { reqid, result });
    assert_eq!(rig.state(name), State::Stopped);
}

#[test]
fn with_all_nodes_gone_nothing_is_adopted() {
    let mut rig = returning();
    let reqid = ask_for_status(&mut rig);
    let result = status([]);
    let told = rig.supervisor(SupervisorResponse::Status { reqid, result });
    assert_eq!(told, [hello(true), forget()]);
    assert!(rig.agent.nodes.names().is_empty());
}

#[test]
fn a_node_that_dies_meanwhile_is_not_waited_for() {
    let mut rig = returning();
    let reqid = ask_for_status(&mut rig);
    tell(&mut rig, reqid);
    let [first, others @ ..] = NAMES;
    for (i, name) in (10..).zip(others) {
        assert_eq!(rig.node_hello(name, peer(i)), []);
    }
    assert!(rig.died(first, "", 1).contains(&hello(true)));
}

#[test]
fn a_node_that_stays_silent_holds_the_agent_up_for_one_request_timeout() {
    let mut rig = returning();
    let reqid = ask_for_status(&mut rig);
    tell(&mut rig, reqid);
    for (i, name) in (10..).zip(&NAMES[1..]) {
        assert_eq!(rig.node_hello(name, peer(i)), []);
    }
    assert_eq!(rig.pass(secs(4)), []);
    assert_eq!(rig.pass(secs(1)), [hello(true)]);
    // The controller deploys what it has, and so everything is mended (API §12.1 D08).
    let outputs = rig.ask(deploy_request("r1", recorded()));
    assert_eq!(outputs[0], forget());
}

#[test]
fn a_supervisor_that_does_not_answer_leaves_nothing_to_adopt() {
    let mut rig = returning();
    ask_for_status(&mut rig);
    assert_eq!(rig.pass(secs(5)), [hello(true), forget()]);
}

#[test]
fn a_supervisor_that_was_lost_is_asked_again() {
    let mut rig = returning();
    let reqid = ask_for_status(&mut rig);
    rig.peer_down(SUPERVISOR);
    let outputs = rig.peer_up(SUPERVISOR, Some(9999));
    assert_eq!(outputs, [ask_status(reqid.clone())]);
    for (i, name) in (10..).zip(NAMES) {
        rig.node_hello(name, peer(i));
    }
    assert_eq!(tell(&mut rig, reqid), [hello(true)]);
}

#[test]
fn a_standby_ends_the_return() {
    let mut rig = returning();
    ask_for_status(&mut rig);
    let reqid = "s1".to_owned();
    let outputs = rig.ask(AgentRequest::Standby { reqid });
    assert_eq!(outputs[..2], [hello(true), forget()]);
    assert_eq!(rig.node_hello("manager", peer(10)), []);
}

#[test]
fn an_answer_after_the_return_was_given_up_brings_nothing_back() {
    let mut rig = returning();
    let asked = ask_for_status(&mut rig);
    let result = running(&rig);
    let reqid = "s1".to_owned();
    rig.ask(AgentRequest::Standby { reqid });
    let reqid = asked;
    let told = rig.supervisor(SupervisorResponse::Status { reqid, result });
    assert_eq!(told, []);
    assert_eq!(rig.node_hello("manager", peer(10)), []);
}

#[test]
fn a_former_life_without_nodes_is_over_when_the_supervisor_has_answered() {
    let mut rig = Rig::unpeered(settings());
    let former = config("c1", vec![]);
    rig.agent = rig.agent.with_memory(Some(former));
    rig.drain();
    let reqid = ask_for_status(&mut rig);
    assert_eq!(tell_of(&mut rig, reqid, status([])), [hello(true)]);
}

#[test]
fn a_former_node_that_would_be_refused_is_not_waited_for() {
    let mut rig = Rig::unpeered(settings());
    let mut former = config("c1", vec![node("w", ClusterRole::Worker, None)]);
    former
        .nodes
        .insert(node("bad/name", ClusterRole::Worker, None));
    rig.agent = rig.agent.with_memory(Some(former));
    rig.drain();
    let reqid = ask_for_status(&mut rig);
    let mut result = status(["w"]);
    let kept = rig.agent.nodes.get("w").unwrap().config();
    let order = plan::order(&settings(), kept, rig.agent.nodes.cluster());
    result.nodes.get_mut("w").unwrap().node = order;
    assert_eq!(tell_of(&mut rig, reqid, result), []);
    assert_eq!(rig.node_hello("w", peer(10)), [hello(true)]);
}

#[test]
fn an_agent_with_a_memory_has_kept_what_it_orders_and_nothing_while_it_ends_nodes() {
    let mut rig = Rig::unpeered(settings());
    rig.agent = rig.agent.with_memory(None);
    rig.drain();
    assert_eq!(rig.peer_up(SUPERVISOR, Some(9999)), [hello(true)]);
    let (asked, ordered) = rig.deploy("r1", recorded(), status(["old"]));
    assert_eq!(asked[0], forget());
    assert!(matches!(asked[1], Output::ToSupervisor { .. }));
    let config = Some(recorded());
    assert_eq!(ordered[0], Output::Keep { config });
    let reqid = "s1".to_owned();
    let outputs = rig.ask(AgentRequest::Standby { reqid });
    assert!(outputs.contains(&forget()), "{outputs:?}");
}

/// The agent had it ended in its former life, and its supervisor lists but its successor, which
/// waits for that.
#[test]
fn a_hello_of_a_process_that_should_be_gone_is_not_that_of_its_successor() {
    for is_early in [true, false] {
        let mut rig = returning();
        let [waiting, others @ ..] = NAMES;
        if is_early {
            rig.node_hello(waiting, peer(50));
        }
        let reqid = ask_for_status(&mut rig);
        let mut result = running(&rig);
        result.nodes.get_mut(waiting).unwrap().pid = None;
        let again = rig.id();
        let mut asked = tell_of(&mut rig, reqid, result.clone());
        assert_eq!(asked.is_empty(), !is_early);
        for (i, name) in (10..).zip(others) {
            assert_eq!(rig.node_hello(name, peer(i)), [], "{is_early}");
        }
        if !is_early {
            asked = rig.node_hello(waiting, peer(50));
        }
        assert_eq!(asked, [ask_if_started(&again, waiting)], "{is_early}");
        assert_eq!(tell_of(&mut rig, again, result), []);
        assert_eq!(rig.state(waiting), State::Pending);
        rig.peer_down(peer(50));
        rig.started(waiting);
        assert_eq!(rig.node_hello(waiting, peer(51)), [hello(true)]);
        assert_eq!(rig.state(waiting), State::Running);
    }
}

#[test]
fn a_former_node_whose_start_overtook_the_supervisors_answer_is_adopted() {
    let mut rig = returning();
    let [waiting, others @ ..] = NAMES;
    let reqid = ask_for_status(&mut rig);
    let mut result = running(&rig);
    result.nodes.get_mut(waiting).unwrap().pid = None;
    assert_eq!(tell_of(&mut rig, reqid, result), []);
    for (i, name) in (10..).zip(others) {
        assert_eq!(rig.node_hello(name, peer(i)), []);
    }
    let reqid = rig.id();
    let asked = ask_if_started(&reqid, waiting);
    assert_eq!(rig.node_hello(waiting, peer(50)), [asked]);
    assert_eq!(tell_of(&mut rig, reqid, status([waiting])), [hello(true)]);
    assert_eq!(rig.state(waiting), State::Running);
}

/// The supervisor has answered before it started the node, and told of that before it answered.
#[test]
fn a_former_node_whose_start_was_told_before_the_answer_needs_no_question() {
    let mut rig = returning();
    let [waiting, others @ ..] = NAMES;
    let reqid = ask_for_status(&mut rig);
    rig.started(waiting);
    let mut result = running(&rig);
    result.nodes.get_mut(waiting).unwrap().pid = None;
    assert_eq!(tell_of(&mut rig, reqid, result), []);
    for (i, name) in (10..).zip(others) {
        assert_eq!(rig.node_hello(name, peer(i)), []);
    }
    assert_eq!(rig.node_hello(waiting, peer(50)), [hello(true)]);
    assert_eq!(rig.state(waiting), State::Running);
}

/// Its process is not known by number, so that only its successor's hello tells of a start that the
/// agent has not heard of.
#[test]
fn a_former_node_that_is_restarted_while_nobody_hears_its_supervisor_is_up_once_it_says_hello() {
    for says_hello in [true, false] {
        let mut rig = returned();
        let [restarted, ..] = NAMES;
        let (reqid, nodes) = ("r1".to_owned(), names([restarted]));
        rig.ask(AgentRequest::Restart { reqid, nodes });
        rig.peer_down(SUPERVISOR);
        rig.peer_down(peer(10));
        if says_hello {
            assert_eq!(rig.node_hello(restarted, peer(50)), []);
        }
        let asked = rig.peer_up(SUPERVISOR, Some(9999));
        let outputs = tell(&mut rig, order_id(&asked[0]));
        let up = AgentResponse::Restart {
            reqid: "r1".into(),
            results: vec![on(restarted, ok("r1"))],
        };
        let want: Vec<Output> = says_hello.then(|| respond(up)).into_iter().collect();
        assert_eq!(outputs, want);
        let want = if says_hello {
            State::Running
        } else {
            State::Pending
        };
        assert_eq!(rig.state(restarted), want);
    }
}

/// One that was restarted while [`recorded`] ran.
fn returning() -> Rig {
    let mut rig = Rig::unpeered(settings());
    rig.agent = rig.agent.with_memory(Some(recorded()));
    rig.drain();
    rig
}

/// One that goes on with it.
fn returned() -> Rig {
    let mut rig = returning();
    let reqid = ask_for_status(&mut rig);
    tell(&mut rig, reqid);
    for (i, name) in (10..).zip(NAMES) {
        rig.node_hello(name, peer(i));
    }
    rig
}

/// The supervisor comes and is asked; the id of that.
fn ask_for_status(rig: &mut Rig) -> String {
    let asked = rig.peer_up(SUPERVISOR, Some(9999));
    assert_eq!(asked.len(), 1, "{asked:?}");
    let reqid = order_id(&asked[0]);
    assert_eq!(asked, [ask_status(reqid.clone())]);
    reqid
}

/// The supervisor tells that everything runs as it was ordered.
fn tell(rig: &mut Rig, reqid: String) -> Vec<Output> {
    let result = running(rig);
    tell_of(rig, reqid, result)
}

fn tell_of(rig: &mut Rig, reqid: String, result: Status) -> Vec<Output> {
    rig.supervisor(SupervisorResponse::Status { reqid, result })
}

fn running(rig: &Rig) -> Status {
    let mut status = status(NAMES);
    for name in NAMES {
        let node = rig.agent.nodes.get(name).unwrap().config();
        let order = plan::order(&settings(), node, rig.agent.nodes.cluster());
        status.nodes.get_mut(name).unwrap().node = order;
    }
    status
}

fn ask_if_started(reqid: &str, node: &str) -> Output {
    let (reqid, node) = (reqid.to_owned(), node.to_owned());
    let request = SupervisorRequest::Status { reqid, node };
    Output::ToSupervisor { request }
}

fn forget() -> Output {
    Output::Keep { config: None }
}
