//! Recorded sessions, replayed with our programs in the place of recorded ones.
//!
//! Where ours differ, the difference is named: it is one of those that `mgmt/API.md` documents.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use broker_proto::IdGen;
use broker_proto::peering::{self, PeerAddr};
use harness::recorded;
use harness::transcript::{Connection, Side, Transcript};
use harness::tree::INSTANCE;
use mgmt::agent::process::{AgentProcess, Output as AgentOutput};
use mgmt::controller::configs::Saved;
use mgmt::controller::process::{ControllerProcess, Input, Output};
use mgmt::settings::{AgentSettings, AutoAssign, ControllerSettings, Deploying};
use zeek_client_compat::hub;

use crate::replay::{Outcome, Replay, Subject};

/// The recorded agent's port.
const AGENT_PORT: u16 = 2151;
/// The recorded controller's ports.
pub(crate) const CONTROLLER_PORT: u16 = 2150;
const WEBSOCKET_PORT: u16 = 2149;
/// The recorded supervisor's port.
const SUPERVISOR_PORT: u16 = 9999;

/// Longer than any recording.
const UNTIL: Duration = Duration::from_secs(60);

/// Stock says hello once to a controller that dialed it, and it may come too early (API §5.1).
const HELLO_AGAIN: &str = "notify_agent_hello";

#[test]
fn agent_does_what_the_recorded_agent_did_when_it_dials() {
    let transcript = Transcript::read("a2c");
    assert_eq!(transcript.named("node-agent").count(), 11);
    let difference = replay_agent(&transcript, Some(local(CONTROLLER_PORT))).difference;
    let difference = difference.without_notices().without_orders_to_nodes();
    // Stock leaves a request open that it has answered (API §12.2 D31).
    let late = "agent-controller: deploy_response";
    // It answers restarts when they are ordered, ours when the nodes are up (API §12.2 D39).
    let restarted = "agent-controller: restart_response";
    let hello = format!("agent-controller: {HELLO_AGAIN}");
    let missing = [restarted, restarted, late];
    difference.assert(99, &missing, &[&hello, restarted, restarted]);
}

#[test]
fn agent_does_what_the_recorded_agent_did_when_it_is_dialed() {
    let transcript = Transcript::read("c2a");
    let difference = replay_agent(&transcript, None).difference;
    let difference = difference.without_notices().without_orders_to_nodes();
    difference.assert(20, &[], &[&format!("to-agent: {HELLO_AGAIN}")]);
}

#[test]
fn controller_does_what_the_recorded_controller_did_when_it_is_dialed() {
    let outcome = replay_controller(&Transcript::read("a2c"));
    outcome.difference.assert(45, &[], &[]);
}

#[test]
fn controller_does_what_the_recorded_controller_did_when_it_dials() {
    let outcome = replay_controller(&Transcript::read("c2a"));
    outcome.difference.assert(11, &[], &[]);
}

impl Subject for AgentProcess {
    fn broker(&mut self, now: Instant, input: peering::Input) {
        self.handle(now, input);
    }

    fn timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn output(&mut self) -> Option<Output> {
        self.poll_output().map(|output| match output {
            AgentOutput::Broker(output) => Output::Broker(output),
            AgentOutput::Log(record) => Output::Log(record),
            AgentOutput::WriteOptions { .. } => panic!("no node has options"),
            AgentOutput::Keep(_) => panic!("this agent has no memory"),
        })
    }

    fn deadline(&self) -> Option<Instant> {
        self.poll_timeout()
    }
}

impl Subject for ControllerProcess {
    fn broker(&mut self, now: Instant, input: peering::Input) {
        self.handle(now, Input::Broker(input));
    }

    fn websocket(&mut self, now: Instant, input: hub::Input) {
        self.handle(now, Input::WebSocket(input));
    }

    fn saved(&mut self, now: Instant) {
        let result = Ok(());
        self.handle(now, Input::Saved { result });
    }

    fn timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn output(&mut self) -> Option<Output> {
        self.poll_output()
    }

    fn deadline(&self) -> Option<Instant> {
        self.poll_timeout()
    }
}

pub(crate) fn replay_agent(transcript: &Transcript, controller: Option<PeerAddr>) -> Outcome {
    let start = Instant::now();
    let legs = legs(transcript, |connection| match connection.name.as_str() {
        "agent-supervisor" | "agent-controller" => Some(Side::Client),
        _ if connection.server_port == AGENT_PORT => Some(Side::Server),
        _ => None,
    });
    let settings = AgentSettings {
        name: INSTANCE.to_owned(),
        listen: local(AGENT_PORT),
        controller,
        supervisor: local(SUPERVISOR_PORT),
        state_dir: PathBuf::from("/usr/local/zeek/var/lib"),
        node_script: mgmt::agent::node_script::STOCK.to_owned(),
        request_timeout: Duration::from_secs(5),
        connect_retry: Duration::from_secs(1),
        node_env: Vec::new(),
        options_dir: PathBuf::from("/usr/local/zeek/var/lib/zeek-mgmt/options"),
        deploying: Deploying::default(),
    };
    let id = recorded::endpoint(legs[0].0, legs[0].1).unwrap();
    let agent = AgentProcess::new(settings, id, IdGen::new(1), start);
    Replay::new(agent, start, legs).run(UNTIL)
}

pub(crate) fn replay_controller(transcript: &Transcript) -> Outcome {
    let start = Instant::now();
    let legs = legs(transcript, |connection| match connection.name.as_str() {
        "client-controller" | "agent-controller" => Some(Side::Server),
        "to-agent" if is_controllers(connection) => Some(Side::Client),
        _ => None,
    });
    let settings = ControllerSettings {
        name: "controller".to_owned(),
        listen: Some(everywhere(CONTROLLER_PORT)),
        listen_websocket: Some(everywhere(WEBSOCKET_PORT)),
        request_timeout: Duration::from_secs(10),
        connect_retry: Duration::from_secs(1),
        broker_ports: AutoAssign::From(2200),
        metrics_ports: AutoAssign::Off,
    };
    let mut peerings = legs.iter();
    let id = peerings.find_map(|(connection, side)| match connection.name.as_str() {
        "client-controller" => None,
        _ => recorded::endpoint(connection, *side),
    });
    let (ids, saved) = (IdGen::new(1), Saved::default());
    let controller = ControllerProcess::new(settings, "8.0.10", id.unwrap(), ids, saved, start);
    Replay::new(controller, start, legs).run(UNTIL)
}

fn legs(
    transcript: &Transcript,
    side: impl Fn(&Connection) -> Option<Side>,
) -> Vec<(&Connection, Side)> {
    let all = transcript.connections.iter();
    all.filter_map(|connection| Some((connection, side(connection)?)))
        .collect()
}

/// Whether a connection to the agent is the controller's, not a node's.
fn is_controllers(connection: &Connection) -> bool {
    let sent = recorded::events(connection, Side::Client);
    sent.iter()
        .any(|sent| sent.event.name.ends_with("::agent_welcome_request"))
}

fn everywhere(port: u16) -> PeerAddr {
    PeerAddr {
        host: "0.0.0.0".to_owned(),
        port,
    }
}

pub(crate) fn local(port: u16) -> PeerAddr {
    PeerAddr {
        host: "127.0.0.1".to_owned(),
        port,
    }
}
