//! Zeek's Management framework: controller, agent and supervisor.
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program may say why it ends, and what it was asked for"
)]

mod agent;
mod ca;
mod controller;
mod log;
mod migrate;
mod plan;
mod settings;
mod tree;

use std::error::Error;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mgmt::io::{keyring, run};
use mgmt::settings::{Program, Role};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::AgentArgs;
use crate::ca::CaArgs;
use crate::controller::ControllerArgs;
use crate::migrate::MigrateArgs;
use crate::plan::PlanArgs;
use crate::settings::own_settings;
use crate::tree::{Below, NodeArgs, RunArgs, node_settings, own_units, supervise};

/// Runs Zeek clusters as Zeek's Management framework does, for the stock zeek-client.
///
/// Settings are stock's: environment variables such as ZEEK_AGENT_NAME, redef lines in scripts, and
/// options given as NAME=VALUE, such as Management::Agent::name=sensor-1. RUST_LOG sets what is
/// logged.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What `zeek -j` does with the same arguments: a supervisor, and below it controller and
    /// agent, as far as the scripts load them; both if there is no script.
    Run(RunArgs),
    /// Only a supervisor: starts and watches the nodes that an agent asks for.
    Supervisor(NodeArgs),
    /// Only a controller: what zeek-client talks to.
    Controller(ControllerArgs),
    /// Only an agent: runs a host's nodes through the supervisor.
    Agent(AgentArgs),
    /// Tells what deploying a cluster configuration would do, without doing it.
    ///
    /// The exit code is 0 if it could be deployed, 1 if not. Settings are the controller's.
    Plan(PlanArgs),
    /// Makes certificates, and tells what is in them.
    Ca(CaArgs),
    /// Tells what becomes of a host's `zeek -j` when `zeek-mgmt run` takes its place, without
    /// changing anything.
    ///
    /// The exit code is 0, with --check 1 if anything would be lost, and 2 if not everything could
    /// be looked at.
    Migrate(MigrateArgs),
}

/// Why there is nothing to run.
enum End {
    /// All that was asked for is done.
    Done,
    /// What the operator said is wrong.
    Wrong(Vec<String>),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::to_stderr();
    match start(cli.command) {
        Ok(Ok(code)) => code,
        Ok(Err(End::Done)) => ExitCode::SUCCESS,
        Ok(Err(End::Wrong(errors))) => {
            for error in errors {
                eprintln!("zeek-mgmt: {error}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            // What is wrong with files is told a line for each.
            for line in text.lines() {
                eprintln!("zeek-mgmt: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<Result<ExitCode, End>, Box<dyn Error>> {
    // One thread is plenty, and keeps each program at a few megabytes.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match command {
        Command::Run(_) | Command::Supervisor(_) | Command::Controller(_) | Command::Agent(_) => {
            outlive_hangups(&runtime)?;
        }
        Command::Plan(_) | Command::Ca(_) | Command::Migrate(_) => {}
    }
    match command {
        Command::Run(args) => {
            let node = match node_settings(args.node, Below::OwnPrograms) {
                Ok(node) => node,
                Err(end) => return Ok(Err(end)),
            };
            // Before anything listens: a child that cannot start would be started again and again.
            if !node.roles.is_empty() {
                keyring::check(&node.settings.tls, node.websocket_tls())?;
            }
            if node.roles.contains(&Role::Controller) {
                args.controller.choices().audit.check()?;
            }
            let own = own_units(&node, &args.controller, args.agent.choices(&node.zeek))?;
            runtime.block_on(supervise(node, own))?;
        }
        Command::Supervisor(args) => {
            let node = match node_settings(args, Below::Nothing) {
                Ok(node) => node,
                Err(end) => return Ok(Err(end)),
            };
            runtime.block_on(supervise(node, Vec::new()))?;
        }
        Command::Controller(args) => {
            match own_settings(args.settings, args.access, Program::Controller) {
                Ok((settings, rules)) => {
                    let choices = args.controller.choices();
                    runtime.block_on(run::controller(settings, choices, rules))?;
                }
                Err(end) => return Ok(Err(end)),
            }
        }
        Command::Agent(args) => match own_settings(args.settings, args.access, Program::Agent) {
            Ok((settings, rules)) => {
                let choices = args.agent.choices(Path::new("zeek"));
                runtime.block_on(run::agent(settings, choices, rules))?;
            }
            Err(end) => return Ok(Err(end)),
        },
        Command::Plan(args) => return plan::plan(args),
        Command::Ca(args) => return Ok(Ok(ca::ca(args)?)),
        Command::Migrate(args) => return Ok(Ok(migrate::migrate(args))),
    }
    Ok(Ok(ExitCode::SUCCESS))
}

/// A supervisor that is told to reload hangs up on all programs below it, also on one that has just
/// started. Nothing is reloaded before everything is read, but it must not end the program.
fn outlive_hangups(runtime: &Runtime) -> io::Result<()> {
    let _inside = runtime.enter();
    // The handler stays for good.
    signal(SignalKind::hangup()).map(drop)
}
