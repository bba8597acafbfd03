//! A program of ours that somebody keeps alive, as systemd would: killed, it is started again.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::command;
use rustix::process::{Pid, Signal, kill_process};

/// From SIGTERM to the end, a whole tree of nodes included.
const STOP_LIMIT: Duration = Duration::from_secs(120);

/// One program on one host.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    command: Command,
    log: PathBuf,
    state: State,
}

#[derive(Debug)]
enum State {
    Down { until: Instant },
    Up(Child),
}

impl Program {
    /// Starts it. `command` ends with this program, whatever becomes of it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(name: String, command: Command, log: PathBuf) -> io::Result<Self> {
        let mut program = Self {
            name,
            command,
            log,
            state: State::Down {
                until: Instant::now(),
            },
        };
        program.tend(Instant::now())?;
        Ok(program)
    }

    /// Its process id, while it is there.
    pub(crate) fn pid(&self) -> Option<i32> {
        match &self.state {
            State::Up(child) => i32::try_from(child.id()).ok(),
            State::Down { .. } => None,
        }
    }

    pub(crate) fn log(&self) -> &PathBuf {
        &self.log
    }

    /// Kills it, to be started again at that time.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn kill(&mut self, until: Instant) -> io::Result<()> {
        if let State::Up(child) = &mut self.state {
            child.kill()?;
            child.wait()?;
        }
        self.state = State::Down { until };
        Ok(())
    }

    /// Starts it if its time has come; tells how it has ended by itself, which it never should.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn tend(&mut self, now: Instant) -> io::Result<Option<String>> {
        match &mut self.state {
            State::Down { until } if *until > now => Ok(None),
            State::Down { .. } => {
                self.state = State::Up(self.spawn()?);
                Ok(None)
            }
            State::Up(child) => {
                let Some(status) = child.try_wait()? else {
                    return Ok(None);
                };
                self.state = State::Down { until: now };
                Ok(Some(format!("{} ended by itself: {status}", self.name)))
            }
        }
    }

    fn spawn(&mut self) -> io::Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        self.command.stdin(Stdio::null());
        self.command.stdout(log.try_clone()?).stderr(log);
        self.command.spawn()
    }

    /// Has it end in order; tells what was wrong with that.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub(crate) fn stop(&mut self) -> io::Result<Option<String>> {
        let Some(pid) = self.pid().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        kill_process(pid, Signal::TERM)?;
        let State::Up(child) = &mut self.state else {
            return Ok(None);
        };
        Ok(match command::wait(child, STOP_LIMIT)? {
            Some(status) if status.success() => None,
            Some(status) => Some(format!("{} ended with {status} at SIGTERM", self.name)),
            None => Some(format!("{} took no notice of SIGTERM", self.name)),
        })
    }
}
