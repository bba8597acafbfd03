//! A node as a child process: spawning, signalling, reaping and passing its output on.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal};
use supervisor::standing::{NODE_VARIABLE, told_json};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::messages::{LineCutter, output_line};
use super::revival::Revival;
use crate::config::NodeConfig;
use crate::describe;

/// How long the output of a node that has ended may still be read, if a process it left behind
/// keeps the pipe open.
const OUTPUT_GRACE: Duration = Duration::from_millis(250);

/// What is read of a node's output at once: all that a pipe holds.
const READ_SIZE: usize = 64 * 1024;

/// One of the stem's own output streams, written by all nodes, each in whole lines.
pub(super) type Sink = Arc<Mutex<Box<dyn AsyncWrite + Send + Unpin>>>;

/// A node the supervisor has created.
pub(super) struct Node {
    config: NodeConfig,
    json: String,
    process: Option<Process>,
    /// When it was spawned last.
    pub(super) spawned: Instant,
    /// Its back-off, which survives restarts.
    pub(super) revival: Revival,
    /// Somebody asked to stop it once. Never cleared, so that later crashes go unreported, as in
    /// stock (API §9.4 S10).
    pub(super) killed: bool,
}

struct Process {
    child: Child,
    output: [JoinHandle<()>; 2],
}

/// What a node's process is given besides its configuration.
pub(super) struct Launch {
    /// The stem's own arguments: scripts and settings, inherited by every node (API §11 L2).
    pub(super) args: Vec<String>,
    /// The stem's pipes to the supervisor, which nodes must not hold open.
    pub(super) private_fds: Vec<i32>,
    /// Takes the nodes' standard output.
    pub(super) stdout: Sink,
    /// Takes the nodes' standard error.
    pub(super) stderr: Sink,
}

/// How a node ended.
pub(super) struct Ended {
    /// Its process.
    pub(super) pid: i32,
    /// The status, or why it cannot be known.
    pub(super) status: io::Result<ExitStatus>,
}

impl Node {
    pub(super) fn new(config: NodeConfig, json: String, now: Instant) -> Self {
        Self {
            config,
            json,
            process: None,
            spawned: now,
            revival: Revival::new(),
            killed: false,
        }
    }

    /// The running process; 0 if there is none.
    pub(super) fn pid(&self) -> i32 {
        let process = self.process.as_ref();
        process.map_or(0, |p| Pid::from_child(&p.child).as_raw_nonzero().get())
    }

    /// Starts the process.
    ///
    /// # Errors
    /// If the operating system refuses; the node then has no process.
    pub(super) fn spawn(&mut self, launch: &Launch, now: Instant) -> io::Result<()> {
        self.spawned = now;
        let mut child = self.command(launch)?.spawn()?;
        let output = [
            forward(
                &self.config.name,
                child.stdout.take().map(OwnedFd::from),
                &launch.stdout,
            ),
            forward(
                &self.config.name,
                child.stderr.take().map(OwnedFd::from),
                &launch.stderr,
            ),
        ];
        self.process = Some(Process { child, output });
        Ok(())
    }

    /// The re-execution of this program as a node. `/proc/self/exe` stays right even if the file
    /// has been replaced.
    fn command(&self, launch: &Launch) -> io::Result<Command> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("zeek-standin")
            .args(&launch.args)
            .envs(&self.config.env)
            .env(NODE_VARIABLE, told_json(std::process::id(), &self.json))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if !self.config.cluster.is_empty() {
            command.env("CLUSTER_NODE", &self.config.name);
        }
        let mappings = launch.private_fds.iter().map(|&child_fd| {
            let parent_fd = OwnedFd::from(File::open("/dev/null")?);
            Ok(FdMapping {
                parent_fd,
                child_fd,
            })
        });
        let mappings = mappings.collect::<io::Result<Vec<_>>>()?;
        command.fd_mappings(mappings).map_err(io::Error::other)?;
        Ok(command)
    }

    /// Signals the process, if there is one; only it, not a group.
    pub(super) fn signal(&self, signal: Signal) -> rustix::io::Result<()> {
        match &self.process {
            Some(process) => rustix::process::kill_process(Pid::from_child(&process.child), signal),
            None => Ok(()),
        }
    }

    /// Collects the process if it has ended, after the last of its output.
    pub(super) async fn reap(&mut self) -> Option<Ended> {
        let process = self.process.as_mut()?;
        let status = process.child.try_wait().transpose()?;
        let pid = self.pid();
        for task in self.process.take()?.output {
            let abort = task.abort_handle();
            if tokio::time::timeout(OUTPUT_GRACE, task).await.is_err() {
                abort.abort();
            }
        }
        Some(Ended { pid, status })
    }
}

impl Ended {
    /// The report stock makes of an end that nobody asked for.
    pub(super) fn report(&self, name: &str) -> super::messages::Report {
        use super::messages::Report;
        match &self.status {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => Report::exited(name, self.pid, code),
                (None, Some(signal)) => Report::signaled(name, self.pid, signal),
                (None, None) => Report::wait_failed(name, self.pid, "neither status nor signal"),
            },
            Err(error) => Report::wait_failed(name, self.pid, &describe(error)),
        }
    }
}

fn forward(name: &str, from: Option<OwnedFd>, to: &Sink) -> JoinHandle<()> {
    let (name, to) = (name.to_owned(), Arc::clone(to));
    tokio::spawn(async move {
        let Some(Ok(mut from)) = from.map(pipe::Receiver::from_owned_fd) else {
            return;
        };
        let mut cutter = LineCutter::default();
        let mut buffer = vec![0; READ_SIZE];
        loop {
            let read = from.read(&mut buffer).await.unwrap_or_default();
            let chunk = buffer.get(..read).unwrap_or_default();
            let mut lines = cutter.push(chunk);
            if read == 0 {
                lines.extend(cutter.finish());
            }
            // In one go: a call of the system for each line would be what limits a flood.
            let mut text = Vec::new();
            for line in lines {
                output_line(&mut text, &name, &line);
            }
            write(&to, &text).await;
            if read == 0 {
                return;
            }
        }
    })
}

/// A stream nobody reads any more is no reason to stop.
async fn write(to: &Sink, lines: &[u8]) {
    let mut to = to.lock().await;
    if to.write_all(lines).await.is_ok() {
        let _ = to.flush().await;
    }
}
