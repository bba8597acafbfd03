//! A controller under a fleet: a thousand simulated agents and a client, and what that costs.
//! `benches/README.md` says more.
//!
//! The agents are one thread of this process, each with a Broker connection of its own over loopback.
//! The controller is the program as operators run it; what it takes is read from `/proc`.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it measures real processes by the clock, and says what it found"
)]

use std::error::Error;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use harness::binaries;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use agents::{Origin, Protection, Shape};
use controller::Program;
use measure::Counts;
use report::Figure;

mod agents;
mod client;
mod controller;
mod measure;
mod plot;
mod report;
mod wire;

/// Simulated agents around a running controller.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// All sizes: 10, 100, 1,000 agents with 1, 16, 64 nodes each
    Table(Common),
    /// One size
    Run(Size),
    /// One size, while one agent reads nothing or answers late
    Isolation(Size),
    /// `get-nodes` of 100 and of 1,000 agents in turns, and how it grows
    Growth {
        /// How many nodes each of them has
        #[arg(long, default_value_t = 8)]
        nodes: usize,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Size {
    /// How many agents
    #[arg(long, default_value_t = 1000)]
    agents: usize,
    /// How many nodes each of them has
    #[arg(long, default_value_t = 16)]
    nodes: usize,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Debug, Args)]
struct Common {
    /// Agents dial with TLS, as Zeek does without certificates
    #[arg(long)]
    tls: bool,
    /// All agents have one address, as behind NAT; so they have with TLS
    #[arg(long)]
    one_address: bool,
    /// Milliseconds from a request to an agent's answer
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// Of a hundred requests to an agent, so many fail
    #[arg(long, default_value_t = 0)]
    failing: u64,
    /// How often each thing is asked, one after the other
    #[arg(long, default_value_t = 20)]
    requests: usize,
    /// How many are asked at once
    #[arg(long, default_value_t = 20)]
    pipelined: usize,
    /// How often a configuration is deployed
    #[arg(long, default_value_t = 3)]
    deployments: usize,
    /// For how many seconds nothing is asked
    #[arg(long, default_value_t = 10)]
    idle: u64,
    /// An option of the controller, as in `--option=--limit --option=links=4096`
    #[arg(long = "option", allow_hyphen_values = true)]
    options: Vec<String>,
    /// The zeek-mgmt to measure, such as an earlier one; the one of this tree is built otherwise
    #[arg(long)]
    program: Option<PathBuf>,
    /// Where fleet.csv and fleet.svg go
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Common {
    fn shape(&self, agents: usize, nodes: usize) -> Shape {
        let (protection, origin) = match (self.tls, self.one_address) {
            (true, _) => (Protection::Tls, Origin::OneAddress),
            (false, true) => (Protection::Cleartext, Origin::OneAddress),
            (false, false) => (Protection::Cleartext, Origin::OwnAddress),
        };
        Shape {
            agents,
            nodes,
            protection,
            origin,
            delay: Duration::from_millis(self.delay),
            failing: self.failing,
        }
    }

    fn counts(&self) -> Counts {
        Counts {
            requests: self.requests,
            pipelined: self.pipelined,
            deployments: self.deployments,
            idle: Duration::from_secs(self.idle),
        }
    }

    fn program(&self, agents: usize, nodes: usize) -> io::Result<Program> {
        let mut options = self.options.clone();
        if agents * nodes > WITHIN_DEFAULTS {
            options.extend(LARGE.iter().map(|&option| option.to_owned()));
        }
        let path = match &self.program {
            Some(path) => path.clone(),
            None => binaries::up_to_date()?.mgmt,
        };
        Ok(Program { path, options })
    }
}

/// Of so many nodes, several answers at once are within the usual limits.
const WITHIN_DEFAULTS: usize = 800;

/// What an operator sets for more: answers are some 600 bytes a node, and this client asks for many
/// before it has read the first.
const LARGE: [&str; 4] = [
    "--limit",
    "client_outbox_bytes=536870912",
    "--limit",
    "all_outboxes_bytes=536870912",
];

/// A message with more is refused, whatever its length (API §16).
const MOST_NODES: usize = 25_000;

const SIZES: [usize; 3] = [10, 100, 1000];
const NODES: [usize; 3] = [1, 16, 64];

/// The numbers of agents between which growth is measured.
const GROWTH: [usize; 2] = [100, 1000];

/// The lines of the plot.
const PLOTTED: [&str; 2] = ["get-nodes", "deploy"];

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut figures: Vec<Figure> = Vec::new();
    let mut tell = |figure: Figure| {
        println!("{}", figure.line());
        figures.push(figure);
    };
    println!("{}", report::HEAD);
    let common = match options.task {
        Task::Table(common) => {
            descriptors(SIZES.into_iter().max().unwrap_or_default())?;
            for agents in SIZES {
                for nodes in NODES {
                    if agents * nodes > MOST_NODES {
                        println!("{agents:6} {nodes:5}  more nodes than one request may have");
                        continue;
                    }
                    let shape = common.shape(agents, nodes);
                    let program = common.program(agents, nodes)?;
                    measure::all(shape, common.counts(), &program, &mut tell)?;
                }
            }
            common
        }
        Task::Run(Size {
            agents,
            nodes,
            common,
        }) => {
            descriptors(agents)?;
            let program = common.program(agents, nodes)?;
            let shape = common.shape(agents, nodes);
            measure::all(shape, common.counts(), &program, &mut tell)?;
            common
        }
        Task::Isolation(Size {
            agents,
            nodes,
            common,
        }) => {
            descriptors(agents)?;
            let program = common.program(agents, nodes)?;
            let shape = common.shape(agents, nodes);
            measure::isolation(shape, common.counts(), &program, &mut tell)?;
            common
        }
        Task::Growth { nodes, common } => {
            descriptors(GROWTH.into_iter().sum())?;
            let fleets = GROWTH.map(|agents| {
                let program = common.program(agents, nodes)?;
                Ok((common.shape(agents, nodes), program))
            });
            let fleets: io::Result<Vec<_>> = fleets.into_iter().collect();
            measure::growth(&fleets?, common.counts(), &mut tell)?;
            common
        }
    };
    print!("{}", report::exponents(&figures));
    if let Some(folder) = common.out {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("fleet.csv"), report::csv(&figures))?;
        fs::write(folder.join("fleet.svg"), plot::svg(&figures, &PLOTTED))?;
    }
    Ok(())
}

/// Both ends of each agent's connection are on this machine, but each process counts for itself.
fn descriptors(agents: usize) -> Result<(), String> {
    const OTHERS: usize = 256;
    let wanted = u64::try_from(agents + OTHERS).unwrap_or(u64::MAX);
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        let maximum = limit.maximum.unwrap_or_default();
        return Err(format!(
            "{agents} agents need {wanted} open files, and the system allows {maximum} \
             (`ulimit -H -n`); the controller needs as many"
        ));
    }
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit })
        .map_err(|error| format!("the limit of open files stays as it is: {error}"))
}
