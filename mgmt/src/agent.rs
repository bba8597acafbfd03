//! `Agent`: runs one instance's part of a cluster through its supervisor (API §5).
//!
//! ```text
//! controller               agent                supervisor            nodes
//!     │ ◀─────── hello ───── │ ◀──── peered ────── │                    │
//!     │ ────── welcome ────▶ │                     │                    │
//!     │ ────── deploy ─────▶ │ ────── status ────▶ │                    │
//!     │                      │ ◀──── what runs ─── │                    │
//!     │                      │ ─ destroy, create ▶ │ ─ ends, starts ──▶ │
//!     │                      │ ◀───────────── node hello ────────────── │
//!     │ ◀─── one result ──── │                     │                    │
//!           per node
//! ```
//!
//! Queries ask the supervisor or the nodes, collect what comes, and answer once: when all is in, or
//! with what there is when [`AgentSettings::request_timeout`] is over. Deployments and restarts wait
//! for the nodes: `watch` says how long. `nodes` is what is known of each of them, `life` takes in
//! the news and tells the controller of changes.

pub mod archival;
mod deploy;
mod dispatch;
mod life;
mod list;
mod memory;
pub mod node_script;
mod nodes;
pub mod options;
mod orders;
pub mod process;
mod remedy;
mod restart;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use broker_proto::peering::{PeerAddr, PeerNetwork};
use broker_proto::{EndpointId, IdGen};
use supervisor::api::{ExitEvent, NodeStatusEvent, Status, SupervisorRequest, SupervisorResponse};

use self::deploy::{Deployment, Ended};
use self::dispatch::Dispatch;
use self::memory::Memory;
use self::nodes::{LocalNode, Nodes};
use self::restart::Restarts;
use crate::api::agent::{AgentRequest, AgentResponse};
use crate::api::node::{NodeRequest, NodeResponse};
use crate::api::{API_VERSION, ApiResult};
use crate::log::Record;
use crate::model::Configuration;
use crate::request::Requests;
use crate::settings::AgentSettings;

/// When a hello is said again: a controller that dials may not list the agent as a peer yet when
/// the first one reaches it, and then forgets it (API §13.2).
const HELLO_AGAIN: Duration = Duration::from_secs(1);

/// Open queries, restarts and orders; more queries are refused, so that nobody can fill the memory with them.
const MAX_OPEN: usize = 10_000;

/// Outputs that memory is kept for when all is done.
const CALM: usize = 16;

const TIMED_OUT: &str = "request timed out";
const NO_SUPERVISOR: &str = "agent has no connection to its supervisor";
const TOO_MANY: &str = "agent has too many open requests";

/// What happened, or what somebody asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// The controller asks.
    Request {
        /// What.
        request: AgentRequest,
    },
    /// A node says something.
    Node {
        /// The peer it came from.
        from: EndpointId,
        /// What.
        message: NodeResponse,
    },
    /// The supervisor answers.
    Supervisor {
        /// What.
        message: SupervisorResponse,
    },
    /// The supervisor started a node.
    NodeStatus {
        /// Which, as which process.
        message: NodeStatusEvent,
    },
    /// The supervisor tells how a node's former life ended.
    Exit {
        /// Its last words.
        message: ExitEvent,
    },
    /// A peering is established.
    PeerUp {
        /// Who.
        id: EndpointId,
        /// How it is reached.
        network: PeerNetwork,
    },
    /// A peering ended.
    PeerDown {
        /// Who.
        id: EndpointId,
        /// Why, for people.
        reason: String,
    },
}

/// What the caller must do, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Publish on the agent's own topic.
    Respond {
        /// What.
        response: AgentResponse,
    },
    /// Publish to the nodes.
    ToNodes {
        /// What.
        request: NodeRequest,
    },
    /// Publish to the supervisor.
    ToSupervisor {
        /// What.
        request: SupervisorRequest,
    },
    /// Keep a peering with whoever answers there.
    Peer {
        /// Where.
        addr: PeerAddr,
        /// Between attempts.
        retry: Duration,
    },
    /// A line for the management log (API §8.4).
    Log {
        /// What happened.
        record: Record,
    },
    /// Write the script that sets a node's options. The order that names it comes after.
    WriteOptions {
        /// Where.
        path: PathBuf,
        /// The whole script.
        text: String,
    },
    /// Keep this for the agent's next life, in the place of what was kept before. Only of an agent
    /// with a memory.
    Keep {
        /// What its nodes are ordered for; `None` if they are to end.
        config: Option<Configuration>,
    },
}

/// What an answer of supervisor or nodes is for, by the id it was asked with.
#[derive(Debug)]
enum Waiting {
    /// A status for `get_nodes_request` with this id.
    GetNodes { reqid: String },
    /// A status, for the nodes of a former life.
    FormerNodes,
    /// The creation of a node, by the deployment with this number.
    Create { node: String, round: u64 },
    /// A status, for a node that has said hello, of the deployment with this number.
    Started { node: String, round: u64 },
    /// The end of a node.
    Destroy { node: String },
    /// The restart of a node, for the restart request with this key.
    Restart { node: String, key: u64 },
    /// What a supervisor that was away, or another one in its place, has left of the nodes.
    Return { is_same: bool },
    /// Answers of nodes.
    Dispatch(Dispatch),
}

/// The agent. It keeps nothing across restarts, as stock: the controller deploys again (API §5).
/// Unless it is one [with a memory](Self::with_memory).
#[derive(Debug)]
pub struct Agent {
    settings: AgentSettings,
    id: EndpointId,
    ids: IdGen,
    /// The supervisor while it is peered.
    supervisor: Option<EndpointId>,
    /// The one before, if that is lost.
    former_supervisor: Option<EndpointId>,
    /// Peers that may be the controller, and when to say hello again.
    greet_again: BTreeMap<EndpointId, Instant>,
    /// Id of the configuration that the nodes below belong to; none before the first and while
    /// another one takes its place.
    current: Option<String>,
    nodes: Nodes,
    /// Nodes that were ordered to end, until others of their names have started.
    ended: BTreeMap<String, Ended>,
    /// Nodes whose orders the supervisor has not answered in time, by the ids of these orders; of
    /// the current deployment only.
    late_orders: BTreeMap<String, String>,
    /// Nodes that have started, and until when their hello may be a former process's.
    settling: BTreeMap<String, Instant>,
    deployment: Option<Deployment>,
    memory: Memory,
    /// Numbers deployments.
    round: u64,
    waiting: Requests<Waiting>,
    restarts: Restarts,
    outputs: VecDeque<Output>,
}

impl Agent {
    /// An agent with this endpoint id. Its first outputs dial supervisor and controller (API §5.1).
    pub fn new(settings: AgentSettings, id: EndpointId, ids: IdGen) -> Self {
        let dialed = [Some(&settings.supervisor), settings.controller.as_ref()];
        let dial = |addr: &PeerAddr| Output::Peer {
            addr: addr.clone(),
            retry: settings.connect_retry,
        };
        let outputs = dialed.into_iter().flatten().map(dial).collect();
        Self {
            settings,
            id,
            ids,
            supervisor: None,
            former_supervisor: None,
            greet_again: BTreeMap::new(),
            current: None,
            nodes: Nodes::default(),
            ended: BTreeMap::new(),
            late_orders: BTreeMap::new(),
            settling: BTreeMap::new(),
            deployment: None,
            memory: Memory::default(),
            round: 0,
            waiting: Requests::default(),
            restarts: Restarts::default(),
            outputs,
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Request { request } => self.on_request(now, request),
            Input::Node { from, message } => self.on_node(now, from, message),
            Input::Supervisor { message } => self.on_supervisor(now, message),
            Input::NodeStatus { message } => self.on_node_status(now, &message),
            Input::Exit { message } => self.on_exit(now, message),
            Input::PeerUp { id, network } => self.on_peer_up(now, id, &network),
            Input::PeerDown { id, reason } => self.on_peer_down(id, &reason),
        }
        self.finish_return_if_complete();
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire_settling(now);
        self.expire_deployment(now);
        self.expire_return(now);
        self.expire_restarts(now);
        while let Some((id, waiting)) = self.waiting.pop_expired(now) {
            self.on_expired(now, id, waiting);
        }
        let before = self.greet_again.len();
        self.greet_again.retain(|_, due| *due > now);
        if self.greet_again.len() < before {
            self.say_hello();
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            // A deployment orders all nodes at once, and then there is little to do for days.
            self.outputs.shrink_to(CALM);
        }
        output
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = [
            self.deployment.as_ref().and_then(Deployment::deadline),
            self.memory.deadline(),
            self.restarts.deadline(),
            self.waiting.next_deadline(),
            self.greet_again.values().min().copied(),
            self.settling.values().min().copied(),
        ];
        due.into_iter().flatten().min()
    }

    fn on_request(&mut self, now: Instant, request: AgentRequest) {
        match request {
            AgentRequest::Welcome { reqid } => {
                let result = self.ok(&reqid);
                self.respond(AgentResponse::Welcome { reqid, result });
            }
            AgentRequest::Standby { reqid } => self.on_standby(reqid),
            AgentRequest::Deploy {
                reqid,
                config,
                force,
            } => self.on_deploy(now, reqid, config, force),
            AgentRequest::GetNodes { reqid } => self.on_get_nodes(now, reqid),
            AgentRequest::NodeDispatch {
                reqid,
                action,
                nodes,
            } => self.on_dispatch(now, reqid, action, nodes),
            AgentRequest::Restart { reqid, nodes } => self.on_restart(now, reqid, &nodes),
        }
    }

    fn on_node(&mut self, now: Instant, from: EndpointId, message: NodeResponse) {
        // Whoever talks like a node is none of the peers that may be the controller.
        self.greet_again.remove(&from);
        match message {
            NodeResponse::Hello { node } => self.on_node_hello(now, from, &node),
            NodeResponse::Dispatch { reqid, result } => self.on_dispatched(&reqid, result),
        }
    }

    fn on_supervisor(&mut self, now: Instant, message: SupervisorResponse) {
        match message {
            SupervisorResponse::Status { reqid, result } => {
                if let Some(goal) = self.take_cleared(&reqid) {
                    self.on_deploy_status(now, goal, &result);
                } else {
                    self.on_status(now, &reqid, result);
                }
            }
            SupervisorResponse::Create { reqid, result } => self.on_created(now, &reqid, result),
            SupervisorResponse::Destroy { reqid, result } => self.on_destroyed(&reqid, result),
            SupervisorResponse::Restart { reqid, result } => self.on_restarted(&reqid, result),
        }
    }

    /// Others ask the supervisor too, and what they are told comes here as well.
    fn on_status(&mut self, now: Instant, id: &str, status: Status) {
        match self.waiting.finish(id) {
            Some(Waiting::GetNodes { reqid }) => self.on_get_nodes_status(reqid, status),
            Some(Waiting::Return { is_same }) => self.on_returned(now, is_same, &status),
            Some(Waiting::FormerNodes) => self.on_former_nodes(now, &status),
            Some(Waiting::Started { node, round }) => {
                if round == self.round {
                    self.on_asked_if_started(now, &node, &status);
                }
            }
            Some(
                Waiting::Create { .. }
                | Waiting::Destroy { .. }
                | Waiting::Restart { .. }
                | Waiting::Dispatch(_),
            )
            | None => tracing::debug!(id, "status that was not asked for"),
        }
    }

    fn on_peer_up(&mut self, now: Instant, id: EndpointId, network: &PeerNetwork) {
        if network.dialed.as_ref() == Some(&self.settings.supervisor) {
            tracing::info!(%id, "supervisor peered");
            self.supervisor = Some(id);
            let former = self.former_supervisor.take();
            if self.memory.is_to_be_checked() {
                self.ask_for_former_nodes(now);
            } else if let Some(former) = former {
                self.ask_what_is_left(now, former == id);
            }
            self.resume_deployment();
        } else {
            self.greet_again.insert(id, now + HELLO_AGAIN);
        }
        self.say_hello();
    }

    fn on_peer_down(&mut self, id: EndpointId, reason: &str) {
        self.greet_again.remove(&id);
        if self.supervisor == Some(id) {
            tracing::warn!(%id, reason, "supervisor lost");
            self.supervisor = None;
            self.former_supervisor = Some(id);
            self.on_supervisor_lost();
        } else {
            self.on_node_lost(id);
        }
    }

    /// Without a supervisor the agent cannot do anything, so it does not offer itself (API §5.1 A2,
    /// §12.2 D46). One that may have a cluster finds out first.
    fn say_hello(&mut self) {
        if self.supervisor.is_none() || self.memory.is_returning() {
            return;
        }
        self.respond(AgentResponse::Hello {
            instance: self.settings.name.clone(),
            id: self.id.to_string(),
            connecting: self.settings.controller.is_some(),
            api_version: API_VERSION,
        });
    }

    fn on_expired(&mut self, now: Instant, id: String, waiting: Waiting) {
        match waiting {
            Waiting::GetNodes { reqid } => {
                self.log_timeout(&reqid);
                self.refuse_get_nodes(reqid, TIMED_OUT);
            }
            Waiting::Dispatch(dispatch) => self.on_dispatch_expired(dispatch),
            Waiting::FormerNodes => {
                tracing::warn!("supervisor does not say what it runs, so nothing is adopted");
                self.forget_former_nodes();
            }
            // The deployment or restart they belong to has answered for them.
            Waiting::Create { node, round } => {
                tracing::warn!(node, "supervisor did not answer");
                if round != self.round {
                    return;
                }
                self.on_order_unanswered(now, &node);
                self.late_orders.insert(id, node);
            }
            Waiting::Started { node, round } => {
                tracing::warn!(node, "supervisor does not say if the node has started");
                if round == self.round {
                    self.trust_hello(now, &node);
                }
            }
            Waiting::Restart { node, .. } => {
                tracing::warn!(node, "supervisor did not answer");
                self.change(&node, LocalNode::on_restart_answered);
            }
            Waiting::Destroy { node } => {
                tracing::warn!(node, "supervisor did not answer a destroy request");
            }
            Waiting::Return { .. } => tracing::warn!("supervisor does not say what it runs"),
        }
    }

    /// Remembers what an answer will be for; the id to ask with.
    fn await_answer(&mut self, now: Instant, waiting: Waiting) -> String {
        let id = self.ids.unique_id();
        let deadline = now + self.settings.request_timeout;
        if let Err(waiting) = self.waiting.open(&id, deadline, waiting) {
            tracing::warn!(?waiting, "id is in use; its answer will be missed");
        }
        id
    }

    /// Whether no further query can be taken on.
    fn is_full(&self) -> bool {
        self.waiting.len() + self.restarts.len() >= MAX_OPEN
    }

    fn ok(&self, reqid: &str) -> ApiResult {
        ApiResult::ok(reqid).on_instance(&self.settings.name)
    }

    fn failed(&self, reqid: &str, error: impl Into<String>) -> ApiResult {
        ApiResult::failed(reqid, error).on_instance(&self.settings.name)
    }

    fn respond(&mut self, response: AgentResponse) {
        self.outputs.push_back(Output::Respond { response });
    }

    fn log(&mut self, record: Record) {
        self.outputs.push_back(Output::Log { record });
    }

    fn log_timeout(&mut self, reqid: &str) {
        self.log(Record::info(format!("request {reqid} timed out")));
    }

    fn ask_supervisor(&mut self, request: SupervisorRequest) {
        self.outputs.push_back(Output::ToSupervisor { request });
    }
}
