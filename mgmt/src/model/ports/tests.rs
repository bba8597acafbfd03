use super::*;
use crate::model::Instance;

use ClusterRole::{Logger, Manager, Proxy, Worker};

#[test]
fn broker_ports_go_to_those_who_listen_and_have_none() {
    let mut config = config(
        &[("instance-1", "0.0.0.0")],
        &[
            ("instance-1", "manager", Manager),
            ("instance-1", "logger-01", Logger),
            ("instance-1", "worker-01", Worker),
        ],
    );
    let mut proxy = Node::new("instance-1", "proxy-01", Proxy);
    proxy.p = Some(Port::tcp(1234));
    config.nodes.insert(proxy);
    config.assign_broker_ports(2200, &BTreeSet::new());
    assert_eq!(
        broker_ports(&config),
        [
            ("logger-01", Some(2201)),
            ("manager", Some(2200)),
            ("proxy-01", Some(1234)),
            ("worker-01", None)
        ]
    );
}

#[test]
fn broker_ports_start_where_told() {
    let mut config = config(
        &[("instance-1", "0.0.0.0")],
        &[
            ("instance-1", "manager", Manager),
            ("instance-1", "logger-01", Logger),
            ("instance-1", "proxy-01", Proxy),
        ],
    );
    config.assign_broker_ports(3000, &BTreeSet::new());
    assert_eq!(
        broker_ports(&config),
        [
            ("logger-01", Some(3001)),
            ("manager", Some(3000)),
            ("proxy-01", Some(3002))
        ]
    );
}

#[test]
fn broker_ports_are_counted_over_all_instances_in_their_order() {
    let mut config = config(
        &[("instance-1", "0.0.0.0"), ("instance-2", "0.0.0.0")],
        &[
            ("instance-1", "manager", Manager),
            ("instance-1", "logger-01", Logger),
            ("instance-1", "proxy-01", Proxy),
            ("instance-1", "proxy-02", Proxy),
            ("instance-2", "logger-02", Logger),
            ("instance-2", "proxy-03", Proxy),
            ("instance-2", "proxy-04", Proxy),
            ("instance-2", "worker-01", Worker),
        ],
    );
    config.assign_broker_ports(2200, &BTreeSet::new());
    assert_eq!(
        broker_ports(&config),
        [
            ("logger-01", Some(2201)),
            ("logger-02", Some(2204)),
            ("manager", Some(2200)),
            ("proxy-01", Some(2202)),
            ("proxy-02", Some(2203)),
            ("proxy-03", Some(2205)),
            ("proxy-04", Some(2206)),
            ("worker-01", None)
        ]
    );
}

#[test]
fn broker_ports_in_use_are_skipped() {
    let mut config = config(&[("a", "0.0.0.0")], &[("a", "manager", Manager)]);
    let mut agent = config.instances.pop_first().unwrap();
    agent.listen_port = Some(Port::tcp(2200));
    config.instances.insert(agent);
    let mut worker = Node::new("a", "worker", Worker);
    worker.p = Some(Port::tcp(2201));
    worker.metrics_port = Some(Port::tcp(2202));
    config.nodes.insert(worker);
    config.assign_broker_ports(2200, &BTreeSet::from([2203]));
    assert_eq!(
        broker_ports(&config),
        [("manager", Some(2204)), ("worker", Some(2201))]
    );
}

#[test]
fn nodes_stay_without_port_when_numbers_run_out() {
    let mut config = config(
        &[("a", "0.0.0.0")],
        &[("a", "manager", Manager), ("a", "proxy", Proxy)],
    );
    config.assign_broker_ports(u16::MAX, &BTreeSet::new());
    assert_eq!(
        broker_ports(&config),
        [("manager", Some(u16::MAX)), ("proxy", None)]
    );
}

#[test]
fn metrics_ports_go_to_all_roles() {
    for start in [9000, 3000] {
        let mut config = config(
            &[("a", "10.0.0.1")],
            &[
                ("a", "logger", Logger),
                ("a", "manager", Manager),
                ("a", "worker", Worker),
            ],
        );
        config.assign_metrics_ports(start);
        assert_eq!(
            metrics_ports(&config),
            [
                ("logger", Some(start + 1)),
                ("manager", Some(start)),
                ("worker", Some(start + 2))
            ]
        );
    }
}

#[test]
fn metrics_ports_are_counted_per_host() {
    let nodes = [
        ("a", "manager", Manager),
        ("a", "logger", Logger),
        ("b", "worker", Worker),
    ];
    let mut two_hosts = config(&[("a", "10.0.0.1"), ("b", "10.0.0.2")], &nodes);
    two_hosts.assign_metrics_ports(9000);
    assert_eq!(
        metrics_ports(&two_hosts),
        [
            ("logger", Some(9001)),
            ("manager", Some(9000)),
            ("worker", Some(9000))
        ]
    );
    let mut one_host = config(&[("a", "10.0.0.1"), ("b", "10.0.0.1")], &nodes);
    one_host.assign_metrics_ports(9000);
    assert_eq!(
        metrics_ports(&one_host),
        [
            ("logger", Some(9001)),
            ("manager", Some(9000)),
            ("worker", Some(9002))
        ]
    );
}

#[test]
fn metrics_ports_in_use_on_the_host_are_skipped_and_explicit_ones_stay() {
    let mut config = config(&[], &[("b", "z", Worker)]);
    for (name, port) in [("a", Some(9000)), ("b", None)] {
        config.instances.insert(Instance {
            name: name.into(),
            host: "10.0.0.1".parse().unwrap(),
            listen_port: port.map(Port::tcp),
        });
    }
    let mut manager = Node::new("a", "manager", Manager);
    manager.p = Some(Port::tcp(9001));
    manager.metrics_port = Some(Port::tcp(9002));
    config.nodes.insert(manager);
    config.assign_metrics_ports(9000);
    assert_eq!(
        metrics_ports(&config),
        [("manager", Some(9002)), ("z", Some(9003))]
    );
}

#[test]
fn d22_usual_ports_of_the_framework_and_explicit_metrics_ports_are_not_handed_out() {
    let nodes = [("a", "manager", Manager), ("a", "proxy", Proxy)];
    let mut config_a = config(&[("a", "0.0.0.0")], &nodes);
    config_a.assign_broker_ports(2149, &BTreeSet::from([2149, 2150]));
    assert_eq!(
        broker_ports(&config_a),
        [("manager", Some(2152)), ("proxy", Some(2153))]
    );
    let mut config_a = config(&[("a", "0.0.0.0")], &nodes);
    config_a.assign_broker_ports(9998, &BTreeSet::new());
    assert_eq!(
        broker_ports(&config_a),
        [("manager", Some(9998)), ("proxy", Some(10000))]
    );
    let mut config_a = config(&[("a", "10.0.0.1")], &nodes);
    config_a.assign_metrics_ports(9999);
    assert_eq!(
        metrics_ports(&config_a),
        [("manager", Some(10000)), ("proxy", Some(10001))]
    );
}

#[test]
fn d23_instances_of_one_address_share_what_is_taken() {
    let mut config = config(&[], &[("a", "x", Worker), ("b", "y", Worker)]);
    for (name, port) in [("a", 9000), ("b", 9001)] {
        config.instances.insert(Instance {
            name: name.into(),
            host: "10.0.0.1".parse().unwrap(),
            listen_port: Some(Port::tcp(port)),
        });
    }
    config.assign_metrics_ports(9000);
    assert_eq!(
        metrics_ports(&config),
        [("x", Some(9002)), ("y", Some(9003))]
    );
}

#[test]
fn nodes_of_unknown_hosts_get_metrics_ports_that_fit_on_any() {
    let nodes = [
        ("a", "w-a", Worker),
        ("b", "w-b", Worker),
        ("c", "w-c", Worker),
    ];
    let hosts = [("a", "0.0.0.0"), ("b", "10.0.0.2"), ("c", "0.0.0.0")];
    let mut config = config(&hosts, &nodes);
    config.assign_metrics_ports(9000);
    assert_eq!(
        metrics_ports(&config),
        [
            ("w-a", Some(9001)),
            ("w-b", Some(9000)),
            ("w-c", Some(9002))
        ]
    );
}

fn broker_ports(config: &Configuration) -> Vec<(&str, Option<u16>)> {
    let nodes = config.nodes.iter();
    nodes.map(|n| (n.name.as_str(), n.p.map(number))).collect()
}

fn metrics_ports(config: &Configuration) -> Vec<(&str, Option<u16>)> {
    let nodes = config.nodes.iter();
    nodes
        .map(|n| (n.name.as_str(), n.metrics_port.map(number)))
        .collect()
}

fn config(instances: &[(&str, &str)], nodes: &[(&str, &str, ClusterRole)]) -> Configuration {
    let instances = instances.iter().map(|(name, host)| Instance {
        name: (*name).into(),
        host: host.parse().unwrap(),
        listen_port: None,
    });
    Configuration {
        id: "c".into(),
        instances: instances.collect(),
        nodes: nodes.iter().map(|&(i, n, r)| Node::new(i, n, r)).collect(),
    }
}
