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
fn a_node_whose_first_link_breaks_says_hello_again() {
    for is_early in [true, false] {
        let mut rig = Rig::new();
        ordered(&mut rig);
        if !is_early {
            rig.started("w1");
        }
        rig.node_hello("w1", peer(50));
        rig.peer_down(peer(50));
        if is_early {
            rig.started("w1");
        }
        assert_eq!(rig.node_hello("w1", peer(50)), []);
        assert_eq!(rig.pass(SETTLING), [up()]);
    }
}

/// It is not waited for, but that it did not come up would not be true.
#[test]
fn a_node_that_was_given_up_and_has_started_since_may_be_up() {
    let mut rig = Rig::new();
    let nodes = ["w1", "w2"].map(|name| node(name, ClusterRole::Worker, None));
    rig.deploy("r1", config("c1", nodes.into()), status(["w1"]));
    rig.created("w1");
    rig.exit("w1", "no memory", None);
    rig.started("w2");
    rig.started("w1");
    assert_eq!(rig.node_hello("w1", peer(50)), []);
    let said = rig.node_hello("w2", peer(51));
    let why = "cluster node w1 did not start; a hello under its name may have been its own";
    let [
        Output::Respond {
            response: AgentResponse::Deploy { results, .. },
        },
    ] = said.as_slice()
    else {
        panic!("not one answer: {said:?}");
    };
    let errors: Vec<_> = results.iter().map(|it| it.error.as_deref()).collect();
    assert_eq!(errors, [Some(why), Some(why), None]);
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

/// Stock's supervisor revives a node without a word of its death.
#[test]
fn a_node_that_starts_twice_is_the_one_that_is_peered_once_it_has_settled() {
    let mut rig = Rig::new();
    ordered(&mut rig);
    rig.started("w1");
    assert_eq!(rig.node_hello("w1", peer(50)), []);
    rig.started("w1");
    assert_eq!(rig.state("w1"), State::Pending);
    assert_eq!(rig.pass(SETTLING), [up()]);
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

/// Nobody waits for what cannot come, also if the configuration between the two had no nodes.
#[test]
fn a_process_that_has_said_hello_is_known_after_its_node_has_gone() {
    let mut rig = Rig::deployed();
    // It ends slowly, and is listed twice.
    rig.deploy("r1", config("c1", Vec::new()), status(["manager"]));
    rig.deploy("r2", config("c2", Vec::new()), status(["manager"]));
    let nodes = vec![node("manager", ClusterRole::Manager, None)];
    rig.deploy("r3", config("c3", nodes), status([]));
    rig.started("manager");
    assert_eq!(rig.node_hello("manager", peer(11)), []);
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
    rig.pass(SETTLING);
    assert_eq!(rig.state("w1"), State::Running);
}

#[test]
fn a_node_that_has_no_more_time_to_settle_may_be_a_former_process() {
    let mut rig = Rig::new();
    ordered(&mut rig);
    rig.pass(millis(8400));
    rig.started("w1");
    rig.node_hello("w1", peer(50));
    let why = "did not report in time; a hello under its name may have been its own";
    assert_eq!(rig.pass(millis(100)), [failed_alone("w1", why)]);
}

/// The deployment cannot tell whether it was up before.
#[test]
fn a_node_that_dies_or_is_restarted_right_after_its_hello_may_have_been_up() {
    let mut rig = Rig::new();
    ordered(&mut rig);
    rig.started("w1");
    rig.node_hello("w1", peer(50));
    rig.died("w1", "", 1);
    rig.peer_down(peer(50));
    let why = "died with status 1 after 0.250 s; a hello under its name may have been its own";
    assert_eq!(rig.pass(millis(8500)), [failed_alone("w1", why)]);

    let mut rig = Rig::new();
    ordered(&mut rig);
    rig.started("w1");
    rig.node_hello("w1", peer(50));
    rig.ask(AgentRequest::Restart {
        reqid: "r2".into(),
        nodes: names(["w1"]),
    });
    let why = "did not report in time; a hello under its name may have been its own";
    assert_eq!(rig.pass(millis(8500))[0], failed_alone("w1", why));
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
