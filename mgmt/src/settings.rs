//! Typed settings of all programs, with stock's names and defaults (API §8).
//!
//! What the operator says comes as scripts with `redef` lines, as `NAME=VALUE` arguments and as
//! environment variables. [`Given`] takes all of it, each value with its origin; a table has a row
//! for every option of Zeek's that concerns management, whether it has an effect here or not.
//! [`Settings::resolve`] then either gives typed settings or everything that is wrong.

pub mod arguments;
mod exposure;
mod given;
mod options;
mod pass;
mod regardless;
mod resolve;
pub mod script;
mod scripts;
mod show;
mod value;

use std::path::PathBuf;
use std::time::Duration;

use broker_proto::peering::PeerAddr;
use broker_proto::tls::{ClientPort, Tls};

use crate::log::LogSettings;

pub use exposure::Unauthenticated;
pub use given::{Given, Origin, Remark, SettingError, Sources, is_setting};
pub use options::Program;
pub(crate) use scripts::is_of_framework;
pub use scripts::{Found as FoundFile, Library, Loaded, Role};
pub use show::Row;
pub use value::Value;

/// Everything the programs are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// For a controller.
    pub controller: ControllerSettings,
    /// For an agent.
    pub agent: AgentSettings,
    /// For a supervisor.
    pub supervisor: SupervisorSettings,
    /// How Broker links are protected, those of the supervisor included.
    pub tls: Tls,
    /// The WebSocket port's own certificate. Without, it takes cleartext and TLS that proves
    /// nothing.
    pub websocket_tls: Option<ClientPort>,
    /// Processes run in `nodes/<name>` below this directory.
    pub state_dir: PathBuf,
    /// Where a controller that a supervisor starts runs.
    pub controller_dir: PathBuf,
    /// Where an agent that a supervisor starts runs.
    pub agent_dir: PathBuf,
    /// Where the controller keeps its configurations.
    pub store_dir: PathBuf,
    /// Between attempts to listen on an address that is taken.
    pub listen_retry: Duration,
    /// How the management log is kept.
    pub log: LogSettings,
    /// Where the agent has rotated logs brought; `None` leaves them.
    pub archive: Option<ArchiveSettings>,
}

/// Whether the controller hands out ports of one kind, and from where (API §7.2, §7.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AutoAssign {
    /// Nodes have the ports their configuration gives them.
    Off,
    /// Nodes without a port get the next free one from this number on.
    From(u16),
}

/// What a controller is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ControllerSettings {
    /// Its name.
    pub name: String,
    /// Where agents connect; `None` switches the port off.
    pub listen: Option<PeerAddr>,
    /// Where clients connect; `None` switches the port off.
    pub listen_websocket: Option<PeerAddr>,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Between attempts to reach an agent.
    pub connect_retry: Duration,
    /// Broker ports for managers, loggers and proxies.
    pub broker_ports: AutoAssign,
    /// Metrics ports for all nodes.
    pub metrics_ports: AutoAssign,
}

/// What an agent is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentSettings {
    /// Its name, which is the instance's name too.
    pub name: String,
    /// Where its nodes connect, and the controller if that dials.
    pub listen: PeerAddr,
    /// The controller to dial; `None` waits for the controller to dial.
    pub controller: Option<PeerAddr>,
    /// The supervisor to dial.
    pub supervisor: PeerAddr,
    /// Nodes run in `nodes/<name>` below this directory.
    pub state_dir: PathBuf,
    /// What every node loads to talk to this agent.
    pub node_script: String,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Between attempts to reach controller and supervisor.
    pub connect_retry: Duration,
    /// Environment that nodes need to find this agent, if it is not where they look by themselves.
    pub node_env: Vec<(String, String)>,
    /// Where it writes the scripts that set nodes' options; nodes run elsewhere, so this should be
    /// absolute.
    pub options_dir: PathBuf,
    /// How it deploys; stock has no such choice.
    pub deploying: Deploying,
}

/// How an agent deploys.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Deploying {
    /// What becomes of nodes about which nothing changes.
    pub unchanged: Unchanged,
    /// When nodes start.
    pub start: StartOrder,
}

/// What becomes of nodes that run and about which a deployment changes nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Unchanged {
    /// They are ended and created again, as all others; upstream's tests rely on it.
    #[default]
    Restart,
    /// They run on.
    Keep,
}

/// When the nodes of a deployment start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum StartOrder {
    /// All at once, ordered loggers first, then managers, proxies, workers.
    #[default]
    Together,
    /// Each role when those of the role before have said hello or have failed.
    RoleByRole,
}

/// What a supervisor is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SupervisorSettings {
    /// Where peers connect.
    pub address: PeerAddr,
    /// Listens even if no agent needs it (`SupervisorControl::enable_listen`).
    pub always_listens: bool,
    /// What becomes of what nodes print.
    pub outputs: OutputSettings,
}

/// What becomes of what processes under a supervisor print.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutputSettings {
    /// The file in a process's directory that keeps its standard output; `None` keeps it nowhere.
    pub stdout_file: Option<String>,
    /// The same for standard error.
    pub stderr_file: Option<String>,
    /// Whether the supervisor prints it, too.
    pub print_stdout: bool,
    /// The same for standard error.
    pub print_stderr: bool,
}

/// Where the agent has rotated logs brought (API §5.9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ArchiveSettings {
    /// How often.
    pub interval: Duration,
    /// The program; it is called as `zeek-archiver` is.
    pub command: String,
    /// From here.
    pub from: PathBuf,
    /// To here.
    pub to: PathBuf,
}
