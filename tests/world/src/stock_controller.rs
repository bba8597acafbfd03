//! A controller that treats its one agent as stock's does (API §4), and is as patient.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use broker_proto::peering::{Input, Output};
use broker_proto::zeek::Event;
use broker_proto::{Data, EndpointId};
use mgmt::api::agent::{AgentRequest, AgentResponse};
use mgmt::model::Configuration;

use crate::stock::controller::Controller;
use crate::stock::items;
use crate::stock::peer::{Heard, Peer};
use crate::stock::release::{Metrics, RELEASES, Release};
use crate::stock::shapes::Part;
use crate::stock_link::StockLink;

/// Stock allows 10 s; as it looks at whole seconds and seldom, that may be 9 s (API §3 R5).
pub(crate) const PATIENCE: Duration = Duration::from_secs(9);

/// What it has come to know of its agent.
#[derive(Debug)]
pub(crate) struct StockController {
    /// Requests that were answered in time.
    pub(crate) answers: Vec<Answer>,
    /// Requests that were not.
    pub(crate) timeouts: Vec<AgentRequest>,
    /// Answers to nothing that is open.
    pub(crate) strays: Vec<AgentResponse>,
    release: &'static Release,
    topic: String,
    link: StockLink,
    /// The first request to deploy each configuration, by the ids of both.
    pub(crate) first: BTreeMap<String, String>,
    /// Numbers requests.
    count: u64,
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

impl StockController {
    /// One of the release that the number says, for this instance.
    pub(crate) fn new(release: u64, id: EndpointId, instance: &str) -> Self {
        let release = RELEASES[usize::try_from(release).unwrap() % RELEASES.len()];
        let peer = Peer::new(release, Part::Controller, id, &Controller::FILTER);
        Self {
            answers: Vec::new(),
            timeouts: Vec::new(),
            strays: Vec::new(),
            release,
            topic: format!("zeek/management/agent/{instance}"),
            link: StockLink::new(peer, 2150),
            first: BTreeMap::new(),
            count: 0,
            open: BTreeMap::new(),
            lost: BTreeSet::new(),
            is_ready: false,
            deployed: None,
        }
    }

    /// Sends what `request` makes of a new id, if the agent is ready.
    pub(crate) fn ask(&mut self, now: Instant, request: impl FnOnce(String) -> AgentRequest) {
        if self.is_ready {
            self.send(now, request);
            self.link.flush();
        }
    }

    /// Whether everything is answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_ready && self.open.is_empty()
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        self.link.handle(input);
        while let Some(heard) = self.link.hear() {
            match heard {
                // What its agent asks the supervisor is sent to everybody who wants the topic.
                Heard::Event { topic, .. } if topic == "zeek/supervisor" => {}
                Heard::Event { topic, name, args } => {
                    assert_eq!(topic, self.topic, "{name} is not for controllers");
                    let event = Event::new(name, args);
                    self.on_response(now, AgentResponse::try_from(event).unwrap());
                }
                Heard::Lost => {
                    self.is_ready = false;
                    self.lost.extend(std::mem::take(&mut self.open).into_keys());
                }
                Heard::Up => {}
                Heard::Refused(code) => panic!("the handshake ends with error {code}"),
            }
        }
        self.link.flush();
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let late = self.open.iter();
        let late = late.filter(|(_, (asked, _))| *asked + PATIENCE <= now);
        for reqid in late.map(|(reqid, _)| reqid.clone()).collect::<Vec<_>>() {
            let late = self.open.remove(&reqid);
            self.timeouts.extend(late.map(|(_, request)| request));
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.link.poll_output()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let patience = self.open.values().map(|(asked, _)| *asked + PATIENCE);
        patience.min()
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
        self.count += 1;
        let reqid = format!("stock-{}", self.count);
        let mut request = request(reqid.clone());
        // Stock always sends standby without an id, and waits for no answer (API §2.2).
        if let AgentRequest::Standby { reqid } = &mut request {
            reqid.clear();
            self.deployed = None;
        } else {
            self.open.insert(reqid, (now, request.clone()));
        }
        if let AgentRequest::Deploy { reqid, config, .. } = &request {
            let first = self.first.entry(config.id.clone());
            first.or_insert_with(|| reqid.clone());
        }
        let Event { name, mut args, .. } = Event::from(request);
        if self.release.metrics == Metrics::None
            && let [_, config, _] = args.as_mut_slice()
        {
            *config = without_metrics(config);
        }
        self.link.say(&self.topic, &name, args);
    }
}

/// A configuration whose nodes have no field for a metrics port (API §1.4).
fn without_metrics(config: &Data) -> Data {
    let [id, instances, Data::Set(nodes)] = items(config) else {
        return config.clone();
    };
    let nodes = nodes.iter().map(|node| match items(node) {
        [fields @ .., _] => Data::Vector(fields.to_vec()),
        [] => node.clone(),
    });
    let nodes = Data::Set(nodes.collect());
    Data::Vector(vec![id.clone(), instances.clone(), nodes])
}
