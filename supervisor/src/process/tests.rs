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
    let input = peering::Input::Bytes {
        link: LINK,
        chunk: chunk.clone(),
    };
    rig.handle(Input::Peering { input });
    assert_eq!(rig.process.endpoint.counters().cut.expelled, 1);
    // However often it comes.
    for n in 10..14 {
        let link = peering::LinkId::Accepted(n);
        let opened = peering::Input::Opened {
            link,
            remote: "127.0.0.1:57191".parse().unwrap(),
            certificate: None,
        };
        let chunk = chunk.clone();
        let bytes = peering::Input::Bytes { link, chunk };
        for input in [opened, bytes] {
            rig.handle(Input::Peering { input });
        }
    }
    assert_eq!(rig.process.endpoint.counters().cut.expelled, 5);
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
        Event::new(
            "SupervisorControl::destroy_request",
            vec![Data::string("r"), Data::None],
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
    let node = node_of_6_0();
    rig.feed(&data_frame(&recorded, ask("create", node.clone())));
    let told = rig.told.last().unwrap();
    assert!(told.contains(r#""scripts":["local.zeek"],"#), "{told}");
    assert_eq!(listed(&mut rig, &recorded), node);
}

#[test]
fn what_the_operator_says_of_the_peers_version_counts_whatever_it_shows() {
    let recorded = recorded();
    let mut rig = Rig::connected(&recorded);
    rig.process.layout = LayoutKnown::Told(Layout::V7_0);
    rig.feed(&data_frame(&recorded, ask("create", node_of_6_0())));
    let Data::Vector(fields) = listed(&mut rig, &recorded) else {
        panic!("a record is a vector");
    };
    // Without `scripts` (API §1.5).
    assert_eq!(fields.len(), 12);
}

fn ask(name: &str, what: Data) -> Bytes {
    let args = vec![Data::string("r"), what];
    Event::new(format!("SupervisorControl::{name}_request"), args).encode()
}

/// The configuration of the node `old` in the answer to a status request.
fn listed(rig: &mut Rig, recorded: &[Frame]) -> Data {
    rig.feed(&data_frame(recorded, ask("status", Data::string("old"))));
    let answer = rig.sent.last().unwrap().slice(4..);
    let answer = Envelope::decode(&answer).unwrap();
    let answer = Event::decode(&answer.payload, &Limits::default()).unwrap();
    let [reqid, Data::Vector(status)] = &answer.args[..] else {
        panic!("no status: {answer:?}");
    };
    let [Data::Table(nodes)] = &status[..] else {
        panic!("no nodes: {status:?}");
    };
    let nodes: Vec<_> = nodes.into_iter().collect();
    let [(name, Data::Vector(node))] = &nodes[..] else {
        panic!("not one node: {nodes:?}");
    };
    assert_eq!((reqid, *name), (&Data::string("r"), &Data::string("old")));
    assert_eq!((node.len(), &node[1]), (2, &Data::None));
    node[0].clone()
}

/// Zeek 6.0 is the only version with 13 fields (API §1.5).
fn node_of_6_0() -> Data {
    let text = |text: &str| Data::string(text);
    let lists = || Data::Vector(vec![]);
    let tables = || Data::Table(BTreeMap::<Data, Data>::new().into_iter().collect());
    Data::Vector(vec![
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
        tables(),
        Data::None,
        tables(),
    ])
}

#[test]
fn a_supervisor_without_an_address_listens_nowhere() {
    let settings = Settings {
        listen: None,
        zeek: "zeek".into(),
        args: Vec::new(),
        own: Vec::new(),
        policy: crate::settings::Policy::default(),
    };
    let id = EndpointId::from_bytes([1; 16]);
    let mut process = SupervisorProcess::new(settings, id, IdGen::new(1), rig::start());
    let outputs: Vec<Output> = std::iter::from_fn(|| process.poll_output()).collect();
    assert!(outputs.is_empty(), "{outputs:?}");
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
