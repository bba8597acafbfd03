//! Peers whose certificate is not one of the operator's CA's: refused, logged, counted, audited
//! (API §16 to §18).

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use harness::certificates::{Authority, Identity};
use harness::tree::{CONTROLLER, Options, Transport, Tree};
use harness::wait_until;
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// For what takes milliseconds.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn peers_without_a_certificate_of_the_ca_are_refused_logged_counted_and_audited() {
    let (ca, other) = (
        Authority::new("CA").unwrap(),
        Authority::new("other").unwrap(),
    );
    let own = ca.issue("zeek").unwrap();
    let files = [
        ("certificate", own.certificate.display().to_string()),
        ("keyfile", own.keyfile.display().to_string()),
        ("cafile", ca.cafile().display().to_string()),
    ];
    let tree = Tree::start(&Options {
        transport: Transport::AnonymousTls,
        args: files
            .map(|(name, value)| format!("Broker::ssl_{name}={value}"))
            .to_vec(),
        ..Options::default()
    })
    .unwrap();
    let audit = tree.state_folder().join("nodes").join(CONTROLLER);
    let audit = audit.join("audit.log");
    let strangers = [
        None,
        Some(other.issue("zeek").unwrap()),
        Some(ca.issue_expired("expired").unwrap()),
    ];
    for stranger in &strangers {
        let address = knocks(tree.ports.controller, stranger.as_ref());
        let is_told = || {
            let text = fs::read_to_string(&audit).unwrap_or_default();
            let lines = text.lines().map(serde_json::from_str::<Value>);
            // The last one may be on its way.
            lines.map_while(Result::ok).any(|line| {
                line["kind"] == "stranger"
                    && line["listener"] == "broker"
                    && line["address"] == address
                    && line["reason"] != ""
            })
        };
        wait_until(LONG, || is_told().then_some(())).unwrap_or_else(|| panic!("{stranger:?}"));
        let logged = || tree.lines_of(CONTROLLER, &["an incoming link", &address]);
        wait_until(LONG, || (!logged().is_empty()).then_some(())).unwrap();
    }
    let controller = Pid::from_raw(tree.controller_pid().unwrap()).unwrap();
    kill_process(controller, Signal::HUP).unwrap();
    let counted = || {
        let lines = tree.lines_of(CONTROLLER, &["what limits have met", "failed: "]);
        let (_, rest) = lines.first()?.split_once("failed: ")?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<usize>().ok()
    };
    let counted = wait_until(LONG, counted).expect("the counters are told");
    assert!(counted >= strangers.len(), "{counted}");
    crate::assert_nobody_noticed(&tree);
    tree.stop().unwrap();
}

/// Dials as this stranger and is refused; returns the address it came from.
fn knocks(port: u16, stranger: Option<&Identity>) -> String {
    let mut builder = SslConnector::builder(SslMethod::tls()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    if let Some(identity) = stranger {
        builder
            .set_certificate_chain_file(&identity.certificate)
            .unwrap();
        let key = SslFiletype::PEM;
        builder
            .set_private_key_file(&identity.keyfile, key)
            .unwrap();
    }
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    tcp.set_read_timeout(Some(LONG)).unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    let mut configuration = builder.build().configure().unwrap();
    configuration.set_verify_hostname(false);
    // With TLS 1.3 the dialer is through before its certificate is looked at.
    if let Ok(mut link) = configuration.connect("localhost", tcp) {
        assert!(matches!(link.read(&mut [0]), Ok(0) | Err(_)));
    }
    address
}
