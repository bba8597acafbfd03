//! What makes no sense is answered or ignored, and told once; the agent goes on.

use super::super::tests::{config, node, peer, settings, start};
use super::*;
use crate::log::Level;
use crate::model::ClusterRole;

#[test]
fn a_deployment_with_an_unknown_role_is_answered_with_what_is_wrong() {
    let mut agent = Rig::new();
    let request = AgentRequest::Deploy {
        reqid: "r1".into(),
        config: config("c1", vec![node("w1", ClusterRole::Worker, None)]),
        force: false,
    };
    let mut event = Event::from(request);
    let role = Data::enum_value("Supervisor::WORKER");
    let strange = Data::enum_value("Supervisor::CLERK");
    assert!(replace(&mut event.args[1], &role, &strange));
    let said = agent.hear("zeek/management/agent/instance-1", event);
    let [answer] = said.as_slice() else {
        panic!("not one line: {said:?}");
    };
    assert!(answer.starts_with("tx Management::Agent::API::deploy_response error ("));
    assert!(answer.contains("Supervisor::CLERK"), "{answer}");
    assert!(answer.ends_with("(reqid r1, instance instance-1)"));
    agent.assert_well();
}

#[test]
fn every_request_that_does_not_read_is_answered_if_it_has_an_id() {
    let mut agent = Rig::new();
    for (request, answer) in [
        ("agent_welcome_request", "agent_welcome_response"),
        ("agent_standby_request", "agent_standby_response"),
        ("deploy_request", "deploy_response"),
        ("get_nodes_request", "get_nodes_response"),
        ("node_dispatch_request", "node_dispatch_response"),
        ("restart_request", "restart_response"),
    ] {
        let name = format!("Management::Agent::API::{request}");
        let many = vec![Data::string("r1"), Data::None, Data::None, Data::None];
        let event = Event::new(name.clone(), many);
        let said = agent.hear("zeek/management/agent/instance-1", event);
        let want = format!("tx Management::Agent::API::{answer} ");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(&want), "{said:?}");
        let event = Event::new(name, vec![Data::Count(1)]);
        let said = agent.hear("zeek/management/agent/instance-1", event);
        assert_eq!(said, [""; 0]);
    }
    agent.assert_well();
}

#[test]
fn work_without_a_supervisor_is_refused() {
    let mut agent = Rig::new();
    let request = AgentRequest::Deploy {
        reqid: "r1".into(),
        config: config("c1", vec![]),
        force: false,
    };
    let said = agent.hear("zeek/management/agent/instance-1", request.into());
    let why = "agent has no connection to its supervisor";
    let answer = format!(
        "tx Management::Agent::API::deploy_response error ({why}) (reqid r1, instance instance-1)"
    );
    assert_eq!(
        said,
        ["rx Management::Agent::API::deploy_request r1 c1", &answer]
    );
    agent.assert_well();
}

#[test]
fn hellos_answers_and_last_words_that_nobody_waits_for_change_nothing() {
    let mut agent = Rig::new();
    let text = || Data::string("x");
    let result = Data::Vector(vec![text(), Data::Boolean(true)]);
    let record = Data::Vector(vec![text(), text()]);
    for (topic, name, args) in [
        (
            "node",
            "Management::Node::API::notify_node_hello",
            vec![text()],
        ),
        (
            "node",
            "Management::Node::API::notify_node_hello",
            vec![Data::Count(1)],
        ),
        (
            "node",
            "Management::Node::API::node_dispatch_response",
            vec![text(), result.clone()],
        ),
        (
            "node",
            "Management::Node::API::node_dispatch_response",
            vec![text(), text()],
        ),
        (
            "supervisor",
            "Management::Supervisor::API::notify_node_exit",
            vec![text(), record],
        ),
        (
            "supervisor",
            "Management::Supervisor::API::notify_node_exit",
            vec![text(), text()],
        ),
    ] {
        agent.hear(&format!("zeek/management/{topic}"), Event::new(name, args));
    }
    let hello = Event::new("Management::Node::API::notify_node_hello", vec![text()]);
    assert_eq!(agent.hear("zeek/elsewhere", hello), [""; 0]);
    for (name, args) in [
        ("create_response", vec![text(), text()]),
        ("destroy_response", vec![text(), Data::Boolean(false)]),
        ("restart_response", vec![text(), Data::Boolean(false)]),
        ("status_response", vec![text(), Data::Vector(vec![])]),
        ("node_status", vec![text(), Data::Count(7)]),
    ] {
        let event = Event::new(format!("SupervisorControl::{name}"), args);
        agent.hear("zeek/supervisor/x", event);
    }
    agent.assert_well();
}

#[test]
fn a_node_that_said_hello_does_not_hear_what_the_supervisor_is_asked() {
    let mut agent = Rig::new();
    let mut node = NodeLink::new(&mut agent);
    let status = |agent: &mut Rig| {
        let (reqid, node) = ("s".to_owned(), String::new());
        let request = supervisor::api::SupervisorRequest::Status { reqid, node };
        let output = AgentOutput::ToSupervisor { request };
        agent.agent.on_agent(agent.now, output);
    };
    let dispatch = |agent: &mut Rig| {
        let request = crate::api::node::NodeRequest::Dispatch {
            reqid: "d".into(),
            action: Vec::new(),
            nodes: [].into(),
        };
        let output = AgentOutput::ToNodes { request };
        agent.agent.on_agent(agent.now, output);
    };
    status(&mut agent);
    assert_eq!(node.heard(&mut agent), ["zeek/supervisor"]);

    let hello = NodeResponse::Hello { node: "w1".into() };
    node.publish(&mut agent, NODE_TOPIC, hello.into());
    status(&mut agent);
    dispatch(&mut agent);
    assert_eq!(node.heard(&mut agent), ["zeek/management/node"]);
}

/// Puts another value in the place of one, wherever it is.
fn replace(data: &mut Data, from: &Data, to: &Data) -> bool {
    if data == from {
        *data = to.clone();
        return true;
    }
    match data {
        Data::Vector(values) => values.iter_mut().any(|value| replace(value, from, to)),
        Data::Set(values) => {
            let mut changed = false;
            let values = values.iter().cloned().map(|mut value| {
                changed |= replace(&mut value, from, to);
                value
            });
            *data = Data::Set(values.collect());
            changed
        }
        Data::Table(_) => panic!("nothing is looked for in tables"),
        Data::None
        | Data::Boolean(_)
        | Data::Count(_)
        | Data::Integer(_)
        | Data::Real(_)
        | Data::String(_)
        | Data::Address(_)
        | Data::Subnet(_)
        | Data::Port(_)
        | Data::Timestamp(_)
        | Data::Timespan(_)
        | Data::Enum(_) => false,
    }
}

struct Rig {
    agent: AgentProcess,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let now = start();
        let agent = AgentProcess::new(settings(), peer(9), IdGen::new(1), now);
        let mut rig = Self { agent, now };
        rig.said();
        rig
    }

    /// What the management log has to say of a message.
    fn hear(&mut self, topic: &str, event: Event) -> Vec<String> {
        let topic = Topic::new(topic).unwrap();
        let payload = event.encode();
        self.agent.on_message(self.now, &topic, &payload, peer(2));
        self.agent.drain(self.now);
        self.said()
    }

    fn said(&mut self) -> Vec<String> {
        let outputs = std::iter::from_fn(|| self.agent.poll_output());
        let records = outputs.filter_map(|output| match output {
            Output::Log(record) => Some(record),
            Output::Broker(_) | Output::WriteOptions { .. } | Output::Keep(_) => None,
        });
        let infos = records.filter(|record| record.level == Level::Info);
        infos.map(|record| record.message).collect()
    }

    /// It still answers, and orders nothing by itself.
    fn assert_well(mut self) {
        let reqid = "w".to_owned();
        let welcome = AgentRequest::Welcome { reqid };
        let said = self.hear("zeek/management/agent/instance-1", welcome.into());
        let answer = "tx Management::Agent::API::agent_welcome_response \
                      success (reqid w, instance instance-1)";
        assert_eq!(
            said,
            ["rx Management::Agent::API::agent_welcome_request w", answer]
        );
        assert_eq!(self.agent.agent.poll_timeout(), None);
    }
}

/// A node that subscribes as Zeek does (WIRE §8.7), at the other end of a link.
struct NodeLink {
    node: Endpoint,
    link: peering::LinkId,
    heard: Vec<String>,
}

const ACCEPTED: peering::LinkId = peering::LinkId::Accepted(0);

impl NodeLink {
    fn new(agent: &mut Rig) -> Self {
        let mut node = Endpoint::new(peer(1), peering::Options::default(), IdGen::new(2));
        for topic in [SUPERVISOR_TOPIC, NODE_TOPIC] {
            node.handle(agent.now, peering::Input::Subscribe { topic });
        }
        let (host, port) = ("127.0.0.1".to_owned(), 2151);
        let addr = PeerAddr { host, port };
        node.handle(agent.now, peering::Input::Dial { addr, retry: None });
        let Some(peering::Output::Dial { link, .. }) = node.poll_output() else {
            panic!("nothing is dialed");
        };
        let remote = ([127, 0, 0, 1], 2151).into();
        let opened = |link| peering::Input::Opened {
            link,
            remote,
            certificate: None,
        };
        agent.agent.handle(agent.now, opened(ACCEPTED));
        node.handle(agent.now, opened(link));
        let heard = Vec::new();
        let mut link = Self { node, link, heard };
        link.settle(agent);
        link
    }

    fn publish(&mut self, agent: &mut Rig, topic: Topic, event: Event) {
        let payload = event.encode();
        let publish = peering::Input::Publish { topic, payload };
        self.node.handle(agent.now, publish);
        self.settle(agent);
    }

    /// The topics of what came since the last look.
    fn heard(&mut self, agent: &mut Rig) -> Vec<String> {
        agent.agent.drain(agent.now);
        self.settle(agent);
        std::mem::take(&mut self.heard)
    }

    /// Carries what each side has for the other until both are silent.
    fn settle(&mut self, agent: &mut Rig) {
        let sent = |link| peering::Input::Sent { link, messages: 1 };
        loop {
            let (mut to_agent, mut to_node) = (Vec::new(), Vec::new());
            while let Some(output) = self.node.poll_output() {
                if let peering::Output::Deliver { topic, .. } = output {
                    self.heard.push(topic.to_string());
                } else if let peering::Output::Send { bytes, .. } = output {
                    to_agent.push(bytes);
                }
            }
            while let Some(output) = agent.agent.poll_output() {
                if let Output::Broker(peering::Output::Send { bytes, .. }) = output {
                    to_node.push(bytes);
                }
            }
            if to_agent.is_empty() && to_node.is_empty() {
                return;
            }
            for chunk in to_agent {
                let link = ACCEPTED;
                self.node.handle(agent.now, sent(self.link));
                agent
                    .agent
                    .handle(agent.now, peering::Input::Bytes { link, chunk });
            }
            for chunk in to_node {
                let link = self.link;
                agent.agent.handle(agent.now, sent(ACCEPTED));
                self.node
                    .handle(agent.now, peering::Input::Bytes { link, chunk });
            }
        }
    }
}
