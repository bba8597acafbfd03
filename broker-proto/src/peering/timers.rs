//! When which link needs attention without anything arriving.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::LinkId;

/// At most one deadline per link, the earliest at hand without a look at the others.
#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Instant, LinkId)>,
    armed: BTreeMap<LinkId, Instant>,
}

impl Timers {
    /// Sets the deadline of a link; it has no other then.
    pub(super) fn set(&mut self, link: LinkId, at: Instant) {
        self.clear(link);
        self.armed.insert(link, at);
        self.order.insert((at, link));
    }

    /// The link waits for nothing any more.
    pub(super) fn clear(&mut self, link: LinkId) {
        if let Some(at) = self.armed.remove(&link) {
            self.order.remove(&(at, link));
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out one link whose deadline has passed.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<LinkId> {
        let (at, link) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.clear(link);
        Some(link)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_deadline_set_for_a_link_is_its_only_one() {
        let t0 = start();
        let at = |secs| t0 + Duration::from_secs(secs);
        let (a, b) = (LinkId::Accepted(0), LinkId::Dialed(0));
        let mut timers = Timers::default();
        timers.set(a, at(1));
        timers.set(b, at(2));
        timers.set(a, at(3));
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.pop_due(at(1)), None);
        assert_eq!(timers.pop_due(at(3)), Some(b));
        timers.clear(a);
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.next(), None);
    }

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn start() -> Instant {
        Instant::now()
    }
}
