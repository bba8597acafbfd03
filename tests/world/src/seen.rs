//! What can be seen of a cluster from outside, one thing at a time: by its clients, and by somebody
//! who looks at the hosts' processes and disks.

use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use mgmt::model::Configuration;

/// A client of the controller, alive or gone. No number is used twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Client(pub u32);

/// A process, alive or dead. No number is used twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Pid(pub u32);

/// A program of ours, on its host.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Program {
    /// The one controller.
    Controller,
    /// The agent of this instance.
    Agent(String),
    /// The supervisor on the host of this instance.
    Supervisor(String),
}

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// A request was handed to the controller's program: nothing between the client and it can
    /// lose it any more.
    Asked {
        /// Whose it is.
        client: Client,
        /// With an id that is used once.
        request: ControllerRequest,
    },
    /// The controller's program sent an answer to a client: to who asked, and copies to others that
    /// are connected.
    Answered {
        /// To whom.
        client: Client,
        /// What.
        response: ControllerResponse,
    },
    /// The controller's program was told that a client is gone: nothing is owed to it.
    ClientGone {
        /// Who.
        client: Client,
    },
    /// A program begins, with what its disk had kept.
    Started {
        /// Which.
        program: Program,
    },
    /// A program is gone without having been asked: killed, or with its host.
    Killed {
        /// Which.
        program: Program,
    },
    /// A controller's save has reached its disk for good; if a crash came between, this is seen
    /// before it starts again.
    Stored {
        /// What is deployed.
        deployed: Option<Configuration>,
        /// What is staged.
        staged: Option<Configuration>,
    },
    /// A node's process begins.
    NodeBorn {
        /// Its process.
        pid: Pid,
        /// The instance whose supervisor started it.
        instance: String,
        /// Its name.
        node: String,
        /// The configuration that ordered it, by the variable [`CONFIG_VARIABLE`] that was set for
        /// it there.
        config: String,
    },
    /// A node said hello, and its agent's program has heard it.
    NodeHeard {
        /// Its process.
        pid: Pid,
    },
    /// A node's process is gone.
    NodeDied {
        /// Its process.
        pid: Pid,
    },
    /// From now on nothing fails any more: links hold, disks work, hosts stay, nodes start at once.
    Calm,
}

/// Tells a node which configuration it is of: the environment variable that every node of a
/// scenario's configurations has, with a value that no two configurations share.
pub const CONFIG_VARIABLE: &str = "SIMULATED_CONFIG";
