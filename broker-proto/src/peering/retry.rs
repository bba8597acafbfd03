//! Whom to dial, and when to dial again (WIRE §4.6).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{LinkId, PeerAddr};
use crate::EndpointId;

/// All addresses this endpoint keeps a peering with.
#[derive(Debug, Default)]
pub(super) struct Dials {
    dials: BTreeMap<PeerAddr, Dial>,
    /// Those to be dialed, by time.
    due: BTreeSet<(Instant, PeerAddr)>,
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
    /// The peer behind it is connected by another address.
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
    /// It was a peering and this endpoint ended it because the peer does not read.
    Overflow,
    /// It turned out redundant with the link to this peer.
    Redundant(EndpointId),
}

impl Dials {
    /// Wants a peering with `addr`; only a new retry interval counts if it is wanted already.
    pub(super) fn add(&mut self, now: Instant, addr: PeerAddr, retry: Option<Duration>) {
        if let Some(known) = self.dials.get_mut(&addr) {
            known.retry = retry;
            return;
        }
        self.due.insert((now, addr.clone()));
        let state = DialState::Due(now);
        self.dials.insert(addr, Dial { retry, state });
    }

    /// Wants it no more; returns the link that served it.
    pub(super) fn remove(&mut self, addr: &PeerAddr) -> Option<LinkId> {
        match self.dials.remove(addr)?.state {
            DialState::Due(at) => {
                self.due.remove(&(at, addr.clone()));
                None
            }
            DialState::Open(link) => Some(link),
            DialState::Covered(_) => None,
        }
    }

    /// Wants nothing any more.
    pub(super) fn clear(&mut self) {
        self.dials.clear();
        self.due.clear();
    }

    /// The next address that is due, now marked as having this link.
    pub(super) fn pop_due(&mut self, now: Instant, link: LinkId) -> Option<PeerAddr> {
        if self.due.first().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, addr) = self.due.pop_first()?;
        self.serve(&addr, link);
        Some(addr)
    }

    /// From here on this link serves `addr`, whoever opened it.
    pub(super) fn serve(&mut self, addr: &PeerAddr, link: LinkId) {
        if let Some(dial) = self.dials.get_mut(addr) {
            dial.state = DialState::Open(link);
        }
    }

    /// A link that served an address is gone. Returns whether the address was wanted.
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
        let due = match (how, dial.retry) {
            (Ended::Redundant(peer), _) => {
                dial.state = DialState::Covered(peer);
                return true;
            }
            (Ended::Lost, Some(_)) => now,
            (Ended::Failed | Ended::Cut, Some(retry)) => now + retry,
            (Ended::Overflow, Some(_))
            | (Ended::Failed | Ended::Lost | Ended::Cut | Ended::Overflow, None) => {
                self.dials.remove(addr);
                return true;
            }
        };
        dial.state = DialState::Due(due);
        self.due.insert((due, addr.clone()));
        true
    }

    /// A peer is gone: what it covered is dialed again, unless the link was cut for overflow or one
    /// attempt was all that was asked for.
    pub(super) fn uncover(&mut self, now: Instant, peer: EndpointId, how: Ended) {
        let due = &mut self.due;
        self.dials.retain(|addr, dial| {
            if !matches!(dial.state, DialState::Covered(covered) if covered == peer) {
                return true;
            }
            if how == Ended::Overflow || dial.retry.is_none() {
                return false;
            }
            dial.state = DialState::Due(now);
            due.insert((now, addr.clone()));
            true
        });
    }

    /// When the next address is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lost_peer_covered_is_dialed_again_and_nothing_else() {
        for (how, due) in [(Ended::Lost, true), (Ended::Overflow, false)] {
            let (mut dials, now) = (Dials::default(), start());
            let [gone, there] = [1, 2].map(|n| EndpointId::from_bytes([n; 16]));
            for (port, peer) in [(1, gone), (2, there)] {
                let retry = Some(Duration::from_secs(1));
                dials.add(now, addr(port), retry);
                let link = LinkId::Dialed(port.into());
                dials.pop_due(now, link);
                assert!(dials.ended(now, &addr(port), link, Ended::Redundant(peer)));
            }
            dials.uncover(now, gone, how);
            let next = dials.pop_due(now, LinkId::Dialed(3));
            assert_eq!(next, Some(addr(1)).filter(|_| due), "{how:?}");
            assert_eq!(dials.next_due(), None);
        }
    }

    #[test]
    fn an_address_that_was_to_be_dialed_once_is_not_dialed_when_the_peer_that_covered_it_goes() {
        let (mut dials, now) = (Dials::default(), start());
        let (peer, link) = (EndpointId::from_bytes([1; 16]), LinkId::Dialed(1));
        dials.add(now, addr(1), None);
        assert_eq!(dials.pop_due(now, link), Some(addr(1)));
        assert!(dials.ended(now, &addr(1), link, Ended::Redundant(peer)));
        dials.uncover(now, peer, Ended::Lost);
        assert_eq!(dials.next_due(), None);
    }

    fn addr(port: u16) -> PeerAddr {
        let host = "h".to_owned();
        PeerAddr { host, port }
    }

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn start() -> Instant {
        Instant::now()
    }
}
