//! A controller that treats its agent as stock's does (API §4), and is as patient.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use broker_proto::codec::Limits;
use broker_proto::peering::{Endpoint, Input, Options, Output, PeerAddr};
use broker_proto::zeek::Event;
use broker_proto::{EndpointId, IdGen};
use mgmt::api::agent::{AgentRequest, AgentResponse};
use mgmt::api::{AGENT_TOPIC_PREFIX, agent_topic};
use mgmt::model::Configuration;
use supervisor::api::TOPIC as SUPERVISOR_TOPIC;

use crate::world::INSTANCE;

/// Stock allows 10 s; as it looks at whole seconds and seldom, that may be 9 s (API §3 R5).
pub(crate) const PATIENCE: Duration = Duration::from_secs(9);

/// It has one agent.
pub(crate) struct Controller {
    /// Requests that were answered in time.
    pub(crate) answers: Vec<Answer>,
    /// Requests that were not.
    pub(crate) timeouts: Vec<AgentRequest>,
    /// Answers to nothing that is open.
    pub(crate) strays: Vec<AgentResponse>,
    endpoint: Endpoint,
    outputs: VecDeque<Output>,
    ids: IdGen,
    open: BTreeMap<String, (Instant, AgentRequest)>,
    /// Requests whose answers may have been lost with the link, or not.
    lost: BTreeSet<String>,
    is_ready: bool,
    deployed: Option<Configuration>,
}

/// A request and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) request: AgentRequest,
    pub(crate) asked: Instant,
    pub(crate) at: Instant,
    pub(crate) response: AgentResponse,
}

impl Controller {
    pub(crate) fn new(id: EndpointId, ids: IdGen, now: Instant) -> Self {
        let mut endpoint = Endpoint::new(id, Options::default(), IdGen::new(1));
        for topic in [AGENT_TOPIC_PREFIX, SUPERVISOR_TOPIC] {
            endpoint.handle(now, Input::Subscribe { topic });
        }
        let addr = PeerAddr {
            host: "0.0.0.0".to_owned(),
            port: 2150,
        };
        endpoint.handle(now, Input::Listen { addr });
        let mut controller = Self {
            answers: Vec::new(),
            timeouts: Vec::new(),
            strays: Vec::new(),
            endpoint,
            outputs: VecDeque::new(),
            ids,
            open: BTreeMap::new(),
            lost: BTreeSet::new(),
            is_ready: false,
            deployed: None,
        };
        controller.drain(now);
        controller
    }

    /// Sends what `request` makes of a new id, if the agent is ready.
    pub(crate) fn ask(&mut self, now: Instant, request: impl FnOnce(String) -> AgentRequest) {
        if self.is_ready {
            self.send(now, request);
            self.drain(now);
        }
    }

    /// Whether everything is answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_ready && self.open.is_empty()
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        self.endpoint.handle(now, input);
        self.drain(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        let open = std::mem::take(&mut self.open).into_iter();
        let (late, open) = open.partition(|(_, (asked, _))| *asked + PATIENCE <= now);
        let late: BTreeMap<_, (_, _)> = late;
        self.timeouts
            .extend(late.into_values().map(|(_, request)| request));
        self.open = open;
        self.drain(now);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let patience = self.open.values().map(|(asked, _)| *asked + PATIENCE);
        patience.chain(self.endpoint.poll_timeout()).min()
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Deliver { payload, .. } => {
                    let event = Event::decode(&payload, &Limits::default());
                    if let Ok(response) = event.and_then(AgentResponse::try_from) {
                        self.on_response(now, response);
                    }
                }
                Output::PeerDown { .. } => {
                    self.is_ready = false;
                    self.lost.extend(std::mem::take(&mut self.open).into_keys());
                }
                output @ (Output::Listen { .. }
                | Output::Dial { .. }
                | Output::Send { .. }
                | Output::Close { .. }
                | Output::PeerUnreachable { .. }
                | Output::Misbehaved { .. }
                | Output::Stopped
                | Output::PeerUp { .. }) => self.outputs.push_back(output),
            }
        }
    }

    fn on_response(&mut self, now: Instant, response: AgentResponse) {
        let reqid = match &response {
            AgentResponse::Hello { .. } if self.is_ready => return,
            AgentResponse::Hello { .. } => {
                return self.send(now, |reqid| AgentRequest::Welcome { reqid });
            }
            // Stock has no handlers for these (API §2.2).
            AgentResponse::Standby { .. }
            | AgentResponse::Change { .. }
            | AgentResponse::Error { .. }
            | AgentResponse::Log { .. } => return,
            AgentResponse::Welcome { reqid, .. }
            | AgentResponse::Deploy { reqid, .. }
            | AgentResponse::GetNodes { reqid, .. }
            | AgentResponse::NodeDispatch { reqid, .. }
            | AgentResponse::Restart { reqid, .. } => reqid,
        };
        let Some((asked, request)) = self.open.remove(reqid) else {
            if !self.lost.remove(reqid) {
                self.strays.push(response);
            }
            return;
        };
        match &request {
            AgentRequest::Welcome { .. } => self.on_welcomed(now),
            AgentRequest::Deploy { config, .. } => self.deployed = Some(config.clone()),
            AgentRequest::Standby { .. }
            | AgentRequest::GetNodes { .. }
            | AgentRequest::NodeDispatch { .. }
            | AgentRequest::Restart { .. } => {}
        }
        self.answers.push(Answer {
            request,
            asked,
            at: now,
            response,
        });
    }

    /// What is deployed is sent again to an agent that came back (API §4.4 C16).
    fn on_welcomed(&mut self, now: Instant) {
        self.is_ready = true;
        if let Some(config) = self.deployed.clone() {
            self.send(now, |reqid| AgentRequest::Deploy {
                reqid,
                config,
                force: false,
            });
        }
    }

    fn send(&mut self, now: Instant, request: impl FnOnce(String) -> AgentRequest) {
        let reqid = self.ids.unique_id();
        let mut request = request(reqid.clone());
        // Stock always sends standby without an id, and waits for no answer (API §2.2).
        if let AgentRequest::Standby { reqid } = &mut request {
            reqid.clear();
            self.deployed = None;
        } else {
            self.open.insert(reqid, (now, request.clone()));
        }
        let topic = agent_topic(INSTANCE).unwrap();
        let payload = Event::from(request).encode();
        self.endpoint.handle(now, Input::Publish { topic, payload });
    }
}
