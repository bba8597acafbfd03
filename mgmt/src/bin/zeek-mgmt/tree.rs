//! A supervisor, and what it has below it from the start.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use broker_proto::tls::ClientPort;
use clap::Args;
use mgmt::api::{AGENT_SCRIPT, CONTROLLER_SCRIPT};
use mgmt::io::rules::Rules;
use mgmt::io::run::AgentChoices;
use mgmt::io::sources::{Reader, Said};
use mgmt::settings::{Program, Role, Settings, arguments};
use supervisor::api::{Layout, MANAGEMENT_NODE_VARIABLE, NodeConfig};
use supervisor::settings::STOCK_GRACE;
use supervisor::{GiveUp, Outputs, OwnUnit, Policy, Settings as SupervisorSettings};

use crate::End;
use crate::agent::{AgentOptions, agent_options};
use crate::controller::ControllerOptions;
use crate::settings::{AccessArgs, ReadArgs, resolve};

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) controller: ControllerOptions,
    #[command(flatten)]
    pub(crate) agent: AgentOptions,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The zeek to run nodes with; without it, the one in PATH.
    #[arg(long, value_name = "PATH")]
    zeek: Option<PathBuf>,
    #[command(flatten)]
    treatment: Treatment,
    #[command(flatten)]
    access: AccessArgs,
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

/// What a supervisor is told, and what it has below it from the start.
pub(crate) struct Node {
    said: Said,
    pub(crate) settings: Settings,
    rules: Rules,
    pub(crate) roles: BTreeSet<Role>,
    pub(crate) zeek: PathBuf,
    policy: Policy,
    below: Below,
    /// The arguments of every node.
    args: Vec<String>,
}

impl Node {
    /// The certificate of the WebSocket port, if there is a controller.
    pub(crate) fn websocket_tls(&self) -> Option<&ClientPort> {
        let has_controller = self.roles.contains(&Role::Controller);
        let port = self.settings.websocket_tls.as_ref();
        port.filter(|_| has_controller)
    }
}

/// Whether there are programs of ours below a supervisor.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Below {
    Nothing,
    OwnPrograms,
}

/// Settings among arguments that are meant for nodes too.
pub(crate) fn node_settings(args: NodeArgs, below: Below) -> Result<Node, End> {
    let mut arguments = arguments::parse(args.args).map_err(End::Wrong)?;
    let mut redefs = args.read.redef;
    redefs.append(&mut arguments.redefs);
    arguments.redefs = redefs;
    arguments.show_settings |= args.read.show_settings;
    arguments.show_policy |= args.access.show_policy;
    arguments.allow_unauthenticated |= args.access.allow_unauthenticated;
    arguments.policy = arguments.policy.or(args.access.policy);
    arguments.limits = args.access.limits;
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
    let (settings, rules) = resolve(&said, &arguments, &programs)?;
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
        rules,
        roles,
        zeek,
        args: arguments.nodes,
    })
}

/// Runs a supervisor. With nothing but a controller below it nobody has to reach it, and two such
/// trees on a host would be after the same port (stock: agent/boot.zeek).
pub(crate) async fn supervise(
    node: Node,
    own: Vec<OwnUnit>,
) -> Result<(), supervisor::io::run::RunError> {
    let Node {
        settings,
        rules,
        roles,
        zeek,
        policy,
        below,
        args,
        ..
    } = node;
    let door = rules.policy(settings.protection()).door();
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
    let retry = settings.listen_retry;
    supervisor::io::run::run(supervised, &settings.tls, retry, Some(door)).await
}

/// Controller and agent, as far as they are wanted (API §1.1).
pub(crate) fn own_units(
    node: &Node,
    controller: &ControllerOptions,
    choices: AgentChoices,
) -> Result<Vec<OwnUnit>, Box<dyn Error>> {
    let Node {
        said,
        settings,
        rules,
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
        argv.extend(match role {
            Role::Controller => controller.arguments(&here),
            Role::Agent => agent_options(choices),
        });
        argv.extend(rules.access().arguments(&here));
        argv.extend(said.given.arguments(role.program(), &here));
        own.push(OwnUnit { node: config, argv });
    }
    Ok(own)
}
