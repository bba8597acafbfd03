//! The order in which a tree goes down (API §12.3 D51).

use super::*;
use crate::api::{ClusterRole, NodeEnd};
use crate::settings::STOCK_GRACE;

const LOGGER: ChildId = child(2, 1);
const MANAGER: ChildId = child(3, 1);
const PROXY: ChildId = child(4, 1);
const WORKER_1: ChildId = child(5, 1);
const WORKER_2: ChildId = child(6, 1);

#[test]
fn workers_stop_first_and_the_agent_last() {
    let mut rig = cluster(Policy::default());
    rig.handle(Input::Shutdown);
    assert_eq!(rig.drain(), [term(WORKER_1, 500), term(WORKER_2, 600)]);
    rig.host(exited(WORKER_2, 600, Ending::Status(0)));
    assert_eq!(rig.drain(), vec![close("w2")], "one is left");

    for (child, pid, name, next) in [
        (WORKER_1, 500, "w1", term(PROXY, 400)),
        (PROXY, 400, "p", term(MANAGER, 300)),
        (MANAGER, 300, "m", term(LOGGER, 200)),
        (LOGGER, 200, "l", term(A1, 100)),
        (A1, 100, "agent", Output::Stopped),
    ] {
        rig.host(exited(child, pid, Ending::Status(0)));
        let mut want = vec![close(name)];
        want.push(next);
        assert_eq!(rig.drain(), want);
    }
}

#[test]
fn a_stubborn_role_delays_the_next_by_its_grace_only() {
    let grace = secs(3);
    let mut rig = cluster(patient(grace));
    rig.handle(Input::Shutdown);
    rig.drain();
    rig.host(exited(WORKER_1, 500, Ending::Status(0)));
    rig.drain();
    assert_eq!(rig.due(), Some(grace));
    rig.wait(grace);
    assert_eq!(rig.drain(), [kill(WORKER_2, 600), term(PROXY, 400)]);
    rig.host(exited(PROXY, 400, Ending::Status(0)));
    let mut want = vec![close("p")];
    assert_eq!(rig.drain(), want, "the killed worker has its grace again");
    rig.host(exited(WORKER_2, 600, Ending::Signal(9)));
    want = vec![close("w2")];
    want.push(term(MANAGER, 300));
    assert_eq!(rig.drain(), want);
}

#[test]
fn whoever_asks_twice_gets_all_at_once() {
    let mut rig = cluster(Policy::default());
    rig.handle(Input::Shutdown);
    rig.drain();
    rig.handle(Input::Shutdown);
    assert_eq!(
        rig.drain(),
        [
            term(A1, 100),
            term(LOGGER, 200),
            term(MANAGER, 300),
            term(PROXY, 400)
        ]
    );
}

#[test]
fn what_dies_before_its_turn_is_not_started_again() {
    let mut rig = cluster(Policy::default());
    rig.handle(Input::Shutdown);
    rig.drain();
    rig.host(exited(MANAGER, 300, Ending::Signal(11)));
    assert_eq!(rig.drain(), [died("m", NodeEnd::default()), close("m")]);
    rig.wait(STOCK_GRACE);
    let spawned = |output: &Output| {
        matches!(
            output,
            Output::Host {
                output: HostOutput::Spawn { .. }
            }
        )
    };
    assert!(!rig.drain().iter().any(spawned));
}

#[test]
fn a_node_destroyed_before_holds_up_those_after_it() {
    let mut rig = cluster(Policy::default());
    rig.request(destroy("r", "w1"));
    rig.drain();
    rig.handle(Input::Shutdown);
    assert_eq!(rig.drain(), [term(WORKER_2, 600)]);
    rig.host(exited(WORKER_2, 600, Ending::Status(0)));
    assert_eq!(rig.drain(), vec![close("w2")]);
    rig.host(exited(WORKER_1, 500, Ending::Status(0)));
    let mut want = vec![close("w1")];
    want.push(term(PROXY, 400));
    assert_eq!(rig.drain(), want);
}

#[test]
fn what_starts_together_starts_loggers_first() {
    let mut rig = cluster(Policy::default());
    rig.wait(secs(100));
    for (child, pid) in [(WORKER_1, 500), (PROXY, 400), (LOGGER, 200), (MANAGER, 300)] {
        rig.host(exited(child, pid, Ending::Signal(9)));
    }
    rig.drain();
    rig.wait(secs(1));
    let again = [2, 3, 4, 5].map(|unit| spawn(child(unit, 2)));
    assert_eq!(rig.drain(), again);
}

#[test]
fn a_grace_beyond_the_stems_own_keeps_the_stem_from_killing() {
    let mut rig = Rig::with(Vec::new(), patient(secs(60)));
    rig.request(create("r", NodeConfig::named("a")));
    let Some(Output::Host {
        output: HostOutput::Spawn { launch, .. },
    }) = rig.drain().pop()
    else {
        panic!("nothing starts");
    };
    let variable = ("ZEEK_SUPERVISOR_NO_SIGKILL".to_owned(), "1".to_owned());
    assert_eq!(launch.env, [variable]);
    rig.host(spawned(A1, 100));
    rig.request(destroy("r", "a"));
    assert_eq!(rig.due(), Some(secs(60)));
}

#[test]
fn a_controller_or_agent_that_was_created_as_a_node_stops_last_too() {
    let mut rig = Rig::new();
    let mut agent = NodeConfig::named("agent");
    let marker = crate::api::MANAGEMENT_NODE_VARIABLE;
    agent.env.insert(marker.into(), "AGENT".into());
    rig.run_as(agent, A1, 100);
    rig.run_as(with_role("l", ClusterRole::Logger), LOGGER, 200);
    rig.handle(Input::Shutdown);
    assert_eq!(rig.drain(), [term(LOGGER, 200)]);
    rig.host(exited(LOGGER, 200, Ending::Status(0)));
    assert_eq!(rig.drain(), [close("l"), term(A1, 100)]);
}

fn patient(grace: std::time::Duration) -> Policy {
    Policy {
        grace,
        ..Policy::default()
    }
}

/// An agent, and one cluster created in the order of its roles.
fn cluster(policy: Policy) -> Rig {
    let node = NodeConfig::named("agent");
    let argv = vec!["zeek-mgmt".into()];
    let mut rig = Rig::with(vec![OwnUnit { node, argv }], policy);
    rig.host(spawned(A1, 100));
    for (name, role, child, pid) in [
        ("l", ClusterRole::Logger, LOGGER, 200),
        ("m", ClusterRole::Manager, MANAGER, 300),
        ("p", ClusterRole::Proxy, PROXY, 400),
        ("w1", ClusterRole::Worker, WORKER_1, 500),
        ("w2", ClusterRole::Worker, WORKER_2, 600),
    ] {
        rig.run_as(with_role(name, role), child, pid);
    }
    rig.drain();
    rig
}
