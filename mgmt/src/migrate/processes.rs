//! Which of a host's processes belong to which tree (API §9.3).
//!
//! Zeek's stem and its nodes are forks of the Supervisor with the same command line; they are told
//! by the names they give themselves, `zeek.stem` and `zeek.<node>`, of which the system keeps 15
//! bytes. Ours have the same names.

use std::collections::{BTreeMap, BTreeSet};

use crate::settings::arguments;

/// A process as the system shows it to everybody.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Raw {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// The name it has given itself.
    pub name: String,
    /// Its command line.
    pub words: Vec<String>,
    /// Whether all of the command line is UTF-8.
    pub is_text: bool,
}

/// Whose tree it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A `zeek -j`.
    Stock,
    /// A `zeek-mgmt run`.
    Ours,
}

/// A supervisor with all below it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Root {
    /// The supervisor's process id.
    pub pid: u32,
    /// Whose it is.
    pub kind: Kind,
    /// What it was called as.
    pub program: String,
    /// What stands behind `zeek`, or behind `zeek-mgmt run`.
    pub arguments: Vec<String>,
    /// Whether all of that is UTF-8.
    pub is_text: bool,
    /// The processes below it, by id.
    pub members: Vec<Member>,
}

/// A process below a supervisor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Its id.
    pub pid: u32,
    /// What it is.
    pub part: Part,
}

/// What a process below a supervisor is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// Starts nodes.
    Stem,
    /// Controller, agent or cluster node of this name, of which only the first bytes may be known.
    Node(String),
    /// Something that one of these has started.
    Other(String),
}

/// Our subcommands other than `run` that stay.
const OWN: [&str; 3] = ["supervisor", "controller", "agent"];

/// Every tree among these processes, by process id of its supervisor.
#[must_use]
pub fn trees(processes: &[Raw]) -> Vec<Root> {
    let by_pid: BTreeMap<u32, &Raw> = processes.iter().map(|raw| (raw.pid, raw)).collect();
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for raw in by_pid.values() {
        children.entry(raw.parent).or_default().push(raw.pid);
    }
    let roots = by_pid.values().filter_map(|raw| {
        let (kind, arguments) = root(raw)?;
        let parent = by_pid.get(&raw.parent);
        // A fork that has not named itself yet.
        let is_fork = parent.is_some_and(|p| p.words == raw.words && root(p).is_some());
        (!is_fork).then(|| Root {
            pid: raw.pid,
            kind,
            program: raw.words.first().cloned().unwrap_or_default(),
            arguments,
            is_text: raw.is_text,
            members: below(raw.pid, &by_pid, &children),
        })
    });
    roots.collect()
}

/// Programs of ours that run without `run`, as pairs of process id and subcommand.
#[must_use]
pub fn lone(processes: &[Raw]) -> Vec<(u32, String)> {
    let by_pid: BTreeMap<u32, &Raw> = processes.iter().map(|raw| (raw.pid, raw)).collect();
    let alone = by_pid.values().filter_map(|raw| {
        let command = own_command(raw).filter(|command| OWN.contains(command))?;
        let parent = by_pid.get(&raw.parent);
        let is_run = parent.is_some_and(|parent| own_command(parent) == Some("run"));
        (!is_run).then(|| (raw.pid, command.to_owned()))
    });
    alone.collect()
}

/// What makes a process a supervisor, and what it was given.
fn root(raw: &Raw) -> Option<(Kind, Vec<String>)> {
    if own_command(raw) == Some("run") {
        return Some((Kind::Ours, raw.words.get(2..)?.to_vec()));
    }
    let arguments = raw.words.get(1..)?.to_vec();
    let is_zeek = file_name(raw.words.first()?) == "zeek" && !raw.name.starts_with("zeek.");
    let is_supervisor = is_zeek && arguments::parse_partly(arguments.clone()).0.jobs;
    is_supervisor.then_some((Kind::Stock, arguments))
}

fn own_command(raw: &Raw) -> Option<&str> {
    let is_ours = file_name(raw.words.first()?).starts_with("zeek-mgmt");
    raw.words.get(1).map(String::as_str).filter(|_| is_ours)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn below(
    root: u32,
    by_pid: &BTreeMap<u32, &Raw>,
    children: &BTreeMap<u32, Vec<u32>>,
) -> Vec<Member> {
    let mut members = Vec::new();
    let mut seen = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            // Processes come and go while they are read, so the parents may go in circles.
            if !seen.insert(*child) {
                continue;
            }
            open.push(*child);
            if let Some(raw) = by_pid.get(child) {
                let part = part(raw);
                members.push(Member { pid: *child, part });
            }
        }
    }
    members.sort_by_key(|member| member.pid);
    members
}

fn part(raw: &Raw) -> Part {
    match raw.name.strip_prefix("zeek.") {
        Some("stem") => Part::Stem,
        Some(node) => Part::Node(node.to_owned()),
        None => Part::Other(raw.name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(pid: u32, parent: u32, name: &str, command: &str) -> Raw {
        Raw {
            pid,
            parent,
            name: name.to_owned(),
            words: command.split(' ').map(str::to_owned).collect(),
            is_text: true,
        }
    }

    #[test]
    fn forks_of_a_supervisor_belong_to_it_by_their_names() {
        let zeek = "/opt/zeek/bin/zeek -j local";
        let found = trees(&[
            raw(1, 0, "systemd", "/sbin/init"),
            raw(7, 1, "zeek", zeek),
            raw(8, 7, "zeek.stem", zeek),
            raw(9, 8, "zeek.controller", zeek),
            raw(10, 8, "zeek.a-worker-w", zeek),
            raw(11, 10, "sh", "sh -c mail"),
            // Forked a moment ago.
            raw(12, 8, "zeek.stem", zeek),
            raw(13, 7, "zeek", zeek),
            raw(20, 1, "zeek", "zeek -i eth0 local"),
            raw(21, 1, "vi", "vi zeek -j"),
        ]);
        let member = |pid, part| Member { pid, part };
        let node = |name: &str| Part::Node(name.to_owned());
        let expected = Root {
            pid: 7,
            kind: Kind::Stock,
            program: "/opt/zeek/bin/zeek".to_owned(),
            arguments: vec!["-j".to_owned(), "local".to_owned()],
            is_text: true,
            members: vec![
                member(8, Part::Stem),
                member(9, node("controller")),
                member(10, node("a-worker-w")),
                member(11, Part::Other("sh".to_owned())),
                member(12, Part::Stem),
                member(13, Part::Other("zeek".to_owned())),
            ],
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn ours_are_told_by_their_subcommand() {
        let processes = [
            raw(
                5,
                1,
                "zeek-mgmt",
                "/usr/bin/zeek-mgmt run --zeek /opt/zeek A::b=1",
            ),
            raw(
                6,
                5,
                "zeek.controller",
                "/usr/bin/zeek-mgmt controller X::y=1",
            ),
            raw(7, 1, "zeek-mgmt", "zeek-mgmt agent"),
            raw(8, 1, "zeek-mgmt", "zeek-mgmt migrate"),
        ];
        let found = trees(&processes);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].pid, found[0].kind), (5, Kind::Ours));
        assert_eq!(found[0].arguments, ["--zeek", "/opt/zeek", "A::b=1"]);
        assert_eq!(found[0].members.len(), 1);
        assert_eq!(lone(&processes), [(7, "agent".to_owned())]);
    }

    #[test]
    fn parents_in_a_circle_and_empty_command_lines_harm_nobody() {
        let mut kernel = raw(2, 0, "kthreadd", "");
        kernel.words.clear();
        let a = raw(3, 4, "zeek", "zeek -j");
        let b = raw(4, 3, "zeek.stem", "zeek -j");
        let found = trees(&[kernel, a, b]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].members.len(), 1);
    }
}
