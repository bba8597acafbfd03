//! Child processes: one task each, which reads its pipes, writes its orders and waits for its end.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use command_fds::{CommandFdExt, FdMapping};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, WaitOptions, kill_process, kill_process_group, test_kill_process_group, waitpgid,
};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, error, warn};

use super::cgroup::{self, Cgroup, Cgroups};
use super::notify;
use crate::host::{ChildId, Control, Ending, Group, HostInput, Launch, Signal, Stream, Target};
use crate::standing::{self, NODE_VARIABLE};

/// Reports that may wait for [`Children::next`]; times [`READ_SIZE`], in bytes.
const NEWS: usize = 32;

/// What is read at once, in bytes. Only as much memory is taken as there was to read: most nodes are
/// silent most of the time, and say little otherwise, but may all do so at once.
const READ_SIZE: usize = 16 * 1024;

/// How long the output of an ended child is still read while somebody holds its pipes open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Reads before a status message is passed on, so that what was printed before it stays before it.
const READS_BEFORE_MESSAGE: usize = 8;

/// The living children.
#[derive(Debug)]
pub(super) struct Children {
    orders: BTreeMap<ChildId, mpsc::UnboundedSender<Bytes>>,
    cgroups: Cgroups,
    /// Those of children that have not ended, or have left somebody.
    homes: BTreeMap<ChildId, Cgroup>,
    sender: mpsc::Sender<HostInput>,
    receiver: mpsc::Receiver<HostInput>,
    /// One task each; dropping a task kills its child.
    tasks: JoinSet<()>,
}

impl Children {
    pub(super) fn new(cgroups: Cgroups) -> Self {
        let (sender, receiver) = mpsc::channel(NEWS);
        Self {
            orders: BTreeMap::new(),
            cgroups,
            homes: BTreeMap::new(),
            sender,
            receiver,
            tasks: JoinSet::new(),
        }
    }

    /// Starts a child; returns `Spawned` or `SpawnFailed`.
    pub(super) fn spawn(&mut self, child: ChildId, launch: &Launch) -> HostInput {
        match start(launch) {
            Ok(started) => {
                let pid = started.pid;
                let (sender, orders) = mpsc::unbounded_channel();
                self.orders.insert(child, sender);
                let home = self.cgroups.add(child, pid);
                if let Some(home) = home.clone() {
                    self.homes.insert(child, home);
                }
                let watch = Watch::new(child, started, home, orders, self.sender.clone());
                self.tasks.spawn(watch.run());
                HostInput::Spawned { child, pid }
            }
            Err(error) => {
                let program = launch.program.display();
                let reason = format!("cannot run {program}: {error}");
                HostInput::SpawnFailed { child, reason }
            }
        }
    }

    /// Queues a message for a stem. The supervisor sees to it that they are few.
    pub(super) fn tell(&self, child: ChildId, message: Bytes) {
        if let Some(orders) = self.orders.get(&child) {
            // Fails if the child has ended; its `Exited` is on its way.
            let _ = orders.send(message);
        }
    }

    pub(super) fn signal(&mut self, child: ChildId, pid: u32, target: Target, signal: Signal) {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        let number = match signal {
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
            Signal::Hangup => rustix::process::Signal::HUP,
        };
        let sent = match target {
            Target::Process if !self.orders.contains_key(&child) => return,
            Target::Process => kill_process(pid, number),
            Target::Group => {
                self.signal_home(child, signal);
                kill_process_group(pid, number)
            }
        };
        match sent {
            // Nobody is left.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => warn!(%child, ?pid, ?signal, %error, "signal cannot be sent"),
        }
    }

    fn signal_home(&mut self, child: ChildId, signal: Signal) {
        let Some(home) = self.homes.get(&child) else {
            return;
        };
        match signal {
            Signal::Term => home.terminate(),
            Signal::Kill => {
                home.kill();
                if !self.orders.contains_key(&child) {
                    self.leave_home(child);
                }
            }
            Signal::Hangup => {}
        }
    }

    fn leave_home(&mut self, child: ChildId) {
        if let Some(home) = self.homes.remove(&child) {
            self.cgroups.remove(home);
        }
    }

    #[cfg(test)]
    pub(super) fn tidy_up(&mut self) {
        self.cgroups.tidy_up();
    }

    /// Waits for the next report. Cancel safe.
    pub(super) async fn next(&mut self) -> HostInput {
        let input = loop {
            tokio::select! {
                Some(input) = self.receiver.recv() => break input,
                Some(ended) = self.tasks.join_next() => {
                    if let Err(failure) = ended {
                        error!(%failure, "the task of a child failed");
                    }
                }
            }
        };
        if let HostInput::Exited { child, group, .. } = &input {
            self.orders.remove(child);
            if *group == Group::Empty {
                self.leave_home(*child);
            }
        }
        input
    }
}

/// A child and our ends of its pipes.
struct Started {
    process: Child,
    pid: u32,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    control: Option<ControlPipes>,
}

/// The stem protocol's pipes (API §10.1).
struct ControlPipes {
    /// From the stem.
    up: pipe::Receiver,
    /// To the stem.
    down: pipe::Sender,
}

fn start(launch: &Launch) -> io::Result<Started> {
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.args)
        .envs(launch.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    for variable in notify::VARIABLES {
        command.env_remove(variable);
    }
    if let Some(node) = &launch.node {
        let told = standing::told_json(std::process::id(), node);
        command.env(NODE_VARIABLE, told);
    }
    if let Some(directory) = &launch.directory {
        std::fs::create_dir_all(directory)?;
        command.current_dir(directory);
    }
    let control = match launch.control {
        Control::Absent => None,
        Control::Stem => Some(ControlPipes::attach(&mut command)?),
    };
    let mut process = command.spawn()?;
    let missing = || io::Error::other("the new process has no pipes");
    let stdout = process.stdout.take().ok_or_else(missing)?;
    let stderr = process.stderr.take().ok_or_else(missing)?;
    Ok(Started {
        pid: process.id().ok_or_else(missing)?,
        stdout: pipe::Receiver::from_owned_fd(stdout.into_owned_fd()?)?,
        stderr: pipe::Receiver::from_owned_fd(stderr.into_owned_fd()?)?,
        process,
        control,
    })
}

impl ControlPipes {
    /// Gives the command all four ends, as a stem expects them, and keeps our two.
    fn attach(command: &mut Command) -> io::Result<Self> {
        let (up_read, up_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (down_read, down_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let ends = [
            up_read.try_clone()?,
            up_write,
            down_read,
            down_write.try_clone()?,
        ];
        let numbers = 3..;
        let mappings = numbers
            .zip(ends)
            .map(|(child_fd, parent_fd): (i32, OwnedFd)| FdMapping {
                parent_fd,
                child_fd,
            });
        command
            .fd_mappings(mappings.collect())
            .map_err(io::Error::other)?;
        command.env("ZEEK_STEM", format!("{},3,4,5,6", std::process::id()));
        Ok(Self {
            up: pipe::Receiver::from_owned_fd(up_read)?,
            down: pipe::Sender::from_owned_fd(down_write)?,
        })
    }
}

/// The task of one child.
struct Watch {
    child: ChildId,
    pid: u32,
    home: Option<Cgroup>,
    process: Child,
    stdout: Source,
    stderr: Source,
    up: Source,
    down: Option<pipe::Sender>,
    unsent: BytesMut,
    orders: mpsc::UnboundedReceiver<Bytes>,
    news: mpsc::Sender<HostInput>,
}

impl Watch {
    fn new(
        child: ChildId,
        started: Started,
        home: Option<Cgroup>,
        orders: mpsc::UnboundedReceiver<Bytes>,
        news: mpsc::Sender<HostInput>,
    ) -> Self {
        let (up, down) = match started.control {
            Some(pipes) => (Some(pipes.up), Some(pipes.down)),
            None => (None, None),
        };
        Self {
            child,
            pid: started.pid,
            home,
            process: started.process,
            stdout: Source::new(Some(started.stdout)),
            stderr: Source::new(Some(started.stderr)),
            up: Source::new(up),
            down,
            unsent: BytesMut::new(),
            orders,
            news,
        }
    }

    /// Reports what the child does until it ends, its end last. Ends early, and kills the child, if
    /// nobody listens any more.
    async fn run(mut self) {
        let ending = loop {
            tokio::select! {
                ended = self.process.wait() => break ending(ended),
                chunk = self.stdout.chunk() => self.report_printed(Stream::Stdout, chunk).await,
                chunk = self.stderr.chunk() => self.report_printed(Stream::Stderr, chunk).await,
                chunk = self.up.chunk() => {
                    self.read_on(READS_BEFORE_MESSAGE).await;
                    self.report_message(chunk).await;
                }
                order = self.orders.recv() => match order {
                    Some(message) => self.unsent.extend_from_slice(&message),
                    None => return,
                },
                () = send(&mut self.down, &mut self.unsent) => {}
            }
        };
        // What is in the pipes comes before the end of the child; but a grandchild may hold them.
        let last_words = async {
            while self.stdout.is_open() || self.stderr.is_open() || self.up.is_open() {
                tokio::select! {
                    chunk = self.stdout.chunk() => self.report_printed(Stream::Stdout, chunk).await,
                    chunk = self.stderr.chunk() => self.report_printed(Stream::Stderr, chunk).await,
                    chunk = self.up.chunk() => self.report_message(chunk).await,
                }
            }
        };
        if timeout(LAST_WORDS, last_words).await.is_err() {
            debug!(child = %self.child, "somebody holds the pipes of an ended child");
        }
        let (child, pid) = (self.child, self.pid);
        let group = if cgroup::has_members(self.home.as_ref()) {
            Group::Alive
        } else {
            group_of(pid)
        };
        self.report(HostInput::Exited {
            child,
            pid,
            ending,
            group,
        })
        .await;
    }

    /// Passes on what can be read from the outputs without waiting.
    async fn read_on(&mut self, limit: usize) {
        for _ in 0..limit {
            tokio::select! {
                biased;
                chunk = self.stdout.chunk() => self.report_printed(Stream::Stdout, chunk).await,
                chunk = self.stderr.chunk() => self.report_printed(Stream::Stderr, chunk).await,
                () = std::future::ready(()) => return,
            }
        }
    }

    async fn report_printed(&self, stream: Stream, chunk: Bytes) {
        let child = self.child;
        if !chunk.is_empty() {
            self.report(HostInput::Printed {
                child,
                stream,
                chunk,
            })
            .await;
        }
    }

    async fn report_message(&self, chunk: Bytes) {
        let child = self.child;
        if !chunk.is_empty() {
            self.report(HostInput::Message { child, chunk }).await;
        }
    }

    async fn report(&self, input: HostInput) {
        // Fails when the program ends; then `orders` is closed too.
        let _ = self.news.send(input).await;
    }
}

/// Something to read from until it ends.
struct Source {
    pipe: Option<pipe::Receiver>,
}

impl Source {
    fn new(pipe: Option<pipe::Receiver>) -> Self {
        Self { pipe }
    }

    fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// The next bytes; empty once, at the end; after that it waits for ever. Cancel safe.
    async fn chunk(&mut self) -> Bytes {
        let Some(pipe) = &self.pipe else {
            return std::future::pending().await;
        };
        match read(pipe).await {
            Ok(chunk) if !chunk.is_empty() => return chunk,
            Ok(_) => {}
            Err(error) => debug!(%error, "pipe cannot be read"),
        }
        self.pipe = None;
        Bytes::new()
    }
}

/// What is in the pipe, as soon as there is something; nothing at its end.
async fn read(pipe: &pipe::Receiver) -> io::Result<Bytes> {
    loop {
        pipe.readable().await?;
        match try_read(pipe) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

/// Apart, so that the buffer is no part of every child's task.
fn try_read(pipe: &pipe::Receiver) -> io::Result<Bytes> {
    let mut buffer = [0; READ_SIZE];
    let len = pipe.try_read(&mut buffer)?;
    Ok(Bytes::copy_from_slice(
        buffer.get(..len).unwrap_or_default(),
    ))
}

/// Writes some of `unsent`; waits for ever if there is nothing to write. Cancel safe.
async fn send(down: &mut Option<pipe::Sender>, unsent: &mut BytesMut) {
    let Some(pipe) = down else {
        return std::future::pending().await;
    };
    if unsent.is_empty() {
        return std::future::pending().await;
    }
    if let Err(error) = pipe.write_buf(unsent).await {
        debug!(%error, "stem cannot be told");
        unsent.clear();
        *down = None;
    }
    if unsent.is_empty() {
        // A node's configuration is long, and mostly the last thing its stem is told.
        *unsent = BytesMut::new();
    }
}

/// What is left of the process group of an ended child. If nobody else collects its members, as on
/// a system without an init, they are collected here.
fn group_of(pid: u32) -> Group {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Group::Empty;
    };
    while let Ok(Some(_)) = waitpgid(pid, WaitOptions::NOHANG) {}
    match test_kill_process_group(pid) {
        Err(rustix::io::Errno::SRCH) => Group::Empty,
        Ok(()) | Err(_) => Group::Alive,
    }
}

fn ending(ended: io::Result<ExitStatus>) -> Ending {
    let Ok(status) = ended else {
        return Ending::Unknown;
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Status(code),
        (None, Some(signal)) => Ending::Signal(signal),
        (None, None) => Ending::Unknown,
    }
}
