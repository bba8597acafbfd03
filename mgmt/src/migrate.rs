//! What becomes of a stock installation when `zeek-mgmt run` takes the place of its `zeek -j`
//! (API §15.7).
//!
//! [`Findings`] is what was seen on a host, by `io::migrate`, which changes nothing there.
//! [`Report`] says what of it carries over as it is, what does not or not in the same way and what
//! to do about it, and with which commands to move and to move back; `show` has it as text and
//! JSON. Nothing of it is done by anybody but the operator.

mod commands;
pub mod findings;
mod found;
mod judge;
pub mod processes;
pub mod show;
#[cfg(test)]
mod tests;
pub mod unit_file;
mod words;

use crate::settings::{Row, Settings};
pub use findings::Findings;
use findings::{Place, Tree, Unseen};
use processes::{Member, Part};
pub use words::printable;

/// What to tell an operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// One for each Supervisor.
    pub trees: Vec<TreeReport>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}

/// What to tell of one Supervisor and all below it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TreeReport {
    /// Which one it is.
    pub title: String,
    /// What was found: labels and values.
    pub facts: Vec<(&'static str, String)>,
    /// Processes: id, what it is, name.
    pub processes: Vec<(u32, &'static str, String)>,
    /// The nodes of the configuration in force, or of the staged one.
    pub nodes: Vec<NodeFact>,
    /// All settings of what runs.
    pub settings: Vec<Row>,
    /// What carries over as it is.
    pub carries: Vec<String>,
    /// What does not, or not in the same way.
    pub changes: Vec<Change>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
    /// How to move.
    pub forward: Vec<Step>,
    /// How to move back.
    pub back: Vec<Step>,
}

/// A node of a configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeFact {
    /// Its name.
    pub name: String,
    /// Its role, in capitals.
    pub role: String,
    /// The instance it runs on.
    pub instance: String,
    /// Its Broker port.
    pub port: Option<u16>,
    /// Whether it has a working directory on this host.
    pub has_directory: bool,
}

/// Something that ours does not do as stock does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Whether anything is lost by it.
    pub weight: Weight,
    /// What it is.
    pub what: String,
    /// What to do about it; empty if nothing has to be done.
    pub todo: String,
}

/// How much a change matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Weight {
    /// What stock does would not be done any more.
    Lost,
    /// It would be done in another way.
    Differs,
}

/// Commands that belong together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// What they are for.
    pub why: String,
    /// Lines for a shell.
    pub lines: Vec<String>,
}

impl Report {
    /// Judges what was seen.
    #[must_use]
    pub fn new(findings: &Findings) -> Self {
        let trees = findings.trees.iter();
        let mut trees: Vec<TreeReport> = trees
            .map(|tree| TreeReport::new(tree, &findings.program))
            .collect();
        judge::neighbours(&findings.trees, &mut trees);
        let lone = findings.lone.iter();
        let notes = lone.map(|(pid, command)| {
            format!("process {pid} is a `zeek-mgmt {command}`: a part of this host has moved")
        });
        Self {
            trees,
            notes: notes.collect(),
            unseen: findings.unseen.clone(),
        }
    }

    /// How many things would be lost.
    #[must_use]
    pub fn losses(&self) -> usize {
        let changes = self.trees.iter().flat_map(|tree| &tree.changes);
        changes.filter(|it| it.weight == Weight::Lost).count()
    }

    /// Whether everything could be looked at, and there was something.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let unseen = self.trees.iter().flat_map(|tree| &tree.unseen);
        !self.trees.is_empty() && unseen.chain(&self.unseen).next().is_none()
    }
}

impl TreeReport {
    fn new(tree: &Tree, program: &str) -> Self {
        let programs: Vec<_> = tree.roles.iter().map(|role| role.program()).collect();
        let programs = [programs, vec![crate::settings::Program::Supervisor]].concat();
        let settings = Settings::regardless(&tree.given);
        Self {
            title: title(tree),
            facts: found::facts(tree, settings.as_ref()),
            processes: processes(tree),
            nodes: found::nodes(tree),
            settings: tree.given.rows(&programs),
            carries: found::carries(tree, settings.as_ref()),
            changes: judge::changes(tree, settings.as_ref()),
            unseen: tree.unseen.clone(),
            forward: commands::forward(tree, settings.as_ref(), program),
            back: commands::back(tree),
        }
    }
}

fn title(tree: &Tree) -> String {
    let what = if tree.place.is_ours() {
        "zeek-mgmt run"
    } else {
        "zeek -j"
    };
    let (state, user) = match &tree.place {
        Place::Named => return format!("{what}, as given"),
        Place::Running { pid, user, .. } => (format!("process {pid}"), user),
        Place::Stopped { user, .. } => ("not running".to_owned(), user),
    };
    let user = user.as_ref().map(|user| format!(", user {user}"));
    let unit = tree.place.unit().map(|unit| format!(", {}", unit.name));
    format!(
        "{what}, {state}{}{}",
        user.unwrap_or_default(),
        unit.unwrap_or_default()
    )
}

fn processes(tree: &Tree) -> Vec<(u32, &'static str, String)> {
    let supervisor = match &tree.place {
        Place::Named | Place::Stopped { .. } => None,
        Place::Running { pid, .. } => Some((*pid, "supervisor", String::new())),
    };
    let settings = Settings::regardless(&tree.given);
    let has_name = |name: &str, role| {
        let own = settings.as_ref().map(|settings| match role {
            crate::settings::Role::Controller => settings.controller.name.as_str(),
            crate::settings::Role::Agent => settings.agent.name.as_str(),
        });
        tree.roles.contains(&role) && own == Some(name)
    };
    let members = tree.members.iter().map(|Member { pid, part }| match part {
        Part::Stem => (*pid, "stem", String::new()),
        Part::Other(name) => (*pid, "other", name.clone()),
        Part::Node(name) if has_name(name, crate::settings::Role::Controller) => {
            (*pid, "controller", name.clone())
        }
        Part::Node(name) if has_name(name, crate::settings::Role::Agent) => {
            (*pid, "agent", name.clone())
        }
        Part::Node(name) => (*pid, "node", name.clone()),
    });
    supervisor.into_iter().chain(members).collect()
}
