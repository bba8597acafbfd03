//! A cluster node as its agent sees it (API §6).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use broker_proto::codec::Limits;
use broker_proto::peering::{Endpoint, Input, Options, Output, PeerAddr};
use broker_proto::zeek::Event;
use broker_proto::{Data, EndpointId, IdGen};
use mgmt::api::node::{NodeRequest, NodeResponse};
use mgmt::api::{ApiResult, NODE_TOPIC};
use supervisor::api::TOPIC as SUPERVISOR_TOPIC;

use crate::fault::Fault;

/// It dials its agent, says hello, and answers.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) manners: Manners,
    endpoint: Endpoint,
    acts: VecDeque<Act>,
}

/// What a node wants.
#[derive(Debug)]
pub(crate) enum Act {
    /// This of the network.
    Broker(Output),
    /// To publish something after a while.
    Later(Duration, Input),
    /// Nothing: it is at fault.
    Note(Fault),
}

/// How a node treats requests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manners {
    /// After a while.
    Answers(Duration),
    /// Not at all.
    IsSilent,
}

/// A node that takes so long is late.
const LATE: Duration = Duration::from_millis(50);

/// What nodes say first.
pub(crate) const HELLO: &[u8] = b"Management::Node::API::notify_node_hello";

impl Node {
    pub(crate) fn new(name: String, id: EndpointId, manners: Manners, now: Instant) -> Self {
        let mut endpoint = Endpoint::new(id, Options::default(), IdGen::new(1));
        // Every Zeek process hears what supervisors are asked (API §2).
        for topic in [NODE_TOPIC, SUPERVISOR_TOPIC] {
            endpoint.handle(now, Input::Subscribe { topic });
        }
        let retry = Some(Duration::from_secs(1));
        let addr = PeerAddr {
            host: "127.0.0.1".to_owned(),
            port: 2151,
        };
        endpoint.handle(now, Input::Dial { addr, retry });
        let mut node = Self {
            name,
            manners,
            endpoint,
            acts: VecDeque::new(),
        };
        node.drain(now);
        node
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        self.endpoint.handle(now, input);
        self.drain(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.drain(now);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout()
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::PeerUp { .. } => {
                    let node = self.name.clone();
                    self.endpoint.handle(now, say(NodeResponse::Hello { node }));
                }
                Output::Deliver { payload, .. } => self.on_message(&payload),
                output @ (Output::Listen { .. }
                | Output::Dial { .. }
                | Output::Send { .. }
                | Output::Close { .. }) => self.acts.push_back(Act::Broker(output)),
                Output::PeerUnreachable { .. }
                | Output::Misbehaved { .. }
                | Output::Stopped
                | Output::PeerDown { .. } => {}
            }
        }
    }

    fn on_message(&mut self, payload: &[u8]) {
        let request = Event::decode(payload, &Limits::default()).and_then(NodeRequest::try_from);
        let Ok(NodeRequest::Dispatch { reqid, nodes, .. }) = request else {
            return;
        };
        let is_asked = nodes.is_empty() || nodes.contains(&self.name);
        match self.manners {
            Manners::Answers(wait) if is_asked => {
                let result = ApiResult::ok(&reqid).on_node(&self.name);
                let result = result.with_data(Data::string("96"));
                let answer = say(NodeResponse::Dispatch { reqid, result });
                self.acts.push_back(Act::Later(wait, answer));
                if wait >= LATE {
                    self.acts.push_back(Act::Note(Fault::NodeAnswersLate));
                }
            }
            Manners::IsSilent if is_asked => self.acts.push_back(Act::Note(Fault::NodeSilent)),
            Manners::Answers(_) | Manners::IsSilent => {}
        }
    }
}

fn say(message: NodeResponse) -> Input {
    let payload = Event::from(message).encode();
    let topic = NODE_TOPIC;
    Input::Publish { topic, payload }
}
