//! What an agent is sent.

use std::sync::Arc;

use broker_proto::peering::{Input as Heard, LinkId, Options, Output as Said, PeerAddr};

use super::super::*;
use super::Rig;
use crate::api::agent::AgentRequest;
use crate::model::{ClusterRole, Configuration, Node};

const DIALED: LinkId = LinkId::Dialed(0);
const ACCEPTED: LinkId = LinkId::Accepted(0);

/// Long ones go out in parts, of which agents shall not notice anything.
#[test]
fn a_configuration_reaches_its_agent_as_it_is_however_long_it_is() {
    for len in [1, 100_000] {
        let mut rig = Rig::with_clients(&[]);
        let mut agent = peered(&mut rig);
        let mut node = Node::new("a", "w", ClusterRole::Worker);
        node.env.insert("LONG".to_owned(), "x".repeat(len));
        let config = Configuration {
            id: "c".to_owned(),
            instances: [].into(),
            nodes: [node].into(),
        };
        let shared = Arc::new(config.clone());
        rig.process
            .send_configuration(rig.now, "a", "r", shared, true);
        rig.process.drain(rig.now);
        let delivered = talk(&mut rig, &mut agent);
        let [payload] = delivered.as_slice() else {
            panic!("{delivered:?}");
        };
        let event = Event::decode(payload, &Limits::default()).unwrap();
        let reqid = "r".to_owned();
        let want = AgentRequest::Deploy {
            reqid,
            config,
            force: true,
        };
        assert_eq!(AgentRequest::try_from(event), Ok(want), "{len}");
    }
}

/// An endpoint that wants what is for the agent `a`, on its link to the controller.
fn peered(rig: &mut Rig) -> Endpoint {
    let id = EndpointId::from_bytes([9; 16]);
    let mut agent = Endpoint::new(id, Options::default(), IdGen::new(2));
    let topic = agent_topic("a").unwrap();
    agent.handle(rig.now, Heard::Subscribe { topic });
    let host = "10.0.0.2".to_owned();
    let addr = PeerAddr { host, port: 2150 };
    agent.handle(rig.now, Heard::Dial { addr, retry: None });
    let opened = |link| Heard::Opened {
        link,
        remote: "10.0.0.1:40000".parse().unwrap(),
        certificate: None,
    };
    agent.handle(rig.now, opened(DIALED));
    rig.process.handle(rig.now, Input::Broker(opened(ACCEPTED)));
    talk(rig, &mut agent);
    agent
}

/// Carries bytes both ways until there are no more; what the agent was sent for itself.
fn talk(rig: &mut Rig, agent: &mut Endpoint) -> Vec<Bytes> {
    let (now, mut delivered) = (rig.now, Vec::new());
    let sent = |link| Heard::Sent { link, messages: 1 };
    loop {
        if let Some(said) = agent.poll_output() {
            if let Said::Send { bytes: chunk, .. } = said {
                let link = ACCEPTED;
                let heard = Heard::Bytes { link, chunk };
                rig.process.handle(now, Input::Broker(heard));
                agent.handle(now, sent(DIALED));
            } else if let Said::Deliver { payload, .. } = said {
                delivered.push(payload);
            }
        } else if let Some(output) = rig.process.poll_output() {
            if let Output::Broker(Said::Send { bytes: chunk, .. }) = output {
                let link = DIALED;
                agent.handle(now, Heard::Bytes { link, chunk });
                rig.process.handle(now, Input::Broker(sent(ACCEPTED)));
            }
        } else {
            return delivered;
        }
    }
}
