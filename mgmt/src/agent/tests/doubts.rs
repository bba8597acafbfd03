//! Hellos of which it is not known whose they are, and what the supervisor says of that (API §12.2
//! D36).

use super::*;

#[test]
fn an_answer_about_a_former_deployments_node_is_none_about_its_successor() {
    for answers in [true, false] {
        let mut rig = Rig::new();
        let reqid = doubted(&mut rig);
        rig.pass(secs(3));
        rig.deploy("r2", one_node("c2"), status(["w1"]));
        rig.created("w1");
        if answers {
            assert_eq!(answer(&mut rig, reqid, status(["w1"])), []);
        } else {
            assert_eq!(rig.pass(secs(2)), []);
        }
        assert_eq!(rig.state("w1"), State::Pending);
    }
}

#[test]
fn an_answer_that_comes_after_the_news_of_the_start_changes_nothing() {
    let mut rig = Rig::new();
    let reqid = doubted(&mut rig);
    assert_eq!(rig.started_again("w1"), [up("r1")]);
    let mut result = status(["w1"]);
    result.nodes.get_mut("w1").unwrap().pid = Some(85);
    assert_eq!(answer(&mut rig, reqid, result), []);
    assert_eq!(rig.state("w1"), State::Running);
}

#[test]
fn without_a_supervisor_to_ask_a_hello_counts() {
    let mut rig = Rig::new();
    rig.deploy("r1", one_node("c1"), status([]));
    rig.created("w1");
    rig.peer_down(SUPERVISOR);
    assert_eq!(rig.node_hello("w1", peer(50)), [up("r1")]);
    assert_eq!(rig.state("w1"), State::Running);
}

#[test]
fn with_too_many_questions_open_a_hello_counts() {
    let mut rig = Rig::new();
    rig.deploy("r1", one_node("c1"), status([]));
    rig.created("w1");
    for i in 0..MAX_OPEN {
        let reqid = format!("g{i}");
        rig.ask(AgentRequest::GetNodes { reqid });
    }
    assert_eq!(rig.node_hello("w1", peer(50)), [up("r1")]);
}

/// The life that it is of ends.
#[test]
fn nobody_is_asked_about_a_hello_of_a_node_that_is_restarted() {
    let mut rig = Rig::new();
    rig.deploy("r1", one_node("c1"), status([]));
    rig.created("w1");
    restart(&mut rig);
    assert_eq!(rig.node_hello("w1", peer(50)), []);
    assert_eq!(rig.state("w1"), State::Pending);
}

#[test]
fn a_hello_before_a_restart_does_not_count_when_the_supervisor_never_answers_the_first_order() {
    let mut rig = Rig::new();
    rig.deploy("r1", one_node("c1"), status([]));
    rig.pass(secs(1));
    restart(&mut rig);
    assert_eq!(rig.node_hello("w1", peer(50)), []);
    rig.pass(secs(4));
    assert_eq!(rig.state("w1"), State::Pending);
}

/// The supervisor was lost before it read the orders to end the one and to create the other.
#[test]
fn a_returning_supervisor_that_lists_the_former_process_has_not_started_its_successor() {
    for (pid, is_next) in [(None, false), (Some(85), true)] {
        let mut rig = Rig::new();
        let former = status(["w1"]);
        rig.deploy("r1", one_node("c1"), former.clone());
        rig.peer_down(SUPERVISOR);
        assert_eq!(rig.node_hello("w1", peer(50)), []);
        let asked = rig.peer_up(SUPERVISOR, Some(9999));
        let mut result = former;
        if pid.is_some() {
            result.nodes.get_mut("w1").unwrap().pid = pid;
        }
        let outputs = answer(&mut rig, order_id(&asked[0]), result);
        let orders = if is_next { 0 } else { 2 };
        assert_eq!(outputs.len(), orders, "both again: {outputs:?}");
        // The former one's peering would have ended by then.
        let want: Vec<Output> = is_next.then(|| up("r1")).into_iter().collect();
        assert_eq!(rig.pass(millis(500)), want, "{pid:?}");
    }
}

/// One node of the first deployment is ordered, and has said hello before its start was told: the id
/// of the question about it.
fn doubted(rig: &mut Rig) -> String {
    rig.deploy("r1", one_node("c1"), status([]));
    rig.created("w1");
    let reqid = rig.id();
    let (id, node) = (reqid.clone(), "w1".to_owned());
    let request = SupervisorRequest::Status { reqid: id, node };
    let asked = Output::ToSupervisor { request };
    assert_eq!(rig.node_hello("w1", peer(50)), [asked]);
    reqid
}

fn answer(rig: &mut Rig, reqid: String, result: Status) -> Vec<Output> {
    rig.supervisor(SupervisorResponse::Status { reqid, result })
}

fn restart(rig: &mut Rig) {
    let (reqid, nodes) = ("r9".to_owned(), names(["w1"]));
    assert_eq!(rig.ask(AgentRequest::Restart { reqid, nodes }).len(), 1);
}

fn one_node(id: &str) -> Configuration {
    config(id, vec![node("w1", ClusterRole::Worker, None)])
}

fn up(reqid: &str) -> Output {
    respond(AgentResponse::Deploy {
        reqid: reqid.into(),
        results: vec![on("w1", ok(reqid))],
    })
}
