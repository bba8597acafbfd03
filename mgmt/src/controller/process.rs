//! `ControllerProcess`: the whole controller but for its sockets.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use broker_proto::codec::Limits;
use broker_proto::peering::{self, Endpoint};
use broker_proto::zeek::{Event, EventError};
use broker_proto::{Data, EndpointId, Filter, IdGen, Topic};
use bytes::Bytes;
use tracing::{debug, info, trace, warn};
use zeek_client_compat::hub::{self, ClientId, Hub};

use deploying::Encoded;

use super::configs::Saved;
use super::ledger::{Asker, Ledger};
use super::{Controller, Input as ControllerInput, Output as ControllerOutput};
use crate::api::agent::AgentResponse;
use crate::api::controller::{ControllerRequest, ControllerResponse};
use crate::api::{AGENT_TOPIC_PREFIX, CONTROLLER_TOPIC, agent_topic};
use crate::audit::{Entry, cut};
use crate::log::{Record, message};
use crate::policy::audit::Audit;
use crate::policy::gate::Gate;
use crate::policy::{Policy, Station};
use crate::settings::ControllerSettings;

/// A peering endpoint, the WebSocket clients' hub and a [`Controller`], with types made of bytes
/// between them.
#[derive(Debug)]
pub struct ControllerProcess {
    endpoint: Endpoint,
    hub: Hub,
    controller: Controller,
    gate: Gate,
    /// Hellos of agents whose name is another's, who may turn out to be gone.
    put_off: BTreeMap<EndpointId, (Topic, Bytes)>,
    ledger: Ledger,
    ending: Vec<String>,
    /// What agents were sent last.
    encoded: Option<Encoded>,
    outputs: VecDeque<Output>,
}

/// What happened, or what somebody asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// To the peering endpoint.
    Broker(peering::Input),
    /// To the clients' hub.
    WebSocket(hub::Input),
    /// The oldest [`Output::Save`] not yet answered has ended.
    Saved {
        /// Why it failed, for people; then what was stored before still is.
        result: Result<(), String>,
    },
    /// These rules are in force from now on.
    Policy(Policy),
    /// Certificates that run out soon, in words, until told otherwise: whoever asks for the
    /// instances has them logged.
    Ending(Vec<String>),
    /// Leave clients and peers in good order; [`peering::Output::Stopped`] tells when that is done.
    Shutdown,
}

/// What the caller must do, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// From the peering endpoint.
    Broker(peering::Output),
    /// From the clients' hub.
    WebSocket(hub::Output),
    /// Keep this instead of what was kept before, so that it survives whatever happens, and say so
    /// with [`Input::Saved`]. There is one at a time.
    Save {
        /// All there is to keep.
        state: Saved,
    },
    /// A line for the management log (API §8.4).
    Log(Record),
    /// Somebody did, or was not allowed to do, something.
    Audit(Audit),
    /// A line for the audit log (API §17).
    Audited(Entry),
}

impl ControllerProcess {
    /// A controller that subscribes and listens, and lets everybody do everything. `version` is what clients are told in the ack,
    /// `saved` what an earlier one left.
    pub fn new(
        settings: ControllerSettings,
        version: &str,
        id: EndpointId,
        ids: IdGen,
        saved: Saved,
        now: Instant,
    ) -> Self {
        let limits = crate::limits::Limits::default();
        Self::within(&limits, settings, version, id, ids, saved, now)
    }

    /// The same within other limits than the usual ones.
    pub fn within(
        limits: &crate::limits::Limits,
        settings: ControllerSettings,
        version: &str,
        id: EndpointId,
        mut ids: IdGen,
        saved: Saved,
        now: Instant,
    ) -> Self {
        let endpoint_ids = IdGen::new(ids.next_u64());
        let mut endpoint = Endpoint::new(id, limits.endpoint(), endpoint_ids);
        for topic in [AGENT_TOPIC_PREFIX, CONTROLLER_TOPIC] {
            endpoint.handle(now, peering::Input::Subscribe { topic });
        }
        if let Some(addr) = settings.listen.clone() {
            endpoint.handle(now, peering::Input::Listen { addr });
        }
        let mut publish = Filter::default();
        publish.extend(CONTROLLER_TOPIC);
        let hub = Hub::new(hub::Options {
            subscribe_timeout: limits.subscribe(),
            ..hub::Options::new(id.to_string(), version, publish)
        });
        let ledger = Ledger::new(limits, settings.request_timeout);
        info!(name = %settings.name, %id, "controller is live");
        let (broker, websocket) = (&settings.listen, &settings.listen_websocket);
        let live = message::controller_live(&id, broker.as_ref(), websocket.as_ref());
        let controller = Controller::new(settings, ids, saved);
        let mut process = Self {
            endpoint,
            hub,
            controller,
            gate: Gate::new(Policy::open(), Station::Controller, None),
            put_off: BTreeMap::new(),
            ledger,
            ending: Vec::new(),
            encoded: None,
            outputs: VecDeque::new(),
        };
        process.log(Record::info(live));
        process.drain(now);
        process
    }

    /// The same with rules. To be called before anything happens.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.gate = Gate::new(policy, Station::Controller, None);
        self
    }

    /// The rules, and how often somebody was refused something.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// One thing happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Broker(input) => self.endpoint.handle(now, input),
            Input::WebSocket(input) => {
                if let hub::Input::Closed { client, .. } = &input {
                    self.ledger.left(Asker::Client(*client));
                }
                self.on_websocket(now, input);
            }
            Input::Saved { result } => {
                self.controller
                    .handle(now, ControllerInput::Saved { result });
            }
            Input::Policy(policy) => self.on_policy(now, policy),
            Input::Ending(peers) => self.ending = peers,
            Input::Shutdown => {
                self.hub.handle(now, hub::Input::Shutdown);
                self.endpoint.handle(now, peering::Input::Shutdown);
            }
        }
        self.drain(now);
    }

    /// A deadline of [`Self::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.hub.handle_timeout(now);
        self.controller.handle_timeout(now);
        self.drain(now);
        let forgotten = self.ledger.expire(now);
        self.outputs
            .extend(forgotten.into_iter().map(Output::Audited));
    }

    /// What the caller must do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.endpoint.poll_timeout(),
            self.hub.poll_timeout(),
            self.controller.poll_timeout(),
            self.ledger.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn drain(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.controller.poll_output() {
                self.on_controller(now, output);
            } else if let Some(output) = self.endpoint.poll_output() {
                self.on_endpoint(now, output);
            } else if let Some(output) = self.hub.poll_output() {
                self.on_hub(now, output);
            } else {
                return;
            }
        }
    }

    fn on_controller(&mut self, now: Instant, output: ControllerOutput) {
        match output {
            ControllerOutput::Respond { response } => {
                let (response, entry) = self.ledger.answer(now, response);
                self.outputs.extend(entry.map(Output::Audited));
                self.respond(now, response);
            }
            ControllerOutput::ToAgent { instance, request } => {
                trace!(event = request.event_name(), instance, "tx");
                self.log(Record::info(message::to_agent(&instance, &request)));
                match agent_topic(&instance) {
                    Ok(topic) => self.publish(now, topic, request.encode()),
                    Err(error) => warn!(%error, "the instance's name makes its topic too long"),
                }
            }
            ControllerOutput::Deploy {
                instance,
                reqid,
                config,
                force,
            } => self.send_configuration(now, &instance, &reqid, config, force),
            ControllerOutput::Peer { addr, retry } => {
                let retry = Some(retry);
                self.endpoint
                    .handle(now, peering::Input::Dial { addr, retry });
            }
            ControllerOutput::Unpeer { addr } => {
                self.endpoint.handle(now, peering::Input::Unpeer { addr });
            }
            ControllerOutput::Save { state } => self.outputs.push_back(Output::Save { state }),
            ControllerOutput::Log { record } => self.log(record),
        }
    }

    fn log(&mut self, record: Record) {
        self.outputs.push_back(Output::Log(record));
    }

    /// Answers go to everybody on the controller's topic, who tell theirs by the request's id.
    fn respond(&mut self, now: Instant, response: ControllerResponse) {
        self.log(Record::info(message::to_client(&response)));
        trace!(event = response.event_name(), "tx");
        // Agents do not subscribe to it, so mostly nobody would read what is written here.
        if self.endpoint.is_wanted(&CONTROLLER_TOPIC) {
            self.publish(now, CONTROLLER_TOPIC, response.clone().encode());
        }
        let publish = hub::Input::Publish {
            topic: CONTROLLER_TOPIC,
            event: response.into(),
            origin: None,
        };
        self.hub.handle(now, publish);
    }

    fn publish(&mut self, now: Instant, topic: Topic, payload: Bytes) {
        let publish = peering::Input::Publish { topic, payload };
        self.endpoint.handle(now, publish);
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
                self.ledger.left(Asker::Peer(id));
                self.on_peer_down(now, id, reason);
            }
            peering::Output::Misbehaved { id, reason } => self.on_misbehaved(now, id, reason),
            peering::Output::PeerUnreachable { addr, reason } => {
                info!(%addr, reason, "agent is unreachable");
                let input = ControllerInput::PeerUnreachable { addr, reason };
                self.controller.handle(now, input);
            }
            order @ (peering::Output::Listen { .. }
            | peering::Output::Dial { .. }
            | peering::Output::Send { .. }
            | peering::Output::Close { .. }) => self.outputs.push_back(Output::Broker(order)),
            peering::Output::Stopped => {
                let unanswered = self.ledger.end_all(now).into_iter();
                self.outputs.extend(unanswered.map(Output::Audited));
                self.outputs
                    .push_back(Output::Broker(peering::Output::Stopped));
            }
        }
    }

    fn on_message(&mut self, now: Instant, topic: &Topic, payload: &Bytes, from: EndpointId) {
        let read = Event::decode(payload, &Limits::default());
        let event = match read {
            Ok(event) => event,
            // Topics are shared: the agents' logs come by as copies.
            Err(EventError::OtherMessage(_)) => return,
            Err(error) => return warn!(peer = %from, %topic, %error, "message dropped"),
        };
        let is_request = CONTROLLER_TOPIC.is_prefix_of(topic) && event.name.ends_with("_request");
        if is_request && !self.admits(now, Asker::Peer(from), &event) {
            return;
        }
        if let Err(refusal) = self.gate.check(from, &topic.to_string(), &event.name) {
            return self.turn_down(now, from, topic, &event, refusal);
        }
        if CONTROLLER_TOPIC.is_prefix_of(topic) {
            self.on_peer_request(now, topic, event, from);
        } else {
            self.on_agent(now, topic, payload, event, from);
        }
    }

    fn on_peer_request(&mut self, now: Instant, topic: &Topic, event: Event, from: EndpointId) {
        match ControllerRequest::try_from(event.clone()) {
            Ok(request) => {
                trace!(event = request.event_name(), peer = %from, "rx");
                self.log(Record::info(message::from_client(&request)));
                self.ask(now, Asker::Peer(from), request);
            }
            // So do our own answers.
            Err(EventError::UnknownName(_)) => {}
            Err(error) => {
                warn!(peer = %from, %topic, %error, "message dropped");
                if refusal(&event, "").is_some() {
                    self.refused_request(Asker::Peer(from), &event, error.to_string());
                    self.decline(now, Asker::Peer(from), &event, error.to_string());
                }
            }
        }
    }

    fn on_agent(
        &mut self,
        now: Instant,
        topic: &Topic,
        payload: &Bytes,
        event: Event,
        from: EndpointId,
    ) {
        let Some(topic_instance) = instance_of(topic) else {
            return;
        };
        let message = match AgentResponse::try_from(event) {
            Ok(message) => message,
            Err(EventError::UnknownName(_)) => return,
            Err(error) => return warn!(peer = %from, %topic, %error, "message dropped"),
        };
        let event = message.event_name();
        debug!(event, instance = topic_instance, "rx");
        if let Err(refusal) = self.identify(now, from, &topic_instance, &message) {
            return self.silence(now, from, topic, event, payload, refusal);
        }
        self.log(message::from_agent(&message));
        let input = ControllerInput::Agent {
            from,
            topic_instance,
            message,
        };
        self.controller.handle(now, input);
    }

    fn on_hub(&mut self, now: Instant, output: hub::Output) {
        match output {
            hub::Output::Deliver { topic, event, from } => {
                self.on_client_event(now, topic, event, from);
            }
            hub::Output::Unread {
                event,
                reason,
                from,
            } => {
                if self.admits(now, Asker::Client(from), &event) {
                    self.refuse(now, &event, from, &reason);
                }
            }
            hub::Output::Unsent { event, reason, to } => self.on_unsent(now, &event, &reason, to),
            hub::Output::Refused {
                topic,
                event,
                reason,
                from,
            } => self.on_refused(now, &topic, event, reason, from),
            order @ (hub::Output::Send { .. } | hub::Output::Close { .. }) => {
                self.outputs.push_back(Output::WebSocket(order));
            }
        }
    }

    /// Other clients see a request only once it is known to be one (CLIENT §A7).
    fn on_client_event(&mut self, now: Instant, topic: Topic, event: Event, client: ClientId) {
        let asker = Asker::Client(client);
        if !self.admits(now, asker, &event) {
            return;
        }
        if let Some(from) = self.hub.client(client).cloned() {
            let text = topic.to_string();
            let checked = self.gate.check_client(client, &from, &text, &event.name);
            if let Err(refusal) = checked {
                let who = self.gate.who_client(client, &from);
                return self.turn_down_client(now, client, who, &topic, &event, refusal);
            }
        }
        let request = match ControllerRequest::try_from(event.clone()) {
            Ok(request) => request,
            Err(error) => return self.refuse(now, &event, client, &error.to_string()),
        };
        trace!(event = request.event_name(), client = client.0, "rx");
        if let ControllerRequest::GetInstances { .. } = request
            && !self.ending.is_empty()
        {
            let certificates = self.ending.join("; ");
            warn!(certificates, "get-instances: certificates run out");
        }
        self.log(Record::info(message::from_client(&request)));
        let (event, origin) = (event.into(), Some(client));
        self.hub.handle(
            now,
            hub::Input::Publish {
                topic,
                event,
                origin,
            },
        );
        self.ask(now, asker, request);
    }

    /// A request that says which answer it waits for gets that answer, with the reason; anything
    /// else an error message (CLIENT §A8).
    fn refuse(&mut self, now: Instant, event: &Event, client: ClientId, error: &str) {
        // It may name the event, which may be as long as a message.
        let error = cut(error).to_owned();
        warn!(client = client.0, error, "request refused");
        let text = format!("refused a client's {}: {error}", cut(&event.name));
        self.log(Record::warning(text));
        let asker = Asker::Client(client);
        self.refused_request(asker, event, error.clone());
        self.decline(now, asker, event, error);
    }
}

/// The answer to a request that does not read, if it can be told which one that is.
fn refusal(event: &Event, error: &str) -> Option<ControllerResponse> {
    let Some(Data::String(reqid)) = event.args.first() else {
        return None;
    };
    ControllerResponse::refusal(&event.name, reqid.to_str()?, error)
}

/// The agent whose topic this is.
fn instance_of(topic: &Topic) -> Option<String> {
    let rest = topic
        .as_bytes()
        .strip_prefix(AGENT_TOPIC_PREFIX.as_bytes())?;
    String::from_utf8(rest.strip_prefix(b"/")?.to_vec()).ok()
}

mod access;
mod asking;
mod deploying;
#[cfg(test)]
mod tests;
