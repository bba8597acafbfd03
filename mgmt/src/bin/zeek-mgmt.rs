//! Zeek's Management framework: controller, agent and supervisor.
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program may say why it ends, and what it was asked for"
)]

use std::collections::BTreeSet;
use std::error::Error;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use mgmt::agent::node_script::NodeScript;
use mgmt::api::{AGENT_SCRIPT, CONTROLLER_SCRIPT};
use mgmt::io::node_script::wanted_by;
use mgmt::io::run::{self, AgentChoices, FormerNodes};
use mgmt::io::sources::{self, Reader, Said};
use mgmt::plan::cluster::Cluster;
use mgmt::plan::target::Hints;
use mgmt::plan::{Plan, show};
use mgmt::settings::arguments::{self, Arguments};
use mgmt::settings::{Deploying, Program, Role, Settings, StartOrder, Unchanged};
use supervisor::api::{Layout, MANAGEMENT_NODE_VARIABLE, NodeConfig};
use supervisor::settings::STOCK_GRACE;
use supervisor::{GiveUp, Outputs, OwnUnit, Policy, Settings as SupervisorSettings};
use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
    Controller(SettingArgs),
    /// Only an agent: runs a host's nodes through the supervisor.
    Agent(AgentArgs),
    /// Tells what deploying a cluster configuration would do, without doing it.
    ///
    /// The exit code is 0 if it could be deployed, 1 if not. Settings are the controller's.
    Plan(PlanArgs),
}

#[derive(Debug, Args)]
struct NodeArgs {
    /// The zeek to run nodes with; without it, the one in PATH.
    #[arg(long, value_name = "PATH")]
    zeek: Option<PathBuf>,
    #[command(flatten)]
    treatment: Treatment,
    #[command(flatten)]
    read: ReadArgs,
    /// Zeek scripts, options of zeek and NAME=VALUE settings; all of them reach every node.
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
    fn policy(&self, outputs: Outputs) -> Policy {
        Policy {
            outputs,
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
struct RunArgs {
    #[command(flatten)]
    agent: AgentOptions,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Debug, Args)]
struct AgentArgs {
    #[command(flatten)]
    agent: AgentOptions,
    #[command(flatten)]
    settings: SettingArgs,
}

/// What stock's agent has no setting for.
#[derive(Debug, Args)]
struct AgentOptions {
    /// What nodes load to talk to the agent: Zeek's own script, `stock`, or ours, `own`; default:
    /// Zeek's own, unless its scripts are there without it.
    #[arg(long, value_name = "stock|own", value_parser = node_script)]
    node_script: Option<NodeScript>,
    /// Leave nodes running about which a deployment changes nothing.
    #[arg(long)]
    keep_unchanged: bool,
    /// Start managers when all loggers of this host are up or have failed, then proxies, then
    /// workers.
    #[arg(long)]
    start_by_role: bool,
    /// When the agent alone is restarted it goes on with its nodes; default, as stock: they are
    /// replaced.
    #[arg(long)]
    adopt_nodes: bool,
}

impl AgentOptions {
    fn choices(&self, zeek: &Path) -> AgentChoices {
        let start = match self.start_by_role {
            true => StartOrder::RoleByRole,
            false => StartOrder::Together,
        };
        AgentChoices {
            node_script: self.node_script.unwrap_or_else(|| wanted_by(zeek)),
            deploying: Deploying {
                unchanged: unchanged(self.keep_unchanged),
                start,
            },
            former_nodes: match self.adopt_nodes {
                true => FormerNodes::Adopt,
                false => FormerNodes::Forget,
            },
        }
    }
}

fn unchanged(keep: bool) -> Unchanged {
    match keep {
        true => Unchanged::Keep,
        false => Unchanged::Restart,
    }
}

fn node_script(text: &str) -> Result<NodeScript, String> {
    let error = || format!("'{text}' is neither stock nor own");
    NodeScript::from_name(text).ok_or_else(error)
}

#[derive(Debug, Args)]
struct SettingArgs {
    #[command(flatten)]
    read: ReadArgs,
    /// Stock options as NAME=VALUE.
    #[arg(value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

#[derive(Debug, Args)]
struct ReadArgs {
    /// Take settings from the redef lines of this Zeek script and of what it loads; nodes do not
    /// get it. May be given more than once.
    #[arg(long, value_name = "FILE")]
    redef: Vec<String>,
    /// Print all settings, each with where it comes from, and end.
    #[arg(long)]
    show_settings: bool,
}

/// Why there is nothing to run.
enum End {
    /// All that was asked for is done.
    Done,
    /// What the operator said is wrong.
    Wrong(Vec<String>),
}

#[derive(Debug, Args)]
struct PlanArgs {
    /// Where the controller's WebSocket port is: HOST, HOST:PORT or :PORT.
    ///
    /// Without it, as zeek-client: ZEEK_CLIENT_CONFIG_SETTINGS, ZEEK_CLIENT_CONFIG_FILE; else the
    /// controller of this host.
    #[arg(long, value_name = "HOST:PORT")]
    controller: Option<String>,
    /// Print JSON.
    #[arg(long)]
    as_json: bool,
    /// The agents run with --keep-unchanged.
    #[arg(long)]
    keep_unchanged: bool,
    /// The configuration, as for zeek-client; '-' for standard input.
    #[arg(value_name = "CONFIG.ini")]
    config: PathBuf,
    #[command(flatten)]
    settings: SettingArgs,
}

/// As RUST_LOG says, such as `debug` or `info,mgmt=trace`.
fn log_to_stderr() {
    let wanted = std::env::var_os("RUST_LOG").filter(|text| !text.is_empty());
    let wanted = wanted.map(|text| text.to_string_lossy().into_owned());
    let read = wanted.as_deref().map(str::parse::<Targets>).transpose();
    let (filter, problem) = match read {
        Ok(filter) => (filter, None),
        Err(error) => (None, Some(error)),
    };
    let usual = || Targets::new().with_default(LevelFilter::INFO);
    let printer = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(filter.unwrap_or_else(usual))
        .with(printer)
        .init();
    if let Some(error) = problem {
        warn!(%error, "RUST_LOG does not read, so it counts as info");
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
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

fn start(command: Command) -> Result<Result<ExitCode, End>, Box<dyn Error>> {
    // One thread is plenty, and keeps each program at a few megabytes.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match command {
        Command::Run(args) => {
            let node = match node_settings(args.node, Below::OwnPrograms) {
                Ok(node) => node,
                Err(end) => return Ok(Err(end)),
            };
            let own = own_units(&node, args.agent.choices(&node.zeek))?;
            runtime.block_on(supervise(node, own))?;
        }
        Command::Supervisor(args) => {
            let node = match node_settings(args, Below::Nothing) {
                Ok(node) => node,
                Err(end) => return Ok(Err(end)),
            };
            runtime.block_on(supervise(node, Vec::new()))?;
        }
        Command::Controller(args) => match own_settings(args, Program::Controller) {
            Ok(settings) => runtime.block_on(run::controller(settings))?,
            Err(end) => return Ok(Err(end)),
        },
        Command::Agent(args) => match own_settings(args.settings, Program::Agent) {
            Ok(settings) => {
                let choices = args.agent.choices(Path::new("zeek"));
                runtime.block_on(run::agent(settings, choices))?;
            }
            Err(end) => return Ok(Err(end)),
        },
        Command::Plan(args) => return plan(args),
    }
    Ok(Ok(ExitCode::SUCCESS))
}

fn plan(args: PlanArgs) -> Result<Result<ExitCode, End>, Box<dyn Error>> {
    let settings = match own_settings(args.settings, Program::Controller) {
        Ok(settings) => settings,
        Err(end) => return Ok(Err(end)),
    };
    let env = |name| std::env::var(name).ok();
    let file = env("ZEEK_CLIENT_CONFIG_FILE");
    let file = file.map(|path| read(Path::new(&path))).transpose()?;
    let env_settings = env("ZEEK_CLIENT_CONFIG_SETTINGS");
    let hints = Hints {
        file: file.as_deref(),
        settings: env_settings.as_deref(),
        argument: args.controller.as_deref(),
    };
    let controller = hints.resolve(settings.controller.listen_websocket.as_ref())?;
    let text = match args.config.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin())?,
        Some(_) | None => read(&args.config)?,
    };
    let cluster = Cluster::parse(&text, &sources::hostname())?;
    let observed = mgmt::io::plan::observe(&controller)?;
    let unchanged = unchanged(args.keep_unchanged);
    let mut plan = Plan::new(cluster.config, &observed, &settings.controller, unchanged);
    plan.warnings.extend(cluster.ignored);
    if args.as_json {
        println!("{:#}", show::json(&plan));
    } else {
        print!("{}", show::text(&plan));
    }
    Ok(Ok(ExitCode::from(u8::from(!plan.is_deployable()))))
}

fn read(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| format!("{}: {error}", path.display()))
}

/// Settings for controller and agent alone: every argument is a stock option.
fn own_settings(args: SettingArgs, program: Program) -> Result<Settings, End> {
    let arguments = Arguments {
        settings: args.settings,
        redefs: args.read.redef,
        show_settings: args.read.show_settings,
        ..Arguments::default()
    };
    let said = Said::read(&arguments, Path::new("zeek"), Reader::Alone);
    said.report();
    resolve(&said, &arguments, &[program])
}

/// What a supervisor is told, and what it has below it from the start.
struct Node {
    said: Said,
    settings: Settings,
    roles: BTreeSet<Role>,
    zeek: PathBuf,
    policy: Policy,
    below: Below,
    /// The arguments of every node.
    args: Vec<String>,
}

/// Whether there are programs of ours below a supervisor.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Below {
    Nothing,
    OwnPrograms,
}

/// Settings among arguments that are meant for nodes too.
fn node_settings(args: NodeArgs, below: Below) -> Result<Node, End> {
    let mut arguments = arguments::parse(args.args).map_err(End::Wrong)?;
    let mut redefs = args.read.redef;
    redefs.append(&mut arguments.redefs);
    arguments.redefs = redefs;
    arguments.show_settings |= args.read.show_settings;
    let zeek = arguments.zeek.clone().map(PathBuf::from).or(args.zeek);
    let zeek = zeek.unwrap_or_else(|| "zeek".into());

    let said = Said::read(&arguments, &zeek, Reader::WithNodes);
    said.report();
    let has_scripts = !arguments.scripts.is_empty() || !arguments.code.is_empty();
    let mut programs = vec![Program::Supervisor];
    let roles = match below {
        Below::Nothing => BTreeSet::new(),
        Below::OwnPrograms => said.roles(has_scripts),
    };
    programs.extend(roles.iter().map(|role| role.program()));
    if below == Below::OwnPrograms && roles.is_empty() {
        let mut errors: Vec<String> = match Settings::resolve(&said.given) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        };
        errors.push(said.nothing_to_run());
        return Err(End::Wrong(errors));
    }
    let settings = resolve(&said, &arguments, &programs)?;
    let outputs = settings.supervisor.outputs.clone();
    let policy = args.treatment.policy(Outputs {
        stdout_file: outputs.stdout_file,
        stderr_file: outputs.stderr_file,
        print_stdout: outputs.print_stdout,
        print_stderr: outputs.print_stderr,
    });
    Ok(Node {
        policy,
        below,
        said,
        settings,
        roles,
        zeek,
        args: arguments.nodes,
    })
}

fn resolve(said: &Said, arguments: &Arguments, programs: &[Program]) -> Result<Settings, End> {
    let settings = Settings::resolve(&said.given)
        .map_err(|errors| End::Wrong(errors.iter().map(ToString::to_string).collect()))?;
    if arguments.show_settings {
        print!("{}", said.given.show(programs));
        return Err(End::Done);
    }
    Ok(settings)
}

/// Runs a supervisor. With nothing but a controller below it nobody has to reach it, and two such
/// trees on a host would be after the same port (stock: agent/boot.zeek).
async fn supervise(node: Node, own: Vec<OwnUnit>) -> Result<(), supervisor::io::run::RunError> {
    let Node {
        settings,
        roles,
        zeek,
        policy,
        below,
        args,
        ..
    } = node;
    let listens = below == Below::Nothing
        || roles.contains(&Role::Agent)
        || settings.supervisor.always_listens;
    let supervised = SupervisorSettings {
        listen: listens.then_some(settings.supervisor.address),
        zeek,
        args,
        own,
        policy,
    };
    supervisor::io::run::run(supervised, &settings.tls, settings.listen_retry).await
}

/// Controller and agent, as far as they are wanted (API §1.1).
fn own_units(node: &Node, choices: AgentChoices) -> Result<Vec<OwnUnit>, Box<dyn Error>> {
    let Node {
        said,
        settings,
        roles,
        ..
    } = node;
    let program = std::env::current_exe()?;
    let here = std::env::current_dir()?;
    let mut own = Vec::new();
    for role in roles {
        let (command, variable, script, name, directory) = match role {
            Role::Controller => (
                "controller",
                "CONTROLLER",
                CONTROLLER_SCRIPT,
                &settings.controller.name,
                &settings.controller_dir,
            ),
            Role::Agent => (
                "agent",
                "AGENT",
                AGENT_SCRIPT,
                &settings.agent.name,
                &settings.agent_dir,
            ),
        };
        let mut config = NodeConfig::named(name);
        config.directory = Some(here.join(directory).display().to_string());
        config.bare_mode = Some(true);
        config.addl_base_scripts = vec![format!("{script}/main.zeek")];
        config
            .env
            .insert(MANAGEMENT_NODE_VARIABLE.into(), variable.into());
        let mut argv = vec![program.display().to_string(), command.to_owned()];
        if *role == Role::Agent {
            argv.extend(agent_options(choices));
        }
        argv.extend(said.given.arguments(role.program(), &here));
        own.push(OwnUnit { node: config, argv });
    }
    Ok(own)
}

/// As [`AgentOptions`] reads them.
fn agent_options(choices: AgentChoices) -> Vec<String> {
    let AgentChoices {
        node_script,
        deploying,
        former_nodes,
    } = choices;
    let mut words = vec!["--node-script", node_script.as_str()];
    match deploying.unchanged {
        Unchanged::Keep => words.push("--keep-unchanged"),
        Unchanged::Restart => {}
    }
    match deploying.start {
        StartOrder::RoleByRole => words.push("--start-by-role"),
        StartOrder::Together => {}
    }
    match former_nodes {
        FormerNodes::Adopt => words.push("--adopt-nodes"),
        FormerNodes::Forget => {}
    }
    words.into_iter().map(str::to_owned).collect()
}
