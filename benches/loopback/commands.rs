//! The running program with a small cluster: how long each thing that an operator can ask for takes.
//! `benches/README.md` says more.
//!
//! `zeek-mgmt run` starts controller, agent and supervisor as in production, with the stand-in in
//! the place of `zeek`. The client is this process, over WebSocket.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark's inputs are its own, and it reads the clock"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cluster::{assert_success, configuration, resident};
use figures::{millis, percentiles};
use harness::binaries;
use harness::ports;
use harness::processes::processor_time;
use harness::tree::{Options, Tree};
use harness::websocket::WebSocket;
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use mgmt::model::Configuration;

mod cluster;
mod figures;

/// How often each thing is done.
struct Counts {
    deployments: usize,
    queries: usize,
}

const MEASURE: Counts = Counts {
    deployments: 20,
    queries: 500,
};

/// Only to see that it works, as `cargo test --benches` does.
const TRY: Counts = Counts {
    deployments: 1,
    queries: 1,
};

const SIZES: [u16; 2] = [4, 8];

fn main() {
    let measures = std::env::args().any(|arg| arg == "--bench");
    let counts = if measures { MEASURE } else { TRY };
    let tree = Tree::start(&Options {
        programs: Some(binaries::up_to_date().unwrap()),
        ..Options::default()
    })
    .unwrap();
    let mut client = Client {
        socket: WebSocket::subscribed(tree.ports.websocket).unwrap(),
        asked: 0,
    };
    for nodes in SIZES {
        println!("{nodes} nodes");
        measure(&tree, &mut client, nodes, &counts);
        println!("resident: {}", resident(&tree));
    }
    tree.stop().unwrap();
}

fn measure(tree: &Tree, client: &mut Client, nodes: u16, counts: &Counts) {
    let first_port = ports::free(nodes);
    let (mut fresh, mut again, mut stop) = (Vec::new(), Vec::new(), Vec::new());
    let mut share = Duration::ZERO;
    for round in 0..counts.deployments {
        client.stage(configuration(2 * round, nodes, first_port));
        let before = own_time(tree);
        fresh.push(client.deploy());
        share += own_time(tree) - before;
        client.stage(configuration(2 * round + 1, nodes, first_port));
        again.push(client.deploy());
        client.stage(configuration(2 * round, 0, first_port));
        stop.push(client.deploy());
    }
    tell("deploy, no nodes before", fresh);
    let share = millis(share) / counts.deployments as f64;
    println!("processor time of agent and supervisor for that: {share:.1} ms");
    tell("deploy, as many nodes before", again);
    tell("deploy of no nodes", stop);

    client.stage(configuration(2 * counts.deployments, nodes, first_port));
    client.deploy();
    for (what, request) in queries() {
        let times = (0..counts.queries).map(|_| client.ask(request));
        tell(what, times.collect());
    }
    let stage = (0..counts.queries).map(|n| client.stage(configuration(n, nodes, first_port)));
    tell("stage-config", stage.collect());
    for (what, nodes) in [
        ("restart of one", vec!["node-00"]),
        ("restart of all", vec![]),
    ] {
        let nodes: BTreeSet<String> = nodes.into_iter().map(str::to_owned).collect();
        let times = (0..counts.deployments).map(|_| {
            client.ask(|reqid| ControllerRequest::Restart {
                reqid,
                nodes: nodes.clone(),
            })
        });
        tell(what, times.collect());
    }
}

/// What agent and supervisor have used of all cores.
fn own_time(tree: &Tree) -> Duration {
    let pids = [tree.agent_pid().unwrap(), tree.pid()];
    let times = pids.into_iter().map(processor_time);
    times.map(Option::unwrap).sum()
}

type Request = fn(String) -> ControllerRequest;

fn queries() -> [(&'static str, Request); 4] {
    [
        ("get-instances", |reqid| ControllerRequest::GetInstances {
            reqid,
        }),
        ("get-nodes", |reqid| ControllerRequest::GetNodes { reqid }),
        ("get-config", |reqid| ControllerRequest::GetConfiguration {
            reqid,
            deployed: true,
        }),
        ("get-id-value", |reqid| ControllerRequest::GetIdValue {
            reqid,
            id: "Broker::default_port".to_owned(),
            nodes: BTreeSet::new(),
        }),
    ]
}

struct Client {
    socket: WebSocket,
    asked: usize,
}

impl Client {
    fn stage(&mut self, config: Configuration) -> Duration {
        self.ask(|reqid| ControllerRequest::StageConfiguration { reqid, config })
    }

    fn deploy(&mut self) -> Duration {
        self.ask(|reqid| ControllerRequest::Deploy { reqid })
    }

    /// From the write of a request to the read of its answer, which is of success.
    fn ask(&mut self, request: impl FnOnce(String) -> ControllerRequest) -> Duration {
        self.asked += 1;
        let request = request(format!("ask-{}", self.asked));
        let start = Instant::now();
        let answer = self.socket.answer(&request).unwrap();
        let time = start.elapsed();
        match answer {
            ControllerResponse::GetConfiguration { result, .. }
            | ControllerResponse::GetInstances { result, .. } => assert_success(&[result]),
            ControllerResponse::StageConfiguration { results, .. }
            | ControllerResponse::Deploy { results, .. }
            | ControllerResponse::GetNodes { results, .. }
            | ControllerResponse::GetIdValue { results, .. }
            | ControllerResponse::Restart { results, .. } => assert_success(&results),
            ControllerResponse::TestTimeout { .. } => panic!("nobody asked for that"),
        }
        time
    }
}

fn tell(what: &str, times: Vec<Duration>) {
    println!("{what}: {}", percentiles(times));
}
