//! A recorded agent talks to the whole program (tests/transcripts/a2c, `agent-supervisor`).

mod asked;
mod rig;
mod rows;

use std::collections::BTreeMap;

use broker_proto::Data;
use broker_proto::codec::envelope::Envelope;

use super::*;
use crate::api::NodeStatusEvent;
use crate::host::{Ending, Group};
use rig::{Frame, LINK, Rig, data_frame, event, framed, recorded};

#[test]
fn a_peer_that_is_turned_away_is_not_heard_whatever_comes_with_its_last_handshake_frame() {
    let recorded = recorded();
    let mut rig = Rig::new(&recorded);
    rig.process.door = Some(Arc::new(Shut));
    let before = rig.children.len();
    let mut chunk = Vec::new();
    for frame in &recorded {
        if let Frame::Client(bytes) = frame {
            chunk.extend_from_slice(&framed(bytes));
        }
    }
    let chunk = Bytes::from(chunk);
    let input = peering::Input::Bytes { link: LINK, chunk };
    rig.handle(Input::Peering { input });
    assert_eq!(rig.process.endpoint.counters().cut.expelled, 1);
    assert_eq!(rig.children.len(), before);
}

/// Lets nobody in.
#[derive(Debug)]
struct Shut;

impl Door for Shut {
    fn admits(&self, _: &PeerNetwork) -> Result<(), String> {
        Err("closed".to_owned())
    }
}

#[test]
fn a_recorded_agent_gets_the_frames_that_stock_sent_it() {
    let recorded = recorded();
    let mut rig = Rig::new(&recorded);
    let mut want = Vec::new();
    for (at, frame) in recorded.iter().enumerate() {
        match frame {
            Frame::Client(bytes) => rig.feed(bytes),
            Frame::Server(bytes) => {
                if let Some(NodeStatusEvent::NodeStatus { node, pid }) = event(bytes) {
                    if let Some(Frame::Server(next)) = recorded.get(at + 1) {
                        rig.print_former_life(&node, next);
                    }
                    rig.message(&node, &format!("status {node} {pid}\0"));
                }
                want.push(framed(bytes));
            }
        }
    }
    assert_eq!(want.len(), 47);
    for (ours, stock) in rig.sent.iter().zip(&want) {
        assert_eq!(ours, stock, "{}", String::from_utf8_lossy(stock));
    }
    assert_eq!(rig.sent.len(), want.len());
}

#[test]
fn malformed_and_foreign_messages_are_survived() {
    let recorded = recorded();
    let mut rig = Rig::connected(&recorded);
    let before = rig.sent.len();
    for payload in [
        Bytes::new(),
        Bytes::from_static(b"\xff\xff\xff"),
        Event::new("SupervisorControl::status_request", vec![]).encode(),
        Event::new(
            "SupervisorControl::restart_request",
            vec![Data::None, Data::None],
        )
        .encode(),
        Event::new("Unknown::event", vec![]).encode(),
    ] {
        rig.feed(&data_frame(&recorded, payload));
    }
    assert_eq!(rig.sent.len(), before);
    let args = vec![Data::string("r"), Data::string("no-such-node")];
    let payload = Event::new("SupervisorControl::restart_request", args).encode();
    rig.feed(&data_frame(&recorded, payload));
    assert_eq!(rig.sent.len(), before + 1, "the link is still up");
}

#[test]
fn a_peer_of_an_older_version_is_answered_in_its_layout() {
    let recorded = recorded();
    let mut rig = Rig::connected(&recorded);
    let text = |text: &str| Data::string(text);
    let lists = || Data::Vector(vec![]);
    // Zeek 6.0, the only version with 13 fields (API §1.5).
    let node = Data::Vector(vec![
        text("old"),
        Data::None,
        text("t.pcap"),
        Data::None,
        Data::None,
        Data::None,
        Data::Boolean(true),
        lists(),
        lists(),
        Data::Vector(vec![text("local.zeek")]),
        Data::Table(BTreeMap::<Data, Data>::new().into_iter().collect()),
        Data::None,
        Data::Table(BTreeMap::<Data, Data>::new().into_iter().collect()),
    ]);
    let ask = |name: &str, what: Data| {
        let args = vec![text("r"), what];
        Event::new(format!("SupervisorControl::{name}_request"), args).encode()
    };
    rig.feed(&data_frame(&recorded, ask("create", node.clone())));
    let told = rig.told.last().unwrap();
    assert!(told.contains(r#""scripts":["local.zeek"],"#), "{told}");
    rig.feed(&data_frame(&recorded, ask("status", text("old"))));
    let answer = rig.sent.last().unwrap().slice(4..);
    let answer = Envelope::decode(&answer).unwrap();
    let answer = Event::decode(&answer.payload, &Limits::default()).unwrap();
    let status = Data::Vector(vec![node, Data::None]);
    let nodes = Data::Table([(text("old"), status)].into_iter().collect());
    assert_eq!(answer.args, [text("r"), Data::Vector(vec![nodes])]);
}

#[test]
fn a_node_that_makes_no_sense_is_answered_for() {
    let recorded = recorded();
    let mut rig = Rig::connected(&recorded);
    let endpoint = Data::Vector(vec![
        Data::enum_value("Supervisor::BOSS"),
        Data::Address("127.0.0.1".parse().unwrap()),
        Data::Port(broker_proto::Port::tcp(1)),
    ]);
    let mut node = vec![Data::string("w")];
    node.resize(11, Data::None);
    node.push(Data::Table(
        [(Data::string("w"), endpoint)].into_iter().collect(),
    ));
    let args = vec![Data::string("r7"), Data::Vector(node)];
    let request = Event::new("SupervisorControl::create_request", args);
    rig.feed(&data_frame(&recorded, request.encode()));
    let answer = Envelope::decode(&rig.sent.last().unwrap().slice(4..)).unwrap();
    assert_eq!(
        answer.topic.to_string(),
        "zeek/supervisor/create_response/r7"
    );
    let answer = Event::decode(&answer.payload, &Limits::default()).unwrap();
    let why = "node cannot be created: Supervisor::NodeConfig, Cluster: value: \
               Supervisor::ClusterEndpoint$role: unknown value Supervisor::BOSS of enum ClusterRole";
    assert_eq!(answer.args, [Data::string("r7"), Data::string(why)]);
    assert!(rig.told.is_empty());
}

#[test]
fn a_shutdown_ends_with_one_stopped_when_units_and_peers_are_gone() {
    let recorded = recorded();
    let mut rig = Rig::new(&recorded);
    rig.handle(Input::Shutdown);
    assert!(!rig.stopped);
    for (child, pid) in rig.pids.clone() {
        let ending = Ending::Status(0);
        let group = Group::Empty;
        let input = HostInput::Exited {
            child,
            pid,
            ending,
            group,
        };
        rig.handle(Input::Host { input });
    }
    rig.handle(Input::Peering {
        input: peering::Input::Closed {
            link: LINK,
            reason: "closed".into(),
        },
    });
    assert!(rig.stopped);
}
