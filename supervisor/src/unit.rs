//! One node: its process, what it says, and when it starts again.

mod life;
mod rank;
mod state;
mod words;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::{debug, error, info, trace, warn};

use crate::api::{Layout, NodeConfig, NodeStatus};
use crate::backoff::Backoff;
use crate::host::{ChildId, Control, Ending, Group, HostOutput, Launch, Signal, Target};
use crate::output::{Printed, Tail};
use crate::settings::{GiveUp, OwnUnit, Policy, STOCK_GRACE, Settings};
use crate::stem::{self, Decoder, Message};
use crate::supervisor::Output;
use life::Life;
pub(crate) use rank::Rank;
use state::{Action, Event, Next, Pace, State, Step, Verdict};
use words::{Early, Held};

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
    /// When its stem revives the node.
    revival: Backoff,
    messages: Decoder,
    life: Life,
    give_up: Option<GiveUp>,
    /// The stem's version, if it was told.
    zeek: Option<Layout>,
    stdout: Printed,
    stderr: Printed,
    early: Early,
    /// What a stem said itself before its node started.
    stem_words: Tail,
    /// Why it could not be started, if that was said already.
    complaint: Option<String>,
}

/// How a child ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) pid: u32,
    pub(crate) ending: Ending,
    pub(crate) group: Group,
}

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
            node: None,
            directory: None,
            control: Control::Stem,
        };
        Self::new(id, config, launch, Pace::of_stem(grace), &settings.policy)
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
            node: Some(stem::write_json(&own.node)),
            directory: own.node.directory.clone(),
            control: Control::Absent,
        };
        let pace = Pace::of_program(settings.policy.grace);
        Self::new(id, own.node.clone(), launch, pace, &settings.policy)
    }

    fn new(id: u64, config: NodeConfig, launch: Launch, pace: Pace, policy: &Policy) -> Self {
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
            revival: Backoff::new(),
            messages: Decoder::default(),
            life: Life::default(),
            give_up: policy.give_up,
            zeek: policy.zeek,
            stdout: Printed::default(),
            stderr: Printed::default(),
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
        let deadlines = [self.state.deadline(), self.life.deadline()];
        deadlines.into_iter().flatten().min()
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

    /// Stops the node and starts it again. Its stem goes with it: one that has killed its node once
    /// is silent about that node's later deaths (API §12.3 D53).
    pub(crate) fn on_restart(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        self.life.forgive();
        self.step(now, Event::Stop { next: Next::Start }, out);
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
        let verdict = self.judge(now);
        self.step(now, Event::Failed(verdict), out);
    }

    pub(crate) fn on_exited(&mut self, now: Instant, end: Ended, out: &mut VecDeque<Output>) {
        let Ended { pid, ending, group } = end;
        if self.state.pid() != Some(pid) {
            debug!(node = self.name(), pid, "exit of another process");
            return;
        }
        self.finish_lines(out);
        let mut verdict = Verdict::Again;
        match (self.state, self.launch.control) {
            (State::Running { .. }, Control::Stem) if matches!(self.early, Early::Held(_)) => {
                let reason = format!("zeek ended before it started the node: {ending}");
                warn!(node = self.name(), pid, reason, "node did not start");
                self.tell_failure(&reason, out);
                verdict = self.judge(now);
            }
            (State::Running { .. }, Control::Stem) => {
                warn!(node = self.name(), pid, %ending, "stem died, and its node with it");
                self.on_death(now, Ending::Unknown);
                self.tell_death(out);
                verdict = self.judge(now);
            }
            (State::Running { .. }, Control::Absent) => {
                warn!(node = self.name(), pid, %ending, "program died");
                self.on_death(now, ending);
                self.tell_death(out);
                verdict = self.judge(now);
            }
            (_, _) => {
                info!(node = self.name(), pid, %ending, "stopped");
                self.tell_death(out);
            }
        }
        if group == Group::Alive {
            debug!(node = self.name(), pid, "processes are left behind");
        }
        self.keep_early(out);
        self.step(now, Event::Exited { group, verdict }, out);
    }

    pub(crate) fn on_due(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        if self.life.deadline().is_some_and(|at| at <= now) {
            self.tell_death(out);
        }
        if self.state.deadline().is_some_and(|at| at <= now) {
            self.step(now, Event::Due, out);
        }
    }

    /// Bytes from the stem's status pipe.
    pub(crate) fn on_message(&mut self, now: Instant, chunk: &[u8], out: &mut VecDeque<Output>) {
        for message in self.messages.push(chunk) {
            match message {
                Ok(Message::Status { node, pid }) if node == self.config.name => {
                    self.on_node_started(now, pid, out);
                }
                Ok(Message::Status { node, .. }) => {
                    warn!(
                        node = self.name(),
                        other = node,
                        "stem reports a foreign node"
                    );
                }
                Ok(Message::Error { text }) => self.on_report(now, &text, out),
                Ok(Message::Debug { text }) => trace!(node = self.name(), text, "stem"),
                Err(error) => warn!(node = self.name(), %error, "stem is not understood"),
            }
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
        let failed_before = self.state == State::Failed;
        self.state = self.state.step(event, &mut step);
        if self.state == State::Failed && !failed_before {
            error!(
                node = self.name(),
                "it failed too often and is left alone until it is restarted"
            );
            self.tell_given_up(out);
        }
        for action in todo {
            self.act(now, action, out);
        }
        // One that never started may have a former unit's files under its name.
        if self.is_gone() && !was_gone && self.child.generation > 0 {
            let node = self.config.name.clone();
            push(out, HostOutput::CloseFiles { node });
        }
    }

    /// One of our programs reads again what can change while it runs. Zeek knows no such signal.
    pub(crate) fn reload(&self, out: &mut VecDeque<Output>) {
        if let (Control::Absent, State::Running { pid }) = (self.launch.control, self.state) {
            let (child, target) = (self.child, Target::Process);
            let signal = HostOutput::Signal {
                child,
                pid,
                target,
                signal: Signal::Hangup,
            };
            push(out, signal);
        }
    }

    fn act(&mut self, now: Instant, action: Action, out: &mut VecDeque<Output>) {
        let signal = |pid, target, signal| HostOutput::Signal {
            child: self.child,
            pid,
            target,
            signal,
        };
        match action {
            Action::Launch => self.launch(out),
            Action::Welcome { pid } => self.welcome(now, pid, out),
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
        if self.launch.control == Control::Stem {
            self.early = Early::Held(Held::default());
        }
        let child = self.child;
        let launch = self.launch.clone();
        push(out, HostOutput::Spawn { child, launch });
    }

    fn welcome(&mut self, now: Instant, pid: u32, out: &mut VecDeque<Output>) {
        match self.launch.control {
            Control::Absent => self.on_node_started(now, pid, out),
            Control::Stem => {
                debug!(node = self.name(), pid, "stem started");
                let message = stem::create(&self.config, self.zeek);
                let child = self.child;
                push(out, HostOutput::Tell { child, message });
            }
        }
    }
}

fn push(out: &mut VecDeque<Output>, output: HostOutput) {
    out.push_back(Output::Host { output });
}
