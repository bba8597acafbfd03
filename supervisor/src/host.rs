//! What the supervisor and the operating system say to each other.

use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;

/// One life of a unit's process: a new start is a new child. Never used twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ChildId {
    /// The unit. A name that is destroyed and created again is another unit.
    pub unit: u64,
    /// Which start of the unit; counts from 1.
    pub generation: u64,
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.unit, self.generation)
    }
}

/// One of the two streams a program prints to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The name of the file that keeps it (API §9.5 S15).
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Whether a child gets the pipes of the stem protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Control {
    /// No: a program of our own.
    Absent,
    /// Yes, named in `ZEEK_STEM` (API §10.1).
    Stem,
}

/// What to execute. Always with an own process group, no input, and both outputs read by us.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Launch {
    /// A path, or a name to look up in `PATH`.
    pub program: PathBuf,
    /// Without the program's name.
    pub args: Vec<String>,
    /// Added to our own environment.
    pub env: Vec<(String, String)>,
    /// The configuration that it finds in
    /// [`NODE_VARIABLE`](crate::standing::NODE_VARIABLE), as JSON; a stem's node is told otherwise.
    pub node: Option<String>,
    /// Where to run; created with its parents if missing. `None`: where we run.
    pub directory: Option<String>,
    /// Whether it speaks the stem protocol.
    pub control: Control,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// It exited with this status.
    Status(i32),
    /// This signal killed it.
    Signal(i32),
    /// The system did not say.
    Unknown,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// The child alone, if it still runs.
    Process,
    /// All that is left of the child's process group, even if the child itself is gone.
    Group,
}

/// What is left of an ended child's process group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Group {
    /// Nobody; its number may be used for others.
    Empty,
    /// Somebody, as far as can be told.
    Alive,
}

/// A signal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
    /// SIGHUP.
    Hangup,
}

/// What the operating system reports.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HostInput {
    /// [`HostOutput::MakeDirectory`] is done.
    DirectoryMade {
        /// Why not, if it failed.
        result: Result<(), String>,
    },
    /// A child runs.
    Spawned {
        /// Which.
        child: ChildId,
        /// Its process id, which is its process group too.
        pid: u32,
    },
    /// A child could not be started; nothing more comes from it.
    SpawnFailed {
        /// Which.
        child: ChildId,
        /// Why, naming the program.
        reason: String,
    },
    /// Bytes from a stem's status pipe, cut anywhere.
    Message {
        /// Which.
        child: ChildId,
        /// The bytes.
        chunk: Bytes,
    },
    /// Bytes a child printed, cut anywhere.
    Printed {
        /// Which.
        child: ChildId,
        /// Where to.
        stream: Stream,
        /// The bytes.
        chunk: Bytes,
    },
    /// A child ended and all it wrote was reported; nothing more comes from it.
    Exited {
        /// Which.
        child: ChildId,
        /// Its process id.
        pid: u32,
        /// How.
        ending: Ending,
        /// Whether it left processes behind.
        group: Group,
    },
}

/// What the operating system is told, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HostOutput {
    /// Create a directory with its parents; answered by `DirectoryMade` before the next one is asked.
    MakeDirectory {
        /// The path.
        path: String,
    },
    /// Start a child; answered by `Spawned` or `SpawnFailed`.
    Spawn {
        /// The id it shall have.
        child: ChildId,
        /// What to execute.
        launch: Launch,
    },
    /// Write to a stem's command pipe.
    Tell {
        /// Which.
        child: ChildId,
        /// The message with its NUL.
        message: Bytes,
    },
    /// Send a signal.
    Signal {
        /// Which.
        child: ChildId,
        /// The child's process id.
        pid: u32,
        /// The child or its group.
        target: Target,
        /// The signal.
        signal: Signal,
    },
    /// Close a node's output files and start empty ones in `directory`, if it has one.
    OpenFiles {
        /// The node.
        node: String,
        /// Where the files are.
        directory: Option<String>,
    },
    /// Append a line to an output file of a node; dropped if it has none.
    WriteLine {
        /// The node.
        node: String,
        /// Which file.
        stream: Stream,
        /// Without its newline.
        line: Bytes,
    },
    /// Close a node's output files for good.
    CloseFiles {
        /// The node.
        node: String,
    },
}
