//! The NodeConfig JSON of the stem protocol (API §10.3), read as strictly as it is specified.
//!
//! The stem's own reading, a check on the supervisor that wrote it. What becomes of the node is for
//! the node to read ([`supervisor::standing`]).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// What the stem itself must know of a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NodeConfig {
    /// Its name.
    pub(crate) name: String,
    /// Added to its environment.
    pub(crate) env: BTreeMap<String, String>,
    /// The nodes of the layout.
    pub(crate) cluster: BTreeSet<String>,
}

/// Those that may be left out.
const TEXTS: [&str; 5] = [
    "interface",
    "pcap_file",
    "directory",
    "stdout_file",
    "stderr_file",
];

const ROLES: [&str; 5] = [
    "Supervisor::NONE",
    "Supervisor::LOGGER",
    "Supervisor::MANAGER",
    "Supervisor::PROXY",
    "Supervisor::WORKER",
];

impl NodeConfig {
    /// Reads what follows `create <name> `. Members it does not know are ignored.
    ///
    /// # Errors
    /// If it is not JSON, or a member is missing or of the wrong type; stock stops at an assertion.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
        let members = Members::of("NodeConfig", &value)?;
        for name in TEXTS {
            members.text(name)?;
        }
        for name in ["addl_base_scripts", "addl_user_scripts"] {
            members.strings(name)?;
        }
        members.number("cpu_affinity")?;
        let layout = members.object("cluster")?;
        for (name, endpoint) in layout {
            check_endpoint(name, endpoint)?;
        }
        Ok(Self {
            name: members.text("name")?.ok_or("NodeConfig: no name")?,
            env: members.env()?,
            cluster: layout.keys().cloned().collect(),
        })
    }
}

fn check_endpoint(name: &str, value: &Value) -> Result<(), String> {
    let members = Members::of(&format!("cluster endpoint {name}"), value)?;
    let role = members.text("role")?;
    let role = role.ok_or_else(|| members.wrong("role", "a text"))?;
    if !ROLES.contains(&role.as_str()) {
        return Err(members.wrong("role", "a ClusterRole"));
    }
    if members.text("host")?.is_none_or(|host| host.is_empty()) {
        return Err(members.wrong("host", "an address"));
    }
    let port = members.get("p").and_then(port_number);
    port.ok_or_else(|| members.wrong("p", "a port"))?;
    if let Some(metrics) = members.get("metrics_port") {
        port_number(metrics).ok_or_else(|| members.wrong("metrics_port", "a port"))?;
    }
    Ok(())
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
    fn a_recorded_config_is_read() {
        let config = NodeConfig::parse(WORKER).unwrap();
        assert_eq!(config.name, "worker-01");
        assert_eq!(config.env["FOO"], "BAR");
        let cluster: Vec<_> = config.cluster.iter().collect();
        assert_eq!(cluster, ["logger-01", "worker-01"]);
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
        NodeConfig::parse(&json).unwrap();
        let json = WORKER.replace(r#"{"port":5001,"proto":"tcp"}"#, "5001");
        assert_eq!(
            NodeConfig::parse(&json),
            Err("cluster endpoint logger-01: p is not a port".into())
        );
    }
}
