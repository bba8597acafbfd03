//! The stock zeek-client against a running `zeek-mgmt`: what it prints and how it ends, as it did
//! against Zeek 8.0.10. Every release that can talk to a WebSocket port is tried, in the mode that
//! is its default.

mod errors;
mod session;

use std::process::Command;
use std::thread;
use std::time::Duration;

use harness::binaries;
use harness::certificates::Authority;
use harness::client::ZeekClient;
use harness::command;
use harness::tree::{CONTROLLER, Options, Transport, Tree};
use serde_json::Value;

use session::Session;

/// An empty cluster, as the recorded session ended.
const EMPTY: &str = "[instances]\ninstance-1\n";

/// How a release differs from the one that the recordings were made with (CLIENT §D).
struct Differences {
    version: &'static str,
    /// Its own word for whether it talks TLS unless told otherwise (CLIENT §B1, §C1).
    transport: &'static str,
    /// Recorded lines that contain this are not printed: before 1.4.0 there are no metrics ports,
    /// neither in what a client sends nor in what it reads (CLIENT §C4).
    lacks: Option<&'static str>,
}

const RELEASES: [Differences; 4] = [
    Differences {
        version: "1.2.0",
        transport: "disable = False",
        lacks: Some("metrics_port"),
    },
    Differences {
        version: "1.3.1",
        transport: "disable = False",
        lacks: Some("metrics_port"),
    },
    Differences {
        version: "1.4.0",
        transport: "disable = False",
        lacks: None,
    },
    Differences {
        version: "1.5.0",
        transport: "enable = False",
        lacks: None,
    },
];

#[test]
fn a_whole_session_of_1_2_0_prints_what_stock_had_it_print() {
    whole_session(&RELEASES[0]);
}

#[test]
fn a_whole_session_of_1_3_1_prints_what_stock_had_it_print() {
    whole_session(&RELEASES[1]);
}

#[test]
fn a_whole_session_of_1_4_0_prints_what_stock_had_it_print() {
    whole_session(&RELEASES[2]);
}

#[test]
fn a_whole_session_of_1_5_0_prints_what_stock_had_it_print() {
    whole_session(&RELEASES[3]);
}

fn whole_session(release: &Differences) {
    let client = ZeekClient::release(release.version).unwrap();
    let tree = Tree::start(&Options::default()).unwrap();
    let settings = client
        .run(tree.ports.websocket, &["show-settings"])
        .unwrap();
    assert_eq!(settings.code, Some(0), "{settings:?}");
    assert!(settings.stdout.contains(release.transport), "{settings:?}");
    thread::scope(|scope| {
        // It takes as long as everything else together.
        scope.spawn(|| timeouts_are_answered_or_not(&tree, &client));
        let mut session = Session::of(&tree, "a2c", client.clone(), release.lacks);
        before_a_deployment(&mut session);
        let config = session.config();
        stage_and_deploy(&mut session, &config);
        queries(&mut session);
        restarts(&mut session);
        let empty = session.write("empty.ini", EMPTY);
        session.succeeds(&["deploy-config", &empty], "deploy-empty.json");
        session.lists_only_management();
    });
    tree.stop().unwrap();
}

#[test]
fn a_controller_that_dials_its_agent_prints_what_stock_printed() {
    let waits = "Management::Agent::controller=[$address=\"0.0.0.0\", $bound_port=0/unknown]";
    let args = vec![waits.to_owned()];
    let tree = Tree::start_without_agent(&Options {
        args,
        ..Options::default()
    })
    .unwrap();
    let mut session = Session::new(&tree, "c2a");
    session.succeeds(&["get-instances"], "get-instances-before.json");
    let config = session.config();
    session.succeeds(&["deploy-config", &config], "deploy-config.json");
    session.succeeds(&["get-nodes"], "get-nodes.json");
    session.succeeds(
        &["get-config", "--deployed", "--as-json"],
        "get-config-deployed.json",
    );
    session.succeeds(&["get-instances"], "get-instances.json");
    tree.stop().unwrap();
}

#[test]
fn deployments_work_over_stocks_default_encryption() {
    let transport = Transport::AnonymousTls;
    let tree = Tree::start(&Options {
        transport,
        ..Options::default()
    })
    .unwrap();
    let mut session = Session::new(&tree, "a2c");
    session.succeeds(
        &["--set", "ssl.enable=true", "get-instances"],
        "get-instances.json",
    );
    let config = session.config();
    session.succeeds(&["deploy-config", &config], "deploy.json");
    session.succeeds(&["get-nodes"], "get-nodes.json");
    tree.stop().unwrap();
}

/// On every address, without certificates, as stock's ports are (API §18.1).
#[test]
fn the_compatible_setting_leaves_stocks_clients_and_ports_as_they_were() {
    let open =
        ["Controller", "Agent"].map(|who| format!("Management::{who}::listen_address=0.0.0.0"));
    let websocket = "Management::Controller::listen_address_websocket=0.0.0.0".to_owned();
    let tree = Tree::start(&Options {
        flags: vec!["--allow-unauthenticated".to_owned()],
        args: [open.to_vec(), vec![websocket]].concat(),
        ..Options::default()
    })
    .unwrap();
    let told = ["0.0.0.0", "takes everybody", "allow_unauthenticated"];
    assert_eq!(tree.lines_of(CONTROLLER, &told).len(), 2);
    let mut session = Session::new(&tree, "a2c");
    session.succeeds(&["get-instances"], "get-instances.json");
    let config = session.config();
    session.succeeds(&["deploy-config", &config], "deploy.json");
    session.succeeds(&["get-nodes"], "get-nodes.json");
    tree.stop().unwrap();
}

/// Controller, agent, supervisor and nodes, with one encrypted key for all.
#[test]
fn deployments_work_with_certificates_on_every_link() {
    let ca = Authority::new("CA").unwrap();
    let identity = ca.issue_encrypted("zeek", "open sesame").unwrap();
    let (certificate, keyfile) = (identity.certificate, identity.keyfile);
    let files = [
        ("certificate", certificate.display().to_string()),
        ("keyfile", keyfile.display().to_string()),
        ("passphrase", "open sesame".to_owned()),
        ("cafile", ca.cafile().display().to_string()),
    ];
    let setting = |(name, value)| format!("Broker::ssl_{name}={value}");
    let tree = Tree::start(&Options {
        transport: Transport::AnonymousTls,
        args: files.clone().map(setting).to_vec(),
        ..Options::default()
    })
    .unwrap();
    let mut session = Session::new(&tree, "a2c");
    session.succeeds(&["get-instances"], "get-instances.json");
    let config = session.config();
    session.succeeds(&["deploy-config", &config], "deploy.json");
    session.succeeds(&["get-nodes"], "get-nodes.json");

    // Whoever has no certificate finds every port closed, whoever has one is let in.
    let own = files.map(|(name, value)| [format!("--ssl-{name}"), value]);
    for port in [
        tree.ports.controller,
        tree.ports.agent,
        tree.ports.supervisor,
        tree.ports.first_node,
    ] {
        for (tls, code) in [(vec![], 1), (own.concat(), 0)] {
            let mut publish = Command::new(binaries::built().unwrap().broker_cat);
            publish.arg("publish").args(tls);
            publish.args([
                &format!("127.0.0.1:{port}"),
                "/zeek-mgmt/test",
                "Test::nothing",
            ]);
            let published = command::run(&mut publish, Duration::from_secs(30)).unwrap();
            assert_eq!(published.code, Some(code), "{port}: {published:?}");
        }
    }
    tree.stop().unwrap();
}

fn before_a_deployment(session: &mut Session<'_>) {
    session.succeeds(&["get-instances"], "get-instances.json");
    session.succeeds(&["get-nodes"], "get-nodes-bare.json");
    session.fails(&["get-config", "--as-json"], "get-config-none.txt");
    session.fails(
        &["get-id-value", "bits_per_uid"],
        "get-id-value-nocluster.json",
    );
    session.fails(&["restart"], "restart-nocluster.json");
}

fn stage_and_deploy(session: &mut Session<'_>, config: &str) {
    session.succeeds(&["stage-config", config], "stage-config.json");
    session.succeeds(&["get-config", "--as-json"], "get-config-staged.json");
    session.succeeds(&["get-config"], "get-config-staged.ini");
    session.succeeds(&["deploy"], "deploy.json");
    session.succeeds(&["get-nodes"], "get-nodes.json");
    session.succeeds(
        &["get-config", "--deployed", "--as-json"],
        "get-config-deployed.json",
    );
    let ini = session.run(&["get-config", "--deployed"]);
    assert_eq!(ini.code, Some(0));
    let worker = "[worker-02]\ninstance = instance-1\nrole = WORKER\ninterface = eth0\n";
    assert!(ini.stdout.contains(worker), "{}", ini.stdout);
}

fn queries(session: &mut Session<'_>) {
    session.succeeds(&["get-id-value", "bits_per_uid"], "get-id-value.json");
    let unknown = ["get-id-value", "nosuch", "manager", "worker-01"];
    session.fails(&unknown, "get-id-value-unknown.json");
    let mixed = ["get-id-value", "bits_per_uid", "manager", "nosuchnode"];
    session.fails(&mixed, "get-id-value-mixed.json");
    complex_value_is_passed_on_as_it_is(session);
}

/// The nodes here have fewer log streams than a whole Zeek; those they have are its.
fn complex_value_is_passed_on_as_it_is(session: &Session<'_>) {
    let done = session.run(&["get-id-value", "Log::active_streams", "manager"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let manager = |text: &str| {
        let json: Value = serde_json::from_str(text).unwrap();
        assert_eq!(json["errors"], serde_json::json!([]));
        json["results"]["manager"].as_object().unwrap().clone()
    };
    let ours = manager(&done.stdout);
    let recorded = manager(&session.recorded("get-id-value-complex.json"));
    assert!(!ours.is_empty());
    for (stream, value) in ours {
        assert_eq!(recorded.get(&stream), Some(&value), "{stream}");
    }
}

fn restarts(session: &mut Session<'_>) {
    let before = session.pids();
    session.succeeds(&["restart", "worker-01"], "restart-one.json");
    let one = session.pids_after_restart(&before, &["worker-01"]);
    session.succeeds(&["restart"], "restart-all.json");
    let all = ["logger-01", "manager", "proxy-01", "worker-01", "worker-02"];
    session.pids_after_restart(&one, &all);
    let unknown = session.run(&["restart", "nosuchnode"]);
    assert_eq!(unknown.code, Some(1));
    let json: Value = serde_json::from_str(&unknown.stdout).unwrap();
    let error = serde_json::json!({"error": "unknown cluster node", "source": "nosuchnode"});
    assert_eq!(json, serde_json::json!({"errors": [error], "results": {}}));
}

fn timeouts_are_answered_or_not(tree: &Tree, client: &ZeekClient) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut session = Session::of(tree, "a2c", client.clone(), None);
            session.succeeds(&["test-timeout", "--with-state"], "test-timeout.json");
        });
        // Without a state nothing is answered, so the client's own patience ends.
        let impatient = ["--set", "client.request_timeout_secs=2", "test-timeout"];
        let done = client.run(tree.ports.websocket, &impatient).unwrap();
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
        assert!(
            done.stderr.starts_with("error: no response received"),
            "{}",
            done.stderr
        );
    });
}
