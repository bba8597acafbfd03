//! The running program with a small cluster: how long each thing that an operator can ask for takes.
//! `benches/README.md` says more.
//!
//! `zeek-mgmt run` starts controller, agent and supervisor as in production, with the stand-in in
//! the place of `zeek`. The client is this process, over WebSocket. If `ZEEK_BIN` names a Zeek, its
//! nodes take the place of the stand-in's, and its own `zeek -j` is asked the same in turns with us.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark's inputs are its own, and it reads the clock"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use cluster::{assert_success, configuration, resident};
use figures::{millis, percentiles};
use harness::binaries;
use harness::ports;
use harness::processes::processor_time;
use harness::tree::{Management, Options, Tree};
use harness::wait_until;
use harness::websocket::WebSocket;
use mgmt::api::ApiResult;
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use mgmt::model::{Configuration, NodeStatus, Role, State};

mod cluster;
mod figures;

/// How often each thing is done.
struct Counts {
    turns: usize,
    deployments: usize,
    queries: usize,
}

const MEASURE: Counts = Counts {
    turns: 1,
    deployments: 20,
    queries: 500,
};

/// With nodes of a real Zeek, of which each takes half a second to start.
const MEASURE_LIVE: Counts = Counts {
    turns: 3,
    deployments: 3,
    queries: 50,
};

/// Only to see that it works, as `cargo test --benches` does.
const TRY: Counts = Counts {
    turns: 1,
    deployments: 1,
    queries: 1,
};

const SIZES: [u16; 2] = [4, 8];

/// With nodes of a real Zeek, from a deployment without nodes to the next one: until then a stock
/// agent takes that amiss (API §12.2, D31 and D32).
const REST: Duration = Duration::from_secs(8);

/// What nodes of Zeek load.
const NODE_SCRIPT: &str = "policy/frameworks/management/node";

fn main() {
    let measures = std::env::args().any(|arg| arg == "--bench");
    let zeek = binaries::live_zeek();
    let counts = match (measures, &zeek) {
        (true, None) => MEASURE,
        (true, Some(_)) => MEASURE_LIVE,
        (false, _) => TRY,
    };
    let (mut ours, mut stock) = (Found::default(), Found::default());
    for _ in 0..counts.turns {
        run(Management::Ours, zeek.clone(), &counts, &mut ours);
        if zeek.is_some() {
            run(Management::Stock, zeek.clone(), &counts, &mut stock);
        }
    }
    ours.tell();
    if zeek.is_some() {
        println!("a controller, agent and supervisor of stock");
        stock.tell();
    }
}

fn run(management: Management, zeek: Option<PathBuf>, counts: &Counts, found: &mut Found) {
    let tree = Tree::start(&Options {
        programs: Some(binaries::up_to_date().unwrap()),
        zeek: zeek.clone(),
        management,
        ..Options::default()
    })
    .unwrap();
    let mut client = Client {
        socket: WebSocket::subscribed(tree.ports.websocket).unwrap(),
        asked: 0,
        zeek,
    };
    for nodes in SIZES {
        measure(&tree, &mut client, nodes, counts, |what, times| {
            found.add(format!("{nodes} nodes, {what}"), times);
        });
        if management == Management::Ours {
            println!("{nodes} nodes, resident: {}", resident(&tree));
        }
    }
    tree.stop().unwrap();
}

/// All turns, in the order of the first.
#[derive(Default)]
struct Found(Vec<(String, Vec<Duration>)>);

impl Found {
    fn add(&mut self, what: String, times: Vec<Duration>) {
        match self.0.iter_mut().find(|(known, _)| *known == what) {
            Some((_, all)) => all.extend(times),
            None => self.0.push((what, times)),
        }
    }

    fn tell(self) {
        for (what, times) in self.0 {
            println!("{what}: {}", percentiles(times));
        }
    }
}

fn measure(
    tree: &Tree,
    client: &mut Client,
    nodes: u16,
    counts: &Counts,
    mut tell: impl FnMut(&str, Vec<Duration>),
) {
    deployments(tree, client, nodes, counts.deployments, &mut tell);
    let first_port = ports::free(nodes);
    client.stage(configuration(2 * counts.deployments, nodes, first_port));
    client.deploy();
    for (what, request) in queries() {
        let times = (0..counts.queries).map(|_| client.ask(request));
        tell(what, times.collect());
    }
    let stage = (0..counts.queries).map(|n| client.stage(configuration(n, nodes, first_port)));
    tell("stage-config", stage.collect());
    let all: BTreeSet<String> = client.nodes().into_keys().collect();
    for (what, nodes) in [("one", all.iter().take(1).cloned().collect()), ("all", all)] {
        let rounds = (0..counts.deployments).map(|_| client.restart(&nodes));
        let (answered, back): (Vec<_>, Vec<_>) = rounds.unzip();
        tell(&format!("restart of {what}"), answered);
        tell(&format!("restart of {what}, until they run again"), back);
    }
}

fn deployments(
    tree: &Tree,
    client: &mut Client,
    nodes: u16,
    rounds: usize,
    mut tell: impl FnMut(&str, Vec<Duration>),
) {
    let first_port = ports::free(nodes);
    let (mut fresh, mut again, mut stop) = (Vec::new(), Vec::new(), Vec::new());
    let mut share = Duration::ZERO;
    for round in 0..rounds {
        client.prepare();
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
    // Stock's agent is a `zeek` like its nodes.
    if tree.agent_pid().is_some() {
        let share = millis(share) / rounds as f64;
        println!(
            "{nodes} nodes, agent and supervisor: {share:.1} ms of a processor for a deployment"
        );
    }
    tell("deploy, as many nodes before", again);
    tell("deploy of no nodes", stop);
}

/// What agent and supervisor have used of all cores.
fn own_time(tree: &Tree) -> Duration {
    let pids = tree.agent_pid().into_iter().chain([tree.pid()]);
    let times = pids.map(processor_time);
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
    zeek: Option<PathBuf>,
}

impl Client {
    fn stage(&mut self, config: Configuration) -> Duration {
        self.ask(|reqid| ControllerRequest::StageConfiguration { reqid, config })
    }

    fn deploy(&mut self) -> Duration {
        self.ask(|reqid| ControllerRequest::Deploy { reqid })
    }

    /// Lets the agent have its peace, and the system what a node of Zeek reads, which it has anyway
    /// where Zeeks run that are controller and agent. Stock closes a connection that does not
    /// answer pings.
    fn prepare(&mut self) {
        let Some(zeek) = self.zeek.clone() else {
            return;
        };
        wait_until::<()>(REST, || {
            self.ask(|reqid| ControllerRequest::GetInstances { reqid });
            None
        });
        let mut parsing = Command::new(zeek);
        parsing.args(["--parse-only", NODE_SCRIPT]);
        assert!(parsing.status().unwrap().success());
    }

    /// Until the answer, and until `get-nodes` tells that all of them run as other processes.
    fn restart(&mut self, nodes: &BTreeSet<String>) -> (Duration, Duration) {
        let before = self.nodes();
        let start = Instant::now();
        let answered = self.ask(|reqid| ControllerRequest::Restart {
            reqid,
            nodes: nodes.clone(),
        });
        while !runs_anew(&before, &self.nodes(), nodes) {}
        (answered, start.elapsed())
    }

    fn nodes(&mut self) -> BTreeMap<String, NodeStatus> {
        let (_, results) = self.timed(|reqid| ControllerRequest::GetNodes { reqid });
        let lists = results.into_iter().map(|result| result.data.unwrap());
        let status = lists.flat_map(|list| list.read::<Vec<NodeStatus>>().unwrap());
        let nodes = status.filter(|status| status.mgmt_role == Role::None);
        nodes.map(|status| (status.node.clone(), status)).collect()
    }

    fn ask(&mut self, request: impl FnOnce(String) -> ControllerRequest) -> Duration {
        self.timed(request).0
    }

    /// From the write of a request to the read of its answer, which is of success.
    fn timed(
        &mut self,
        request: impl FnOnce(String) -> ControllerRequest,
    ) -> (Duration, Vec<ApiResult>) {
        self.asked += 1;
        let request = request(format!("ask-{}", self.asked));
        let start = Instant::now();
        let answer = self.socket.answer(&request).unwrap();
        let time = start.elapsed();
        let results = match answer {
            ControllerResponse::GetConfiguration { result, .. }
            | ControllerResponse::GetInstances { result, .. } => vec![result],
            ControllerResponse::StageConfiguration { results, .. }
            | ControllerResponse::Deploy { results, .. }
            | ControllerResponse::GetNodes { results, .. }
            | ControllerResponse::GetIdValue { results, .. }
            | ControllerResponse::Restart { results, .. } => results,
            ControllerResponse::TestTimeout { .. } => panic!("nobody asked for that"),
        };
        assert_success(&results);
        (time, results)
    }
}

/// Whether all of these run, and none as the process that it was.
fn runs_anew(
    before: &BTreeMap<String, NodeStatus>,
    now: &BTreeMap<String, NodeStatus>,
    nodes: &BTreeSet<String>,
) -> bool {
    nodes.iter().all(|node| {
        let (Some(before), Some(now)) = (before.get(node), now.get(node)) else {
            return false;
        };
        now.state == State::Running && now.pid != before.pid
    })
}
