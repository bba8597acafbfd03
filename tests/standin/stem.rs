//! The stem: starts nodes as the supervisor orders, revives those that die, and passes their
//! output on (API §9.3 to §9.5, §10).
//!
//! As in Zeek, one order is carried out at a time, and stopping a node holds everything else up
//! except output (API §9.4 S8). Where Zeek's stem fails in undefined ways because the supervisor
//! broke a rule (API §10.2), this one reports an error that begins with `zeek-standin:`.

mod messages;
mod pipes;
mod process;
mod revival;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::{getppid, setpgid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::messages::{Command, MessageDecoder, Report};
use self::pipes::{Inherited, Uplink};
use self::process::{Launch, Node};
use self::revival::{Escalation, KILL_INTERVAL, signal_of_round};
use crate::config::NodeConfig;
use crate::{complain, describe};

/// A wake-up comes at least this often (API §9.4 S7).
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Between a signal and the first look whether it helped.
const SIGNAL_GRACE: Duration = Duration::from_micros(10);

/// The supervisor is gone.
const EXIT_ORPHANED: u8 = 13;

/// The command pipe has ended.
const EXIT_PIPE_CLOSED: u8 = 14;

/// Runs the stem that `ZEEK_STEM` describes, with the arguments its nodes shall inherit.
pub(crate) async fn run(variable: &str, args: Vec<String>) -> ExitCode {
    let Some(inherited) = Inherited::parse(variable) else {
        complain(&format!(
            "invalid ZEEK_STEM environment variable value: '{variable}'"
        ));
        return ExitCode::FAILURE;
    };
    let opened = inherited.open().and_then(|(commands, status)| {
        let launch = Launch {
            args,
            private_fds: inherited.fds.to_vec(),
            stdout: pipes::stdout()?,
            stderr: pipes::stderr()?,
        };
        Ok((commands, status, launch))
    });
    let (commands, status, launch) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            complain(&format!("Pipe failure: {}", describe(&error)));
            return ExitCode::FAILURE;
        }
    };
    let signals = (signal(SignalKind::child()), signal(SignalKind::terminate()));
    let (Ok(child_exits), Ok(sigterm)) = signals else {
        complain("zeek-standin: no signal handlers");
        return ExitCode::FAILURE;
    };
    let _ = rustix::thread::set_name(c"zeek.stem");
    let stem = Stem {
        parent: inherited.parent,
        nodes: BTreeMap::new(),
        uplink: Uplink::new(status),
        escalation: match std::env::var_os("ZEEK_SUPERVISOR_NO_SIGKILL") {
            Some(_) => Escalation::Never,
            None => Escalation::Kill,
        },
        launch,
        child_exits,
    };
    if let Err(error) = setpgid(None, None) {
        let error = describe(&error.into());
        let text = format!("failed to set stem process group: {error}");
        stem.uplink.send(&Report::Error(text));
    }
    stem.serve(commands, sigterm).await
}

struct Stem {
    parent: i32,
    nodes: BTreeMap<String, Node>,
    uplink: Uplink,
    escalation: Escalation,
    launch: Launch,
    child_exits: Signal,
}

/// What ended a wait.
enum WakeUp {
    /// A child signal, or a second has passed.
    Look,
    /// Commands, whole ones.
    Messages(Vec<Vec<u8>>),
    /// Time to leave.
    Leave(u8),
}

impl Stem {
    async fn serve(mut self, mut commands: pipe::Receiver, mut sigterm: Signal) -> ExitCode {
        let mut decoder = MessageDecoder::default();
        let mut buffer = [0; 4096];
        let code = loop {
            let wake_up = tokio::select! {
                _ = sigterm.recv() => WakeUp::Leave(0),
                _ = self.child_exits.recv() => WakeUp::Look,
                () = tokio::time::sleep(POLL_INTERVAL) => WakeUp::Look,
                read = commands.read(&mut buffer) => {
                    let read = read.map(|n| buffer.get(..n).unwrap_or_default());
                    self.on_read(read, &mut decoder)
                }
            };
            let messages = match wake_up {
                WakeUp::Look => Vec::new(),
                WakeUp::Messages(messages) => messages,
                WakeUp::Leave(code) => break code,
            };
            self.reap().await;
            if self.is_orphaned() {
                break EXIT_ORPHANED;
            }
            self.revive();
            for message in messages {
                self.obey(&message).await;
            }
        };
        self.shut_down().await;
        self.uplink.finish().await;
        ExitCode::from(code)
    }

    fn on_read(&self, read: std::io::Result<&[u8]>, decoder: &mut MessageDecoder) -> WakeUp {
        let messages = match read {
            Ok([]) => return WakeUp::Leave(EXIT_PIPE_CLOSED),
            Ok(chunk) => decoder.push(chunk),
            Err(error) => Err(describe(&error)),
        };
        match messages {
            Ok(messages) => WakeUp::Messages(messages),
            Err(reason) => {
                let text = format!("Stem read() failed: {reason}");
                self.uplink.send(&Report::Error(text));
                WakeUp::Leave(EXIT_PIPE_CLOSED)
            }
        }
    }

    fn is_orphaned(&self) -> bool {
        getppid().is_none_or(|pid| pid.as_raw_nonzero().get() != self.parent)
    }

    async fn obey(&mut self, message: &[u8]) {
        match Command::parse(message) {
            Ok(Command::Create { name, json }) => self.create(name, json),
            Ok(Command::Destroy { name }) if self.is_known(&name, "destroy") => {
                self.stop(&name).await;
                self.nodes.remove(&name);
            }
            Ok(Command::Restart { name }) if self.is_known(&name, "restart") => {
                self.stop(&name).await;
                self.spawn(&name);
            }
            Ok(Command::Destroy { .. } | Command::Restart { .. }) => {}
            Err(text) => self.uplink.send(&Report::unknown_message(&text)),
        }
    }

    fn is_known(&self, name: &str, order: &str) -> bool {
        let known = self.nodes.contains_key(name);
        if !known {
            let text = format!("{order} of unknown node '{name}'");
            self.uplink.send(&Report::broken_rule(&text));
        }
        known
    }

    fn create(&mut self, name: String, json: String) {
        let config = NodeConfig::parse(&json);
        let config = config.and_then(|config| {
            if self.nodes.contains_key(&name) {
                return Err("it exists".to_owned());
            }
            if config.name != name {
                return Err(format!("its configuration is named '{}'", config.name));
            }
            Ok(config)
        });
        match config {
            Ok(config) => {
                let node = Node::new(config, json, Instant::now());
                self.nodes.insert(name.clone(), node);
                self.spawn(&name);
            }
            Err(reason) => {
                let text = format!("create of node '{name}': {reason}");
                self.uplink.send(&Report::broken_rule(&text));
            }
        }
    }

    /// Starts a node and reports its process; 0 if there is none.
    fn spawn(&mut self, name: &str) {
        if let Some(node) = self.nodes.get_mut(name) {
            start(name, node, &self.launch, &self.uplink);
            report_status(name, node, &self.uplink);
        }
    }

    /// Signals a node until it is gone (API §9.4 S8).
    async fn stop(&mut self, name: &str) {
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        node.killed = true;
        for round in 0.. {
            if node.pid() == 0 {
                return;
            }
            send_signal(name, node, round, self.escalation, &self.uplink);
            tokio::time::sleep(SIGNAL_GRACE).await;
            if node.reap().await.is_some() {
                return;
            }
            child_exit_or_interval(&mut self.child_exits).await;
        }
    }

    /// Signals all nodes until all are gone (API §9.4 S9).
    async fn shut_down(&mut self) {
        for round in 0.. {
            for (name, node) in &mut self.nodes {
                node.killed = true;
                if node.pid() != 0 {
                    send_signal(name, node, round, self.escalation, &self.uplink);
                }
            }
            tokio::time::sleep(SIGNAL_GRACE).await;
            self.reap().await;
            if self.nodes.values().all(|node| node.pid() == 0) {
                return;
            }
            child_exit_or_interval(&mut self.child_exits).await;
        }
    }

    async fn reap(&mut self) {
        for (name, node) in &mut self.nodes {
            if let Some(ended) = node.reap().await
                && !node.killed
            {
                self.uplink.send(&ended.report(name));
            }
        }
    }

    fn revive(&mut self) {
        let now = Instant::now();
        for (name, node) in &mut self.nodes {
            let since_spawn = now.saturating_duration_since(node.spawned);
            if node.pid() != 0 {
                node.revival.seen_alive(since_spawn);
                continue;
            }
            if !node.revival.is_due(since_spawn) {
                continue;
            }
            node.revival.attempt();
            start(name, node, &self.launch, &self.uplink);
            if node.pid() != 0 {
                self.uplink.send(&Report::revived(name, node.pid()));
            }
            report_status(name, node, &self.uplink);
        }
    }
}

fn start(name: &str, node: &mut Node, launch: &Launch, uplink: &Uplink) {
    if let Err(error) = node.spawn(launch, Instant::now()) {
        uplink.send(&Report::fork_failed(name, &describe(&error)));
    }
}

fn report_status(name: &str, node: &Node, uplink: &Uplink) {
    let (name, pid) = (name.to_owned(), node.pid());
    uplink.send(&Report::Status { name, pid });
}

fn send_signal(name: &str, node: &Node, round: u32, escalation: Escalation, uplink: &Uplink) {
    if let Err(error) = node.signal(signal_of_round(round, escalation)) {
        let reason = describe(&error.into());
        uplink.send(&Report::kill_failed(name, node.pid(), &reason));
    }
}

async fn child_exit_or_interval(child_exits: &mut Signal) {
    tokio::select! {
        _ = child_exits.recv() => {}
        () = tokio::time::sleep(KILL_INTERVAL) => {}
    }
}
