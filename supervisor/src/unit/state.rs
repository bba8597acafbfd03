//! Where a unit's process stands: the table of transitions.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::settings::STOCK_GRACE;

/// How patient a unit is with its process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pace {
    /// From SIGTERM to SIGKILL.
    pub(super) stop: Duration,
    /// From a death nobody ordered to the next start.
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
    /// It died or did not start.
    Backoff {
        /// When it starts again.
        until: Instant,
        /// Before this the processes it left behind may be in the way (API §12.3 D57).
        earliest: Instant,
    },
    /// It has no process and will not have one.
    Gone,
}

/// What follows a stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    Start,
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
    Failed,
    /// It ended; the pid was compared.
    Exited,
    /// It shall stop.
    Stop { next: Next },
    /// A deadline of the state passed.
    Due,
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
            (
                Self::Waiting,
                Event::Stop {
                    next: Next::Nothing,
                },
            ) => Self::Gone,

            (Self::Starting, Event::Spawned { pid }) => step.welcome(pid),
            (Self::Starting, Event::Failed) => step.back_off(Duration::ZERO),
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
            (Self::Running { pid }, Event::Exited) => step.died(pid),

            (Self::Stopping { next, .. }, Event::Spawned { pid }) => step.terminate(pid, next),
            (Self::Stopping { .. }, Event::Failed) => Self::Gone,
            (
                Self::Stopping { pid, kill_at, .. },
                Event::Stop {
                    next: Next::Nothing,
                },
            ) => {
                let next = Next::Nothing;
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
                Event::Exited,
            ) => step.stopped(pid, next),

            (Self::Backoff { .. }, Event::Due) => step.launch(),
            (Self::Backoff { earliest, .. }, Event::Stop { next: Next::Start }) => {
                let until = earliest.max(step.now);
                Self::Backoff { until, earliest }
            }
            (
                Self::Backoff { .. },
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
            Self::Backoff { until, .. } => Some(until),
            Self::Waiting | Self::Starting | Self::Running { .. } | Self::Gone => None,
        }
    }

    /// Whether there is a process, or one is being started.
    pub(super) fn has_process(self) -> bool {
        match self {
            Self::Starting | Self::Running { .. } | Self::Stopping { .. } => true,
            Self::Waiting | Self::Backoff { .. } | Self::Gone => false,
        }
    }

    /// The process id, while there is a process.
    pub(super) fn pid(self) -> Option<u32> {
        match self {
            Self::Running { pid } => Some(pid),
            Self::Stopping { pid, .. } => pid,
            Self::Waiting | Self::Starting | Self::Backoff { .. } | Self::Gone => None,
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

    fn stopped(&mut self, pid: u32, next: Next) -> State {
        self.todo.push(Action::Sweep { pid });
        match next {
            Next::Start => self.launch(),
            Next::Nothing => State::Gone,
        }
    }

    fn died(&mut self, pid: u32) -> State {
        self.todo.push(Action::KillGroup { pid });
        self.back_off(self.pace.settle)
    }

    fn back_off(&mut self, settle: Duration) -> State {
        let earliest = self.now + settle;
        let until = self.backoff.on_end(self.now).max(earliest);
        State::Backoff { until, earliest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        stop: Duration::from_secs(30),
        settle: Duration::from_secs(1),
    };

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn step(state: State, now: Instant, event: Event) -> (State, Vec<Action>) {
        let mut todo = Vec::new();
        let mut step = Step {
            now,
            pace: PACE,
            backoff: &mut Backoff::new(),
            todo: &mut todo,
        };
        let state = state.step(event, &mut step);
        (state, todo)
    }

    fn stop(next: Next) -> Event {
        Event::Stop { next }
    }

    #[test]
    fn a_stop_before_the_process_id_is_known_waits_for_it() {
        let t0 = start();
        let (state, todo) = step(State::Starting, t0, stop(Next::Nothing));
        assert_eq!((state.deadline(), todo), (None, vec![]));
        let (state, todo) = step(state, t0, Event::Spawned { pid: 7 });
        assert_eq!(todo, [Action::Terminate { pid: 7 }]);
        assert_eq!(state.deadline(), Some(t0 + secs(30)));
        let (state, todo) = step(state, t0, Event::Exited);
        assert_eq!((state, todo), (State::Gone, vec![Action::Sweep { pid: 7 }]));
    }

    #[test]
    fn a_process_that_ignores_sigterm_is_killed_once() {
        let t0 = start();
        let (state, _) = step(State::Running { pid: 7 }, t0, stop(Next::Nothing));
        let (state, todo) = step(state, t0 + secs(30), Event::Due);
        assert_eq!(todo, [Action::KillGroup { pid: 7 }]);
        assert_eq!(state.deadline(), None);
        let (state, _) = step(state, t0 + secs(31), Event::Exited);
        assert_eq!(state, State::Gone);
    }

    #[test]
    fn a_stop_for_good_overrides_a_restart_but_not_the_other_way_round() {
        let t0 = start();
        let (state, _) = step(State::Running { pid: 7 }, t0, stop(Next::Start));
        let (state, _) = step(state, t0, stop(Next::Nothing));
        let (state, _) = step(state, t0, stop(Next::Start));
        let (state, _) = step(state, t0, Event::Exited);
        assert_eq!(state, State::Gone);
    }

    #[test]
    fn what_died_by_itself_leaves_time_for_its_orphans_even_on_restart() {
        let t0 = start();
        let (state, todo) = step(State::Running { pid: 7 }, t0, Event::Exited);
        assert_eq!(todo, [Action::KillGroup { pid: 7 }]);
        let (state, todo) = step(state, t0, stop(Next::Start));
        assert_eq!(todo, []);
        assert_eq!(state.deadline(), Some(t0 + secs(1)));
        let (state, todo) = step(state, t0 + secs(1), Event::Due);
        assert_eq!((state, todo), (State::Starting, vec![Action::Launch]));
    }

    #[test]
    fn a_unit_without_process_is_gone_at_once() {
        let t0 = start();
        let (backoff, _) = step(State::Starting, t0, Event::Failed);
        for state in [State::Waiting, backoff] {
            assert_eq!(step(state, t0, stop(Next::Nothing)), (State::Gone, vec![]));
        }
    }
}
