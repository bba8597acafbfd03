//! The messages of phases 1 and 2 (WIRE §4.1).

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    DecodeError, DecodeErrorKind, Limits, Parsed, Trailing, byte_string, endpoint_id, fail, filter,
    octets, parse_all, put_filter, put_string, tag,
};
use crate::topic::Filter;
use crate::{ByteString, EndpointId};

/// "ZEEK".
const MAGIC: [u8; 4] = *b"ZEEK";

/// The one version of the protocol there is.
pub const VERSION: u8 = 1;

/// One handshake message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HandshakeMsg {
    /// Who I am and what I speak.
    Hello {
        /// The sender's id.
        sender: EndpointId,
        /// The lowest version offered.
        min_version: u8,
        /// The highest version offered.
        max_version: u8,
    },
    /// Nothing; only tests the socket.
    Probe,
    /// The originator's choice.
    VersionSelect {
        /// The sender's id.
        sender: EndpointId,
        /// The version chosen.
        version: u8,
    },
    /// The sender ends the handshake.
    DropConn(DropConn),
    /// The originator's filter.
    OriginatorSyn(Filter),
    /// The responder's filter.
    ResponderSynAck(Filter),
    /// The originator has the responder's filter.
    OriginatorAck,
}

/// Why the sender does not want this connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DropConn {
    /// The sender's id.
    pub sender: EndpointId,
    /// One of Broker's error codes (WIRE §4.5).
    pub code: u8,
    /// Text for people.
    pub description: ByteString,
}

impl HandshakeMsg {
    /// The message's name as in WIRE §4.1.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Probe => "probe",
            Self::VersionSelect { .. } => "version_select",
            Self::DropConn(_) => "drop_conn",
            Self::OriginatorSyn(_) => "originator_syn",
            Self::ResponderSynAck(_) => "responder_syn_ack",
            Self::OriginatorAck => "originator_ack",
        }
    }

    /// The payload of the message's frame.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.put(&mut out);
        out.freeze()
    }

    pub(crate) fn put(&self, out: &mut BytesMut) {
        let tagged = |tag: u8, out: &mut BytesMut| {
            out.put_u8(tag);
            out.put_slice(&MAGIC);
        };
        match self {
            Self::Hello {
                sender,
                min_version,
                max_version,
            } => {
                tagged(6, out);
                out.put_slice(sender.as_bytes());
                out.put_slice(&[*min_version, *max_version]);
            }
            Self::Probe => tagged(7, out),
            Self::VersionSelect { sender, version } => {
                tagged(8, out);
                out.put_slice(sender.as_bytes());
                out.put_u8(*version);
            }
            Self::DropConn(drop) => {
                tagged(9, out);
                out.put_slice(drop.sender.as_bytes());
                out.put_u8(drop.code);
                put_string(drop.description.as_bytes(), out);
            }
            Self::OriginatorSyn(filter) => {
                out.put_u8(10);
                put_filter(filter, out);
            }
            Self::ResponderSynAck(filter) => {
                out.put_u8(11);
                put_filter(filter, out);
            }
            Self::OriginatorAck => out.put_u8(12),
        }
    }

    /// Reads the payload of a frame. Bytes after the last field are ignored, as in stock.
    ///
    /// # Errors
    /// If the tag is not one of a handshake message, a field is missing, the magic number is wrong,
    /// version 1 is not offered or selected, or the filter is beyond the limits.
    pub fn decode(payload: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        parse_all(payload, Trailing::Ignore, |input| message(input, limits))
    }
}

fn message<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, HandshakeMsg> {
    let (rest, kind) = tag(input)?;
    match kind {
        6 => hello(rest),
        7 => magic(rest).map(|(rest, ())| (rest, HandshakeMsg::Probe)),
        8 => version_select(rest),
        9 => drop_conn(rest),
        10 => filter(rest, limits).map(|(rest, f)| (rest, HandshakeMsg::OriginatorSyn(f))),
        11 => filter(rest, limits).map(|(rest, f)| (rest, HandshakeMsg::ResponderSynAck(f))),
        12 => Ok((rest, HandshakeMsg::OriginatorAck)),
        tag => fail(
            input,
            DecodeErrorKind::UnknownTag {
                what: "handshake message",
                tag,
            },
        ),
    }
}

fn magic(input: &[u8]) -> Parsed<'_, ()> {
    let (rest, magic) = octets(input)?;
    if magic == MAGIC {
        Ok((rest, ()))
    } else {
        fail(input, DecodeErrorKind::WrongMagic)
    }
}

fn hello(input: &[u8]) -> Parsed<'_, HandshakeMsg> {
    let (rest, ()) = magic(input)?;
    let (rest, sender) = endpoint_id(rest)?;
    let (rest, min_version) = tag(rest)?;
    let (rest, max_version) = tag(rest)?;
    if !(min_version..=max_version).contains(&VERSION) {
        let kind = DecodeErrorKind::Version {
            min: min_version,
            max: max_version,
        };
        return fail(input, kind);
    }
    Ok((
        rest,
        HandshakeMsg::Hello {
            sender,
            min_version,
            max_version,
        },
    ))
}

fn version_select(input: &[u8]) -> Parsed<'_, HandshakeMsg> {
    let (rest, ()) = magic(input)?;
    let (rest, sender) = endpoint_id(rest)?;
    let (rest, version) = tag(rest)?;
    if version != VERSION {
        return fail(
            input,
            DecodeErrorKind::Version {
                min: version,
                max: version,
            },
        );
    }
    Ok((rest, HandshakeMsg::VersionSelect { sender, version }))
}

fn drop_conn(input: &[u8]) -> Parsed<'_, HandshakeMsg> {
    let (rest, ()) = magic(input)?;
    let (rest, sender) = endpoint_id(rest)?;
    let (rest, code) = tag(rest)?;
    let (rest, description) = byte_string(rest)?;
    Ok((
        rest,
        HandshakeMsg::DropConn(DropConn {
            sender,
            code,
            description,
        }),
    ))
}
