//! One node: its process, what it says, and when it starts again.

mod rank;
mod state;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use broker_proto::ByteString;
use bytes::Bytes;
use tracing::{debug, error, info, trace, warn};

use crate::api::{ExitEvent, NodeConfig, NodeOutputs, NodeStatus, NodeStatusEvent};
use crate::backoff::Backoff;
use crate::host::{ChildId, Control, Ending, HostOutput, Launch, Signal, Stream, Target};
use crate::output::{self, Printed, Tail};
use crate::settings::{OwnUnit, STOCK_GRACE, Settings};
use crate::stem::{self, Decoder, Message, Report};
use crate::supervisor::Output;
pub(crate) use rank::Rank;
use state::{Action, Event, Next, Pace, State, Step};

/// Restarts a stem may have ahead of it. A further one would change nothing: the node starts anew
/// after it was asked for anyway.
const MAX_RESTARTS_AHEAD: u8 = 2;

/// One node and its process: a stem of its own, or a program of ours.
#[derive(Debug)]
pub(crate) struct Unit {
    config: NodeConfig,
    launch: Launch,
    pace: Pace,
    /// As listed: the node's, not its stem's. Kept when the node dies (API §9.1).
    node_pid: Option<u32>,
    /// Which start it is at.
    child: ChildId,
    state: State,
    backoff: Backoff,
    messages: Decoder,
    stdout: Printed,
    stderr: Printed,
    restarts_ahead: u8,
    early: Early,
    /// What a stem said itself before its node started.
    stem_words: Tail,
    /// Why it could not be started, if that was said already.
    complaint: Option<String>,
}

/// Lines that a stem's first node printed before its status was read.
#[derive(Debug)]
enum Early {
    /// There was no status yet.
    Held(Vec<(Stream, Bytes)>),
    /// There was one.
    Passed,
}

/// Lines held for one status; a status is never far behind.
const MAX_EARLY: usize = 100;

impl Unit {
    /// A node that gets a stem. It starts when [`Unit::on_name_free`] says so.
    pub(crate) fn stem(id: u64, config: NodeConfig, settings: &Settings) -> Self {
        // With -j script names are made absolute before nodes change directory (API §10.1).
        let mut args = vec!["-j".to_owned()];
        args.extend(settings.args.iter().cloned());
        let grace = settings.policy.grace;
        let mut env = Vec::new();
        if grace > STOCK_GRACE {
            env.push(("ZEEK_SUPERVISOR_NO_SIGKILL".to_owned(), "1".to_owned()));
        }
        let launch = Launch {
            program: settings.zeek.clone(),
            args,
            env,
            directory: None,
            control: Control::Stem,
        };
        Self::new(id, config, launch, Pace::of_stem(grace))
    }

    /// A program of our own.
    pub(crate) fn own(id: u64, own: &OwnUnit, settings: &Settings) -> Self {
        let (program, args) = match own.argv.split_first() {
            Some((program, args)) => (PathBuf::from(program), args.to_vec()),
            None => (PathBuf::new(), Vec::new()),
        };
        let launch = Launch {
            program,
            args,
            env: own.node.env.clone().into_iter().collect(),
            directory: own.node.directory.clone(),
            control: Control::Absent,
        };
        let pace = Pace::of_program(settings.policy.grace);
        Self::new(id, own.node.clone(), launch, pace)
    }

    fn new(id: u64, config: NodeConfig, launch: Launch, pace: Pace) -> Self {
        Self {
            config,
            launch,
            pace,
            node_pid: None,
            child: ChildId {
                unit: id,
                generation: 0,
            },
            state: State::Waiting,
            backoff: Backoff::new(),
            messages: Decoder::default(),
            stdout: Printed::default(),
            stderr: Printed::default(),
            restarts_ahead: 0,
            early: Early::Passed,
            stem_words: Tail::default(),
            complaint: None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// Which start it is at; reports of other children are not about the living one.
    pub(crate) fn child(&self) -> ChildId {
        self.child
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// Whether there is a process, or one is being started.
    pub(crate) fn has_process(&self) -> bool {
        self.state.has_process()
    }

    pub(crate) fn rank(&self) -> Rank {
        match self.launch.control {
            Control::Absent => Rank::Management,
            Control::Stem => Rank::of(&self.config),
        }
    }

    /// From the order to stop to SIGKILL.
    pub(crate) fn grace(&self) -> Duration {
        self.pace.stop
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.state.deadline()
    }

    /// As status requests are answered.
    pub(crate) fn status(&self) -> NodeStatus {
        NodeStatus {
            node: self.config.clone(),
            pid: self.node_pid.map(i64::from),
        }
    }

    /// Nothing of a former unit of this name is left; starts the process.
    pub(crate) fn on_name_free(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        self.step(now, Event::Free, out);
    }

    /// Stops the process for good.
    pub(crate) fn on_stop(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        self.step(
            now,
            Event::Stop {
                next: Next::Nothing,
            },
            out,
        );
    }

    /// Stops the node and starts it again. A running stem does that for its node.
    pub(crate) fn on_restart(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        let running = matches!(self.state, State::Running { .. });
        if running && self.launch.control == Control::Stem {
            self.tell_restart(out);
        } else {
            self.step(now, Event::Stop { next: Next::Start }, out);
        }
    }

    pub(crate) fn on_spawned(&mut self, now: Instant, pid: u32, out: &mut VecDeque<Output>) {
        self.complaint = None;
        self.step(now, Event::Spawned { pid }, out);
    }

    pub(crate) fn on_spawn_failed(
        &mut self,
        now: Instant,
        reason: String,
        out: &mut VecDeque<Output>,
    ) {
        if self.complaint.as_ref() == Some(&reason) {
            debug!(node = self.name(), reason, "node still cannot be started");
        } else {
            error!(node = self.name(), reason, "node cannot be started");
            self.tell_failure(&reason, out);
            self.complaint = Some(reason);
        }
        self.step(now, Event::Failed, out);
    }

    pub(crate) fn on_exited(
        &mut self,
        now: Instant,
        pid: u32,
        ending: Ending,
        out: &mut VecDeque<Output>,
    ) {
        if self.state.pid() != Some(pid) {
            debug!(node = self.name(), pid, "exit of another process");
            return;
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(line) = self.printed(stream).lines.finish() {
                self.on_line(stream, line, out);
            }
        }
        match (self.state, self.launch.control) {
            (State::Running { .. }, Control::Stem) if matches!(self.early, Early::Held(_)) => {
                let reason = format!("zeek ended before it started the node: {ending}");
                warn!(node = self.name(), pid, reason, "node did not start");
                self.tell_failure(&reason, out);
            }
            (State::Running { .. }, Control::Stem) => {
                warn!(node = self.name(), pid, %ending, "stem died, and its node with it");
            }
            (State::Running { .. }, Control::Absent) => {
                warn!(node = self.name(), pid, %ending, "program died");
            }
            (_, _) => info!(node = self.name(), pid, %ending, "stopped"),
        }
        self.keep_early(out);
        self.step(now, Event::Exited, out);
    }

    pub(crate) fn on_due(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        self.step(now, Event::Due, out);
    }

    /// Bytes from the stem's status pipe.
    pub(crate) fn on_message(&mut self, chunk: &[u8], out: &mut VecDeque<Output>) {
        for message in self.messages.push(chunk) {
            match message {
                Ok(Message::Status { node, pid }) if node == self.config.name => {
                    self.restarts_ahead = self.restarts_ahead.saturating_sub(1);
                    self.on_node_started(pid, out);
                }
                Ok(Message::Status { node, .. }) => {
                    warn!(
                        node = self.name(),
                        other = node,
                        "stem reports a foreign node"
                    );
                }
                Ok(Message::Error { text }) => self.on_report(&text),
                Ok(Message::Debug { text }) => trace!(node = self.name(), text, "stem"),
                Err(error) => warn!(node = self.name(), %error, "stem is not understood"),
            }
        }
    }

    /// Bytes the process printed.
    pub(crate) fn on_printed(&mut self, stream: Stream, chunk: &[u8], out: &mut VecDeque<Output>) {
        for line in self.printed(stream).lines.push(chunk) {
            self.on_line(stream, line, out);
        }
    }

    fn on_report(&self, text: &str) {
        let node = self.name();
        match Report::parse(node, text) {
            Report::Exited { pid, status } => warn!(node, pid, status, "node exited"),
            Report::Killed { pid, signal } => warn!(node, pid, signal, "node was killed"),
            Report::Revived { pid } => info!(node, pid, "node was revived"),
            Report::Other => warn!(node, text, "stem reports an error"),
        }
    }

    /// A new life begins: what the former one printed is told and its files are emptied
    /// (API §9.5 S15).
    fn on_node_started(&mut self, pid: u32, out: &mut VecDeque<Output>) {
        info!(node = self.name(), pid, "node started");
        self.node_pid = Some(pid);
        let node = self.config.name.clone();
        let event = NodeStatusEvent::NodeStatus {
            node: node.clone(),
            pid: pid.into(),
        };
        out.push_back(Output::NodeStatus { event });
        self.stem_words.take();
        if !self.stdout.tail.is_empty() || !self.stderr.tail.is_empty() {
            let outputs = NodeOutputs {
                stdout: self.stdout.tail.take(),
                stderr: self.stderr.tail.take(),
            };
            let event = ExitEvent::NotifyNodeExit {
                node: node.clone(),
                outputs,
            };
            out.push_back(Output::NodeExit { event });
        }
        let directory = self.config.directory.clone();
        push(out, HostOutput::OpenFiles { node, directory });
        self.keep_early(out);
    }

    /// The node never started: its agent is told why in place of last words, so that a client sees
    /// more than a time-out.
    fn tell_failure(&mut self, reason: &str, out: &mut VecDeque<Output>) {
        self.stem_words
            .push(Bytes::copy_from_slice(reason.as_bytes()));
        let stderr = self.stem_words.take();
        let node = self.config.name.clone();
        let outputs = NodeOutputs {
            stdout: ByteString::default(),
            stderr,
        };
        let event = ExitEvent::NotifyNodeExit { node, outputs };
        out.push_back(Output::NodeExit { event });
    }

    /// Status and output come on different pipes. What a fresh stem's node prints is of its first
    /// life, even if it is read before the status that announces it (API §12.3 D62).
    fn keep_early(&mut self, out: &mut VecDeque<Output>) {
        if let Early::Held(lines) = std::mem::replace(&mut self.early, Early::Passed) {
            for (stream, line) in lines {
                self.keep(stream, line, out);
            }
        }
    }

    fn on_line(&mut self, stream: Stream, line: Bytes, out: &mut VecDeque<Output>) {
        let line = match self.launch.control {
            Control::Absent => line,
            Control::Stem => match output::of_node(&self.config.name, &line) {
                Some(text) => line.slice_ref(text),
                None => {
                    let text = String::from_utf8_lossy(&line);
                    warn!(node = self.name(), line = %text, "stem prints");
                    if matches!(self.early, Early::Held(_)) {
                        self.stem_words.push(line);
                    }
                    return;
                }
            },
        };
        let text = String::from_utf8_lossy(&line);
        debug!(node = self.name(), stream = stream.file_name(), line = %text);
        match &mut self.early {
            Early::Held(lines) if lines.len() < MAX_EARLY => lines.push((stream, line)),
            Early::Held(_) => {}
            Early::Passed => self.keep(stream, line, out),
        }
    }

    /// Remembers a line of the current life.
    fn keep(&mut self, stream: Stream, line: Bytes, out: &mut VecDeque<Output>) {
        self.printed(stream).tail.push(line.clone());
        let node = self.config.name.clone();
        push(out, HostOutput::WriteLine { node, stream, line });
    }

    fn tell_restart(&mut self, out: &mut VecDeque<Output>) {
        if self.restarts_ahead < MAX_RESTARTS_AHEAD {
            self.restarts_ahead += 1;
            let message = stem::restart(&self.config.name);
            let child = self.child;
            push(out, HostOutput::Tell { child, message });
        }
    }

    fn step(&mut self, now: Instant, event: Event, out: &mut VecDeque<Output>) {
        let mut todo = Vec::new();
        let mut step = Step {
            now,
            pace: self.pace,
            backoff: &mut self.backoff,
            todo: &mut todo,
        };
        let was_gone = self.state == State::Gone;
        self.state = self.state.step(event, &mut step);
        for action in todo {
            self.act(action, out);
        }
        // One that never started may have a former unit's files under its name.
        if self.is_gone() && !was_gone && self.child.generation > 0 {
            let node = self.config.name.clone();
            push(out, HostOutput::CloseFiles { node });
        }
    }

    fn act(&mut self, action: Action, out: &mut VecDeque<Output>) {
        let signal = |pid, target, signal| HostOutput::Signal {
            child: self.child,
            pid,
            target,
            signal,
        };
        match action {
            Action::Launch => self.launch(out),
            Action::Welcome { pid } => self.welcome(pid, out),
            Action::Terminate { pid } => push(out, signal(pid, Target::Process, Signal::Term)),
            Action::Sweep { pid } => push(out, signal(pid, Target::Group, Signal::Term)),
            Action::KillGroup { pid } => {
                if matches!(self.state, State::Stopping { .. }) {
                    warn!(node = self.name(), pid, "did not stop in time; killed");
                }
                push(out, signal(pid, Target::Group, Signal::Kill));
            }
        }
    }

    /// Pipes are fresh for every start, so nothing half-read stays (API §12.3 D55).
    fn launch(&mut self, out: &mut VecDeque<Output>) {
        self.child.generation += 1;
        self.messages = Decoder::default();
        self.restarts_ahead = 0;
        if self.launch.control == Control::Stem {
            self.early = Early::Held(Vec::new());
        }
        let child = self.child;
        let launch = self.launch.clone();
        push(out, HostOutput::Spawn { child, launch });
    }

    fn welcome(&mut self, pid: u32, out: &mut VecDeque<Output>) {
        match self.launch.control {
            Control::Absent => self.on_node_started(pid, out),
            Control::Stem => {
                debug!(node = self.name(), pid, "stem started");
                let message = stem::create(&self.config);
                let child = self.child;
                push(out, HostOutput::Tell { child, message });
            }
        }
    }

    fn printed(&mut self, stream: Stream) -> &mut Printed {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

fn push(out: &mut VecDeque<Output>, output: HostOutput) {
    out.push_back(Output::Host { output });
}
