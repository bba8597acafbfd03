//! What was seen on a host, before anybody judges it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::processes::{Kind, Member};
use crate::controller::configs::Saved;
use crate::controller::configs::rows::Layout;
use crate::settings::{Given, Loaded, Role, Unauthenticated};

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How this program is called in commands.
    pub program: String,
    /// Each installation that was found or named.
    pub trees: Vec<Tree>,
    /// Programs of ours without a `zeek-mgmt run` above them: process id and subcommand.
    pub lone: Vec<(u32, String)>,
    /// What could not be looked at, if it belongs to no tree.
    pub unseen: Vec<Unseen>,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unseen {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// One Supervisor, running or not, and what belongs to it.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Where it was found.
    pub place: Place,
    /// The directory it was started in.
    pub directory: PathBuf,
    /// What it was told.
    pub told: Told,
    /// The variables of its environment that mean something to Zeek or to us.
    pub variables: Vec<Variable>,
    /// Its Zeek.
    pub zeek: Zeek,
    /// All settings.
    pub given: Given,
    /// What its scripts load, and what they do besides setting options.
    pub loaded: Loaded,
    /// What runs below it.
    pub roles: BTreeSet<Role>,
    /// Whether ours shall open ports without certificates to other hosts.
    pub unauthenticated: Unauthenticated,
    /// Its state directory.
    pub state: StateDir,
    /// Whether the program that archives logs is there; `None` if it is not just a path.
    pub has_archiver: Option<bool>,
    /// Processes below the Supervisor.
    pub members: Vec<Member>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}

/// How a tree became known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// It runs.
    Running {
        /// The Supervisor's process id.
        pid: u32,
        /// Whose it is.
        kind: Kind,
        /// Who runs it, if that is known.
        user: Option<String>,
        /// The systemd unit it is in.
        unit: Option<Unit>,
    },
    /// A unit says how to run it.
    Stopped {
        /// Whose it is.
        kind: Kind,
        /// Who would run it; root if nobody is named.
        user: Option<String>,
        /// Which unit.
        unit: Unit,
    },
    /// Its arguments were given.
    Named,
}

impl Place {
    /// Whether it is a `zeek-mgmt run`.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Running { kind, .. } | Self::Stopped { kind, .. } => *kind == Kind::Ours,
            Self::Named => false,
        }
    }

    /// The systemd unit it is in.
    #[must_use]
    pub fn unit(&self) -> Option<&Unit> {
        match self {
            Self::Running { unit, .. } => unit.as_ref(),
            Self::Stopped { unit, .. } => Some(unit),
            Self::Named => None,
        }
    }
}

/// A service of systemd.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unit {
    /// With its `.service`.
    pub name: String,
    /// Whose manager runs it.
    pub manager: Manager,
}

/// Who runs a unit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manager {
    /// The host's.
    System,
    /// A user's own.
    User,
}

/// What a tree was told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Told {
    /// What every node gets, too: scripts, options and settings.
    pub words: Vec<String>,
    /// Scripts named there.
    pub scripts: Vec<String>,
    /// Options of `zeek-mgmt run` with their values.
    pub own: Vec<String>,
    /// Files that only ours is told of, with `--redef`.
    pub redefs: Vec<String>,
    /// Arguments that ours would refuse, and why.
    pub refused: Vec<String>,
    /// Whether every byte of it is known.
    pub is_text: bool,
}

/// A variable of the environment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; `None` if it is none of those known to hold no secret.
    pub value: Option<String>,
}

/// A Zeek installation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Zeek {
    /// The program; as it was named if there is no such file.
    pub program: PathBuf,
    /// Whether it is there.
    pub is_there: bool,
    /// Whether what runs is another file, which has been replaced since.
    pub was_replaced: bool,
    /// Its installation.
    pub prefix: PathBuf,
    /// Its version, if it is known.
    pub version: Option<String>,
    /// Its scripts.
    pub scripts: ZeekScripts,
}

/// What of Zeek's own scripts there is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ZeekScripts {
    /// Nothing was found.
    #[default]
    Missing,
    /// All, the Management framework among them.
    WithFramework,
    /// All but the framework, as from Zeek 9.1 on.
    WithoutFramework,
}

/// The directory in which controller, agent and nodes run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StateDir {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is there.
    pub is_there: bool,
    /// Where the controller keeps its configurations.
    pub file: PathBuf,
    /// What it keeps there.
    pub kept: Kept,
    /// Working directories there, by name.
    pub directories: Vec<Directory>,
    /// How many more there are.
    pub more: usize,
}

/// A working directory of controller, agent or node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Directory {
    /// Whose.
    pub name: String,
    /// Whether there is output of a former life that ours puts aside.
    pub has_output: bool,
}

/// What a controller keeps.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Kept {
    /// There is no state file, or no controller to have one.
    #[default]
    Nothing,
    /// It reads.
    State {
        /// What is in it.
        saved: Saved,
        /// How nodes are laid out in it.
        layout: Layout,
    },
    /// A controller of ours would set it aside, for this reason.
    Flawed(String),
    /// It could not be looked at.
    Unknown,
}
