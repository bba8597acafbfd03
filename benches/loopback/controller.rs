//! The running program: how long a client waits for an answer, how many it gets a second, how much
//! memory the controller takes, and how long it needs to start. `benches/README.md` says more.
//!
//! The programs are built by the profile of the benchmark. `zeek-mgmt run` starts controller, agent
//! and supervisor as in production; the client is this process, over one WebSocket connection.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark's inputs are its own, and it reads the clock"
)]

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use broker_proto::zeek::Event;
use figures::{megabytes, millis, percentiles};
use harness::binaries;
use harness::ports;
use harness::processes::{peak_kib, processor_time, resident_kib};
use harness::tree::{Options, Tree};
use harness::wait_until;
use harness::websocket::{Answer, WebSocket, frame};
use mgmt::api::CONTROLLER_TOPIC;
use mgmt::api::controller::ControllerRequest;
use zeek_client_compat::message;

mod figures;

/// How often each thing is done.
struct Counts {
    rounds: usize,
    latencies: usize,
    pipelined: usize,
    starts: usize,
}

const MEASURE: Counts = Counts {
    rounds: 5,
    latencies: 2000,
    pipelined: 40_000,
    starts: 21,
};

/// Only to see that it works, as `cargo test --benches` does.
const TRY: Counts = Counts {
    rounds: 1,
    latencies: 1,
    pipelined: 10,
    starts: 1,
};

fn main() {
    let measures = std::env::args().any(|arg| arg == "--bench");
    let counts = if measures { MEASURE } else { TRY };
    let programs = binaries::up_to_date().unwrap();
    println!("{}", starts(&programs, &counts));
    let tree = Tree::start(&Options {
        programs: Some(programs),
        ..Options::default()
    })
    .unwrap();
    let pid = tree.controller_pid().unwrap();
    println!("resident with one agent: {}", megabytes(resident_kib(pid)));
    for _ in 0..counts.rounds {
        println!("a hundred at once: {}", crowd(tree.ports.websocket));
        let mut socket = WebSocket::subscribed(tree.ports.websocket).unwrap();
        let instances = |reqid| ControllerRequest::GetInstances { reqid };
        let nodes = |reqid| ControllerRequest::GetNodes { reqid };
        println!(
            "get_instances: {}",
            latencies(&mut socket, instances, counts.latencies)
        );
        println!(
            "get_nodes: {}",
            latencies(&mut socket, nodes, counts.latencies)
        );
        println!(
            "get_instances, pipelined: {}",
            pipelined(&mut socket, pid, counts.pipelined)
        );
    }
    println!(
        "resident afterwards: {}, at most: {}",
        megabytes(resident_kib(pid)),
        megabytes(peak_kib(pid))
    );
    tree.stop().unwrap();
}

/// From the write of a request to the read of its answer, one after the other.
fn latencies(
    socket: &mut WebSocket,
    request: impl Fn(String) -> ControllerRequest,
    count: usize,
) -> String {
    let times = (0..count).map(|n| {
        let (reqid, frame) = prepared(&request, n);
        let start = Instant::now();
        socket.sender().unwrap().write_all(&frame).unwrap();
        let answer = socket.receive().unwrap();
        let time = start.elapsed();
        assert_answers(&answer, &reqid);
        time
    });
    percentiles(times.collect())
}

/// Sends from one thread as fast as the controller takes it, while another reads the answers.
fn pipelined(socket: &mut WebSocket, pid: i32, count: usize) -> String {
    let request = |reqid| ControllerRequest::GetInstances { reqid };
    let requests: Vec<_> = (0..count).map(|n| prepared(request, n)).collect();
    let bytes: Vec<u8> = requests
        .iter()
        .flat_map(|(_, frame)| frame)
        .copied()
        .collect();
    let mut sender = socket.sender().unwrap();
    let (start, processor) = (Instant::now(), processor_time(pid).unwrap());
    let sending = thread::spawn(move || sender.write_all(&bytes));
    for (reqid, _) in &requests {
        assert_answers(&socket.receive().unwrap(), reqid);
    }
    let time = start.elapsed();
    let processor = processor_time(pid).unwrap() - processor;
    sending.join().unwrap().unwrap();
    let each = |time: Duration| time.as_secs_f64() / count as f64;
    let (rate, cost) = (1.0 / each(time), each(processor) * 1e6);
    format!("{rate:.0} a second, {cost:.1} µs of the controller's processor time each")
}

/// From the start of the process until its WebSocket port accepts, and what it then takes.
fn starts(programs: &binaries::Binaries, counts: &Counts) -> String {
    let folder = std::env::temp_dir().join(format!("zeek-mgmt-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut times = Vec::new();
    let mut resident = None;
    for _ in 0..counts.starts {
        let port = ports::free(1);
        let mut command = Command::new(&programs.mgmt);
        command
            .arg("controller")
            .current_dir(&folder)
            .stderr(Stdio::null());
        command.env("ZEEK_CONTROLLER_PORT", format!("{}/tcp", ports::free(1)));
        command.env("ZEEK_CONTROLLER_ADDR", "127.0.0.1");
        command.env("ZEEK_MANAGEMENT_STATE_DIR", &folder);
        command.env("ZEEK_MANAGEMENT_SPOOL_DIR", &folder);
        command.env("ZEEK_CONTROLLER_WEBSOCKET_PORT", format!("{port}/tcp"));
        let start = Instant::now();
        let mut child = command.spawn().unwrap();
        await_port(&mut child, port);
        times.push(start.elapsed());
        resident = resident_kib(i32::try_from(child.id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
    times.sort();
    let median = millis(times.get(times.len() / 2).copied().unwrap_or_default());
    let best = millis(times.first().copied().unwrap_or_default());
    format!(
        "start to listening: {median:.1} ms, best {best:.1} ms; resident then: {}",
        megabytes(resident)
    )
}

fn await_port(child: &mut Child, port: u16) {
    let open = wait_until(Duration::from_secs(10), || {
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
    open.expect("it listens");
}

/// A hundred clients ask at once, among ten that never read, ten that send garbage and ten that say
/// nothing. Everybody gets every request and every answer.
fn crowd(port: u16) -> String {
    const TEXT: u8 = 1;
    let silent = (0..10).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
    let silent: Vec<_> = silent.collect();
    let deaf = (0..10).map(|_| WebSocket::subscribed(port).unwrap());
    let deaf: Vec<_> = deaf.collect();
    let mut garbage: Vec<_> = (0..10).map(|_| WebSocket::connect(port).unwrap()).collect();
    let clients = (0..100).map(|_| WebSocket::subscribed(port).unwrap());
    let mut clients: Vec<_> = clients.collect();
    let request = |n: usize| ControllerRequest::GetInstances {
        reqid: format!("crowd-{n}"),
    };
    let start = Instant::now();
    for socket in &mut garbage {
        socket.frame(TEXT, "[],".repeat(1000).as_bytes()).unwrap();
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.request(&request(n)).unwrap();
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let reqid = format!("\"crowd-{n}\"");
        let is_answer = |text: &str| text.contains("_response") && text.contains(&reqid);
        while !matches!(client.receive().unwrap(), Answer::Text(text) if is_answer(&text)) {}
    }
    let time = start.elapsed();
    drop((silent, deaf));
    format!("the last is answered after {:.1} ms", millis(time))
}

/// A request's id and its frame.
fn prepared(request: impl Fn(String) -> ControllerRequest, n: usize) -> (String, Vec<u8>) {
    const TEXT: u8 = 1;
    let reqid = format!("{n:08}-c6f1-11f0-9a3b-0242ac110002");
    let event = Event::from(request(reqid.clone()));
    let text = message::event(&CONTROLLER_TOPIC, event);
    (reqid, frame(TEXT, text.as_bytes()))
}

fn assert_answers(answer: &Answer, reqid: &str) {
    let Answer::Text(text) = answer else {
        panic!("no answer but {answer:?}");
    };
    assert!(text.contains("_response") && text.contains(reqid), "{text}");
}
