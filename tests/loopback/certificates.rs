//! Certificates of a running tree: files that do not do, files that are renewed, files that end.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::binaries;
use harness::command;
use harness::ports;
use harness::tree::{CONTROLLER, INSTANCE, Options, Transport, Tree};
use harness::wait_until;
use mgmt::certificate::paste::Files;
use mgmt::io::certificates::{Former, Order, init, issue};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::X509;
use rustix::process::{Pid, Signal, kill_process};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn renewed_certificates_are_read_on_one_signal_and_broken_ones_are_not() {
    let folder = Folder::new("renew");
    // Five days, so that their end is near from the start.
    let files = folder.issue(5, Former::Absent);
    let tree = Tree::start(&Options {
        transport: Transport::AnonymousTls,
        args: arguments(&files),
        ..Options::default()
    })
    .unwrap();
    let ports = [
        tree.ports.controller,
        tree.ports.agent,
        tree.ports.supervisor,
    ];
    let own = |path: &Path| X509::from_pem(&fs::read(path).unwrap()).unwrap();
    let is_shown = |certificate: &X509| {
        let mut ports = ports.iter();
        ports.all(|port| shown(*port, &files).as_ref() == Some(certificate))
    };
    let former = own(&files.certificate);
    assert!(is_shown(&former));
    let text = files.certificate.display().to_string();
    let warned = |parts: &[&str]| {
        let lines = || tree.lines_of(CONTROLLER, parts);
        wait_until(LIMIT, || (!lines().is_empty()).then_some(())).unwrap();
    };
    warned(&["the own certificate in", &text, "ends in", "--renew"]);
    warned(&["get-instances: certificates run out", "'host'"]);

    folder.issue(400, Former::Renew);
    let renewed = own(&files.certificate);
    assert_ne!(renewed, former);
    hang_up(tree.pid());
    let seen = || is_shown(&renewed).then_some(());
    wait_until(LIMIT, seen).expect("all ports show the renewed certificate");

    fs::write(&files.key, "no key").unwrap();
    hang_up(tree.pid());
    let key = files.key.display().to_string();
    let complaint = ["stay as they were", "Broker::ssl_keyfile", key.as_str()];
    for node in [CONTROLLER, INSTANCE] {
        let lines = || tree.lines_of(node, &complaint);
        wait_until(LIMIT, || (!lines().is_empty()).then_some(())).unwrap();
    }
    tree.log().wait_for(LIMIT, &complaint).unwrap();
    let own_key = shown_without_key(tree.ports.controller);
    assert_eq!(own_key, Some(renewed));
    super::assert_nobody_noticed(&tree);
    tree.stop().unwrap();
}

#[test]
fn all_files_that_do_not_do_are_told_at_start_and_nothing_listens() {
    let folder = Folder::new("start");
    let programs = binaries::built().unwrap();
    let missing = folder.0.join("missing");
    let missing = missing.display();
    let script = folder.0.join("tls.zeek");
    let websocket = format!(
        "redef Management::Controller::tls_options_websocket = Cluster::WebSocketTLSOptions(\n\
         $cert_file=\"{missing}.pem\", $key_file=\"{missing}.key\");\n"
    );
    fs::write(&script, websocket).unwrap();
    let port = ports::free(1);
    let listen = format!("Management::Controller::listen_port={port}/tcp");
    let names = ["certificate", "keyfile", "cafile"];
    let settings = names.map(|name| format!("Broker::ssl_{name}={missing}.{name}"));
    for subcommand in ["run", "controller"] {
        let mut program = Command::new(&programs.mgmt);
        program.arg(subcommand).arg("--redef").arg(&script);
        program.args(&settings).arg(&listen);
        program.env("ZEEK_MANAGEMENT_STATE_DIR", &folder.0);
        program.current_dir(&folder.0);
        let done = command::run(&mut program, LIMIT).unwrap();
        assert_eq!(done.code, Some(1), "{done:?}");
        let why = "No such file or directory (os error 2)";
        for (option, name) in [
            ("Broker::ssl_certificate", "certificate"),
            ("Broker::ssl_keyfile", "keyfile"),
            ("Broker::ssl_cafile", "cafile"),
            ("Cluster::WebSocketTLSOptions$cert_file", "pem"),
            ("Cluster::WebSocketTLSOptions$key_file", "key"),
        ] {
            let line = format!("zeek-mgmt: {option}: {missing}.{name}: {why}");
            assert!(done.stderr.lines().any(|it| it == line), "{line}\n{done:?}");
        }
        assert!(!done.stderr.contains("listening"), "{done:?}");
    }
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}

fn arguments(files: &Files) -> Vec<String> {
    let settings = [
        ("cafile", &files.authority),
        ("certificate", &files.certificate),
        ("keyfile", &files.key),
    ];
    let argument =
        |(name, path): (&str, &PathBuf)| format!("Broker::ssl_{name}={}", path.display());
    settings.map(argument).to_vec()
}

/// The certificate that a port shows to whom it lets in; `None` if there is no link.
fn shown(port: u16, own: &Files) -> Option<X509> {
    let mut builder = SslConnector::builder(SslMethod::tls()).unwrap();
    builder
        .set_certificate_chain_file(&own.certificate)
        .unwrap();
    let key = openssl::ssl::SslFiletype::PEM;
    builder.set_private_key_file(&own.key, key).unwrap();
    handshake(port, builder)
}

/// TLS 1.3 shows it before it asks for the client's.
fn shown_without_key(port: u16) -> Option<X509> {
    handshake(port, SslConnector::builder(SslMethod::tls()).unwrap())
}

fn handshake(port: u16, mut builder: openssl::ssl::SslConnectorBuilder) -> Option<X509> {
    builder.set_verify(SslVerifyMode::NONE);
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    let mut configuration = builder.build().configure().unwrap();
    configuration.set_verify_hostname(false);
    let link = configuration.connect("localhost", tcp).ok()?;
    link.ssl().peer_certificate()
}

fn hang_up(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::HUP).unwrap();
}

/// A directory that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("zeek-mgmt-loopback-ca-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn issue(&self, days: u32, former: Former) -> Files {
        let dir = self.0.join("ca");
        if former == Former::Absent {
            init(&dir, "CA", 3650, None).unwrap();
        }
        let order = Order {
            name: "host",
            hosts: &[],
            days,
            out: None,
            former,
        };
        issue(&dir, &order, None).unwrap().files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
