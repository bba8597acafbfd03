//! The NodeConfig JSON of the stem protocol (API §10.3), read as strictly as it is specified.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What a node is told to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NodeConfig {
    /// Its name.
    pub(crate) name: String,
    /// Where it runs; relative to the stem's directory.
    pub(crate) directory: Option<String>,
    /// Where its standard output goes instead of to the stem.
    pub(crate) stdout_file: Option<String>,
    /// Where its standard error goes instead of to the stem.
    pub(crate) stderr_file: Option<String>,
    /// Every script it is given, in the order of API §11 L3.
    pub(crate) scripts: Vec<String>,
    /// Added to its environment.
    pub(crate) env: BTreeMap<String, String>,
    /// The one processor it may use.
    pub(crate) cpu_affinity: Option<u32>,
    /// The layout, by node name.
    pub(crate) cluster: BTreeMap<String, Endpoint>,
}

/// One node of the layout.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    /// What it does in the cluster.
    pub(crate) role: Role,
    /// Where it listens, if it does.
    pub(crate) port: Option<u16>,
}

/// `Supervisor::ClusterRole`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// Not part of a cluster.
    None,
    /// Takes the logs.
    Logger,
    /// Directs the others.
    Manager,
    /// Shares the workers' load.
    Proxy,
    /// Would see packets.
    Worker,
}

impl NodeConfig {
    /// Reads what follows `create <name> `. Members it does not know are ignored.
    ///
    /// # Errors
    /// If it is not JSON, or a member is missing or of the wrong type; stock stops at an assertion.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
        let members = Members::of("NodeConfig", &value)?;
        let mut scripts = members.strings("addl_base_scripts")?;
        scripts.extend(members.strings("addl_user_scripts")?);
        let layout = members.object("cluster")?;
        let endpoints = layout.iter().map(|(name, value)| {
            let endpoint = Endpoint::from_json(name, value)?;
            Ok((name.clone(), endpoint))
        });
        Ok(Self {
            name: members.text("name")?.ok_or("NodeConfig: no name")?,
            directory: members.text("directory")?,
            stdout_file: members.text("stdout_file")?,
            stderr_file: members.text("stderr_file")?,
            scripts,
            env: members.env()?,
            cpu_affinity: members.number("cpu_affinity")?,
            cluster: endpoints.collect::<Result<_, String>>()?,
        })
    }

    /// Zeek's `Cluster::node`: empty unless there is a layout (API §11 L1).
    pub(crate) fn cluster_node(&self) -> &str {
        if self.cluster.is_empty() {
            return "";
        }
        &self.name
    }

    /// Its own place in the layout.
    pub(crate) fn own_endpoint(&self) -> Option<&Endpoint> {
        self.cluster.get(&self.name)
    }
}

impl Endpoint {
    fn from_json(name: &str, value: &Value) -> Result<Self, String> {
        let members = Members::of(&format!("cluster endpoint {name}"), value)?;
        let role = members.text("role")?;
        let role = role.ok_or_else(|| members.wrong("role", "a text"))?;
        let role = Role::parse(&role).ok_or_else(|| members.wrong("role", "a ClusterRole"))?;
        if members.text("host")?.is_none_or(|host| host.is_empty()) {
            return Err(members.wrong("host", "an address"));
        }
        let port = members.get("p").and_then(port_number);
        let port = port.ok_or_else(|| members.wrong("p", "a port"))?;
        if let Some(metrics) = members.get("metrics_port") {
            port_number(metrics).ok_or_else(|| members.wrong("metrics_port", "a port"))?;
        }
        Ok(Self {
            role,
            port: (port != 0).then_some(port),
        })
    }
}

impl Role {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "Supervisor::NONE" => Some(Self::None),
            "Supervisor::LOGGER" => Some(Self::Logger),
            "Supervisor::MANAGER" => Some(Self::Manager),
            "Supervisor::PROXY" => Some(Self::Proxy),
            "Supervisor::WORKER" => Some(Self::Worker),
            _ => None,
        }
    }
}

/// `{"port": 5000, "proto": "tcp"}`, or the text `5000/tcp` that 7.0 and later read too.
fn port_number(value: &Value) -> Option<u16> {
    let known = |proto: &str| matches!(proto, "tcp" | "udp" | "icmp" | "unknown");
    if let Some(text) = value.as_str() {
        let (number, proto) = text.split_once('/')?;
        return number.parse().ok().filter(|_| known(proto));
    }
    let proto = value.get("proto")?.as_str()?;
    let number = u16::try_from(value.get("port")?.as_u64()?).ok()?;
    known(proto).then_some(number)
}

/// An object that remembers what it is, for the error texts.
struct Members<'a> {
    what: String,
    map: &'a Map<String, Value>,
}

impl<'a> Members<'a> {
    fn of(what: &str, value: &'a Value) -> Result<Self, String> {
        let map = value.as_object();
        Ok(Self {
            what: what.to_owned(),
            map: map.ok_or_else(|| format!("{what}: not an object"))?,
        })
    }

    fn wrong(&self, name: &str, expected: &str) -> String {
        format!("{}: {name} is not {expected}", self.what)
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name)
    }

    fn text(&self, name: &str) -> Result<Option<String>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value.as_str().ok_or_else(|| self.wrong(name, "a text"))?;
        Ok(Some(text.to_owned()))
    }

    fn number(&self, name: &str) -> Result<Option<u32>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        number
            .map(Some)
            .ok_or_else(|| self.wrong(name, "a small number"))
    }

    fn strings(&self, name: &str) -> Result<Vec<String>, String> {
        let items = self.get(name).and_then(Value::as_array);
        let items = items.ok_or_else(|| self.wrong(name, "an array"))?;
        let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
        let texts: Option<Vec<_>> = texts.collect();
        texts.ok_or_else(|| self.wrong(name, "an array of texts"))
    }

    fn object(&self, name: &str) -> Result<&'a Map<String, Value>, String> {
        let object = self.get(name).and_then(Value::as_object);
        object.ok_or_else(|| self.wrong(name, "an object"))
    }

    fn env(&self) -> Result<BTreeMap<String, String>, String> {
        let entries = self.object("env")?.iter().map(|(name, value)| {
            let value = value.as_str().ok_or_else(|| self.wrong("env", "texts"))?;
            Ok((name.clone(), value.to_owned()))
        });
        entries.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a Zeek 8.0.10 Supervisor wrote it.
    const WORKER: &str = r#"{"name":"worker-01","interface":"lo","directory":"/d/worker-01","addl_base_scripts":[],"addl_user_scripts":["policy/tuning/json-logs","policy/frameworks/management/node"],"env":{"FOO":"BAR"},"cpu_affinity":0,"cluster":{"logger-01":{"role":"Supervisor::LOGGER","host":"127.0.0.1","p":{"port":5001,"proto":"tcp"}},"worker-01":{"role":"Supervisor::WORKER","host":"127.0.0.1","p":{"port":0,"proto":"unknown"},"interface":"lo"}}}"#;

    #[test]
    fn a_recorded_config_is_read_whole() {
        let config = NodeConfig::parse(WORKER).unwrap();
        assert_eq!(config.name, "worker-01");
        assert_eq!(config.cluster_node(), "worker-01");
        assert_eq!(config.directory.as_deref(), Some("/d/worker-01"));
        assert_eq!(config.cpu_affinity, Some(0));
        assert_eq!(config.env["FOO"], "BAR");
        assert_eq!(
            config.scripts,
            [
                "policy/tuning/json-logs",
                "policy/frameworks/management/node"
            ]
        );
        let own = config.own_endpoint().unwrap();
        assert_eq!((own.role, own.port), (Role::Worker, None));
        assert_eq!(config.cluster["logger-01"].port, Some(5001));
    }

    #[test]
    fn mandatory_members_are_missed_by_name() {
        for member in [
            "name",
            "addl_base_scripts",
            "addl_user_scripts",
            "env",
            "cluster",
        ] {
            let json = WORKER.replacen(&format!("\"{member}\""), "\"unknown\"", 1);
            let error = NodeConfig::parse(&json).unwrap_err();
            assert!(error.contains(member), "{error}");
        }
    }

    #[test]
    fn null_is_no_way_to_leave_a_member_out() {
        let json = WORKER.replace("\"/d/worker-01\"", "null");
        assert_eq!(
            NodeConfig::parse(&json),
            Err("NodeConfig: directory is not a text".into())
        );
    }

    #[test]
    fn a_port_may_be_an_object_or_a_text() {
        let json = WORKER.replace(r#"{"port":5001,"proto":"tcp"}"#, r#""5001/tcp""#);
        let config = NodeConfig::parse(&json).unwrap();
        assert_eq!(config.cluster["logger-01"].port, Some(5001));
        let json = WORKER.replace(r#"{"port":5001,"proto":"tcp"}"#, "5001");
        assert_eq!(
            NodeConfig::parse(&json),
            Err("cluster endpoint logger-01: p is not a port".into())
        );
    }

    #[test]
    fn a_node_without_layout_has_no_cluster_name() {
        let json = r#"{"name":"a","addl_base_scripts":[],"addl_user_scripts":[],"env":{},"cluster":{},"more":null}"#;
        let config = NodeConfig::parse(json).unwrap();
        assert_eq!(config.cluster_node(), "");
        assert_eq!(config.own_endpoint(), None);
    }
}
