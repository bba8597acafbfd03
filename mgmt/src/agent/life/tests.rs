//! What is known of nodes, by the order in which the news come (API §12.2 D36, D37).

mod settling;

use broker_proto::zeek::ToData;
use supervisor::api::{NodeConfig, NodeEnd, NodeStatus, SupervisorResponse};

use super::super::tests::*;
use super::super::{Input, Output};
use super::*;
use crate::api::agent::AgentRequest;
use crate::model::{ClusterRole, NodeOutputs};
use crate::settings::StartOrder;

#[test]
fn a_node_that_dies_is_crashed_until_it_starts_and_pending_until_it_says_hello() {
    let mut rig = Rig::deployed();
    let why = "cluster node manager died with status 3 after 0.250 s";
    assert_eq!(rig.died("manager", "no memory", 3), [error("manager", why)]);
    assert_eq!(rig.state("manager"), State::Crashed);
    rig.started("manager");
    assert_eq!(rig.state("manager"), State::Pending);
    rig.node_hello("manager", peer(50));
    assert_eq!(rig.state("manager"), State::Running);
    assert_eq!(
        rig.notices(),
        [
            "manager: RUNNING -> CRASHED",
            "manager: CRASHED -> PENDING",
            "cluster node manager was started again",
            "manager: PENDING -> RUNNING",
        ]
    );
}

#[test]
fn a_node_that_its_supervisor_gives_up_is_failed_until_it_is_restarted() {
    let mut rig = Rig::deployed();
    rig.died("manager", "", 3);
    let end = NodeEnd {
        signal: Some(11),
        run_time: secs(2),
        is_given_up: true,
        ..NodeEnd::default()
    };
    let why = "died of signal 11 after 2.000 s; its supervisor has given up";
    let why = format!("cluster node manager {why}");
    assert_eq!(rig.exit("manager", "", Some(end)), [error("manager", &why)]);
    assert_eq!(rig.state("manager"), State::Failed);
    rig.ask(AgentRequest::Restart {
        reqid: "r1".into(),
        nodes: names(["manager"]),
    });
    assert_eq!(rig.state("manager"), State::Pending);
}

/// The peering of a process ends with it, and the two are told on different connections.
#[test]
fn the_end_of_a_peering_before_the_news_of_a_death_leaves_the_state_unknown_for_that_time() {
    let mut rig = Rig::deployed();
    rig.peer_down(peer(11));
    assert_eq!(rig.state("manager"), State::Unknown);
    rig.died("manager", "", 1);
    assert_eq!(rig.state("manager"), State::Crashed);

    rig.died("proxy-01", "", 1);
    rig.peer_down(peer(12));
    assert_eq!(rig.state("proxy-01"), State::Crashed);
}

#[test]
fn a_node_that_comes_back_by_itself_runs_again() {
    let mut rig = Rig::deployed();
    rig.peer_down(peer(11));
    rig.node_hello("manager", peer(11));
    assert_eq!(rig.state("manager"), State::Running);
}

#[test]
fn the_end_of_a_former_lifes_peering_is_no_news() {
    let mut rig = Rig::deployed();
    rig.died("manager", "", 1);
    rig.started("manager");
    rig.node_hello("manager", peer(50));
    rig.peer_down(peer(11));
    assert_eq!(rig.state("manager"), State::Running);
}

#[test]
fn a_hello_read_after_the_news_of_the_death_counts_until_its_peering_ends() {
    let mut rig = Rig::new();
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes), status([]));
    rig.started("w1");
    rig.died("w1", "", 1);
    rig.node_hello("w1", peer(50));
    rig.peer_down(peer(50));
    assert_eq!(rig.state("w1"), State::Crashed);
    rig.started("w1");
    assert_eq!(rig.state("w1"), State::Pending);
}

#[test]
fn a_revived_node_is_pending_until_it_says_hello() {
    let mut rig = Rig::deployed();
    rig.started("manager");
    assert_eq!(rig.state("manager"), State::Pending);
    rig.node_hello("manager", peer(50));
    assert_eq!(rig.state("manager"), State::Running);
}

#[test]
fn a_hello_that_overtakes_the_news_of_the_start_counts() {
    let mut rig = Rig::deployed();
    rig.node_hello("manager", peer(50));
    rig.started("manager");
    assert_eq!(rig.state("manager"), State::Running);
    rig.started("manager");
    assert_eq!(rig.state("manager"), State::Pending);
}

/// A process may take its time for its first hello, and be ordered to end before.
#[test]
fn a_former_processs_late_hello_is_not_its_successors() {
    let mut rig = Rig::new();
    let nodes = || vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes()), status(["w1"]));
    assert_eq!(rig.node_hello("w1", peer(50)), []);
    assert_eq!(rig.state("w1"), State::Pending);
    rig.peer_down(peer(50));
    rig.started("w1");
    rig.pass(SETTLING);
    assert_eq!(rig.state("w1"), State::Pending);
    let up = respond(AgentResponse::Deploy {
        reqid: "r1".into(),
        results: vec![on("w1", ok("r1"))],
    });
    assert_eq!(rig.node_hello("w1", peer(51)), [up]);

    // Its own, ahead of the news of its start.
    rig.deploy("r2", config("c2", nodes()), status(["w1"]));
    rig.peer_down(peer(51));
    assert_eq!(rig.node_hello("w1", peer(52)), []);
    let up = respond(AgentResponse::Deploy {
        reqid: "r2".into(),
        results: vec![on("w1", ok("r2"))],
    });
    assert_eq!(rig.started_again("w1"), [up]);
    assert_eq!(rig.state("w1"), State::Running);
}

/// A former life of the agent had its end ordered, so the supervisor lists it no more.
#[test]
fn a_hello_of_a_process_that_nobody_knows_of_is_not_its_successors() {
    let mut rig = Rig::new();
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes), status([]));
    rig.created("w1");
    let reqid = rig.id();
    assert_eq!(rig.node_hello("w1", peer(50)), [ask_if_started(&reqid)]);
    assert_eq!(rig.node_hello("w1", peer(50)), [], "asked once");
    let mut result = status(["w1"]);
    result.nodes.get_mut("w1").unwrap().pid = None;
    let waits = SupervisorResponse::Status { reqid, result };
    assert_eq!(rig.supervisor(waits), []);
    assert_eq!(rig.state("w1"), State::Pending);
    rig.peer_down(peer(50));
    rig.started("w1");
    let up = respond(AgentResponse::Deploy {
        reqid: "r1".into(),
        results: vec![on("w1", ok("r1"))],
    });
    assert_eq!(rig.node_hello("w1", peer(51)), [up]);
}

#[test]
fn a_hello_whose_start_is_not_told_counts_when_the_supervisor_is_asked_or_does_not_answer() {
    for answers in [true, false] {
        let mut rig = Rig::new();
        let nodes = vec![node("w1", ClusterRole::Worker, None)];
        rig.deploy("r1", config("c1", nodes), status([]));
        rig.created("w1");
        let reqid = rig.id();
        assert_eq!(rig.node_hello("w1", peer(50)), [ask_if_started(&reqid)]);
        if answers {
            let up = respond(AgentResponse::Deploy {
                reqid: "r1".into(),
                results: vec![on("w1", ok("r1"))],
            });
            let result = status(["w1"]);
            let answer = SupervisorResponse::Status { reqid, result };
            assert_eq!(rig.supervisor(answer), [up]);
        }
        rig.pass(secs(5));
        assert_eq!(rig.state("w1"), State::Running);
    }
}

/// The orders to end the former process and to start the other one may both be lost.
#[test]
fn a_hello_that_was_put_aside_counts_if_the_supervisor_lists_another_process() {
    for (pid, state) in [
        (85, State::Running),
        (84, State::Pending),
        (0, State::Pending),
    ] {
        let mut rig = Rig::new();
        let nodes = vec![node("w1", ClusterRole::Worker, None)];
        rig.deploy("r1", config("c1", nodes), status(["w1"]));
        assert_eq!(rig.node_hello("w1", peer(50)), []);
        let reqid = rig.id();
        assert_eq!(rig.pass(secs(5)), [ask_if_started(&reqid)]);
        let mut result = status(["w1"]);
        result.nodes.get_mut("w1").unwrap().pid = Some(pid).filter(|pid| *pid > 0);
        let listed = SupervisorResponse::Status { reqid, result };
        let up = respond(AgentResponse::Deploy {
            reqid: "r1".into(),
            results: vec![on("w1", ok("r1"))],
        });
        let is_up = state == State::Running;
        assert_eq!(rig.supervisor(listed), []);
        assert_eq!(rig.pass(SETTLING), Vec::from_iter(is_up.then_some(up)));
        assert_eq!(rig.state("w1"), state);
    }
}

/// World 3405: the link was reset with the orders on it, so the former process went on.
#[test]
fn a_former_process_whose_supervisor_says_nothing_of_the_orders_is_not_told_to_be_the_next() {
    let mut rig = Rig::new();
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes), status(["w1"]));
    rig.peer_down(SUPERVISOR);
    let asked = rig.peer_up(SUPERVISOR, Some(9999));
    let again = answer(&mut rig, &asked[0], status(["w1"]));
    assert_eq!(created_nodes(&again[1..]), ["w1"]);
    assert_eq!(rig.node_hello("w1", peer(50)), []);
    let reqid = rig.id();
    assert_eq!(rig.pass(secs(5)), [ask_if_started(&reqid)]);
    let why = "said hello, but its supervisor told of no start";
    assert_eq!(rig.pass(millis(3500)), [failed_alone("w1", why)]);
    assert_eq!(rig.pass(secs(5)), []);
    assert_eq!(rig.state("w1"), State::Pending);
}

/// A supervisor may be stopped for longer than a request may take.
#[test]
fn a_node_whose_order_is_answered_late_is_known_from_then_on() {
    for is_up_first in [false, true] {
        let mut rig = Rig::new();
        let nodes = vec![node("w1", ClusterRole::Worker, None)];
        rig.deploy("r1", config("c1", nodes), status([]));
        if is_up_first {
            rig.node_hello("w1", peer(50));
        }
        rig.pass(secs(5));
        rig.started("w1");
        if !is_up_first {
            assert_eq!(rig.state("w1"), State::Pending);
            rig.node_hello("w1", peer(50));
        }
        assert_eq!(rig.state("w1"), State::Running);
        assert_eq!(rig.died("w1", "", 1).len(), 1);
        assert_eq!(rig.state("w1"), State::Crashed);
    }
}

#[test]
fn a_hello_that_was_put_aside_counts_also_when_the_supervisor_answers_after_all() {
    let mut rig = Rig::new();
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes), status(["w1"]));
    rig.node_hello("w1", peer(50));
    rig.pass(secs(5));
    assert_eq!(rig.state("w1"), State::Pending);
    rig.started("w1");
    rig.pass(SETTLING);
    assert_eq!(rig.state("w1"), State::Running);
}

#[test]
fn a_late_refusal_is_told() {
    let mut rig = Rig::new();
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    let (_, orders) = rig.deploy("r1", config("c1", nodes), status([]));
    rig.pass(millis(8500));
    let refused = SupervisorResponse::Create {
        reqid: order_id(&orders[0]),
        result: "no room".to_owned(),
    };
    let told = error("w1", "failed to create node w1: no room");
    assert_eq!(rig.supervisor(refused), [told]);
    assert_eq!(rig.state("w1"), State::Failed);
}

#[test]
fn a_late_answer_to_an_order_of_a_former_deployment_says_nothing_of_its_successor() {
    let mut rig = Rig::new();
    let nodes = || vec![node("w1", ClusterRole::Worker, None)];
    let (_, orders) = rig.deploy("r1", config("c1", nodes()), status([]));
    rig.pass(secs(5));
    rig.deploy("r2", config("c2", nodes()), status([]));
    let late = SupervisorResponse::Create {
        reqid: order_id(&orders[0]),
        result: "no room".to_owned(),
    };
    assert_eq!(rig.supervisor(late), []);
    assert_eq!(rig.state("w1"), State::Pending);
}

#[test]
fn an_order_of_a_former_deployment_without_answer_says_nothing_of_its_successor() {
    let mut rig = Rig::new();
    let nodes = || vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes()), status([]));
    rig.pass(secs(3));
    rig.deploy("r2", config("c2", nodes()), status(["w1"]));
    assert_eq!(rig.node_hello("w1", peer(50)), [], "the old one's");
    assert_eq!(rig.pass(secs(2)), []);
    assert_eq!(rig.state("w1"), State::Pending);
}

/// Once another one of its name has started, the former process is gone.
#[test]
fn a_name_that_was_taken_again_is_not_mistrusted_for_good() {
    let mut rig = Rig::new();
    let nodes = || vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes()), status(["w1"]));
    rig.started("w1");
    rig.node_hello("w1", peer(50));
    // Somebody else has ended it.
    rig.peer_down(peer(50));
    rig.deploy("r2", config("c2", nodes()), status([]));
    let reqid = rig.id();
    let asked = ask_if_started(&reqid);
    assert_eq!(rig.node_hello("w1", peer(51)), [asked], "not put aside");
}

#[test]
fn after_any_number_of_names_the_last_ones_are_still_mistrusted() {
    let mut rig = Rig::new();
    // The last ones twice: they take no other's place.
    for (n, round) in [0, 1, 2, 3, 4, 4].into_iter().enumerate() {
        let mut running = status([]);
        for i in 0..1000 {
            let name = format!("w-{round}-{i}");
            let one = status(["w"]).nodes.remove("w").unwrap();
            let directory = Some(format!("/usr/local/zeek/var/lib/nodes/{name}"));
            let node = NodeConfig {
                directory,
                ..NodeConfig::named(name.as_str())
            };
            running.nodes.insert(name, NodeStatus { node, ..one });
        }
        rig.deploy("r", config(&format!("c{n}"), vec![]), running);
    }
    let nodes = ["w-0-0", "w-4-999"].map(|name| node(name, ClusterRole::Worker, None));
    rig.deploy("r", config("c", nodes.into()), status([]));
    let asked = rig.node_hello("w-0-0", peer(50));
    assert_eq!(asked.len(), 1, "forgotten");
    assert_eq!(
        rig.node_hello("w-4-999", peer(51)),
        [],
        "may be the old one's"
    );
}

#[test]
fn a_late_hello_is_not_that_of_a_restarted_node() {
    let mut rig = Rig::deployed();
    rig.died("manager", "", 3);
    rig.started("manager");
    let restart = AgentRequest::Restart {
        reqid: "r1".into(),
        nodes: names(["manager"]),
    };
    rig.ask(restart);
    rig.node_hello("manager", peer(50));
    assert_eq!(rig.state("manager"), State::Pending);
    rig.peer_down(peer(50));
    rig.started("manager");
    assert_eq!(rig.state("manager"), State::Pending);
}

#[test]
fn a_node_that_only_reconnected_has_said_nothing_about_its_next_life() {
    let mut rig = Rig::deployed();
    rig.node_hello("logger-01", peer(10));
    rig.started("logger-01");
    assert_eq!(rig.state("logger-01"), State::Pending);
}

#[test]
fn hellos_and_last_words_of_other_nodes_are_ignored() {
    let mut rig = Rig::new();
    assert_eq!(rig.node_hello("stranger", peer(50)), []);
    assert_eq!(rig.exit("stranger", "bye", None), []);
    assert_eq!(rig.died("stranger", "bye", 1), []);
    assert_eq!(rig.agent.nodes.iter().count(), 0);
}

#[test]
fn what_is_said_of_a_former_node_is_not_about_its_successor() {
    let mut rig = Rig::new();
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes), status(["w1"]));
    let given_up = NodeEnd {
        is_given_up: true,
        ..NodeEnd::default()
    };
    for end in [None, Some(NodeEnd::default()), Some(given_up)] {
        assert_eq!(rig.exit("w1", "old", end), []);
    }
    rig.created("w1");
    assert_eq!(rig.died("w1", "old", 1), [], "it stopped only now");
    assert_eq!(rig.state("w1"), State::Pending);
    let node = rig.agent.nodes.get("w1").unwrap();
    assert_eq!(node.outputs(), None);
}

#[test]
fn without_supervisor_only_peered_nodes_are_known_to_run() {
    let mut rig = Rig::deployed();
    rig.died("manager", "", 1);
    rig.notices();
    rig.peer_down(SUPERVISOR);
    assert_eq!(rig.state("manager"), State::Unknown);
    assert_eq!(rig.state("logger-01"), State::Running);
    assert_eq!(rig.notices(), ["manager: CRASHED -> UNKNOWN"]);
}

#[test]
fn a_supervisor_that_was_only_away_has_its_nodes() {
    let mut rig = Rig::deployed();
    rig.died("manager", "", 1);
    rig.peer_down(SUPERVISOR);
    rig.peer_down(peer(12));
    let asked = rig.peer_up(SUPERVISOR, Some(9999));
    let left = status(["logger-01", "manager", "worker-01", "worker-02"]);
    assert_eq!(answer(&mut rig, &asked[0], left), []);
    assert_eq!(rig.state("manager"), State::Pending);
    assert_eq!(rig.state("logger-01"), State::Running);
    assert_eq!(rig.state("proxy-01"), State::Stopped);
}

/// The news of its start is told once, perhaps while nobody hears it.
#[test]
fn a_node_that_started_while_the_supervisor_was_away_has_missed_its_hello_only() {
    let mut rig = Rig::new();
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes), status([]));
    rig.peer_down(SUPERVISOR);
    rig.pass(secs(1));
    let asked = rig.peer_up(SUPERVISOR, Some(9999));
    assert_eq!(answer(&mut rig, &asked[0], status(["w1"])), []);
    assert_eq!(rig.pass(millis(7499)), []);
    assert_eq!(rig.pass(millis(1)), [late("w1")]);
}

#[test]
fn without_supervisor_nobody_knows_whether_a_node_was_started() {
    let mut rig = Rig::new();
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes), status([]));
    rig.peer_down(SUPERVISOR);
    assert_eq!(rig.pass(millis(8500)), [late("w1")]);
}

/// A supervisor that is stopped may have started the node before, or not have ended the former one.
#[test]
fn a_node_that_said_hello_and_may_be_a_former_one_is_not_told_to_be_silent() {
    let mut rig = Rig::new();
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes), status(["w1"]));
    rig.created("w1");
    assert_eq!(rig.node_hello("w1", peer(50)), []);
    let why = "said hello, but its supervisor told of no start";
    assert_eq!(rig.pass(millis(8500)), [failed_alone("w1", why)]);
}

fn late(name: &str) -> Output {
    failed_alone(name, "did not report in time")
}

/// The answer to `r1` if it orders one node, which has had its time.
fn failed_alone(name: &str, why: &str) -> Output {
    let why = format!("cluster node {name} {why}");
    let words = NodeOutputs {
        stdout: "".into(),
        stderr: why.as_str().into(),
    };
    let result = on(name, failed("r1", &why)).with_data(words.into_data());
    respond(AgentResponse::Deploy {
        reqid: "r1".into(),
        results: vec![failed("r1", "request timed out"), result],
    })
}

#[test]
fn another_supervisor_gets_the_orders_again() {
    let mut rig = Rig::deployed();
    rig.peer_down(SUPERVISOR);
    for i in 10..15 {
        rig.peer_down(peer(i));
    }
    assert_eq!(rig.state("manager"), State::Unknown);
    let asked = rig.peer_up(peer(3), Some(9999));
    let ordered = answer(&mut rig, &asked[0], status([]));
    assert_eq!(created_nodes(&ordered), NAMES);
    for (i, name) in (20..).zip(NAMES) {
        rig.started(name);
        rig.node_hello(name, peer(i));
    }
    assert!(rig.agent.nodes.all_running());
}

/// A second order for the same name would be refused, and the node taken for failed.
#[test]
fn another_supervisor_gets_no_orders_for_nodes_whose_turn_is_still_to_come() {
    let mut settings = settings();
    settings.deploying.start = StartOrder::RoleByRole;
    let mut rig = Rig::with(settings);
    let (_, ordered) = rig.deploy("r1", recorded(), status([]));
    assert_eq!(created_nodes(&ordered), ["logger-01"]);
    rig.peer_down(SUPERVISOR);
    let asked = rig.peer_up(peer(3), Some(9999));
    let again = answer(&mut rig, &asked[0], status([]));
    assert_eq!(created_nodes(&again), ["logger-01"]);
    rig.started("logger-01");
    let next = rig.node_hello("logger-01", peer(10));
    assert_eq!(created_nodes(&next), ["manager"]);
}

#[test]
fn a_deployment_that_waits_for_its_supervisor_is_all_that_its_return_starts() {
    let mut rig = Rig::deployed();
    rig.peer_down(SUPERVISOR);
    rig.ask(AgentRequest::Standby {
        reqid: String::new(),
    });
    let asked = rig.peer_up(peer(3), Some(9999));
    let [question, _hello] = asked.as_slice() else {
        panic!("not one question and a hello: {asked:?}");
    };
    let done = respond(AgentResponse::Standby {
        reqid: String::new(),
        result: ok(""),
    });
    assert_eq!(answer(&mut rig, question, status([])), [done]);
    assert_eq!(rig.agent.nodes.iter().count(), 0);
}

#[test]
fn what_a_supervisor_has_left_does_not_matter_once_a_deployment_asks_again() {
    let mut rig = Rig::deployed();
    rig.peer_down(SUPERVISOR);
    let asked = rig.peer_up(peer(3), Some(9999));
    rig.ask(AgentRequest::Standby {
        reqid: String::new(),
    });
    // Else it would order all nodes again.
    assert_eq!(answer(&mut rig, &asked[0], status([])), []);
}

#[test]
fn a_node_that_never_started_when_it_is_given_up_did_not_start() {
    let mut rig = Rig::new();
    rig.deploy("r1", recorded(), status([]));
    rig.created("manager");
    let end = NodeEnd {
        is_given_up: true,
        ..NodeEnd::default()
    };
    let said = rig.exit("manager", "no such interface", Some(end));
    let text = "cluster node manager did not start; its supervisor has given up";
    assert_eq!(said, [error("manager", text)]);
    assert_eq!(rig.state("manager"), State::Failed);
}

#[test]
fn more_words_of_a_dead_node_are_no_second_death() {
    let mut rig = Rig::deployed();
    rig.died("manager", "", 1);
    assert_eq!(rig.exit("manager", "core dumped", None), []);
    assert_eq!(rig.state("manager"), State::Crashed);
}

fn answer(rig: &mut Rig, asked: &Output, result: Status) -> Vec<Output> {
    let reqid = order_id(asked);
    rig.feed(Input::Supervisor {
        message: SupervisorResponse::Status { reqid, result },
    })
}

fn ask_if_started(reqid: &str) -> Output {
    let (reqid, node) = (reqid.to_owned(), "w1".to_owned());
    let request = SupervisorRequest::Status { reqid, node };
    Output::ToSupervisor { request }
}
