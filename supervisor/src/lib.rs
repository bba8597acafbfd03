//! Starts, watches, restarts and stops Zeek nodes, as Zeek's Supervisor does.
//!
//! # Theory of operation
//!
//! Peers ask with `SupervisorControl` events ([`api`], API §2.5); [`Supervisor`] decides. What it
//! decides about is a *unit*: a node that somebody created, or a program of our own (a controller,
//! an agent) that runs from the start.
//!
//! A node must be supervised in Zeek's own sense, or its scripts fail. So every node gets a *stem*:
//! one `zeek` executed with `ZEEK_STEM`, told over a pipe to create exactly this node ([`stem`],
//! API §10). Stock has one stem for all nodes, which stops them one after another; with one stem
//! each, stops run in parallel, and a stubborn node holds up nobody else.
//!
//! - **Start.** A create is answered as soon as the node is acceptable. The stem is started, told
//!   `create`, and answers `status <name> <pid>`: that is published as `node_status`, followed by
//!   `notify_node_exit` if the node's former life printed something.
//! - **Death.** Published as `notify_node_exit` when it happens, with the last lines and how the
//!   node ended.
//! - **Revival.** The stem starts its node again when that dies. If the stem itself dies, what is
//!   left of its process group is killed and gets a second to leave, and a new stem is started
//!   with the same patience (1 s, doubled every third time, at most a minute). Programs of our own
//!   are revived directly. A policy may say how many deaths are too many.
//! - **Restart.** The stem gets SIGTERM, which makes it stop its node; a new one starts.
//! - **Destroy.** The unit is forgotten at once and its stem gets SIGTERM, which makes it stop its
//!   node (SIGTERM every 2 s, SIGKILL after 26 s). After 30 s the whole process group is killed.
//!   Helpers of the node that outlive it get SIGTERM, and SIGKILL after a second. A create of the
//!   same name is accepted meanwhile and starts when the old stem is gone.
//! - **End.** SIGTERM, SIGINT or `stop_request` stop workers, then proxies, managers, loggers, and
//!   at last controller and agent; those of one role in parallel, the next role when they are gone
//!   or their time is up. Told so again, the supervisor stops all the rest at once. It ends when
//!   the last unit is gone. If it is killed instead, stems notice within a second, stop their nodes
//!   and exit.
//!
//! A restarted supervisor knows nothing of former nodes; agents create theirs again when their
//! controller deploys.
//!
//! # Parts
//!
//! [`Supervisor`] is the machine over all units, [`host`] its side towards the operating system.
//! [`SupervisorProcess`] adds the Broker endpoint; it is the whole program but for sockets, child
//! processes and the clock, which `io` adds (feature `io`). [`settings`] says what to run.
//! [`standing`] is the API's other side: what a supervised program asks about itself.

pub mod api;
mod backoff;
pub mod host;
#[cfg(feature = "io")]
pub mod io;
mod output;
pub mod process;
pub mod settings;
pub mod standing;
pub mod stem;
pub mod supervisor;
mod unit;

pub use process::SupervisorProcess;
pub use settings::{GiveUp, Outputs, OwnUnit, Policy, Settings};
pub use standing::Standing;
pub use supervisor::Supervisor;
