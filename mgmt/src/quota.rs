//! How much one asker may ask in how much time.

use std::time::{Duration, Instant};

/// So many at once, and so many a second for as long as one likes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// At least one.
    pub burst: u32,
    /// From one to the next in the long run.
    pub interval: Duration,
}

impl Rate {
    /// This many a second, and this many at once beyond; each at least one.
    pub fn per_second(rate: u64, burst: u64) -> Self {
        let interval = Duration::from_secs(1) / u32::try_from(rate.max(1)).unwrap_or(u32::MAX);
        let burst = u32::try_from(burst.max(1)).unwrap_or(u32::MAX);
        Self { burst, interval }
    }
}

/// What one asker has used up. Takes no memory for what was asked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Quota {
    /// When all that was taken will have come back; nothing was taken, or it has, if that is past.
    full: Option<Instant>,
}

impl Quota {
    /// Takes one; `false` if there is none left, and then none is taken.
    pub fn take(&mut self, now: Instant, rate: Rate) -> bool {
        let full = self.full.map_or(now, |full| full.max(now));
        let longest = rate.interval.saturating_mul(rate.burst - 1);
        let is_left = full.saturating_duration_since(now) <= longest;
        if is_left {
            self.full = Some(full + rate.interval);
        }
        is_left
    }

    /// Whether everything has come back.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full.is_none_or(|full| full <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_granted_and_then_one_after_each_interval() {
        let (mut now, mut quota) = (start(), Quota::default());
        let rate = Rate::per_second(10, 3);
        let taken = (0..5).filter(|_| quota.take(now, rate)).count();
        assert_eq!(taken, 3);
        now += Duration::from_millis(99);
        assert!(!quota.take(now, rate));
        now += Duration::from_millis(1);
        assert!(quota.take(now, rate));
        assert!(!quota.take(now, rate));
        now += Duration::from_millis(299);
        assert!(!quota.is_full(now));
        now += Duration::from_millis(1);
        assert!(quota.is_full(now));
        let taken = (0..5).filter(|_| quota.take(now, rate)).count();
        assert_eq!(taken, 3);
    }

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn start() -> Instant {
        Instant::now()
    }
}
