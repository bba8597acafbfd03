//! Where a unit's process stands: the table of transitions.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::host::Group;
use crate::settings::STOCK_GRACE;

/// How patient a unit is with its process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pace {
    /// From SIGTERM to SIGKILL.
    pub(super) stop: Duration,
    /// From a death nobody ordered to the next start, if processes were left behind.
    pub(super) settle: Duration,
}

impl Pace {
    /// A stem whose node is stubborn kills it after stock's grace, and then needs a little for
    /// itself.
    pub(super) fn of_stem(grace: Duration) -> Self {
        let own = if grace == STOCK_GRACE {
            Duration::from_secs(4)
        } else {
            Duration::ZERO
        };
        Self {
            stop: grace + own,
            settle: Duration::from_secs(1),
        }
    }

    pub(super) fn of_program(grace: Duration) -> Self {
        Self {
            stop: grace,
            settle: Duration::ZERO,
        }
    }
}

/// Between SIGTERM and SIGKILL for what a stopped process left behind.
const LEAVE: Duration = Duration::from_secs(1);

/// Where one unit's process stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// The former unit of the same name still has a process.
    Waiting,
    /// The start is ordered.
    Starting,
    /// There is a process.
    Running { pid: u32 },
    /// SIGTERM is sent, or will be once the process id is known. `kill_at` is unset before and
    /// after: SIGKILL is sent once.
    Stopping {
        pid: Option<u32>,
        kill_at: Option<Instant>,
        next: Next,
    },
    /// It ended as ordered, but others of its process group have not.
    Leaving {
        pid: u32,
        kill_at: Instant,
        next: Next,
    },
    /// It died or did not start.
    Backoff {
        /// When it starts again.
        until: Instant,
        /// Before this the processes it left behind may be in the way (API §12.3 D57).
        earliest: Instant,
    },
    /// It died too often; only a restart starts it again.
    Failed,
    /// It has no process and will not have one.
    Gone,
}

/// What follows a stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// A start at once.
    Start,
    /// A start then, or at once if that has passed.
    Later(Instant),
    /// A start when somebody asks for it.
    Failed,
    /// Nothing.
    Nothing,
}

/// What happens to a unit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Event {
    /// The name is free.
    Free,
    /// The process runs.
    Spawned { pid: u32 },
    /// It could not be started.
    Failed(Verdict),
    /// It ended; the pid was compared.
    Exited { group: Group, verdict: Verdict },
    /// It shall stop.
    Stop { next: Next },
    /// A deadline of the state passed.
    Due,
}

/// What is made of a death that nobody ordered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It is started again, after a delay.
    Again,
    /// It is left alone.
    TooOften,
}

/// What the unit must do on a transition, in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Action {
    /// Start a new child.
    Launch,
    /// Tell the new child, or the world, what it is.
    Welcome { pid: u32 },
    /// SIGTERM to the process.
    Terminate { pid: u32 },
    /// SIGTERM to whatever is left of the process group.
    Sweep { pid: u32 },
    /// SIGKILL to whatever is left of the process group.
    KillGroup { pid: u32 },
}

/// What a transition needs beside the state, and where it leaves its orders.
pub(super) struct Step<'a> {
    pub(super) now: Instant,
    pub(super) pace: Pace,
    pub(super) backoff: &'a mut Backoff,
    pub(super) todo: &'a mut Vec<Action>,
}

impl State {
    /// Takes one event, orders what must be done, returns the next state.
    pub(super) fn step(self, event: Event, step: &mut Step<'_>) -> Self {
        match (self, event) {
            (Self::Waiting, Event::Free) => step.launch(),

            (Self::Starting, Event::Spawned { pid }) => step.welcome(pid),
            (Self::Starting, Event::Failed(verdict)) => step.back_off(Duration::ZERO, verdict),
            (
                Self::Starting,
                Event::Stop {
                    next: Next::Nothing,
                },
            ) => Self::Stopping {
                pid: None,
                kill_at: None,
                next: Next::Nothing,
            },

            (Self::Running { pid }, Event::Stop { next }) => step.terminate(pid, next),
            (Self::Running { pid }, Event::Exited { group, verdict }) => {
                step.died(pid, group, verdict)
            }

            (Self::Stopping { next, .. }, Event::Spawned { pid }) => step.terminate(pid, next),
            (Self::Stopping { next, .. }, Event::Failed(_)) => step.proceed(next),
            (Self::Stopping { pid, kill_at, next }, Event::Stop { next: wanted }) => {
                let next = next.or(wanted);
                Self::Stopping { pid, kill_at, next }
            }
            (
                Self::Stopping {
                    pid: Some(pid),
                    next,
                    ..
                },
                Event::Due,
            ) => step.kill(pid, next),
            (
                Self::Stopping {
                    pid: Some(pid),
                    next,
                    ..
                },
                Event::Exited { group, .. },
            ) => step.stopped(pid, group, next),

            (Self::Leaving { pid, next, .. }, Event::Due) => {
                step.todo.push(Action::KillGroup { pid });
                step.proceed(next)
            }
            (Self::Leaving { pid, kill_at, next }, Event::Stop { next: wanted }) => {
                let next = next.or(wanted);
                Self::Leaving { pid, kill_at, next }
            }

            (Self::Backoff { .. }, Event::Due) => step.launch(),
            (Self::Backoff { earliest, .. }, Event::Stop { next: Next::Start }) => {
                let until = earliest.max(step.now);
                Self::Backoff { until, earliest }
            }
            (Self::Failed, Event::Stop { next: Next::Start }) => step.launch(),
            (
                Self::Waiting | Self::Backoff { .. } | Self::Failed,
                Event::Stop {
                    next: Next::Nothing,
                },
            ) => Self::Gone,

            // A restart finds the process starting or stopping already, or the pair cannot be.
            (state, _) => state,
        }
    }

    /// When [`Event::Due`] is.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Stopping { kill_at, .. } => kill_at,
            Self::Leaving { kill_at, .. } => Some(kill_at),
            Self::Backoff { until, .. } => Some(until),
            Self::Waiting | Self::Starting | Self::Running { .. } | Self::Failed | Self::Gone => {
                None
            }
        }
    }

    /// Whether there is a process, or one is being started.
    pub(super) fn has_process(self) -> bool {
        match self {
            Self::Starting
            | Self::Running { .. }
            | Self::Stopping { .. }
            | Self::Leaving { .. } => true,
            Self::Waiting | Self::Backoff { .. } | Self::Failed | Self::Gone => false,
        }
    }

    /// The process id, while there is a process.
    pub(super) fn pid(self) -> Option<u32> {
        match self {
            Self::Running { pid } => Some(pid),
            Self::Stopping { pid, .. } => pid,
            Self::Waiting
            | Self::Starting
            | Self::Leaving { .. }
            | Self::Backoff { .. }
            | Self::Failed
            | Self::Gone => None,
        }
    }

    /// For the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waits for its name",
            Self::Starting => "starts",
            Self::Running { .. } => "runs",
            Self::Stopping { .. } | Self::Leaving { .. } => "stops",
            Self::Backoff { .. } => "waits after a failure",
            Self::Failed => "failed",
            Self::Gone => "gone",
        }
    }
}

impl Next {
    /// What follows if something is wanted while a stop is under way. Nobody revokes an end, and
    /// what ends for good or has failed is not started by a back-off.
    fn or(self, wanted: Self) -> Self {
        match (self, wanted) {
            (Self::Nothing, _) | (_, Self::Later(_) | Self::Failed) => self,
            (Self::Start | Self::Later(_) | Self::Failed, wanted) => wanted,
        }
    }
}

impl Step<'_> {
    fn launch(&mut self) -> State {
        self.backoff.on_start(self.now);
        self.todo.push(Action::Launch);
        State::Starting
    }

    fn welcome(&mut self, pid: u32) -> State {
        self.todo.push(Action::Welcome { pid });
        State::Running { pid }
    }

    fn terminate(&mut self, pid: u32, next: Next) -> State {
        self.todo.push(Action::Terminate { pid });
        State::Stopping {
            pid: Some(pid),
            kill_at: Some(self.now + self.pace.stop),
            next,
        }
    }

    fn kill(&mut self, pid: u32, next: Next) -> State {
        self.todo.push(Action::KillGroup { pid });
        State::Stopping {
            pid: Some(pid),
            kill_at: None,
            next,
        }
    }

    /// Its children get the time to leave by themselves that their parent should have given them.
    fn stopped(&mut self, pid: u32, group: Group, next: Next) -> State {
        match group {
            Group::Empty => self.proceed(next),
            Group::Alive => {
                self.todo.push(Action::Sweep { pid });
                let kill_at = self.now + LEAVE;
                State::Leaving { pid, kill_at, next }
            }
        }
    }

    fn proceed(&mut self, next: Next) -> State {
        match next {
            Next::Start => self.launch(),
            Next::Later(at) => State::Backoff {
                until: at.max(self.now),
                earliest: self.now,
            },
            Next::Failed => State::Failed,
            Next::Nothing => State::Gone,
        }
    }

    fn died(&mut self, pid: u32, group: Group, verdict: Verdict) -> State {
        match group {
            Group::Empty => self.back_off(Duration::ZERO, verdict),
            Group::Alive => {
                self.todo.push(Action::KillGroup { pid });
                self.back_off(self.pace.settle, verdict)
            }
        }
    }

    fn back_off(&mut self, settle: Duration, verdict: Verdict) -> State {
        if verdict == Verdict::TooOften {
            return State::Failed;
        }
        let earliest = self.now + settle;
        let until = self.backoff.on_end(self.now).max(earliest);
        State::Backoff { until, earliest }
    }
}
