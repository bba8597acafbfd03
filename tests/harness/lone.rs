//! A controller alone, to be killed and started again on what it kept.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use crate::command::{self, Finished};
use crate::tree::{CONTROLLER, Log};
use crate::{binaries, ports, wait_until};

/// The file in which a controller keeps its configurations (API §4.9).
pub const STATE_FILE: &str = "___sync_store_Management::Controller::Runtime::g_configs.sqlite";

/// From start to a listening port.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running `zeek-mgmt controller`; killed when dropped.
#[derive(Debug)]
pub struct Lone {
    /// Where clients connect.
    pub websocket: u16,
    child: Child,
    log: Log,
}

/// A state directory, gone without a trace when dropped.
#[derive(Debug)]
pub struct State(PathBuf);

impl State {
    /// Without anything in it.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn empty() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("zeek-mgmt-state-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// With this file of an earlier controller.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn with(kept: &[u8]) -> io::Result<Self> {
        let state = Self::empty()?;
        keep(state.path(), kept)?;
        Ok(state)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The directory in which the controller runs.
    pub fn controller(&self) -> PathBuf {
        self.0.join("nodes").join(CONTROLLER)
    }

    /// The controller's state file.
    pub fn file(&self) -> PathBuf {
        self.controller().join(STATE_FILE)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // What is left of a temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Lone {
    /// Starts a controller on this state and waits until it listens.
    ///
    /// # Errors
    /// If it cannot be started or ends; the text then holds what it said.
    pub fn start(state: &State) -> io::Result<Self> {
        let websocket = ports::free(1);
        let mut child = command(state, websocket)?.spawn()?;
        let log = Log::default();
        if let Some(stderr) = child.stderr.take() {
            log.follow(stderr);
        }
        let mut lone = Self {
            websocket,
            child,
            log,
        };
        lone.await_port()?;
        Ok(lone)
    }

    /// Runs a controller on this state that is expected to end by itself.
    ///
    /// # Errors
    /// If it does not end.
    pub fn fails(state: &State) -> io::Result<Finished> {
        command::run(&mut command(state, ports::free(1))?, START_LIMIT)
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or_default()
    }

    /// What it wrote to standard error.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Lets files that it writes grow to this size only, or to any.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn limit_files(&self, bytes: Option<u64>) -> io::Result<()> {
        let maximum = getrlimit(Resource::Fsize).maximum;
        let limit = Rlimit {
            current: bytes.or(maximum),
            maximum,
        };
        prlimit(Pid::from_raw(self.pid()), Resource::Fsize, limit)?;
        Ok(())
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it with SIGTERM.
    ///
    /// # Errors
    /// If it cannot be told or waited for, or does not end well.
    pub fn stop(mut self) -> io::Result<()> {
        let pid = Pid::from_raw(self.pid()).ok_or(io::ErrorKind::InvalidInput)?;
        kill_process(pid, Signal::TERM)?;
        let ending = self.child.wait()?;
        if ending.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("{ending}:\n{}", self.log.text())))
    }

    fn await_port(&mut self) -> io::Result<()> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, self.websocket));
        let child = &mut self.child;
        let listening = wait_until(START_LIMIT, || {
            if TcpStream::connect(addr).is_ok() {
                return Some(true);
            }
            matches!(child.try_wait(), Ok(Some(_)) | Err(_)).then_some(false)
        });
        if listening == Some(true) {
            return Ok(());
        }
        let text = format!("no controller listens on {addr}:\n{}", self.log.text());
        Err(io::Error::other(text))
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts a state file where the controller of that state directory looks for it.
pub(crate) fn keep(state: &Path, kept: &[u8]) -> io::Result<()> {
    let folder = state.join("nodes").join(CONTROLLER);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(STATE_FILE), kept)
}

fn command(state: &State, websocket: u16) -> io::Result<Command> {
    let mut command = Command::new(binaries::built()?.mgmt);
    command.args(["controller", "Broker::disable_ssl=T"]);
    for kind in ["", "_WEBSOCKET"] {
        command.env(format!("ZEEK_CONTROLLER{kind}_ADDR"), "127.0.0.1");
    }
    command.env("ZEEK_CONTROLLER_NAME", CONTROLLER);
    command.env("ZEEK_CONTROLLER_PORT", format!("{}/tcp", ports::free(1)));
    command.env("ZEEK_CONTROLLER_WEBSOCKET_PORT", format!("{websocket}/tcp"));
    command.env("ZEEK_MANAGEMENT_STATE_DIR", state.path());
    command.env("ZEEK_MANAGEMENT_SPOOL_DIR", state.path());
    command.current_dir(state.path()).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    Ok(command)
}
