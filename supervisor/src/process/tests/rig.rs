//! The whole program with a recorded peer, and an operating system without surprises.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use broker_proto::codec::envelope::Envelope;
use broker_proto::codec::frame::put_frame;
use broker_proto::peering::{LinkId, PeerAddr};
use bytes::BufMut;
use serde_json::Value;

use super::super::*;
use crate::api::{ExitEvent, SupervisorResponse};
use crate::host::{ChildId, Control, Ending, Group, Signal, Stream, Target};
use crate::settings::{OwnUnit, Policy};

pub(super) const LINK: LinkId = LinkId::Accepted(0);

pub(super) enum Frame {
    Client(Bytes),
    Server(Bytes),
}

/// The program, and an operating system in which every order succeeds at once.
pub(super) struct Rig {
    pub(super) process: SupervisorProcess,
    now: Instant,
    pub(super) sent: Vec<Bytes>,
    /// To stems.
    pub(super) told: Vec<String>,
    pub(super) children: BTreeMap<String, ChildId>,
    pub(super) pids: BTreeMap<ChildId, u32>,
    own_pids: BTreeMap<String, u32>,
    /// Told to stop; they do when their node's next life begins.
    pub(super) stopping: Vec<ChildId>,
    pub(super) stopped: bool,
    /// To the program itself.
    pub(super) answers: Vec<Output>,
    /// What becomes of directories that shall be made.
    pub(super) directory: Result<(), String>,
}

impl Rig {
    /// With the recorded server's id, and its controller and agent as own units.
    pub(super) fn new(recorded: &[Frame]) -> Self {
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
            answers: Vec::new(),
            directory: Ok(()),
        };
        rig.work();
        let remote: SocketAddr = "127.0.0.1:57190".parse().unwrap();
        let input = peering::Input::Opened {
            link: LINK,
            remote,
            certificate: None,
        };
        rig.handle(Input::Peering { input });
        rig
    }

    /// The same, and the recorded agent is its peer.
    pub(super) fn connected(recorded: &[Frame]) -> Self {
        let mut rig = Self::new(recorded);
        for frame in recorded.iter().take(6) {
            if let Frame::Client(bytes) = frame {
                rig.feed(bytes);
            }
        }
        rig
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.process.handle(self.now, input);
        self.work();
    }

    pub(super) fn wait(&mut self, time: std::time::Duration) {
        self.now += time;
        self.process.handle_timeout(self.now);
        self.work();
    }

    pub(super) fn feed(&mut self, frame: &Bytes) {
        let chunk = framed(frame);
        let input = peering::Input::Bytes { link: LINK, chunk };
        self.handle(Input::Peering { input });
    }

    pub(super) fn message(&mut self, node: &str, text: &str) {
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
    pub(super) fn print_former_life(&mut self, node: &str, frame: &Bytes) {
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
                Output::Answer { .. } | Output::AnswerLives { .. } | Output::Unanswered { .. } => {
                    self.answers.push(output);
                }
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
            HostOutput::MakeDirectory { .. } => HostInput::DirectoryMade {
                result: self.directory.clone(),
            },
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
pub(super) fn start() -> Instant {
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
pub(super) fn event<T: TryFrom<Event>>(frame: &Bytes) -> Option<T> {
    let envelope = Envelope::decode(frame).ok()?;
    let event = Event::decode(&envelope.payload, &Limits::default()).ok()?;
    T::try_from(event).ok()
}

/// A frame as the recorded client might have sent it.
pub(super) fn data_frame(recorded: &[Frame], payload: Bytes) -> Bytes {
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

pub(super) fn framed(payload: &Bytes) -> Bytes {
    put_frame(payload.len(), |out| out.put_slice(payload))
}

pub(super) fn recorded() -> Vec<Frame> {
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
