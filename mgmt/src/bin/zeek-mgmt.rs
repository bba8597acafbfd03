//! Zeek's Management framework: controller, agent and supervisor.
#![allow(clippy::print_stderr, reason = "a program may say why it ends")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use mgmt::api::{AGENT_SCRIPT, CONTROLLER_SCRIPT};
use mgmt::io::{run, sources};
use mgmt::settings::{Settings, TLS_PATHS, is_option};
use supervisor::api::{Layout, MANAGEMENT_NODE_VARIABLE, NodeConfig};
use supervisor::settings::STOCK_GRACE;
use supervisor::{GiveUp, OwnUnit, Policy, Settings as SupervisorSettings};
use tracing::warn;
use tracing_subscriber::EnvFilter;

/// Runs Zeek clusters as Zeek's Management framework does, for the stock zeek-client.
///
/// Settings are stock's: environment variables such as ZEEK_AGENT_NAME, and options given as
/// NAME=VALUE, such as Management::Agent::name=sensor-1. RUST_LOG sets what is logged.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A supervisor with controller and agent below it, as `zeek -j` with the Management scripts.
    Run(NodeArgs),
    /// Only a supervisor: starts and watches the nodes that an agent asks for.
    Supervisor(NodeArgs),
    /// Only a controller: what zeek-client talks to.
    Controller(SettingArgs),
    /// Only an agent: runs a host's nodes through the supervisor.
    Agent(SettingArgs),
}

#[derive(Debug, Args)]
struct NodeArgs {
    /// The zeek to run nodes with.
    #[arg(long, value_name = "PATH", default_value = "zeek")]
    zeek: PathBuf,
    #[command(flatten)]
    treatment: Treatment,
    /// Zeek scripts, options and NAME=VALUE settings; all of them reach every node.
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    args: Vec<String>,
}

/// How the supervisor treats what it runs.
#[derive(Debug, Args)]
struct Treatment {
    /// Seconds from SIGTERM to SIGKILL when a node stops.
    #[arg(long, value_name = "SECONDS", default_value_t = STOCK_GRACE.as_secs())]
    stop_grace: u64,
    /// Leave a node alone that died so often within so many seconds, as in 5/60; default: never.
    #[arg(long, value_name = "DEATHS/SECONDS", value_parser = give_up)]
    give_up: Option<GiveUp>,
    /// The version of Zeek that agents and nodes are of, as in 6.0; default: seen from what agents
    /// ask.
    #[arg(long, value_name = "VERSION", value_parser = zeek_version)]
    zeek_version: Option<Layout>,
}

impl Treatment {
    fn policy(&self) -> Policy {
        Policy {
            grace: Duration::from_secs(self.stop_grace),
            give_up: self.give_up,
            zeek: self.zeek_version,
        }
    }
}

fn zeek_version(text: &str) -> Result<Layout, String> {
    let error = || format!("'{text}' is not a version of Zeek since 4.0");
    Layout::of_version(text).ok_or_else(error)
}

fn give_up(text: &str) -> Result<GiveUp, String> {
    let error = || format!("'{text}' is not of the form DEATHS/SECONDS");
    let (failures, window) = text.split_once('/').ok_or_else(error)?;
    let window = window.parse().map_err(|_| error())?;
    Ok(GiveUp {
        failures: failures.parse().map_err(|_| error())?,
        window: Duration::from_secs(window),
    })
}

#[derive(Debug, Args)]
struct SettingArgs {
    /// Stock options as NAME=VALUE.
    #[arg(value_name = "NAME=VALUE", value_parser = assignment)]
    settings: Vec<(String, String)>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match start(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("zeek-mgmt: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<(), Box<dyn Error>> {
    // One thread is plenty, and keeps each program at a few megabytes.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match command {
        Command::Run(args) => {
            let settings = node_settings(&args)?;
            let own = own_units(&args, &settings)?;
            let supervised = supervise(args, &settings, own);
            runtime.block_on(supervisor::io::run::run(supervised, &settings.tls))?;
        }
        Command::Supervisor(args) => {
            let settings = node_settings(&args)?;
            let supervised = supervise(args, &settings, Vec::new());
            runtime.block_on(supervisor::io::run::run(supervised, &settings.tls))?;
        }
        Command::Controller(args) => {
            let settings = own_settings(args)?;
            runtime.block_on(run::controller(settings))?;
        }
        Command::Agent(args) => {
            let settings = own_settings(args)?;
            runtime.block_on(run::agent(settings))?;
        }
    }
    Ok(())
}

/// Settings for controller and agent alone: every argument is a stock option.
fn own_settings(args: SettingArgs) -> Result<Settings, Box<dyn Error>> {
    let sources = sources::sources(args.settings.into_iter().collect(), Path::new("zeek"));
    for option in sources.unknown_options() {
        warn!(option, "this option has no effect here");
    }
    Ok(Settings::resolve(&sources)?)
}

/// Settings among arguments that are meant for nodes too.
fn node_settings(args: &NodeArgs) -> Result<Settings, Box<dyn Error>> {
    let sources = sources::sources(assignments(&args.args), &args.zeek);
    Ok(Settings::resolve(&sources)?)
}

fn supervise(args: NodeArgs, settings: &Settings, own: Vec<OwnUnit>) -> SupervisorSettings {
    let NodeArgs {
        zeek,
        treatment,
        args,
    } = args;
    SupervisorSettings {
        listen: settings.supervisor.clone(),
        zeek,
        args,
        own,
        policy: treatment.policy(),
    }
}

/// Controller and agent; only one of them if only its script is named (API §1.1).
fn own_units(args: &NodeArgs, settings: &Settings) -> Result<Vec<OwnUnit>, Box<dyn Error>> {
    let names = |script: &str| args.args.iter().any(|arg| arg == script);
    let (controller, agent) = (names(CONTROLLER_SCRIPT), names(AGENT_SCRIPT));
    let program = std::env::current_exe()?;
    let state_dir = std::path::absolute(&settings.state_dir)?;
    let roles = [
        (
            "controller",
            "CONTROLLER",
            CONTROLLER_SCRIPT,
            &settings.controller.name,
            agent,
        ),
        (
            "agent",
            "AGENT",
            AGENT_SCRIPT,
            &settings.agent.name,
            controller,
        ),
    ];
    let mut own = Vec::new();
    for (command, role, script, name, other_named) in roles {
        if other_named && !names(script) {
            continue;
        }
        let mut node = NodeConfig::named(name);
        node.directory = Some(state_dir.join("nodes").join(name).display().to_string());
        node.bare_mode = Some(true);
        node.addl_base_scripts = vec![format!("{script}/main.zeek")];
        node.env
            .insert(MANAGEMENT_NODE_VARIABLE.into(), role.into());
        let mut argv = vec![program.display().to_string(), command.to_owned()];
        let mut options = assignments(&args.args);
        options.retain(|option, _| is_option(option));
        options.insert(
            "Management::state_dir".into(),
            state_dir.display().to_string(),
        );
        make_absolute(&mut options)?;
        argv.extend(
            options
                .into_iter()
                .map(|(option, value)| format!("{option}={value}")),
        );
        own.push(OwnUnit { node, argv });
    }
    Ok(own)
}

/// Controller and agent run in directories of their own, where relative paths lead elsewhere.
fn make_absolute(options: &mut BTreeMap<String, String>) -> std::io::Result<()> {
    for (option, value) in options {
        let path = value.trim_matches('"');
        if TLS_PATHS.contains(&option.as_str()) && !path.is_empty() {
            *value = std::path::absolute(path)?.display().to_string();
        }
    }
    Ok(())
}

fn assignments(args: &[String]) -> BTreeMap<String, String> {
    args.iter().filter_map(|arg| assignment(arg).ok()).collect()
}

/// `Module::name=value`, as Zeek's own command line takes it.
fn assignment(arg: &str) -> Result<(String, String), String> {
    let error = || format!("'{arg}' is not a setting of the form NAME=VALUE");
    let (name, value) = arg.split_once('=').ok_or_else(error)?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(word)
    {
        return Err(error());
    }
    Ok((name.to_owned(), value.to_owned()))
}
