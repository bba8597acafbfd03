//! `AgentProcess`: the whole agent but for its sockets.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Instant;

use broker_proto::codec::Limits;
use broker_proto::peering::{self, Endpoint, PeerAddr};
use broker_proto::zeek::{Event, EventError};
use broker_proto::{Data, EndpointId, IdGen, Topic};
use bytes::Bytes;
use supervisor::api::{
    EXIT_TOPIC, ExitEvent, NodeStatusEvent, SupervisorResponse, TOPIC as SUPERVISOR_TOPIC,
};
use tracing::{info, trace, warn};

use super::orders::Orders;
use super::{Agent, Input as AgentInput, Output as AgentOutput};
use crate::api::agent::{AgentRequest, AgentResponse};
use crate::api::node::NodeResponse;
use crate::api::{NODE_TOPIC, agent_topic};
use crate::log::Record;
use crate::log::message::{self, Asked};
use crate::model::Configuration;
use crate::policy::gate::Gate;
use crate::policy::{Policy, Station};
use crate::settings::AgentSettings;

/// Outputs that memory is kept for when all is done.
const CALM: usize = 256;

/// A peering endpoint and an [`Agent`], with types made of bytes between them.
///
/// Its inputs are those of the endpoint; [`peering::Output::Stopped`] ends it.
#[derive(Debug)]
pub struct AgentProcess {
    endpoint: Endpoint,
    agent: Agent,
    orders: Orders,
    /// Where the supervisor is dialed, and who is there.
    supervisor: (PeerAddr, Option<EndpointId>),
    name: String,
    topic: Topic,
    /// About the last request for nodes, the only one that is ever answered with none.
    asked: Asked,
    gate: Gate,
    outputs: VecDeque<Output>,
}

/// What the caller must do, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// From the peering endpoint.
    Broker(peering::Output),
    /// A line for the management log (API §8.4).
    Log(Record),
    /// Write the script that sets a node's options ([`AgentOutput::WriteOptions`]).
    WriteOptions {
        /// Where.
        path: PathBuf,
        /// The whole script.
        text: String,
    },
    /// Keep this for the agent's next life, or nothing ([`AgentOutput::Keep`]).
    Keep(Option<Configuration>),
}

impl AgentProcess {
    /// An agent that subscribes, listens, dials supervisor and controller, and lets everybody do
    /// everything.
    ///
    /// The topic of an agent whose name is too long for one is cut to the prefix: no controller
    /// can reach such an agent.
    pub fn new(settings: AgentSettings, id: EndpointId, mut ids: IdGen, now: Instant) -> Self {
        let topic = agent_topic(&settings.name).unwrap_or(crate::api::AGENT_TOPIC_PREFIX);
        let endpoint_ids = IdGen::new(ids.next_u64());
        let mut endpoint = Endpoint::new(id, peering::Options::default(), endpoint_ids);
        for topic in [SUPERVISOR_TOPIC, topic.clone(), NODE_TOPIC, EXIT_TOPIC] {
            endpoint.handle(now, peering::Input::Subscribe { topic });
        }
        endpoint.handle(
            now,
            peering::Input::Listen {
                addr: settings.listen.clone(),
            },
        );
        info!(name = %settings.name, %id, listen = %settings.listen, "agent is live");
        let name = settings.name.clone();
        let supervisor = (settings.supervisor.clone(), None);
        let orders = Orders::new(IdGen::new(ids.next_u64()), settings.request_timeout);
        let agent = Agent::new(settings, id, ids);
        let mut process = Self {
            endpoint,
            agent,
            orders,
            supervisor,
            gate: Gate::new(Policy::open(), Station::Agent, Some(name.clone())),
            name,
            topic,
            asked: Asked::default(),
            outputs: VecDeque::new(),
        };
        process.log(Record::info(format!("agent is live, Broker ID {id}")));
        process.drain(now);
        process
    }

    /// The same with a memory ([`Agent::with_memory`]). To be called before anything happens.
    #[must_use]
    pub fn with_memory(mut self, kept: Option<Configuration>) -> Self {
        self.agent = self.agent.with_memory(kept);
        self
    }

    /// The same with rules. To be called before anything happens.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.gate = Gate::new(policy, Station::Agent, Some(self.name.clone()));
        self
    }

    /// The rules, and how often somebody was refused something.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// One thing happened.
    pub fn handle(&mut self, now: Instant, input: peering::Input) {
        self.endpoint.handle(now, input);
        self.drain(now);
    }

    /// A deadline of [`Self::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.agent.handle_timeout(now);
        let orders = self.orders.handle_timeout(now);
        self.ask_supervisor(now, orders);
        self.drain(now);
    }

    /// What the caller must do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            // A hundred messages for as many peers were ten thousand outputs.
            self.outputs.shrink_to(CALM);
        }
        output
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.endpoint.poll_timeout(),
            self.agent.poll_timeout(),
            self.orders.poll_timeout(),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn drain(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.agent.poll_output() {
                self.on_agent(now, output);
            } else if let Some(output) = self.endpoint.poll_output() {
                self.on_endpoint(now, output);
            } else {
                return;
            }
        }
    }

    fn on_agent(&mut self, now: Instant, output: AgentOutput) {
        let (record, topic, event) = match output {
            AgentOutput::Respond { response } => {
                let record = message::to_controller(&response, self.asked);
                (record, self.topic.clone(), response.into())
            }
            AgentOutput::ToNodes { request } => {
                let record = Record::info(message::to_nodes(&request));
                (Some(record), NODE_TOPIC, request.into())
            }
            AgentOutput::ToSupervisor { request } => {
                self.log(Record::info(message::to_supervisor(&request)));
                let orders = self.orders.order(now, request);
                return self.ask_supervisor(now, orders);
            }
            AgentOutput::Log { record } => return self.log(record),
            AgentOutput::WriteOptions { path, text } => {
                let output = Output::WriteOptions { path, text };
                return self.outputs.push_back(output);
            }
            AgentOutput::Keep { config } => return self.outputs.push_back(Output::Keep(config)),
            AgentOutput::Peer { addr, retry } => {
                let retry = Some(retry);
                return self
                    .endpoint
                    .handle(now, peering::Input::Dial { addr, retry });
            }
        };
        self.outputs.extend(record.map(Output::Log));
        self.publish(now, topic, event);
    }

    fn ask_supervisor(&mut self, now: Instant, orders: Vec<Event>) {
        for order in orders {
            self.publish(now, SUPERVISOR_TOPIC, order);
        }
    }

    fn log(&mut self, record: Record) {
        self.outputs.push_back(Output::Log(record));
    }

    fn publish(&mut self, now: Instant, topic: Topic, event: Event) {
        trace!(event = %event.name, %topic, "tx");
        self.endpoint.handle(
            now,
            peering::Input::Publish {
                topic,
                payload: event.encode(),
            },
        );
    }

    fn on_endpoint(&mut self, now: Instant, output: peering::Output) {
        match output {
            peering::Output::Deliver {
                topic,
                payload,
                from,
            } => {
                self.on_message(now, &topic, &payload, from);
            }
            peering::Output::PeerUp { id, network } => self.on_peer_up(now, id, network),
            peering::Output::PeerDown { id, reason } => {
                self.gate.leave(id);
                if self.supervisor.1 == Some(id) {
                    self.supervisor.1 = None;
                    self.orders.forget();
                }
                self.agent.handle(now, AgentInput::PeerDown { id, reason });
            }
            // Logged and counted.
            peering::Output::Misbehaved { .. } => {}
            peering::Output::PeerUnreachable { addr, reason } => {
                info!(%addr, reason, "peer is unreachable");
            }
            order @ (peering::Output::Listen { .. }
            | peering::Output::Dial { .. }
            | peering::Output::Send { .. }
            | peering::Output::Close { .. }
            | peering::Output::Stopped) => self.outputs.push_back(Output::Broker(order)),
        }
    }

    fn on_message(&mut self, now: Instant, topic: &Topic, payload: &Bytes, from: EndpointId) {
        let limits = Limits::default();
        let is_supervisors = SUPERVISOR_TOPIC.is_prefix_of(topic);
        if is_supervisors
            && self.supervisor.1 == Some(from)
            && self.orders.is_curious()
            && let Ok(event) = Event::decode(payload, &limits)
        {
            let orders = self.orders.learn(&event);
            self.ask_supervisor(now, orders);
        }
        let status = is_supervisors.then(|| SupervisorResponse::decode_status(payload, &limits));
        if let Some(message) = status.flatten() {
            let name = message.event_name();
            trace!(event = name, %topic, %from, "rx");
            if let Err(refusal) = self.gate.check(from, &topic.to_string(), name) {
                let event = Event::new(name, Vec::new());
                return self.turn_down(now, from, topic, &event, refusal);
            }
            let input = AgentInput::Supervisor { message };
            self.note(&input);
            return self.agent.handle(now, input);
        }
        let read = Event::decode(payload, &limits);
        let event = match read {
            Ok(event) => event,
            // Topics are shared: others' logs are copies, not mistakes.
            Err(EventError::OtherMessage(_)) => return,
            Err(error) => return warn!(peer = %from, %topic, %error, "message dropped"),
        };
        trace!(event = %event.name, %topic, %from, "rx");
        if let Err(refusal) = self.gate.check(from, &topic.to_string(), &event.name) {
            return self.turn_down(now, from, topic, &event, refusal);
        }
        // Only the controller is answered, by the name and the id of what it asks.
        let is_asked = *topic == self.topic;
        let request = is_asked.then(|| (event.name.clone(), event.args.first().cloned()));
        let error = match self.read(topic, event.clone(), from) {
            Ok(input) => {
                if let Err(refusal) = self.identify(now, &input) {
                    return self.turn_down(now, from, topic, &event, refusal);
                }
                self.note(&input);
                return self.agent.handle(now, input);
            }
            // So are others' requests and answers.
            Err(EventError::UnknownName(_)) => return,
            Err(error) => error,
        };
        warn!(peer = %from, %topic, %error, "message dropped");
        let error = error.to_string();
        let response = request.and_then(|(name, reqid)| self.refusal(&name, reqid?, &error));
        if let Some(response) = response {
            self.on_agent(now, AgentOutput::Respond { response });
        }
    }

    /// The answer to a controller's request that does not read. Stock has none, and lets its
    /// controller wait.
    fn refusal(&self, request: &str, reqid: Data, error: &str) -> Option<AgentResponse> {
        let Data::String(reqid) = reqid else {
            return None;
        };
        AgentResponse::refusal(request, reqid.to_str()?, &self.name, error)
    }

    /// Logs what came. Stock hears of started nodes as little as of peerings.
    fn note(&mut self, input: &AgentInput) {
        let text = match input {
            AgentInput::Request { request } => {
                if let AgentRequest::NodeDispatch { nodes, .. }
                | AgentRequest::Restart { nodes, .. } = request
                {
                    self.asked = nodes.into();
                }
                message::from_controller(request)
            }
            AgentInput::Node { message, .. } => message::from_node(message),
            AgentInput::Supervisor { message } => message::from_supervisor(message),
            AgentInput::Exit { message } => message::node_exit(message),
            AgentInput::NodeStatus { .. }
            | AgentInput::PeerUp { .. }
            | AgentInput::PeerDown { .. } => return,
        };
        self.log(Record::info(text));
    }

    /// The typed input of an event, by the exact topic it came on (API §12.2 D01).
    fn read(
        &self,
        topic: &Topic,
        event: Event,
        from: EndpointId,
    ) -> Result<AgentInput, EventError> {
        if *topic == self.topic {
            let request = AgentRequest::try_from(event)?;
            trace!(event = request.event_name(), peer = %from, "rx");
            return Ok(AgentInput::Request { request });
        }
        if *topic == NODE_TOPIC {
            let message = NodeResponse::try_from(event)?;
            return Ok(AgentInput::Node { from, message });
        }
        if *topic == EXIT_TOPIC {
            let message = ExitEvent::try_from(event)?;
            return Ok(AgentInput::Exit { message });
        }
        if SUPERVISOR_TOPIC.is_prefix_of(topic) {
            return read_supervisor(event);
        }
        Err(EventError::UnknownName(event.name))
    }
}

fn read_supervisor(event: Event) -> Result<AgentInput, EventError> {
    if event.name == "SupervisorControl::node_status" {
        let message = NodeStatusEvent::try_from(event)?;
        return Ok(AgentInput::NodeStatus { message });
    }
    let message = SupervisorResponse::of_event(event)?;
    Ok(AgentInput::Supervisor { message })
}

mod access;
#[cfg(test)]
mod tests;
