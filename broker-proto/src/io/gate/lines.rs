//! How many lines of the log strangers may cause.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::LeftOut;

/// Keeps count of the lines of the last minute, and of those left out.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// When they were written, oldest first; at most [`LINES`].
    written: VecDeque<Instant>,
    left_out: u64,
}

impl Lines {
    /// One more is to be written. It shall tell of those that were left out before it, if any were.
    pub(super) fn line(&mut self, now: Instant) -> Result<Option<u64>, LeftOut> {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= MINUTE;
        if self.written.front().is_some_and(is_old) {
            self.written.pop_front();
        }
        if self.written.len() >= LINES {
            self.left_out = self.left_out.saturating_add(1);
            return Err(LeftOut);
        }
        self.written.push_back(now);
        let left_out = std::mem::take(&mut self.left_out);
        Ok((left_out > 0).then_some(left_out))
    }
}

const LINES: usize = 100;
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_a_hundred_lines_a_minute_and_the_next_one_tells_of_the_others() {
        let (mut now, mut lines) = (start(), Lines::default());
        let written = |lines: &mut Lines, now, count| {
            let all = (0..count).map(|_| lines.line(now));
            all.filter(Result::is_ok).count()
        };
        assert_eq!(written(&mut lines, now, 60), 60);
        now += Duration::from_secs(30);
        assert_eq!(written(&mut lines, now, 1000), 40);
        now += Duration::from_secs(29);
        assert_eq!(lines.line(now), Err(LeftOut));
        now += Duration::from_secs(1);
        assert_eq!(lines.line(now), Ok(Some(961)));
        assert_eq!(lines.line(now), Ok(None));
        assert_eq!(
            written(&mut lines, now, 1000),
            58,
            "no more within a minute"
        );
        assert!(lines.written.len() <= LINES);
    }

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn start() -> Instant {
        Instant::now()
    }
}
