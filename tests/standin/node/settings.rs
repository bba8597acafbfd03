//! Where a node's agent is, and how it is spoken to (API §6 N3, N4).

use std::path::PathBuf;

use broker_proto::peering::PeerAddr;
use broker_proto::tls::{Certificates, Passphrase, Tls};

/// The settings among a node's arguments and environment that matter here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Settings {
    /// Its agent.
    pub(super) agent: Result<PeerAddr, String>,
    /// Where it listens if it has a port.
    pub(super) listen_host: String,
    /// How links are protected.
    pub(super) tls: Tls,
}

impl Settings {
    /// A setting given as argument goes before the environment; of several the last counts.
    pub(super) fn read(args: &[String], env: impl Fn(&str) -> Option<String>) -> Self {
        let arg = |name: &str| {
            let mut settings = args.iter().rev().filter_map(|arg| arg.split_once('='));
            let setting = settings.find(|(n, _)| *n == name);
            setting.map(|(_, value)| value.trim_matches('"').to_owned())
        };
        let set = |value: Option<String>| value.filter(|value| !value.is_empty());
        let host = set(arg("Management::Agent::listen_address"))
            .or_else(|| set(env("ZEEK_AGENT_ADDR")))
            .or_else(|| set(arg("Management::default_address")))
            .unwrap_or_else(|| "0.0.0.0".to_owned());
        let port = set(arg("Management::Agent::listen_port"))
            .or_else(|| set(env("ZEEK_AGENT_PORT")))
            .or_else(|| set(arg("Management::Agent::default_port")))
            .unwrap_or_else(|| "2151/tcp".to_owned());
        let host = reachable(&host);
        Self {
            agent: tcp_port(&port).map(|port| PeerAddr { host, port }),
            listen_host: set(env("ZEEK_DEFAULT_LISTEN_ADDRESS"))
                .unwrap_or_else(|| "127.0.0.1".to_owned()),
            tls: tls(&arg),
        }
    }
}

/// Off wins, and one of the five options is enough for certificates (WIRE §7).
fn tls(arg: &impl Fn(&str) -> Option<String>) -> Tls {
    if matches!(
        arg("Broker::disable_ssl").as_deref(),
        Some("T" | "true" | "1")
    ) {
        return Tls::Off;
    }
    let given = |name: &str| arg(name).filter(|value| !value.is_empty());
    let path = |name: &str| given(name).map(PathBuf::from);
    let certificates = Certificates {
        certificate: path("Broker::ssl_certificate"),
        keyfile: path("Broker::ssl_keyfile"),
        passphrase: given("Broker::ssl_passphrase").map(Passphrase::new),
        cafile: path("Broker::ssl_cafile"),
        capath: path("Broker::ssl_capath"),
        ..Certificates::default()
    };
    if certificates == Certificates::default() {
        return Tls::Anonymous;
    }
    Tls::Certificates(certificates)
}

/// The wildcard addresses reach this host (API §6 N3).
fn reachable(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "::1".to_owned(),
        _ => host.to_owned(),
    }
}

/// Zeek's `to_port`: without `/tcp` it is an unknown port, which Broker refuses (API §6 N4).
fn tcp_port(text: &str) -> Result<u16, String> {
    let number = text.strip_suffix("/tcp").and_then(|n| n.parse().ok());
    let number = number.filter(|&number| number != 0);
    number.ok_or_else(|| format!("agent port '{text}' is not a port like 2151/tcp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: &[&str], variables: &[(&str, &str)]) -> Settings {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name);
        Settings::read(&args, |name| find(name).map(|(_, v)| (*v).to_owned()))
    }

    fn agent(args: &[&str], variables: &[(&str, &str)]) -> String {
        settings(args, variables).agent.unwrap().to_string()
    }

    #[test]
    fn the_default_agent_is_on_this_host() {
        assert_eq!(agent(&[], &[]), "127.0.0.1:2151");
    }

    #[test]
    fn arguments_go_before_the_environment() {
        let env = [
            ("ZEEK_AGENT_ADDR", "10.0.0.1"),
            ("ZEEK_AGENT_PORT", "4711/tcp"),
        ];
        assert_eq!(agent(&["a.zeek", "x=y"], &env), "10.0.0.1:4711");
        let args = [
            "Management::Agent::listen_address=::",
            "Management::Agent::listen_port=4712/tcp",
        ];
        assert_eq!(agent(&args, &env), "[::1]:4712");
    }

    #[test]
    fn a_bare_port_number_is_refused_as_by_zeek() {
        let settings = settings(&[], &[("ZEEK_AGENT_PORT", "2151")]);
        assert_eq!(
            settings.agent,
            Err("agent port '2151' is not a port like 2151/tcp".into())
        );
    }

    #[test]
    fn tls_is_on_unless_switched_off() {
        assert_eq!(settings(&[], &[]).tls, Tls::Anonymous);
        assert_eq!(
            settings(&["Broker::disable_ssl=F"], &[]).tls,
            Tls::Anonymous
        );
        assert_eq!(settings(&["Broker::disable_ssl=T"], &[]).tls, Tls::Off);
    }

    #[test]
    fn one_of_five_options_means_certificates_unless_tls_is_off() {
        let cafile = "Broker::ssl_cafile=/etc/ca.pem";
        let certificates = Certificates {
            cafile: Some("/etc/ca.pem".into()),
            ..Certificates::default()
        };
        assert_eq!(
            settings(&[cafile], &[]).tls,
            Tls::Certificates(certificates)
        );
        let off = [cafile, "Broker::disable_ssl=T"];
        assert_eq!(settings(&off, &[]).tls, Tls::Off);
        let empty = ["Broker::ssl_cafile="];
        assert_eq!(settings(&empty, &[]).tls, Tls::Anonymous);
    }
}
