//! Typed settings of controller and agent, with stock's defaults (API §8).

mod log;
mod resolve;
mod value;

use std::path::PathBuf;
use std::time::Duration;

use crate::log::LogSettings;
use broker_proto::peering::PeerAddr;
use broker_proto::tls::Tls;
pub use resolve::{SettingError, Sources, TLS_PATHS, is_option};

/// Everything the programs are told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// For a controller.
    pub controller: ControllerSettings,
    /// For an agent.
    pub agent: AgentSettings,
    /// Where a supervisor listens.
    pub supervisor: PeerAddr,
    /// How Broker links are protected, those of the supervisor included.
    pub tls: Tls,
    /// Processes run in `nodes/<name>` below this directory.
    pub state_dir: PathBuf,
    /// How the management log is kept.
    pub log: LogSettings,
    /// The controller keeps its configurations in this directory.
    pub store_dir: PathBuf,
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
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Between attempts to reach controller and supervisor.
    pub connect_retry: Duration,
    /// Environment that nodes need to find this agent, if it is not where they look by themselves.
    pub node_env: Vec<(String, String)>,
}
