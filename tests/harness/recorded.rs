//! Recorded frames, decoded: the handshake of a connection and the events that crossed it.

use std::time::Duration;

use broker_proto::codec::envelope::{Envelope, MessageKind};
use broker_proto::codec::handshake::HandshakeMsg;
use broker_proto::codec::{Limits, data};
use broker_proto::zeek::Event;
use broker_proto::{Data, EndpointId, Topic};
use bytes::Bytes;

use crate::transcript::{Connection, Side};

/// One frame of a peering.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// Phases 1 and 2.
    Handshake(HandshakeMsg),
    /// Phase 3.
    Envelope(Envelope),
}

/// An event as it was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SentEvent {
    /// Since the first connection of the run was opened.
    pub at: Duration,
    /// Who sent it.
    pub from: Side,
    /// Where to.
    pub topic: Topic,
    /// What.
    pub event: Event,
}

/// What one side sent, in order, with times and bytes.
///
/// # Panics
/// If a frame cannot be decoded.
pub fn frames(connection: &Connection, from: Side) -> Vec<(Duration, Bytes, Frame)> {
    let mut in_handshake = true;
    let mut decoded = Vec::new();
    for (at, bytes) in connection.frames(from) {
        let frame = if in_handshake {
            let msg = HandshakeMsg::decode(bytes, &Limits::default());
            let msg = msg.unwrap_or_else(|error| panic!("{}: {error}", connection.name));
            in_handshake = !is_last(&msg);
            Frame::Handshake(msg)
        } else {
            let envelope = Envelope::decode(bytes);
            Frame::Envelope(envelope.unwrap_or_else(|error| panic!("{}: {error}", connection.name)))
        };
        decoded.push((at, bytes.clone(), frame));
    }
    decoded
}

/// The events that one side sent, in order; logs and store commands are left out.
pub fn events(connection: &Connection, from: Side) -> Vec<SentEvent> {
    let frames = frames(connection, from).into_iter();
    let sent = frames.filter_map(|(at, _, frame)| {
        let (topic, event) = event(frame)?;
        Some(SentEvent {
            at,
            from,
            topic,
            event,
        })
    });
    sent.collect()
}

/// The events of both sides, by time.
pub fn conversation(connection: &Connection) -> Vec<SentEvent> {
    let mut all = events(connection, Side::Client);
    all.extend(events(connection, Side::Server));
    all.sort_by_key(|sent| sent.at);
    all
}

/// The endpoint id of one side, from its handshake.
pub fn endpoint(connection: &Connection, side: Side) -> Option<EndpointId> {
    let mut frames = frames(connection, side).into_iter();
    frames.find_map(|(_, _, frame)| match frame {
        Frame::Handshake(
            HandshakeMsg::Hello { sender, .. } | HandshakeMsg::VersionSelect { sender, .. },
        ) => Some(sender),
        Frame::Handshake(
            HandshakeMsg::Probe
            | HandshakeMsg::DropConn(_)
            | HandshakeMsg::OriginatorSyn(_)
            | HandshakeMsg::ResponderSynAck(_)
            | HandshakeMsg::OriginatorAck,
        )
        | Frame::Envelope(_) => None,
    })
}

/// The event in a frame, if there is one.
pub fn event(frame: Frame) -> Option<(Topic, Event)> {
    let Frame::Envelope(envelope) = frame else {
        return None;
    };
    let value = value(&envelope)?;
    Some((envelope.topic, Event::from_data(value).ok()?))
}

/// The value in a data envelope.
pub fn value(envelope: &Envelope) -> Option<Data> {
    let is_data = envelope.kind == MessageKind::Data;
    is_data.then(|| data::decode(&envelope.payload, &Limits::default()).ok())?
}

/// After these a side sends envelopes (WIRE §4.2).
pub fn is_last(msg: &HandshakeMsg) -> bool {
    matches!(
        msg,
        HandshakeMsg::OriginatorAck | HandshakeMsg::ResponderSynAck(_)
    )
}
