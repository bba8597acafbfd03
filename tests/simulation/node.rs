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

use crate::world::Act;

/// It dials its agent, says hello, and answers.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) config: String,
    manners: Manners,
    endpoint: Endpoint,
    acts: VecDeque<Act>,
}

/// How a node treats requests.
#[derive(Clone, Copy)]
pub(crate) enum Manners {
    Answers(Duration),
    IsSilent,
}

impl Node {
    /// One of this name, for this configuration.
    pub(crate) fn new(
        (name, config): (String, String),
        id: EndpointId,
        manners: Manners,
        now: Instant,
    ) -> Self {
        let mut endpoint = Endpoint::new(id, Options::default(), IdGen::new(1));
        // Every Zeek process hears what supervisors are asked (API §2).
        for topic in [NODE_TOPIC, SUPERVISOR_TOPIC] {
            endpoint.handle(now, Input::Subscribe { topic });
        }
        let retry = Some(Duration::from_secs(1));
        let addr = PeerAddr {
            host: "0.0.0.0".to_owned(),
            port: 2151,
        };
        endpoint.handle(now, Input::Dial { addr, retry });
        let mut node = Self {
            name,
            config,
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
                | Output::Close { .. }
                | Output::PeerUnreachable { .. }
                | Output::Misbehaved { .. }
                | Output::Stopped
                | Output::PeerDown { .. }) => self.acts.push_back(Act::Broker(output)),
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
            }
            Manners::Answers(_) | Manners::IsSilent => {}
        }
    }
}

fn say(message: NodeResponse) -> Input {
    let payload = Event::from(message).encode();
    let topic = NODE_TOPIC;
    Input::Publish { topic, payload }
}
