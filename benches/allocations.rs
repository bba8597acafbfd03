//! What the controller allocates for one request that its whole fleet answers, from the client's text
//! to the text of the answer. All of it is the pure composition, so the figures are exact and the
//! same on every machine.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark's inputs are its own, and it needs a first moment"
)]

use std::time::{Duration, Instant};

use allocation_counter::{AllocationInfo, measure, opt_out};
use broker_proto::codec::Limits;
use broker_proto::codec::envelope::data_frame;
use broker_proto::codec::frame::put_frame;
use broker_proto::codec::handshake::{HandshakeMsg, VERSION};
use broker_proto::peering::{self, LinkId};
use broker_proto::zeek::{Event, ToData};
use broker_proto::{Address, Data, EndpointId, Filter, IdGen, Topic};
use bytes::{BufMut, Bytes};
use mgmt::api::agent::AgentResponse;
use mgmt::api::controller::ControllerRequest;
use mgmt::api::{API_VERSION, ApiResult, CONTROLLER_TOPIC, agent_topic};
use mgmt::controller::configs::Saved;
use mgmt::controller::process::{ControllerProcess, Input, Output};
use mgmt::model::{ClusterRole, Configuration, Instance, Node, NodeStatus, Role, State};
use mgmt::settings::{AutoAssign, ControllerSettings};
use zeek_client_compat::hub::{self, ClientId};
use zeek_client_compat::message;
use zeek_mgmt_benches::asked::{self, Asked};

const SIZES: [(usize, usize); 4] = [(1, 4), (10, 16), (100, 16), (1000, 16)];

/// Names and ids are at the start of a frame.
const START: usize = 4 * 1024;

const CLIENT: ClientId = ClientId(0);

fn main() {
    println!(
        "{:>14}  {:<16} {:>11} {:>9} {:>12} {:>12} {:>11} {:>11}",
        "agents × nodes",
        "request",
        "allocations",
        "per node",
        "bytes",
        "most at once",
        "asked",
        "answer"
    );
    for (agents, nodes) in SIZES {
        let mut world = World::new(agents, nodes);
        let config = configuration(agents, nodes);
        let reqid = || "0123456789abcdef".to_owned();
        let requests = [
            (
                "stage-config",
                ControllerRequest::StageConfiguration {
                    reqid: reqid(),
                    config,
                },
            ),
            ("deploy", ControllerRequest::Deploy { reqid: reqid() }),
            (
                "get-instances",
                ControllerRequest::GetInstances { reqid: reqid() },
            ),
            ("get-nodes", ControllerRequest::GetNodes { reqid: reqid() }),
            (
                "get-id-value",
                ControllerRequest::GetIdValue {
                    reqid: reqid(),
                    id: "Site::local_nets".to_owned(),
                    nodes: [].into(),
                },
            ),
        ];
        for (name, request) in requests {
            let (info, asked, answer) = world.ask(request);
            let per_node = info.count_total as f64 / (agents * nodes) as f64;
            println!(
                "{:>14}  {name:<16} {:>11} {per_node:>9.1} {:>12} {:>12} {asked:>11} {answer:>11}",
                format!("{agents} × {nodes}"),
                info.count_total,
                info.bytes_total,
                info.bytes_max,
            );
        }
    }
}

/// A controller, its agents, and one client.
struct World {
    process: ControllerProcess,
    now: Instant,
    agents: Vec<Agent>,
    answers: Vec<hub::Text>,
    /// What agents sent: freed where nothing is counted.
    kept: Vec<Bytes>,
}

impl World {
    fn new(agents: usize, nodes: usize) -> Self {
        let settings = ControllerSettings {
            name: "controller".into(),
            listen: None,
            listen_websocket: None,
            request_timeout: Duration::from_secs(10),
            connect_retry: Duration::from_secs(1),
            broker_ports: AutoAssign::From(2200),
            metrics_ports: AutoAssign::From(9000),
        };
        let (id, now) = (EndpointId::from_bytes([1; 16]), Instant::now());
        let (ids, saved) = (IdGen::new(1), Saved::default());
        let process = ControllerProcess::new(settings, "8.0.10", id, ids, saved, now);
        let mut world = Self {
            process,
            now,
            agents: (0..agents).map(|index| Agent::new(index, nodes)).collect(),
            answers: Vec::new(),
            kept: Vec::new(),
        };
        world.input(Input::WebSocket(hub::Input::Opened {
            client: CLIENT,
            remote: "127.0.0.1:40000".parse().unwrap(),
            application: None,
            certificate: None,
        }));
        world.text(r#"["zeek/management/controller"]"#.to_owned());
        for index in 0..agents {
            world.input(Input::Broker(peering::Input::Opened {
                link: link(index),
                remote: "127.0.0.1:50000".parse().unwrap(),
                certificate: None,
            }));
            let hello = world.agents[index].hello();
            world.bytes(index, hello);
            // No more strangers at a time than a controller puts up with.
            if index % 100 == 99 {
                world.run();
            }
        }
        world.run();
        world
    }

    /// What a request costs, how long it is, and how long its answer.
    fn ask(&mut self, request: ControllerRequest) -> (AllocationInfo, usize, usize) {
        let event = Event::from(request);
        let text = message::event(&CONTROLLER_TOPIC, event);
        let asked = text.len();
        self.answers.clear();
        let info = measure(|| {
            self.text(text);
            self.run();
        });
        self.kept.clear();
        let [answer] = &self.answers[..] else {
            panic!("{} answers", self.answers.len());
        };
        let start: String = answer.chars().take(600).collect();
        assert!(!answer.contains(r#""data":false"#), "{start}");
        (info, asked, answer.len())
    }

    fn text(&mut self, text: String) {
        let client = CLIENT;
        self.input(Input::WebSocket(hub::Input::Text { client, text }));
    }

    fn bytes(&mut self, index: usize, chunk: Bytes) {
        let link = link(index);
        self.input(Input::Broker(peering::Input::Bytes { link, chunk }));
    }

    fn input(&mut self, input: Input) {
        self.process.handle(self.now, input);
    }

    /// Until nobody has anything more to say.
    fn run(&mut self) {
        loop {
            self.obey();
            let Some(index) = self.agents.iter().position(|agent| agent.sent > 0) else {
                return;
            };
            for index in index..self.agents.len() {
                let agent = &mut self.agents[index];
                let (link, messages) = (link(index), std::mem::take(&mut agent.sent));
                if messages == 0 {
                    continue;
                }
                let kept = &mut self.kept;
                let replies = opt_out_of(|| {
                    let replies = agent.react();
                    kept.extend(replies.iter().cloned());
                    replies
                });
                self.input(Input::Broker(peering::Input::Sent { link, messages }));
                for reply in replies {
                    self.bytes(index, reply);
                    self.obey();
                }
            }
        }
    }

    fn obey(&mut self) {
        while let Some(output) = self.process.poll_output() {
            match output {
                Output::Broker(peering::Output::Send { link, bytes }) => {
                    let LinkId::Accepted(index) = link else {
                        panic!("nobody was dialed");
                    };
                    let agent = &mut self.agents[usize::try_from(index).unwrap()];
                    agent.sent += 1;
                    opt_out(|| agent.chunks.push(bytes));
                }
                Output::Broker(peering::Output::Close { link }) => panic!("{link} was closed"),
                Output::WebSocket(hub::Output::Send { text, .. }) => {
                    opt_out(|| self.answers.push(text));
                }
                Output::Save { .. } => {
                    let result = Ok(());
                    self.input(Input::Saved { result });
                }
                Output::Broker(_)
                | Output::WebSocket(_)
                | Output::Log(_)
                | Output::Audit(_)
                | Output::Audited(_) => {}
            }
        }
    }
}

fn link(index: usize) -> LinkId {
    LinkId::Accepted(u64::try_from(index).unwrap())
}

fn opt_out_of<T>(work: impl FnOnce() -> T) -> T {
    let mut done = None;
    opt_out(|| done = Some(work()));
    done.unwrap()
}

/// What a controller sees of one.
struct Agent {
    index: usize,
    nodes: usize,
    id: EndpointId,
    topic: Topic,
    /// Written and not yet read, and how many of them the controller does not know to be written.
    chunks: Vec<Bytes>,
    sent: usize,
}

impl Agent {
    fn new(index: usize, nodes: usize) -> Self {
        let id = format!("ffffffff-ffff-4fff-bfff-{index:012x}");
        Self {
            index,
            nodes,
            id: id.parse().unwrap(),
            topic: agent_topic(&name(index)).unwrap(),
            chunks: Vec::new(),
            sent: 0,
        }
    }

    /// Its id is larger than the controller's, so the controller originates (WIRE §4.2).
    fn hello(&self) -> Bytes {
        handshake(&HandshakeMsg::Hello {
            sender: self.id,
            min_version: VERSION,
            max_version: VERSION,
        })
    }

    /// Its answers to all that was written.
    fn react(&mut self) -> Vec<Bytes> {
        let frames = starts_of_frames(&std::mem::take(&mut self.chunks));
        frames.iter().flat_map(|frame| self.answer(frame)).collect()
    }

    fn answer(&self, frame: &Bytes) -> Option<Bytes> {
        if let Ok(message) = HandshakeMsg::decode(frame, &Limits::default()) {
            return match message {
                HandshakeMsg::OriginatorSyn(_) => {
                    let mut filter = Filter::default();
                    filter.extend(self.topic.clone());
                    Some(handshake(&HandshakeMsg::ResponderSynAck(filter)))
                }
                HandshakeMsg::OriginatorAck => Some(self.publication(AgentResponse::Hello {
                    instance: name(self.index),
                    id: self.id.to_string(),
                    connecting: true,
                    api_version: API_VERSION,
                })),
                HandshakeMsg::Hello { .. }
                | HandshakeMsg::Probe
                | HandshakeMsg::VersionSelect { .. }
                | HandshakeMsg::DropConn(_)
                | HandshakeMsg::ResponderSynAck(_) => None,
            };
        }
        let payload = asked::payload(frame)?;
        let asked = Asked::read(&payload)?;
        let reqid = asked.reqid.to_owned();
        let result = ApiResult::ok(&reqid).on_instance(name(self.index));
        let response = match asked.event.strip_prefix("Management::Agent::API::")? {
            "agent_welcome_request" => AgentResponse::Welcome { reqid, result },
            "deploy_request" => {
                let results = self.of_nodes(&result);
                AgentResponse::Deploy { reqid, results }
            }
            "get_nodes_request" => {
                let rows = (0..self.nodes).map(|n| self.status(n));
                let result = result.with_data(Vec::from_iter(rows).into_data());
                AgentResponse::GetNodes { reqid, result }
            }
            "node_dispatch_request" => {
                let nets = r#"["10.0.0.0/8","192.168.0.0/16","172.16.0.0/12"]"#;
                let results = self.of_nodes(&result.with_data(Data::string(nets)));
                AgentResponse::NodeDispatch { reqid, results }
            }
            other => panic!("{other}"),
        };
        Some(self.publication(response))
    }

    fn of_nodes(&self, result: &ApiResult) -> Vec<ApiResult> {
        let names = (0..self.nodes).map(|n| node_name(self.index, n));
        names.map(|name| result.clone().on_node(name)).collect()
    }

    fn status(&self, n: usize) -> NodeStatus {
        NodeStatus {
            node: node_name(self.index, n),
            state: State::Running,
            mgmt_role: Role::None,
            cluster_role: ClusterRole::Worker,
            pid: i64::try_from(1000 + n).ok(),
            p: None,
            metrics_port: Some(broker_proto::Port::tcp(9000)),
        }
    }

    fn publication(&self, response: AgentResponse) -> Bytes {
        data_frame(self.id, &self.topic, &Event::from(response).encode())
    }
}

/// The first bytes of each frame: what all agents are sent is not copied for each of them.
fn starts_of_frames(chunks: &[Bytes]) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut rest = 0;
    for chunk in chunks {
        let mut chunk = chunk.clone();
        // Only what is published in parts goes on in the next chunk.
        if rest == 0 {
            let len = chunk.split_to(4);
            rest = u32::from_be_bytes(len[..].try_into().unwrap())
                .try_into()
                .unwrap();
            let mut start = chunk.to_vec();
            start.truncate(START);
            frames.push(start);
        } else {
            let frame = frames.last_mut().unwrap();
            let room = START.saturating_sub(frame.len()).min(chunk.len());
            frame.extend_from_slice(&chunk[..room]);
        }
        rest = usize::checked_sub(rest, chunk.len()).unwrap();
    }
    frames.into_iter().map(Bytes::from).collect()
}

fn handshake(message: &HandshakeMsg) -> Bytes {
    let payload = message.encode();
    put_frame(payload.len(), |out| out.put_slice(&payload))
}

fn name(index: usize) -> String {
    format!("agent-{index:05}")
}

fn node_name(index: usize, n: usize) -> String {
    format!("node-{index:05}-{n:02}")
}

fn configuration(agents: usize, nodes: usize) -> Configuration {
    let instance = |index| Instance {
        name: name(index),
        host: Address::UNSPECIFIED,
        listen_port: None,
    };
    let of = |index| (0..nodes).map(move |n| (index, n));
    let node = |(index, n)| {
        let role = match (index, n) {
            (0, 0) => ClusterRole::Manager,
            (0, 1) => ClusterRole::Logger,
            _ => ClusterRole::Worker,
        };
        Node::new(name(index), node_name(index, n), role)
    };
    Configuration {
        id: "c".to_owned(),
        instances: (0..agents).map(instance).collect(),
        nodes: (0..agents).flat_map(of).map(node).collect(),
    }
}
