use std::collections::BTreeSet;

use broker_proto::codec::Limits;
use broker_proto::codec::data::{decode, encode};
use broker_proto::zeek::{ConvertError, FromData, ToData};

use super::*;
use crate::model::{ClusterRole, CpuAffinity, Role, State};

#[test]
fn nodes_of_old_clients_are_read_and_written_in_the_newest_layout() {
    // zeek-client 1.2.0: ten fields, the affinity is a count (tag 2).
    let old = node_bytes(10, &[b"\x02\0\0\0\0\0\0\0\x03", b"\x0d\0"]);
    // As stock writes it: an integer (tag 3), and no metrics port.
    let new = node_bytes(11, &[b"\x03\0\0\0\0\0\0\0\x03", b"\x0d\0", b"\0"]);
    let want = Node {
        interface: Some("eth0".into()),
        cpu_affinity: Some(CpuAffinity(3)),
        ..Node::new("i", "w", ClusterRole::Worker)
    };
    for bytes in [&old, &new] {
        assert_eq!(read::<Node>(bytes), Ok(want.clone()));
    }
    assert_eq!(encode(&want.into_data()), new);
}

#[test]
fn nodes_of_later_versions_are_read_without_what_is_not_known() {
    let fields: [&[u8]; 4] = [b"\0", b"\x0d\0", b"\x08\x23\x28\x01", b"\x05\x03new"];
    let later = node_bytes(12, &fields);
    let node = read::<Node>(&later).unwrap();
    assert_eq!(node.metrics_port, Some(Port::tcp(9000)));
}

#[test]
fn nodes_that_lack_more_than_the_metrics_port_are_refused_by_field() {
    let short = [b"\x0e\x02".as_slice(), b"\x05\x01w", b"\x05\x01i"].concat();
    let error = read::<Node>(&short).unwrap_err().to_string();
    assert_eq!(error, "Management::Node$role: field is missing");
}

#[test]
fn rows_of_old_agents_are_read_and_ports_that_do_not_exist_are_unset() {
    // Zeek up to 6.2: six fields, no port is 0/tcp.
    let old = status_bytes(6, &[b"\x08\0\0\x01"]);
    // Since 7.0: seven fields, no port is 0/unknown or nil.
    let new = status_bytes(7, &[b"\x08\0\0\0", b"\x08\0\0\0"]);
    let clean = status_bytes(7, &[b"\0", b"\0"]);
    let want = NodeStatus {
        node: "w".into(),
        state: State::Running,
        mgmt_role: Role::None,
        cluster_role: ClusterRole::Worker,
        pid: Some(42),
        p: None,
        metrics_port: None,
    };
    for bytes in [&old, &new, &clean] {
        let status = read::<NodeStatus>(bytes).unwrap();
        assert_eq!(status.without_null_ports(), want);
    }
    assert_eq!(encode(&want.into_data()), clean);
}

#[test]
fn ports_that_do_not_exist_are_unset_in_configurations() {
    let null = Some(Port::NONE);
    let fields: [&[u8]; 3] = [b"\0", b"\x0d\0", b"\0"];
    let mut node = read::<Node>(&node_bytes(11, &fields)).unwrap();
    let instance = |listen_port| Instance {
        name: "i".into(),
        host: broker_proto::Address::UNSPECIFIED,
        listen_port,
    };
    let config = |listen_port, node: &Node| Configuration {
        id: "c".into(),
        instances: BTreeSet::from([instance(listen_port)]),
        nodes: BTreeSet::from([node.clone()]),
    };
    let want = config(None, &node);
    (node.p, node.metrics_port) = (Some(Port::tcp(0)), null);
    assert_eq!(config(null, &node).without_null_ports(), want);
}

fn read<T: FromData>(bytes: &[u8]) -> Result<T, ConvertError> {
    T::from_data(decode(bytes, &Limits::default()).unwrap())
}

/// A worker `w` of `i` on eth0 with this many fields, the last of them given (WIRE §3.5).
fn node_bytes(fields: u8, last: &[&[u8]]) -> Vec<u8> {
    let first: [&[u8]; 8] = [
        b"\x05\x01w",
        b"\x05\x01i",
        b"\x0b\x12Supervisor::WORKER",
        b"\x0b\x13Management::RUNNING",
        b"\0",
        b"\0",
        b"\0",
        b"\x05\x04eth0",
    ];
    [&[14, fields][..], &first.concat(), &last.concat()].concat()
}

/// A running worker `w` with pid 42 and this many fields, the last of them given (WIRE §3.5).
fn status_bytes(fields: u8, last: &[&[u8]]) -> Vec<u8> {
    let first: [&[u8]; 5] = [
        b"\x05\x01w",
        b"\x0b\x13Management::RUNNING",
        b"\x0b\x10Management::NONE",
        b"\x0b\x12Supervisor::WORKER",
        b"\x03\0\0\0\0\0\0\0\x2a",
    ];
    [&[14, fields][..], &first.concat(), &last.concat()].concat()
}
