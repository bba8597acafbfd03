//! `cargo demo`: a cluster from nothing and back to nothing, with the stock zeek-client.
//!
//! It builds `zeek-mgmt`, installs zeek-client below `target/`, starts a whole tree on free ports
//! in a temporary directory, deploys a cluster, looks at it, restarts it, stops everything, and
//! measures. The exit code is 0 only if every node came up, every command succeeded and no process
//! is left. With no `zeek` on the PATH the stand-in of this workspace takes its place, and the
//! first lines say so.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that waits for real processes and prints"
)]

mod cluster;

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cluster::{Nodes, Role};
use harness::tree::{Options, Tree};
use harness::{binaries, client, cluster as configuration, processes, wait_until};

const HELP: &str = "\
cargo demo: deploys a small Zeek cluster with zeek-mgmt and the stock zeek-client.

Needs python3 with venv and, once, the network for zeek-client. Everything it writes is below
target/ and in a temporary directory that it removes. Listens on 127.0.0.1 only, on free ports.
Uses the `zeek` found on the PATH; without one, a stand-in that speaks to the supervisor and the
agent as Zeek does, but analyses nothing.

Options:
  --standin  use the stand-in even if there is a `zeek`
  --help     print this
";

/// The cluster to deploy.
const NODES: [(&str, &str); 5] = [
    ("manager", "manager"),
    ("logger-01", "logger"),
    ("proxy-01", "proxy"),
    ("worker-01", "worker"),
    ("worker-02", "worker"),
];

/// What the same processes of Zeek 8.0.10 take, in MB, and their start in ms, on one machine.
const STOCK_RESIDENT: [(&str, u64); 3] = [("controller", 67), ("agent", 65), ("supervisor", 68)];
const STOCK_STARTUP_MS: u64 = 430;

/// Real nodes read many scripts.
const RESTART_LIMIT: Duration = Duration::from_secs(60);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Which program the nodes run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Zeek {
    /// The one on the PATH, if there is one.
    Found,
    /// The stand-in.
    StandIn,
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let zeek = match args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => Zeek::Found,
        ["--standin"] => Zeek::StandIn,
        ["--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match demo(zeek) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo(zeek: Zeek) -> Outcome<()> {
    let tree = start(zeek)?;
    let measured = tour(&tree).and_then(|()| Measured::of(&tree));
    let startup = tree.startup;
    // The tree is stopped whatever happened before, and what happened first is reported first.
    let stopped = tree.stop();
    let measured = measured?;
    stopped?;
    say("stopped; no process is left");
    measured.print(startup);
    Ok(())
}

fn start(zeek: Zeek) -> Outcome<Tree> {
    say("building zeek-mgmt and zeek-standin");
    binaries::built()?;
    say(&format!("setting up zeek-client {}", client::VERSION));
    client::ZeekClient::installed()?;
    let zeek = match zeek {
        Zeek::Found => on_path("zeek"),
        Zeek::StandIn => None,
    };
    match &zeek {
        Some(path) => say(&format!("nodes run {}", path.display())),
        None => say("nodes run zeek-standin, which is not Zeek: it analyses nothing"),
    }
    let tree = Tree::start(&Options {
        zeek,
        ..Options::default()
    })?;
    say(&format!(
        "zeek-mgmt run has process id {}; its agent is connected",
        tree.pid()
    ));
    Ok(tree)
}

/// What an operator would do with a new cluster.
fn tour(tree: &Tree) -> Outcome<()> {
    let config = tree.write("cluster.ini", &configuration::ini(&NODES))?;
    let config = config.to_string_lossy().into_owned();
    show(tree, &["get-instances"])?;
    show(tree, &["deploy-config", &config])?;
    let before = Nodes::parse(&show(tree, &["get-nodes"])?)?;
    before.check_running()?;
    show(tree, &["get-id-value", "bits_per_uid"])?;
    show(tree, &["restart"])?;
    say("waiting until all nodes are RUNNING again");
    wait_until(RESTART_LIMIT, || is_restarted(tree, &before).then_some(()));
    let after = Nodes::parse(&show(tree, &["get-nodes"])?)?;
    after.check_running()?;
    after.check_replaced(&before)
}

fn is_restarted(tree: &Tree, before: &Nodes) -> bool {
    let nodes = tree.client(&["get-nodes"]);
    let nodes = nodes.ok().and_then(|done| Nodes::parse(&done.stdout).ok());
    nodes.is_some_and(|nodes| nodes.check_running().is_ok() && nodes.check_replaced(before).is_ok())
}

/// Runs a command of the stock client and prints it with its output.
fn show(tree: &Tree, args: &[&str]) -> Outcome<String> {
    println!("\n$ zeek-client {}", args.join(" "));
    let done = tree.client(args)?;
    print!("{}", done.stdout);
    eprint!("{}", done.stderr);
    if done.code != Some(0) {
        return Err(format!("zeek-client {} ended with {:?}", args.join(" "), done.code).into());
    }
    Ok(done.stdout)
}

fn say(text: &str) {
    println!("== {text}");
}

fn on_path(program: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let mut paths = env::split_paths(&folders).map(|folder| folder.join(program));
    paths.find(|path: &PathBuf| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Memory of the three management processes, in KiB, by name.
struct Measured(Vec<(&'static str, u64)>);

impl Measured {
    fn of(tree: &Tree) -> Outcome<Self> {
        let nodes = Nodes::parse(&tree.client(&["get-nodes"])?.stdout)?;
        let measured = STOCK_RESIDENT.iter().map(|&(name, _)| {
            let pid = match name {
                "controller" => nodes.pid_of(Role::Controller),
                "agent" => nodes.pid_of(Role::Agent),
                _ => Some(tree.pid()),
            };
            let resident = pid.and_then(processes::resident_kib);
            let resident = resident.ok_or_else(|| format!("no {name} among the processes"))?;
            Ok::<_, Box<dyn Error>>((name, resident))
        });
        Ok(Self(measured.collect::<Outcome<_>>()?))
    }

    fn print(&self, startup: Duration) {
        println!();
        for ((name, kib), (_, stock)) in self.0.iter().zip(STOCK_RESIDENT) {
            let mb = kib * 1024 / 100_000;
            let (whole, tenth) = (mb / 10, mb % 10);
            println!("{name}: {whole}.{tenth} MB resident (stock: {stock} MB)");
        }
        let startup = startup.as_millis();
        println!("start to listening WebSocket port: {startup} ms (stock: {STOCK_STARTUP_MS} ms)");
    }
}
