//! A whole management tree in a temporary directory, gone without a trace when dropped.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use broker_proto::Data;
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use rustix::process::{Pid, Signal, kill_process};

use crate::binaries::{self, Binaries};
use crate::client::ZeekClient;
use crate::command::{self, Finished};
use crate::lone;
use crate::ports;
use crate::processes::{self, MARKER, Process};
use crate::wait_until;
use crate::websocket::WebSocket;

/// The instance's name, as in the recordings.
pub const INSTANCE: &str = "instance-1";
/// The controller's name, as in the recordings.
pub const CONTROLLER: &str = "controller";

/// What makes a `zeek -j` controller and agent (API §13).
const STOCK_SCRIPTS: [&str; 2] = [
    "policy/frameworks/management/controller",
    "policy/frameworks/management/agent",
];

/// From start to a listening port, and from there to a connected agent.
const START_LIMIT: Duration = Duration::from_secs(60);
/// From an event to its line in a log.
const LOG_LIMIT: Duration = Duration::from_secs(30);
/// From SIGTERM to the end; the slowest part is a node that ignores it (API §9.4).
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// What differs between trees.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What to run; what Cargo built for these tests if `None`.
    pub programs: Option<Binaries>,
    /// The program in the place of `zeek`; the stand-in if `None`.
    pub zeek: Option<PathBuf>,
    /// Whose controller, agent and supervisor they are.
    pub management: Management,
    /// How peers talk.
    pub transport: Transport,
    /// Options of `zeek-mgmt run` itself.
    pub flags: Vec<String>,
    /// Further arguments of `zeek-mgmt run`.
    pub args: Vec<String>,
    /// Further environment.
    pub env: Vec<(String, String)>,
    /// What an earlier controller kept; `None` if there was none.
    pub kept: Option<Vec<u8>>,
}

/// Who manages the nodes of a tree.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Management {
    /// `zeek-mgmt run`.
    #[default]
    Ours,
    /// The same `zeek` as the nodes', with `-j` and stock's scripts.
    Stock,
}

/// How peers of a tree talk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Transport {
    /// `Broker::disable_ssl=T`, as in the recordings.
    #[default]
    Cleartext,
    /// Stock's default: anonymous TLS.
    AnonymousTls,
}

/// The ports of one tree.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// The controller's Broker port.
    pub controller: u16,
    /// The controller's WebSocket port.
    pub websocket: u16,
    /// The agent's Broker port.
    pub agent: u16,
    /// The supervisor's Broker port.
    pub supervisor: u16,
    /// The first one that the controller assigns to nodes.
    pub first_node: u16,
    /// One that configurations may name, and that the controller will not assign by itself.
    pub explicit_node: u16,
}

/// A running `zeek-mgmt run`, or what stands in its place.
#[derive(Debug)]
pub struct Tree {
    /// Where it listens.
    pub ports: Ports,
    /// From its start until the WebSocket port accepted.
    pub startup: Duration,
    child: Child,
    log: Log,
    mark: String,
    folder: PathBuf,
    stopped: bool,
}

/// Lines of a program's standard error as they come.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

/// Why a tree did not end as it should.
#[derive(Debug)]
pub struct StopError(String);

impl std::fmt::Display for StopError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StopError {}

impl Management {
    fn command(self, mgmt: &Path, zeek: &Path) -> Command {
        let program = match self {
            Self::Ours => mgmt,
            Self::Stock => zeek,
        };
        let mut command = Command::new(program);
        match self {
            Self::Ours => command.args(["run", "--zeek"]).arg(zeek),
            Self::Stock => command.arg("-j").args(STOCK_SCRIPTS),
        };
        command
    }
}

impl Ports {
    /// Ports that are free.
    pub fn free() -> Self {
        const NODES: u16 = 12;
        let first_node = ports::free(NODES);
        Self {
            controller: ports::free(1),
            websocket: ports::free(1),
            agent: ports::free(1),
            supervisor: ports::free(1),
            first_node,
            explicit_node: first_node + NODES - 1,
        }
    }
}

impl Tree {
    /// Starts a tree and waits until its agent is connected.
    ///
    /// # Errors
    /// If a program cannot be built or started, or the tree does not come up; the text
    /// then holds what it said.
    pub fn start(options: &Options) -> io::Result<Self> {
        let tree = Self::start_without_agent(options)?;
        let connected = wait_until(START_LIMIT, || tree.has_agent().ok()?.then_some(()));
        if connected.is_none() {
            let text = format!("no agent connected:\n{}", tree.log.text());
            return Err(io::Error::other(text));
        }
        Ok(tree)
    }

    /// Starts a tree and waits until its WebSocket port accepts, no longer.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_without_agent(options: &Options) -> io::Result<Self> {
        let programs = match &options.programs {
            Some(programs) => programs.clone(),
            None => binaries::built()?,
        };
        let ports = Ports::free();
        let mark = mark();
        let folder = std::env::temp_dir().join(format!("zeek-mgmt-{mark}"));
        fs::create_dir_all(folder.join("state"))?;
        if let Some(kept) = &options.kept {
            lone::keep(&folder.join("state"), kept)?;
        }
        let zeek = options.zeek.clone().unwrap_or(programs.standin);
        let mut command = options.management.command(&programs.mgmt, &zeek);
        command
            .args(&options.flags)
            .args(arguments(&ports, options.transport))
            .args(&options.args);
        command
            .envs(environment(&ports, &folder))
            .env(MARKER, &mark);
        command.envs(options.env.iter().map(|(key, value)| (key, value)));
        command.current_dir(&folder).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let begin = Instant::now();
        let mut child = command.spawn()?;
        let log = Log::default();
        if let Some(stderr) = child.stderr.take() {
            log.follow(stderr);
        }
        let mut tree = Self {
            ports,
            startup: Duration::ZERO,
            child,
            log,
            mark,
            folder,
            stopped: false,
        };
        tree.await_port()?;
        tree.startup = begin.elapsed();
        Ok(tree)
    }

    /// Runs the stock client against this tree; installs it first if need be.
    ///
    /// # Errors
    /// If the client cannot be installed or started, or does not end.
    pub fn client<S: AsRef<OsStr>>(&self, args: &[S]) -> io::Result<Finished> {
        ZeekClient::installed()?.run(self.ports.websocket, args)
    }

    /// Writes a file into the tree's directory and returns its path.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// What the tree keeps; nodes run in `nodes/<name>` below it.
    pub fn state_folder(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// What `zeek-mgmt run` wrote to standard error.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The lines that a process of the tree wrote to standard error, controller and agent included.
    pub fn log_of(&self, node: &str) -> Vec<String> {
        let path = self.state_folder().join(format!("nodes/{node}/stderr"));
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a line of a process contains all of these, and returns every such line.
    pub fn lines_of(&self, node: &str, parts: &[&str]) -> Vec<String> {
        let fits = |line: &String| parts.iter().all(|part| line.contains(part));
        let found = || {
            self.log_of(node)
                .into_iter()
                .filter(fits)
                .collect::<Vec<_>>()
        };
        wait_until(LOG_LIMIT, || {
            Some(found()).filter(|lines| !lines.is_empty())
        });
        found()
    }

    /// The process id of `zeek-mgmt run`.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or_default()
    }

    /// The process id of the controller.
    pub fn controller_pid(&self) -> Option<i32> {
        self.pid_of("controller")
    }

    /// The process id of the agent.
    pub fn agent_pid(&self) -> Option<i32> {
        self.pid_of("agent")
    }

    fn pid_of(&self, subcommand: &str) -> Option<i32> {
        let mut processes = self.processes().into_iter();
        let found = processes.find(|p| p.command.split(' ').nth(1) == Some(subcommand));
        found.map(|process| process.pid)
    }

    /// All processes of the tree.
    pub fn processes(&self) -> Vec<Process> {
        processes::marked(&self.mark)
    }

    /// Ends the tree with SIGTERM and looks for what it left behind.
    ///
    /// # Errors
    /// If it does not end, ends with an error, or leaves a process; what is left is killed.
    pub fn stop(mut self) -> Result<(), StopError> {
        self.end()
    }

    fn has_agent(&self) -> io::Result<bool> {
        let reqid = "start".to_owned();
        let mut socket = WebSocket::subscribed(self.ports.websocket)?;
        let answer = socket.answer(&ControllerRequest::GetInstances { reqid })?;
        let ControllerResponse::GetInstances { result, .. } = answer else {
            return Ok(false);
        };
        let agents = result
            .data
            .and_then(|agents| agents.read::<Vec<Data>>().ok());
        Ok(agents.is_some_and(|agents| !agents.is_empty()))
    }

    fn end(&mut self) -> Result<(), StopError> {
        if self.stopped {
            return Ok(());
        }
        self.stopped = true;
        let result = self.terminate();
        let gone = wait_until(LOG_LIMIT, || self.processes().is_empty().then_some(()));
        let left = self.processes();
        for process in &left {
            kill(process.pid, Signal::KILL);
        }
        // What is left of a temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
        result?;
        if gone.is_none() {
            return Err(StopError(format!("processes left behind: {left:?}")));
        }
        Ok(())
    }

    fn terminate(&mut self) -> Result<(), StopError> {
        kill(self.pid(), Signal::TERM);
        match command::wait(&mut self.child, STOP_LIMIT) {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(StopError(format!("zeek-mgmt run ended with {status}"))),
            Ok(None) => {
                kill(self.pid(), Signal::KILL);
                let _ = self.child.wait();
                Err(StopError("zeek-mgmt run ignored SIGTERM".to_owned()))
            }
            Err(error) => Err(StopError(error.to_string())),
        }
    }

    fn await_port(&mut self) -> io::Result<()> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.websocket));
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
        let text = format!(
            "zeek-mgmt run does not listen on {addr}:\n{}",
            self.log.text()
        );
        Err(io::Error::other(text))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let log = self.log.clone();
        let result = self.end();
        if thread::panicking() {
            report(&format!("zeek-mgmt run said:\n{}", log.text()));
            return;
        }
        if let Err(error) = result {
            panic!("{error}\nzeek-mgmt run said:\n{}", log.text());
        }
    }
}

impl Log {
    /// Everything until now.
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The lines until now.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().map(|lines| lines.clone()).unwrap_or_default()
    }

    /// Waits until a line contains all of these.
    pub fn wait_for(&self, limit: Duration, parts: &[&str]) -> Option<String> {
        let fits = |line: &String| parts.iter().all(|part| line.contains(part));
        wait_until(limit, || self.lines().into_iter().find(fits))
    }

    pub(crate) fn follow(&self, stderr: ChildStderr) {
        let lines = Arc::clone(&self.0);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Ok(mut lines) = lines.lock() {
                    lines.push(line);
                }
            }
        });
    }
}

fn arguments(ports: &Ports, transport: Transport) -> Vec<String> {
    let mut args = vec![
        format!("Broker::default_port={}/tcp", ports.supervisor),
        format!(
            "Management::Controller::auto_assign_broker_start_port={}/tcp",
            ports.first_node
        ),
        "Management::Controller::auto_assign_metrics_ports=F".to_owned(),
    ];
    if transport == Transport::Cleartext {
        args.push("Broker::disable_ssl=T".to_owned());
    }
    args
}

fn environment(ports: &Ports, folder: &Path) -> Vec<(&'static str, String)> {
    let state = folder.join("state").to_string_lossy().into_owned();
    let local = || Ipv4Addr::LOCALHOST.to_string();
    let tcp = |port: u16| format!("{port}/tcp");
    vec![
        ("ZEEK_CONTROLLER_NAME", CONTROLLER.to_owned()),
        ("ZEEK_CONTROLLER_ADDR", local()),
        ("ZEEK_CONTROLLER_PORT", tcp(ports.controller)),
        ("ZEEK_CONTROLLER_WEBSOCKET_ADDR", local()),
        ("ZEEK_CONTROLLER_WEBSOCKET_PORT", tcp(ports.websocket)),
        ("ZEEK_AGENT_NAME", INSTANCE.to_owned()),
        ("ZEEK_AGENT_ADDR", local()),
        ("ZEEK_AGENT_PORT", tcp(ports.agent)),
        ("ZEEK_MANAGEMENT_STATE_DIR", state.clone()),
        ("ZEEK_MANAGEMENT_SPOOL_DIR", state),
    ]
}

/// Distinct for every tree on this machine.
fn mark() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{count}", std::process::id())
}

fn kill(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may be gone already.
        let _ = kill_process(pid, signal);
    }
}

#[allow(
    clippy::print_stderr,
    reason = "a failing test shows what the tree said"
)]
fn report(text: &str) {
    eprintln!("{text}");
}
