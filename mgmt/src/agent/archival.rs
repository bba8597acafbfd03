//! `Archival`: when rotated logs are brought to the archive, and what becomes of a run that fails
//! (API §5.9).
//!
//! The agent's logger leaves rotated logs in a queue directory, and a program such as
//! `zeek-archiver` sorts what is there into the archive. It runs once an interval, the first time
//! one interval after the agent's start, and once when the agent ends. A run that fails is told
//! with its last words and repeated soon; stock starts the program and never looks back. There is
//! at most one run at a time: the program moves files.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{debug, info};

use crate::log::Record;
use crate::settings::ArchiveSettings;

/// From the first failure to the next attempt; doubled by each further one. The ordinary run comes
/// when it is due in any case.
const RETRY: Duration = Duration::from_secs(60);

/// How long the agent's end may wait for the last run: less than a supervisor's patience (API §9.4).
const LAST_RUN_LIMIT: Duration = Duration::from_secs(10);

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// The run that was asked for has begun.
    Started,
    /// There is no queue directory, so there are no logs: loggers make it when they need it.
    NoQueue,
    /// The run that was asked for did not begin.
    NotStarted {
        /// Why not.
        reason: String,
    },
    /// The run has ended.
    Ended {
        /// How.
        ending: Ending,
        /// The last part of what it printed.
        output: String,
    },
    /// The agent is about to end.
    Shutdown,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// It left with this exit code; 0 is success.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// What the caller must do, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Run this, and tell how it went.
    Run {
        /// For the shell.
        command: String,
        /// Only if this directory is there.
        queue: PathBuf,
    },
    /// A line for the management log (API §8.4).
    Log {
        /// What happened.
        record: Record,
    },
    /// End what runs; nobody waits for it any more.
    Kill,
    /// After [`Input::Shutdown`]: that was all.
    Finished,
}

/// The schedule of one agent.
#[derive(Debug)]
pub struct Archival {
    interval: Duration,
    command: String,
    queue: PathBuf,
    /// When the next ordinary run is due.
    next: Instant,
    /// Runs that failed since one succeeded.
    failures: u32,
    state: State,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// For the ordinary run, or for an earlier one because the last one failed.
    Waiting { retry: Option<Instant> },
    /// Since then.
    Running { since: Instant },
    /// The agent ends, with a run going on until then at most.
    Ending { deadline: Instant },
    /// There is nothing more to do.
    Finished,
}

impl Archival {
    /// The first run is due after one interval.
    pub fn new(settings: &ArchiveSettings, now: Instant) -> Self {
        Self {
            interval: settings.interval,
            command: command_line(settings),
            queue: settings.from.clone(),
            next: now + settings.interval,
            failures: 0,
            state: State::Waiting { retry: None },
            outputs: VecDeque::new(),
        }
    }

    /// One thing happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Started => {
                let text = format!("triggering log archival via '{}'", self.command);
                info!("{text}");
                self.log(Record::info(text));
            }
            Input::NoQueue => {
                debug!(queue = %self.queue.display(), "no rotated logs yet");
                self.settle(None);
            }
            Input::NotStarted { reason } => self.on_failure(now, &reason, ""),
            Input::Ended { ending, output } => self.on_ended(now, ending, &output),
            Input::Shutdown => self.on_shutdown(now),
        }
    }

    /// A deadline of [`Self::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Waiting { retry } => {
                let is_retry = retry.is_some_and(|due| due <= now);
                if self.take_turn(now) || is_retry {
                    self.state = State::Running { since: now };
                    self.run();
                }
            }
            State::Running { since } => {
                if self.take_turn(now) {
                    let secs = (now - since).as_secs();
                    self.warn(format!("log archival still runs after {secs} s"));
                }
            }
            State::Ending { deadline } if deadline <= now => {
                let secs = LAST_RUN_LIMIT.as_secs();
                self.warn(format!("log archival did not end within {secs} s, killed"));
                self.outputs.push_back(Output::Kill);
                self.finish();
            }
            State::Ending { .. } | State::Finished => {}
        }
    }

    /// What the caller must do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { retry } => Some(retry.map_or(self.next, |due| due.min(self.next))),
            State::Running { .. } => Some(self.next),
            State::Ending { deadline } => Some(deadline),
            State::Finished => None,
        }
    }

    /// Whether the ordinary run is due; the one after it is then due an interval from now, as in
    /// stock.
    fn take_turn(&mut self, now: Instant) -> bool {
        let is_due = self.next <= now;
        if is_due {
            self.next = now + self.interval;
        }
        is_due
    }

    fn on_ended(&mut self, now: Instant, ending: Ending, output: &str) {
        if ending != Ending::Code(0) {
            return self.on_failure(now, &ending.to_string(), output);
        }
        debug!(output, "log archival is done");
        if self.failures > 0 {
            let text = format!(
                "log archival works again, failed runs before: {}",
                self.failures
            );
            info!("{text}");
            self.log(Record::info(text));
        }
        self.failures = 0;
        self.settle(None);
    }

    fn on_failure(&mut self, now: Instant, why: &str, output: &str) {
        let doubled = RETRY.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let retry = (now + doubled).min(self.next);
        let mut text = format!("log archival failed: {why}");
        let lines: Vec<&str> = output.lines().map(str::trim_end).collect();
        if !lines.is_empty() {
            text.push_str(&format!(", it said: {}", lines.join(" | ")));
        }
        if matches!(self.state, State::Running { .. }) {
            text.push_str(&format!("; next attempt in {} s", (retry - now).as_secs()));
        }
        self.warn(text);
        self.settle(Some(retry));
    }

    /// A run is over, or there was none.
    fn settle(&mut self, retry: Option<Instant>) {
        match self.state {
            State::Running { .. } => self.state = State::Waiting { retry },
            State::Ending { .. } => self.finish(),
            State::Waiting { .. } | State::Finished => {}
        }
    }

    /// Zeek's timers all fire when it ends, so a stock agent starts a run then (API §5.9). By then
    /// the nodes are gone and their last logs in the queue.
    fn on_shutdown(&mut self, now: Instant) {
        let deadline = now + LAST_RUN_LIMIT;
        match self.state {
            State::Waiting { .. } => {
                self.state = State::Ending { deadline };
                self.run();
            }
            State::Running { .. } => self.state = State::Ending { deadline },
            State::Ending { .. } | State::Finished => {}
        }
    }

    fn run(&mut self) {
        self.outputs.push_back(Output::Run {
            command: self.command.clone(),
            queue: self.queue.clone(),
        });
    }

    fn finish(&mut self) {
        self.state = State::Finished;
        self.outputs.push_back(Output::Finished);
    }

    fn warn(&mut self, text: String) {
        tracing::warn!("{text}");
        self.log(Record::warning(text));
    }

    fn log(&mut self, record: Record) {
        self.outputs.push_back(Output::Log { record });
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// As stock's, but that directories a shell would take apart are in quotes. The command itself is
/// the operator's, who may want more than a program there.
fn command_line(settings: &ArchiveSettings) -> String {
    let (from, to) = (quoted(&settings.from), quoted(&settings.to));
    format!("{} -1 {from} {to}", settings.command)
}

fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
