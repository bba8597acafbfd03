//! The way in pieces against the way by values, which the recorded sessions hold to stock's bytes.

use allocation_counter::measure;
use broker_proto::codec::envelope::Envelope;
use broker_proto::zeek::EventError;
use serde_json::Value;

use super::*;
use crate::api::{ClusterEndpoint, ClusterRole};
use broker_proto::Port;

const LAYOUTS: [Layout; 6] = [
    Layout::V4_0,
    Layout::V4_1,
    Layout::V5_1,
    Layout::V6_0,
    Layout::V6_1,
    Layout::V7_0,
];

#[test]
fn recorded_answers_are_read_and_written_as_by_values() {
    let recorded = recorded();
    assert!(recorded.len() > 5, "only {}", recorded.len());
    for payload in recorded {
        let read = in_pieces(&payload).unwrap();
        assert_eq!(by_values(&payload).as_ref(), Ok(&read));
        let SupervisorResponse::Status { reqid, result } = read else {
            panic!("another response");
        };
        assert_eq!(result.encode_response(&reqid, Layout::V7_0), payload);
    }
}

#[test]
fn every_layout_is_read_and_written_as_by_values() {
    for (cluster, other) in [(0, 0), (1, 3), (40, 2), (200, 200)] {
        let status = status(&[cluster, cluster, other, cluster, 0, 0]);
        for layout in LAYOUTS {
            let payload = status.encode_response("r", layout);
            assert_eq!(payload, owned(&status, layout), "{layout:?}");
            let read = in_pieces(&payload).unwrap();
            assert_eq!(by_values(&payload), Ok(read), "{layout:?}");
        }
    }
}

/// What is refused in pieces is left to the other way, so no more than this can go wrong.
#[test]
fn whatever_is_read_in_pieces_means_the_same_by_values() {
    let whole = recorded().into_iter().filter(|it| it.len() > 1000);
    let recorded = whole.min_by_key(Bytes::len).unwrap();
    let odd = status(&[2, 2, 1]).encode_response("r", Layout::V6_0);
    for payload in [recorded, odd] {
        let mut taken = 0;
        for end in 0..payload.len() {
            assert_eq!(in_pieces(&payload[..end]), None);
        }
        let mut bytes = payload.to_vec();
        for at in 0..bytes.len() {
            let before = bytes[at];
            for change in [
                before ^ 1,
                before ^ 0x80,
                before.wrapping_add(1),
                0,
                14,
                0xff,
            ] {
                bytes[at] = change;
                if let Some(read) = in_pieces(&bytes) {
                    assert_eq!(by_values(&bytes), Ok(read), "byte {at} is {change}");
                    taken += 1;
                }
            }
            bytes[at] = before;
            let more = [&bytes[..at], &[0], &bytes[at..]].concat();
            if let Some(read) = in_pieces(&more) {
                assert_eq!(by_values(&more), Ok(read), "one more byte at {at}");
            }
        }
        assert!(taken > 100, "{taken} changes left an answer");
    }
}

#[test]
fn surplus_and_missing_fields_are_left_to_the_other_way() {
    let status = status(&[1, 1]);
    for layout in LAYOUTS {
        let (_, node) = status.nodes.iter().next().unwrap();
        let Data::Vector(fields) = node.node.clone().into_data_as(layout) else {
            panic!("no record");
        };
        let record = |fields: &[Data]| {
            let node = Data::Vector(vec![Data::Vector(fields.to_vec()), Data::None]);
            let nodes = [(Data::string("n"), node)].into_iter().collect();
            let status = Data::Vector(vec![Data::Table(nodes)]);
            Event::new(EVENT, vec![Data::string("r"), status]).encode()
        };
        assert!(in_pieces(&record(&fields)).is_some());
        let many = [fields.as_slice(), &[Data::None]].concat();
        for odd in [&many, &fields[1..], &fields[..fields.len() - 1], &[]] {
            if let Some(read) = in_pieces(&record(odd)) {
                assert_eq!(by_values(&record(odd)), Ok(read), "{layout:?}");
            }
        }
    }
}

#[test]
fn limits_hold_for_the_whole_answer() {
    let payload = status(&[9; 9]).encode_response("r", Layout::V7_0);
    let elements = |limit| Limits {
        elements: limit,
        ..Limits::default()
    };
    let fits = |limit: &usize| Event::decode(&payload, &elements(*limit)).is_ok();
    let least = (0..5000).find(fits).unwrap();
    let read = |limit| SupervisorResponse::decode_status(&payload, &elements(limit));
    assert!(read(least).is_some());
    assert_eq!(read(least - 1), None);
}

#[test]
fn nodes_of_one_cluster_have_one_table() {
    let payload = status(&[64; 64]).encode_response("r", Layout::V7_0);
    let read = in_pieces(&payload).unwrap();
    let SupervisorResponse::Status { result, .. } = read else {
        panic!("another response");
    };
    let mut clusters = result.nodes.values().map(|status| &status.node.cluster);
    let first = clusters.next().unwrap();
    assert_eq!(first.len(), 64);
    assert!(clusters.all(|cluster| cluster.is_one_with(first)));
}

#[test]
fn an_answer_takes_little_more_memory_than_its_bytes() {
    let status = status(&[64; 64]);
    let mut payload = Bytes::new();
    let written = measure(|| payload = status.encode_response("r", Layout::V7_0));
    let len = u64::try_from(payload.len()).unwrap();
    assert!(len > 200_000, "{len} bytes");
    assert!(written.bytes_max < len + 100_000, "{written:?}");
    let read = measure(|| drop(in_pieces(&payload).unwrap()));
    assert!(read.bytes_max < 100_000, "{read:?}");
}

fn in_pieces(payload: &[u8]) -> Option<SupervisorResponse> {
    SupervisorResponse::decode_status(payload, &Limits::default())
}

fn by_values(payload: &[u8]) -> Result<SupervisorResponse, EventError> {
    Event::decode(payload, &Limits::default())?.try_into()
}

fn owned(status: &Status, layout: Layout) -> Bytes {
    let nodes = status.nodes.iter().map(|(name, status)| {
        let node = status.node.clone().into_data_as(layout);
        let status = Data::Vector(vec![node, status.pid.into_data()]);
        (Data::string(name.as_str()), status)
    });
    let status = Data::Vector(vec![Data::Table(nodes.collect())]);
    Event::new(EVENT, vec![Data::string("r"), status]).encode()
}

/// Nodes in clusters of so many members; equal ones are one table, next to each other or not.
fn status(clusters: &[usize]) -> Status {
    let mut known: BTreeMap<usize, Cluster> = BTreeMap::new();
    let nodes = clusters.iter().enumerate().map(|(n, members)| {
        let cluster = known.entry(*members).or_insert_with(|| cluster(*members));
        let name = format!("node-{n:02}");
        let node = NodeConfig {
            directory: Some(format!("/var/lib/zeek-mgmt/nodes/{name}")),
            addl_user_scripts: vec!["policy/frameworks/management/node".into()],
            env: [("K".into(), "V".into())].into(),
            cluster: cluster.clone(),
            ..NodeConfig::named(name.as_str())
        };
        let pid = i64::try_from(n).ok().filter(|n| n % 3 != 0);
        (name, NodeStatus { node, pid })
    });
    Status {
        nodes: nodes.collect(),
    }
}

fn cluster(members: usize) -> Cluster {
    let members = (0..members).map(|n| {
        let endpoint = ClusterEndpoint {
            role: ClusterRole::Worker,
            host: "127.0.0.1".parse().unwrap(),
            p: Port::NONE,
            interface: Some("lo".into()),
            pcap_file: None,
            metrics_port: None,
        };
        (format!("node-{n:02}"), endpoint)
    });
    members.collect::<BTreeMap<_, _>>().into()
}

/// The payloads of all status answers that real supervisors sent their agents.
fn recorded() -> Vec<Bytes> {
    let a2c = include_str!("../../../../tests/transcripts/a2c/transcript.json");
    let c2a = include_str!("../../../../tests/transcripts/c2a/transcript.json");
    let mut payloads = Vec::new();
    for text in [a2c, c2a] {
        let transcript: Value = serde_json::from_str(text).unwrap();
        let connections = transcript["connections"].as_array().unwrap().iter();
        let messages = connections.filter_map(|connection| connection["messages"].as_array());
        let frames = messages.flatten().filter_map(|it| it["hex"].as_str());
        for frame in frames.map(unhex) {
            let Ok(envelope) = Envelope::decode(&frame) else {
                continue;
            };
            let event = Event::decode(&envelope.payload, &Limits::default());
            if event.is_ok_and(|event| event.name == EVENT) {
                payloads.push(envelope.payload);
            }
        }
    }
    payloads
}

fn unhex(text: &str) -> Bytes {
    let digits = (0..text.len()).step_by(2);
    digits
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
