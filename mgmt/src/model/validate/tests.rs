use std::collections::BTreeMap;

use super::*;
use crate::model::{ClusterRole, Instance, State};

use ClusterRole::{Logger, Manager, Proxy, Worker};

#[test]
fn names_must_differ_between_nodes_and_instances() {
    let config = config(
        &[("instance-1", None), ("x", None)],
        &[
            ("instance-1", "x", Manager, None),
            ("instance-1", "instance-1", Worker, None),
        ],
    );
    assert_eq!(
        config.problems(RULES),
        ["node and instance names collide: instance-1, x"]
    );
}

#[test]
fn each_name_may_occur_once() {
    let config = config(
        &[("a", None), ("a", Some(2151)), ("a", Some(2152))],
        &[
            ("a", "n", Worker, None),
            ("a", "n", Worker, Some(1)),
            ("a", "n", Worker, Some(2)),
        ],
    );
    assert_eq!(
        config.problems(RULES),
        ["multiple instances named 'a'", "multiple nodes named 'n'"]
    );
}

#[test]
fn instances_of_nodes_must_be_declared() {
    let config = config(
        &[("instance-1", None)],
        &[
            ("instance-2", "manager", Manager, None),
            ("instance-3", "worker", Worker, None),
            ("instance-1", "logger", Logger, None),
        ],
    );
    assert_eq!(
        config.problems(RULES),
        [
            "node 'manager' has undeclared instance name 'instance-2'",
            "node 'worker' has undeclared instance name 'instance-3'",
        ]
    );
}

#[test]
fn a_port_is_used_once_per_instance() {
    let config = config(
        &[("instance-1", None), ("instance-2", None)],
        &[
            ("instance-1", "manager", Manager, Some(5000)),
            ("instance-1", "logger", Logger, Some(5000)),
            ("instance-1", "proxy", Proxy, Some(5000)),
            ("instance-2", "worker", Worker, Some(5000)),
        ],
    );
    assert_eq!(
        config.problems(RULES),
        ["multiple nodes on instance 'instance-1' using port 5000/tcp"]
    );
}

#[test]
fn ports_of_agent_and_controller_are_refused() {
    let config = config(
        &[("instance-1", Some(3000)), ("instance-2", None)],
        &[
            ("instance-1", "manager", Manager, Some(3000)),
            ("instance-2", "logger", Logger, Some(3000)),
            ("instance-2", "proxy", Proxy, Some(2150)),
        ],
    );
    assert_eq!(
        config.problems(RULES),
        [
            "node 'manager' port 3000/tcp conflicts with agent port on instance 'instance-1'",
            "node 'proxy' port 2150/tcp conflicts with controller port",
        ]
    );
    let silent = Rules {
        controller_port: None,
        ..RULES
    };
    assert_eq!(config.problems(silent).len(), 1);
}

#[test]
fn without_auto_assignment_ports_must_be_given() {
    let config = config(
        &[("instance-1", None)],
        &[
            ("instance-1", "manager", Manager, None),
            ("instance-1", "logger-01", Logger, None),
            ("instance-1", "proxy-01", Proxy, None),
            ("instance-1", "worker-01", Worker, None),
        ],
    );
    let off = Rules {
        broker_ports: AutoAssign::Off,
        ..RULES
    };
    assert_eq!(
        config.problems(off),
        ["Broker port auto-assignment disabled but nodes logger-01, manager, proxy-01 lack ports"]
    );
    assert_eq!(config.problems(RULES), <[&str; 0]>::default());
}

const RULES: Rules = Rules {
    controller_port: Some(Port::tcp(2150)),
    broker_ports: AutoAssign::From(2200),
};

type NodeRow = (&'static str, &'static str, ClusterRole, Option<u16>);

fn config(instances: &[(&str, Option<u16>)], nodes: &[NodeRow]) -> Configuration {
    let instances = instances.iter().map(|(name, port)| Instance {
        name: (*name).into(),
        host: broker_proto::Address::UNSPECIFIED,
        listen_port: port.map(Port::tcp),
    });
    let nodes = nodes.iter().map(|&(instance, name, role, port)| Node {
        name: name.into(),
        instance: instance.into(),
        role,
        state: State::Running,
        p: port.map(Port::tcp),
        scripts: None,
        options: None,
        interface: None,
        cpu_affinity: None,
        env: BTreeMap::new(),
        metrics_port: None,
    });
    Configuration {
        id: "c".into(),
        instances: instances.collect(),
        nodes: nodes.collect(),
    }
}
