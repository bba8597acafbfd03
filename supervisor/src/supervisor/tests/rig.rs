//! A supervisor under test, and short ways to write its inputs and outputs.

use std::time::Duration;

use super::*;
use crate::api::{ClusterEndpoint, ClusterRole, NodeEnd, NodeExit};

pub(super) const A1: ChildId = child(1, 1);

pub(super) const fn child(unit: u64, generation: u64) -> ChildId {
    ChildId { unit, generation }
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
pub(super) fn start() -> Instant {
    Instant::now()
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A supervisor, the time, and shorthands.
pub(super) struct Rig {
    supervisor: Supervisor,
    now: Instant,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with_own(Vec::new())
    }

    pub(super) fn with_own(own: Vec<OwnUnit>) -> Self {
        Self::with(own, Policy::default())
    }

    pub(super) fn with(own: Vec<OwnUnit>, policy: Policy) -> Self {
        let now = start();
        let settings = Settings {
            listen: Some(broker_proto::peering::PeerAddr {
                host: "127.0.0.1".into(),
                port: 9999,
            }),
            zeek: "/opt/zeek/bin/zeek".into(),
            args: vec!["local.zeek".into(), "X::y=1".into()],
            own,
            policy,
        };
        let supervisor = Supervisor::new(settings, now);
        Self { supervisor, now }
    }

    /// For tests with a system of their own.
    pub(super) fn into_parts(self) -> (Supervisor, Instant) {
        (self.supervisor, self.now)
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.supervisor.handle(self.now, input);
    }

    pub(super) fn request(&mut self, request: SupervisorRequest) {
        self.handle(Input::Request { request });
    }

    pub(super) fn host(&mut self, input: HostInput) {
        self.handle(Input::Host { input });
    }

    pub(super) fn message(&mut self, child: ChildId, text: &str) {
        let chunk = text.to_owned().into();
        self.host(HostInput::Message { child, chunk });
    }

    pub(super) fn printed(&mut self, child: ChildId, stream: Stream, text: &str) {
        let chunk = text.to_owned().into();
        self.host(HostInput::Printed {
            child,
            stream,
            chunk,
        });
    }

    pub(super) fn directory_made(&mut self) {
        self.host(HostInput::DirectoryMade { result: Ok(()) });
    }

    pub(super) fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.supervisor.poll_output()).collect()
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.supervisor.handle_timeout(self.now);
    }

    /// From now to the next deadline.
    pub(super) fn due(&self) -> Option<Duration> {
        Some(self.supervisor.poll_timeout()?.duration_since(self.now))
    }

    pub(super) fn status(&mut self, node: &str) -> BTreeMap<String, NodeStatus> {
        let (reqid, node) = ("s".to_owned(), node.to_owned());
        self.request(SupervisorRequest::Status { reqid, node });
        match self.drain().pop() {
            Some(Output::Respond {
                response: SupervisorResponse::Status { result, .. },
            }) => result.nodes,
            other => panic!("no status but {other:?}"),
        }
    }

    /// `None` if the node is not listed.
    pub(super) fn pid(&mut self, node: &str) -> Option<Option<i64>> {
        Some(self.status(node).get(node)?.pid)
    }

    /// Creates a node and brings it up; its own pid follows the stem's.
    pub(super) fn run(&mut self, node: &str, child: ChildId, stem_pid: u32) {
        self.run_as(NodeConfig::named(node), child, stem_pid);
    }

    pub(super) fn run_as(&mut self, config: NodeConfig, child: ChildId, stem_pid: u32) {
        let node = config.name.clone();
        self.request(create("r0", config));
        self.host(spawned(child, stem_pid));
        self.message(child, &format!("status {node} {}\0", stem_pid + 1));
        self.drain();
    }
}

/// A node that is alone in its cluster.
pub(super) fn with_role(name: &str, role: ClusterRole) -> NodeConfig {
    let endpoint = ClusterEndpoint {
        role,
        host: "127.0.0.1".parse().unwrap(),
        p: broker_proto::Port::tcp(2200),
        interface: None,
        pcap_file: None,
        metrics_port: None,
    };
    let mut node = NodeConfig::named(name);
    node.cluster.insert(name.into(), endpoint);
    node
}

pub(super) fn in_directory(name: &str, directory: &str) -> NodeConfig {
    let mut node = NodeConfig::named(name);
    node.directory = Some(directory.into());
    node
}

pub(super) fn create(reqid: &str, node: NodeConfig) -> SupervisorRequest {
    let reqid = reqid.into();
    SupervisorRequest::Create { reqid, node }
}

pub(super) fn restart(reqid: &str, node: &str) -> SupervisorRequest {
    let (reqid, node) = (reqid.into(), node.into());
    SupervisorRequest::Restart { reqid, node }
}

pub(super) fn destroy(reqid: &str, node: &str) -> SupervisorRequest {
    let (reqid, node) = (reqid.into(), node.into());
    SupervisorRequest::Destroy { reqid, node }
}

pub(super) fn created(reqid: &str, result: &str) -> Output {
    let (reqid, result) = (reqid.into(), result.into());
    let response = SupervisorResponse::Create { reqid, result };
    Output::Respond { response }
}

pub(super) fn restarted(reqid: &str, result: bool) -> Output {
    let reqid = reqid.into();
    let response = SupervisorResponse::Restart { reqid, result };
    Output::Respond { response }
}

pub(super) fn destroyed(reqid: &str, result: bool) -> Output {
    let reqid = reqid.into();
    let response = SupervisorResponse::Destroy { reqid, result };
    Output::Respond { response }
}

pub(super) fn node_status(node: &str, pid: u64) -> Output {
    let node = node.into();
    let event = NodeStatusEvent::NodeStatus { node, pid };
    Output::NodeStatus { event }
}

pub(super) fn node_exit(node: &str, stdout: &str, stderr: &str) -> Output {
    let node = node.into();
    let outputs = NodeOutputs {
        stdout: stdout.into(),
        stderr: stderr.into(),
    };
    let outputs = outputs.into();
    let event = ExitEvent::NotifyNodeExit { node, outputs };
    Output::NodeExit { event }
}

/// The end of a first life of this length, without status or signal.
pub(super) fn ran(run_time: Duration) -> NodeEnd {
    NodeEnd {
        run_time,
        ..NodeEnd::default()
    }
}

/// A death that nobody ordered, of a node that wrote nothing.
pub(super) fn died(node: &str, end: NodeEnd) -> Output {
    died_saying(node, "", end)
}

pub(super) fn died_saying(node: &str, stderr: &str, end: NodeEnd) -> Output {
    let node = node.into();
    let outputs = NodeExit {
        outputs: NodeOutputs {
            stdout: "".into(),
            stderr: stderr.into(),
        },
        end: Some(end),
    };
    let event = ExitEvent::NotifyNodeExit { node, outputs };
    Output::NodeExit { event }
}

pub(super) fn spawned(child: ChildId, pid: u32) -> HostInput {
    HostInput::Spawned { child, pid }
}

/// An end that leaves nobody behind.
pub(super) fn exited(child: ChildId, pid: u32, ending: Ending) -> HostInput {
    let group = Group::Empty;
    HostInput::Exited {
        child,
        pid,
        ending,
        group,
    }
}

/// An end that leaves others of its process group behind.
pub(super) fn bereaved(child: ChildId, pid: u32, ending: Ending) -> HostInput {
    let group = Group::Alive;
    HostInput::Exited {
        child,
        pid,
        ending,
        group,
    }
}

pub(super) fn host(output: HostOutput) -> Output {
    Output::Host { output }
}

pub(super) fn make_directory(path: &str) -> Output {
    let path = path.into();
    host(HostOutput::MakeDirectory { path })
}

pub(super) fn spawn(child: ChildId) -> Output {
    let launch = Launch {
        program: "/opt/zeek/bin/zeek".into(),
        args: ["-j", "local.zeek", "X::y=1"].map(String::from).to_vec(),
        env: Vec::new(),
        node: None,
        directory: None,
        control: Control::Stem,
    };
    host(HostOutput::Spawn { child, launch })
}

pub(super) fn tell(child: ChildId, text: &str) -> Output {
    let message = text.to_owned().into();
    host(HostOutput::Tell { child, message })
}

pub(super) fn term(child: ChildId, pid: u32) -> Output {
    signal(child, pid, Target::Process, Signal::Term)
}

pub(super) fn sweep(child: ChildId, pid: u32) -> Output {
    signal(child, pid, Target::Group, Signal::Term)
}

pub(super) fn kill(child: ChildId, pid: u32) -> Output {
    signal(child, pid, Target::Group, Signal::Kill)
}

pub(super) fn signal(child: ChildId, pid: u32, target: Target, signal: Signal) -> Output {
    host(HostOutput::Signal {
        child,
        pid,
        target,
        signal,
    })
}

pub(super) fn open(node: &str, directory: Option<&str>) -> Output {
    let (node, directory) = (node.into(), directory.map(Into::into));
    host(HostOutput::OpenFiles { node, directory })
}

pub(super) fn close(node: &str) -> Output {
    let node = node.into();
    host(HostOutput::CloseFiles { node })
}

pub(super) fn line(node: &str, stream: Stream, line: &str) -> Output {
    let (node, line) = (node.into(), line.to_owned().into());
    host(HostOutput::WriteLine { node, stream, line })
}
