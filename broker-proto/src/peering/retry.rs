//! Whom to dial, and when to dial again (WIRE §4.6).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{LinkId, PeerAddr};
use crate::EndpointId;

/// All addresses this endpoint keeps a peering with.
#[derive(Debug, Default)]
pub(super) struct Dials {
    dials: BTreeMap<PeerAddr, Dial>,
}

#[derive(Debug)]
struct Dial {
    retry: Option<Duration>,
    state: DialState,
}

#[derive(Debug)]
enum DialState {
    /// To be dialed then.
    Due(Instant),
    /// A link is being opened or is open.
    Open(LinkId),
    /// The peer behind it is connected by another link.
    Covered(EndpointId),
}

/// How a dialed link ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// Before it was a peering.
    Failed,
    /// It was a peering and is lost.
    Lost,
    /// It was a peering and this endpoint ended it.
    Cut,
    /// It turned out redundant with the link to this peer.
    Redundant(EndpointId),
}

impl Dials {
    /// Wants a peering with `addr`; only a new retry interval counts if it is wanted already.
    pub(super) fn add(&mut self, now: Instant, addr: PeerAddr, retry: Option<Duration>) {
        let dial = Dial {
            retry,
            state: DialState::Due(now),
        };
        self.dials
            .entry(addr)
            .and_modify(|known| known.retry = retry)
            .or_insert(dial);
    }

    /// Wants it no more; returns its link.
    pub(super) fn remove(&mut self, addr: &PeerAddr) -> Option<Removed> {
        match self.dials.remove(addr)?.state {
            DialState::Due(_) => None,
            DialState::Open(link) => Some(Removed::Link(link)),
            DialState::Covered(peer) => Some(Removed::Peer(peer)),
        }
    }

    /// Wants nothing any more.
    pub(super) fn clear(&mut self) {
        self.dials.clear();
    }

    /// The next address that is due, now marked as having this link.
    pub(super) fn pop_due(&mut self, now: Instant, link: LinkId) -> Option<PeerAddr> {
        let due = |dial: &Dial| matches!(dial.state, DialState::Due(at) if at <= now);
        let (addr, dial) = self.dials.iter_mut().find(|(_, dial)| due(dial))?;
        dial.state = DialState::Open(link);
        Some(addr.clone())
    }

    /// A dialed link is gone. Returns whether its address was wanted.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        addr: &PeerAddr,
        link: LinkId,
        how: Ended,
    ) -> bool {
        let Some(dial) = self.dials.get_mut(addr) else {
            return false;
        };
        if !matches!(dial.state, DialState::Open(open) if open == link) {
            return false;
        }
        dial.state = match (how, dial.retry) {
            (Ended::Redundant(peer), _) => DialState::Covered(peer),
            (Ended::Lost, Some(_)) => DialState::Due(now),
            (Ended::Failed | Ended::Cut, Some(retry)) => DialState::Due(now + retry),
            (Ended::Failed | Ended::Lost | Ended::Cut, None) => {
                self.dials.remove(addr);
                return true;
            }
        };
        true
    }

    /// A peer is gone: what it covered is dialed again.
    pub(super) fn uncover(&mut self, now: Instant, peer: EndpointId) {
        for dial in self.dials.values_mut() {
            if matches!(dial.state, DialState::Covered(covered) if covered == peer) {
                dial.state = DialState::Due(now);
            }
        }
    }

    /// When the next address is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.dials.values().filter_map(|dial| match dial.state {
            DialState::Due(at) => Some(at),
            DialState::Open(_) | DialState::Covered(_) => None,
        });
        due.min()
    }
}

/// What an address that is wanted no more was connected by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Removed {
    /// Its own link.
    Link(LinkId),
    /// Another link to this peer.
    Peer(EndpointId),
}
