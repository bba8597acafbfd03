use super::*;
use crate::model::{ClusterRole, Instance};

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
    // Nobody dials workers.
    let mut given = config;
    given.nodes = std::mem::take(&mut given.nodes)
        .into_iter()
        .zip(5000..)
        .map(|(mut node, port)| {
            node.p = needs_broker_port(node.role).then_some(Port::tcp(port));
            node
        })
        .collect();
    assert_eq!(given.problems(off), [""; 0]);
}

#[test]
fn d21_names_that_no_supervisor_can_run_are_refused() {
    let long: &str = Box::leak("x".repeat(256).into_boxed_str());
    let names = ["", ".", "..", "../up", "/abs", "a/b", "w 1", "w\n1", long];
    let rows = names.map(|name| ("i", name, Worker, None));
    let config = config(&[("i", None)], &rows);
    let shown = "x".repeat(80);
    assert_eq!(
        config.problems(RULES),
        [
            "node name '' is empty",
            "node name '.' leaves the state directory",
            "node name '..' leaves the state directory",
            "node name '../up' leaves the state directory",
            "node name '/abs' leaves the state directory",
            "node name 'a/b' contains a slash",
            "node name 'w 1' contains spaces",
            "node name 'w\\n1' contains control characters",
            &format!("node name '{shown}…' is longer than 255 bytes"),
        ]
    );
}

#[test]
fn d21_names_that_no_agent_can_have_are_refused() {
    let names = ["", "../up", "a b", "site/a"];
    let config = config(&names.map(|name| (name, None)), &[]);
    assert_eq!(
        config.problems(RULES),
        [
            "instance name '' is empty",
            "instance name '../up' leaves the state directory",
            "instance name 'a b' contains spaces",
        ]
    );
}

#[test]
fn d21_a_node_cannot_have_the_name_of_the_controller() {
    let rows = [("i", "controller", Worker, None)];
    let config = config(&[("i", None)], &rows);
    assert_eq!(
        config.collision("controller").unwrap(),
        "node 'controller' has the name of the controller"
    );
    assert_eq!(config.collision("c"), None);
}

#[test]
fn d21_a_node_needs_a_role() {
    let config = config(&[("i", None)], &[("i", "n", ClusterRole::None, None)]);
    assert_eq!(config.problems(RULES), ["node 'n' has no role"]);
}

#[test]
fn d21_metrics_ports_are_used_once_per_host() {
    let rows = [
        ("a", "n1", Worker, None),
        ("a", "n2", Worker, None),
        ("a", "n3", Manager, Some(9000)),
        ("a", "n4", Logger, Some(9100)),
        ("b", "n5", Worker, None),
        ("c", "n6", Worker, None),
    ];
    let instances = [("a", Some(9200)), ("b", None), ("c", None)];
    let mut config = config(&instances, &rows);
    let metrics = [
        ("n1", 9000),
        ("n2", 9000),
        ("n4", 9100),
        ("n5", 9200),
        ("n6", 9200),
    ];
    config.nodes = std::mem::take(&mut config.nodes)
        .into_iter()
        .map(|mut node| {
            let port = metrics.iter().find(|(name, _)| *name == node.name);
            node.metrics_port = port.map(|(_, port)| Port::tcp(*port));
            node
        })
        .collect();
    // As long as nobody knows that b and c are on one host, each has its own.
    let apart = [
        "multiple nodes on instance 'a' using metrics port 9000/tcp",
        "node 'n1' metrics port 9000/tcp conflicts with the port of node 'n3'",
        "node 'n2' metrics port 9000/tcp conflicts with the port of node 'n3'",
        "node 'n4' metrics port 9100/tcp conflicts with its own port",
    ];
    assert_eq!(config.problems(RULES), apart);
    on_host(&mut config, "10.0.0.1");
    assert_eq!(
        config.problems(RULES),
        [
            "multiple nodes on host 10.0.0.1 using metrics port 9000/tcp",
            "multiple nodes on host 10.0.0.1 using metrics port 9200/tcp",
            apart[1],
            apart[2],
            apart[3],
            "node 'n5' metrics port 9200/tcp conflicts with agent port on instance 'a'",
            "node 'n6' metrics port 9200/tcp conflicts with agent port on instance 'a'",
        ]
    );
}

#[test]
fn one_broker_port_on_two_instances_of_a_host_is_accepted_as_stock_does() {
    let rows = [
        ("a", "n1", Manager, Some(5000)),
        ("b", "n2", Logger, Some(5000)),
    ];
    let mut config = config(&[("a", None), ("b", None)], &rows);
    on_host(&mut config, "10.0.0.1");
    assert_eq!(config.problems(RULES), [""; 0]);
    assert_eq!(
        config.warnings(),
        ["multiple nodes on host 10.0.0.1 using port 5000/tcp"]
    );
}

/// A hundred megabytes of texts if there were one for each pair.
#[test]
fn not_every_pair_of_nodes_with_one_port_has_a_text_of_its_own() {
    let mut config = config(&[("a", Some(7000))], &[]);
    let nodes = (0..1000).map(|n| Node {
        p: Some(Port::tcp(7000)),
        metrics_port: Some(Port::tcp(7000)),
        ..Node::new("a", format!("n{n}"), Worker)
    });
    config.nodes = nodes.collect();
    let problems = config.problems(RULES);
    assert!(problems.len() < 12_000, "{}", problems.len());
    let agent = "node 'n999' metrics port 7000/tcp conflicts with agent port on instance 'a'";
    assert!(problems.iter().any(|text| text == agent));
}

fn on_host(config: &mut Configuration, host: &str) {
    let instances = std::mem::take(&mut config.instances).into_iter();
    let instances = instances.map(|mut instance| {
        instance.host = host.parse().unwrap();
        instance
    });
    config.instances = instances.collect();
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
        p: port.map(Port::tcp),
        ..Node::new(instance, name, role)
    });
    Configuration {
        id: "c".into(),
        instances: instances.collect(),
        nodes: nodes.collect(),
    }
}
