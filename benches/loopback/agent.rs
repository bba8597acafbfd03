//! The running program with a whole cluster on one agent: how long a deployment takes, how much of
//! that comes after the last node has said hello, how long the agent takes to list its nodes, and
//! how much memory it and the supervisor have then. `benches/README.md` says more.
//!
//! `zeek-mgmt run` starts controller, agent and supervisor as in production, with the stand-in in
//! the place of `zeek`. This process is the client that deploys, over WebSocket, and beside the
//! controller a peer of the agent that asks for its nodes. When a node said hello, and when the
//! agent answered the controller, is in the agent's log, in microseconds.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark's inputs are its own, and it reads the clock"
)]

use std::time::{Duration, Instant};

use broker_proto::io::handle::{Handle, Options as PeerOptions, Status, Subscription, spawn};
use broker_proto::peering::PeerAddr;
use broker_proto::zeek::{Any, Event};
use broker_proto::{Data, Topic};
use cluster::{assert_success, configuration, resident};
use figures::{millis, percentiles};
use harness::binaries;
use harness::ports;
use harness::tree::{INSTANCE, Options, Transport, Tree};
use harness::websocket::WebSocket;
use mgmt::api::agent::{AgentRequest, AgentResponse};
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use mgmt::api::{ApiResult, agent_topic};
use mgmt::model::Configuration;
use tokio::runtime::Runtime;
use tokio::time::timeout;

mod cluster;
mod figures;

/// How much is done.
struct Counts {
    nodes: u16,
    deployments: usize,
    latencies: usize,
    transports: &'static [Transport],
}

const MEASURE: Counts = Counts {
    nodes: 64,
    deployments: 5,
    latencies: 2000,
    transports: &[Transport::Cleartext, Transport::AnonymousTls],
};

/// Only to see that it works, as `cargo test --benches` does.
const TRY: Counts = Counts {
    nodes: 4,
    deployments: 1,
    latencies: 1,
    transports: &[Transport::Cleartext],
};

/// What is told on stderr: what the agent sends, too.
const TELLING: &str = "info,mgmt::agent::process=trace";

/// In the line of the agent's log about its answer to a deployment.
const ANSWERED: &str = "::deploy_response";

/// Longer than the agent takes over anything.
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let measures = std::env::args().any(|arg| arg == "--bench");
    let counts = if measures { MEASURE } else { TRY };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    for transport in counts.transports {
        println!("{transport:?}, {} nodes", counts.nodes);
        measure(&runtime, *transport, &counts);
    }
}

fn measure(runtime: &Runtime, transport: Transport, counts: &Counts) {
    let tree = Tree::start(&Options {
        programs: Some(binaries::up_to_date().unwrap()),
        transport,
        env: vec![("RUST_LOG".to_owned(), TELLING.to_owned())],
        ..Options::default()
    })
    .unwrap();
    println!("resident before: {}", resident(&tree));
    let mut peer = runtime.block_on(Peer::new(&tree, transport));
    let first_port = ports::free(counts.nodes);
    for n in 0..counts.deployments {
        let config = configuration(n, counts.nodes, first_port);
        println!("deploy: {}", deployment(&tree, config));
        println!("resident: {}", resident(&tree));
        let times = runtime.block_on(peer.latencies(n, counts));
        println!("get_nodes asked of the agent: {}", percentiles(times));
    }
    println!("resident afterwards: {}", resident(&tree));
    runtime.block_on(peer.handle.shutdown());
    tree.stop().unwrap();
}

/// From a client's request to its answer, and from the last hello to the agent's answer.
fn deployment(tree: &Tree, config: Configuration) -> String {
    let mut socket = WebSocket::subscribed(tree.ports.websocket).unwrap();
    let (nodes, reqid) = (config.nodes.len(), config.id.clone());
    let seen = tree.log_of(INSTANCE).len();
    let staged = socket.answer(&ControllerRequest::StageConfiguration {
        reqid: format!("stage-{reqid}"),
        config,
    });
    let ControllerResponse::StageConfiguration { results, .. } = staged.unwrap() else {
        panic!("no answer to the configuration");
    };
    assert_success(&results);
    let start = Instant::now();
    let deployed = socket.answer(&ControllerRequest::Deploy { reqid });
    let time = start.elapsed();
    let ControllerResponse::Deploy { results, .. } = deployed.unwrap() else {
        panic!("no answer to the deployment");
    };
    assert_success(&results);
    // The answer may be here before the lines about it are in the file.
    let log = loop {
        let log = tree.log_of(INSTANCE);
        let mut of_now = log.iter().skip(seen);
        if of_now.any(|line| line.contains(ANSWERED)) {
            break log;
        }
        assert!(start.elapsed() < LIMIT, "the agent logs no answer");
    };
    let of_now = || log.iter().skip(seen);
    let hellos = of_now().filter(|line| line.contains("node is running"));
    let hellos: Vec<_> = hellos.map(|line| time_of_day(line)).collect();
    assert_eq!(hellos.len(), nodes);
    let mut answers = of_now().filter(|line| line.contains(ANSWERED));
    let answer = time_of_day(answers.next().unwrap());
    let last_hello = hellos.into_iter().max().unwrap();
    format!(
        "answered by the agent {:.2} ms after the last hello, the client {:.0} ms after it asked",
        millis(answer.checked_sub(last_hello).unwrap()),
        millis(time)
    )
}

/// What a line of a log begins with, as in `2026-01-31T23:59:59.123456Z`.
fn time_of_day(line: &str) -> Duration {
    let (_, time) = line.split_once('T').unwrap();
    let (time, _) = time.split_once('Z').unwrap();
    let parts = time.split(':').map(|part| part.parse::<f64>().unwrap());
    Duration::from_secs_f64(parts.fold(0.0, |sum, part| sum * 60.0 + part))
}

/// An endpoint of our own, peered with the agent.
struct Peer {
    handle: Handle,
    topic: Topic,
    events: Subscription,
}

impl Peer {
    async fn new(tree: &Tree, transport: Transport) -> Self {
        let handle = spawn(match transport {
            Transport::Cleartext => PeerOptions::cleartext(),
            Transport::AnonymousTls => PeerOptions::anonymous(),
        });
        let topic = agent_topic(INSTANCE).unwrap();
        let events = handle.subscribe(topic.clone()).await.unwrap();
        let mut status = handle.status().await.unwrap();
        let addr: PeerAddr = format!("127.0.0.1:{}", tree.ports.agent).parse().unwrap();
        handle.peer(&addr, None).await.unwrap();
        let up = timeout(LIMIT, status.next()).await.unwrap();
        assert!(matches!(up, Some(Status::PeerUp { .. })), "{up:?}");
        Self {
            handle,
            topic,
            events,
        }
    }

    /// The next answer to somebody's question for nodes.
    async fn next_nodes(&mut self) -> (String, ApiResult) {
        loop {
            let message = timeout(LIMIT, self.events.next()).await.unwrap().unwrap();
            let event = message.event().unwrap();
            if let Ok(AgentResponse::GetNodes { reqid, result }) = event.try_into() {
                return (reqid, result);
            }
        }
    }

    /// From the publication of a request to the arrival of its answer, one after the other.
    async fn latencies(&mut self, round: usize, counts: &Counts) -> Vec<Duration> {
        let mut times = Vec::new();
        for n in 0..counts.latencies {
            let reqid = format!("ask-{round}-{n}");
            let request = AgentRequest::GetNodes {
                reqid: reqid.clone(),
            };
            let request = Event::from(request).into_data();
            let start = Instant::now();
            let topic = self.topic.clone();
            self.handle.publish(topic, &request).await.unwrap();
            let (id, result) = self.next_nodes().await;
            times.push(start.elapsed());
            assert_eq!(id, reqid);
            let Some(Any::Data(Data::Vector(rows))) = result.data else {
                panic!("{result:?}");
            };
            assert!(rows.len() > usize::from(counts.nodes), "{rows:?}");
        }
        times
    }
}
