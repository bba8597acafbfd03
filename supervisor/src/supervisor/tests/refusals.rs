//! Nodes that are not created, and why (API §9.2).

use super::*;
use crate::api::ClusterRole;

#[test]
fn stock_errors_come_in_stock_order_and_words() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    let mut both = NodeConfig::named("b");
    both.interface = Some("lo".into());
    both.pcap_file = Some("t.pcap".into());
    let mut known_and_both = both.clone();
    known_and_both.name = "a".into();
    let mut both_and_more = both.clone();
    both_and_more.cpu_affinity = Some(-1);
    both_and_more.directory = Some("/proc/x".into());
    for (node, text) in [
        (
            NodeConfig::named(""),
            "node names must not be an empty string",
        ),
        (
            NodeConfig::named("a b"),
            "node names must not contain spaces: 'a b'",
        ),
        (
            NodeConfig::named("a /"),
            "node names must not contain spaces: 'a /'",
        ),
        (NodeConfig::named("a"), "node with name 'a' already exists"),
        (known_and_both, "node with name 'a' already exists"),
        (both, "node with name 'b' has interface and pcap_file set"),
        (
            both_and_more,
            "node with name 'b' has interface and pcap_file set",
        ),
    ] {
        assert_refused(&mut rig, node, text);
    }
}

#[test]
fn what_stock_stumbles_over_later_is_refused_with_a_reason() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    let long = "x".repeat(256);
    for (name, text) in [
        ("b\0", "node names must not contain NUL bytes"),
        ("b\nc", "node names must not contain control characters"),
        ("../b", "node names must not be paths: '../b'"),
        (".", "node names must not be paths: '.'"),
        ("b[1", "node names must not contain brackets: 'b[1'"),
        ("b]1", "node names must not contain brackets: 'b]1'"),
        (&long, "node names must not be longer than 255 bytes"),
    ] {
        assert_refused(&mut rig, NodeConfig::named(name), text);
    }
    for (change, text) in [
        (
            (|node| node.cpu_affinity = Some(-1)) as fn(&mut NodeConfig),
            "node with name 'b' has no CPU -1 to run on",
        ),
        (
            |node| node.cpu_affinity = Some(1024),
            "node with name 'b' has no CPU 1024 to run on",
        ),
        (
            |node| drop(node.env.insert("ZEEK_STEM".into(), String::new())),
            "node with name 'b' must not have ZEEK_STEM in its environment",
        ),
        (
            |node| drop(node.env.insert("A=B".into(), String::new())),
            "node with name 'b' has an environment variable that cannot be: 'A=B'",
        ),
        (
            |node| drop(node.env.insert(String::new(), String::new())),
            "node with name 'b' has an environment variable that cannot be: ''",
        ),
        (
            |node| drop(node.env.insert("A".into(), "\0".into())),
            "node with name 'b' has an environment variable that cannot be: 'A'",
        ),
        (
            |node| node.directory = Some("d\0".into()),
            "node with name 'b' has a NUL byte in its directory",
        ),
        (
            |node| node.addl_user_scripts = vec!["s".into(), "\0".into()],
            "node with name 'b' has a NUL byte in its addl_user_scripts",
        ),
        (
            |node| node.cluster = with_role("c", ClusterRole::None).cluster,
            "node with name 'b' has a cluster member without role: 'c'",
        ),
    ] {
        let mut node = NodeConfig::named("b");
        change(&mut node);
        assert_refused(&mut rig, node, text);
    }
    let mut node = NodeConfig::named(&long[..255]);
    node.cpu_affinity = Some(1023);
    rig.request(create("r", node));
    assert_eq!(rig.drain(), [created("r", ""), spawn(child(2, 1))]);
}

/// And nobody else notices.
fn assert_refused(rig: &mut Rig, node: NodeConfig, text: &str) {
    rig.request(create("r", node));
    assert_eq!(rig.drain(), [created("r", text)]);
    assert_eq!(rig.pid("a"), Some(Some(101)));
    assert_eq!(rig.status("").len(), 1);
}
