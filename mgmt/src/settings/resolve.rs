//! From what was said to typed settings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use broker_proto::peering::PeerAddr;
use broker_proto::tls::{Admission, Certificates, ClientPort, NameCheck, Passphrase, Tls};

use super::given::{Found, Given, Origin, SettingError};
use super::value::Value;
use super::{
    AgentSettings, ArchiveSettings, AutoAssign, ControllerSettings, Deploying, OutputSettings,
    Settings, SupervisorSettings,
};
use crate::agent::node_script;
use crate::agent::options;
use crate::log::{Format, Level, LogSettings};

/// How long a request of the agent's may take if nobody says, in seconds (API §8.2).
pub(super) const AGENT_TIMEOUT: f64 = 5.0;

impl Settings {
    /// Makes settings of all that was said (API §8.1, §8.2).
    ///
    /// # Errors
    /// Everything that is wrong, in the order it was said.
    pub fn resolve(given: &Given) -> Result<Self, Vec<SettingError>> {
        let mut errors = given.errors.clone();
        let websocket_tls = websocket_tls(given).unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let state_dir = given.path("Management::state_dir");
        let nodes = state_dir.join("nodes");
        let controller_dir = nodes.join(given.text("Management::Controller::directory"));
        Ok(Self {
            controller: controller(given),
            agent: agent(given),
            supervisor: supervisor(given),
            tls: tls(given),
            websocket_tls,
            store_dir: store_dir(given, &controller_dir),
            controller_dir,
            agent_dir: nodes.join(given.text("Management::Agent::directory")),
            state_dir,
            listen_retry: given.interval("Broker::default_listen_retry"),
            log: log(given),
            archive: archive(given),
        })
    }
}

/// What an option is, as the type that its row in the table says.
impl Given {
    fn text(&self, option: &str) -> String {
        self.value(option).shown()
    }

    fn path(&self, option: &str) -> PathBuf {
        self.text(option).into()
    }

    fn flag(&self, option: &str) -> bool {
        self.value(option) == Value::Flag(true)
    }

    fn interval(&self, option: &str) -> Duration {
        duration(&self.value(option)).unwrap_or_default()
    }

    /// `None` for 0.
    fn port(&self, option: &str) -> Option<u16> {
        listening(&self.value(option))
    }

    fn address(&self, host: &str, port: &str) -> Option<PeerAddr> {
        let port = self.port(port)?;
        let host = self.text(host);
        Some(PeerAddr { host, port })
    }
}

fn controller(given: &Given) -> ControllerSettings {
    let auto = |wanted: &str, start: &str| match given.port(start) {
        Some(first) if given.flag(wanted) => AutoAssign::From(first),
        _ => AutoAssign::Off,
    };
    ControllerSettings {
        name: given.text("Management::Controller::name"),
        listen: given.address(
            "Management::Controller::listen_address",
            "Management::Controller::listen_port",
        ),
        listen_websocket: given.address(
            "Management::Controller::listen_address_websocket",
            "Management::Controller::listen_port_websocket",
        ),
        request_timeout: given.interval(TIMEOUT),
        connect_retry: connect_retry(given),
        broker_ports: auto(
            "Management::Controller::auto_assign_broker_ports",
            "Management::Controller::auto_assign_broker_start_port",
        ),
        metrics_ports: auto(
            "Management::Controller::auto_assign_metrics_ports",
            "Management::Controller::auto_assign_metrics_start_port",
        ),
    }
}

fn agent(given: &Given) -> AgentSettings {
    let Found { value, origin, .. } = given.look_up(TIMEOUT);
    let timeout = match origin {
        Origin::Default => Some(Duration::from_secs_f64(AGENT_TIMEOUT)),
        Origin::Environment(_) | Origin::Script { .. } | Origin::Argument => duration(&value),
    };
    let listen = PeerAddr {
        host: given.text("Management::Agent::listen_address"),
        port: given
            .port("Management::Agent::listen_port")
            .unwrap_or_default(),
    };
    AgentSettings {
        name: given.text("Management::Agent::name"),
        node_env: way_to(&listen),
        listen,
        controller: dialed_controller(given),
        supervisor: PeerAddr {
            host: given.text("Broker::default_listen_address"),
            port: given.port("Broker::default_port").unwrap_or_default(),
        },
        state_dir: given.path("Management::state_dir"),
        node_script: node_script::STOCK.to_owned(),
        request_timeout: timeout.unwrap_or_default(),
        connect_retry: connect_retry(given),
        options_dir: given.path("Management::state_dir").join(options::DIRECTORY),
        deploying: Deploying::default(),
    }
}

/// The variables by which nodes find the agent, if it is not where they look by themselves: they
/// need not have the settings that the agent has (API §6 N4, §13.3).
fn way_to(agent: &PeerAddr) -> Vec<(String, String)> {
    let mut env = Vec::new();
    if agent.host != "0.0.0.0" {
        env.push(("ZEEK_AGENT_ADDR".to_owned(), agent.host.clone()));
    }
    if agent.port != 2151 {
        let port = format!("{}/tcp", agent.port);
        env.push(("ZEEK_AGENT_PORT".to_owned(), port));
    }
    env
}

/// The controller the agent dials; address `0.0.0.0` waits for the controller instead (API §1.1).
fn dialed_controller(given: &Given) -> Option<PeerAddr> {
    let record = given.value("Management::Agent::controller");
    let host = field(&record, "address").map(Value::shown)?;
    let waits = host
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_unspecified());
    if waits {
        return None;
    }
    let port = match field(&record, "bound_port") {
        Some(port) => listening(port),
        None => given.port("Management::Controller::listen_port"),
    };
    port.map(|port| PeerAddr { host, port })
}

/// The variable for the default address does not count: stock's agent overrides it in the
/// Supervisor (API §8.1).
fn supervisor(given: &Given) -> SupervisorSettings {
    let address = given.look_up("Broker::default_listen_address");
    let host = match address.origin {
        Origin::Default | Origin::Environment(_) => "127.0.0.1".to_owned(),
        Origin::Script { .. } | Origin::Argument => address.value.shown(),
    };
    let file = |option: &str| Some(given.text(option)).filter(|file| !file.is_empty());
    SupervisorSettings {
        address: PeerAddr {
            host,
            port: given.port("Broker::default_port").unwrap_or_default(),
        },
        always_listens: given.flag("SupervisorControl::enable_listen"),
        outputs: OutputSettings {
            stdout_file: file("Management::Node::stdout_file"),
            stderr_file: file("Management::Node::stderr_file"),
            print_stdout: given.flag("Management::Supervisor::print_stdout"),
            print_stderr: given.flag("Management::Supervisor::print_stderr"),
        },
    }
}

/// As stock: off wins, and one of the five options is enough for certificates (WIRE §7).
fn tls(given: &Given) -> Tls {
    if given.flag("Broker::disable_ssl") {
        return Tls::Off;
    }
    // Empty is stock's default and means not set.
    let text = |option: &str| Some(given.text(option)).filter(|text| !text.is_empty());
    let path = |option: &str| text(option).map(PathBuf::from);
    let certificates = Certificates {
        certificate: path("Broker::ssl_certificate"),
        keyfile: path("Broker::ssl_keyfile"),
        passphrase: text("Broker::ssl_passphrase").map(Passphrase::new),
        cafile: path("Broker::ssl_cafile"),
        capath: path("Broker::ssl_capath"),
        name_check: NameCheck::Off,
    };
    if certificates == Certificates::default() {
        return Tls::Anonymous;
    }
    Tls::Certificates(certificates)
}

/// The WebSocket port's own certificate; certificate and key only together (CLIENT §B2).
fn websocket_tls(given: &Given) -> Result<Option<ClientPort>, SettingError> {
    let Found { value, origin, .. } = given.look_up(WEBSOCKET_TLS);
    let text = |name: &str| {
        let text = field(&value, name).map(Value::shown);
        text.filter(|text| !text.is_empty())
    };
    let path = |name: &str| text(name).map(PathBuf::from);
    let verify = field(&value, "enable_peer_verification") == Some(&Value::Flag(true));
    match (path("cert_file"), path("key_file")) {
        (None, None) => Ok(None),
        (Some(certificate), Some(keyfile)) => Ok(Some(ClientPort {
            certificate,
            keyfile,
            admission: match path("ca_file") {
                Some(file) if verify => Admission::Certified(file),
                None if verify => Admission::CertifiedBySystem,
                Some(_) | None => Admission::Anyone,
            },
            ciphers: text("ciphers"),
        })),
        (Some(_), None) | (None, Some(_)) => Err(SettingError {
            origin,
            problem: format!("{WEBSOCKET_TLS}: cert_file and key_file go together"),
        }),
    }
}

/// Relative to the controller's working directory, which is also the default (API §4.9, §8.3).
fn store_dir(given: &Given, working_dir: &Path) -> PathBuf {
    let dir: PathBuf = given.text("Broker::table_store_db_directory").into();
    if dir == Path::new(".") {
        return working_dir.to_owned();
    }
    working_dir.join(dir)
}

/// The management log (stock: `management/persistence.zeek`).
fn log(given: &Given) -> LogSettings {
    let level = Level::from_name(&given.text("Management::Log::level"));
    let rotation = given.interval("Log::default_rotation_interval");
    LogSettings {
        level: level.unwrap_or_default(),
        rotation: Some(rotation).filter(|interval| !interval.is_zero()),
        rotation_dir: given.path("Log::default_rotation_dir"),
        format: if given.flag("LogAscii::use_json") {
            Format::Json
        } else {
            Format::Ascii
        },
    }
}

/// Stock: agent/main.zeek, `trigger_log_archival`: without an interval of its own, that of the
/// rotation; with neither, there is no archival.
fn archive(given: &Given) -> Option<ArchiveSettings> {
    let own = given.interval("Management::Agent::archive_interval");
    let interval = if own.is_zero() {
        given.interval("Log::default_rotation_interval")
    } else {
        own
    };
    let wanted = given.flag("Management::Agent::archive_logs") && !interval.is_zero();
    wanted.then(|| ArchiveSettings {
        interval,
        command: given.text("Management::Agent::archive_cmd"),
        from: given.path("Log::default_rotation_dir"),
        to: given.path("Management::Agent::archive_dir"),
    })
}

/// Broker allows no less than a second (API §8.1).
fn connect_retry(given: &Given) -> Duration {
    given
        .interval("Management::connect_retry")
        .max(Duration::from_secs(1))
}

fn field<'a>(record: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Record(fields) = record else {
        return None;
    };
    let mut fields = fields.iter().rev();
    fields.find_map(|(known, value)| (known == name).then_some(value))
}

fn listening(port: &Value) -> Option<u16> {
    let number = port.as_port()?.number;
    (number > 0).then_some(number)
}

fn duration(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_seconds()?).ok()
}

const TIMEOUT: &str = "Management::Request::timeout_interval";
const WEBSOCKET_TLS: &str = "Management::Controller::tls_options_websocket";

#[cfg(test)]
mod tests;
