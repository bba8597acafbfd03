//! Our programs as an operator starts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use harness::processes::{self, MARKER};
use harness::{binaries, command, ports, wait_until};
use rustix::process::{Pid, Signal, kill_process};

use crate::world::INSTANCE;

/// From SIGTERM to the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Programs, and the directory that they share; gone without a trace when dropped.
pub(super) struct Programs {
    pub(super) ports: Ports,
    /// How their links are protected.
    pub(super) protection: Vec<String>,
    pub(super) folder: PathBuf,
    mark: String,
    running: Vec<(&'static str, Child)>,
}

#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) controller: u16,
    pub(super) websocket: u16,
    pub(super) agent: u16,
    pub(super) supervisor: u16,
    first_node: u16,
}

impl Programs {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("mix-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(&mark);
        fs::create_dir_all(&folder).unwrap();
        Self {
            ports: Ports {
                controller: ports::free(1),
                websocket: ports::free(1),
                agent: ports::free(1),
                supervisor: ports::free(1),
                first_node: ports::free(4),
            },
            protection: Vec::new(),
            folder,
            mark,
            running: Vec::new(),
        }
    }

    /// A controller; the test connects to its WebSocket port in cleartext.
    pub(super) fn controller(&mut self) {
        let ports = self.ports;
        let first = ports.first_node;
        let settings = vec![
            format!("Management::Controller::auto_assign_broker_start_port={first}/tcp"),
            "Management::Controller::auto_assign_metrics_ports=F".to_owned(),
        ];
        self.start("controller", &[], settings);
    }

    /// An agent that dials its controller, or waits for it.
    pub(super) fn agent(&mut self, controller: Option<u16>) {
        let address = match controller {
            Some(port) => format!("[$address=\"127.0.0.1\", $bound_port={port}/tcp]"),
            None => "[$address=\"0.0.0.0\", $bound_port=0/unknown]".to_owned(),
        };
        let settings = vec![
            format!("Management::Agent::controller={address}"),
            format!("Broker::default_port={}/tcp", self.ports.supervisor),
        ];
        self.start("agent", &[], settings);
    }

    /// A supervisor whose nodes are run by this program.
    pub(super) fn supervisor(&mut self, zeek: &Path) {
        let zeek = zeek.to_string_lossy().into_owned();
        let settings = vec![format!(
            "Broker::default_port={}/tcp",
            self.ports.supervisor
        )];
        self.start("supervisor", &["--zeek", &zeek], settings);
    }

    fn start(&mut self, name: &'static str, flags: &[&str], settings: Vec<String>) {
        let mut command = Command::new(binaries::built().unwrap().mgmt);
        command.arg(name).args(flags).args(&settings);
        command.args(&self.protection);
        // Whatever is slow here is the machine.
        if name != "supervisor" {
            command.arg("Management::Request::timeout_interval=60secs");
        }
        self.prepare(&mut command);
        let stderr = fs::File::create(self.folder.join(format!("{name}.log"))).unwrap();
        command.stderr(stderr);
        self.running.push((name, command.spawn().unwrap()));
    }

    /// What all programs find in their environment.
    pub(super) fn prepare(&self, command: &mut Command) {
        let (ports, state) = (self.ports, self.folder.join("state"));
        let tcp = |port| format!("{port}/tcp");
        for part in ["CONTROLLER", "CONTROLLER_WEBSOCKET", "AGENT"] {
            command.env(format!("ZEEK_{part}_ADDR"), "127.0.0.1");
        }
        command.env("ZEEK_CONTROLLER_NAME", "controller");
        command.env("ZEEK_CONTROLLER_PORT", tcp(ports.controller));
        command.env("ZEEK_CONTROLLER_WEBSOCKET_PORT", tcp(ports.websocket));
        command.env("ZEEK_AGENT_NAME", INSTANCE);
        command.env("ZEEK_AGENT_PORT", tcp(ports.agent));
        command.env("ZEEK_MANAGEMENT_STATE_DIR", &state);
        command.env("ZEEK_MANAGEMENT_SPOOL_DIR", &state);
        command.env(MARKER, &self.mark).env_remove("NOTIFY_SOCKET");
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }

    /// A program that is not ours, to be ended like these.
    pub(super) fn adopt(&mut self, name: &'static str, child: Child) {
        self.running.push((name, child));
    }

    /// What they all wrote, for a test that fails.
    pub(super) fn logs(&self) -> String {
        let logs = self.running.iter().map(|(name, _)| {
            let text = fs::read_to_string(self.folder.join(format!("{name}.log")));
            format!("--- {name}\n{}", text.unwrap_or_default())
        });
        logs.collect()
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        for (_, child) in &self.running {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let _ = kill_process(pid.unwrap(), Signal::TERM);
        }
        for (_, child) in &mut self.running {
            if !matches!(command::wait(child, PATIENCE), Ok(Some(_))) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        let gone = || processes::marked(&self.mark).is_empty().then_some(());
        let gone = wait_until(PATIENCE, gone).is_some();
        // What is left of a temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
        assert!(
            gone || std::thread::panicking(),
            "processes are left behind"
        );
    }
}
