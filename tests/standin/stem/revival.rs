//! When a dead node is started again (API §9.4 S7), and what a dying one is sent (S8).

use std::time::Duration;

use rustix::process::Signal;

/// How long the killer waits for a node before it signals again.
pub(super) const KILL_INTERVAL: Duration = Duration::from_secs(2);

const FIRST_DELAY: Duration = Duration::from_secs(1);
const ATTEMPTS_PER_DELAY: u32 = 3;
const STABLE_AFTER: Duration = Duration::from_secs(30);
const SIGTERMS: u32 = 13;

/// The revival state of one node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Revival {
    attempts: u32,
    delay: Duration,
}

impl Revival {
    pub(super) fn new() -> Self {
        Self {
            attempts: 0,
            delay: FIRST_DELAY,
        }
    }

    /// Whether a dead node may be started, so long after its last spawn.
    pub(super) fn is_due(&self, since_spawn: Duration) -> bool {
        since_spawn >= self.delay
    }

    /// It is being started.
    pub(super) fn attempt(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts.is_multiple_of(ATTEMPTS_PER_DELAY) {
            self.delay = self.delay.saturating_mul(2);
        }
    }

    /// It was seen alive, so long after its spawn.
    pub(super) fn seen_alive(&mut self, since_spawn: Duration) {
        if since_spawn > STABLE_AFTER {
            *self = Self::new();
        }
    }
}

/// Whether patience ends with SIGKILL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Escalation {
    /// After 13 times SIGTERM.
    Kill,
    /// Never: `ZEEK_SUPERVISOR_NO_SIGKILL` is set.
    Never,
}

/// The signal of the given round, counted from 0.
pub(super) fn signal_of_round(round: u32, escalation: Escalation) -> Signal {
    match escalation {
        Escalation::Kill if round >= SIGTERMS => Signal::KILL,
        Escalation::Kill | Escalation::Never => Signal::TERM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_third_revival_doubles_the_delay_without_bound() {
        let mut revival = Revival::new();
        let mut waits = Vec::new();
        for _ in 0..13 {
            waits.push(revival.delay.as_secs());
            revival.attempt();
        }
        assert_eq!(waits, [1, 1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8, 16]);
        for _ in 0..1000 {
            revival.attempt();
        }
    }

    #[test]
    fn the_delay_counts_from_the_spawn() {
        let revival = Revival::new();
        assert!(!revival.is_due(Duration::from_millis(999)));
        assert!(revival.is_due(Duration::from_secs(1)));
    }

    #[test]
    fn more_than_thirty_seconds_of_life_forgive_everything() {
        let mut revival = Revival::new();
        for _ in 0..4 {
            revival.attempt();
        }
        let worn = revival.clone();
        revival.seen_alive(Duration::from_secs(30));
        assert_eq!(revival, worn);
        revival.seen_alive(Duration::from_millis(30_001));
        assert_eq!(revival, Revival::new());
    }

    #[test]
    fn the_fourteenth_signal_kills_unless_forbidden() {
        assert_eq!(signal_of_round(12, Escalation::Kill), Signal::TERM);
        assert_eq!(signal_of_round(13, Escalation::Kill), Signal::KILL);
        assert_eq!(signal_of_round(13, Escalation::Never), Signal::TERM);
    }
}
