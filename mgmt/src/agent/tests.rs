mod defects;
mod doubts;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use broker_proto::{Address, ByteString, Port};
use supervisor::api::{
    MANAGEMENT_NODE_VARIABLE, NodeConfig, NodeEnd, NodeExit, NodeStatus, Status,
};

use super::*;
use crate::model::{ClusterRole, Configuration, CpuAffinity, Instance, Node, NodeOutputs, State};
use crate::settings::Deploying;

#[test]
fn a_starting_agent_dials_its_supervisor_and_its_controller() {
    let mut rig = Rig::unpeered(settings());
    let dial = |port| Output::Peer {
        addr: local(port),
        retry: Duration::from_secs(1),
    };
    assert_eq!(rig.drain(), [dial(9999), dial(2150)]);
    assert_eq!(rig.agent.poll_timeout(), None);
}

#[test]
fn an_agent_without_controller_address_dials_its_supervisor_only() {
    let mut rig = Rig::unpeered(AgentSettings {
        controller: None,
        ..settings()
    });
    let dial = Output::Peer {
        addr: local(9999),
        retry: Duration::from_secs(1),
    };
    assert_eq!(rig.drain(), [dial]);
}

#[test]
fn hello_waits_for_the_supervisor_and_is_said_again_a_second_after_the_controller_came() {
    let mut rig = Rig::unpeered(settings());
    rig.drain();
    assert_eq!(rig.peer_up(CONTROLLER, Some(2150)), []);
    assert_eq!(rig.peer_up(SUPERVISOR, Some(9999)), [hello(true)]);
    assert_eq!(rig.agent.poll_timeout(), Some(rig.now + secs(1)));
    assert_eq!(rig.pass(secs(1)), [hello(true)]);
    assert_eq!(rig.agent.poll_timeout(), None);
}

#[test]
fn hello_is_said_for_every_peer_but_again_only_for_those_that_are_not_nodes() {
    let mut rig = Rig::unpeered(AgentSettings {
        controller: None,
        ..settings()
    });
    rig.drain();
    assert_eq!(rig.peer_up(SUPERVISOR, Some(9999)), [hello(false)]);
    assert_eq!(rig.agent.poll_timeout(), None);
    assert_eq!(rig.peer_up(peer(7), None), [hello(false)]);
    assert_eq!(rig.node_hello("manager", peer(7)), []);
    assert_eq!(rig.agent.poll_timeout(), None);
    assert_eq!(rig.peer_up(CONTROLLER, None), [hello(false)]);
    assert_eq!(rig.pass(secs(1)), [hello(false)]);
    assert_eq!(rig.pass(secs(9)), []);
}

#[test]
fn an_agent_without_supervisor_does_not_offer_itself() {
    let mut rig = Rig::new();
    rig.peer_down(SUPERVISOR);
    assert_eq!(rig.peer_up(CONTROLLER, Some(2150)), []);
    assert_eq!(rig.pass(secs(1)), []);
    assert_eq!(rig.peer_up(SUPERVISOR, Some(9999)), [hello(true)]);
}

#[test]
fn losing_another_peer_leaves_the_supervisor_peered() {
    let mut rig = Rig::new();
    rig.peer_down(CONTROLLER);
    assert_eq!(rig.peer_up(CONTROLLER, Some(2150)), [hello(true)]);
}

#[test]
fn welcome_is_answered_at_once() {
    let mut rig = Rig::new();
    let reqid = "RvWtEIuo5jg".to_owned();
    assert_eq!(
        rig.ask(AgentRequest::Welcome { reqid }),
        [respond(AgentResponse::Welcome {
            reqid: "RvWtEIuo5jg".into(),
            result: ok("RvWtEIuo5jg"),
        })]
    );
}

#[test]
fn a_supervisor_that_cannot_destroy_a_node_is_reported() {
    let mut rig = Rig::new();
    let (_, orders) = rig.deploy("r1", config("c1", vec![]), status(["stray"]));
    let id = order_id(&orders[0]);
    assert_eq!(
        rig.supervisor(SupervisorResponse::Destroy {
            reqid: id.clone(),
            result: false,
        }),
        [error(
            "stray",
            &format!("failed to destroy node stray, {id}")
        )]
    );
}

/// An agent and what it will number its requests with.
pub(super) struct Rig {
    pub(super) agent: Agent,
    pub(super) now: Instant,
    ids: IdGen,
    /// Creates that the supervisor has not answered, by node.
    creates: BTreeMap<String, String>,
    /// States that nodes changed to, and what the controller was told besides.
    notices: Vec<String>,
}

pub(super) const SUPERVISOR: EndpointId = peer(1);
pub(super) const CONTROLLER: EndpointId = peer(2);

impl Rig {
    pub(super) fn unpeered(settings: AgentSettings) -> Self {
        Self {
            agent: Agent::new(settings, own_id(), IdGen::new(1)),
            now: start(),
            ids: IdGen::new(1),
            creates: BTreeMap::new(),
            notices: Vec::new(),
        }
    }

    /// One that has its supervisor and has greeted its controller.
    pub(super) fn with(settings: AgentSettings) -> Self {
        let mut rig = Self::unpeered(settings);
        rig.peer_up(SUPERVISOR, Some(9999));
        rig.peer_up(CONTROLLER, Some(2150));
        rig.pass(secs(1));
        rig
    }

    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    /// One that runs [`recorded`].
    pub(super) fn deployed() -> Self {
        let mut rig = Self::new();
        rig.deploy("r0", recorded(), status([]));
        for name in NAMES {
            rig.started(name);
        }
        for (i, name) in (10..).zip(NAMES) {
            rig.node_hello(name, peer(i));
        }
        rig.notices();
        rig
    }

    /// The id of the agent's next request.
    pub(super) fn id(&mut self) -> String {
        self.ids.unique_id()
    }

    /// What came out, but for the log and the notices that nobody has to act on.
    pub(super) fn drain(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.agent.poll_output() {
            match &output {
                Output::Log { .. } => continue,
                Output::Respond {
                    response: AgentResponse::Change { n, old, new, .. },
                } => {
                    let [old, new] =
                        [old, new].map(|state| &state.zeek_name()["Management::".len()..]);
                    self.notices.push(format!("{}: {old} -> {new}", n.name));
                    continue;
                }
                Output::Respond {
                    response: AgentResponse::Log { msg, .. },
                } => {
                    self.notices.push(msg.clone());
                    continue;
                }
                Output::ToSupervisor {
                    request: SupervisorRequest::Create { reqid, node },
                } => {
                    self.creates.insert(node.name.clone(), reqid.clone());
                }
                Output::Respond { .. }
                | Output::ToNodes { .. }
                | Output::ToSupervisor { .. }
                | Output::Peer { .. }
                | Output::WriteOptions { .. }
                | Output::Keep { .. } => {}
            }
            outputs.push(output);
        }
        outputs
    }

    /// What the supervisor says if it runs just what these outputs order.
    pub(super) fn as_ordered(&self, outputs: &[Output]) -> Status {
        let mut running = status([]);
        for output in outputs {
            if let Output::ToSupervisor {
                request: SupervisorRequest::Create { node, .. },
            } = output
            {
                let (node, pid) = (node.clone(), Some(84));
                let name = node.name.clone();
                running.nodes.insert(name, NodeStatus { node, pid });
            }
        }
        running
    }

    /// The notices since the last look, in words.
    pub(super) fn notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    pub(super) fn feed(&mut self, input: Input) -> Vec<Output> {
        self.agent.handle(self.now, input);
        let outputs = self.drain();
        // Ids that the agent drew while a test did not look.
        self.ids = self.agent.ids.clone();
        outputs
    }

    pub(super) fn ask(&mut self, request: AgentRequest) -> Vec<Output> {
        self.feed(Input::Request { request })
    }

    pub(super) fn supervisor(&mut self, message: SupervisorResponse) -> Vec<Output> {
        self.feed(Input::Supervisor { message })
    }

    pub(super) fn node_hello(&mut self, node: &str, from: EndpointId) -> Vec<Output> {
        let node = node.to_owned();
        let message = NodeResponse::Hello { node };
        self.feed(Input::Node { from, message })
    }

    /// The supervisor takes the node on, unless it has said so already.
    pub(super) fn created(&mut self, node: &str) {
        if let Some(reqid) = self.creates.remove(node) {
            let result = String::new();
            let message = SupervisorResponse::Create { reqid, result };
            assert_eq!(self.supervisor(message), []);
        }
    }

    /// The supervisor says that it started the node.
    pub(super) fn started(&mut self, node: &str) {
        assert_eq!(self.started_again(node), []);
    }

    pub(super) fn started_again(&mut self, node: &str) -> Vec<Output> {
        self.created(node);
        let node = node.to_owned();
        let message = NodeStatusEvent::NodeStatus { node, pid: 84 };
        self.feed(Input::NodeStatus { message })
    }

    /// A supervisor of ours says that the node died, with what it wrote.
    pub(super) fn died(&mut self, node: &str, stderr: &str, status: i32) -> Vec<Output> {
        let end = NodeEnd {
            status: Some(status),
            run_time: Duration::from_millis(250),
            ..NodeEnd::default()
        };
        self.exit(node, stderr, Some(end))
    }

    /// A supervisor tells what a node wrote, and perhaps how it ended.
    pub(super) fn exit(&mut self, node: &str, stderr: &str, end: Option<NodeEnd>) -> Vec<Output> {
        let outputs = NodeOutputs {
            stdout: ByteString::from(""),
            stderr: ByteString::from(stderr),
        };
        let message = ExitEvent::NotifyNodeExit {
            node: node.into(),
            outputs: NodeExit { outputs, end },
        };
        self.feed(Input::Exit { message })
    }

    pub(super) fn state(&self, node: &str) -> State {
        self.agent.nodes.get(node).unwrap().state()
    }

    pub(super) fn pass(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.agent.handle_timeout(self.now);
        self.drain()
    }

    pub(super) fn peer_up(&mut self, id: EndpointId, dialed: Option<u16>) -> Vec<Output> {
        let network = PeerNetwork {
            certificate: None,
            remote: SocketAddr::from(([127, 0, 0, 1], dialed.unwrap_or(40000))),
            dialed: dialed.map(local),
        };
        self.feed(Input::PeerUp { id, network })
    }

    pub(super) fn peer_down(&mut self, id: EndpointId) {
        let reason = "connection reset".to_owned();
        let said = self.feed(Input::PeerDown { id, reason });
        let lost = error("", "agent has lost its supervisor");
        let want = if id == SUPERVISOR { vec![lost] } else { vec![] };
        assert_eq!(said, want);
    }

    /// Asks for a deployment and has the supervisor tell what runs; what came of the one and of
    /// the other.
    pub(super) fn deploy(
        &mut self,
        reqid: &str,
        config: Configuration,
        running: Status,
    ) -> (Vec<Output>, Vec<Output>) {
        let asked = self.ask(deploy_request(reqid, config));
        let reqid = order_id(asked.last().unwrap());
        let result = running;
        let ordered = self.supervisor(SupervisorResponse::Status { reqid, result });
        (asked, ordered)
    }
}

pub(super) const NAMES: [&str; 5] = ["logger-01", "manager", "proxy-01", "worker-01", "worker-02"];

pub(super) fn settings() -> AgentSettings {
    AgentSettings {
        name: "instance-1".into(),
        listen: PeerAddr {
            host: "0.0.0.0".into(),
            port: 2151,
        },
        controller: Some(local(2150)),
        supervisor: local(9999),
        state_dir: PathBuf::from("/usr/local/zeek/var/lib"),
        node_script: "policy/frameworks/management/node".into(),
        request_timeout: secs(5),
        connect_retry: secs(1),
        node_env: vec![],
        options_dir: PathBuf::from("/usr/local/zeek/var/lib/zeek-mgmt/options"),
        deploying: Deploying::default(),
    }
}

/// What the recorded session deployed.
pub(super) fn recorded() -> Configuration {
    let [logger, manager, proxy, worker, other] = NAMES;
    config(
        "6e01138a-e5e2-11f1-93bf-d6420b477af5",
        vec![
            node(logger, ClusterRole::Logger, Some(2201)),
            node(manager, ClusterRole::Manager, Some(2200)),
            node(proxy, ClusterRole::Proxy, Some(1234)),
            Node {
                scripts: Some(vec!["policy/tuning/json-logs".into()]),
                interface: Some("lo".into()),
                cpu_affinity: Some(CpuAffinity(0)),
                env: [("FOO".into(), "BAR".into())].into(),
                ..node(worker, ClusterRole::Worker, None)
            },
            Node {
                interface: Some("eth0".into()),
                metrics_port: Some(Port::tcp(9123)),
                ..node(other, ClusterRole::Worker, None)
            },
        ],
    )
}

pub(super) fn config(id: &str, nodes: Vec<Node>) -> Configuration {
    let instance = Instance {
        name: "instance-1".into(),
        host: localhost(),
        listen_port: None,
    };
    Configuration {
        id: id.into(),
        instances: [instance].into(),
        nodes: BTreeSet::from_iter(nodes),
    }
}

pub(super) fn node(name: &str, role: ClusterRole, port: Option<u16>) -> Node {
    Node {
        p: port.map(Port::tcp),
        ..Node::new("instance-1", name, role)
    }
}

/// Controller and agent as the recorded supervisor told them, and these nodes.
pub(super) fn status<const N: usize>(nodes: [&str; N]) -> Status {
    let marked = |name: &str, mark: &str, pid| {
        let mut node = NodeConfig::named(name);
        node.env
            .insert(MANAGEMENT_NODE_VARIABLE.into(), mark.into());
        let pid = Some(pid);
        (name.to_owned(), NodeStatus { node, pid })
    };
    let unmarked = |name: &str| {
        let node = NodeConfig {
            directory: Some(format!("/usr/local/zeek/var/lib/nodes/{name}")),
            ..NodeConfig::named(name)
        };
        (
            name.to_owned(),
            NodeStatus {
                node,
                pid: Some(84),
            },
        )
    };
    let mut status = Status {
        nodes: nodes.map(unmarked).into(),
    };
    let own = [
        marked("controller", "CONTROLLER", 34),
        marked("instance-1", "AGENT", 35),
    ];
    status.nodes.extend(own);
    status
}

pub(super) fn deploy_request(reqid: &str, config: Configuration) -> AgentRequest {
    AgentRequest::Deploy {
        reqid: reqid.into(),
        config,
        force: false,
    }
}

pub(super) fn ask_status(reqid: String) -> Output {
    let node = String::new();
    ask(SupervisorRequest::Status { reqid, node })
}

pub(super) fn ask(request: SupervisorRequest) -> Output {
    Output::ToSupervisor { request }
}

pub(super) fn respond(response: AgentResponse) -> Output {
    Output::Respond { response }
}

pub(super) fn error(node: &str, msg: &str) -> Output {
    respond(AgentResponse::Error {
        instance: "instance-1".into(),
        msg: msg.into(),
        node: node.into(),
    })
}

/// The nodes that these outputs order, and nothing else.
pub(super) fn created_nodes(outputs: &[Output]) -> Vec<&str> {
    let created = outputs.iter().map(|output| {
        let Output::ToSupervisor {
            request: SupervisorRequest::Create { node, .. },
        } = output
        else {
            panic!("not a create request: {output:?}");
        };
        node.name.as_str()
    });
    created.collect()
}

/// The id of something asked of the supervisor.
pub(super) fn order_id(output: &Output) -> String {
    let Output::ToSupervisor { request } = output else {
        panic!("not asked of the supervisor: {output:?}");
    };
    match request {
        SupervisorRequest::Create { reqid, .. }
        | SupervisorRequest::Status { reqid, .. }
        | SupervisorRequest::Restart { reqid, .. }
        | SupervisorRequest::Destroy { reqid, .. } => reqid.clone(),
        SupervisorRequest::Stop {} => panic!("nobody asks for that"),
    }
}

pub(super) fn ok(reqid: &str) -> ApiResult {
    ApiResult {
        reqid: reqid.into(),
        success: true,
        instance: Some("instance-1".into()),
        data: None,
        error: None,
        node: None,
    }
}

pub(super) fn failed(reqid: &str, error: &str) -> ApiResult {
    ApiResult {
        success: false,
        error: Some(error.into()),
        ..ok(reqid)
    }
}

pub(super) fn on(node: &str, result: ApiResult) -> ApiResult {
    ApiResult {
        node: Some(node.into()),
        ..result
    }
}

pub(super) fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(String::from).into()
}

pub(super) fn hello(connecting: bool) -> Output {
    respond(AgentResponse::Hello {
        instance: "instance-1".into(),
        id: "788ca4d7-e479-56df-93c9-826f7c591b63".into(),
        connecting,
        api_version: 1,
    })
}

pub(super) fn localhost() -> Address {
    Address::from_octets([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1])
}

pub(super) fn local(port: u16) -> PeerAddr {
    PeerAddr {
        host: "127.0.0.1".into(),
        port,
    }
}

pub(super) const fn peer(n: u8) -> EndpointId {
    EndpointId::from_bytes([n; 16])
}

fn own_id() -> EndpointId {
    "788ca4d7-e479-56df-93c9-826f7c591b63".parse().unwrap()
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
pub(super) fn start() -> Instant {
    Instant::now()
}
