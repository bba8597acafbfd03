//! More strangers than a port has room for, and a client that wants to be heard among them (API §16,
//! §17).

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use harness::tree::{CONTROLLER, Options, Tree};
use harness::wait_until;
use harness::websocket::WebSocket;
use mgmt::api::controller::ControllerRequest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::assert_nobody_noticed;

/// Of those who have said nothing, as set below.
const ROOM: usize = 8;

/// For what takes milliseconds.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn clients_are_served_while_strangers_hold_all_there_is_and_the_audit_log_tells() {
    // Whoever goes within the time of this test was pushed out.
    let limits = [
        "strangers_per_address=8",
        "client_strangers_per_address=8",
        "tls_secs=600",
    ];
    let flags = limits.map(|limit| ["--limit".to_owned(), limit.to_owned()]);
    let tree = Tree::start(&Options {
        flags: flags.concat(),
        ..Options::default()
    })
    .unwrap();
    let mut half_open = silent(tree.ports.controller, ROOM + 4);
    // The oldest made room. The audit log has but a few lines for an address: these shall be there.
    half_open.iter_mut().take(4).for_each(assert_ended);
    let mut unasked = silent(tree.ports.websocket, ROOM + 4);
    let _mute: Vec<_> = (0..ROOM + 4)
        .map(|_| WebSocket::connect(tree.ports.websocket).unwrap())
        .collect();
    // Agent and client come from the same address as all of those.
    assert_nobody_noticed(&tree);
    let mut client = WebSocket::subscribed(tree.ports.websocket).unwrap();
    let reqid = "among-strangers".to_owned();
    let request = ControllerRequest::GetInstances { reqid };
    client.answer(&request).unwrap();
    unasked.iter_mut().take(4).for_each(assert_ended);
    let audit = tree
        .state_folder()
        .join("nodes")
        .join(CONTROLLER)
        .join("audit.log");
    let lines = || -> Vec<Value> {
        let text = fs::read_to_string(&audit).unwrap_or_default();
        let lines = text.lines().map(serde_json::from_str);
        // The last one may be on its way.
        lines.map_while(Result::ok).collect()
    };
    let is_told = |lines: &[Value]| {
        let asked = |line: &Value| {
            line["request"] == "among-strangers"
                && line["outcome"] == "ok"
                && line["listener"] == "websocket"
                && line["address"] == client.local().unwrap().to_string()
        };
        let strangers = |port| lines.iter().filter(move |line| line["listener"] == port);
        let pushed = |line: &Value| {
            line["kind"] == "stranger" && line["reason"] == "pushed out by others that came later"
        };
        lines.iter().any(asked) && strangers("broker").any(pushed)
    };
    wait_until(LONG, || is_told(&lines()).then_some(()));
    assert!(is_told(&lines()), "{:#?}", lines());

    // As logrotate does it.
    let moved = audit.with_extension("1");
    fs::rename(&audit, &moved).unwrap();
    let pid = Pid::from_raw(tree.controller_pid().unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    wait_until(LONG, || audit.exists().then_some(())).expect("a new file");
    let counted = ["what limits have met", "pushed_out: "];
    let line = wait_until(LONG, || tree.lines_of(CONTROLLER, &counted).pop());
    let line = line.expect("the counters are told");
    assert!(!line.contains("pushed_out: 0"), "{line}");
    client.answer(&request).unwrap();
    let is_there = |line: &Value| line["request"] == "among-strangers";
    wait_until(LONG, || lines().iter().any(is_there).then_some(()))
        .expect("a line in the new file");
    tree.stop().unwrap();
}

/// Connections that say nothing.
fn silent(port: u16, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    };
    (0..count).map(connect).collect()
}

/// The other side has closed it, and did not just leave it silent.
fn assert_ended(stranger: &mut TcpStream) {
    match stranger.read(&mut [0]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}
