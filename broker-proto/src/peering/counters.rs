//! What an endpoint counts, for operators and tests.

use std::ops::AddAssign;

/// What happened since the endpoint was made. Nothing is ever reset.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Links that never became a peering, by reason.
    pub refused: Refused,
    /// Peerings that this endpoint ended, by reason.
    pub cut: Cut,
    /// Messages of all peers, those that are gone included.
    pub messages: PeerCounters,
}

/// Links that never became a peering, by reason.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Refused {
    /// Too many links were in their handshake ([`super::Options::pending_links`]), and the oldest
    /// of the source with most of them went.
    pub pending: u64,
    /// Too many of them were from one source ([`super::Options::pending_links_per_source`]), and
    /// its oldest went.
    pub pending_from_source: u64,
    /// Not done in time ([`super::Options::handshake_timeout`]).
    pub timed_out: u64,
    /// Announced a frame above the limit, or kept sending while on hold.
    pub oversized: u64,
    /// An empty, undecodable or foreign frame (drop codes 20 and 38, or nothing sent).
    pub malformed: u64,
    /// No common version (drop code 2).
    pub version: u64,
    /// A nil, changed or own id, or the wrong side originating (drop code 3).
    pub identity: u64,
    /// A filter that is not allowed here (drop code 20).
    pub filter: u64,
    /// A message that has no place in that state (closed without a word).
    pub out_of_order: u64,
    /// One more link to a known peer (drop codes 39 and 40).
    pub redundant: u64,
    /// The peer sent a `drop_conn` of its own.
    pub by_peer: u64,
    /// This endpoint was shutting down (drop code 28).
    pub shutting_down: u64,
}

/// Peerings that this endpoint ended, by reason.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cut {
    /// Too many bad messages ([`super::Options::strikes`]).
    pub strikes: u64,
    /// A frame above [`crate::codec::Limits::frame`] was announced.
    pub oversized: u64,
    /// The outbox was full ([`super::OverflowPolicy::Disconnect`]).
    pub overflow: u64,
    /// Its peer connected anew, and it did not answer ([`super::Options::alive_timeout`]).
    pub replaced: u64,
    /// The program did not want the peer ([`super::Input::Expel`]).
    pub expelled: u64,
}

/// What came from and went to one peer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PeerCounters {
    /// Data handed to this endpoint's subscriber.
    pub delivered: u64,
    /// Messages queued for the peer, relayed ones included.
    pub sent: u64,
    /// Messages from the peer passed on to others; once, however many got it.
    pub relayed: u64,
    /// Messages for the peer that the overflow policy dropped.
    pub overflowed: u64,
    /// Messages that it wanted and may not read ([`super::Input::Restrict`]).
    pub withheld: u64,
    /// Envelopes that did not decode, handshake messages among them.
    pub undecodable: u64,
    /// Envelopes under an id that is not the peer's.
    pub foreign_sender: u64,
    /// Data on topics that must not leave an endpoint.
    pub local_topic: u64,
    /// Routing updates that were malformed or not allowed; the filter before stays.
    pub bad_filter: u64,
    /// Messages addressed to somebody else, and not passed on.
    pub misaddressed: u64,
    /// Pings answered.
    pub pings_answered: u64,
    /// Pings left unanswered: too large, or newer ones came before the answer could be written.
    pub pings_dropped: u64,
}

impl AddAssign for PeerCounters {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.sent += other.sent;
        self.relayed += other.relayed;
        self.overflowed += other.overflowed;
        self.withheld += other.withheld;
        self.undecodable += other.undecodable;
        self.foreign_sender += other.foreign_sender;
        self.local_topic += other.local_topic;
        self.bad_filter += other.bad_filter;
        self.misaddressed += other.misaddressed;
        self.pings_answered += other.pings_answered;
        self.pings_dropped += other.pings_dropped;
    }
}
