//! The JSON of a node's configuration, read (API §10.3).
//!
//! Members that are not known are ignored, as stems do. Lists may be missing, for versions of Zeek
//! differ in which they have.

use std::collections::BTreeMap;

use broker_proto::{Address, Port, Protocol};
use serde_json::{Map, Value};

use crate::api::{ClusterEndpoint, ClusterRole, NodeConfig};
use crate::stem::ConfigError;

pub(in crate::stem) fn node(json: &str) -> Result<NodeConfig, ConfigError> {
    let value: Value = serde_json::from_str(json).map_err(|error| ConfigError::Json {
        reason: error.to_string(),
    })?;
    let node = Members::of("configuration", &value)?;
    Ok(NodeConfig {
        name: node.mandatory("name", "a text", text)?,
        interface: node.text("interface")?,
        pcap_file: node.text("pcap_file")?,
        directory: node.text("directory")?,
        stdout_file: node.text("stdout_file")?,
        stderr_file: node.text("stderr_file")?,
        bare_mode: node.read("bare_mode", "true or false", Value::as_bool)?,
        addl_base_scripts: node.texts("addl_base_scripts")?.unwrap_or_default(),
        addl_user_scripts: node.texts("addl_user_scripts")?.unwrap_or_default(),
        scripts: node.texts("scripts")?,
        env: node.members("env", |env, name| env.mandatory(name, "a text", text))?,
        cpu_affinity: node.read("cpu_affinity", "a whole number", Value::as_i64)?,
        cluster: node.members("cluster", endpoint)?.into(),
    })
}

fn endpoint(cluster: &Members<'_>, name: &str) -> Result<ClusterEndpoint, ConfigError> {
    let value = cluster.map.get(name).unwrap_or(&Value::Null);
    let endpoint = Members::of(&format!("{}.{name}", cluster.at), value)?;
    Ok(ClusterEndpoint {
        role: endpoint.mandatory("role", "a role", role)?,
        host: endpoint.mandatory("host", "an address", host)?,
        p: endpoint.mandatory("p", "a port", port)?,
        interface: endpoint.text("interface")?,
        pcap_file: endpoint.text("pcap_file")?,
        metrics_port: endpoint.read("metrics_port", "a port", port)?,
    })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn role(value: &Value) -> Option<ClusterRole> {
    ClusterRole::from_zeek_name(value.as_str()?)
}

/// Addresses of IPv6 may have brackets.
fn host(value: &Value) -> Option<Address> {
    let text = value.as_str()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(text).parse().ok()
}

/// An object, or the text that 7.0 and later read too.
fn port(value: &Value) -> Option<Port> {
    if let Some(text) = value.as_str() {
        return text.parse().ok();
    }
    let number = value.get("port")?.as_u64()?.try_into().ok()?;
    let protocol = match value.get("proto")?.as_str()? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        "unknown" => Protocol::Unknown,
        _ => return None,
    };
    Some(Port { number, protocol })
}

/// An object, and where it is.
struct Members<'a> {
    at: String,
    map: &'a Map<String, Value>,
}

impl<'a> Members<'a> {
    fn of(at: &str, value: &'a Value) -> Result<Self, ConfigError> {
        let map = value.as_object().ok_or_else(|| ConfigError::Member {
            at: at.to_owned(),
            expected: "an object",
        })?;
        let at = at.to_owned();
        Ok(Self { at, map })
    }

    fn wrong(&self, name: &str, expected: &'static str) -> ConfigError {
        let at = format!("{}.{name}", self.at);
        ConfigError::Member { at, expected }
    }

    /// `None` if there is no such member.
    fn read<T>(
        &self,
        name: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.map.get(name) else {
            return Ok(None);
        };
        let read = read(value).ok_or_else(|| self.wrong(name, expected))?;
        Ok(Some(read))
    }

    fn mandatory<T>(
        &self,
        name: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let read = self.read(name, expected, read)?;
        read.ok_or_else(|| self.wrong(name, expected))
    }

    fn text(&self, name: &str) -> Result<Option<String>, ConfigError> {
        self.read(name, "a text", text)
    }

    fn texts(&self, name: &str) -> Result<Option<Vec<String>>, ConfigError> {
        self.read(name, "a list of texts", |value| {
            let items = value.as_array()?.iter();
            items.map(text).collect()
        })
    }

    /// What `read` makes of each member of an object; nothing if there is no such object.
    fn members<T>(
        &self,
        name: &str,
        read: impl Fn(&Self, &str) -> Result<T, ConfigError>,
    ) -> Result<BTreeMap<String, T>, ConfigError> {
        let Some(value) = self.map.get(name) else {
            return Ok(BTreeMap::new());
        };
        let object = Self::of(&format!("{}.{name}", self.at), value)?;
        let members = object.map.keys();
        members
            .map(|name| Ok((name.clone(), read(&object, name)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_read() {
        let json = r#"{"name":"w","interface":"lo","pcap_file":"t.pcap","directory":"d",
            "stdout_file":"o","stderr_file":"e","bare_mode":true,"addl_base_scripts":["a"],
            "addl_user_scripts":["b","c"],"scripts":["d"],"env":{"K":"V"},"cpu_affinity":-1,
            "cluster":{"w":{"role":"Supervisor::WORKER","host":"[2001:db8::1]",
            "p":{"port":0,"proto":"unknown"},"interface":"lo","pcap_file":"t.pcap",
            "metrics_port":"9091/tcp"}},"more":null}"#;
        let endpoint = ClusterEndpoint {
            role: ClusterRole::Worker,
            host: "2001:db8::1".parse().unwrap(),
            p: Port::NONE,
            interface: Some("lo".into()),
            pcap_file: Some("t.pcap".into()),
            metrics_port: Some(Port::tcp(9091)),
        };
        let want = NodeConfig {
            name: "w".into(),
            interface: Some("lo".into()),
            pcap_file: Some("t.pcap".into()),
            directory: Some("d".into()),
            stdout_file: Some("o".into()),
            stderr_file: Some("e".into()),
            bare_mode: Some(true),
            addl_base_scripts: vec!["a".into()],
            addl_user_scripts: vec!["b".into(), "c".into()],
            scripts: Some(vec!["d".into()]),
            env: [("K".into(), "V".into())].into(),
            cpu_affinity: Some(-1),
            cluster: [("w".into(), endpoint)].into(),
        };
        assert_eq!(node(json), Ok(want));
        assert_eq!(node(r#"{"name":"a"}"#), Ok(NodeConfig::named("a")));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let endpoint = |members: &str| format!(r#"{{"name":"w","cluster":{{"w":{{{members}}}}}}}"#);
        let role = r#""role":"Supervisor::WORKER""#;
        for (json, why) in [
            ("[]".into(), "configuration is not an object"),
            ("{}".into(), "configuration.name is not a text"),
            (
                r#"{"name":null}"#.into(),
                "configuration.name is not a text",
            ),
            (
                r#"{"name":"w","directory":null}"#.into(),
                "configuration.directory is not a text",
            ),
            (
                r#"{"name":"w","env":{"K":1}}"#.into(),
                "configuration.env.K is not a text",
            ),
            (
                r#"{"name":"w","scripts":["a",1]}"#.into(),
                "configuration.scripts is not a list of texts",
            ),
            (
                r#"{"name":"w","cpu_affinity":1.5}"#.into(),
                "configuration.cpu_affinity is not a whole number",
            ),
            (
                endpoint(r#""role":"Supervisor::BOSS""#),
                "configuration.cluster.w.role is not a role",
            ),
            (
                endpoint(role),
                "configuration.cluster.w.host is not an address",
            ),
            (
                endpoint(&format!(
                    r#"{role},"host":"::1","p":{{"port":65536,"proto":"tcp"}}"#
                )),
                "configuration.cluster.w.p is not a port",
            ),
        ] {
            assert_eq!(node(&json).unwrap_err().to_string(), why, "{json}");
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(node(&deep), Err(ConfigError::Json { .. })));
    }
}
