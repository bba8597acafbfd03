//! Peers and clients of a whole controller, and what the policy makes of them (API §18).

mod forged;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker_proto::peering::{Endpoint, LinkId, Options, PeerAddr};
use broker_proto::{Data, IdGen, PeerCertificate};
use bytes::Bytes;

use super::*;
use crate::api::agent::AgentRequest;
use crate::api::agent_topic;
use crate::api::controller::ControllerRequest;
use crate::controller::configs::Saved;
use crate::controller::process::Input;
use crate::policy::Protection;
use crate::policy::audit::Audit;
use crate::policy::file::PolicyFile;
use crate::settings::{AutoAssign, ControllerSettings};

const MEMBERS: &str = "[[rule]]\nlistener = \"broker\"\ncertificate = \"sensor-*\"\nroles = \"agent\"\n\
    [[rule]]\nlistener = \"broker\"\ncertificate = \"bound\"\nroles = \"agent\"\nagent = \"a\"\n\
    [[rule]]\nlistener = \"broker\"\ncertificate = \"ops\"\nroles = \"operator\"\n\
    [[rule]]\nlistener = \"websocket\"\ncertificate = \"alice\"\nroles = \"operator\"\n\
    [[rule]]\nlistener = \"websocket\"\ncertificate = \"bob\"\nroles = \"viewer\"\n";

#[test]
fn a_peer_that_no_rule_fits_is_let_go_counted_and_audited() {
    for certificate in [None, Some("stranger")] {
        let mut rig = Rig::new(MEMBERS);
        let peer = rig.connect(certificate, &[]);
        assert!(!rig.is_connected(peer));
        assert_eq!(rig.process.gate().counters().connections, 1);
        let [Audit { who, what, reason }] = &rig.audits[..] else {
            panic!("{:?}", rig.audits)
        };
        assert_eq!(
            who.certificate.as_ref().and_then(|it| it.name.as_deref()),
            certificate
        );
        assert_eq!(*what, What::Connect);
        assert_eq!(reason, "no rule of the policy lets it in");
    }
}

#[test]
fn an_agent_may_not_ask_what_clients_ask() {
    let mut rig = Rig::new(MEMBERS);
    let agent = rig.connect(Some("sensor-1"), &["zeek/management/controller"]);
    rig.publish(agent, &CONTROLLER_TOPIC, deploy());
    assert_eq!(
        rig.refused_events(),
        ["Management::Controller::API::deploy_request"]
    );
    assert_eq!(rig.process.gate().counters().events, 1);
    // Not even its answer: an agent does not read that topic.
    assert_eq!(rig.heard(agent), []);
    let operator = rig.connect(Some("ops"), &["zeek/management/controller"]);
    rig.publish(operator, &CONTROLLER_TOPIC, deploy());
    let answers = rig.heard(operator);
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(rig.audits.len(), 1);
}

#[test]
fn an_agent_cannot_answer_for_another() {
    let mut rig = Rig::new(MEMBERS);
    let [a, b] = ["sensor-1", "sensor-2"].map(|name| rig.connect(Some(name), &[]));
    rig.says_hello(a, "a");
    rig.says_hello(b, "b/1");
    assert_eq!(rig.instances(), ["a", "b/1"]);
    let answer = AgentResponse::Log {
        instance: "a".into(),
        msg: "all is well".into(),
        node: "n".into(),
    };
    rig.publish(b, &topic("a"), answer.clone().into());
    assert_eq!(rig.refused_events(), ["Management::Agent::API::notify_log"]);
    assert_eq!(rig.process.gate().counters().names, 1);
    let reason = &rig.audits[0].reason;
    assert!(
        reason.contains("peer sensor-2") && reason.contains("peer sensor-1"),
        "{reason}"
    );
    rig.publish(a, &topic("a"), answer.into());
    assert_eq!(rig.audits.len(), 1);
}

#[test]
fn a_name_that_is_taken_is_refused_until_its_holder_is_dead() {
    let mut rig = Rig::new(MEMBERS);
    let [first, second] = ["sensor-1", "sensor-2"].map(|name| rig.connect(Some(name), &[]));
    rig.says_hello(first, "a");
    rig.says_hello(second, "a");
    assert_eq!(
        rig.refused_events(),
        ["Management::Agent::API::notify_agent_hello"]
    );
    assert_eq!(rig.holder("a"), Some(rig.id(first)));
    // The first answers the question whether it lives, so nothing changes.
    rig.pass(Duration::from_secs(6));
    assert_eq!(rig.holder("a"), Some(rig.id(first)));
    // Its host loses power: nothing comes from it, and nobody says so.
    rig.peers[first].is_mute = true;
    rig.says_hello(second, "a");
    rig.pass(Duration::from_secs(6));
    assert_eq!(rig.holder("a"), Some(rig.id(second)));
}

#[test]
fn an_agent_comes_back_with_its_certificate_before_its_old_link_is_known_to_be_dead() {
    for certificate in ["sensor-1", "bound"] {
        let mut rig = Rig::new(MEMBERS);
        let first = rig.connect(Some(certificate), &[]);
        rig.says_hello(first, "a");
        rig.peers[first].is_mute = true;
        let second = rig.connect(Some(certificate), &[]);
        rig.says_hello(second, "a");
        assert_eq!(rig.holder("a"), Some(rig.id(second)), "{certificate}");
        assert_eq!(rig.audits, []);
    }
}

#[test]
fn a_bound_agent_has_no_other_name() {
    let mut rig = Rig::new(MEMBERS);
    let agent = rig.connect(Some("bound"), &[]);
    rig.says_hello(agent, "b");
    assert_eq!(rig.instances(), [""; 0]);
    let reason = &rig.audits[0].reason;
    assert!(
        reason.contains("peer bound") && reason.contains("may be agent a and says it is b"),
        "{reason}"
    );
    rig.says_hello(agent, "a");
    assert_eq!(rig.instances(), ["a"]);
}

#[test]
fn an_agent_gets_what_is_for_it_and_not_what_is_for_others() {
    let mut rig = Rig::new(MEMBERS);
    let [a, ab] =
        ["sensor-1", "sensor-2"].map(|name| rig.connect(Some(name), &["zeek/management/"]));
    rig.says_hello(a, "a");
    rig.says_hello(ab, "ab");
    for name in ["a", "ab"] {
        let request = AgentRequest::Standby { reqid: name.into() };
        rig.process.publish(rig.now, topic(name), request.encode());
    }
    rig.process.drain(rig.now);
    rig.settle();
    let names =
        |events: Vec<Event>| Vec::from_iter(events.into_iter().map(|event| event.args[0].clone()));
    assert_eq!(names(rig.heard(a)), [Data::string("a")]);
    assert_eq!(names(rig.heard(ab)), [Data::string("ab")]);
}

#[test]
fn a_viewer_may_look_and_is_told_what_it_may_not() {
    let mut rig = Rig::new(MEMBERS);
    let [alice, bob] = ["alice", "bob"].map(|name| rig.client(Some(name)));
    rig.asks(bob, "get_instances_request", "");
    let answer = rig.texts(bob);
    assert!(
        answer[0].contains("get_instances_response") && answer[0].contains("true"),
        "{answer:?}"
    );
    rig.texts(alice);
    rig.asks(bob, "deploy_request", "");
    let answer = rig.texts(bob);
    assert!(answer[0].contains("deploy_response"), "{answer:?}");
    assert!(
        answer[0].contains("client bob may not deploy: role viewer"),
        "{answer:?}"
    );
    // Alice may wait for an answer under the same id.
    assert_eq!(rig.texts(alice), [""; 0]);
    let who = &rig.audits[0].who;
    assert_eq!(
        (who.roles.as_str(), who.application.as_deref()),
        ("role viewer", Some("test"))
    );
    rig.asks(alice, "deploy_request", "");
    assert_eq!(rig.audits.len(), 1);
}

#[test]
fn a_client_that_no_rule_fits_is_closed_with_the_reason() {
    let mut rig = Rig::new(MEMBERS);
    let client = rig.client(None);
    assert_eq!(
        rig.closed,
        [(client, 1008, "no rule of the policy lets it in".to_owned())]
    );
    assert_eq!(rig.process.gate().counters().connections, 1);
    assert_eq!(rig.audits.len(), 1);
}

#[test]
fn clients_publish_neither_to_agents_nor_to_supervisors_whatever_the_policy() {
    for policy in [MEMBERS, "allow_unauthenticated = true"] {
        let mut rig = Rig::new(policy);
        let client = rig.client(Some("alice"));
        for topic in [
            "zeek/management/agent/a",
            "zeek/supervisor",
            "zeek/management/node",
        ] {
            rig.asks_on(topic, client, "Management::Agent::API::deploy_request", "");
            let texts = rig.texts(client);
            let error = format!("publishing to topic '{topic}' is not allowed");
            assert!(texts[0].contains(&error), "{texts:?}");
            let audit = rig.audits.pop().unwrap();
            assert_eq!(audit.reason, error);
            let event = "Management::Agent::API::deploy_request".to_owned();
            let topic = topic.to_owned();
            assert_eq!(audit.what, What::Publish { topic, event });
        }
        assert_eq!(rig.process.gate().counters().events, 3);
    }
}

#[test]
fn other_rules_count_for_those_who_are_there_already() {
    let mut rig = Rig::new(MEMBERS);
    let agent = rig.connect(Some("sensor-1"), &[]);
    let [alice, bob] = ["alice", "bob"].map(|name| rig.client(Some(name)));
    let text = "[[rule]]\nlistener = \"websocket\"\ncertificate = \"bob\"\nroles = \"operator\"\n";
    rig.input(Input::Policy(policy(text)));
    assert!(!rig.is_connected(agent));
    let closed: Vec<ClientId> = rig.closed.iter().map(|it| it.0).collect();
    assert_eq!(closed, [alice]);
    rig.audits.clear();
    rig.asks(bob, "deploy_request", "");
    assert_eq!(rig.audits, []);
}

#[test]
fn stocks_way_is_open_to_everybody_and_the_last_hello_has_the_name() {
    let mut rig = Rig::new("allow_unauthenticated = true");
    let [first, second] = [(); 2].map(|()| rig.connect(None, &["zeek/management/agent"]));
    rig.says_hello(first, "a");
    rig.says_hello(second, "a");
    assert_eq!(rig.holder("a"), Some(rig.id(second)));
    rig.publish(first, &CONTROLLER_TOPIC, deploy());
    let client = rig.client(None);
    rig.asks(client, "deploy_request", "");
    assert_eq!((rig.audits.len(), rig.closed.len()), (0, 0));
    assert_eq!(rig.process.gate().counters(), Default::default());
}

#[test]
fn who_has_a_name_in_stocks_way_keeps_it_when_names_are_kept() {
    let mut rig = Rig::new("allow_unauthenticated = true");
    let [first, second] = [(); 2].map(|()| rig.connect(None, &[]));
    rig.says_hello(first, "a");
    rig.says_hello(second, "a");
    rig.input(Input::Policy(policy("[[rule]]\nroles = \"agent\"\n")));
    let news = AgentResponse::Log {
        instance: "a".into(),
        msg: "x".into(),
        node: "n".into(),
    };
    rig.publish(second, &topic("a"), news.clone().into());
    assert_eq!(rig.audits, []);
    rig.publish(first, &topic("a"), news.into());
    assert_eq!(rig.audits.len(), 1);
}

#[test]
fn refusals_are_logged_once_in_a_while_and_counted_each_time() {
    let mut rig = Rig::new(MEMBERS);
    let agent = rig.connect(Some("sensor-1"), &[]);
    for _ in 0..100 {
        rig.publish(agent, &CONTROLLER_TOPIC, deploy());
    }
    assert_eq!(rig.process.gate().counters().events, 100);
    assert_eq!(rig.audits.len(), 100);
}

mod later;

fn policy(text: &str) -> Policy {
    let protection = Protection {
        broker: true,
        websocket: true,
    };
    Policy::of(&PolicyFile::read(text, "p").unwrap(), protection)
}

fn deploy() -> Event {
    ControllerRequest::Deploy { reqid: "r".into() }.into()
}

fn topic(name: &str) -> Topic {
    agent_topic(name).unwrap()
}

/// A controller with peers and clients.
struct Rig {
    process: ControllerProcess,
    now: Instant,
    peers: Vec<Peer>,
    audits: Vec<Audit>,
    texts: Vec<(ClientId, String)>,
    closed: Vec<(ClientId, u16, String)>,
    longest: usize,
    clients: u64,
}

/// A real endpoint that dialed the controller.
struct Peer {
    endpoint: Endpoint,
    is_open: bool,
    /// Nothing comes from it any more.
    is_mute: bool,
    heard: Vec<Event>,
}

impl Rig {
    fn new(text: &str) -> Self {
        let settings = ControllerSettings {
            name: "controller".into(),
            listen: None,
            listen_websocket: None,
            request_timeout: Duration::from_secs(10),
            connect_retry: Duration::from_secs(1),
            broker_ports: AutoAssign::Off,
            metrics_ports: AutoAssign::Off,
        };
        let (id, now) = (EndpointId::from_bytes([1; 16]), start());
        let saved = Saved::default();
        let process = ControllerProcess::new(settings, "8.0.10", id, IdGen::new(1), saved, now);
        let mut rig = Self {
            process: process.with_policy(policy(text)),
            now,
            peers: Vec::new(),
            audits: Vec::new(),
            texts: Vec::new(),
            closed: Vec::new(),
            longest: 0,
            clients: 0,
        };
        rig.settle();
        rig
    }

    fn id(&self, peer: usize) -> EndpointId {
        self.peers[peer].endpoint.id()
    }

    fn connect(&mut self, name: Option<&str>, topics: &[&'static str]) -> usize {
        let at = self.peers.len();
        let number = u8::try_from(at).unwrap();
        let id = EndpointId::from_bytes([number + 2; 16]);
        let mut endpoint = Endpoint::new(id, Options::default(), IdGen::new(u64::from(number)));
        for topic in topics {
            let topic = Topic::from_static(topic);
            endpoint.handle(self.now, peering::Input::Subscribe { topic });
        }
        let addr = PeerAddr {
            host: "controller".into(),
            port: 2150,
        };
        endpoint.handle(self.now, peering::Input::Dial { addr, retry: None });
        self.peers.push(Peer {
            endpoint,
            is_open: true,
            is_mute: false,
            heard: Vec::new(),
        });
        let remote = SocketAddr::from(([192, 0, 2, number], 40000));
        let opened = |link, certificate| peering::Input::Opened {
            link,
            remote,
            certificate,
        };
        let near = LinkId::Accepted(u64::from(number));
        self.process
            .handle(self.now, Input::Broker(opened(near, name.map(certificate))));
        self.peers[at]
            .endpoint
            .handle(self.now, opened(LinkId::Dialed(0), None));
        self.settle();
        at
    }

    /// Carries bytes until nobody has anything to say.
    fn settle(&mut self) {
        loop {
            let mut is_calm = true;
            while let Some(output) = self.process.poll_output() {
                is_calm = false;
                self.on_output(output);
            }
            for at in 0..self.peers.len() {
                is_calm &= !self.carry(at);
            }
            if is_calm {
                return;
            }
        }
    }

    fn carry(&mut self, at: usize) -> bool {
        let mut said = false;
        while let Some(output) = self.peers[at].endpoint.poll_output() {
            said = true;
            let link = LinkId::Accepted(u64::try_from(at).unwrap());
            match output {
                peering::Output::Send { bytes, .. } if !self.peers[at].is_mute => {
                    self.bytes(link, bytes);
                }
                peering::Output::Deliver { payload, .. } => {
                    let event = Event::decode(&payload, &Default::default()).unwrap();
                    self.peers[at].heard.push(event);
                }
                peering::Output::Listen { .. }
                | peering::Output::Dial { .. }
                | peering::Output::Send { .. }
                | peering::Output::Close { .. }
                | peering::Output::PeerUp { .. }
                | peering::Output::PeerDown { .. }
                | peering::Output::PeerUnreachable { .. }
                | peering::Output::Misbehaved { .. }
                | peering::Output::Stopped => {}
            }
        }
        said
    }

    fn bytes(&mut self, link: LinkId, chunk: Bytes) {
        let input = peering::Input::Bytes { link, chunk };
        self.process.handle(self.now, Input::Broker(input));
    }

    fn on_output(&mut self, output: Output) {
        self.longest = self.longest.max(format!("{output:?}").len());
        match output {
            Output::Broker(peering::Output::Send { link, bytes }) => {
                let LinkId::Accepted(at) = link else { return };
                let link = LinkId::Dialed(0);
                let peer = &mut self.peers[usize::try_from(at).unwrap()].endpoint;
                peer.handle(self.now, peering::Input::Bytes { link, chunk: bytes });
                let link = LinkId::Accepted(at);
                let sent = peering::Input::Sent { link, messages: 1 };
                self.process.handle(self.now, Input::Broker(sent));
            }
            Output::Broker(peering::Output::Close { link }) => {
                let LinkId::Accepted(at) = link else { return };
                self.peers[usize::try_from(at).unwrap()].is_open = false;
                let reason = "closed".to_owned();
                let closed = peering::Input::Closed { link, reason };
                self.process.handle(self.now, Input::Broker(closed));
            }
            Output::WebSocket(hub::Output::Send { client, text }) => {
                self.texts.push((client, text.to_string()));
            }
            Output::WebSocket(hub::Output::Close {
                client,
                code,
                reason,
            }) => self.closed.push((client, code, reason)),
            Output::Audit(audit) => self.audits.push(audit),
            Output::Save { .. } => {
                let result = Ok(());
                self.process.handle(self.now, Input::Saved { result });
            }
            Output::Broker(_) | Output::WebSocket(_) | Output::Log(_) | Output::Audited(_) => {}
        }
    }

    fn input(&mut self, input: Input) {
        self.process.handle(self.now, input);
        self.settle();
    }

    /// Time passes, deadline by deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.process.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.process.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn is_connected(&self, peer: usize) -> bool {
        self.peers[peer].is_open
    }

    fn publish(&mut self, peer: usize, topic: &Topic, event: Event) {
        let publish = peering::Input::Publish {
            topic: topic.clone(),
            payload: event.encode(),
        };
        self.peers[peer].endpoint.handle(self.now, publish);
        self.settle();
    }

    fn says_hello(&mut self, peer: usize, name: &str) {
        let hello = AgentResponse::Hello {
            instance: name.into(),
            id: self.id(peer).to_string(),
            connecting: true,
            api_version: 1,
        };
        self.publish(peer, &topic(name), hello.into());
    }

    fn heard(&mut self, peer: usize) -> Vec<Event> {
        std::mem::take(&mut self.peers[peer].heard)
    }

    fn refused_events(&self) -> Vec<&str> {
        let events = self.audits.iter().filter_map(|audit| match &audit.what {
            What::Publish { event, .. } => Some(event.as_str()),
            What::Connect | What::Message => None,
        });
        events.collect()
    }

    fn holder(&self, name: &str) -> Option<EndpointId> {
        self.process.controller.instances.endpoint_of(name)
    }

    /// The agents that the controller knows.
    fn instances(&self) -> Vec<&str> {
        self.process.controller.instances.known().collect()
    }

    fn client(&mut self, name: Option<&str>) -> ClientId {
        let client = ClientId(self.clients);
        self.clients += 1;
        self.input(Input::WebSocket(hub::Input::Opened {
            client,
            remote: "192.0.2.77:5000".parse().unwrap(),
            application: Some("test".into()),
            certificate: name.map(certificate),
        }));
        let text = r#"["zeek/management/controller"]"#.to_owned();
        self.input(Input::WebSocket(hub::Input::Text { client, text }));
        self.texts.clear();
        client
    }

    fn asks(&mut self, client: ClientId, request: &str, more: &str) {
        let event = format!("Management::Controller::API::{request}");
        self.asks_on("zeek/management/controller", client, &event, more);
    }

    fn asks_on(&mut self, topic: &str, client: ClientId, event: &str, more: &str) {
        let count = r#"{"@data-type":"count","data":1}"#;
        let string = |text| format!(r#"{{"@data-type":"string","data":"{text}"}}"#);
        let args = format!(
            r#"{{"@data-type":"vector","data":[{}{more}]}}"#,
            string("r")
        );
        let event = format!(
            r#"{{"@data-type":"vector","data":[{},{args}]}}"#,
            string(event)
        );
        let text = format!(
            r#"{{"type":"data-message","topic":"{topic}","@data-type":"vector","data":[{count},{count},{event}]}}"#
        );
        self.input(Input::WebSocket(hub::Input::Text { client, text }));
    }

    fn texts(&mut self, client: ClientId) -> Vec<String> {
        let texts = self.texts.iter().filter(|(to, _)| *to == client);
        let texts = texts.map(|(_, text)| text.clone()).collect();
        self.texts.retain(|(to, _)| *to != client);
        texts
    }
}

fn certificate(name: &str) -> Arc<PeerCertificate> {
    let mut fingerprint = [0; 32];
    fingerprint[..name.len()].copy_from_slice(name.as_bytes());
    Arc::new(PeerCertificate {
        name: Some(name.to_owned()),
        dns: Vec::new(),
        addresses: Vec::new(),
        not_after: i64::MAX,
        fingerprint,
    })
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}
