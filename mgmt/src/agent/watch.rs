//! Nodes that somebody waits for, and for how long (API §12.1 D13).
//!
//! A node that is ordered first has to start, which it cannot before a former one of its name has
//! ended, and then to say hello. From a disk that has to be read first, a Zeek can take more than
//! stock's 5 s for that, so all may take what controllers allow. Only if others wait for their turn
//! each step has its own time, but for a former node's end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::settings::StartOrder;

/// From a request to its answer at the latest, unless the request timeout is longer. Stock's
/// controllers wait 9 s at least, and so do ours (API §3, §13.2).
const LIMIT: Duration = Duration::from_millis(8500);

/// What a longer request timeout leaves to a controller that has the same.
const HEADROOM: Duration = Duration::from_millis(500);

/// What is awaited for one request.
#[derive(Debug)]
pub(super) struct Watch {
    /// When nothing is awaited any longer.
    limit: Instant,
    /// How long a start may take, and a hello, if others wait for it.
    step: Option<Duration>,
    awaited: BTreeMap<String, Awaited>,
}

#[derive(Debug)]
struct Awaited {
    until: Instant,
    is_started: bool,
}

/// Who was there before a node under its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Former {
    /// Nobody.
    None,
    /// A process that has to end.
    Ending,
}

/// What a node has not done in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Missed {
    /// To start.
    Start,
    /// To say hello.
    Hello,
}

impl Watch {
    /// For a request that comes now.
    pub(super) fn new(now: Instant, timeout: Duration, order: StartOrder) -> Self {
        Self {
            limit: now + LIMIT.max(timeout.saturating_sub(HEADROOM)),
            step: (order == StartOrder::RoleByRole).then_some(timeout),
            awaited: BTreeMap::new(),
        }
    }

    /// A node is ordered.
    pub(super) fn add(&mut self, now: Instant, name: &str, former: Former) {
        let until = match former {
            Former::None => self.step_from(now),
            Former::Ending => self.limit,
        };
        let is_started = false;
        let awaited = Awaited { until, is_started };
        self.awaited.insert(name.to_owned(), awaited);
    }

    /// It has started. Further starts give it no further time.
    pub(super) fn on_started(&mut self, now: Instant, name: &str) {
        let until = self.step_from(now);
        if let Some(awaited) = self.awaited.get_mut(name)
            && !awaited.is_started
        {
            awaited.is_started = true;
            awaited.until = until;
        }
    }

    fn step_from(&self, now: Instant) -> Instant {
        let end = self.step.map(|step| now + step);
        end.map_or(self.limit, |end| end.min(self.limit))
    }

    /// It need not be awaited; `false` if it is not.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.awaited.remove(name).is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.awaited.is_empty()
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.limit <= now
    }

    /// When the next node runs out of time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.awaited.values().map(|awaited| awaited.until).min()
    }

    /// Ends the wait for all.
    pub(super) fn take_all(&mut self) -> Vec<String> {
        std::mem::take(&mut self.awaited).into_keys().collect()
    }

    /// Ends the wait for those who had their time.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<(String, Missed)> {
        let mut late = Vec::new();
        self.awaited.retain(|name, awaited| {
            if awaited.until <= now {
                let missed = match awaited.is_started {
                    true => Missed::Hello,
                    false => Missed::Start,
                };
                late.push((name.clone(), missed));
            }
            awaited.until > now
        });
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_and_hello_may_take_all_the_time_there_is() {
        let (t0, mut watch) = watch(StartOrder::Together);
        watch.add(t0, "a", Former::None);
        assert_eq!(watch.deadline(), Some(t0 + LIMIT));
        watch.on_started(t0 + secs(1), "a");
        assert_eq!(watch.deadline(), Some(t0 + LIMIT));
    }

    #[test]
    fn start_and_hello_have_their_own_time_if_others_wait() {
        let (t0, mut watch) = watch(StartOrder::RoleByRole);
        watch.add(t0, "a", Former::None);
        assert_eq!(watch.deadline(), Some(t0 + secs(5)));
        let started = t0 + secs(3);
        watch.on_started(started, "a");
        watch.on_started(started + secs(1), "a");
        assert_eq!(watch.deadline(), Some(started + secs(5)));
        let late = watch.take_late(started + secs(5));
        assert_eq!(late, [("a".to_owned(), Missed::Hello)]);
        assert!(watch.is_empty());
    }

    #[test]
    fn a_former_process_may_take_all_the_time_there_is_whoever_waits() {
        let (t0, mut watch) = watch(StartOrder::RoleByRole);
        watch.add(t0, "a", Former::Ending);
        assert_eq!(watch.deadline(), Some(t0 + LIMIT));
        watch.on_started(t0 + secs(6), "a");
        assert_eq!(watch.deadline(), Some(t0 + LIMIT));
        watch.add(t0, "b", Former::Ending);
        let late = watch.take_late(t0 + LIMIT);
        let want = [("a", Missed::Hello), ("b", Missed::Start)];
        assert_eq!(late, want.map(|(name, missed)| (name.to_owned(), missed)));
    }

    #[test]
    fn a_controller_with_the_same_long_request_timeout_is_answered_before_it_is_over() {
        let (t0, long) = (start(), secs(30));
        let mut watch = Watch::new(t0, long, StartOrder::Together);
        watch.add(t0, "a", Former::None);
        assert!(watch.deadline() < Some(t0 + long));
    }

    fn watch(order: StartOrder) -> (Instant, Watch) {
        let t0 = start();
        (t0, Watch::new(t0, secs(5), order))
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn start() -> Instant {
        Instant::now()
    }
}
