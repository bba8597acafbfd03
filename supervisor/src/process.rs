//! The whole program without the operating system: peering endpoint, typed events, supervisor.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use broker_proto::codec::Limits;
use broker_proto::peering::{self, Endpoint, Options, PeerNetwork};
use broker_proto::zeek::{Event, EventError, FromData};
use broker_proto::{EndpointId, IdGen, Topic};
use bytes::Bytes;
use tracing::{debug, info, trace, warn};

use crate::api::{
    EXIT_TOPIC, Layout, LivesRequest, LivesResponse, NODE_STATUS_TOPIC, SupervisorRequest,
    SupervisorResponse, TOPIC, accepts_short, short_topic,
};
use crate::host::{HostInput, HostOutput};
use crate::settings::Settings;
use crate::supervisor::{self, Supervisor};

const CREATE_REQUEST: &str = "SupervisorControl::create_request";

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// On the network.
    Peering {
        /// What.
        input: peering::Input,
    },
    /// To child processes and directories.
    Host {
        /// What.
        input: HostInput,
    },
    /// The program itself asks, as peers do; a stop is asked for with [`Input::Shutdown`].
    Ask {
        /// For what. Its id must not be guessable, for peers choose theirs.
        request: Box<SupervisorRequest>,
    },
    /// The program itself asks how nodes fare.
    AskLives {
        /// For which; the id as above.
        request: LivesRequest,
    },
    /// The program shall log how its units are.
    LogStatus,
    /// Our own programs below shall read again what can change while they run.
    Reload,
    /// The program shall end.
    Shutdown,
}

/// What the caller must do, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// On the network: `Listen`, `Send` or `Close`.
    Peering {
        /// What.
        output: peering::Output,
    },
    /// With child processes, directories and files.
    Host {
        /// What.
        output: HostOutput,
    },
    /// The answer to [`Input::Ask`]. No peer gets it.
    Answer {
        /// The answer.
        response: SupervisorResponse,
    },
    /// The answer to [`Input::AskLives`].
    AnswerLives {
        /// The answer.
        response: LivesResponse,
    },
    /// [`Input::Ask`] is not heeded: all units stop, or too many requests wait for a directory.
    Unanswered {
        /// Which; a request to stop has no id.
        reqid: Option<String>,
    },
    /// End the program: no process and no link is left.
    Stopped,
}

/// Where the layout of answers is from.
#[derive(Clone, Copy, Debug)]
enum LayoutKnown {
    /// The settings.
    Told(Layout),
    /// The last request that shows it; the youngest layout until then.
    Seen(Layout),
}

/// A supervisor with its Broker endpoint.
#[derive(Debug)]
pub struct SupervisorProcess {
    endpoint: Endpoint,
    supervisor: Supervisor,
    limits: Limits,
    /// How the peer lays its records out; answers are laid out the same way (API §1.5).
    layout: LayoutKnown,
    /// Requests of the program itself that have no answer yet.
    asked: BTreeSet<String>,
    /// Status requests that have no answer yet, and whose answer may be short.
    short: BTreeSet<String>,
    door: Option<Arc<dyn Door>>,
    /// Who was turned away and is not gone yet.
    refused: BTreeSet<EndpointId>,
    out: VecDeque<Output>,
}

/// Who may come in. Whoever may, may ask for everything.
pub trait Door: std::fmt::Debug + Send + Sync {
    /// Whether a peer is let in.
    ///
    /// # Errors
    /// Why not, for people.
    fn admits(&self, network: &PeerNetwork) -> Result<(), String>;
}

impl SupervisorProcess {
    /// Listens, subscribes, and starts the supervisor's own units.
    pub fn new(settings: Settings, id: EndpointId, ids: IdGen, now: Instant) -> Self {
        let mut endpoint = Endpoint::new(id, Options::default(), ids);
        endpoint.handle(now, peering::Input::Subscribe { topic: TOPIC });
        let told = settings.policy.zeek;
        if let Some(addr) = settings.listen.clone() {
            endpoint.handle(now, peering::Input::Listen { addr });
        }
        let mut process = Self {
            endpoint,
            supervisor: Supervisor::new(settings, now),
            limits: Limits::default(),
            layout: match told {
                Some(layout) => LayoutKnown::Told(layout),
                None => LayoutKnown::Seen(Layout::default()),
            },
            asked: BTreeSet::new(),
            short: BTreeSet::new(),
            door: None,
            refused: BTreeSet::new(),
            out: VecDeque::new(),
        };
        process.settle(now);
        process
    }

    /// The same with a look at who comes in; without, everybody does. To be called before anything
    /// happens.
    #[must_use]
    pub fn with_door(mut self, door: Option<Arc<dyn Door>>) -> Self {
        self.door = door;
        self
    }

    /// One thing happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Peering { input } => self.endpoint.handle(now, input),
            Input::Host { input } => {
                let input = supervisor::Input::Host { input };
                self.supervisor.handle(now, input);
            }
            Input::Ask { request } => self.on_ask(now, *request),
            Input::AskLives { request } => {
                let LivesRequest::Lives { reqid, .. } = &request;
                self.asked.insert(reqid.clone());
                self.supervisor
                    .handle(now, supervisor::Input::Lives { request });
            }
            Input::LogStatus => self.supervisor.handle(now, supervisor::Input::LogStatus),
            Input::Reload => self.supervisor.handle(now, supervisor::Input::Reload),
            Input::Shutdown => self.supervisor.handle(now, supervisor::Input::Shutdown),
        }
        self.settle(now);
    }

    fn on_ask(&mut self, now: Instant, request: SupervisorRequest) {
        let reqid = request.reqid().map(str::to_owned);
        if !self.supervisor.takes_requests() {
            self.out.push_back(Output::Unanswered { reqid });
            return;
        }
        self.asked.extend(reqid);
        let input = supervisor::Input::Request { request };
        self.supervisor.handle(now, input);
    }

    /// A deadline passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.supervisor.handle_timeout(now);
        self.settle(now);
    }

    /// What the caller must do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`SupervisorProcess::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [self.endpoint.poll_timeout(), self.supervisor.poll_timeout()];
        deadlines.into_iter().flatten().min()
    }

    /// Passes on what endpoint and supervisor have for each other until both are calm.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.endpoint.poll_output() {
                self.on_peering(now, output);
            } else if let Some(output) = self.supervisor.poll_output() {
                self.on_supervisor(now, output);
            } else {
                return;
            }
        }
    }

    fn on_peering(&mut self, now: Instant, output: peering::Output) {
        match output {
            // What came together with the last word of the handshake.
            peering::Output::Deliver { from, .. } if self.refused.contains(&from) => {}
            peering::Output::Deliver { payload, from, .. } => self.on_message(now, &payload, from),
            peering::Output::PeerUp { id, network } => self.on_peer_up(now, id, &network),
            peering::Output::PeerDown { id, reason } => {
                self.refused.remove(&id);
                debug!(peer = %id, reason, "peer lost");
            }
            // Logged and counted.
            peering::Output::Misbehaved { .. } => {}
            peering::Output::PeerUnreachable { addr, reason } => {
                debug!(%addr, reason, "peer unreachable");
            }
            peering::Output::Listen { .. }
            | peering::Output::Dial { .. }
            | peering::Output::Send { .. }
            | peering::Output::Close { .. } => self.out.push_back(Output::Peering { output }),
            peering::Output::Stopped => self.out.push_back(Output::Stopped),
        }
    }

    /// Whatever a peer says that is turned away is not heard.
    fn on_peer_up(&mut self, now: Instant, id: EndpointId, network: &PeerNetwork) {
        let admitted = self.door.as_ref().map_or(Ok(()), |it| it.admits(network));
        match admitted {
            Ok(()) => debug!(peer = %id, remote = %network.remote, "peer connected"),
            Err(reason) => {
                let total = self.endpoint.counters().cut.expelled + 1;
                // Who is refused may well come again and again.
                if total.is_power_of_two() {
                    warn!(peer = %id, remote = %network.remote, reason, total, "peer refused");
                }
                self.refused.insert(id);
                let input = peering::Input::Expel { peer: id, reason };
                self.endpoint.handle(now, input);
            }
        }
    }

    fn on_message(&mut self, now: Instant, payload: &[u8], from: EndpointId) {
        let event = Event::decode(payload, &self.limits);
        let (mut creation, mut is_short) = (None, false);
        if let Ok(event) = &event {
            if event.name == LivesRequest::EVENT {
                self.on_lives(now, event.clone(), from);
                return;
            }
            self.look_at_layout(event);
            creation = creation_id(event);
            is_short = accepts_short(event);
        }
        match event.and_then(SupervisorRequest::try_from) {
            Ok(request) => {
                trace!(peer = %from, event = request.event_name(), "request");
                if is_short {
                    self.note_short(&request);
                }
                let input = supervisor::Input::Request { request };
                self.supervisor.handle(now, input);
            }
            Err(EventError::Arg {
                error, arg: "node", ..
            }) if creation.is_some() => {
                warn!(peer = %from, %error, "node cannot be created");
                let result = format!("node cannot be created: {error}");
                let reqid = creation.unwrap_or_default();
                let response = SupervisorResponse::Create { reqid, result };
                self.publish(now, response.topic(), self.answer(response));
            }
            Err(error @ (EventError::ArgCount { .. } | EventError::Arg { .. })) => {
                warn!(peer = %from, %error, "request is malformed");
            }
            Err(
                error @ (EventError::Undecodable(_)
                | EventError::Shape { .. }
                | EventError::OtherMessage(_)
                | EventError::UnknownName(_)),
            ) => trace!(peer = %from, %error, "message is none of ours"),
        }
    }

    /// What is not answered is not noted either.
    fn note_short(&mut self, request: &SupervisorRequest) {
        if let SupervisorRequest::Status { reqid, .. } = request
            && self.supervisor.takes_requests()
        {
            self.short.insert(reqid.clone());
        }
    }

    fn on_lives(&mut self, now: Instant, event: Event, from: EndpointId) {
        match LivesRequest::try_from(event) {
            Ok(request) => {
                let input = supervisor::Input::Lives { request };
                self.supervisor.handle(now, input);
            }
            Err(error) => warn!(peer = %from, %error, "request is malformed"),
        }
    }

    fn look_at_layout(&mut self, event: &Event) {
        let LayoutKnown::Seen(before) = self.layout else {
            return;
        };
        let [_, config] = event.args.as_slice() else {
            return;
        };
        let layout = Layout::seen_in(config).filter(|_| event.name == CREATE_REQUEST);
        if let Some(layout) = layout.filter(|layout| *layout != before) {
            info!(?layout, "the peer's version of Zeek is seen");
            self.layout = LayoutKnown::Seen(layout);
        }
    }

    /// The payload of an answer in the peer's layout.
    fn answer(&self, response: SupervisorResponse) -> Bytes {
        let (LayoutKnown::Told(layout) | LayoutKnown::Seen(layout)) = self.layout;
        match response {
            SupervisorResponse::Status { reqid, result } => result.encode_response(&reqid, layout),
            SupervisorResponse::Create { .. }
            | SupervisorResponse::Restart { .. }
            | SupervisorResponse::Destroy { .. } => Event::from(response).encode(),
        }
    }

    fn on_supervisor(&mut self, now: Instant, output: supervisor::Output) {
        match output {
            supervisor::Output::Respond { response } if self.asked.remove(response.reqid()) => {
                self.out.push_back(Output::Answer { response });
            }
            supervisor::Output::Respond {
                response: SupervisorResponse::Status { reqid, result },
            } if self.short.remove(&reqid) => {
                self.publish(now, short_topic(&reqid), result.encode_short(&reqid));
            }
            supervisor::Output::Respond { response } => {
                self.publish(now, response.topic(), self.answer(response));
            }
            supervisor::Output::Lives { response } if self.asked.remove(response.reqid()) => {
                self.out.push_back(Output::AnswerLives { response });
            }
            supervisor::Output::Lives { response } => {
                self.publish(now, response.topic(), Event::from(response).encode());
            }
            supervisor::Output::NodeStatus { event } => {
                self.publish(now, NODE_STATUS_TOPIC, Event::from(event).encode());
            }
            supervisor::Output::NodeExit { event } => {
                self.publish(now, EXIT_TOPIC, Event::from(event).encode());
            }
            supervisor::Output::Host { output } => self.out.push_back(Output::Host { output }),
            supervisor::Output::Stopped => self.endpoint.handle(now, peering::Input::Shutdown),
        }
    }

    fn publish(&mut self, now: Instant, topic: Topic, payload: Bytes) {
        let input = peering::Input::Publish { topic, payload };
        self.endpoint.handle(now, input);
    }
}

/// The id of a create request, which gets an answer even if its node makes no sense. Stock is
/// silent, and its peer waits in vain.
fn creation_id(event: &Event) -> Option<String> {
    let id = event.args.first().cloned();
    let id = id.filter(|_| event.name == CREATE_REQUEST)?;
    String::from_data(id).ok()
}
