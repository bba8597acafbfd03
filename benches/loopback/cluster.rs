//! A cluster on one agent, as the benchmarks of the running programs deploy it.

use std::collections::{BTreeMap, BTreeSet};

use broker_proto::{Address, Port};
use harness::processes::resident_kib;
use harness::tree::{INSTANCE, Tree};
use mgmt::api::ApiResult;
use mgmt::model::{Configuration, Instance, Node, State};
use supervisor::api::ClusterRole;

use crate::figures::megabytes;

/// Four that others depend on, and workers. Every round's id is another, so that it is deployed.
pub(crate) fn configuration(round: usize, nodes: u16, first_port: u16) -> Configuration {
    let node = |n: u16| {
        let role = match n {
            0 => ClusterRole::Manager,
            1 => ClusterRole::Logger,
            2 | 3 => ClusterRole::Proxy,
            _ => ClusterRole::Worker,
        };
        Node {
            name: format!("node-{n:02}"),
            instance: INSTANCE.to_owned(),
            role,
            state: State::Running,
            p: Some(Port::tcp(first_port + n)),
            scripts: None,
            options: None,
            interface: (role == ClusterRole::Worker).then(|| "lo".to_owned()),
            cpu_affinity: None,
            env: BTreeMap::new(),
            metrics_port: None,
        }
    };
    Configuration {
        id: format!("round-{round}"),
        instances: BTreeSet::from([Instance {
            name: INSTANCE.to_owned(),
            host: Address::UNSPECIFIED,
            listen_port: None,
        }]),
        nodes: (0..nodes).map(node).collect(),
    }
}

pub(crate) fn assert_success(results: &[ApiResult]) {
    assert!(results.iter().all(|result| result.success), "{results:?}");
}

/// The memory that agent and supervisor have now.
pub(crate) fn resident(tree: &Tree) -> String {
    let agent = tree.agent_pid().and_then(resident_kib);
    let supervisor = resident_kib(tree.pid());
    format!(
        "agent {}, supervisor {}",
        megabytes(agent),
        megabytes(supervisor)
    )
}
