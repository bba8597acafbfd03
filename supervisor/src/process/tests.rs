//! A recorded agent talks to the whole program (tests/transcripts/a2c, `agent-supervisor`).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use broker_proto::Data;
use broker_proto::codec::envelope::Envelope;
use broker_proto::codec::frame::put_frame;
use broker_proto::peering::{LinkId, PeerAddr};
use bytes::BufMut;
use serde_json::Value;

use super::*;
use crate::api::{ExitEvent, NodeStatusEvent, SupervisorResponse};
use crate::host::{ChildId, Control, Ending, Group, Signal, Stream, Target};
use crate::settings::{OwnUnit, Policy};

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
    let mut rig = Rig::new(&recorded);
    for frame in recorded.iter().take(6) {
        if let Frame::Client(bytes) = frame {
            rig.feed(bytes);
        }
    }
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
    let mut rig = Rig::new(&recorded);
    for frame in recorded.iter().take(6) {
        if let Frame::Client(bytes) = frame {
            rig.feed(bytes);
        }
    }
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
    let mut rig = Rig::new(&recorded);
    for frame in recorded.iter().take(6) {
        if let Frame::Client(bytes) = frame {
            rig.feed(bytes);
        }
    }
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

const LINK: LinkId = LinkId::Accepted(0);

enum Frame {
    Client(Bytes),
    Server(Bytes),
}

/// The program, and an operating system in which every order succeeds at once.
struct Rig {
    process: SupervisorProcess,
    now: Instant,
    sent: Vec<Bytes>,
    /// To stems.
    told: Vec<String>,
    children: BTreeMap<String, ChildId>,
    pids: BTreeMap<ChildId, u32>,
    own_pids: BTreeMap<String, u32>,
    /// Told to stop; they do when their node's next life begins.
    stopping: Vec<ChildId>,
    stopped: bool,
}

impl Rig {
    /// With the recorded server's id, and its controller and agent as own units.
    fn new(recorded: &[Frame]) -> Self {
        let own = own_units(recorded);
        let settings = Settings {
            listen: Some(PeerAddr {
                host: "127.0.0.1".into(),
                port: 9999,
            }),
            zeek: "zeek".into(),
            args: Vec::new(),
            own: own.iter().map(|(own, _)| own.clone()).collect(),
            policy: Policy::default(),
        };
        let Frame::Server(select) = &recorded[2] else {
            panic!("no version_select");
        };
        let id = EndpointId::from_bytes(select[5..21].try_into().unwrap());
        let now = start();
        let mut rig = Self {
            process: SupervisorProcess::new(settings, id, IdGen::new(1), now),
            now,
            sent: Vec::new(),
            told: Vec::new(),
            children: BTreeMap::new(),
            pids: BTreeMap::new(),
            own_pids: own
                .into_iter()
                .map(|(own, pid)| (own.node.name, pid))
                .collect(),
            stopping: Vec::new(),
            stopped: false,
        };
        rig.work();
        let remote: SocketAddr = "127.0.0.1:57190".parse().unwrap();
        let input = peering::Input::Opened { link: LINK, remote };
        rig.handle(Input::Peering { input });
        rig
    }

    fn handle(&mut self, input: Input) {
        self.process.handle(self.now, input);
        self.work();
    }

    fn feed(&mut self, frame: &Bytes) {
        let chunk = framed(frame);
        let input = peering::Input::Bytes { link: LINK, chunk };
        self.handle(Input::Peering { input });
    }

    fn message(&mut self, node: &str, text: &str) {
        if self.stopping.contains(&self.children[node]) {
            self.end(self.children[node]);
        }
        let (child, chunk) = (self.children[node], text.to_owned().into());
        let input = HostInput::Message { child, chunk };
        self.handle(Input::Host { input });
    }

    fn end(&mut self, child: ChildId) {
        self.stopping.retain(|other| *other != child);
        let input = HostInput::Exited {
            child,
            pid: self.pids[&child],
            ending: Ending::Status(0),
            group: Group::Empty,
        };
        self.handle(Input::Host { input });
    }

    /// Prints what the recorded server tells about `node` in `frame`, if it does.
    fn print_former_life(&mut self, node: &str, frame: &Bytes) {
        let Some(ExitEvent::NotifyNodeExit { outputs, .. }) = event(frame) else {
            return;
        };
        for (stream, text) in [
            (Stream::Stdout, outputs.outputs.stdout),
            (Stream::Stderr, outputs.outputs.stderr),
        ] {
            for line in text.to_str().unwrap().lines() {
                let input = HostInput::Printed {
                    child: self.children[node],
                    stream,
                    chunk: format!("[{node}] {line}\n").into(),
                };
                self.handle(Input::Host { input });
            }
        }
    }

    /// Does what the program orders until it orders nothing.
    fn work(&mut self) {
        while let Some(output) = self.process.poll_output() {
            match output {
                Output::Peering { output } => self.on_peering(output),
                Output::Host { output } => self.on_host(output),
                Output::Stopped => self.stopped = true,
            }
        }
    }

    fn on_peering(&mut self, output: peering::Output) {
        if let peering::Output::Send { link, bytes } = output {
            self.sent.push(bytes);
            let input = peering::Input::Sent { link, messages: 1 };
            self.process.handle(self.now, Input::Peering { input });
        }
    }

    fn on_host(&mut self, output: HostOutput) {
        let input = match output {
            HostOutput::MakeDirectory { .. } => HostInput::DirectoryMade { result: Ok(()) },
            HostOutput::Spawn { child, launch } => {
                let mut pid = 1000 + u32::try_from(child.unit).unwrap();
                if launch.control == Control::Absent {
                    pid = self.own_pids[&launch.args[0]];
                }
                self.pids.insert(child, pid);
                HostInput::Spawned { child, pid }
            }
            HostOutput::Tell { child, message } => {
                let text = std::str::from_utf8(&message).unwrap();
                self.told.push(text.to_owned());
                if let Some(rest) = text.strip_prefix("create ") {
                    let name = rest.split_once(' ').unwrap().0;
                    self.children.insert(name.to_owned(), child);
                }
                return;
            }
            HostOutput::Signal {
                child,
                target: Target::Process,
                signal: Signal::Term,
                ..
            } => return self.stopping.push(child),
            HostOutput::Signal { .. }
            | HostOutput::OpenFiles { .. }
            | HostOutput::WriteLine { .. }
            | HostOutput::CloseFiles { .. } => return,
        };
        self.process.handle(self.now, Input::Host { input });
    }
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}

/// The units of the first recorded status response, with their pids.
fn own_units(recorded: &[Frame]) -> Vec<(OwnUnit, u32)> {
    let status = recorded.iter().find_map(|frame| match frame {
        Frame::Server(bytes) => match event(bytes) {
            Some(SupervisorResponse::Status { result, .. }) => Some(result),
            _ => None,
        },
        Frame::Client(_) => None,
    });
    let nodes = status.unwrap().nodes.into_values();
    nodes
        .map(|status| {
            let argv = vec!["zeek-mgmt".into(), status.node.name.clone()];
            let pid = status.pid.unwrap().try_into().unwrap();
            let node = status.node;
            (OwnUnit { node, argv }, pid)
        })
        .collect()
}

/// The event in a recorded data frame, if it is one of those wanted.
fn event<T: TryFrom<Event>>(frame: &Bytes) -> Option<T> {
    let envelope = Envelope::decode(frame).ok()?;
    let event = Event::decode(&envelope.payload, &Limits::default()).ok()?;
    T::try_from(event).ok()
}

/// A frame as the recorded client might have sent it.
fn data_frame(recorded: &[Frame], payload: Bytes) -> Bytes {
    let request = recorded.iter().find_map(|frame| match frame {
        Frame::Client(bytes) => {
            let envelope = Envelope::decode(bytes).ok()?;
            (envelope.topic == TOPIC).then_some(envelope)
        }
        Frame::Server(_) => None,
    });
    let mut envelope = request.unwrap();
    envelope.payload = payload;
    envelope.encode()
}

fn framed(payload: &Bytes) -> Bytes {
    put_frame(payload.len(), |out| out.put_slice(payload))
}

fn recorded() -> Vec<Frame> {
    let text = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/transcripts/a2c/transcript.json"
    ));
    let transcript: Value = serde_json::from_str(text).unwrap();
    let mut connections = transcript["connections"].as_array().unwrap().iter();
    let connection = connections
        .find(|c| c["name"] == "agent-supervisor")
        .unwrap();
    let messages = connection["messages"].as_array().unwrap().iter();
    messages
        .map(|message| {
            let bytes = unhex(message["hex"].as_str().unwrap());
            match message["from"].as_str().unwrap() {
                "client" => Frame::Client(bytes),
                _ => Frame::Server(bytes),
            }
        })
        .collect()
}

fn unhex(text: &str) -> Bytes {
    let digits = (0..text.len()).step_by(2);
    digits
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
