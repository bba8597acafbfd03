//! A crowd on the WebSocket port: those who behave are answered, and those who do not cost no more
//! than a bounded amount of memory (CLIENT §A9, §A10).

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use harness::processes::{peak_kib, resident_kib};
use harness::tree::{CONTROLLER, INSTANCE, Options, Tree};
use harness::wait_until;
use harness::websocket::WebSocket;
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use mgmt::model::{Configuration, Node, State};
use supervisor::api::ClusterRole;

use crate::assert_nobody_noticed;

const WELL_BEHAVED: usize = 100;
const OF_EACH_BAD_KIND: usize = 10;

/// The deaf, and those whose garbage does not cost them the session: they do not read either.
const NOT_READING: usize = OF_EACH_BAD_KIND + 4;

/// What the controller may take at its worst: some megabytes of its own, 32 MiB that may wait for
/// clients, and what it has read of messages that are not complete.
const MEMORY_KIB: u64 = 64 * 1024;

/// From the decision to let a client go until it is gone.
const LEAVE_LIMIT: Duration = Duration::from_secs(60);

/// More answers than this, each of some 250 KB, no socket and no outbox takes.
const MOST_ANSWERS: usize = 400;

#[test]
fn a_hundred_clients_are_answered_among_thirty_that_misbehave() {
    let tree = Tree::start(&Options::default()).unwrap();
    let pid = tree.controller_pid().unwrap();
    let port = tree.ports.websocket;
    let silent: Vec<_> = (0..OF_EACH_BAD_KIND).map(|n| silent(port, n)).collect();
    let deaf = (0..OF_EACH_BAD_KIND).map(|_| WebSocket::subscribed(port).unwrap());
    let deaf: Vec<_> = deaf.collect();
    let garbage: Vec<_> = (0..OF_EACH_BAD_KIND).map(|n| garbage(port, n)).collect();
    everybody_asks_at_once(port);
    the_deaf_are_let_go(&tree);
    let peak = peak_kib(pid).unwrap();
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    assert_nobody_noticed(&tree);
    drop((silent, garbage, deaf));
    everybody_asks_at_once(port);
    let now = resident_kib(pid).unwrap();
    assert!(now < MEMORY_KIB, "{now} KiB");
    tree.stop().unwrap();
}

/// Each client sees the requests and answers of all others too (CLIENT §A7).
fn everybody_asks_at_once(port: u16) {
    let clients = (0..WELL_BEHAVED).map(|_| WebSocket::subscribed(port).unwrap());
    let mut clients: Vec<_> = clients.collect();
    let request = |n: usize| {
        let reqid = format!("request-{n}");
        ControllerRequest::GetInstances { reqid }
    };
    for (n, client) in clients.iter_mut().enumerate() {
        client.request(&request(n)).unwrap();
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let answer = client.await_answer(&request(n)).unwrap();
        let ControllerResponse::GetInstances { result, .. } = answer else {
            panic!("{answer:?}");
        };
        assert!(result.success && result.data.is_some(), "{result:?}");
    }
}

/// One client asks for a large answer until everybody who reads nothing is cut off. It gets every
/// single answer itself.
fn the_deaf_are_let_go(tree: &Tree) {
    let mut asking = WebSocket::subscribed(tree.ports.websocket).unwrap();
    let reqid = "stage".to_owned();
    let config = large_configuration();
    let staged = asking.answer(&ControllerRequest::StageConfiguration { reqid, config });
    let staged = staged.unwrap();
    let ControllerResponse::StageConfiguration { results, .. } = &staged else {
        panic!("{staged:?}");
    };
    assert!(results.iter().all(|result| result.success), "{results:?}");
    let cut = || {
        let log = tree.log_of(CONTROLLER);
        let cut = log
            .iter()
            .filter(|line| line.contains("client does not read"));
        cut.count()
    };
    for n in 0..MOST_ANSWERS {
        let reqid = format!("large-{n}");
        let deployed = false;
        let answer = asking.answer(&ControllerRequest::GetConfiguration { reqid, deployed });
        let answer = answer.unwrap();
        let ControllerResponse::GetConfiguration { result, .. } = &answer else {
            panic!("{answer:?}");
        };
        assert!(result.success, "{:?}", result.error);
        if n % 10 == 0 && cut() >= NOT_READING {
            break;
        }
    }
    let reason = "messages are not read fast enough";
    let left = || tree.lines_of(CONTROLLER, &["client left", reason]).len();
    wait_until(LEAVE_LIMIT, || (left() >= NOT_READING).then_some(()));
    assert_eq!(
        left(),
        NOT_READING,
        "{}",
        tree.log_of(CONTROLLER).join("\n")
    );
}

/// Says nothing at all, or nothing after the upgrade.
fn silent(port: u16, n: usize) -> TcpStream {
    if n.is_multiple_of(2) {
        return TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    }
    WebSocket::connect(port).unwrap().sender().unwrap()
}

/// Sends what is nothing to the server, and leaves the connection open.
fn garbage(port: u16, n: usize) -> TcpStream {
    const TEXT: u8 = 1;
    const BINARY: u8 = 2;
    let raw = |bytes: &[u8]| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    let framed = |opcode, payload: &[u8]| {
        let mut socket = WebSocket::subscribed(port).unwrap();
        socket.frame(opcode, payload).unwrap();
        socket.sender().unwrap()
    };
    let noise: Vec<u8> = (0..100_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761)).to_be_bytes()[0])
        .collect();
    match n {
        // Neither HTTP nor TLS; TLS by its first byte only; a request without end.
        0 => raw(&[0x55; 1000]),
        1 => raw(&[&[0x16, 3, 1], &[0xff; 500][..]].concat()),
        2 => raw(b"GET /v1/messages/json HTTP/1.1\r\nX: "),
        // Frames that are none.
        3 => framed(0xf, b"reserved"),
        4 => framed(BINARY, &noise),
        5 => framed(TEXT, &noise),
        // Text that is no JSON, is nested without end, or is many small values.
        6 => framed(TEXT, "x".repeat(1 << 20).as_bytes()),
        7 => framed(TEXT, "[".repeat(1 << 20).as_bytes()),
        8 => framed(TEXT, "[],".repeat(1 << 20).as_bytes()),
        // Begins a message of 15 MiB and never ends it.
        _ => {
            let socket = WebSocket::subscribed(port).unwrap();
            let head = [&[0x81, 0xff][..], &(15_u64 << 20).to_be_bytes(), &[0; 4]].concat();
            let mut sender = socket.sender().unwrap();
            sender.write_all(&head).unwrap();
            sender.write_all(&noise).unwrap();
            sender
        }
    }
}

fn large_configuration() -> Configuration {
    let node = |n: usize| Node {
        name: format!("worker-{n:03}"),
        instance: INSTANCE.to_owned(),
        role: ClusterRole::Worker,
        state: State::Running,
        p: None,
        scripts: None,
        options: None,
        interface: Some("eth0".to_owned()),
        cpu_affinity: None,
        env: [("LONG".to_owned(), "x".repeat(2000))].into(),
        metrics_port: None,
    };
    Configuration {
        id: "large".to_owned(),
        instances: BTreeSet::from([mgmt::model::Instance {
            name: INSTANCE.to_owned(),
            host: broker_proto::Address::UNSPECIFIED,
            listen_port: None,
        }]),
        nodes: (0..100).map(node).collect(),
    }
}
