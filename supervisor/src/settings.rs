//! What a supervisor is told when it starts.

use std::path::PathBuf;
use std::time::Duration;

use broker_proto::peering::PeerAddr;

use crate::api::{Layout, NodeConfig};

/// Settings of one supervisor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Where peers connect; stock's is `127.0.0.1:9999` (API §13.5). `None`: nowhere, as with stock
    /// if no agent is below the supervisor.
    pub listen: Option<PeerAddr>,
    /// The `zeek` to execute; a path, or a name to look up in `PATH`.
    pub zeek: PathBuf,
    /// Scripts and `NAME=VALUE` settings for all nodes (API §11 L3). Relative scripts are found
    /// from where the supervisor runs.
    pub args: Vec<String>,
    /// Programs that run from the start.
    pub own: Vec<OwnUnit>,
    /// How it treats what it runs.
    pub policy: Policy,
}

/// How units are treated; the default is what stock does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// From SIGTERM to SIGKILL. Beyond [`STOCK_GRACE`] a stem is told not to kill by itself, and
    /// then does not do so either if the supervisor is killed.
    pub grace: Duration,
    /// When a unit that dies again and again is left alone; `None`: never.
    pub give_up: Option<GiveUp>,
    /// The version of Zeek that peers and nodes are of; `None`: seen from what peers ask.
    pub zeek: Option<Layout>,
    /// What becomes of what they print.
    pub outputs: Outputs,
}

/// What becomes of what units print (API §9.5 S15).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outputs {
    /// The file in a unit's directory that keeps standard output; `None` keeps it nowhere
    /// (`Management::Node::stdout_file`).
    pub stdout_file: Option<String>,
    /// The same for standard error (`Management::Node::stderr_file`).
    pub stderr_file: Option<String>,
    /// Whether standard output goes to the supervisor's own, too, as `[unit] line`
    /// (`Management::Supervisor::print_stdout`).
    pub print_stdout: bool,
    /// The same for standard error (`Management::Supervisor::print_stderr`).
    pub print_stderr: bool,
}

impl Default for Outputs {
    fn default() -> Self {
        Self {
            stdout_file: Some("stdout".to_owned()),
            stderr_file: Some("stderr".to_owned()),
            print_stdout: false,
            print_stderr: false,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            grace: STOCK_GRACE,
            give_up: None,
            zeek: None,
            outputs: Outputs::default(),
        }
    }
}

/// So many deaths in so much time are too many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GiveUp {
    /// The last one that is borne; 0 counts as 1.
    pub failures: u32,
    /// From the first of them to the last.
    pub window: Duration,
}

/// What a stem of stock's grants a node (API §9.4 S8).
pub const STOCK_GRACE: Duration = Duration::from_secs(26);

/// A program of our own that is supervised like a node: a controller or an agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnUnit {
    /// As it is listed in status. Name, directory and environment have effect, the rest is for show.
    pub node: NodeConfig,
    /// The program and its arguments.
    pub argv: Vec<String>,
}
