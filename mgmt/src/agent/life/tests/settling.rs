//! Hellos around the start of a node whose former process is still there until then: that one's
//! peering ends with it, which is told on another connection than the start.

use super::*;

/// Worlds 18827 and 24122.
#[test]
fn a_former_process_whose_end_is_told_behind_the_next_ones_start_is_not_that_one() {
    let mut rig = Rig::new();
    ordered(&mut rig);
    assert_eq!(rig.node_hello("w1", peer(50)), []);
    rig.started("w1");
    assert_eq!(rig.state("w1"), State::Pending);
    rig.peer_down(peer(50));
    assert_eq!(rig.pass(SETTLING), []);
    assert_eq!(rig.state("w1"), State::Pending);
    assert_eq!(rig.node_hello("w1", peer(51)), [up()]);
}

#[test]
fn once_the_end_of_the_former_process_is_told_hellos_count_at_once() {
    let mut rig = Rig::new();
    ordered(&mut rig);
    rig.node_hello("w1", peer(50));
    rig.started("w1");
    rig.peer_down(peer(50));
    assert_eq!(rig.node_hello("w1", peer(51)), [up()]);
}

#[test]
fn last_words_that_come_behind_the_start_do_not_count() {
    let mut rig = Rig::new();
    ordered(&mut rig);
    rig.started("w1");
    assert_eq!(rig.node_hello("w1", peer(50)), []);
    rig.peer_down(peer(50));
    assert_eq!(rig.pass(SETTLING), []);
    assert_eq!(rig.state("w1"), State::Pending);
}

#[test]
fn who_is_still_peered_a_while_after_the_start_is_the_node() {
    for is_early in [true, false] {
        let mut rig = Rig::new();
        ordered(&mut rig);
        if is_early {
            assert_eq!(rig.node_hello("w1", peer(50)), []);
        }
        rig.started("w1");
        if !is_early {
            assert_eq!(rig.node_hello("w1", peer(50)), []);
        }
        assert_eq!(rig.agent.poll_timeout(), Some(rig.now + SETTLING));
        assert_eq!(rig.pass(SETTLING), [up()]);
        assert_eq!(rig.state("w1"), State::Running);
    }
}

#[test]
fn of_a_former_process_that_has_said_hello_before_nothing_more_counts() {
    let mut rig = Rig::deployed();
    let nodes = vec![node("manager", ClusterRole::Manager, None)];
    rig.deploy("r1", config("c1", nodes), status(["manager"]));
    rig.node_hello("manager", peer(11));
    rig.started("manager");
    rig.node_hello("manager", peer(11));
    assert_eq!(rig.state("manager"), State::Pending);
    assert_eq!(rig.node_hello("manager", peer(50)).len(), 1);
    assert_eq!(rig.state("manager"), State::Running);
}

#[test]
fn a_process_that_says_its_first_hello_when_it_is_restarted_is_not_the_next() {
    let mut rig = Rig::new();
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r0", config("c1", nodes), status([]));
    rig.started("w1");
    let restart = AgentRequest::Restart {
        reqid: "r1".into(),
        nodes: names(["w1"]),
    };
    let [order] = &rig.ask(restart)[..] else {
        panic!("not one order");
    };
    let taken = SupervisorResponse::Restart {
        reqid: order_id(order),
        result: true,
    };
    rig.supervisor(taken);
    assert_eq!(rig.node_hello("w1", peer(50)), []);
    rig.started("w1");
    assert_eq!(rig.state("w1"), State::Pending);
    rig.peer_down(peer(50));
    rig.node_hello("w1", peer(51));
    assert_eq!(rig.state("w1"), State::Running);
}

#[test]
fn a_node_that_has_no_more_time_to_settle_may_be_a_former_process() {
    let mut rig = Rig::new();
    ordered(&mut rig);
    rig.pass(millis(8400));
    rig.started("w1");
    rig.node_hello("w1", peer(50));
    let why = "said hello, but that may have been a former process";
    assert_eq!(rig.pass(millis(100)), [failed_alone("w1", why)]);
}

/// A deployment whose one node waits for the end of a process that has not said hello.
fn ordered(rig: &mut Rig) {
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes), status(["w1"]));
    rig.created("w1");
}

fn up() -> Output {
    respond(AgentResponse::Deploy {
        reqid: "r1".into(),
        results: vec![on("w1", ok("r1"))],
    })
}
