//! Phase 3: what peers send, and who gets what is published (WIRE §5, §6).

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use tracing::{trace, warn};

use super::link::{Bye, LinkState};
use super::retry::Ended;
use super::{Endpoint, LinkId, Output};
use crate::EndpointId;
use crate::codec::envelope::{Envelope, MessageKind, TTL};
use crate::codec::{DecodeError, Excerpt, decode_filter, encode_filter};
use crate::topic::{INTERNAL_TOPIC, Topic};

/// How the payload of a goodbye starts (WIRE §6.6).
const BYE: &[u8] = b"BYE";

/// Why an envelope is dropped.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
enum EnvelopeError {
    #[error("undecodable envelope: {0}")]
    Undecodable(#[from] DecodeError),
    #[error("envelope claims to be from {0}")]
    ForeignSender(EndpointId),
    #[error("undecodable filter: {0}")]
    Filter(#[source] DecodeError),
    #[error("data on the local topic {0}")]
    LocalTopic(Topic),
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
        if link
            .peering_mut()
            .is_some_and(|peering| peering.strikes.strike(now))
        {
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
        if !envelope.receiver.is_nil() && envelope.receiver != self.id {
            trace!(%peer, receiver = %envelope.receiver, "message for somebody else");
            return Ok(());
        }
        match envelope.kind {
            MessageKind::Data => self.deliver(peer, envelope)?,
            MessageKind::RoutingUpdate => {
                let filter = decode_filter(&envelope.payload, &self.options.limits)
                    .map_err(EnvelopeError::Filter)?;
                if let Some(peering) = self.links.get_mut(&id).and_then(|l| l.peering_mut()) {
                    peering.filter = filter;
                }
            }
            MessageKind::Ping => {
                self.send_internal(id, peer, MessageKind::Pong, envelope.payload);
            }
            MessageKind::Pong => self.on_pong(now, id, &envelope.payload),
            MessageKind::Command => trace!(%peer, topic = %envelope.topic, "store command"),
        }
        Ok(())
    }

    fn deliver(&mut self, peer: EndpointId, envelope: Envelope) -> Result<(), EnvelopeError> {
        let Envelope { topic, payload, .. } = envelope;
        if topic.is_local() {
            return Err(EnvelopeError::LocalTopic(topic));
        }
        if self.filter.matches(&topic) {
            self.out.push_back(Output::Deliver {
                topic,
                payload,
                from: peer,
            });
        }
        Ok(())
    }

    fn on_pong(&mut self, now: Instant, id: LinkId, payload: &Bytes) {
        let Some(peering) = self.links.get(&id).and_then(|link| link.peering()) else {
            return;
        };
        if peering
            .leaving
            .as_ref()
            .is_some_and(|bye| bye.token == *payload)
        {
            self.end(now, id, "unpeered", Ended::Cut);
        }
    }

    /// Sends what is published to every peer that wants it (WIRE §6.3).
    pub(super) fn publish(&mut self, topic: Topic, payload: Bytes) {
        if topic.as_bytes().is_empty() || payload.is_empty() || topic.is_local() {
            warn!(%topic, "not published: peers may not get this");
            return;
        }
        let wants = |id: &LinkId| {
            let peering = self.links.get(id).and_then(|link| link.peering());
            peering.is_some_and(|peering| peering.filter.matches(&topic))
        };
        let links: Vec<LinkId> = self.links.keys().copied().filter(wants).collect();
        if links.is_empty() {
            return;
        }
        let (sender, receiver, kind) = (self.id, EndpointId::NIL, MessageKind::Data);
        let envelope = Envelope {
            sender,
            receiver,
            kind,
            ttl: TTL,
            topic,
            payload,
        };
        let frame = envelope.to_frame();
        if frame.len() > self.options.limits.frame {
            warn!(topic = %envelope.topic, bytes = frame.len(), "not published: too large");
            return;
        }
        links
            .into_iter()
            .for_each(|link| self.send_frame(link, frame.clone()));
    }

    /// Tells every peer the filter that has been told another one, or none (WIRE §6.1).
    pub(super) fn announce(&mut self) {
        let mut stale = Vec::new();
        for (id, link) in &mut self.links {
            if let LinkState::Peered(peering) = &mut link.state
                && peering.announced != self.filter
            {
                peering.announced = self.filter.clone();
                stale.push((*id, peering.peer));
            }
        }
        let payload = encode_filter(&self.filter);
        for (id, peer) in stale {
            self.send_internal(id, peer, MessageKind::RoutingUpdate, payload.clone());
        }
    }

    /// Starts to leave one peer (WIRE §6.6).
    pub(super) fn say_bye(&mut self, now: Instant, id: LinkId) {
        let mut token = BytesMut::from(BYE);
        token.put_u64_le(self.ids.next_u64());
        let token = token.freeze();
        let deadline = now + self.options.bye_timeout;
        let Some(peering) = self.links.get_mut(&id).and_then(|link| link.peering_mut()) else {
            return;
        };
        if peering.leaving.is_none() {
            let peer = peering.peer;
            peering.leaving = Some(Bye {
                token: token.clone(),
                deadline,
            });
            self.send_internal(id, peer, MessageKind::Ping, token);
        }
    }

    fn send_internal(&mut self, id: LinkId, peer: EndpointId, kind: MessageKind, payload: Bytes) {
        let (sender, receiver, topic) = (self.id, peer, INTERNAL_TOPIC);
        let envelope = Envelope {
            sender,
            receiver,
            kind,
            ttl: TTL,
            topic,
            payload,
        };
        self.send_frame(id, envelope.to_frame());
    }
}
