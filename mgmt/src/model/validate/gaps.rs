//! What stock accepts although it can never work (API §12.1 D21).

use std::collections::{BTreeMap, BTreeSet};

use broker_proto::{Address, Port};

use super::super::{ClusterRole, Configuration, Instance, Node};
use super::distinct;

/// Longest name of a directory, in bytes.
const MAX_NAME: usize = 255;

/// Longest part of a name that a text repeats, in characters.
const MAX_SHOWN: usize = 80;

/// Most others that are named for each port that they use, too: a configuration in which all nodes
/// use one port has as many conflicts as pairs.
const MAX_CONFLICTS: usize = 8;

impl Configuration {
    pub(super) fn check_gaps(&self, texts: &mut Vec<String>) {
        let nodes: BTreeSet<&str> = self.nodes.iter().map(|n| n.name.as_str()).collect();
        for name in nodes {
            let problem = name_problem(name).or_else(|| node_name_problem(name));
            texts.extend(problem.map(|problem| complaint("node", name, problem)));
        }
        let instances: BTreeSet<&str> = self.instances.iter().map(|i| i.name.as_str()).collect();
        for name in instances {
            let problem = name_problem(name);
            texts.extend(problem.map(|problem| complaint("instance", name, problem)));
        }
        let without = self.nodes.iter().filter(|n| n.role == ClusterRole::None);
        texts.extend(without.map(|n| format!("node '{}' has no role", shown(&n.name))));
        texts.extend(self.metrics_conflicts());
    }

    /// Why a node cannot have the name of the controller: a Supervisor has one process of a name, and
    /// the two would share a directory.
    pub fn collision(&self, controller: &str) -> Option<String> {
        let mut nodes = self.nodes.iter();
        nodes
            .any(|node| node.name == controller)
            .then(|| format!("node '{controller}' has the name of the controller"))
    }

    /// Explicit metrics ports that something on the same host uses, too. Instances are on one host
    /// if they have the same known address, which may show only when their agents are connected.
    pub fn metrics_conflicts(&self) -> Vec<String> {
        let places = self.places();
        let place_of = |node: &Node| places.get(node.instance.as_str()).copied();
        let explicit = self.nodes.iter().filter_map(|n| Some((n, n.metrics_port?)));
        let mut texts = Vec::new();

        let used = explicit.clone();
        let used = used.filter_map(|(n, port)| Some((place_of(n)?, port.number)));
        let (_, twice) = distinct(used);
        for (place, number) in twice {
            let port = Port::tcp(number);
            texts.push(format!(
                "multiple nodes on {place} using metrics port {port}"
            ));
        }
        let mut listeners = BTreeMap::<_, Vec<&Node>>::new();
        for node in &self.nodes {
            if let Some(p) = node.p {
                let same = listeners.entry((place_of(node), p.number)).or_default();
                same.push(node);
            }
        }
        let mut agents = BTreeMap::<_, Vec<&Instance>>::new();
        for instance in &self.instances {
            if let Some(p) = instance.listen_port {
                let place = places.get(instance.name.as_str()).copied();
                let same = agents.entry((place, p.number)).or_default();
                same.push(instance);
            }
        }
        for (node, port) in explicit {
            let (name, used) = (&node.name, (place_of(node), port.number));
            let others = listeners.get(&used).into_iter().flatten();
            for other in others.take(MAX_CONFLICTS) {
                let whose = if other.name == *name {
                    "its own port".to_owned()
                } else {
                    format!("the port of node '{}'", other.name)
                };
                texts.push(format!(
                    "node '{name}' metrics port {port} conflicts with {whose}"
                ));
            }
            let agents = agents.get(&used).into_iter().flatten();
            for agent in agents.take(MAX_CONFLICTS) {
                texts.push(format!(
                    "node '{name}' metrics port {port} conflicts with agent port on instance '{}'",
                    agent.name
                ));
            }
        }
        texts
    }

    /// Where each instance is, as far as that can be told.
    fn places(&self) -> BTreeMap<&str, Place<'_>> {
        let (_, shared) = distinct(self.instances.iter().map(|i| i.host));
        let places = self.instances.iter().map(|i| {
            let place = if shared.contains(&i.host) && !i.host.is_unspecified() {
                Place::Host(i.host)
            } else {
                Place::Instance(&i.name)
            };
            (i.name.as_str(), place)
        });
        places.collect()
    }
}

impl Node {
    /// Why no Supervisor should run it, whatever it is part of.
    pub fn problem(&self) -> Option<String> {
        let name = self.name.as_str();
        let problem = name_problem(name).or_else(|| node_name_problem(name));
        let problem = problem.map(|problem| complaint("node", name, problem));
        problem.or_else(|| {
            let has_role = self.role != ClusterRole::None;
            (!has_role).then(|| format!("node '{}' has no role", shown(name)))
        })
    }
}

/// What may use a port once.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Place<'a> {
    /// The host of several instances.
    Host(Address),
    /// The host of this one.
    Instance(&'a str),
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(host) => write!(f, "host {host}"),
            Self::Instance(name) => write!(f, "instance '{name}'"),
        }
    }
}

/// What is wrong with the name of a process that a Supervisor runs, in a directory of that name.
fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty");
    }
    if name.len() > MAX_NAME {
        return Some("is longer than 255 bytes");
    }
    if name.chars().any(char::is_control) {
        return Some("contains control characters");
    }
    // The Supervisor refuses these (API §9.2).
    if name.contains(' ') {
        return Some("contains spaces");
    }
    let mut parts = name.split('/');
    if name.starts_with('/') || parts.any(|part| part == "." || part == "..") {
        return Some("leaves the state directory");
    }
    None
}

/// An agent's directory may be deeper down, because the Supervisor creates it with its parents. The
/// agent creates those of its nodes without.
fn node_name_problem(name: &str) -> Option<&'static str> {
    name.contains('/').then_some("contains a slash")
}

fn complaint(kind: &str, name: &str, problem: &str) -> String {
    format!("{kind} name '{}' {problem}", shown(name))
}

/// A name as people can read it.
fn shown(name: &str) -> String {
    let mut text: String = name.escape_debug().take(MAX_SHOWN + 1).collect();
    if let Some((cut, _)) = text.char_indices().nth(MAX_SHOWN) {
        text.truncate(cut);
        text.push('…');
    }
    text
}
