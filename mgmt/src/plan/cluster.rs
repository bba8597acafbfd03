//! A cluster's configuration file, with the meaning that zeek-client gives it (CLIENT §C6).

use std::collections::{BTreeMap, BTreeSet};

use broker_proto::{Address, Port};

use super::ini::{Ini, IniError};
use crate::model::{ClusterRole, Configuration, CpuAffinity, Instance, Node, State};

/// The section that lists instances; every other one is a node.
const INSTANCES: &str = "instances";

/// Keys of a node that have a meaning.
const KEYS: [&str; 10] = [
    "cpu_affinity",
    "env",
    "instance",
    "interface",
    "metrics_port",
    "port",
    "role",
    "scripts",
    "state",
    "type",
];

/// Why zeek-client would not send such a file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClusterError {
    /// It is no INI file.
    #[error("not an INI file")]
    Ini(#[from] IniError),
    /// An instance's address does not read.
    #[error("invalid spec for instance \"{name}\": \"{spec}\" should be <host>:<port>")]
    Instance {
        /// Which.
        name: String,
        /// As given.
        spec: String,
    },
    /// A node's value does not read.
    #[error("invalid node \"{name}\" configuration: {problem}")]
    Node {
        /// Which.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Some nodes have an instance and some have none.
    #[error("either all or no nodes must state instances")]
    Mixed,
    /// Instances are listed, and nodes have none.
    #[error("omit instances section when skipping instances in node definitions")]
    NeedlessInstances,
}

/// A configuration and what zeek-client would ignore in its file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cluster {
    /// The configuration, without an id.
    pub config: Configuration,
    /// What has no effect.
    pub ignored: Vec<String>,
}

impl Cluster {
    /// Reads a file. Nodes without instance are on that of the host with this name.
    ///
    /// # Errors
    /// If zeek-client would not send it.
    pub fn parse(text: &str, hostname: &str) -> Result<Self, ClusterError> {
        let ini = Ini::parse(text)?;
        let config = Configuration {
            id: String::new(),
            instances: BTreeSet::new(),
            nodes: BTreeSet::new(),
        };
        let ignored = Vec::new();
        let mut cluster = Self { config, ignored };
        let mut without_instance = 0;
        for name in ini.sections() {
            if name == INSTANCES {
                cluster.config.instances = instances(&ini)?;
                continue;
            }
            let section = Section { ini: &ini, name };
            if ini.keys(name).iter().all(|key| *key != "instance") {
                without_instance += 1;
            }
            let node = section.node(hostname)?;
            cluster.config.nodes.insert(node);
            let unknown = ini.keys(name).into_iter();
            let unknown = unknown.filter(|key| !KEYS.contains(key) || *key == "state");
            let ignored = unknown.map(|key| format!("key {key} of node {name} has no effect"));
            cluster.ignored.extend(ignored);
        }
        if without_instance > 0 {
            if without_instance < cluster.config.nodes.len() {
                return Err(ClusterError::Mixed);
            }
            if ini.has(INSTANCES) {
                return Err(ClusterError::NeedlessInstances);
            }
        }
        if !ini.has(INSTANCES) {
            let names = cluster.config.nodes.iter().map(|node| &node.instance);
            cluster.config.instances = names.map(|name| dialing(name)).collect();
        }
        Ok(cluster)
    }
}

fn instances(ini: &Ini) -> Result<BTreeSet<Instance>, ClusterError> {
    let names = ini.keys(INSTANCES).into_iter();
    let instances = names.map(|name| {
        let spec = ini.get(INSTANCES, name)?.unwrap_or_default();
        if spec.is_empty() {
            return Ok(dialing(name));
        }
        let instance = dialed(name, &spec);
        let name = name.to_owned();
        instance.ok_or(ClusterError::Instance { name, spec })
    });
    instances.collect()
}

/// An instance whose agent dials the controller.
fn dialing(name: &str) -> Instance {
    Instance {
        name: name.to_owned(),
        host: Address::UNSPECIFIED,
        listen_port: None,
    }
}

/// An instance whose agent the controller dials.
fn dialed(name: &str, spec: &str) -> Option<Instance> {
    let (host, port) = spec.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']', ' ']).parse().ok()?;
    let port = port.trim().parse().ok().filter(|port| *port > 0)?;
    Some(Instance {
        host,
        listen_port: Some(Port::tcp(port)),
        ..dialing(name)
    })
}

/// A node's section.
struct Section<'a> {
    ini: &'a Ini,
    name: &'a str,
}

impl Section<'_> {
    fn node(&self, hostname: &str) -> Result<Node, ClusterError> {
        let instance = self.get("instance")?.filter(|name| !name.is_empty());
        let role = match self.get("role")? {
            Some(role) => Some(role),
            None => self.get("type")?,
        };
        let role = role.filter(|role| !role.is_empty());
        let role = role.ok_or_else(|| self.error("node requires a role"))?;
        let scripts = self.words("scripts")?.map(|mut scripts| {
            scripts.sort();
            scripts
        });
        Ok(Node {
            name: self.name.to_owned(),
            instance: instance.unwrap_or_else(|| format!("agent-{hostname}")),
            role: role_of(&role)
                .ok_or_else(|| self.error(format!("role \"{role}\" is invalid")))?,
            state: State::Running,
            p: self.port("port")?,
            scripts,
            options: None,
            interface: self.get("interface")?,
            cpu_affinity: self.number("cpu_affinity")?.map(CpuAffinity),
            env: self.env()?,
            metrics_port: self.port("metrics_port")?,
        })
    }

    fn get(&self, key: &str) -> Result<Option<String>, ClusterError> {
        Ok(self.ini.get(self.name, key)?)
    }

    fn number(&self, key: &str) -> Result<Option<i64>, ClusterError> {
        let Some(text) = self.get(key)? else {
            return Ok(None);
        };
        let number = text.trim().parse();
        let name = self.name;
        let problem = || format!("cannot convert \"{name}.{key}\" value \"{text}\" to int");
        number.map(Some).map_err(|_| self.error(problem()))
    }

    fn port(&self, key: &str) -> Result<Option<Port>, ClusterError> {
        let Some(number) = self.number(key)? else {
            return Ok(None);
        };
        let port = u16::try_from(number).ok().filter(|port| *port > 0);
        let what = key.replace('_', " ");
        let problem = || format!("{what} {number} outside valid range");
        port.map(|port| Some(Port::tcp(port)))
            .ok_or_else(|| self.error(problem()))
    }

    /// Words as a shell splits them; `None` if there is nothing.
    fn words(&self, key: &str) -> Result<Option<Vec<String>>, ClusterError> {
        let Some(text) = self.get(key)?.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let words = split(&text);
        let problem = || format!("{key} value \"{text}\" is invalid");
        words.map(Some).ok_or_else(|| self.error(problem()))
    }

    fn env(&self) -> Result<BTreeMap<String, String>, ClusterError> {
        let words = self.words("env")?.unwrap_or_default().into_iter();
        let pairs = words.map(|word| match word.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(self.error(format!("env value \"{word}\" is invalid"))),
        });
        pairs.collect()
    }

    fn error(&self, problem: impl Into<String>) -> ClusterError {
        ClusterError::Node {
            name: self.name.to_owned(),
            problem: problem.into(),
        }
    }
}

/// A role by its name, in any case and with or without its module.
fn role_of(name: &str) -> Option<ClusterRole> {
    let name = name.rsplit("::").next()?;
    let name = name.rsplit('.').next()?.to_uppercase();
    let all = [
        ClusterRole::None,
        ClusterRole::Logger,
        ClusterRole::Manager,
        ClusterRole::Proxy,
        ClusterRole::Worker,
    ];
    let fits = |role: &ClusterRole| role.zeek_name() == format!("Supervisor::{name}");
    all.into_iter().find(fits)
}

/// Splits as Python's `shlex.split` does; `None` if a quotation or an escape does not end.
pub fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next()?),
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// The rest of a double-quoted piece: a backslash escapes only a quote and itself.
fn quoted(chars: &mut impl Iterator<Item = char>, word: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '\\' => match chars.next()? {
                c @ ('"' | '\\') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
