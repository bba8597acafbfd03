//! A controller as operators run it, to be measured from outside.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::processes::{peak_kib, processor_time, resident_kib};
use harness::{command, ports, wait_until};
use rustix::process::{Pid, Signal, kill_process};

use crate::agents::Protection;

/// From start to a listening port.
const START: Duration = Duration::from_secs(60);

/// From SIGTERM to the end.
const STOP: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// `zeek-mgmt`.
    pub(crate) path: PathBuf,
    /// Further options of `zeek-mgmt controller`.
    pub(crate) options: Vec<String>,
}

/// A running `zeek-mgmt controller`, killed when dropped, with a directory of its own.
pub(crate) struct Controller {
    pub(crate) broker: u16,
    pub(crate) websocket: u16,
    /// From its start until it listened.
    pub(crate) startup: Duration,
    protection: Protection,
    program: Program,
    folder: PathBuf,
    child: Child,
}

impl Controller {
    /// Starts one that has kept nothing.
    pub(crate) fn start(protection: Protection, program: &Program) -> io::Result<Self> {
        let (broker, websocket) = (ports::free(1), ports::free(1));
        // Two of them may run at a time.
        let folder = format!("zeek-mgmt-fleet-{}-{broker}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        // From a run that was killed.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let child = spawn(&folder, protection, program, broker, websocket)?;
        let mut controller = Self {
            broker,
            websocket,
            startup: Duration::ZERO,
            protection,
            program: program.clone(),
            folder,
            child,
        };
        controller.await_port()?;
        Ok(controller)
    }

    /// Ends it in good order, and starts it again on what it has kept.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.end()?;
        let program = &self.program;
        let (broker, websocket) = (self.broker, self.websocket);
        self.child = spawn(&self.folder, self.protection, program, broker, websocket)?;
        self.await_port()
    }

    /// Ends it with SIGTERM.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        if let Some(pid) = Pid::from_raw(self.pid()) {
            kill_process(pid, Signal::TERM)?;
        }
        match command::wait(&mut self.child, STOP)? {
            Some(status) if status.success() => Ok(()),
            ended => Err(io::Error::other(format!(
                "the controller ended with {ended:?}"
            ))),
        }
    }

    /// What it has used of all cores since it started, to 10 ms.
    pub(crate) fn processor_time(&self) -> Duration {
        processor_time(self.pid()).unwrap_or_default()
    }

    /// In bytes.
    pub(crate) fn resident(&self) -> u64 {
        resident_kib(self.pid()).unwrap_or_default() * 1024
    }

    /// The most it ever had since it started, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        peak_kib(self.pid()).unwrap_or_default() * 1024
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or_default()
    }

    fn await_port(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        let (child, port) = (&mut self.child, self.websocket);
        let listens = wait_until(START, || {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Some(true);
            }
            matches!(child.try_wait(), Ok(Some(_)) | Err(_)).then_some(false)
        });
        self.startup = begin.elapsed();
        if listens == Some(true) {
            return Ok(());
        }
        let said = fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
        Err(io::Error::other(format!("no controller listens:\n{said}")))
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::env::var_os("FLEET_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn spawn(
    folder: &PathBuf,
    protection: Protection,
    program: &Program,
    broker: u16,
    websocket: u16,
) -> io::Result<Child> {
    let mut command = Command::new(&program.path);
    command.arg("controller").args(&program.options);
    if protection == Protection::Cleartext {
        command.arg("Broker::disable_ssl=T");
    }
    for kind in ["", "_WEBSOCKET"] {
        command.env(format!("ZEEK_CONTROLLER{kind}_ADDR"), "127.0.0.1");
    }
    command.env("ZEEK_CONTROLLER_NAME", "controller");
    command.env("ZEEK_CONTROLLER_PORT", format!("{broker}/tcp"));
    command.env("ZEEK_CONTROLLER_WEBSOCKET_PORT", format!("{websocket}/tcp"));
    command.env("ZEEK_MANAGEMENT_STATE_DIR", folder);
    command.env("ZEEK_MANAGEMENT_SPOOL_DIR", folder);
    command.current_dir(folder).stdin(Stdio::null());
    let log = File::create(folder.join("stderr"))?;
    command.stdout(Stdio::null()).stderr(log);
    command.spawn()
}
