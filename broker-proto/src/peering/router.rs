//! Phase 3: what peers send, and who gets what is published (WIRE §5, §6).

use std::time::Instant;

use bytes::Bytes;
use tracing::{trace, warn};

use super::interest::{self, FilterError, Interest};
use super::link::Peering;
use super::outbox::Frame;
use super::retry::Ended;
use super::{Endpoint, Forwarding, LinkId, Output, PeerCounters, Readable};
use crate::EndpointId;
use crate::codec::envelope::{
    Envelope, MessageKind, TTL, data_frame, data_frame_len, data_frame_start,
};
use crate::codec::{DecodeError, Excerpt, decode_filter, encode_filter};
use crate::topic::{INTERNAL_TOPIC, Topic};

/// Why an envelope is dropped.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
enum EnvelopeError {
    #[error("undecodable envelope: {0}")]
    Undecodable(#[from] DecodeError),
    #[error("envelope claims to be from {0}")]
    ForeignSender(EndpointId),
    #[error("undecodable filter: {0}")]
    Filter(#[source] DecodeError),
    #[error("{0}")]
    FilterRefused(#[from] FilterError),
    #[error("message on a topic that belongs inside one endpoint")]
    LocalTopic,
}

impl EnvelopeError {
    fn counter<'a>(&self, counters: &'a mut PeerCounters) -> &'a mut u64 {
        match self {
            Self::Undecodable(_) => &mut counters.undecodable,
            Self::ForeignSender(_) => &mut counters.foreign_sender,
            Self::Filter(_) | Self::FilterRefused(_) => &mut counters.bad_filter,
            Self::LocalTopic => &mut counters.local_topic,
        }
    }
}

impl Endpoint {
    pub(super) fn on_envelope(&mut self, now: Instant, id: LinkId, frame: &Bytes) {
        let Some(peer) = self
            .links
            .get(&id)
            .and_then(|l| l.peering())
            .map(|p| p.peer)
        else {
            return;
        };
        let read = Envelope::decode(frame).map_err(EnvelopeError::from);
        let Err(error) = read.and_then(|envelope| self.on_message(now, id, peer, envelope)) else {
            return;
        };
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        warn!(peer = %link.label(), %error, frame = %Excerpt(frame), "message dropped");
        let Some(peering) = link.peering_mut() else {
            return;
        };
        *error.counter(&mut peering.counters) += 1;
        let is_enough = peering.strikes.strike(now, &self.options);
        let reason = error.to_string();
        self.out.push_back(Output::Misbehaved { id: peer, reason });
        if is_enough {
            self.counters.cut.strikes += 1;
            self.end(now, id, "too many bad messages", Ended::Cut);
        }
    }

    fn on_message(
        &mut self,
        now: Instant,
        id: LinkId,
        peer: EndpointId,
        envelope: Envelope,
    ) -> Result<(), EnvelopeError> {
        if envelope.sender != peer {
            return Err(EnvelopeError::ForeignSender(envelope.sender));
        }
        let is_for_all = envelope.receiver.is_nil();
        let is_for_us = is_for_all || envelope.receiver == self.id;
        match envelope.kind {
            MessageKind::Data | MessageKind::Command => {
                if envelope.topic.is_local() {
                    return Err(EnvelopeError::LocalTopic);
                }
                if is_for_all || !is_for_us {
                    self.forward(now, id, &envelope);
                }
                if is_for_us && envelope.kind == MessageKind::Data {
                    self.deliver(id, peer, envelope);
                }
            }
            MessageKind::RoutingUpdate | MessageKind::Ping | MessageKind::Pong if !is_for_us => {
                trace!(%peer, receiver = %envelope.receiver, "message for somebody else");
                self.count(id, |counters| counters.misaddressed += 1);
            }
            MessageKind::RoutingUpdate => self.on_routing_update(id, &envelope.payload)?,
            MessageKind::Ping => self.on_ping(id, peer, envelope.payload),
            MessageKind::Pong => self.on_pong(now, id, &envelope.payload),
        }
        Ok(())
    }

    /// Replaces the peer's filter if the new one is good to its last byte (WIRE §6.1).
    fn on_routing_update(&mut self, id: LinkId, payload: &[u8]) -> Result<(), EnvelopeError> {
        let filter = decode_filter(payload, &self.options.limits).map_err(EnvelopeError::Filter)?;
        interest::admit(&filter, &self.options)?;
        if let Some(peering) = self.links.get_mut(&id).and_then(|link| link.peering_mut()) {
            self.routes.remove(id, &peering.wants);
            peering.wants = Interest::from(filter);
            self.routes.add(id, &peering.wants);
        }
        Ok(())
    }

    fn on_ping(&mut self, id: LinkId, peer: EndpointId, payload: Bytes) {
        if payload.len() > self.options.ping_bytes {
            trace!(%peer, bytes = payload.len(), "ping is too large to be answered");
            return self.count(id, |counters| counters.pings_dropped += 1);
        }
        let pong = self.internal(peer, MessageKind::Pong, payload);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let dropped = u64::from(link.outbox.push_pong(pong));
        self.count(id, |counters| {
            counters.pings_answered += 1 - dropped;
            counters.pings_dropped += dropped;
        });
        self.flush(id);
    }

    fn deliver(&mut self, id: LinkId, from: EndpointId, envelope: Envelope) {
        let Envelope { topic, payload, .. } = envelope;
        if self.filter.matches(&topic) {
            self.count(id, |counters| counters.delivered += 1);
            self.out.push_back(Output::Deliver {
                topic,
                payload,
                from,
            });
        }
    }

    /// Passes on what the peer of the link `from` sent to others (WIRE §6.3).
    fn forward(&mut self, now: Instant, from: LinkId, envelope: &Envelope) {
        let is_sendable = !envelope.topic.as_bytes().is_empty() && !envelope.payload.is_empty();
        if self.options.forwarding == Forwarding::Off || !is_sendable {
            if !envelope.receiver.is_nil() {
                self.count(from, |counters| counters.misaddressed += 1);
            }
            return;
        }
        let mut links = if envelope.receiver.is_nil() {
            self.routes.matching(&envelope.topic).to_vec()
        } else {
            self.registry.link(envelope.receiver).into_iter().collect()
        };
        links.retain(|link| *link != from && self.peering(*link).is_some());
        if links.is_empty() {
            return;
        }
        self.count(from, |counters| counters.relayed += 1);
        let relayed = Envelope {
            sender: self.id,
            ttl: TTL,
            topic: envelope.topic.clone(),
            payload: envelope.payload.clone(),
            ..*envelope
        };
        let frame = relayed.to_frame().into();
        self.send_to(now, &links, &envelope.topic, frame);
    }

    /// Sends what is published to every peer that wants it (WIRE §6.3).
    pub(super) fn publish(&mut self, now: Instant, topic: Topic, payload: Bytes) {
        if topic.as_bytes().is_empty() || payload.is_empty() || topic.is_local() {
            warn!(%topic, "not published: peers may not get this");
            return;
        }
        if self.routes.matching(&topic).is_empty() {
            return;
        }
        let frame = data_frame(self.id, &topic, &payload);
        self.publish_frame(now, &topic, frame);
    }

    /// The same for a frame that is ready.
    pub(super) fn publish_frame(&mut self, now: Instant, topic: &Topic, frame: Bytes) {
        if topic.as_bytes().is_empty() || topic.is_local() {
            warn!(%topic, "not published: peers may not get this");
            return;
        }
        if frame.len() > self.options.limits.frame {
            warn!(%topic, bytes = frame.len(), "not published: too large");
            return;
        }
        let links = self.routes.matching(topic);
        self.send_to(now, &links, topic, frame.into());
    }

    /// The same for a value in parts.
    pub(super) fn publish_parts(&mut self, now: Instant, topic: &Topic, parts: Vec<Bytes>) {
        let len = parts.iter().map(Bytes::len).sum::<usize>();
        if topic.as_bytes().is_empty() || topic.is_local() || len == 0 {
            warn!(%topic, "not published: peers may not get this");
            return;
        }
        // As the peers will count, each of which ends the link of a frame that is too large for it.
        let announced = data_frame_len(topic, len);
        if announced > self.options.limits.frame {
            warn!(%topic, bytes = announced, "not published: too large");
            return;
        }
        let frame = Frame::in_parts(data_frame_start(self.id, topic, len), parts);
        let links = self.routes.matching(topic);
        self.send_to(now, &links, topic, frame);
    }

    /// Tells every peer the filter that has been told another one, or none (WIRE §6.1).
    pub(super) fn announce(&mut self) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        links.into_iter().for_each(|link| self.announce_to(link));
    }

    /// The same for one link, if it is a peering.
    pub(super) fn announce_to(&mut self, id: LinkId) {
        let current = self.generation;
        let Some(peering) = self.peering_mut(id) else {
            return;
        };
        if std::mem::replace(&mut peering.announced, current) == current {
            return;
        }
        let peer = peering.peer;
        let update = encode_filter(&self.filter);
        let update = self.internal(peer, MessageKind::RoutingUpdate, update);
        if let Some(link) = self.links.get_mut(&id) {
            link.outbox.push_update(update);
        }
        self.flush(id);
    }

    /// The last link gets the frame itself: one that nobody shares is cheaper to hold.
    fn send_to(&mut self, now: Instant, links: &[LinkId], topic: &Topic, frame: Frame) {
        let Some((last, others)) = links.split_last() else {
            return;
        };
        for link in others {
            if self.may_read(*link, topic) {
                self.send_message(now, *link, frame.clone());
            }
        }
        if self.may_read(*last, topic) {
            self.send_message(now, *last, frame);
        }
    }

    fn may_read(&mut self, id: LinkId, topic: &Topic) -> bool {
        let Some(peering) = self.peering_mut(id) else {
            return false;
        };
        let readable = peering.readable.as_ref();
        let is_readable = readable.is_none_or(|readable| readable.has(topic));
        peering.counters.withheld += u64::from(!is_readable);
        is_readable
    }

    /// Limits what a peer gets, from here on.
    pub(super) fn restrict(&mut self, peer: EndpointId, to: Option<Readable>) {
        let link = self.registry.link(peer);
        if let Some(peering) = link.and_then(|id| self.peering_mut(id)) {
            peering.readable = to.map(Box::new);
        }
    }

    /// A frame that concerns nobody but the peer.
    pub(super) fn internal(&self, peer: EndpointId, kind: MessageKind, payload: Bytes) -> Bytes {
        let (sender, receiver, topic) = (self.id, peer, INTERNAL_TOPIC);
        let envelope = Envelope {
            sender,
            receiver,
            kind,
            ttl: TTL,
            topic,
            payload,
        };
        envelope.to_frame()
    }

    fn peering(&self, id: LinkId) -> Option<&Peering> {
        self.links.get(&id).and_then(|link| link.peering())
    }

    fn peering_mut(&mut self, id: LinkId) -> Option<&mut Peering> {
        self.links.get_mut(&id).and_then(|link| link.peering_mut())
    }

    fn count(&mut self, id: LinkId, add: impl FnOnce(&mut PeerCounters)) {
        if let Some(peering) = self.peering_mut(id) {
            add(&mut peering.counters);
        }
    }
}
