//! From stock's option names, environment variables and defaults to typed settings.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use broker_proto::peering::PeerAddr;
use broker_proto::tls::{Certificates, NameCheck, Passphrase, Tls};

use super::log::log;
use super::value;
use super::{AgentSettings, AutoAssign, ControllerSettings, Settings};

/// Where settings come from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sources {
    /// `Stock::Option=value` arguments; they win over everything else.
    pub assignments: BTreeMap<String, String>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The host's name, part of default names.
    pub hostname: String,
    /// The Zeek installation, for the default state directory.
    pub prefix: PathBuf,
}

/// A setting whose value does not read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{name}: '{value}' is not {expected}")]
pub struct SettingError {
    /// The option or the environment variable.
    pub name: String,
    /// The value as given.
    pub value: String,
    /// What it should be.
    pub expected: &'static str,
}

const PORT: &str = "a port such as 2150/tcp";
const INTERVAL: &str = "an interval such as 10secs";

/// The options that are read here.
const OPTIONS: &[&str] = &[
    "Broker::default_listen_address",
    "Broker::default_port",
    "Broker::disable_ssl",
    "Broker::ssl_cafile",
    "Broker::ssl_capath",
    "Broker::ssl_certificate",
    "Broker::ssl_keyfile",
    "Broker::ssl_passphrase",
    "Broker::table_store_db_directory",
    "Log::default_rotation_dir",
    "Log::default_rotation_interval",
    "LogAscii::use_json",
    "Management::Agent::controller",
    "Management::Agent::default_port",
    "Management::Agent::listen_address",
    "Management::Agent::listen_port",
    "Management::Agent::name",
    "Management::Controller::auto_assign_broker_ports",
    "Management::Controller::auto_assign_broker_start_port",
    "Management::Controller::auto_assign_metrics_ports",
    "Management::Controller::auto_assign_metrics_start_port",
    "Management::Controller::default_port",
    "Management::Controller::default_port_websocket",
    "Management::Controller::listen_address",
    "Management::Controller::listen_address_websocket",
    "Management::Controller::listen_port",
    "Management::Controller::listen_port_websocket",
    "Management::Controller::name",
    "Management::Log::level",
    "Management::Request::timeout_interval",
    "Management::connect_retry",
    "Management::default_address",
    "Management::spool_dir",
    "Management::state_dir",
];

/// The options that name a file or a directory of TLS, for programs that run elsewhere.
pub const TLS_PATHS: &[&str] = &[
    "Broker::ssl_cafile",
    "Broker::ssl_capath",
    "Broker::ssl_certificate",
    "Broker::ssl_keyfile",
];

/// Whether controller or agent read this option.
pub fn is_option(name: &str) -> bool {
    OPTIONS.contains(&name)
}

impl Sources {
    /// The options among the assignments that have no effect on controller and agent.
    pub fn unknown_options(&self) -> impl Iterator<Item = &str> {
        self.assignments
            .keys()
            .map(String::as_str)
            .filter(|name| !is_option(name))
    }

    /// Whether everything stays in the working directory, and logs stay where they are.
    pub(super) fn is_testing(&self) -> bool {
        let value = self.env.get("ZEEK_MANAGEMENT_TESTING");
        value.is_some_and(|value| !value.is_empty())
    }

    /// The value of an option, else of a variable, with the name it was found under.
    fn find<'a>(
        &'a self,
        option: &'a str,
        variable: Option<&'a str>,
    ) -> Option<(&'a str, &'a str)> {
        if let Some(value) = self.assignments.get(option) {
            return Some((option, value));
        }
        let variable = variable?;
        let value = self.env.get(variable).filter(|value| !value.is_empty())?;
        Some((variable, value))
    }

    pub(super) fn read<T>(
        &self,
        option: &str,
        variable: Option<&str>,
        expected: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingError> {
        let Some((name, text)) = self.find(option, variable) else {
            return Ok(None);
        };
        let error = || SettingError {
            name: name.to_owned(),
            value: text.to_owned(),
            expected,
        };
        read(text).map(Some).ok_or_else(error)
    }

    pub(super) fn text(
        &self,
        option: &str,
        variable: Option<&str>,
    ) -> Result<Option<String>, SettingError> {
        self.read(option, variable, "a string", value::string)
    }

    pub(super) fn flag(&self, option: &str) -> Result<Option<bool>, SettingError> {
        self.read(option, None, "T or F", value::boolean)
    }

    /// A listening port; `Some(None)` switches it off.
    fn port(
        &self,
        option: &str,
        variable: Option<&str>,
    ) -> Result<Option<Option<u16>>, SettingError> {
        self.read(option, variable, PORT, value::tcp_port)
    }

    pub(super) fn interval(&self, option: &str) -> Result<Option<Duration>, SettingError> {
        self.read(option, None, INTERVAL, value::interval)
    }
}

impl Settings {
    /// Reads all settings (API §8.1, §8.2).
    ///
    /// # Errors
    /// If a value is not of its option's type; the error names the option or variable.
    pub fn resolve(sources: &Sources) -> Result<Self, SettingError> {
        let controller = controller(sources)?;
        let store_dir = store_dir(sources, &controller.name)?;
        Ok(Self {
            controller,
            agent: agent(sources)?,
            supervisor: PeerAddr {
                host: "127.0.0.1".into(),
                port: supervisor_port(sources)?,
            },
            tls: tls(sources)?,
            state_dir: state_dir(sources)?,
            log: log(sources)?,
            store_dir,
        })
    }
}

/// As stock: off wins, and one of the five options is enough for certificates (WIRE §7).
fn tls(sources: &Sources) -> Result<Tls, SettingError> {
    if sources.flag("Broker::disable_ssl")?.unwrap_or(false) {
        return Ok(Tls::Off);
    }
    // Empty is stock's default and means not set.
    let given = |option: &str| {
        let text = sources.text(option, None)?;
        Ok(text.filter(|text| !text.is_empty()))
    };
    let path = |option: &str| Ok(given(option)?.map(PathBuf::from));
    let certificates = Certificates {
        certificate: path("Broker::ssl_certificate")?,
        keyfile: path("Broker::ssl_keyfile")?,
        passphrase: given("Broker::ssl_passphrase")?.map(Passphrase::new),
        cafile: path("Broker::ssl_cafile")?,
        capath: path("Broker::ssl_capath")?,
        name_check: NameCheck::Off,
    };
    Ok(if certificates == Certificates::default() {
        Tls::Anonymous
    } else {
        Tls::Certificates(certificates)
    })
}

fn controller(sources: &Sources) -> Result<ControllerSettings, SettingError> {
    let name = sources.text("Management::Controller::name", Some("ZEEK_CONTROLLER_NAME"))?;
    let auto = |ports: &str, start: &str, default: u16| {
        let first = sources.port(start, None)?.flatten().unwrap_or(default);
        let on = sources.flag(ports)?.unwrap_or(true);
        Ok(if on {
            AutoAssign::From(first)
        } else {
            AutoAssign::Off
        })
    };
    let address = sources
        .text(
            "Management::Controller::listen_address",
            Some("ZEEK_CONTROLLER_ADDR"),
        )?
        .map_or_else(|| default_address(sources), Ok)?;
    let websocket_address = sources
        .text(
            "Management::Controller::listen_address_websocket",
            Some("ZEEK_CONTROLLER_WEBSOCKET_ADDR"),
        )?
        .map_or_else(|| default_address(sources), Ok)?;
    Ok(ControllerSettings {
        name: name.unwrap_or_else(|| format!("controller-{}", sources.hostname)),
        listen: controller_port(sources)?.map(|port| PeerAddr {
            host: address,
            port,
        }),
        listen_websocket: websocket_port(sources)?.map(|port| PeerAddr {
            host: websocket_address,
            port,
        }),
        request_timeout: request_timeout(sources, 10)?,
        connect_retry: connect_retry(sources)?,
        broker_ports: auto(
            "Management::Controller::auto_assign_broker_ports",
            "Management::Controller::auto_assign_broker_start_port",
            2200,
        )?,
        metrics_ports: auto(
            "Management::Controller::auto_assign_metrics_ports",
            "Management::Controller::auto_assign_metrics_start_port",
            9000,
        )?,
    })
}

fn agent(sources: &Sources) -> Result<AgentSettings, SettingError> {
    let name = sources.text("Management::Agent::name", Some("ZEEK_AGENT_NAME"))?;
    let address = sources
        .text("Management::Agent::listen_address", Some("ZEEK_AGENT_ADDR"))?
        .map_or_else(|| default_address(sources), Ok)?;
    let port = sources.port("Management::Agent::listen_port", Some("ZEEK_AGENT_PORT"))?;
    let default_port = sources.port("Management::Agent::default_port", None)?;
    let port = port.or(default_port).flatten().unwrap_or(2151);
    let dial = sources
        .text(
            "Broker::default_listen_address",
            Some("ZEEK_DEFAULT_LISTEN_ADDRESS"),
        )?
        .filter(|address| !address.is_empty())
        .unwrap_or_else(|| "127.0.0.1".into());
    Ok(AgentSettings {
        name: name.unwrap_or_else(|| format!("agent-{}", sources.hostname)),
        listen: PeerAddr {
            host: address,
            port,
        },
        controller: dialed_controller(sources)?,
        supervisor: PeerAddr {
            host: dial,
            port: supervisor_port(sources)?,
        },
        state_dir: state_dir(sources)?,
        request_timeout: request_timeout(sources, 5)?,
        connect_retry: connect_retry(sources)?,
        node_env: Vec::new(),
    })
}

/// The controller the agent dials; address `0.0.0.0` waits for the controller instead (API §1.1).
fn dialed_controller(sources: &Sources) -> Result<Option<PeerAddr>, SettingError> {
    let expected = "a record such as [$address=\"127.0.0.1\", $bound_port=2150/tcp]";
    let option = "Management::Agent::controller";
    let given = sources.read(option, None, expected, |text| {
        let fields: BTreeMap<&str, &str> = value::record(text)?.into_iter().collect();
        let port = fields.get("bound_port").map(|port| value::tcp_port(port));
        let port = port.unwrap_or(Some(None))?;
        Some((value::string(fields.get("address")?)?, port))
    })?;
    let (host, port) = given.unwrap_or_else(|| ("127.0.0.1".into(), None));
    if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
        return Ok(None);
    }
    let port = match port {
        Some(port) => Some(port),
        None => controller_port(sources)?,
    };
    Ok(port.map(|port| PeerAddr { host, port }))
}

fn controller_port(sources: &Sources) -> Result<Option<u16>, SettingError> {
    let port = sources.port(
        "Management::Controller::listen_port",
        Some("ZEEK_CONTROLLER_PORT"),
    )?;
    let default = sources.port("Management::Controller::default_port", None)?;
    Ok(port.or(default).unwrap_or(Some(2150)))
}

fn websocket_port(sources: &Sources) -> Result<Option<u16>, SettingError> {
    let port = sources.port(
        "Management::Controller::listen_port_websocket",
        Some("ZEEK_CONTROLLER_WEBSOCKET_PORT"),
    )?;
    let default = sources.port("Management::Controller::default_port_websocket", None)?;
    Ok(port.or(default).unwrap_or(Some(2149)))
}

fn supervisor_port(sources: &Sources) -> Result<u16, SettingError> {
    Ok(sources
        .port("Broker::default_port", None)?
        .flatten()
        .unwrap_or(9999))
}

fn default_address(sources: &Sources) -> Result<String, SettingError> {
    let address = sources.text("Management::default_address", None)?;
    Ok(address.unwrap_or_else(|| "0.0.0.0".into()))
}

fn request_timeout(sources: &Sources, default_secs: u64) -> Result<Duration, SettingError> {
    let timeout = sources.interval("Management::Request::timeout_interval")?;
    Ok(timeout.unwrap_or_else(|| Duration::from_secs(default_secs)))
}

fn connect_retry(sources: &Sources) -> Result<Duration, SettingError> {
    let retry = sources.interval("Management::connect_retry")?;
    Ok(retry
        .unwrap_or(Duration::from_secs(1))
        .max(Duration::from_secs(1)))
}

fn state_dir(sources: &Sources) -> Result<PathBuf, SettingError> {
    let given = sources.text("Management::state_dir", Some("ZEEK_MANAGEMENT_STATE_DIR"))?;
    if let Some(dir) = given {
        return Ok(dir.into());
    }
    Ok(if sources.is_testing() {
        ".".into()
    } else {
        sources.prefix.join("var/lib")
    })
}

/// Relative to the controller's working directory, which is also the default (API §4.9 P1, §8.3).
fn store_dir(sources: &Sources, controller: &str) -> Result<PathBuf, SettingError> {
    let given = sources.text("Broker::table_store_db_directory", None)?;
    let given = given.filter(|dir| !dir.is_empty() && dir != ".");
    let working_dir = state_dir(sources)?.join("nodes").join(controller);
    Ok(given.map_or_else(|| working_dir.clone(), |dir| working_dir.join(dir)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(assignments: &[(&str, &str)], env: &[(&str, &str)]) -> Sources {
        let owned = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        Sources {
            assignments: owned(assignments),
            env: owned(env),
            hostname: "sensor".into(),
            prefix: "/opt/zeek".into(),
        }
    }

    fn addr(host: &str, port: u16) -> PeerAddr {
        PeerAddr {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn the_defaults_are_those_of_stock() {
        let settings = Settings::resolve(&sources(&[], &[])).unwrap();
        assert_eq!(settings.controller.name, "controller-sensor");
        assert_eq!(settings.controller.listen, Some(addr("0.0.0.0", 2150)));
        assert_eq!(
            settings.controller.listen_websocket,
            Some(addr("0.0.0.0", 2149))
        );
        assert_eq!(settings.controller.request_timeout, Duration::from_secs(10));
        assert_eq!(settings.controller.broker_ports, AutoAssign::From(2200));
        assert_eq!(settings.controller.metrics_ports, AutoAssign::From(9000));
        assert_eq!(settings.agent.name, "agent-sensor");
        assert_eq!(settings.agent.listen, addr("0.0.0.0", 2151));
        assert_eq!(settings.agent.controller, Some(addr("127.0.0.1", 2150)));
        assert_eq!(settings.agent.supervisor, addr("127.0.0.1", 9999));
        assert_eq!(settings.agent.request_timeout, Duration::from_secs(5));
        assert_eq!(settings.state_dir, PathBuf::from("/opt/zeek/var/lib"));
        assert_eq!(
            settings.store_dir,
            PathBuf::from("/opt/zeek/var/lib/nodes/controller-sensor")
        );
        assert_eq!(settings.tls, Tls::Anonymous);
    }

    #[test]
    fn state_is_kept_relative_to_the_controllers_directory() {
        for (given, want) in [
            (".", "/state/nodes/controller"),
            ("\"db\"", "/state/nodes/controller/db"),
            ("/var/db/zeek", "/var/db/zeek"),
        ] {
            let assignments = [
                ("Broker::table_store_db_directory", given),
                ("Management::Controller::name", "controller"),
                ("Management::state_dir", "/state"),
            ];
            let settings = Settings::resolve(&sources(&assignments, &[])).unwrap();
            assert_eq!(settings.store_dir, PathBuf::from(want));
        }
    }

    #[test]
    fn an_option_wins_over_the_environment() {
        let settings = Settings::resolve(&sources(
            &[
                ("Management::Agent::name", "\"instance-1\""),
                ("Broker::disable_ssl", "T"),
            ],
            &[
                ("ZEEK_AGENT_NAME", "other"),
                ("ZEEK_CONTROLLER_PORT", "12150/tcp"),
            ],
        ))
        .unwrap();
        assert_eq!(settings.agent.name, "instance-1");
        assert_eq!(settings.agent.controller, Some(addr("127.0.0.1", 12150)));
        assert_eq!(settings.tls, Tls::Off);
    }

    #[test]
    fn one_of_the_five_options_is_enough_for_certificates() {
        let tls = |assignments: &[_]| Settings::resolve(&sources(assignments, &[])).unwrap().tls;
        let cafile = ("Broker::ssl_cafile", "\"/etc/zeek/ca.pem\"");
        assert_eq!(
            tls(&[cafile, ("Broker::ssl_certificate", "\"\"")]),
            Tls::Certificates(Certificates {
                cafile: Some("/etc/zeek/ca.pem".into()),
                ..Certificates::default()
            })
        );
        let all = [
            cafile,
            ("Broker::ssl_capath", "/etc/zeek/cas"),
            ("Broker::ssl_certificate", "/etc/zeek/node.pem"),
            ("Broker::ssl_keyfile", "/etc/zeek/node.key"),
            ("Broker::ssl_passphrase", "\"open \\\"sesame\""),
        ];
        assert_eq!(
            tls(&all),
            Tls::Certificates(Certificates {
                certificate: Some("/etc/zeek/node.pem".into()),
                keyfile: Some("/etc/zeek/node.key".into()),
                passphrase: Some(Passphrase::new("open \"sesame".into())),
                cafile: Some("/etc/zeek/ca.pem".into()),
                capath: Some("/etc/zeek/cas".into()),
                name_check: NameCheck::Off,
            })
        );
        assert_eq!(tls(&[cafile, ("Broker::disable_ssl", "T")]), Tls::Off);
        assert_eq!(tls(&[("Broker::ssl_cafile", "")]), Tls::Anonymous);
    }

    #[test]
    fn an_unspecified_controller_address_waits_for_the_controller() {
        let option = (
            "Management::Agent::controller",
            "[$address=\"0.0.0.0\", $bound_port=0/unknown]",
        );
        assert_eq!(
            Settings::resolve(&sources(&[option], &[]))
                .unwrap()
                .agent
                .controller,
            None
        );
        let option = (
            "Management::Agent::controller",
            "[$address=\"c.example\", $bound_port=7/tcp]",
        );
        let settings = Settings::resolve(&sources(&[option], &[])).unwrap();
        assert_eq!(settings.agent.controller, Some(addr("c.example", 7)));
    }

    #[test]
    fn a_port_off_switches_its_listener_off() {
        let off = [("Management::Controller::listen_port", "0/unknown")];
        assert_eq!(
            Settings::resolve(&sources(&off, &[]))
                .unwrap()
                .controller
                .listen,
            None
        );
    }

    #[test]
    fn a_value_that_does_not_read_is_named() {
        let error = Settings::resolve(&sources(&[], &[("ZEEK_AGENT_PORT", "2151")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ZEEK_AGENT_PORT: '2151' is not a port such as 2150/tcp"
        );
    }

    #[test]
    fn options_nobody_reads_are_listed() {
        let given = sources(
            &[
                ("Management::Agent::nmae", "x"),
                ("Broker::disable_ssl", "T"),
            ],
            &[],
        );
        assert_eq!(
            given.unknown_options().collect::<Vec<_>>(),
            ["Management::Agent::nmae"]
        );
    }
}
