//! The controller: knows the agents, keeps configurations, deploys them, answers clients (API §4).
//!
//! [`Controller`] is fed typed messages, peerings and the time, and hands out [`Output`]s. Agents
//! come and go in `instances`; a client's deployment is in `deploy`, from the staged configuration to
//! the answer, and `rollout` knows who has the configuration in force; `configs` keeps
//! configurations over a restart; `fanout` asks agents on behalf of clients and collects what they
//! say; `notices` are what agents say unasked.
//!
//! An answer counts only if it comes from the agent that was asked: on that agent's topic and from
//! its endpoint. Stock agents also act on messages for longer names that begin with their own
//! (API §12.1 D01).

pub mod configs;
mod deadlines;
mod deploy;
mod fanout;
mod instances;
pub mod ledger;
mod notices;
pub mod process;
mod rollout;
mod weight;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_proto::peering::{PeerAddr, PeerNetwork};
use broker_proto::{EndpointId, IdGen};
use tracing::{info, warn};

use crate::api::agent::{AgentRequest, AgentResponse};
use crate::api::controller::{ControllerRequest, ControllerResponse};
use crate::log::Record;
use crate::model::Configuration;
use crate::settings::ControllerSettings;

use configs::{Configs, Saved};
use deploy::Deployment;
use fanout::{Fanouts, Query};
use instances::Instances;
use notices::Notices;
use rollout::Rollout;

/// Why a request that ran out of time failed.
const TIMED_OUT: &str = "request timed out";

/// The controller without network, clock and disk.
#[derive(Debug)]
pub struct Controller {
    settings: ControllerSettings,
    ids: IdGen,
    instances: Instances,
    configs: Configs,
    deployment: Option<Deployment>,
    rollout: Rollout,
    fanouts: Fanouts,
    notices: Notices,
    outputs: VecDeque<Output>,
}

/// What happened, or what somebody asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// A client asks.
    Request {
        /// What.
        request: ControllerRequest,
    },
    /// A message on an agent's topic.
    Agent {
        /// The peer it came from.
        from: EndpointId,
        /// The agent whose topic it came on.
        topic_instance: String,
        /// What it says.
        message: AgentResponse,
    },
    /// A peering is established.
    PeerUp {
        /// With whom.
        id: EndpointId,
        /// How it is reached.
        network: PeerNetwork,
    },
    /// A peering ended, for whatever reason.
    PeerDown {
        /// With whom.
        id: EndpointId,
        /// Why, for people.
        reason: String,
    },
    /// An address of [`Output::Peer`] cannot be reached. It is tried again and again.
    PeerUnreachable {
        /// Where.
        addr: PeerAddr,
        /// Why, for people.
        reason: String,
    },
    /// The oldest [`Output::Save`] not yet answered has ended.
    Saved {
        /// Why it failed, for people; then what was stored before still is.
        result: Result<(), String>,
    },
}

/// What the caller must do, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Publish to all clients.
    Respond {
        /// The answer.
        response: ControllerResponse,
    },
    /// Publish on an agent's topic.
    ToAgent {
        /// The agent.
        instance: String,
        /// What it shall do.
        request: AgentRequest,
    },
    /// Publish a configuration on an agent's topic: the deployment request, which goes to many
    /// agents with the same configuration.
    Deploy {
        /// The agent.
        instance: String,
        /// The request's id.
        reqid: String,
        /// What it shall run its part of.
        config: Arc<Configuration>,
        /// Whether it shall take it even if it has one of that id.
        force: bool,
    },
    /// Keep a peering with the agent at this address.
    Peer {
        /// Where.
        addr: PeerAddr,
        /// How long to wait between attempts.
        retry: Duration,
    },
    /// End the peering with this address once everything before is sent, and stop dialing it.
    Unpeer {
        /// As given to `Peer`.
        addr: PeerAddr,
    },
    /// Keep this instead of what was kept before, so that it survives whatever happens, and say so
    /// with [`Input::Saved`]. There is one at a time.
    Save {
        /// All there is to keep.
        state: Saved,
    },
    /// A line for the management log (API §8.4).
    Log {
        /// What happened.
        record: Record,
    },
}

/// Who sent a message.
#[derive(Debug)]
struct Sender {
    from: EndpointId,
    instance: String,
}

impl Controller {
    /// A controller that knows no agent. It deploys again what was deployed when `saved` was stored
    /// (API §4.1 C3).
    pub fn new(settings: ControllerSettings, ids: IdGen, saved: Saved) -> Self {
        let mut controller = Self {
            settings,
            ids,
            instances: Instances::default(),
            configs: Configs::new(saved),
            deployment: None,
            rollout: Rollout::default(),
            fanouts: Fanouts::default(),
            notices: Notices::default(),
            outputs: VecDeque::new(),
        };
        controller.restore();
        controller
    }

    /// Takes in one thing that happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Request { request } => self.on_request(now, now, request),
            Input::Agent {
                from,
                topic_instance: instance,
                message,
            } => self.on_agent(now, &Sender { from, instance }, message),
            Input::PeerUp { id, network } => self.on_peer_up(id, network),
            Input::PeerDown { id, reason } => self.on_peer_down(now, id, &reason),
            Input::PeerUnreachable { addr, reason } => self.on_peer_unreachable(addr, reason),
            Input::Saved { result } => self.on_saved(now, result),
        }
    }

    /// Lets deadlines pass: requests expire, unanswered welcomes are repeated.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire_fanouts(now);
        self.expire_saves(now);
        self.advance(now);
        self.repeat_welcomes(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deployment = self.deployment.as_ref().and_then(Deployment::next_deadline);
        [
            self.fanouts.next_deadline(),
            deployment,
            self.configs.next_deadline(),
            self.instances.next_welcome(),
            self.next_repetition(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What was held behind a save has been asked before; its time is counted from then.
    fn on_request(&mut self, now: Instant, asked: Instant, request: ControllerRequest) {
        let Some(request) = self.hold(asked, request) else {
            return;
        };
        match request {
            ControllerRequest::GetInstances { reqid } => self.on_get_instances(reqid),
            ControllerRequest::StageConfiguration { reqid, config } => {
                self.on_stage_configuration(asked, reqid, config);
            }
            ControllerRequest::GetConfiguration { reqid, deployed } => {
                self.on_get_configuration(reqid, deployed);
            }
            ControllerRequest::Deploy { reqid } => self.on_deploy(now, asked, reqid),
            ControllerRequest::GetNodes { reqid } => self.on_get_nodes(now, reqid),
            ControllerRequest::GetIdValue { reqid, id, nodes } => {
                self.on_get_id_value(now, reqid, id, &nodes);
            }
            ControllerRequest::Restart { reqid, nodes } => self.on_restart(now, reqid, &nodes),
            ControllerRequest::TestTimeout { reqid, with_state } => {
                self.on_test_timeout(now, reqid, with_state);
            }
        }
    }

    fn on_agent(&mut self, now: Instant, sender: &Sender, message: AgentResponse) {
        match message {
            AgentResponse::Hello {
                instance,
                id,
                connecting,
                api_version,
            } => {
                if instance != sender.instance {
                    warn!(%instance, topic = %sender.instance, "hello on another agent's topic");
                    return;
                }
                self.on_hello(now, sender, &id, connecting, api_version);
            }
            AgentResponse::Welcome { reqid, result } => {
                self.on_welcome(now, sender, &reqid, &result);
            }
            AgentResponse::Standby { result, .. } => self.on_standby(sender, &result),
            AgentResponse::Deploy { reqid, results } => {
                self.on_deploy_response(now, sender, &reqid, results);
            }
            AgentResponse::GetNodes { reqid, result } => {
                if !self.on_check_answer(now, sender, &reqid, &result) {
                    self.on_answer(sender, Query::GetNodes, &reqid, vec![result]);
                }
            }
            AgentResponse::NodeDispatch { reqid, results } => {
                self.on_answer(sender, Query::GetIdValue, &reqid, results);
            }
            AgentResponse::Restart { reqid, results } => {
                self.on_answer(sender, Query::Restart, &reqid, results);
            }
            AgentResponse::Change {
                instance,
                n,
                old,
                new,
            } => {
                let (old, new) = (old.zeek_name(), new.zeek_name());
                info!(%instance, node = %n.name, old, new, "node changed");
            }
            AgentResponse::Error {
                instance,
                msg,
                node,
            } => {
                warn!(%instance, %node, %msg, "agent reports an error");
                if self.instances.is_genuine(sender) && instance == sender.instance {
                    self.notices.keep(&instance, &node, &msg);
                }
            }
            AgentResponse::Log {
                instance,
                msg,
                node,
            } => info!(%instance, %node, %msg, "agent"),
        }
    }

    fn respond(&mut self, response: ControllerResponse) {
        self.outputs.push_back(Output::Respond { response });
    }

    fn log(&mut self, record: Record) {
        self.outputs.push_back(Output::Log { record });
    }

    fn tell(&mut self, instance: impl Into<String>, request: AgentRequest) {
        self.outputs.push_back(Output::ToAgent {
            instance: instance.into(),
            request,
        });
    }
}

#[cfg(test)]
mod tests;
