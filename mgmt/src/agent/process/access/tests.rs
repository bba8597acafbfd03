//! Peers of a whole agent, and what the policy makes of them (API §18).

use std::sync::Arc;

use broker_proto::peering::PeerAddr;
use broker_proto::{Data, IdGen, PeerCertificate};
use supervisor::api::SupervisorResponse;

use super::super::super::tests::{peer, settings, start};
use super::super::Output;
use super::*;
use crate::api::agent::AgentRequest;
use crate::api::{ApiResult, NODE_TOPIC, agent_topic};
use crate::policy::Protection;
use crate::policy::file::PolicyFile;

const RULES: &str = "[[rule]]\ncertificate = \"controller\"\nroles = \"controller\"\n\
    [[rule]]\ncertificate = \"node\"\nroles = \"node\"\n\
    [[rule]]\nlistener = \"dialed\"\ncertificate = \"here\"\nroles = \"supervisor\"\n";

#[test]
fn only_controllers_ask_agents_and_others_are_told_so() {
    let mut rig = Rig::new(RULES);
    rig.connect(2, "node", None);
    rig.connect(3, "controller", None);
    let topic = agent_topic("instance-1").unwrap();
    let welcome = |reqid: &str| AgentRequest::Welcome {
        reqid: reqid.into(),
    };
    let said = rig.hear(2, &topic, welcome("r2").into());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("may not agent_welcome: role node"),
        "{said:?}"
    );
    assert_eq!(rig.agent.gate().counters().events, 1);
    let said = rig.hear(3, &topic, welcome("r3").into());
    assert!(
        said.last().unwrap().contains("success (reqid r3"),
        "{said:?}"
    );
    assert_eq!(rig.agent.gate().counters().events, 1);
}

#[test]
fn a_node_says_what_nodes_say_and_only_as_itself() {
    let mut rig = Rig::new(RULES);
    rig.connect(2, "node", None);
    rig.connect(3, "controller", None);
    let hello = |node: &str| NodeResponse::Hello { node: node.into() };
    rig.hear(3, &NODE_TOPIC, hello("w1").into());
    assert_eq!(rig.agent.gate().counters().events, 1);
    rig.hear(2, &NODE_TOPIC, hello("w1").into());
    assert_eq!(rig.agent.gate().counters().names, 0);
    rig.hear(2, &NODE_TOPIC, hello("w2").into());
    assert_eq!(rig.agent.gate().counters().names, 1);
    let answer = NodeResponse::Dispatch {
        reqid: "r".into(),
        result: ApiResult::ok("r"),
    };
    rig.hear(2, &NODE_TOPIC, answer.into());
    assert_eq!(rig.agent.gate().counters().events, 1);
}

#[test]
fn only_the_supervisor_answers_as_one() {
    let mut rig = Rig::new(RULES);
    rig.connect(2, "node", None);
    rig.connect(3, "here", Some("supervisor"));
    let response = || SupervisorResponse::Create {
        reqid: "r".into(),
        result: String::new(),
    };
    let topic = response().topic();
    rig.hear(2, &topic, response().into());
    assert_eq!(rig.agent.gate().counters().events, 1);
    rig.hear(3, &topic, response().into());
    assert_eq!(rig.agent.gate().counters().events, 1);
    let status = || SupervisorResponse::Status {
        reqid: "r".into(),
        result: supervisor::api::Status { nodes: [].into() },
    };
    let topic = status().topic();
    rig.hear(2, &topic, status().into());
    assert_eq!(rig.agent.gate().counters().events, 2);
    rig.hear(3, &topic, status().into());
    assert_eq!(rig.agent.gate().counters().events, 2);
    // The same certificate from outside is nobody.
    rig.connect(4, "here", None);
    assert_eq!(rig.agent.gate().counters().connections, 1);
}

#[test]
fn other_rules_count_for_those_who_are_there_already() {
    let mut rig = Rig::new(RULES);
    rig.connect(3, "controller", None);
    rig.agent.replace_policy(rig.now, policy(""));
    assert_eq!(rig.agent.gate().counters().connections, 0);
    rig.agent
        .replace_policy(rig.now, policy("[[rule]]\nroles = []\n"));
    assert_eq!(rig.agent.gate().counters().connections, 1);
}

fn policy(text: &str) -> Policy {
    let protection = Protection {
        broker: true,
        websocket: false,
    };
    Policy::of(&PolicyFile::read(text, "p").unwrap(), protection)
}

struct Rig {
    agent: AgentProcess,
    now: Instant,
}

impl Rig {
    fn new(rules: &str) -> Self {
        let now = start();
        let agent = AgentProcess::new(settings(), peer(9), IdGen::new(1), now);
        Self {
            agent: agent.with_policy(policy(rules)),
            now,
        }
    }

    fn connect(&mut self, id: u8, name: &str, dialed: Option<&str>) {
        let certificate = PeerCertificate {
            name: Some(name.to_owned()),
            dns: Vec::new(),
            addresses: Vec::new(),
            not_after: i64::MAX,
            fingerprint: [id; 32],
        };
        let network = PeerNetwork {
            remote: ([192, 0, 2, id], 40000).into(),
            dialed: dialed.map(|host| PeerAddr {
                host: host.to_owned(),
                port: 9999,
            }),
            certificate: Some(Arc::new(certificate)),
        };
        self.agent.on_peer_up(self.now, peer(id), network);
        self.agent.drain(self.now);
        self.said();
    }

    /// What the management log has to say of a message.
    fn hear(&mut self, from: u8, topic: &Topic, event: Event) -> Vec<String> {
        assert_ne!(event.args.first(), Some(&Data::None));
        let payload = event.encode();
        self.agent.on_message(self.now, topic, &payload, peer(from));
        self.agent.drain(self.now);
        self.said()
    }

    fn said(&mut self) -> Vec<String> {
        let outputs = std::iter::from_fn(|| self.agent.poll_output());
        let records = outputs.filter_map(|output| match output {
            Output::Log(record) => Some(record.message),
            Output::Broker(_) | Output::WriteOptions { .. } | Output::Keep(_) => None,
        });
        records.collect()
    }
}
