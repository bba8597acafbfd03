use super::*;
use crate::model::{Instance, Node, NodeOption};

use ClusterRole::{Logger, Manager, Worker};

#[test]
fn an_ordinary_cluster_is_no_reason_to_worry() {
    let config = config(
        &["a", "b"],
        vec![
            Node::new("a", "manager", Manager),
            Node::new("a", "logger", Logger),
            Node::new("b", "worker", Worker),
        ],
    );
    assert_eq!(config.warnings(), [""; 0]);
    assert_eq!(self::config(&["a"], vec![]).warnings(), [""; 0]);
}

#[test]
fn none_and_several_managers_are_odd() {
    let none = config(&["a"], vec![Node::new("a", "w", Worker)]);
    assert_eq!(none.warnings(), ["no node is a manager"]);
    let two = vec![Node::new("a", "m2", Manager), Node::new("a", "m1", Manager)];
    assert_eq!(config(&["a"], two).warnings(), ["several managers: m1, m2"]);
}

#[test]
fn ports_that_others_use_are_odd() {
    let mut manager = Node::new("a", "m", Manager);
    manager.p = Some(Port::tcp(80));
    manager.metrics_port = Some(Port::tcp(2149));
    assert_eq!(
        config(&["a"], vec![manager]).warnings(),
        [
            "node 'm' metrics port 2149/tcp is the controller's WebSocket port",
            "node 'm' port 80/tcp is a well-known port",
        ]
    );
}

#[test]
fn d01_names_that_begin_alike_are_odd() {
    let nodes = vec![Node::new("s-1", "m", Manager)];
    assert_eq!(
        config(&["s-1", "s-10", "s-2"], nodes).warnings(),
        ["a stock agent of instance 's-1' also obeys messages to 's-10'"]
    );
}

#[test]
fn d65_brackets_in_names_are_odd() {
    assert_eq!(
        config(&["a"], vec![Node::new("a", "m[1]", Manager)]).warnings(),
        ["node 'm[1]' has brackets in its name: a stock Supervisor loses its output"]
    );
}

#[test]
fn d27_options_and_states_are_carried_but_said_to_do_nothing() {
    let mut manager = Node::new("a", "m", Manager);
    manager.state = State::Stopped;
    manager.options = Some(BTreeSet::from([NodeOption {
        name: "Foo::x".into(),
        value: "1".into(),
    }]));
    assert_eq!(
        config(&["a"], vec![manager]).warnings(),
        [
            "stock agents ignore the options of nodes m",
            "the desired state of nodes m has no effect",
        ]
    );
}

fn config(instances: &[&str], nodes: Vec<Node>) -> Configuration {
    let instances = instances.iter().map(|name| Instance {
        name: (*name).into(),
        host: Address::UNSPECIFIED,
        listen_port: None,
    });
    Configuration {
        id: "c".into(),
        instances: instances.collect(),
        nodes: nodes.into_iter().collect(),
    }
}
