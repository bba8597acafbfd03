//! The messages of phase 3: a 37-byte header, a topic, and a payload (WIRE §5).

use bytes::{BufMut, Bytes, BytesMut};
use nom::bytes::complete::take;

use super::frame::put_frame;
use super::{
    DecodeError, DecodeErrorKind, Parsed, Trailing, endpoint_id, fail, parse_all, tag, u16,
};
use crate::EndpointId;
use crate::topic::Topic;

/// Everything before the topic, in bytes.
const HEADER_LEN: usize = 37;

/// What stock writes as time to live; nobody counts it down (WIRE §5.4).
pub const TTL: u16 = 16;

/// What an envelope carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageKind {
    /// One value.
    Data,
    /// A store command (WIRE §9).
    Command,
    /// The sender's complete filter.
    RoutingUpdate,
    /// Opaque bytes to send back.
    Ping,
    /// The bytes of a ping.
    Pong,
}

impl MessageKind {
    const ALL: [Self; 5] = [
        Self::Data,
        Self::Command,
        Self::RoutingUpdate,
        Self::Ping,
        Self::Pong,
    ];

    fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Command => 2,
            Self::RoutingUpdate => 3,
            Self::Ping => 4,
            Self::Pong => 5,
        }
    }
}

/// One message of an established peering. The payload stays encoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// The last hop, which is the peer itself (WIRE §5.3).
    pub sender: EndpointId,
    /// [`EndpointId::NIL`] for everybody who subscribed.
    pub receiver: EndpointId,
    /// What the payload is.
    pub kind: MessageKind,
    /// Written as [`TTL`], ignored on reading.
    pub ttl: u16,
    /// The topic.
    pub topic: Topic,
    /// By kind.
    pub payload: Bytes,
}

impl Envelope {
    /// The envelope as a complete frame.
    pub fn to_frame(&self) -> Bytes {
        put_frame(self.len(), |out| self.put(out))
    }

    /// The payload of the envelope's frame.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.len());
        self.put(&mut out);
        out.freeze()
    }

    fn len(&self) -> usize {
        HEADER_LEN + self.topic.as_bytes().len() + self.payload.len()
    }

    fn put(&self, out: &mut BytesMut) {
        let topic = self.topic.as_bytes();
        put_header(self.sender, self.receiver, self.kind, self.ttl, topic, out);
        out.put_slice(&self.payload);
    }

    /// Reads the payload of a frame; the envelope's own payload is not looked at.
    ///
    /// # Errors
    /// If there are fewer than 37 bytes, the kind is unknown, or the topic is longer than the rest.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        parse_all(frame, Trailing::Reject, |input| {
            let (rest, (sender, receiver, kind, ttl, topic)) = header(input)?;
            let topic = Topic::from_envelope(frame.slice_ref(topic));
            let payload = frame.slice_ref(rest);
            Ok((
                &[],
                Self {
                    sender,
                    receiver,
                    kind,
                    ttl,
                    topic,
                    payload,
                },
            ))
        })
    }
}

/// The frame of a data envelope for everybody who subscribed to the topic, as the endpoint `sender`
/// publishes it.
pub fn data_frame(sender: EndpointId, topic: &Topic, payload: &[u8]) -> Bytes {
    let topic = topic.as_bytes();
    put_frame(HEADER_LEN + topic.len() + payload.len(), |out| {
        put_header(sender, EndpointId::NIL, MessageKind::Data, TTL, topic, out);
        out.put_slice(payload);
    })
}

/// The same up to the payload, which has so many bytes and follows in parts of its own.
pub(crate) fn data_frame_start(sender: EndpointId, topic: &Topic, payload: usize) -> Bytes {
    let len = data_frame_len(topic, payload);
    let topic = topic.as_bytes();
    let mut out = BytesMut::with_capacity(4 + HEADER_LEN + topic.len());
    out.put_u32(u32::try_from(len).expect("payloads are far below 4 GiB"));
    put_header(
        sender,
        EndpointId::NIL,
        MessageKind::Data,
        TTL,
        topic,
        &mut out,
    );
    out.freeze()
}

/// The length that such a frame announces, in bytes; it is what limits are compared with.
pub(crate) fn data_frame_len(topic: &Topic, payload: usize) -> usize {
    HEADER_LEN + topic.as_bytes().len() + payload
}

fn put_header(
    sender: EndpointId,
    receiver: EndpointId,
    kind: MessageKind,
    ttl: u16,
    topic: &[u8],
    out: &mut BytesMut,
) {
    out.put_slice(sender.as_bytes());
    out.put_slice(receiver.as_bytes());
    out.put_u8(kind.code());
    out.put_u16(ttl);
    out.put_u16(u16::try_from(topic.len()).expect("a Topic is never longer"));
    out.put_slice(topic);
}

type Header<'a> = (EndpointId, EndpointId, MessageKind, u16, &'a [u8]);

fn header(input: &[u8]) -> Parsed<'_, Header<'_>> {
    let (rest, sender) = endpoint_id(input)?;
    let (at_kind, receiver) = endpoint_id(rest)?;
    let (rest, code) = tag(at_kind)?;
    let Some(kind) = MessageKind::ALL
        .into_iter()
        .find(|kind| kind.code() == code)
    else {
        return fail(
            at_kind,
            DecodeErrorKind::UnknownTag {
                what: "envelope type",
                tag: code,
            },
        );
    };
    let (rest, ttl) = u16(rest)?;
    let (rest, len) = u16(rest)?;
    let (rest, topic) = take(len)(rest)?;
    Ok((rest, (sender, receiver, kind, ttl, topic)))
}
