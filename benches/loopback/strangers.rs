//! Slow strangers on both ports of a running controller: how long clients wait for an answer among
//! them, how much memory it takes, and when the strangers are gone. `benches/README.md` says more.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark's inputs are its own, and it reads the clock"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use figures::{megabytes, percentiles};
use harness::binaries;
use harness::processes::{peak_kib, resident_kib};
use harness::tree::{Options, Tree};
use harness::websocket::WebSocket;
use mgmt::api::controller::ControllerRequest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod figures;

/// How many of each.
struct Counts {
    half_open: usize,
    silent: usize,
    requests: usize,
    newcomers: usize,
}

const MEASURE: Counts = Counts {
    half_open: 5000,
    silent: 1000,
    requests: 2000,
    newcomers: 200,
};

/// Only to see that it works, as `cargo test --benches` does.
const TRY: Counts = Counts {
    half_open: 20,
    silent: 4,
    requests: 2,
    newcomers: 1,
};

fn main() {
    let measures = std::env::args().any(|arg| arg == "--bench");
    let counts = if measures { MEASURE } else { TRY };
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    let tree = Tree::start(&Options {
        programs: Some(binaries::up_to_date().unwrap()),
        ..Options::default()
    })
    .unwrap();
    let pid = tree.controller_pid().unwrap();
    let port = tree.ports.websocket;
    println!("before: {}", ask(port, &counts));

    let crowd = Crowd::gather(tree.ports.controller, port, &counts);
    println!("among strangers: {}", ask(port, &counts));
    println!(
        "resident: {}, at most: {}",
        megabytes(resident_kib(pid)),
        megabytes(peak_kib(pid))
    );
    let strangers = crowd.leave_alone();
    if measures {
        println!("{}", recovery(strangers));
    }
    println!("afterwards: {}", ask(port, &counts));
    tree.stop().unwrap();
}

/// A client that is there already, and clients that come: connection, subscription and answer.
fn ask(port: u16, counts: &Counts) -> String {
    let request = |n: usize| {
        let reqid = format!("request-{n}");
        ControllerRequest::GetInstances { reqid }
    };
    let mut socket = WebSocket::subscribed(port).unwrap();
    let times = (0..counts.requests).map(|n| {
        // Not as fast as possible: what the strangers do meanwhile counts.
        thread::park_timeout(Duration::from_millis(2));
        let start = Instant::now();
        socket.answer(&request(n)).unwrap();
        start.elapsed()
    });
    let known = percentiles(times.collect());
    let mut lost = 0;
    let mut times = Vec::new();
    for n in 0..counts.newcomers {
        let start = Instant::now();
        let answered = WebSocket::subscribed(port).and_then(|mut it| it.answer(&request(n)));
        match answered {
            Ok(_) => times.push(start.elapsed()),
            Err(_) => lost += 1,
        }
    }
    let new = percentiles(times);
    format!("a client that is there: {known}; newcomers: {new}, {lost} not answered")
}

/// Strangers that come again as soon as they are let go, and never finish what they begin.
struct Crowd {
    ends: Arc<AtomicBool>,
    came: Arc<AtomicU64>,
    strangers: thread::JoinHandle<Vec<TcpStream>>,
}

impl Crowd {
    /// Returns when all have come once.
    fn gather(broker: u16, websocket: u16, counts: &Counts) -> Self {
        let (half_open, silent) = (counts.half_open, counts.silent);
        let begin = move |n: usize| match n {
            // As a ClientHello begins.
            n if n < half_open && n.is_multiple_of(2) => stranger(broker, &[0x16, 3, 1]),
            n if n < half_open => stranger(websocket, b"GET /v1/messages/json HTTP/1.1\r\nX: "),
            _ => stranger(websocket, UPGRADE),
        };
        let mut strangers: Vec<TcpStream> = (0..half_open + silent).map(begin).collect();
        let (ends, came) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (ended, count) = (Arc::clone(&ends), Arc::clone(&came));
        let strangers = thread::spawn(move || {
            let mut n = 0;
            while !ended.load(Ordering::Relaxed) {
                if let Some(stranger) = strangers.get_mut(n)
                    && has_ended(stranger)
                {
                    *stranger = begin(n);
                    count.fetch_add(1, Ordering::Relaxed);
                    thread::park_timeout(Duration::from_millis(1));
                }
                n = (n + 1) % strangers.len();
                if n == 0 {
                    thread::park_timeout(Duration::from_millis(50));
                }
            }
            strangers
        });
        Self {
            ends,
            came,
            strangers,
        }
    }

    /// None of them comes again. Returns those that are there, or were.
    fn leave_alone(self) -> Vec<TcpStream> {
        self.ends.store(true, Ordering::Relaxed);
        println!(
            "strangers came again: {}",
            self.came.load(Ordering::Relaxed)
        );
        self.strangers.join().unwrap()
    }
}

/// How long until the last is gone?
fn recovery(mut strangers: Vec<TcpStream>) -> String {
    let start = Instant::now();
    strangers.retain_mut(|stranger| !has_ended(stranger));
    let held = strangers.len();
    while !strangers.is_empty() && start.elapsed() < Duration::from_secs(120) {
        thread::park_timeout(Duration::from_millis(100));
        strangers.retain_mut(|stranger| !has_ended(stranger));
    }
    let (secs, left) = (start.elapsed().as_secs_f64(), strangers.len());
    format!("{held} strangers were held, {left} after {secs:.1} s")
}

/// A complete one, after which nothing comes.
const UPGRADE: &[u8] = b"GET /v1/messages/json HTTP/1.1\r\nUpgrade: websocket\r\nHost: x\r\n\
    Sec-WebSocket-Key: gCJulltdAhAybS++8yRbzw==\r\nSec-WebSocket-Version: 13\r\n\
    Connection: Upgrade\r\n\r\n";

fn stranger(port: u16, says: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    // It may be let go at once.
    let _ = stream.write_all(says);
    stream.set_nonblocking(true).unwrap();
    stream
}

fn has_ended(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 512];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}
