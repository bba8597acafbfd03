//! The lives of one node: starts, deaths, and what is told of them (API §9.5 S15, §12.3 D52).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use broker_proto::{ByteString, Timespan};
use bytes::Bytes;
use tracing::{debug, info, warn};

use super::state::{Event, Next, Verdict};
use super::{State, Unit, push};
use crate::api::{ExitEvent, NodeEnd, NodeExit, NodeLife, NodeOutputs, NodeStatusEvent};
use crate::host::{Ending, HostOutput};
use crate::settings::GiveUp;
use crate::stem::Report;
use crate::supervisor::Output;

/// How long last words may still come after the news of a death: these travel on another pipe.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What is known of a node's lives.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// When the current one began.
    since: Option<Instant>,
    /// How many there were.
    starts: u64,
    /// A death that nobody was told of yet, and when it will be told.
    death: Option<(Instant, NodeEnd)>,
    /// The last one, told or not.
    last: NodeEnd,
    /// Why it did not start, if it did not.
    failure: Option<ByteString>,
    /// When it died last, at most as often as may be too often.
    deaths: VecDeque<Instant>,
}

impl Life {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.death.as_ref().map(|(at, _)| *at)
    }

    /// Somebody has looked after it.
    pub(super) fn forgive(&mut self) {
        self.deaths.clear();
    }

    /// How often it was started again.
    pub(super) fn restarts(&self) -> u64 {
        self.starts.saturating_sub(1)
    }

    /// For how long it has run; `None` if it does not.
    pub(super) fn uptime(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.since?))
    }

    fn begin(&mut self, now: Instant) {
        self.since = Some(now);
        self.starts = self.starts.saturating_add(1);
        self.failure = None;
    }

    fn end(&mut self, now: Instant, ending: Ending) -> NodeEnd {
        let run_time = self.uptime(now).unwrap_or_default();
        self.since = None;
        let (status, signal) = match ending {
            Ending::Status(status) => (Some(status), None),
            Ending::Signal(signal) => (None, Some(signal)),
            Ending::Unknown => (None, None),
        };
        let end = NodeEnd {
            status,
            signal,
            run_time,
            restarts: self.restarts(),
            is_given_up: false,
        };
        self.last = end;
        self.death = Some((now + LAST_WORDS, end));
        end
    }

    /// One more death; whether that is too often.
    fn judge(&mut self, now: Instant, give_up: Option<GiveUp>) -> Verdict {
        let Some(limit) = give_up else {
            return Verdict::Again;
        };
        let failures = usize::try_from(limit.failures.max(1)).unwrap_or(usize::MAX);
        self.deaths.push_back(now);
        let is_old = |death: &Instant| now.saturating_duration_since(*death) > limit.window;
        while self.deaths.front().is_some_and(is_old) || self.deaths.len() > failures {
            self.deaths.pop_front();
        }
        if self.deaths.len() == failures {
            return Verdict::TooOften;
        }
        Verdict::Again
    }
}

impl Unit {
    /// What a stem reports of its node.
    pub(super) fn on_report(&mut self, now: Instant, text: &str, out: &mut VecDeque<Output>) {
        match Report::parse(self.name(), text) {
            Report::Exited { pid, status } => {
                self.on_node_died(now, pid, Ending::Status(status), out);
            }
            Report::Killed { pid, signal } => {
                self.on_node_died(now, pid, Ending::Signal(signal), out);
            }
            Report::Revived { pid } => info!(node = self.name(), pid, "node was revived"),
            Report::Other => warn!(node = self.name(), text, "stem reports an error"),
        }
    }

    /// The node died below its stem, which will revive it; unless that takes too long or has been
    /// done too often: then the stem goes (API §12.3 D54).
    fn on_node_died(&mut self, now: Instant, pid: u32, ending: Ending, out: &mut VecDeque<Output>) {
        let run_time = self.life.uptime(now).unwrap_or_default();
        warn!(node = self.name(), pid, %ending, ?run_time, "node died");
        self.on_death(now, ending);
        if !matches!(self.state, State::Running { .. }) {
            return;
        }
        let verdict = self.judge(now);
        let at = self.revival.on_end(now);
        let next = match verdict {
            Verdict::TooOften => Next::Failed,
            Verdict::Again if self.revival.is_longest() => Next::Later(at),
            Verdict::Again => return,
        };
        self.step(now, Event::Stop { next }, out);
    }

    /// A death that nobody ordered. It is told when the last words are there.
    pub(super) fn on_death(&mut self, now: Instant, ending: Ending) {
        let end = self.life.end(now, ending);
        debug!(node = self.name(), ?end, "death");
    }

    /// One more death or failed start; whether that is too often.
    pub(super) fn judge(&mut self, now: Instant) -> Verdict {
        self.life.judge(now, self.give_up)
    }

    /// Tells of a death that was not told yet. What the node wrote is kept: stock tells it when the
    /// node starts again, and so do we. What a node writes at once may be read before the news of its
    /// start and be told as its former life's; if it dies without another word, that is told again.
    pub(super) fn tell_death(&mut self, out: &mut VecDeque<Output>) {
        let Some((_, end)) = self.life.death.take() else {
            return;
        };
        let outputs = NodeOutputs {
            stdout: self.stdout.tail.text(),
            stderr: self.stderr.tail.text(),
        };
        let end = Some(end);
        self.tell_exit(NodeExit { outputs, end }, out);
    }

    /// A new life begins: what the former one printed is told, and its files are put aside
    /// (API §9.5 S15).
    pub(super) fn on_node_started(&mut self, now: Instant, pid: u32, out: &mut VecDeque<Output>) {
        if !matches!(self.state, State::Running { .. } | State::Starting) {
            debug!(node = self.name(), pid, "node started while it shall stop");
            return;
        }
        info!(node = self.name(), pid, "node started");
        self.tell_death(out);
        self.life.begin(now);
        self.revival.on_start(now);
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
            self.tell_exit(outputs.into(), out);
        }
        let directory = self.config.directory.clone();
        push(out, HostOutput::OpenFiles { node, directory });
        self.keep_early(out);
    }

    /// The node never started: its agent is told why in place of last words, so that a client sees
    /// more than a time-out.
    pub(super) fn tell_failure(&mut self, reason: &str, out: &mut VecDeque<Output>) {
        self.stem_words
            .push(Bytes::copy_from_slice(reason.as_bytes()));
        let outputs = NodeOutputs {
            stdout: ByteString::default(),
            stderr: self.stem_words.take(),
        };
        self.life.failure = Some(outputs.stderr.clone());
        self.tell_exit(outputs.into(), out);
    }

    /// Nobody starts it any more, so what it ended with is told once again, with that.
    pub(super) fn tell_given_up(&mut self, out: &mut VecDeque<Output>) {
        self.life.death = None;
        let outputs = match self.life.failure.clone() {
            Some(stderr) => NodeOutputs {
                stdout: ByteString::default(),
                stderr,
            },
            None => NodeOutputs {
                stdout: self.stdout.tail.text(),
                stderr: self.stderr.tail.text(),
            },
        };
        let end = NodeEnd {
            is_given_up: true,
            ..self.life.last
        };
        let end = Some(end);
        self.tell_exit(NodeExit { outputs, end }, out);
    }

    fn tell_exit(&self, outputs: NodeExit, out: &mut VecDeque<Output>) {
        let node = self.config.name.clone();
        let event = ExitEvent::NotifyNodeExit { node, outputs };
        out.push_back(Output::NodeExit { event });
    }

    /// How it fares.
    pub(crate) fn life(&self, now: Instant) -> NodeLife {
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        NodeLife {
            role: self.rank().name().to_owned(),
            state: self.words_of_state().to_owned(),
            pid: self.node_pid.map(i64::from),
            uptime: self.life.uptime(now).map(|time| Timespan(nanos(time))),
            restarts: self.life.restarts(),
        }
    }

    /// A stem may run while its node does not.
    fn words_of_state(&self) -> &'static str {
        match self.state {
            State::Running { .. } if self.life.since.is_some() => self.state.name(),
            State::Running { .. } if self.life.starts == 0 => State::Starting.name(),
            State::Running { .. } => "waits after a failure",
            State::Waiting
            | State::Starting
            | State::Stopping { .. }
            | State::Leaving { .. }
            | State::Backoff { .. }
            | State::Failed
            | State::Gone => self.state.name(),
        }
    }

    /// The same as one line in the log.
    pub(crate) fn log_status(&self, now: Instant) {
        let life = self.life(now);
        info!(
            node = self.name(),
            role = life.role,
            state = life.state,
            pid = life.pid,
            uptime_secs = self.life.uptime(now).map(|time| time.as_secs()),
            restarts = life.restarts,
            "status"
        );
    }
}
