//! How peerings end in good order, and how dead ones are found (WIRE §6.6, §11).

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};

use super::link::{LinkState, Peering, Question};
use super::retry::Ended;
use super::{Endpoint, Life, LinkId, PeerAddr};
use crate::EndpointId;
use crate::codec::envelope::MessageKind;

/// How the payload of a goodbye starts (WIRE §6.6).
const BYE: &[u8] = b"BYE";

/// How the payload of our other pings starts; anything but a goodbye will do (WIRE §6.5).
const ALIVE: &[u8] = b"ALIVE";

/// The drop code of an endpoint that is leaving (WIRE §4.5).
const SHUTTING_DOWN: u8 = 28;

impl Peering {
    /// Whether we said goodbye.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.question, Question::Bye(_))
    }
}

impl Endpoint {
    pub(super) fn unpeer(&mut self, now: Instant, addr: &PeerAddr) {
        if let Some(link) = self.dials.remove(addr) {
            self.leave(now, link, "unpeered");
        }
    }

    /// Ends the link of an unwanted peer.
    pub(super) fn expel(&mut self, now: Instant, peer: EndpointId, reason: &str) {
        let link = self.registry.link(peer);
        let is_peered = |id: &LinkId| {
            self.links
                .get(id)
                .is_some_and(|link| link.peering().is_some())
        };
        if let Some(id) = link.filter(is_peered) {
            self.counters.cut.expelled += 1;
            self.end(now, id, reason, Ended::Cut);
        }
    }

    pub(super) fn shutdown(&mut self, now: Instant) {
        if self.life != Life::Running {
            return;
        }
        self.life = Life::Leaving;
        self.dials.clear();
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.leave(now, link, "shutting down");
        }
    }

    /// Leaves a peer in good order, or ends what is not yet a peering.
    fn leave(&mut self, now: Instant, id: LinkId, reason: &str) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        match &link.state {
            LinkState::Peered(_) => self.say_bye(now, id),
            LinkState::Handshake(_) | LinkState::Parked { .. } if self.life != Life::Running => {
                self.turn_away(now, id);
            }
            LinkState::Handshake(_) | LinkState::Parked { .. } | LinkState::Dialing => {
                self.end(now, id, reason, Ended::Cut);
            }
            LinkState::Closing => {}
        }
    }

    /// Ends a link that would become a peering while this endpoint is leaving (WIRE §4.4).
    pub(super) fn turn_away(&mut self, now: Instant, id: LinkId) {
        let hears_drops = self.links.get(&id).is_some_and(|link| match &link.state {
            // A peer whose filter is on its way takes drop_conn for an error (WIRE §4.2).
            LinkState::Handshake(running) => running.state.peer().is_none(),
            LinkState::Parked { .. } => true,
            LinkState::Dialing | LinkState::Peered(_) | LinkState::Closing => false,
        });
        if hears_drops {
            self.send_drop(id, SHUTTING_DOWN, "shutting down".into());
        }
        self.counters.refused.shutting_down += 1;
        self.end(now, id, "shutting down", Ended::Failed);
    }

    /// Starts to leave one peer (WIRE §6.6).
    fn say_bye(&mut self, now: Instant, id: LinkId) {
        let token = self.token(BYE);
        let Some(peering) = self.links.get_mut(&id).and_then(|link| link.peering_mut()) else {
            return;
        };
        if !peering.is_leaving() {
            let peer = peering.peer;
            peering.question = Question::Bye(token.clone());
            self.timers.set(id, now + self.options.bye_timeout);
            self.ping(id, peer, token);
        }
    }

    /// Somebody comes under the id of an established peer: finds out whether its link still lives.
    pub(super) fn check_alive(&mut self, now: Instant, peer: EndpointId) {
        let Some(id) = self.registry.link(peer) else {
            return;
        };
        let token = self.token(ALIVE);
        let Some(peering) = self.links.get_mut(&id).and_then(|link| link.peering_mut()) else {
            return;
        };
        if peering.question == Question::None {
            peering.question = Question::Alive(token.clone());
            self.timers.set(id, now + self.options.alive_timeout);
            self.ping(id, peer, token);
        }
    }

    pub(super) fn on_pong(&mut self, now: Instant, id: LinkId, payload: &Bytes) {
        let Some(peering) = self.links.get_mut(&id).and_then(|link| link.peering_mut()) else {
            return;
        };
        match &peering.question {
            Question::Bye(token) if token == payload => self.end(now, id, "unpeered", Ended::Cut),
            Question::Alive(token) if token == payload => {
                peering.question = Question::None;
                self.timers.clear(id);
            }
            Question::None | Question::Bye(_) | Question::Alive(_) => {}
        }
    }

    fn ping(&mut self, id: LinkId, peer: EndpointId, payload: Bytes) {
        let frame = self.internal(peer, MessageKind::Ping, payload);
        if let Some(link) = self.links.get_mut(&id) {
            link.outbox.push_kept(frame);
        }
        self.flush(id);
    }

    fn token(&mut self, prefix: &[u8]) -> Bytes {
        let mut token = BytesMut::from(prefix);
        token.put_u64_le(self.ids.next_u64());
        token.freeze()
    }
}
