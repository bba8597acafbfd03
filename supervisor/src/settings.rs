//! What a supervisor is told when it starts.

use std::path::PathBuf;

use broker_proto::peering::PeerAddr;

use crate::api::NodeConfig;

/// Settings of one supervisor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Where peers connect; stock's is `127.0.0.1:9999` (API §13.5).
    pub listen: PeerAddr,
    /// The `zeek` to execute; a path, or a name to look up in `PATH`.
    pub zeek: PathBuf,
    /// Scripts and `NAME=VALUE` settings for all nodes (API §11 L3). Relative scripts are found
    /// from where the supervisor runs.
    pub args: Vec<String>,
    /// Programs that run from the start.
    pub own: Vec<OwnUnit>,
}

/// A program of our own that is supervised like a node: a controller or an agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnUnit {
    /// As it is listed in status. Name, directory and environment have effect, the rest is for show.
    pub node: NodeConfig,
    /// The program and its arguments.
    pub argv: Vec<String>,
}
