//! What each program costs before it does anything: time and processor time from `exec` to a port
//! that accepts, memory when idle, and the size of the file. `benches/README.md` says more.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark's inputs are its own, and it reads the clock"
)]

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use figures::{megabytes, percentiles};
use harness::binaries;
use harness::lone::State;
use harness::ports;
use harness::processes::{peak_kib, resident_kib};
use harness::wait_until;
use rustix::process::{Pid, Signal, kill_process};

mod figures;

/// Until a program that was started listens, and until one that was told to stop has ended.
const LIMIT: Duration = Duration::from_secs(60);

/// From a port that accepts to a program that does nothing.
const SETTLED: Duration = Duration::from_millis(500);

const PROFILE: &str = include_str!("../../Cargo.toml");

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let starts = if args.iter().any(|arg| arg == "--bench") {
        7
    } else {
        1
    };
    let named = args.iter().position(|arg| arg == "--program");
    let named = named.and_then(|at| args.get(at + 1)).map(PathBuf::from);
    let is_own = named.is_none();
    let built = binaries::up_to_date().unwrap();
    let program = named.unwrap_or(built.mgmt);
    for (link, option) in [
        ("cleartext", Some("Broker::disable_ssl=T")),
        ("TLS as by default", None),
    ] {
        for role in ["controller", "agent", "supervisor", "run"] {
            let starts = (0..starts).map(|_| Start::of(&program, &built.standin, role, option));
            println!("{role}, {link}: {}", summary(starts.collect()));
        }
    }
    let size = fs::metadata(&program).unwrap().len();
    println!("{}: {:.1} MB", program.display(), size as f64 / 1e6);
    let profile = PROFILE.split("[profile.release]\n").nth(1).unwrap();
    let profile = profile.lines().take_while(|line| !line.is_empty());
    println!("release profile: {}", Vec::from_iter(profile).join(", "));
    if cfg!(debug_assertions) && is_own {
        println!("measured was a build for tests");
    }
}

/// One life of a program.
struct Start {
    time: Duration,
    processor: Duration,
    idle_kib: Option<u64>,
    peak_kib: Option<u64>,
}

impl Start {
    fn of(program: &Path, zeek: &Path, role: &str, option: Option<&str>) -> Self {
        let state = State::empty().unwrap();
        let [websocket, controller, agent, supervisor] = [(); 4].map(|()| ports::free(1));
        let mut command = Command::new(program);
        command.arg(role);
        if matches!(role, "supervisor" | "run") {
            command.arg("--zeek").arg(zeek);
        }
        if role == "supervisor" {
            command.arg("SupervisorControl::enable_listen=T");
        }
        command.args(option);
        command.arg(format!("Broker::default_port={supervisor}/tcp"));
        command.env("ZEEK_MANAGEMENT_STATE_DIR", state.path());
        command.env("ZEEK_MANAGEMENT_SPOOL_DIR", state.path());
        for (name, port) in [
            ("ZEEK_CONTROLLER_WEBSOCKET_PORT", websocket),
            ("ZEEK_CONTROLLER_PORT", controller),
            ("ZEEK_AGENT_PORT", agent),
        ] {
            command.env(name, format!("{port}/tcp"));
        }
        command.current_dir(state.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let port = match role {
            "controller" => websocket,
            "agent" => agent,
            _ => supervisor,
        };
        let begun = Instant::now();
        let mut child = command.spawn().unwrap();
        await_port(&mut child, port);
        let time = begun.elapsed();
        let pid = i32::try_from(child.id()).unwrap();
        let processor = processor(pid);
        let ready = Instant::now();
        wait_until(LIMIT, || (ready.elapsed() >= SETTLED).then_some(()));
        let (idle_kib, peak_kib) = (resident_kib(pid), peak_kib(pid));
        stop(&mut child);
        Self {
            time,
            processor,
            idle_kib,
            peak_kib,
        }
    }
}

fn summary(starts: Vec<Start>) -> String {
    let times = |of: fn(&Start) -> Duration| percentiles(starts.iter().map(of).collect());
    let most = |of: fn(&Start) -> Option<u64>| megabytes(starts.iter().filter_map(of).max());
    format!(
        "listens after {}; processor time until then {}; resident {} when idle, {} at most",
        times(|start| start.time),
        times(|start| start.processor),
        most(|start| start.idle_kib),
        most(|start| start.peak_kib),
    )
}

fn await_port(child: &mut Child, port: u16) {
    let open = wait_until(LIMIT, || {
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
    open.expect("it listens");
}

/// What a process has used of all cores, more exactly than in hundredths of a second.
fn processor(pid: i32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let used = tasks.map(|task| {
        let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(used.sum())
}

/// As an operator does, so that children end too.
fn stop(child: &mut Child) {
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
    let ended = wait_until(LIMIT, || child.try_wait().unwrap());
    ended.expect("it ends");
}
