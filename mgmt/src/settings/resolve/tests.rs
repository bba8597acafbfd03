use super::*;
use crate::settings::{Program, Sources};

fn given(arguments: &[&str], env: &[(&str, &str)]) -> Given {
    let env = env.iter();
    let mut given = Given::new(Sources {
        env: env
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        hostname: "sensor".into(),
        prefix: "/opt/zeek".into(),
    });
    for argument in arguments {
        given.argument(argument);
    }
    given
}

fn settings(arguments: &[&str], env: &[(&str, &str)]) -> Settings {
    Settings::resolve(&given(arguments, env)).unwrap()
}

fn errors(arguments: &[&str], env: &[(&str, &str)]) -> Vec<String> {
    let errors = Settings::resolve(&given(arguments, env)).unwrap_err();
    errors.iter().map(SettingError::to_string).collect()
}

fn addr(host: &str, port: u16) -> PeerAddr {
    let host = host.into();
    PeerAddr { host, port }
}

#[test]
fn the_defaults_are_those_of_stock() {
    let settings = settings(&[], &[]);
    assert_eq!(settings.controller.name, "controller-sensor");
    assert_eq!(settings.controller.listen, Some(addr("0.0.0.0", 2150)));
    assert_eq!(
        settings.controller.listen_websocket,
        Some(addr("0.0.0.0", 2149))
    );
    assert_eq!(settings.controller.request_timeout, Duration::from_secs(10));
    assert_eq!(settings.controller.connect_retry, Duration::from_secs(1));
    assert_eq!(settings.controller.broker_ports, AutoAssign::From(2200));
    assert_eq!(settings.controller.metrics_ports, AutoAssign::From(9000));
    assert_eq!(settings.agent.name, "agent-sensor");
    assert_eq!(settings.agent.listen, addr("0.0.0.0", 2151));
    assert_eq!(settings.agent.controller, Some(addr("127.0.0.1", 2150)));
    assert_eq!(settings.agent.supervisor, addr("127.0.0.1", 9999));
    assert_eq!(settings.agent.request_timeout, Duration::from_secs(5));
    assert_eq!(settings.supervisor.address, addr("127.0.0.1", 9999));
    assert!(!settings.supervisor.always_listens);
    assert_eq!(
        settings.supervisor.outputs.stdout_file.as_deref(),
        Some("stdout")
    );
    assert_eq!(settings.state_dir, PathBuf::from("/opt/zeek/var/lib"));
    let nodes = PathBuf::from("/opt/zeek/var/lib/nodes");
    assert_eq!(settings.controller_dir, nodes.join("controller-sensor"));
    assert_eq!(settings.agent_dir, nodes.join("agent-sensor"));
    assert_eq!(settings.store_dir, nodes.join("controller-sensor"));
    assert_eq!(settings.listen_retry, Duration::from_secs(1));
    assert_eq!(settings.tls, Tls::Anonymous);
    assert_eq!(settings.websocket_tls, None);
    assert_eq!(settings.log.level, Level::Info);
    assert_eq!(settings.log.rotation, Some(Duration::from_secs(3600)));
    assert_eq!(
        settings.log.rotation_dir,
        PathBuf::from("/opt/zeek/spool/log-queue")
    );
    let archive = settings.archive.unwrap();
    assert_eq!(archive.interval, Duration::from_secs(3600));
    assert_eq!(archive.command, "/opt/zeek/bin/zeek-archiver");
    assert_eq!(archive.to, PathBuf::from("/opt/zeek/logs"));
}

#[test]
fn an_option_wins_over_the_environment() {
    let settings = settings(
        &[
            "Management::Agent::name=\"instance-1\"",
            "Broker::disable_ssl=T",
        ],
        &[
            ("ZEEK_AGENT_NAME", "other"),
            ("ZEEK_CONTROLLER_PORT", "12150/tcp"),
        ],
    );
    assert_eq!(settings.agent.name, "instance-1");
    assert_eq!(settings.agent.controller, Some(addr("127.0.0.1", 12150)));
    assert_eq!(settings.tls, Tls::Off);
}

#[test]
fn an_empty_name_brings_the_default_back() {
    let name = [("ZEEK_AGENT_NAME", "other")];
    let settings = settings(&["Management::Agent::name="], &name);
    assert_eq!(settings.agent.name, "agent-sensor");
}

#[test]
fn retries_of_the_environment_win_over_options() {
    let env = [
        ("ZEEK_DEFAULT_CONNECT_RETRY", "7"),
        ("ZEEK_DEFAULT_LISTEN_RETRY", "0.5"),
    ];
    let options = [
        "Management::connect_retry=3sec",
        "Broker::default_listen_retry=4sec",
    ];
    let found = settings(&options, &env);
    assert_eq!(found.agent.connect_retry, Duration::from_secs(7));
    assert_eq!(found.listen_retry, Duration::from_millis(500));
    let found = settings(&options, &[]);
    assert_eq!(found.agent.connect_retry, Duration::from_secs(3));
    assert_eq!(found.listen_retry, Duration::from_secs(4));
    let found = settings(&["Management::connect_retry=100msec"], &[]);
    assert_eq!(found.controller.connect_retry, Duration::from_secs(1));
}

#[test]
fn testing_keeps_everything_in_the_working_directory() {
    let env = [
        ("ZEEK_MANAGEMENT_TESTING", "1"),
        ("ZEEK_MANAGEMENT_STATE_DIR", "/elsewhere"),
    ];
    let found = settings(&[], &env);
    assert_eq!(found.state_dir, PathBuf::from("."));
    assert_eq!(found.log.rotation, None);
    assert_eq!(found.log.rotation_dir, PathBuf::new());
    assert_eq!(found.archive, None);
    let found = settings(&["Management::state_dir=/var/zeek"], &env);
    assert_eq!(found.state_dir, PathBuf::from("/var/zeek"));
}

#[test]
fn one_of_the_five_options_is_enough_for_certificates() {
    let tls = |arguments: &[_]| settings(arguments, &[]).tls;
    let cafile = "Broker::ssl_cafile=\"/etc/zeek/ca.pem\"";
    assert_eq!(
        tls(&[cafile, "Broker::ssl_certificate=\"\""]),
        Tls::Certificates(Certificates {
            cafile: Some("/etc/zeek/ca.pem".into()),
            ..Certificates::default()
        })
    );
    let all = [
        cafile,
        "Broker::ssl_capath=/etc/zeek/cas",
        "Broker::ssl_certificate=/etc/zeek/node.pem",
        "Broker::ssl_keyfile=/etc/zeek/node.key",
        "Broker::ssl_passphrase=\"open \\\"sesame\"",
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
    assert_eq!(tls(&[cafile, "Broker::disable_ssl=T"]), Tls::Off);
    assert_eq!(tls(&["Broker::ssl_cafile="]), Tls::Anonymous);
}

#[test]
fn the_websocket_port_has_a_certificate_of_its_own() {
    let option = "Management::Controller::tls_options_websocket=";
    let tls = |record: &str| settings(&[&format!("{option}{record}")], &[]).websocket_tls;
    let pair = "Cluster::WebSocketTLSOptions($cert_file=\"c.pem\", $key_file=\"k.pem\"";
    let expected = ClientPort {
        certificate: "c.pem".into(),
        keyfile: "k.pem".into(),
        ..ClientPort::default()
    };
    // Stock does not read ca_file either unless clients are to be verified (CLIENT §B2).
    assert_eq!(
        tls(&format!("{pair}, $ca_file=\"ca.pem\",)")),
        Some(expected.clone())
    );
    assert_eq!(
        tls(&format!(
            "{pair}, $enable_peer_verification=T, $ca_file=\"ca.pem\")"
        )),
        Some(ClientPort {
            admission: Admission::Certified("ca.pem".into()),
            ..expected
        })
    );
    assert_eq!(tls("Cluster::WebSocketTLSOptions()"), None);
    assert_eq!(tls("[]"), None);
    assert_eq!(
        errors(&[&format!("{option}[1]")], &[]),
        [
            "argument: Management::Controller::tls_options_websocket: {1} is not a record such as \
             [$cert_file=\"/etc/zeek/cert.pem\", $key_file=\"/etc/zeek/key.pem\"]"
        ]
    );
    assert_eq!(
        errors(&[&format!("{option}[$key_file=\"k.pem\"]")], &[]),
        [
            "argument: Management::Controller::tls_options_websocket: cert_file and key_file go together"
        ]
    );
}

#[test]
fn an_unspecified_controller_address_waits_for_the_controller() {
    let option = "Management::Agent::controller=";
    let controller = |value: &str| {
        settings(&[&format!("{option}{value}")], &[])
            .agent
            .controller
    };
    assert_eq!(
        controller("[$address=\"0.0.0.0\", $bound_port=0/unknown]"),
        None
    );
    let far = Some(addr("c.example", 7));
    assert_eq!(
        controller("[$address=\"c.example\", $bound_port=7/tcp]"),
        far
    );
    assert_eq!(
        controller("Broker::NetworkInfo($address=\"c.example\", $bound_port=7/tcp)"),
        far
    );
}

#[test]
fn a_port_off_switches_its_listener_off() {
    let off = settings(&["Management::Controller::listen_port=0/unknown"], &[]);
    assert_eq!(off.controller.listen, None);
}

#[test]
fn the_supervisor_listens_elsewhere_only_if_an_option_says_so() {
    let env = [("ZEEK_DEFAULT_LISTEN_ADDRESS", "0.0.0.0")];
    let found = settings(&[], &env);
    assert_eq!(found.supervisor.address, addr("127.0.0.1", 9999));
    assert_eq!(found.agent.supervisor, addr("0.0.0.0", 9999));
    let found = settings(&["Broker::default_listen_address=192.0.2.1"], &env);
    assert_eq!(found.supervisor.address, addr("192.0.2.1", 9999));
}

#[test]
fn everything_wrong_is_told_at_once_with_its_origin() {
    let arguments = [
        "Management::Agent::nmae=x",
        "Management::Controller::listen_port=70000/tcp",
        "Management::Agent::default_port=0/unknown",
        "Management::Request::timeout_interval=10",
        "Management::Log::level=LOUD",
        "Broker::disable_ssl=yes",
        "Management::Agent::controller=[$address=\"a\", $port=1/tcp]",
        "local",
    ];
    let env = [
        ("ZEEK_AGENT_PORT", "2151"),
        ("ZEEK_DEFAULT_CONNECT_RETRY", "soon"),
    ];
    let network = "[$address=\"127.0.0.1\", $bound_port=2150/tcp]";
    let expected = [
        "environment ZEEK_AGENT_PORT: '2151' is not a port from 1/tcp to 65535/tcp".to_owned(),
        "environment ZEEK_DEFAULT_CONNECT_RETRY: 'soon' is not a number of seconds".to_owned(),
        "argument: there is no option Management::Agent::nmae".to_owned(),
        "argument: Management::Controller::listen_port: 70000/tcp is no port, the highest is 65535".to_owned(),
        "argument: Management::Agent::default_port: 0/unknown is not a port from 1/tcp to 65535/tcp".to_owned(),
        "argument: Management::Request::timeout_interval: 10 is not an interval such as 10secs".to_owned(),
        "argument: Management::Log::level: LOUD is not one of DEBUG, INFO, WARNING and ERROR of Management::Log".to_owned(),
        "argument: Broker::disable_ssl: yes is not T or F".to_owned(),
        format!("argument: Management::Agent::controller: [$address=\"a\", $port=1/tcp] is not a record such as {network}"),
        "argument: 'local' is not a setting of the form NAME=VALUE".to_owned(),
    ];
    assert_eq!(errors(&arguments, &env), expected);
}

#[test]
fn what_has_no_effect_is_said_with_the_reason() {
    let given = given(
        &[
            "Management::role=Management::AGENT",
            "Broker::max_threads=2",
        ],
        &[],
    );
    let remarks: Vec<&str> = given
        .remarks()
        .iter()
        .map(|remark| remark.text.as_str())
        .collect();
    let expected = [
        "Management::role has no effect here: each program knows its role",
        "Broker::max_threads has no effect here: it is for the nodes",
    ];
    assert_eq!(remarks, expected);
    assert!(Settings::resolve(&given).is_ok());
}

#[test]
fn a_list_of_settings_says_where_each_comes_from() {
    let given = given(
        &[
            "Management::Agent::name=a",
            "Management::Agent::name=b",
            "Broker::ssl_passphrase=sesame",
        ],
        &[("ZEEK_AGENT_NAME", "c"), ("ZEEK_AGENT_PORT", "12151/tcp")],
    );
    let shown = given.show(&[Program::Agent]);
    let lines: Vec<&str> = shown.lines().collect();
    for line in [
        "Broker::default_port = 9999/tcp  # default",
        "Broker::ssl_passphrase = \"(not shown)\"  # argument",
        "Management::Agent::controller = [$address=\"127.0.0.1\", $bound_port=2150/tcp]  # default",
        "Management::Agent::listen_port = 12151/tcp  # environment ZEEK_AGENT_PORT",
        "Management::Agent::name = \"b\"  # argument, not argument, environment ZEEK_AGENT_NAME",
        "Management::Request::timeout_interval = 5secs  # default",
    ] {
        assert!(lines.contains(&line), "{line} is not in\n{shown}");
    }
    assert!(lines.is_sorted());
    assert!(!shown.contains("sesame") && !shown.contains("listen_port_websocket"));
    assert!(
        given
            .show(&[Program::Controller])
            .contains("timeout_interval = 10secs  # default")
    );
}

#[test]
fn a_program_elsewhere_is_told_what_it_needs() {
    let given = given(
        &[
            "Management::Agent::name=a \"b\"",
            "Broker::ssl_cafile=ca.pem",
            "Management::Request::timeout_interval=1.5sec",
            "Management::Controller::tls_options_websocket=[$cert_file=\"c.pem\", $key_file=\"/k\"]",
            "Management::state_dir=state",
            "Broker::max_threads=2",
        ],
        &[],
    );
    let base = Path::new("/base");
    let passed = given.arguments(Program::Controller, base);
    let expected = [
        "Broker::ssl_cafile=\"/base/ca.pem\"",
        "Management::Controller::tls_options_websocket=[$cert_file=\"/base/c.pem\", $key_file=\"/k\"]",
        "Management::Request::timeout_interval=1.5secs",
        "Management::spool_dir=\"/opt/zeek/spool\"",
        "Management::state_dir=\"/base/state\"",
    ];
    assert_eq!(passed, expected);
    let passed = given.arguments(Program::Agent, base);
    assert!(passed.contains(&"Management::Agent::name=\"a \\\"b\\\"\"".to_owned()));
    let mut there = Given::new(given.sources.clone());
    for argument in &passed {
        there.argument(argument);
    }
    let (here, there) = (
        Settings::resolve(&given).unwrap(),
        Settings::resolve(&there).unwrap(),
    );
    assert_eq!(there.agent.name, here.agent.name);
    assert_eq!(there.agent.request_timeout, here.agent.request_timeout);
}

#[test]
fn the_table_is_sorted_and_knows_each_option_once() {
    let names: Vec<&str> = super::super::options::OPTIONS
        .iter()
        .map(|option| option.name)
        .collect();
    assert!(names.is_sorted());
    let mut once = names.clone();
    once.dedup();
    assert_eq!(once, names);
}

#[test]
fn the_log_is_kept_as_options_say() {
    let found = settings(
        &[
            "Management::Log::level=Management::Log::WARNING",
            "Log::default_rotation_interval=10 min",
            "LogAscii::use_json=T",
        ],
        &[("ZEEK_MANAGEMENT_SPOOL_DIR", "/var/spool/zeek")],
    );
    let expected = LogSettings {
        level: Level::Warning,
        rotation: Some(Duration::from_secs(600)),
        rotation_dir: "/var/spool/zeek/log-queue".into(),
        format: Format::Json,
    };
    assert_eq!(found.log, expected);
    let off = settings(&["Log::default_rotation_interval=0 secs"], &[]);
    assert_eq!(off.log.rotation, None);
    assert_eq!(off.archive, None);
}

#[test]
fn state_is_kept_relative_to_the_controllers_directory() {
    for (given, directory, want) in [
        (".", "", "/state/nodes/controller"),
        ("\"db\"", "", "/state/nodes/controller/db"),
        ("db", "elsewhere", "/state/nodes/elsewhere/db"),
        (".", "/var/controller", "/var/controller"),
        ("/var/db/zeek", "", "/var/db/zeek"),
    ] {
        let found = settings(
            &[
                &format!("Broker::table_store_db_directory={given}"),
                &format!("Management::Controller::directory={directory}"),
                "Management::Controller::name=controller",
                "Management::state_dir=/state",
            ],
            &[],
        );
        assert_eq!(found.store_dir, PathBuf::from(want));
    }
}

/// API §6 N4, §13.3.
#[test]
fn nodes_are_told_where_their_agent_is_unless_they_look_there_anyway() {
    assert_eq!(settings(&[], &[]).agent.node_env, []);
    let elsewhere = [
        "Management::Agent::listen_port=2251/tcp",
        "Management::Agent::listen_address=127.0.0.2",
    ];
    let expected = [
        ("ZEEK_AGENT_ADDR", "127.0.0.2"),
        ("ZEEK_AGENT_PORT", "2251/tcp"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(settings(&elsewhere, &[]).agent.node_env, expected);
    let default = ["Management::Agent::default_port=2251/tcp"];
    assert_eq!(settings(&default, &[]).agent.node_env, expected[1..]);
}

#[test]
fn ports_are_assigned_and_logs_archived_only_if_options_say_so() {
    let off = settings(
        &[
            "Management::Controller::auto_assign_broker_ports=F",
            "Management::Controller::auto_assign_metrics_ports=F",
            "Management::Agent::archive_logs=F",
        ],
        &[],
    );
    assert_eq!(off.controller.broker_ports, AutoAssign::Off);
    assert_eq!(off.controller.metrics_ports, AutoAssign::Off);
    assert_eq!(off.archive, None);
    let own = settings(&["Management::Agent::archive_interval=5min"], &[]);
    assert_eq!(own.archive.unwrap().interval, Duration::from_secs(300));
    assert_eq!(own.log.rotation, Some(Duration::from_secs(3600)));
}

#[test]
fn a_controllers_port_may_be_a_text_that_is_one() {
    let at = |port: &str| {
        let argument =
            format!("Management::Agent::controller=[$address=\"c\", $bound_port={port}]");
        settings(&[&argument], &[]).agent.controller
    };
    assert_eq!(at("\"21500/tcp\""), Some(addr("c", 21500)));
    assert_eq!(at("21500/tcp"), Some(addr("c", 21500)));
}

#[test]
fn a_time_span_is_neither_negative_nor_longer_than_a_thousand_years() {
    for span in ["-1sec", "400000days"] {
        let argument = format!("Management::Request::timeout_interval={span}");
        let errors = errors(&[&argument], &[]);
        assert_eq!(errors.len(), 1, "{span}");
        assert!(
            errors[0].ends_with("is not an interval such as 10secs"),
            "{errors:?}"
        );
    }
}

#[test]
fn an_argument_for_nodes_is_ours_only_if_its_name_is() {
    let read = |argument: &str| {
        let mut given = given(&[], &[]);
        given.node_argument(argument);
        let errors: Vec<String> = given.errors().iter().map(ToString::to_string).collect();
        (given, errors)
    };
    let (ours, errors) = read("Management::Agent::name=a");
    assert_eq!(errors, [""; 0]);
    assert_eq!(Settings::resolve(&ours).unwrap().agent.name, "a");
    let (theirs, errors) = read("Site::x=5");
    assert_eq!(errors, [""; 0]);
    assert_eq!(theirs.remarks(), []);
    for (argument, problem) in [
        (
            "Management::Agent::nmae=a",
            "there is no option Management::Agent::nmae",
        ),
        ("=5", "'=5' is not a setting of the form NAME=VALUE"),
        ("1a=5", "'1a=5' is not a setting of the form NAME=VALUE"),
    ] {
        assert_eq!(read(argument).1, [format!("argument: {problem}")]);
    }
}

#[test]
fn a_file_that_is_none_is_handed_on_as_it_is() {
    let tls = "Management::Controller::tls_options_websocket=\
               [$cert_file=\"c.pem\", $enable_peer_verification=F]";
    let given = given(
        &["Broker::ssl_cafile=", "Broker::ssl_keyfile=NONE", tls],
        &[],
    );
    let passed = given.arguments(Program::Controller, Path::new("/base"));
    let expected = [
        "Broker::ssl_cafile=\"\"",
        "Broker::ssl_keyfile=\"NONE\"",
        "Management::Controller::tls_options_websocket=\
         [$cert_file=\"/base/c.pem\", $enable_peer_verification=F]",
        "Management::spool_dir=\"/opt/zeek/spool\"",
        "Management::state_dir=\"/opt/zeek/var/lib\"",
    ];
    assert_eq!(passed, expected);
}
