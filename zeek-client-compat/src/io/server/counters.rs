//! What a server counts, for operators and tests.

use std::sync::atomic::{AtomicU64, Ordering};

/// What happened since the server was bound. Nothing is ever reset.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Clients that completed the upgrade.
    pub admitted: u64,
    /// Upgrades refused with 503 because there were [`clients`](super::Limits::clients) already, or
    /// [`clients_per_source`](super::Limits::clients_per_source).
    pub refused: u64,
    /// Connections that were no WebSocket after [`upgrade`](super::Limits::upgrade).
    pub late: u64,
    /// Clients closed because they did not read what they were sent: their own outbox or all
    /// outboxes together were full, or one write took longer than
    /// [`patience`](super::Limits::patience).
    pub unread: u64,
    /// Clients closed because they did not answer a ping.
    pub silent: u64,
    /// Clients closed because of what they sent: no frames, no UTF-8, or too many bytes of messages
    /// that are too long.
    pub malformed: u64,
    /// Messages that were too long and were skipped.
    pub skipped: u64,
    /// Messages that were not sent, because too much of the same client's, or of all clients', was
    /// not read yet.
    pub unsent: u64,
}

/// Counters that tasks share.
#[derive(Debug, Default)]
pub(super) struct Tally {
    admitted: AtomicU64,
    refused: AtomicU64,
    late: AtomicU64,
    unread: AtomicU64,
    silent: AtomicU64,
    malformed: AtomicU64,
    skipped: AtomicU64,
    unsent: AtomicU64,
}

/// What to count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Count {
    Refused,
    Late,
    Unread,
    Silent,
    Malformed,
    Skipped,
    Unsent,
}

impl Tally {
    /// Counts one more client, returns how many there were before.
    pub(super) fn admit(&self) -> u64 {
        self.admitted.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn add(&self, count: Count) {
        let counter = match count {
            Count::Refused => &self.refused,
            Count::Late => &self.late,
            Count::Unread => &self.unread,
            Count::Silent => &self.silent,
            Count::Malformed => &self.malformed,
            Count::Skipped => &self.skipped,
            Count::Unsent => &self.unsent,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            admitted: read(&self.admitted),
            refused: read(&self.refused),
            late: read(&self.late),
            unread: read(&self.unread),
            silent: read(&self.silent),
            malformed: read(&self.malformed),
            skipped: read(&self.skipped),
            unsent: read(&self.unsent),
        }
    }
}
