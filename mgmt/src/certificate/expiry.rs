//! Certificates that run out, told in time and not too often.
//!
//! One that ends is told of 30, 7 and 1 days before, and every day after its end. Time is the wall
//! clock's, in seconds since 1970, and comes from the caller, who asks at start, once a day, and
//! when a peer shows a certificate.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Whose certificate it is.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Holder {
    /// This program's, from this file.
    Own(PathBuf),
    /// A CA's that this program trusts, from this file, by its name.
    Authority(PathBuf, String),
    /// A peer's or client's, by its name.
    Peer(String),
}

/// A certificate that ends soon, or has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ending {
    /// Whose.
    pub holder: Holder,
    /// Whole days left; negative after the end.
    pub days: i64,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Holder::Own(file) => write!(f, "the own certificate in {}", file.display())?,
            Holder::Authority(file, name) => {
                write!(
                    f,
                    "the certificate of the CA '{name}' in {}",
                    file.display()
                )?;
            }
            Holder::Peer(name) => write!(f, "the certificate of the peer '{name}'")?,
        }
        match self.days {
            ..0 => f.write_str(" has expired"),
            0 => f.write_str(" ends within a day"),
            days => write!(f, " ends in {days} days"),
        }
    }
}

impl Holder {
    /// What helps.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Own(_) => {
                "`zeek-mgmt ca issue NAME --renew` where its CA is, copy it here, then SIGHUP"
            }
            Self::Authority(..) => {
                "make another CA, put both certificates into the CA file of every host, then SIGHUP"
            }
            Self::Peer(_) => "renew it on that host",
        }
    }
}

/// The certificates that a program has seen.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    seen: BTreeMap<Holder, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    not_after: i64,
    told: Stage,
}

/// How near the end is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Stage {
    Far,
    Month,
    Week,
    Day,
    Over,
}

impl Stage {
    fn of(left: i64) -> Self {
        match left {
            ..0 => Self::Over,
            left if left <= DAY => Self::Day,
            left if left <= 7 * DAY => Self::Week,
            left if left <= 30 * DAY => Self::Month,
            _ => Self::Far,
        }
    }
}

impl Watch {
    /// These are the program's own files from now on.
    pub fn own(&mut self, files: impl IntoIterator<Item = (Holder, i64)>) {
        self.seen
            .retain(|holder, _| matches!(holder, Holder::Peer(_)));
        for (holder, not_after) in files {
            self.note(holder, not_after);
        }
    }

    /// A peer or client has shown this. Of more than 1,000 names the others are not watched.
    pub fn peer(&mut self, name: String, not_after: i64) {
        let holder = Holder::Peer(name);
        if self.seen.len() < PEERS || self.seen.contains_key(&holder) {
            self.note(holder, not_after);
        }
    }

    /// Renewed, it may be told of again.
    fn note(&mut self, holder: Holder, not_after: i64) {
        let told = Stage::Far;
        let seen = self.seen.entry(holder).or_insert(Seen { not_after, told });
        if seen.not_after != not_after {
            *seen = Seen { not_after, told };
        }
    }

    /// What is to be told at this time. What has been told is not told again before it is nearer.
    pub fn news(&mut self, now: i64) -> Vec<Ending> {
        self.tell(now, |told, stage| told < stage)
    }

    /// The same once a day: what is over is told again.
    pub fn daily(&mut self, now: i64) -> Vec<Ending> {
        self.tell(now, |told, stage| told < stage || stage == Stage::Over)
    }

    fn tell(&mut self, now: i64, is_due: impl Fn(Stage, Stage) -> bool) -> Vec<Ending> {
        let mut news = Vec::new();
        for (holder, seen) in &mut self.seen {
            let left = seen.not_after.saturating_sub(now);
            let stage = Stage::of(left);
            if is_due(seen.told, stage) {
                news.push(ending(holder, left));
            }
            seen.told = stage;
        }
        news
    }

    /// All certificates that end within 30 days, the program's own first, told before or not.
    #[must_use]
    pub fn all_ending(&self, now: i64) -> Vec<Ending> {
        let left = |seen: &Seen| seen.not_after.saturating_sub(now);
        let seen = self.seen.iter();
        seen.filter(|(_, seen)| Stage::of(left(seen)) > Stage::Far)
            .map(|(holder, seen)| ending(holder, left(seen)))
            .collect()
    }
}

fn ending(holder: &Holder, left: i64) -> Ending {
    Ending {
        holder: holder.clone(),
        days: left.div_euclid(DAY),
    }
}

const DAY: i64 = 24 * 60 * 60;
const PEERS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn an_end_is_told_thirty_seven_and_one_days_before_and_every_day_after() {
        let mut watch = Watch::default();
        watch.own([(own(), NOW + 40 * DAY)]);
        let mut told = Vec::new();
        for day in 0..43 {
            let news = watch.daily(NOW + day * DAY);
            told.extend(news.into_iter().map(|ending| ending.days));
        }
        assert_eq!(told, [30, 7, 1, -1, -2]);
    }

    #[test]
    fn what_ends_soon_is_told_at_start_and_once() {
        let mut watch = Watch::default();
        watch.own([(own(), NOW + 3 * DAY)]);
        let text = watch.news(NOW)[0].to_string();
        assert_eq!(text, "the own certificate in /x/a.pem ends in 3 days");
        assert_eq!(watch.news(NOW + 1), []);
        watch.own([(own(), NOW + 3 * DAY)]);
        assert_eq!(watch.news(NOW + 2).len(), 1, "read again, told again");
    }

    #[test]
    fn a_renewed_certificate_is_no_longer_told_of() {
        let mut watch = Watch::default();
        watch.own([(own(), NOW - 1)]);
        watch.peer("a".into(), NOW + DAY);
        assert_eq!(watch.news(NOW).len(), 2);
        watch.own([(own(), NOW + 100 * DAY)]);
        watch.peer("a".into(), NOW + 100 * DAY);
        assert_eq!(watch.daily(NOW), []);
    }

    #[test]
    fn a_peer_that_comes_again_and_again_is_told_of_once() {
        let mut watch = Watch::default();
        for _ in 0..3 {
            watch.peer("a".into(), NOW + DAY / 2);
            watch.peer("b".into(), NOW + 100 * DAY);
        }
        let news = watch.news(NOW);
        assert_eq!(news.len(), 1);
        let text = news[0].to_string();
        assert_eq!(text, "the certificate of the peer 'a' ends within a day");
        watch.peer("a".into(), NOW + DAY / 2);
        assert_eq!(watch.news(NOW), []);
        assert_eq!(watch.all_ending(NOW), news);
    }

    #[test]
    fn of_more_names_than_are_watched_those_known_are_watched_on() {
        let mut watch = Watch::default();
        for n in 0..PEERS {
            watch.peer(format!("p{n}"), NOW + 100 * DAY);
        }
        watch.peer("one too many".into(), NOW);
        assert_eq!(watch.news(NOW), []);
        watch.peer("p7".into(), NOW + DAY / 2);
        let news = watch.news(NOW);
        assert_eq!(news.len(), 1);
        assert!(news[0].to_string().contains("'p7'"), "{}", news[0]);
    }

    #[test]
    fn what_ends_soon_is_listed_whosever_it_is_and_however_often() {
        let mut watch = Watch::default();
        let authority = Holder::Authority("/x/ca.pem".into(), "CA".into());
        watch.peer("a".into(), NOW + DAY);
        watch.own([(own(), NOW + 3 * DAY), (authority, NOW - 1)]);
        watch.peer("b".into(), NOW + 100 * DAY);
        for _ in 0..2 {
            let texts: Vec<String> = watch
                .all_ending(NOW)
                .iter()
                .map(Ending::to_string)
                .collect();
            let expected = [
                "the own certificate in /x/a.pem ends in 3 days",
                "the certificate of the CA 'CA' in /x/ca.pem has expired",
                "the certificate of the peer 'a' ends in 1 days",
            ];
            assert_eq!(texts, expected);
            watch.daily(NOW);
        }
        watch.own([(own(), NOW + 100 * DAY)]);
        assert_eq!(watch.all_ending(NOW).len(), 1);
    }

    #[test]
    fn peers_take_no_more_than_their_share_of_memory() {
        let mut watch = Watch::default();
        for number in 0..2 * PEERS {
            watch.peer(number.to_string(), NOW);
        }
        assert_eq!(watch.all_ending(NOW).len(), PEERS);
    }

    #[test]
    fn a_clock_at_its_edge_does_no_harm() {
        let mut watch = Watch::default();
        watch.own([(own(), i64::MIN)]);
        assert_eq!(watch.news(i64::MAX).len(), 1);
        watch.own([(own(), i64::MAX)]);
        assert_eq!(watch.news(i64::MIN), []);
    }

    fn own() -> Holder {
        Holder::Own("/x/a.pem".into())
    }
}
