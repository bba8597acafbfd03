//! A cluster node: peers with its agent as a real one does and answers it (API §6, WIRE §8.7).
//!
//! Scripts decide what a real node is, so the names of the scripts it is given decide here: only a
//! node that would load `policy/frameworks/management/node` turns to the agent, and one that would
//! be a controller or an agent refuses to start.

pub(crate) mod behaviour;
mod dispatch;
mod noise;
mod settings;
mod setup;

use std::future::pending;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use broker_proto::codec::{self, Limits};
use broker_proto::io::entropy;
use broker_proto::io::tls::{TlsErrors, connector_and_acceptor};
use broker_proto::io::transport::Transport;
use broker_proto::peering::{Endpoint, Input, Options, Output, PeerAddr, PeerNetwork};
use broker_proto::tls::Tls;
use broker_proto::zeek::{Event, EventError};
use broker_proto::{EndpointId, IdGen, Topic};
use rustix::process::{Pid, getppid};
use supervisor::api::{ClusterRole, NodeConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::behaviour::{Behaviour, Diary, Failure};
use self::dispatch::NodeApi;
use self::settings::Settings;
use crate::{block_on, complain, describe};

const NODE_TOPIC: Topic = Topic::from_static("zeek/management/node");
const NODE_SCRIPT: &str = "frameworks/management/node";
const OTHER_ROLES: [&str; 2] = [
    "frameworks/management/controller/main",
    "frameworks/management/agent/main",
];

/// Between attempts to reach the agent (API §6 N1).
const RETRY: Duration = Duration::from_secs(1);

/// How often a node looks whether its stem lives (API §9.3 S6).
const PARENT_CHECK: Duration = Duration::from_secs(1);

/// How long peers may take to say goodbye (WIRE §6.6).
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs the node of this configuration, with the arguments its stem was given.
pub(crate) fn run(config: NodeConfig, args: &[String]) -> ExitCode {
    let stem = getppid();
    match prepare(&config) {
        Ok(behaviour) => block_on(live(stem, config, behaviour, args)),
        Err(text) => {
            complain(&text);
            ExitCode::FAILURE
        }
    }
}

fn prepare(config: &NodeConfig) -> Result<Behaviour, String> {
    setup::prepare(config)?;
    let name = &config.name;
    let _ = writeln!(
        std::io::stdout(),
        "zeek-standin: node '{name}' stands in for Zeek: it speaks the node API and analyses no \
         packets"
    );
    for role in OTHER_ROLES {
        // Only its own scripts: those of the command line every node is given (API §11 L4).
        if loads(config, &[], role) {
            return Err(format!(
                "zeek-standin: node '{name}' is given {role}, which needs Zeek"
            ));
        }
    }
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .without_time()
        .log_internal_errors(false)
        .init();
    let behaviour = Behaviour::read(name, |variable| std::env::var(variable).ok())?;
    if behaviour.opens_source {
        setup::open_source(config)?;
    }
    if let Some(seconds) = behaviour.child {
        let mut helper = std::process::Command::new("sleep");
        // Nobody waits for it: that is the fault.
        let started = helper.arg(seconds.to_string()).spawn();
        started.map_err(|error| format!("no child: {}", describe(&error)))?;
    }
    behaviour.noise.begin();
    Ok(behaviour)
}

fn loads(config: &NodeConfig, args: &[String], script: &str) -> bool {
    let own = config.addl_base_scripts.iter().chain(args);
    let mut scripts = own.chain(&config.addl_user_scripts);
    scripts.any(|name| name.contains(script) && is_there(name))
}

/// Zeek looks for other names along its path, which the stand-in does not have.
fn is_there(script: &str) -> bool {
    let path = Path::new(script);
    path.is_relative() || path.is_file()
}

async fn live(
    stem: Option<Pid>,
    config: NodeConfig,
    behaviour: Behaviour,
    args: &[String],
) -> ExitCode {
    if let Some(failure) = &behaviour.failure
        && failure.after.is_zero()
    {
        return failure.exit();
    }
    let settings = Settings::read(args, |variable| std::env::var(variable).ok());
    let agent = if loads(&config, args, NODE_SCRIPT) {
        settings.agent.clone().map(Some)
    } else {
        Ok(None)
    };
    let agent = agent.unwrap_or_else(|wrong| {
        complain(&format!(
            "error: {wrong}; this node never reaches its agent"
        ));
        None
    });
    let sigterm = signal(SignalKind::terminate());
    let transport = transport(&settings.tls);
    let (sigterm, transport) = match (sigterm, transport) {
        (Ok(sigterm), Ok(transport)) => (sigterm, transport),
        (Err(error), _) => return fail(&describe(&error)),
        (_, Err(error)) => return fail(&error.to_string()),
    };
    let mut ids = IdGen::new(entropy::seed());
    let id = ids.endpoint_id();
    let node = Node {
        stem,
        id,
        api: NodeApi::new(config.cluster_node()),
        config,
        behaviour,
        agent,
        listen_host: settings.listen_host,
        endpoint: Endpoint::new(id, Options::default(), ids),
        transport,
        link: AgentLink::Untried,
        is_stopped: false,
    };
    node.serve(sigterm).await
}

fn transport(tls: &Tls) -> Result<Transport, TlsErrors> {
    let (connector, acceptor) = connector_and_acceptor(tls)?;
    Ok(Transport::new(connector, acceptor))
}

fn fail(text: &str) -> ExitCode {
    complain(&format!("fatal error: {text}"));
    ExitCode::FAILURE
}

struct Node {
    stem: Option<Pid>,
    id: EndpointId,
    api: NodeApi,
    config: NodeConfig,
    behaviour: Behaviour,
    agent: Option<PeerAddr>,
    listen_host: String,
    endpoint: Endpoint,
    transport: Transport,
    link: AgentLink,
    is_stopped: bool,
}

/// Whether the agent was reached, to complain once and not every second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum AgentLink {
    Untried,
    Up,
    Refused,
}

/// What ended a wait.
enum WakeUp {
    Network(Input),
    Deadline,
    Start,
    Fail,
    Terminate,
    Look,
}

impl Node {
    async fn serve(mut self, mut sigterm: Signal) -> ExitCode {
        let mut looks = tokio::time::interval(PARENT_CHECK);
        let born = Instant::now();
        let mut start = Some(born + self.behaviour.start_delay);
        let failure = self.behaviour.failure.clone();
        let failure_at = failure.as_ref().map(|failure| born + failure.after);
        loop {
            let wake_up = tokio::select! {
                _ = sigterm.recv() => WakeUp::Terminate,
                _ = looks.tick() => WakeUp::Look,
                () = until(failure_at) => WakeUp::Fail,
                () = until(start) => WakeUp::Start,
                () = until(self.endpoint.poll_timeout()) => WakeUp::Deadline,
                input = self.transport.next() => WakeUp::Network(input),
            };
            let now = Instant::now();
            match wake_up {
                WakeUp::Network(input) => self.endpoint.handle(now, input),
                WakeUp::Deadline => self.endpoint.handle_timeout(now),
                WakeUp::Start => {
                    start = None;
                    self.start(now);
                }
                WakeUp::Fail => return failure.as_ref().map_or(ExitCode::FAILURE, Failure::exit),
                WakeUp::Terminate if self.behaviour.ignores_sigterm => {}
                WakeUp::Terminate => {
                    let diary = Diary::of(&self.config.name, &self.behaviour);
                    diary.note("is told to stop");
                    tokio::time::sleep(self.behaviour.stop_delay).await;
                    let code = self.leave("received termination signal").await;
                    diary.note("ends");
                    return code;
                }
                WakeUp::Look if getppid() == self.stem => {}
                WakeUp::Look => return self.leave("supervised node was orphaned").await,
            }
            self.drain();
        }
    }

    /// Begins to speak: subscribes, listens if the layout says so, dials the agent.
    fn start(&mut self, now: Instant) {
        for topic in topics(&self.config, self.id, self.agent.is_some()) {
            match Topic::new(topic) {
                Ok(topic) => self.endpoint.handle(now, Input::Subscribe { topic }),
                Err(error) => complain(&format!("error: {error}")),
            }
        }
        let own = self.config.own_endpoint();
        if let Some(port) = own.map(|own| own.p.number).filter(|port| *port != 0) {
            let host = self.listen_host.clone();
            let addr = PeerAddr { host, port };
            self.endpoint.handle(now, Input::Listen { addr });
        }
        if let Some(addr) = self.agent.clone() {
            let retry = Some(RETRY);
            self.endpoint.handle(now, Input::Dial { addr, retry });
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match &output {
                Output::Deliver { payload, .. } => self.on_payload(payload),
                Output::PeerUp { network, .. } if self.is_agent(network) => self.on_agent(),
                Output::Misbehaved { .. } => {}
                Output::PeerUnreachable { addr, reason } => {
                    if self.link != AgentLink::Refused {
                        complain(&format!("error: no peering with {addr}: {reason}"));
                    }
                    self.link = AgentLink::Refused;
                }
                Output::Stopped => self.is_stopped = true,
                Output::PeerUp { .. }
                | Output::PeerDown { .. }
                | Output::Listen { .. }
                | Output::Dial { .. }
                | Output::Send { .. }
                | Output::Close { .. } => {}
            }
            self.transport.apply(output);
        }
    }

    fn is_agent(&self, network: &PeerNetwork) -> bool {
        self.agent.is_some() && network.dialed == self.agent
    }

    /// Every peering with the agent begins with a hello (API §6 N2).
    fn on_agent(&mut self) {
        self.link = AgentLink::Up;
        if !self.behaviour.is_silent {
            let hello = self.api.hello();
            self.publish(hello);
        }
    }

    fn on_payload(&mut self, payload: &[u8]) {
        let event = match codec::data::decode(payload, &Limits::default()) {
            Ok(data) => Event::from_data(data),
            Err(error) => return complain(&format!("warning: received no value: {error}")),
        };
        let answer = match event {
            Ok(event) => self.api.on_event(event),
            Err(EventError::OtherMessage(_)) => return,
            Err(error) => Err(error.to_string()),
        };
        match answer {
            Ok(Some(answer)) => self.publish(answer),
            Ok(None) => {}
            Err(warning) => complain(&format!("warning: {warning}")),
        }
    }

    fn publish(&mut self, event: Event) {
        let input = Input::Publish {
            topic: NODE_TOPIC,
            payload: codec::data::encode(&event.into_data()),
        };
        self.endpoint.handle(Instant::now(), input);
    }

    /// Says why, takes leave of all peers, and ends.
    async fn leave(mut self, reason: &str) -> ExitCode {
        complain(reason);
        let deadline = Instant::now() + LEAVE_TIMEOUT;
        self.endpoint.handle(Instant::now(), Input::Shutdown);
        self.drain();
        while !self.is_stopped {
            tokio::select! {
                () = until(Some(deadline)) => break,
                () = until(self.endpoint.poll_timeout()) => {
                    self.endpoint.handle_timeout(Instant::now());
                }
                input = self.transport.next() => self.endpoint.handle(Instant::now(), input),
            }
            self.drain();
        }
        ExitCode::SUCCESS
    }
}

/// What a node of its role subscribes to (WIRE §8.7), in the order a real one does. Without the
/// stores' topics: there are no stores here.
fn topics(config: &NodeConfig, id: EndpointId, is_managed: bool) -> Vec<String> {
    let mut topics = vec!["zeek/supervisor".to_owned()];
    if is_managed {
        topics.push(NODE_TOPIC.to_string());
    }
    let Some(own) = config.own_endpoint() else {
        return topics;
    };
    let of_role: &[&str] = match own.role {
        ClusterRole::None => &[],
        ClusterRole::Logger => &[
            "zeek/cluster/pool/logger",
            "zeek/cluster/logger",
            "zeek/logs/",
        ],
        ClusterRole::Manager => &["zeek/cluster/manager"],
        ClusterRole::Proxy => &["zeek/cluster/pool/proxy", "zeek/cluster/proxy"],
        ClusterRole::Worker => &["zeek/cluster/pool/worker", "zeek/cluster/worker"],
    };
    topics.extend(of_role.iter().map(|&topic| topic.to_owned()));
    topics.push(format!("zeek/cluster/nodeid/{id}/"));
    topics.push(format!("zeek/cluster/node/{}/", config.name));
    topics
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "b6c12708-9282-59d2-b742-421c8ec4c610";

    fn config(role: &str) -> NodeConfig {
        let json = format!(
            r#"{{"name":"n","addl_base_scripts":[],"addl_user_scripts":["policy/frameworks/management/node"],"env":{{}},"cluster":{{"n":{{"role":"Supervisor::{role}","host":"127.0.0.1","p":"0/unknown"}}}}}}"#
        );
        supervisor::stem::read_json(&json).unwrap()
    }

    fn sorted_topics(role: &str) -> Vec<String> {
        let mut ids = IdGen::new(1);
        let id = ids.endpoint_id();
        let topics = topics(&config(role), id, true);
        let mut topics: Vec<_> = topics
            .iter()
            .map(|topic| topic.replace(&id.to_string(), ID))
            .collect();
        topics.sort();
        topics
    }

    #[test]
    fn a_manager_subscribes_as_recorded_but_for_the_store() {
        assert_eq!(
            sorted_topics("MANAGER"),
            [
                "zeek/cluster/manager",
                "zeek/cluster/node/n/",
                "zeek/cluster/nodeid/b6c12708-9282-59d2-b742-421c8ec4c610/",
                "zeek/management/node",
                "zeek/supervisor",
            ]
        );
    }

    #[test]
    fn a_logger_subscribes_as_recorded_but_for_the_store() {
        assert_eq!(
            sorted_topics("LOGGER"),
            [
                "zeek/cluster/logger",
                "zeek/cluster/node/n/",
                "zeek/cluster/nodeid/b6c12708-9282-59d2-b742-421c8ec4c610/",
                "zeek/cluster/pool/logger",
                "zeek/logs/",
                "zeek/management/node",
                "zeek/supervisor",
            ]
        );
    }

    #[test]
    fn scripts_decide_what_a_node_is() {
        let config = config("WORKER");
        assert!(loads(&config, &[], NODE_SCRIPT));
        assert!(!loads(&config, &[], OTHER_ROLES[1]));
        let args = ["policy/frameworks/management/agent/main".to_owned()];
        assert!(loads(&config, &args, OTHER_ROLES[1]));
    }
}
