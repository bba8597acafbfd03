//! When a program that died is started again (API §9.4 S7).

use std::time::{Duration, Instant};

const FIRST_DELAY: Duration = Duration::from_secs(1);

/// Stock doubles without bound and so gives up in effect (API §12.3 D54).
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// A program that lived longer than this is healthy.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

const ATTEMPTS_PER_DELAY: u32 = 3;

/// The revival clock of one unit. Delays count from the start, not from the exit.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    attempts: u32,
    delay: Duration,
    started: Option<Instant>,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self {
            attempts: 0,
            delay: FIRST_DELAY,
            started: None,
        }
    }

    /// The program was started, or the attempt to start it was made.
    pub(crate) fn on_start(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// The delay cannot grow any more. A stem's own would (API §9.4 S7).
    pub(crate) fn is_longest(&self) -> bool {
        self.delay == LONGEST_DELAY
    }

    /// The program died, or did not start. Returns when to try again, at `now` or later.
    pub(crate) fn on_end(&mut self, now: Instant) -> Instant {
        let started = self.started.unwrap_or(now);
        if now.saturating_duration_since(started) > HEALTHY_AFTER {
            *self = Self::new();
        }
        let at = (started + self.delay).max(now);
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts.is_multiple_of(ATTEMPTS_PER_DELAY) {
            self.delay = (self.delay * 2).min(LONGEST_DELAY);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Starts and dies at once, `n` times; the waits between the starts in seconds.
    fn waits(backoff: &mut Backoff, mut now: Instant, n: usize) -> Vec<u64> {
        let mut waits = Vec::new();
        for _ in 0..n {
            backoff.on_start(now);
            let at = backoff.on_end(now);
            waits.push(at.duration_since(now).as_secs());
            now = at;
        }
        waits
    }

    #[test]
    fn every_third_attempt_doubles_the_delay_up_to_a_minute() {
        let waits = waits(&mut Backoff::new(), start(), 21);
        let want = [
            1, 1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 60, 60, 60,
        ];
        assert_eq!(waits, want);
    }

    #[test]
    fn the_delay_counts_from_the_start() {
        let (mut backoff, t0) = (Backoff::new(), start());
        backoff.on_start(t0);
        let died = t0 + Duration::from_millis(1300);
        assert_eq!(backoff.on_end(died), died);
        backoff.on_start(died);
        let died_again = died + Duration::from_millis(300);
        assert_eq!(
            backoff.on_end(died_again),
            died + Duration::from_secs(1),
            "one second after the second start"
        );
    }

    #[test]
    fn a_long_life_forgives_earlier_crashes() {
        let (mut backoff, t0) = (Backoff::new(), start());
        waits(&mut backoff, t0, 7);
        let t1 = t0 + Duration::from_secs(1000);
        backoff.on_start(t1);
        let died = t1 + Duration::from_secs(31);
        assert_eq!(backoff.on_end(died), died);
        assert_eq!(waits(&mut backoff, died, 3), [1, 1, 2]);
    }
}
