//! A thousand agents in one process: what of API §2.2 and §5 a controller can see of them, without
//! nodes, and with a few kilobytes of memory for each.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use broker_proto::codec::Limits;
use broker_proto::codec::envelope::data_frame;
use broker_proto::io::tls::Connector;
use broker_proto::peering::PeerAddr;
use broker_proto::zeek::{Event, ToData};
use broker_proto::{Data, EndpointId, Topic};
use bytes::Bytes;
use mgmt::api::agent::{AgentRequest, AgentResponse};
use mgmt::api::{API_VERSION, ApiResult, agent_topic};
use mgmt::model::{
    ClusterRole, Configuration, Instance, Node, NodeOutputs, NodeStatus, Role, State,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpSocket;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use zeek_mgmt_benches::asked::{self, Asked};

use crate::wire;

/// Between two attempts to dial, as stock's agents do it.
const RETRY: Duration = Duration::from_secs(1);

/// So many agents at a time are in their TLS handshake: real ones have a processor each, these share
/// one, and a handshake that takes too long is begun anew.
const DIALING: usize = 32;

/// What a fleet is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) agents: usize,
    /// On each of them.
    pub(crate) nodes: usize,
    pub(crate) protection: Protection,
    pub(crate) origin: Origin,
    /// Between a request and its answer.
    pub(crate) delay: Duration,
    /// Of a hundred requests, so many fail.
    pub(crate) failing: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protection {
    Cleartext,
    /// As Zeek dials without certificates.
    Tls,
}

/// Where the agents' connections come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// Each has an address of its own, below 127.0.0.0/8. In cleartext only.
    OwnAddress,
    /// All have one, as behind NAT.
    OneAddress,
}

/// How the first agent of a fleet behaves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum First {
    #[default]
    AsAllOthers,
    /// It stops reading what it is sent.
    ReadsNothing,
    /// It answers after so long.
    AnswersAfter(Duration),
}

/// What the fleet has seen.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connected: AtomicUsize,
    pub(crate) attempts: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) requests: AtomicU64,
}

/// Agents on a thread of their own, until it is dropped.
pub(crate) struct Fleet {
    pub(crate) counters: Arc<Counters>,
    first: watch::Sender<First>,
}

impl Fleet {
    /// All of them dial this port of 127.0.0.1, and again whenever they lose it.
    pub(crate) fn start(shape: Shape, port: u16) -> io::Result<Self> {
        let (first, told) = watch::channel(First::default());
        let counters = Arc::new(Counters::default());
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build()?;
        let counted = Arc::clone(&counters);
        std::thread::Builder::new()
            .name("fleet".to_owned())
            .spawn(move || runtime.block_on(run(shape, port, counted, told)))?;
        Ok(Self { counters, first })
    }

    /// What the first one does from its next request on.
    pub(crate) fn set_first(&self, first: First) {
        // Nobody listens only when the fleet has ended.
        let _ = self.first.send(first);
    }

    pub(crate) fn connected(&self) -> usize {
        self.counters.connected.load(Ordering::Relaxed)
    }
}

async fn run(shape: Shape, port: u16, counters: Arc<Counters>, told: watch::Receiver<First>) {
    let mut tasks = JoinSet::new();
    // Made once: each sets up a library of its own.
    let connector = Connector::anonymous();
    let turns = Arc::new(Semaphore::new(DIALING));
    for index in 0..shape.agents {
        let agent = Agent {
            name: name(index),
            index,
            shape,
            port,
            counters: Arc::clone(&counters),
            connector: connector.clone(),
            turns: Arc::clone(&turns),
            told: (index == 0).then(|| told.clone()),
        };
        tasks.spawn(agent.live());
    }
    let mut ending = told.clone();
    while ending.changed().await.is_ok() {}
}

/// The configuration of all agents: a manager and a logger on the first one, workers elsewhere.
pub(crate) fn configuration(shape: Shape) -> Configuration {
    let instance = |index| Instance {
        name: name(index),
        host: broker_proto::Address::UNSPECIFIED,
        listen_port: None,
    };
    let nodes = |index| (0..shape.nodes).map(move |n| node(index, n));
    Configuration {
        id: String::new(),
        instances: (0..shape.agents).map(instance).collect(),
        nodes: (0..shape.agents).flat_map(nodes).collect(),
    }
}

pub(crate) fn name(index: usize) -> String {
    format!("agent-{index:05}")
}

pub(crate) fn node_name(index: usize, n: usize) -> String {
    format!("node-{index:05}-{n:02}")
}

fn node(index: usize, n: usize) -> Node {
    Node::new(name(index), node_name(index, n), role(index, n))
}

fn role(index: usize, n: usize) -> ClusterRole {
    match (index, n) {
        (0, 0) => ClusterRole::Manager,
        (0, 1) => ClusterRole::Logger,
        _ => ClusterRole::Worker,
    }
}

struct Agent {
    name: String,
    index: usize,
    shape: Shape,
    port: u16,
    counters: Arc<Counters>,
    connector: Connector,
    turns: Arc<Semaphore>,
    /// Only the first one is told how to behave.
    told: Option<watch::Receiver<First>>,
}

/// What an agent keeps as long as it lives.
#[derive(Default)]
struct Memory {
    config: Option<String>,
    requests: u64,
}

impl Agent {
    async fn live(self) {
        let mut memory = Memory::default();
        let Ok(topic) = agent_topic(&self.name) else {
            return;
        };
        loop {
            self.counters.attempts.fetch_add(1, Ordering::Relaxed);
            let was_peered = self.meet(&topic, &mut memory).await;
            // Who has lost an established peering dials again at once (WIRE §4.6).
            if was_peered.is_err() {
                self.counters.failures.fetch_add(1, Ordering::Relaxed);
                sleep_until((Instant::now() + RETRY).into()).await;
            }
        }
    }

    /// # Errors
    /// If no peering came about.
    async fn meet(&self, topic: &Topic, memory: &mut Memory) -> io::Result<()> {
        match self.shape.protection {
            Protection::Tls => {
                let (host, port) = ("127.0.0.1".to_owned(), self.port);
                let turn = self.turns.acquire().await.map_err(io::Error::other)?;
                let (stream, _) = self.connector.connect(&PeerAddr { host, port }).await?;
                drop(turn);
                self.serve(stream, topic, memory).await
            }
            Protection::Cleartext => {
                let socket = TcpSocket::new_v4()?;
                if self.shape.origin == Origin::OwnAddress {
                    let index = u32::try_from(self.index).unwrap_or_default();
                    let own = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + index);
                    socket.bind(SocketAddr::from((own, 0)))?;
                }
                let controller = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
                let stream = socket.connect(controller).await?;
                stream.set_nodelay(true)?;
                self.serve(stream, topic, memory).await
            }
        }
    }

    async fn serve(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        topic: &Topic,
        memory: &mut Memory,
    ) -> io::Result<()> {
        let me: EndpointId = format!("ffffffff-ffff-4fff-bfff-{:012x}", self.index)
            .parse()
            .map_err(io::Error::other)?;
        wire::shake_hands(&mut stream, me, topic).await?;
        self.counters.connected.fetch_add(1, Ordering::Relaxed);
        let (reader, mut writer) = tokio::io::split(stream);
        let mut reader = BufReader::with_capacity(4096, reader);
        let (answers, mut due) = mpsc::unbounded_channel();
        let hello = AgentResponse::Hello {
            instance: self.name.clone(),
            id: me.to_string(),
            connecting: true,
            api_version: API_VERSION,
        };
        let _ = answers.send((Instant::now(), publication(me, topic, hello)));
        // Whatever ends it: the connection is lost, and that is no failure of the peering.
        let _ = tokio::select! {
            read = self.read(me, topic, &mut reader, &answers, memory) => read,
            written = write(&mut writer, &mut due) => written,
        };
        self.counters.connected.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    async fn read(
        &self,
        me: EndpointId,
        topic: &Topic,
        reader: &mut (impl AsyncRead + Unpin),
        answers: &mpsc::UnboundedSender<(Instant, Bytes)>,
        memory: &mut Memory,
    ) -> io::Result<()> {
        let mut told = self.told.clone();
        loop {
            if let Some(told) = &mut told {
                let reads = |first: &First| *first != First::ReadsNothing;
                told.wait_for(reads).await.map_err(io::Error::other)?;
            }
            let frame = wire::read_frame(reader).await?;
            let Some(payload) = asked::payload(&frame.bytes) else {
                continue;
            };
            let Some(answer) = self.answer(&payload, frame.is_whole, memory) else {
                continue;
            };
            self.counters.requests.fetch_add(1, Ordering::Relaxed);
            let first = told.as_ref().map(|told| *told.borrow());
            let delay = match first {
                Some(First::AnswersAfter(delay)) => delay,
                Some(First::AsAllOthers | First::ReadsNothing) | None => self.shape.delay,
            };
            let _ = answers.send((Instant::now() + delay, publication(me, topic, answer)));
        }
    }

    /// `None` for what agents do not answer.
    fn answer(
        &self,
        payload: &Bytes,
        is_whole: bool,
        memory: &mut Memory,
    ) -> Option<AgentResponse> {
        let asked = Asked::read(payload)?;
        let reqid = asked.reqid.to_owned();
        let result = ApiResult::ok(&reqid).on_instance(&self.name);
        memory.requests += 1;
        let fails = self.fails(memory.requests);
        let response = match asked.event.strip_prefix("Management::Agent::API::")? {
            "agent_welcome_request" => AgentResponse::Welcome { reqid, result },
            "agent_standby_request" => {
                memory.config = None;
                AgentResponse::Standby { reqid, result }
            }
            "deploy_request" => {
                let is_same = memory.config.as_deref() == asked.config;
                memory.config = asked.config.map(str::to_owned);
                // One that runs the configuration already says no more than that (API §5.3 A6).
                let results = match is_same {
                    true => vec![result],
                    false => self.results(&reqid, &BTreeSet::new(), fails),
                };
                AgentResponse::Deploy { reqid, results }
            }
            "get_nodes_request" => {
                let rows = self.nodes(memory).map(|n| self.status(n));
                let data = Vec::from_iter(rows).into_data();
                let result = result.with_data(data);
                AgentResponse::GetNodes { reqid, result }
            }
            "node_dispatch_request" => {
                let nodes = self.named(payload, is_whole)?;
                let results = self.results(&reqid, &nodes, fails).into_iter();
                let results = results.map(|result| match result.success {
                    true => result.with_data(Data::string("\"127.0.0.1\"")),
                    false => ApiResult {
                        data: None,
                        ..result
                    },
                });
                let results = results.collect();
                AgentResponse::NodeDispatch { reqid, results }
            }
            "restart_request" => {
                let nodes = self.named(payload, is_whole)?;
                let results = self.results(&reqid, &nodes, fails).into_iter();
                let results = results.map(|result| ApiResult {
                    data: None,
                    ..result
                });
                let results = results.collect();
                AgentResponse::Restart { reqid, results }
            }
            _ => return None,
        };
        Some(response)
    }

    /// Each agent fails at other requests, and not at many in a row.
    fn fails(&self, requests: u64) -> bool {
        let index = u64::try_from(self.index).unwrap_or_default();
        (requests * 37 + index) % 100 < self.shape.failing
    }

    fn nodes(&self, memory: &Memory) -> std::ops::Range<usize> {
        0..memory.config.as_ref().map_or(0, |_| self.shape.nodes)
    }

    fn status(&self, n: usize) -> NodeStatus {
        NodeStatus {
            node: node_name(self.index, n),
            state: State::Running,
            mgmt_role: Role::None,
            cluster_role: role(self.index, n),
            pid: i64::try_from(1000 + n).ok(),
            p: None,
            metrics_port: Some(broker_proto::Port::tcp(9000)),
        }
    }

    /// One for each of the own nodes among these; of none is meant all (API §5.6 A18).
    fn results(&self, reqid: &str, nodes: &BTreeSet<String>, fails: bool) -> Vec<ApiResult> {
        let names = (0..self.shape.nodes).map(|n| node_name(self.index, n));
        let names = names.filter(|name| nodes.is_empty() || nodes.contains(name));
        let results = names.map(|name| match fails {
            false => ApiResult::ok(reqid).on_instance(&self.name).on_node(name),
            true => {
                let result = ApiResult::failed(reqid, "simulated failure");
                let outputs = NodeOutputs {
                    stdout: "".into(),
                    stderr: "simulated failure".into(),
                };
                let result = result.on_instance(&self.name).on_node(name);
                result.with_data(outputs.into_data())
            }
        });
        results.collect()
    }

    fn named(&self, payload: &Bytes, is_whole: bool) -> Option<BTreeSet<String>> {
        if !is_whole {
            return Some(BTreeSet::new());
        }
        let event = Event::decode(payload, &Limits::default()).ok()?;
        match AgentRequest::try_from(event).ok()? {
            AgentRequest::NodeDispatch { nodes, .. } | AgentRequest::Restart { nodes, .. } => {
                Some(nodes)
            }
            AgentRequest::Welcome { .. }
            | AgentRequest::Standby { .. }
            | AgentRequest::Deploy { .. }
            | AgentRequest::GetNodes { .. } => None,
        }
    }
}

fn publication(me: EndpointId, topic: &Topic, response: AgentResponse) -> Bytes {
    data_frame(me, topic, &Event::from(response).encode())
}

/// Writes answers when they are due, in their order.
async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    answers: &mut mpsc::UnboundedReceiver<(Instant, Bytes)>,
) -> io::Result<()> {
    while let Some((due, answer)) = answers.recv().await {
        if due > Instant::now() {
            sleep_until(due.into()).await;
        }
        writer.write_all(&answer).await?;
        writer.flush().await?;
    }
    Ok(())
}
