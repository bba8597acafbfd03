//! `cargo chaos`: real processes on a real kernel, while things go wrong.
//!
//! A controller and some sensors, each in a network namespace with a disk and a clock of its own, are
//! used by the stock zeek-client while faults, drawn from a seed, befall them. After each round of
//! faults everything must be as promised within a stated time. `--soak` has no faults, and looks
//! whether the programs grow. Not part of the test run; `tests/README.md` says more.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a program that waits for real processes and prints"
)]

mod clock;
mod cluster;
mod configuration;
mod fault;
mod host;
mod load;
mod logs;
mod look;
mod network;
mod picture;
mod program;
mod record;
mod run;
mod survey;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use harness::binaries::BuildDir;

use crate::cluster::Place;
use crate::run::Run;

/// Real processes on a real kernel, while things go wrong. Exit code 0 if every promise was kept,
/// 1 if not, 2 if it could not be tried.
#[derive(Debug, Parser)]
#[command(name = "zeek-mgmt-chaos")]
struct Arguments {
    /// How long faults are injected
    #[arg(long, default_value_t = 5, value_name = "MINUTES")]
    minutes: u64,
    /// What is drawn from; the same seed plans the same faults
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How many sensors, besides the controller
    #[arg(long, default_value_t = 3, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=20))]
    sensors: u8,
    /// No faults, but a steady life of so many minutes, with curves of memory and descriptors
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// Only faults whose name, as in the report, contains one of these
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// No namespaces: hosts are ports of 127.0.0.1, and neither links nor disks fail
    #[arg(long)]
    loopback: bool,
    /// Where logs, curves and the report go; `target/chaos` if not given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match tried(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("zeek-mgmt-chaos: {error}");
            ExitCode::from(2)
        }
    }
}

fn tried(arguments: &Arguments) -> io::Result<bool> {
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => BuildDir::current()?.target().join("chaos"),
    };
    let logs = logs::anew(&out)?;
    let seed = arguments.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs())
    });
    println!(
        "seed {seed}, {} sensors; logs in {}",
        arguments.sensors,
        logs.display()
    );
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let place = match arguments.loopback {
        true => Place::Loopback,
        false => Place::Namespaces,
    };
    let mut run = Run::start(seed, arguments.sensors, place, &out)?;
    run.only(&arguments.only)?;
    match arguments.soak {
        Some(soak) => run.soak(minutes(soak))?,
        None => run.chaos(minutes(arguments.minutes))?,
    }
    let (report, is_kept) = run.end()?;
    println!("\n{report}");
    fs::write(out.join("report.md"), report)?;
    Ok(is_kept)
}
