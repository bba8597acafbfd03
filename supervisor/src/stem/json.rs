//! [`NodeConfig`] as the JSON a stem reads (API §10.3).
//!
//! Written by hand: order and presence of members are those of Zeek's own writer. Unset members
//! are left out, for a stem trips over null.

pub(super) mod read;

use std::collections::BTreeMap;
use std::fmt::Write;

use broker_proto::Port;

use crate::api::{ClusterEndpoint, Layout, NodeConfig};

/// Appends the whole object.
pub(super) fn write_node(config: &NodeConfig, zeek: Option<Layout>, out: &mut String) {
    let mut object = Object::open(out);
    object.string("name", &config.name);
    object.optional("interface", config.interface.as_ref());
    object.optional("pcap_file", config.pcap_file.as_ref());
    object.optional("directory", config.directory.as_ref());
    object.optional("stdout_file", config.stdout_file.as_ref());
    object.optional("stderr_file", config.stderr_file.as_ref());
    if let Some(bare) = config.bare_mode {
        object
            .member("bare_mode")
            .push_str(if bare { "true" } else { "false" });
    }
    write_strings(
        &config.addl_base_scripts,
        object.member("addl_base_scripts"),
    );
    write_strings(
        &user_scripts(config, zeek),
        object.member("addl_user_scripts"),
    );
    if let Some(scripts) = scripts(config, zeek) {
        write_strings(&scripts, object.member("scripts"));
    }
    write_env(&config.env, object.member("env"));
    if let Some(cpu) = config.cpu_affinity {
        object.number("cpu_affinity", cpu);
    }
    write_cluster(&config.cluster, object.member("cluster"));
    object.close();
}

/// Stems of 6.1 and later know no other list, so what an older agent has in `scripts` goes here, too.
/// A stem that is given a script twice loads it once.
fn user_scripts(config: &NodeConfig, zeek: Option<Layout>) -> Vec<String> {
    let mut scripts = config.addl_user_scripts.clone();
    if zeek.is_none_or(Layout::has_addl_scripts) {
        let more = config.scripts.iter().flatten();
        scripts.extend(
            more.filter(|more| !config.addl_user_scripts.contains(more))
                .cloned(),
        );
    }
    scripts
}

/// A member that stems before 6.1 insist on. Those that know nothing else get the user's scripts
/// there.
fn scripts(config: &NodeConfig, zeek: Option<Layout>) -> Option<Vec<String>> {
    let is_wanted = zeek.map_or_else(|| config.scripts.is_some(), Layout::has_scripts);
    let mut scripts = config.scripts.clone().unwrap_or_default();
    if zeek.is_some_and(|zeek| !zeek.has_addl_scripts()) {
        scripts.extend_from_slice(&config.addl_base_scripts);
        scripts.extend_from_slice(&config.addl_user_scripts);
    }
    is_wanted.then_some(scripts)
}

fn write_strings(items: &[String], out: &mut String) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(item, out);
    }
    out.push(']');
}

fn write_env(env: &BTreeMap<String, String>, out: &mut String) {
    let mut object = Object::open(out);
    for (name, value) in env {
        object.string(name, value);
    }
    object.close();
}

fn write_cluster(cluster: &BTreeMap<String, ClusterEndpoint>, out: &mut String) {
    let mut object = Object::open(out);
    for (name, endpoint) in cluster {
        write_endpoint(endpoint, object.member(name));
    }
    object.close();
}

fn write_endpoint(endpoint: &ClusterEndpoint, out: &mut String) {
    let mut object = Object::open(out);
    object.string("role", endpoint.role.zeek_name());
    object.string("host", &endpoint.host.to_string());
    write_port(endpoint.p, object.member("p"));
    object.optional("interface", endpoint.interface.as_ref());
    object.optional("pcap_file", endpoint.pcap_file.as_ref());
    if let Some(port) = endpoint.metrics_port {
        write_port(port, object.member("metrics_port"));
    }
    object.close();
}

fn write_port(port: Port, out: &mut String) {
    let mut object = Object::open(out);
    object.number("port", port.number.into());
    object.string("proto", port.protocol.name());
    object.close();
}

/// Escapes as Zeek's own writer does, RapidJSON, whose digits are capitals. Broker's, which
/// zeek-client-compat follows, has small ones.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' => write_escape(c, out),
            _ => out.push(c),
        }
    }
    out.push('"');
}

fn write_escape(c: char, out: &mut String) {
    write!(out, "\\u{:04X}", u32::from(c)).expect("a String takes any text");
}

/// An object being written.
struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// Begins a member; the caller appends its value to what is returned.
    fn member(&mut self, name: &str) -> &mut String {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        write_string(name, self.out);
        self.out.push(':');
        self.out
    }

    fn string(&mut self, name: &str, value: &str) {
        write_string(value, self.member(name));
    }

    fn optional(&mut self, name: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.string(name, value);
        }
    }

    fn number(&mut self, name: &str, value: i64) {
        self.member(name).push_str(&value.to_string());
    }

    fn close(self) {
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ClusterRole;

    fn json(config: &NodeConfig) -> String {
        let mut text = String::new();
        write_node(config, None, &mut text);
        text
    }

    #[test]
    fn unset_members_are_left_out() {
        assert_eq!(
            json(&NodeConfig::named("a")),
            r#"{"name":"a","addl_base_scripts":[],"addl_user_scripts":[],"env":{},"cluster":{}}"#
        );
    }

    #[test]
    fn set_members_come_in_the_order_of_the_record() {
        let endpoint = ClusterEndpoint {
            role: ClusterRole::Worker,
            host: "2001:db8::1".parse().unwrap(),
            p: Port::NONE,
            interface: None,
            pcap_file: Some("t.pcap".into()),
            metrics_port: Some(Port::tcp(9091)),
        };
        let config = NodeConfig {
            name: "w".into(),
            interface: None,
            pcap_file: Some("t.pcap".into()),
            directory: Some("d".into()),
            stdout_file: Some("o".into()),
            stderr_file: Some("e".into()),
            bare_mode: Some(false),
            addl_base_scripts: vec!["a".into(), "b".into()],
            addl_user_scripts: vec!["c".into()],
            scripts: None,
            env: [("K".into(), "V".into()), ("L".into(), String::new())].into(),
            cpu_affinity: Some(-1),
            cluster: [("w".into(), endpoint)].into(),
        };
        let want = concat!(
            r#"{"name":"w","pcap_file":"t.pcap","directory":"d","stdout_file":"o","#,
            r#""stderr_file":"e","bare_mode":false,"addl_base_scripts":["a","b"],"#,
            r#""addl_user_scripts":["c"],"env":{"K":"V","L":""},"cpu_affinity":-1,"#,
            r#""cluster":{"w":{"role":"Supervisor::WORKER","host":"2001:db8::1","#,
            r#""p":{"port":0,"proto":"unknown"},"pcap_file":"t.pcap","#,
            r#""metrics_port":{"port":9091,"proto":"tcp"}}}}"#
        );
        assert_eq!(json(&config), want);
    }

    #[test]
    fn what_agents_before_5_1_order_reaches_stems_of_every_version() {
        let mut config = NodeConfig::named("w");
        config.scripts = Some(vec!["s".into()]);
        for zeek in [None, Some(Layout::V5_1), Some(Layout::V7_0)] {
            let mut text = String::new();
            write_node(&config, zeek, &mut text);
            assert!(text.contains(r#""addl_user_scripts":["s"]"#), "{text}");
        }
        let mut text = String::new();
        write_node(&config, Some(Layout::V4_1), &mut text);
        assert!(text.contains(r#""scripts":["s"]"#), "{text}");
    }

    #[test]
    fn stems_before_6_1_get_scripts() {
        let mut config = NodeConfig::named("w");
        config.addl_base_scripts = vec!["b".into()];
        config.addl_user_scripts = vec!["u".into()];
        let written = |config: &NodeConfig, zeek| {
            let mut text = String::new();
            write_node(config, zeek, &mut text);
            let (_, rest) = text.split_once(r#""addl_user_scripts":["u""#).unwrap();
            let (_, rest) = rest.split_once("],").unwrap();
            rest.split_once(r#""env""#).unwrap().0.to_owned()
        };
        assert_eq!(written(&config, None), "");
        assert_eq!(written(&config, Some(Layout::V7_0)), "");
        assert_eq!(written(&config, Some(Layout::V6_0)), r#""scripts":[],"#);
        let all = r#""scripts":["b","u"],"#;
        assert_eq!(written(&config, Some(Layout::V4_1)), all);
        config.scripts = Some(vec!["s".into()]);
        assert_eq!(written(&config, None), r#""scripts":["s"],"#);
    }

    #[test]
    fn no_text_can_end_the_message_or_its_string() {
        let mut config = NodeConfig::named("a");
        config.interface = Some("\0\"\\\n\t\u{1f}ü/".into());
        let text = json(&config);
        assert!(!text.contains('\0'));
        assert!(text.contains(r#""interface":"\u0000\"\\\n\t\u001Fü/""#));
    }
}
