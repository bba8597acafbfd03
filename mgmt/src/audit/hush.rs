//! How many lines one address may cause.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use broker_proto::source::Source;

use crate::quota::{Quota, Rate};

/// Keeps count of lines per address, and of those left out.
#[derive(Debug, Default)]
pub struct Hush {
    sources: BTreeMap<Source, Spoken>,
    /// Everybody who came when the table was full.
    others: Spoken,
}

#[derive(Debug, Default)]
struct Spoken {
    quota: Quota,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is written, and tells of so many that were left out before.
    Write(u64),
    /// It is left out.
    LeaveOut,
}

impl Hush {
    /// A line about this address is to be written.
    pub fn line(&mut self, now: Instant, source: Source) -> Verdict {
        if !self.sources.contains_key(&source) && self.sources.len() >= SOURCES {
            self.sources
                .retain(|_, spoken| spoken.left_out > 0 || !spoken.quota.is_full(now));
        }
        let is_known = self.sources.contains_key(&source) || self.sources.len() < SOURCES;
        let spoken = if is_known {
            self.sources.entry(source).or_default()
        } else {
            &mut self.others
        };
        if spoken.quota.take(now, RATE) {
            return Verdict::Write(std::mem::take(&mut spoken.left_out));
        }
        spoken.left_out += 1;
        Verdict::LeaveOut
    }

    /// Addresses that have been quiet for a while, with the lines that were left out about them.
    pub fn quiet(&mut self, now: Instant) -> Vec<(String, u64)> {
        self.take(|spoken| spoken.quota.is_full(now))
    }

    /// The same for all of them, at the end.
    pub fn all(&mut self) -> Vec<(String, u64)> {
        self.take(|_| true)
    }

    fn take(&mut self, is_due: impl Fn(&Spoken) -> bool) -> Vec<(String, u64)> {
        let mut due = Vec::new();
        self.sources.retain(|source, spoken| {
            let is_due = is_due(spoken);
            if is_due && spoken.left_out > 0 {
                due.push((source.to_string(), spoken.left_out));
            }
            !is_due
        });
        if self.others.left_out > 0 && is_due(&self.others) {
            let left_out = std::mem::take(&mut self.others.left_out);
            due.push(("others".to_owned(), left_out));
        }
        due
    }
}

/// Ten at once, then one in ten seconds.
const RATE: Rate = Rate {
    burst: 10,
    interval: Duration::from_secs(10),
};

/// How many addresses are told apart.
const SOURCES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noisy_address_is_left_out_and_the_next_line_says_how_often() {
        let (mut now, mut hush) = (start(), Hush::default());
        let verdicts: Vec<_> = (0..15).map(|_| hush.line(now, source(1))).collect();
        let (written, left_out) = verdicts.split_at(10);
        assert!(written.iter().all(|verdict| *verdict == Verdict::Write(0)));
        assert!(left_out.iter().all(|verdict| *verdict == Verdict::LeaveOut));
        assert_eq!(hush.line(now, source(2)), Verdict::Write(0));
        now += Duration::from_secs(10);
        assert_eq!(hush.line(now, source(1)), Verdict::Write(5));
    }

    #[test]
    fn what_was_left_out_is_told_when_the_address_falls_silent_and_at_the_end() {
        let (mut now, mut hush) = (start(), Hush::default());
        for _ in 0..12 {
            hush.line(now, source(1));
        }
        assert_eq!(hush.quiet(now), []);
        now += Duration::from_secs(100);
        assert_eq!(hush.quiet(now), [("192.0.2.1".to_owned(), 2)]);
        assert_eq!(hush.quiet(now), []);
        for _ in 0..11 {
            hush.line(now, source(1));
        }
        assert_eq!(hush.all(), [("192.0.2.1".to_owned(), 1)]);
    }

    #[test]
    fn addresses_without_end_take_no_more_memory_and_nothing_is_forgotten() {
        let (now, mut hush) = (start(), Hush::default());
        let count = 10_000_u32;
        let mut told = 0;
        let mut written = 0;
        for n in 0..count {
            let source = Source::of(std::net::Ipv4Addr::from_bits(n).into());
            match hush.line(now, source) {
                Verdict::Write(left_out) => {
                    written += 1;
                    told += left_out;
                }
                Verdict::LeaveOut => {}
            }
        }
        assert_eq!(hush.sources.len(), SOURCES);
        told += hush.all().iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(written + told, u64::from(count));
    }

    #[test]
    fn when_the_table_is_full_those_stay_of_whom_lines_were_left_out_and_nobody_is_unheard() {
        let (mut now, mut hush) = (start(), Hush::default());
        let at = |n: usize| {
            let n = u32::try_from(n).unwrap();
            Source::of(std::net::Ipv4Addr::from_bits(n).into())
        };
        for _ in 0..11 {
            hush.line(now, at(0));
        }
        for n in 1..SOURCES {
            hush.line(now, at(n));
        }
        // Those beyond the table share one quota.
        for _ in 0..12 {
            hush.line(now, at(SOURCES));
        }
        assert_eq!(hush.quiet(now), []);
        // All but the first are forgotten, for they have nothing left to tell.
        now += Duration::from_secs(1000);
        assert_eq!(hush.line(now, at(SOURCES)), Verdict::Write(0));
        assert_eq!(hush.sources.len(), 2);
        assert_eq!(hush.line(now, at(0)), Verdict::Write(1));
        assert_eq!(hush.quiet(now), [("others".to_owned(), 2)]);
    }

    fn source(n: u8) -> Source {
        Source::of([192, 0, 2, n].into())
    }

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn start() -> Instant {
        Instant::now()
    }
}
