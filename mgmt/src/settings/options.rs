//! Stock's options, one row each: what they may be, what they are if nobody says, who reads them
//! here (API §8.1, §8.2).

use broker_proto::{Port, Protocol};

use super::value::Value;

/// One option of Zeek's.
#[derive(Debug)]
pub(super) struct Opt {
    /// Its name in scripts.
    pub(super) name: &'static str,
    /// The environment variable it comes from if no script says otherwise.
    pub(super) variable: Option<Variable>,
    /// What it may be.
    pub(super) kind: Kind,
    /// What it is if nobody says.
    pub(super) fallback: Fallback,
    /// Who reads it here.
    pub(super) readers: Readers,
}

/// An environment variable of an option.
#[derive(Clone, Copy, Debug)]
pub(super) enum Variable {
    /// What the option is unless a script or an argument says otherwise.
    Default(&'static str),
    /// A number of seconds that wins over scripts and arguments.
    Seconds(&'static str),
}

/// What an option may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Anything; nobody looks at it.
    Any,
    Text,
    /// A text that means "not set" if it is empty.
    Name,
    Flag,
    /// A time span, not negative.
    Interval,
    /// A TCP port.
    Port,
    /// A TCP port, or `0/unknown` for none.
    PortOrNone,
    /// `Broker::NetworkInfo`.
    Network,
    /// `Cluster::WebSocketTLSOptions`.
    WebSocketTls,
    /// `Management::Log::Level`.
    Level,
}

/// What an option is if nobody says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallback {
    /// Nobody looks at it.
    Nothing,
    Text(&'static str),
    Flag(bool),
    Seconds(f64),
    Port(u16),
    /// What another option is.
    Same(&'static str),
    /// This and the host's name.
    Hostname(&'static str),
    /// This below the Zeek installation; `.` if `ZEEK_MANAGEMENT_TESTING` is set.
    Installation(&'static str),
    /// This below what another option is; empty if `ZEEK_MANAGEMENT_TESTING` is set.
    Below(&'static str, &'static str),
    /// 1 hour; none if `ZEEK_MANAGEMENT_TESTING` is set.
    Rotation,
    /// Loopback and the controller's port.
    Controller,
    /// An empty record.
    Record,
    /// A name.
    Enum(&'static str),
}

/// Who reads an option here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Readers {
    /// Some of the programs.
    Programs(&'static [Program]),
    /// Nobody, and what it is for instead.
    Nobody(&'static str),
}

/// The programs that settings are for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Program {
    /// `zeek-mgmt controller`.
    Controller,
    /// `zeek-mgmt agent`.
    Agent,
    /// `zeek-mgmt supervisor`.
    Supervisor,
}

impl Kind {
    /// For messages.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Text | Self::Name => "a string",
            Self::Flag => "T or F",
            Self::Interval => "an interval such as 10secs",
            Self::Port => "a port from 1/tcp to 65535/tcp",
            Self::PortOrNone => "a port from 1/tcp to 65535/tcp, or 0/unknown for none",
            Self::Network => "a record such as [$address=\"127.0.0.1\", $bound_port=2150/tcp]",
            Self::WebSocketTls => {
                "a record such as [$cert_file=\"/etc/zeek/cert.pem\", $key_file=\"/etc/zeek/key.pem\"]"
            }
            Self::Level => "one of DEBUG, INFO, WARNING and ERROR of Management::Log",
        }
    }

    /// The value in the one form that it is kept in, if it is of this kind.
    pub(super) fn accept(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Any, _) => Some(value.clone()),
            (Self::Text | Self::Name, Value::Text(_)) | (Self::Flag, Value::Flag(_)) => {
                Some(value.clone())
            }
            (Self::Interval, Value::Interval(seconds)) if in_range(*seconds) => Some(value.clone()),
            // What stock has as a text can be a text here.
            (Self::Port | Self::PortOrNone, Value::Text(text)) => {
                self.accept(&Value::Port(text.trim().parse().ok()?))
            }
            (Self::Port, Value::Port(port)) => {
                let listens = port.number > 0 && port.protocol == Protocol::Tcp;
                listens.then(|| value.clone())
            }
            (Self::PortOrNone, Value::Port(port)) => match (port.number, port.protocol) {
                (_, Protocol::Tcp) | (0, Protocol::Unknown) => Some(value.clone()),
                (_, Protocol::Unknown | Protocol::Udp | Protocol::Icmp) => None,
            },
            (Self::Network, Value::Record(fields)) => {
                let known = fields.iter().all(|(name, value)| match name.as_str() {
                    "address" => Self::Text.accept(value).is_some(),
                    "bound_port" => Self::PortOrNone.accept(value).is_some(),
                    _ => false,
                });
                let addressed = fields.iter().any(|(name, _)| name == "address");
                (known && addressed).then(|| value.clone())
            }
            // Zeek's way to write an empty record.
            (Self::WebSocketTls, Value::List(elements)) if elements.is_empty() => {
                Some(Value::Record(Vec::new()))
            }
            (Self::WebSocketTls, Value::Record(fields)) => {
                let known = fields.iter().all(|(name, value)| match name.as_str() {
                    "cert_file" | "key_file" | "ca_file" | "ciphers" => {
                        Self::Text.accept(value).is_some()
                    }
                    "enable_peer_verification" => Self::Flag.accept(value).is_some(),
                    _ => false,
                });
                known.then(|| value.clone())
            }
            (Self::Level, Value::Enum(name)) => {
                let level = name.rsplit("::").next().unwrap_or_default();
                let known = ["DEBUG", "INFO", "WARNING", "ERROR"].contains(&level);
                known.then(|| Value::Enum(format!("Management::Log::{level}")))
            }
            (
                Self::Text
                | Self::Name
                | Self::Flag
                | Self::Interval
                | Self::Port
                | Self::PortOrNone
                | Self::Network
                | Self::WebSocketTls
                | Self::Level,
                _,
            ) => None,
        }
    }
}

/// A thousand years are no time span for any option.
fn in_range(seconds: f64) -> bool {
    (0.0..=3.2e10).contains(&seconds)
}

/// The row of an option; older names of it count too.
pub(super) fn find(name: &str) -> Option<&'static Opt> {
    let name = match name {
        // Zeek 5.0 to 6.2.
        "Management::Controller::auto_assign_ports" => {
            "Management::Controller::auto_assign_broker_ports"
        }
        "Management::Controller::auto_assign_start_port" => {
            "Management::Controller::auto_assign_broker_start_port"
        }
        name => name,
    };
    OPTIONS.iter().find(|option| option.name == name)
}

/// Whether a name is in a module all of whose options are known here, so that an unknown one is
/// a mistake.
pub(super) fn is_in_known_module(name: &str) -> bool {
    const MODULES: [&str; 3] = ["Management::", "Broker::", "SupervisorControl::"];
    MODULES.iter().any(|module| name.starts_with(module))
}

/// A TCP port.
pub(super) fn tcp(number: u16) -> Value {
    Value::Port(Port {
        number,
        protocol: Protocol::Tcp,
    })
}

const fn option(name: &'static str, kind: Kind, fallback: Fallback, readers: Readers) -> Opt {
    Opt {
        name,
        variable: None,
        kind,
        fallback,
        readers,
    }
}

const fn from(variable: &'static str, option: Opt) -> Opt {
    Opt {
        variable: Some(Variable::Default(variable)),
        ..option
    }
}

const fn unless(variable: &'static str, option: Opt) -> Opt {
    Opt {
        variable: Some(Variable::Seconds(variable)),
        ..option
    }
}

const fn nobody(name: &'static str, why: &'static str) -> Opt {
    option(name, Kind::Any, Fallback::Nothing, Readers::Nobody(why))
}

const C: Readers = Readers::Programs(&[Program::Controller]);
const A: Readers = Readers::Programs(&[Program::Agent]);
const S: Readers = Readers::Programs(&[Program::Supervisor]);
const CA: Readers = Readers::Programs(&[Program::Controller, Program::Agent]);
const AS: Readers = Readers::Programs(&[Program::Agent, Program::Supervisor]);
const ALL: Readers = Readers::Programs(&[Program::Controller, Program::Agent, Program::Supervisor]);

const TOPIC: &str = "topics are always stock's";
const FILES: &str = "Management::Node::stdout_file and stderr_file name the files of all processes";
const ROLE: &str = "each program knows its role";

/// Of options that only nodes read.
pub(super) const FOR_NODES: &str = "it is for the nodes";

const ROTATED: &str = "rotated logs keep stock's names and no command is run on them";

/// All of them, sorted by name.
#[rustfmt::skip]
pub(super) const OPTIONS: &[Opt] = &[
    nobody("Broker::aggressive_interval", FOR_NODES),
    nobody("Broker::aggressive_polls", FOR_NODES),
    nobody("Broker::buffer_stats_reset_interval", FOR_NODES),
    nobody("Broker::congestion_queue_size", FOR_NODES),
    nobody("Broker::default_clone_mutation_buffer_interval", FOR_NODES),
    nobody("Broker::default_clone_resync_interval", FOR_NODES),
    nobody("Broker::default_clone_stale_interval", FOR_NODES),
    nobody("Broker::default_connect_retry", "peerings of controller and agent use Management::connect_retry"),
    from("ZEEK_DEFAULT_LISTEN_ADDRESS", option("Broker::default_listen_address", Kind::Name, Fallback::Text("127.0.0.1"), AS)),
    nobody("Broker::default_listen_address_websocket", FOR_NODES),
    unless("ZEEK_DEFAULT_LISTEN_RETRY", option("Broker::default_listen_retry", Kind::Interval, Fallback::Seconds(1.0), ALL)),
    nobody("Broker::default_log_topic_prefix", FOR_NODES),
    option("Broker::default_port", Kind::Port, Fallback::Port(9999), AS),
    nobody("Broker::default_port_websocket", FOR_NODES),
    option("Broker::disable_ssl", Kind::Flag, Fallback::Flag(false), ALL),
    nobody("Broker::forward_messages", FOR_NODES),
    nobody("Broker::log_batch_interval", FOR_NODES),
    nobody("Broker::log_batch_size", FOR_NODES),
    nobody("Broker::log_severity_level", FOR_NODES),
    nobody("Broker::log_stderr_severity_level", FOR_NODES),
    nobody("Broker::log_topic", FOR_NODES),
    nobody("Broker::max_live_threads", FOR_NODES),
    nobody("Broker::max_pcap_threads", FOR_NODES),
    nobody("Broker::max_threads", FOR_NODES),
    nobody("Broker::metrics_export_endpoint_name", FOR_NODES),
    nobody("Broker::metrics_export_interval", FOR_NODES),
    nobody("Broker::metrics_export_prefixes", FOR_NODES),
    nobody("Broker::metrics_export_topic", FOR_NODES),
    nobody("Broker::metrics_import_topics", FOR_NODES),
    nobody("Broker::metrics_port", FOR_NODES),
    nobody("Broker::moderate_interval", FOR_NODES),
    nobody("Broker::moderate_polls", FOR_NODES),
    nobody("Broker::moderate_sleep", FOR_NODES),
    nobody("Broker::peer_buffer_size", FOR_NODES),
    nobody("Broker::peer_counts_as_iosource", FOR_NODES),
    nobody("Broker::peer_overflow_policy", FOR_NODES),
    nobody("Broker::relaxed_interval", FOR_NODES),
    nobody("Broker::relaxed_sleep", FOR_NODES),
    nobody("Broker::scheduler_policy", FOR_NODES),
    option("Broker::ssl_cafile", Kind::Text, Fallback::Text(""), ALL),
    option("Broker::ssl_capath", Kind::Text, Fallback::Text(""), ALL),
    option("Broker::ssl_certificate", Kind::Text, Fallback::Text(""), ALL),
    option("Broker::ssl_keyfile", Kind::Text, Fallback::Text(""), ALL),
    option("Broker::ssl_passphrase", Kind::Text, Fallback::Text(""), ALL),
    option("Broker::table_store_db_directory", Kind::Name, Fallback::Text("."), C),
    nobody("Broker::table_store_master", FOR_NODES),
    nobody("Broker::web_socket_buffer_size", FOR_NODES),
    nobody("Broker::web_socket_overflow_policy", FOR_NODES),
    nobody("Broker::work_stealing", FOR_NODES),
    option("Log::default_rotation_date_format", Kind::Any, Fallback::Nothing, Readers::Nobody(ROTATED)),
    option("Log::default_rotation_dir", Kind::Name, Fallback::Below("Management::spool_dir", "log-queue"), CA),
    option("Log::default_rotation_interval", Kind::Interval, Fallback::Rotation, CA),
    nobody("Log::default_rotation_postprocessor_cmd", ROTATED),
    nobody("Log::default_rotation_postprocessor_cmd_env", ROTATED),
    nobody("Log::default_rotation_postprocessors", ROTATED),
    nobody("Log::enable_local_logging", FOR_NODES),
    nobody("Log::enable_remote_logging", FOR_NODES),
    nobody("LogAscii::enable_leftover_log_rotation", FOR_NODES),
    option("LogAscii::use_json", Kind::Flag, Fallback::Flag(false), CA),
    option("Management::Agent::archive_cmd", Kind::Name, Fallback::Installation("bin/zeek-archiver"), A),
    option("Management::Agent::archive_dir", Kind::Name, Fallback::Installation("logs"), A),
    option("Management::Agent::archive_interval", Kind::Interval, Fallback::Seconds(0.0), A),
    option("Management::Agent::archive_logs", Kind::Flag, Fallback::Flag(true), A),
    option("Management::Agent::controller", Kind::Network, Fallback::Controller, A),
    option("Management::Agent::default_port", Kind::Port, Fallback::Port(2151), A),
    option("Management::Agent::directory", Kind::Name, Fallback::Same("Management::Agent::name"), A),
    from("ZEEK_AGENT_ADDR", option("Management::Agent::listen_address", Kind::Name, Fallback::Same("Management::default_address"), A)),
    from("ZEEK_AGENT_PORT", option("Management::Agent::listen_port", Kind::Port, Fallback::Same("Management::Agent::default_port"), A)),
    from("ZEEK_AGENT_NAME", option("Management::Agent::name", Kind::Name, Fallback::Hostname("agent-"), A)),
    nobody("Management::Agent::stderr_file", FILES),
    nobody("Management::Agent::stdout_file", FILES),
    nobody("Management::Agent::topic_prefix", TOPIC),
    option("Management::Controller::auto_assign_broker_ports", Kind::Flag, Fallback::Flag(true), C),
    option("Management::Controller::auto_assign_broker_start_port", Kind::Port, Fallback::Port(2200), C),
    option("Management::Controller::auto_assign_metrics_ports", Kind::Flag, Fallback::Flag(true), C),
    option("Management::Controller::auto_assign_metrics_start_port", Kind::Port, Fallback::Port(9000), C),
    option("Management::Controller::default_port", Kind::PortOrNone, Fallback::Port(2150), CA),
    option("Management::Controller::default_port_websocket", Kind::PortOrNone, Fallback::Port(2149), C),
    option("Management::Controller::directory", Kind::Name, Fallback::Same("Management::Controller::name"), C),
    from("ZEEK_CONTROLLER_ADDR", option("Management::Controller::listen_address", Kind::Name, Fallback::Same("Management::default_address"), C)),
    from("ZEEK_CONTROLLER_WEBSOCKET_ADDR", option("Management::Controller::listen_address_websocket", Kind::Name, Fallback::Same("Management::default_address"), C)),
    from("ZEEK_CONTROLLER_PORT", option("Management::Controller::listen_port", Kind::PortOrNone, Fallback::Same("Management::Controller::default_port"), CA)),
    from("ZEEK_CONTROLLER_WEBSOCKET_PORT", option("Management::Controller::listen_port_websocket", Kind::PortOrNone, Fallback::Same("Management::Controller::default_port_websocket"), C)),
    from("ZEEK_CONTROLLER_NAME", option("Management::Controller::name", Kind::Name, Fallback::Hostname("controller-"), C)),
    nobody("Management::Controller::stderr_file", FILES),
    nobody("Management::Controller::stdout_file", FILES),
    option("Management::Controller::tls_options_websocket", Kind::WebSocketTls, Fallback::Record, C),
    nobody("Management::Controller::topic", TOPIC),
    option("Management::Log::level", Kind::Level, Fallback::Enum("Management::Log::INFO"), CA),
    nobody("Management::Node::node_topic", TOPIC),
    option("Management::Node::stderr_file", Kind::Text, Fallback::Text("stderr"), S),
    option("Management::Node::stdout_file", Kind::Text, Fallback::Text("stdout"), S),
    option("Management::Request::timeout_interval", Kind::Interval, Fallback::Seconds(10.0), CA),
    nobody("Management::Supervisor::output_max_lines", "it is always stock's 100"),
    option("Management::Supervisor::print_stderr", Kind::Flag, Fallback::Flag(false), S),
    option("Management::Supervisor::print_stdout", Kind::Flag, Fallback::Flag(false), S),
    nobody("Management::Supervisor::topic_prefix", TOPIC),
    unless("ZEEK_DEFAULT_CONNECT_RETRY", option("Management::connect_retry", Kind::Interval, Fallback::Seconds(1.0), CA)),
    option("Management::default_address", Kind::Name, Fallback::Text("0.0.0.0"), CA),
    nobody("Management::role", ROLE),
    from("ZEEK_MANAGEMENT_SPOOL_DIR", option("Management::spool_dir", Kind::Name, Fallback::Installation("spool"), CA)),
    from("ZEEK_MANAGEMENT_STATE_DIR", option("Management::state_dir", Kind::Name, Fallback::Installation("var/lib"), CA)),
    option("SupervisorControl::enable_listen", Kind::Flag, Fallback::Flag(false), S),
    nobody("SupervisorControl::topic_prefix", TOPIC),
    nobody("Telemetry::log_interval", FOR_NODES),
    nobody("Telemetry::metrics_port", FOR_NODES),
    nobody("table_expire_interval", "requests expire to the second"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::agent::node_script::FILES;

    /// `zeek-mgmt run` hands NAME=VALUE arguments on to nodes, and Zeek refuses unknown names.
    #[test]
    fn our_node_script_declares_every_option_of_the_framework() {
        let (_, text) = FILES
            .iter()
            .find(|(name, _)| *name == "settings.zeek")
            .unwrap();
        let mut module = "";
        let mut declared = BTreeSet::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("module"), Some(name)) => module = name.trim_end_matches(';'),
                (Some("const" | "global"), Some(name)) => {
                    declared.insert(format!("{module}::{}", name.trim_end_matches(':')));
                }
                _ => {}
            }
        }
        let options = OPTIONS.iter().map(|option| option.name.to_owned());
        let known: BTreeSet<_> = options
            .filter(|it| it.starts_with("Management::"))
            .collect();
        assert_eq!(declared, known);
    }
}
