//! Runs what brings rotated logs to the archive (API §5.9), as [`Archival`] wants it.
//!
//! The command goes to the shell, as stock's does. Its process group is ended with the agent: here
//! if the agent runs by itself; below a supervisor it stays in the agent's own group, which the
//! supervisor clears when the agent is gone in whatever way. Its standard input is an empty file
//! that is locked as long as somebody has it open, so an agent that was killed and came back starts
//! no second run beside one that survived.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process_group};
use supervisor::api::MANAGEMENT_NODE_VARIABLE;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use super::log::Log;
use super::run::until;
use crate::agent::archival::{Archival, Ending, Input, Output};
use crate::log::Record;
use crate::settings::ArchiveSettings;

/// How much of what a run prints is kept, in bytes.
const KEPT_OUTPUT: usize = 2048;

/// How long output is still read after the end, while somebody holds the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The file whose lock says that a run goes on, in the agent's directory.
const LOCK_FILE: &str = "log-archival.lock";

/// Whose process group a run is in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Group {
    /// Its own.
    Own,
    /// The agent's, which a supervisor looks after.
    Agent,
}

/// The agent's archival.
#[derive(Debug)]
pub(super) struct Archiver {
    /// `None` if nothing is to be archived.
    archival: Option<Archival>,
    /// The agent's directory.
    dir: PathBuf,
    group: Group,
    run: Option<Run>,
    is_finished: bool,
}

/// A run that goes on; dropping it kills its shell.
#[derive(Debug)]
struct Run {
    pid: Option<u32>,
    group: Group,
    task: JoinHandle<Input>,
}

impl Archiver {
    pub(super) fn new(settings: Option<&ArchiveSettings>, dir: &Path) -> Self {
        let is_supervised = std::env::var_os(MANAGEMENT_NODE_VARIABLE).is_some();
        Self {
            archival: settings.map(|settings| Archival::new(settings, Instant::now())),
            dir: dir.to_owned(),
            group: if is_supervised {
                Group::Agent
            } else {
                Group::Own
            },
            run: None,
            is_finished: settings.is_none(),
        }
    }

    /// Does what is due, until there is something for the management log. Cancel safe.
    pub(super) async fn next(&mut self) -> Record {
        loop {
            match self.step().await {
                Some(record) => return record,
                None if self.is_finished => return std::future::pending().await,
                None => {}
            }
        }
    }

    /// The last run, unless it takes too long.
    pub(super) async fn finish(mut self, log: &Log) {
        if let Some(archival) = &mut self.archival {
            archival.handle(Instant::now(), Input::Shutdown);
        }
        while !self.is_finished {
            if let Some(record) = self.step().await {
                log.write(record);
            }
        }
    }

    /// One output, or, if there is none, one thing that happens.
    async fn step(&mut self) -> Option<Record> {
        let Some(archival) = &mut self.archival else {
            return std::future::pending().await;
        };
        let input = match archival.poll_output() {
            Some(Output::Log { record }) => return Some(record),
            Some(Output::Run { command, queue }) => self.start(&command, &queue),
            Some(Output::Kill) => {
                self.run = None;
                return None;
            }
            Some(Output::Finished) => {
                self.is_finished = true;
                return None;
            }
            None => {
                let deadline = archival.poll_timeout();
                tokio::select! {
                    input = ended(&mut self.run) => input,
                    () = until(deadline) => {
                        archival.handle_timeout(Instant::now());
                        return None;
                    }
                }
            }
        };
        if let Some(archival) = &mut self.archival {
            archival.handle(Instant::now(), input);
        }
        None
    }

    fn start(&mut self, command: &str, queue: &Path) -> Input {
        if !queue.is_dir() {
            return Input::NoQueue;
        }
        match Run::start(command, &self.dir, self.group) {
            Ok(run) => {
                self.run = Some(run);
                Input::Started
            }
            Err(reason) => Input::NotStarted { reason },
        }
    }
}

impl Run {
    fn start(command: &str, dir: &Path, group: Group) -> Result<Self, String> {
        let lock = lock(dir)?;
        let piped = |error: io::Error| format!("cannot make a pipe: {error}");
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| piped(e.into()))?;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).stdin(lock);
        shell.stdout(write.try_clone().map_err(piped)?);
        shell.stderr(Stdio::from(write)).kill_on_drop(true);
        match group {
            Group::Own => _ = shell.process_group(0),
            Group::Agent => {}
        }
        let read = pipe::Receiver::from_owned_fd(read).map_err(piped)?;
        let child = shell
            .spawn()
            .map_err(|error| format!("cannot run /bin/sh: {error}"))?;
        Ok(Self {
            pid: child.id(),
            group,
            task: tokio::spawn(watch(child, read)),
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.task.is_finished() {
            return;
        }
        self.task.abort();
        let pid = self.pid.and_then(|pid| i32::try_from(pid).ok());
        if let (Group::Own, Some(pid)) = (self.group, pid.and_then(Pid::from_raw)) {
            // It may be gone already.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// The empty file, locked.
fn lock(dir: &Path) -> Result<File, String> {
    let path = dir.join(LOCK_FILE);
    let failed = |error: io::Error| format!("cannot use {}: {error}", path.display());
    fs::create_dir_all(dir).map_err(failed)?;
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(true);
    let file = file.open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err("another one still runs, started by an earlier agent".to_owned());
        }
        // Some network file systems have no locks.
        Err(error) => warn!(path = %path.display(), %error, "cannot lock"),
    }
    Ok(file)
}

async fn ended(run: &mut Option<Run>) -> Input {
    let Some(running) = run else {
        return std::future::pending().await;
    };
    let input = (&mut running.task).await;
    *run = None;
    input.unwrap_or_else(|error| Input::NotStarted {
        reason: error.to_string(),
    })
}

/// Reads what the run prints and waits for its end.
async fn watch(mut child: Child, mut pipe: pipe::Receiver) -> Input {
    let mut tail = Vec::new();
    let mut is_open = true;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            more = read(&mut pipe, &mut tail), if is_open => is_open = more,
        }
    };
    let rest = async { while is_open && read(&mut pipe, &mut tail).await {} };
    // Somebody else may hold the pipe open; what came until then will do.
    let _ = timeout(LAST_WORDS, rest).await;
    match status.map(ending) {
        Ok(ending) => Input::Ended {
            ending,
            output: String::from_utf8_lossy(&tail).trim().to_owned(),
        },
        Err(error) => Input::NotStarted {
            reason: format!("cannot wait for it: {error}"),
        },
    }
}

/// Reads once, keeps the end of all that came; whether there may be more.
async fn read(pipe: &mut pipe::Receiver, tail: &mut Vec<u8>) -> bool {
    let mut chunk = [0; KEPT_OUTPUT];
    match pipe.read(&mut chunk).await {
        Ok(0) | Err(_) => false,
        Ok(count) => {
            tail.extend(chunk.iter().take(count));
            tail.drain(..tail.len().saturating_sub(KEPT_OUTPUT));
            true
        }
    }
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Code(code),
        (None, signal) => Ending::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
