//! Bytes ⇄ frames, handshake messages, envelopes and values.
//!
//! Decoders take complete input and never read past it: announced lengths and counts are compared
//! with what is left before anything is allocated, nesting and element counts are bounded by
//! [`Limits`], and every error tells the byte it was found at.

pub mod command;
pub mod data;
pub mod envelope;
pub mod frame;
pub mod handshake;
pub mod varbyte;
pub mod view;

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use nom::bytes::complete::take;
use nom::error::ErrorKind;
use nom::number::complete::{be_u8, be_u16};

use crate::topic::{Filter, Topic};
use crate::{ByteString, EndpointId};

/// What a peer may make us hold and walk (WIRE §11).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Largest frame of an established peering, in bytes.
    pub frame: usize,
    /// Largest frame of a handshake, in bytes; big filters need room.
    pub handshake_frame: usize,
    /// Deepest nesting of a value.
    pub depth: usize,
    /// Most elements of a value, all containers together.
    pub elements: usize,
    /// Most topics of a filter.
    pub filter_topics: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: 64 << 20,
            handshake_frame: 1 << 20,
            depth: 100,
            elements: 1 << 20,
            filter_topics: 16 << 10,
        }
    }
}

/// Why a frame's payload is not what it claims to be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct DecodeError {
    /// Distance from the first payload byte, in bytes.
    pub offset: usize,
    /// What was wrong there.
    pub kind: DecodeErrorKind,
}

/// What a decoder can find wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The input ends inside a field.
    #[error("input ends early")]
    Truncated,
    /// The input goes on after the last field.
    #[error("{0} bytes left over")]
    Trailing(usize),
    /// A tag byte that is not defined.
    #[error("unknown {what} {tag}")]
    UnknownTag {
        /// What the tag selects.
        what: &'static str,
        /// The byte.
        tag: u8,
    },
    /// A varbyte of more than five bytes, or above 2^32 - 1.
    #[error("size does not fit 32 bits")]
    SizeOverflow,
    /// A length or count that the rest of the input cannot hold.
    #[error("announced size {announced} exceeds the {left} bytes left")]
    SizeExceedsInput {
        /// As announced.
        announced: usize,
        /// What is left.
        left: usize,
    },
    /// A subnet with an impossible prefix length.
    #[error("prefix length {0} is out of range")]
    SubnetLength(u8),
    /// A set with equal elements, or a table with equal keys.
    #[error("duplicate element")]
    Duplicate,
    /// More nesting than [`Limits::depth`].
    #[error("nested too deeply")]
    TooDeep,
    /// More elements than [`Limits::elements`] or topics than [`Limits::filter_topics`].
    #[error("too many elements")]
    TooMany,
    /// Not Broker's magic number.
    #[error("wrong magic number")]
    WrongMagic,
    /// A handshake message that leaves out protocol version 1.
    #[error("protocol version 1 is not among {min} to {max}")]
    Version {
        /// The lowest version offered.
        min: u8,
        /// The highest version offered, or the one selected.
        max: u8,
    },
}

/// What the pure parsers fail with: how much was left when it happened, and what.
#[derive(Debug)]
pub(crate) struct ParseError {
    left: usize,
    kind: DecodeErrorKind,
}

impl<'a> nom::error::ParseError<&'a [u8]> for ParseError {
    fn from_error_kind(input: &'a [u8], _: ErrorKind) -> Self {
        Self {
            left: input.len(),
            kind: DecodeErrorKind::Truncated,
        }
    }

    fn append(_: &'a [u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

pub(crate) type Parsed<'a, T> = nom::IResult<&'a [u8], T, ParseError>;

/// Fails at the start of `input`.
pub(crate) fn fail<T>(input: &[u8], kind: DecodeErrorKind) -> Parsed<'_, T> {
    Err(nom::Err::Failure(ParseError {
        left: input.len(),
        kind,
    }))
}

/// What follows the last field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trailing {
    /// Nothing may.
    Reject,
    /// Anything may; stock ignores it.
    Ignore,
}

/// Runs a parser over a whole payload.
pub(crate) fn parse_all<'a, T>(
    payload: &'a [u8],
    trailing: Trailing,
    parser: impl FnOnce(&'a [u8]) -> Parsed<'a, T>,
) -> Result<T, DecodeError> {
    let offset = |left: usize| payload.len().saturating_sub(left);
    match parser(payload) {
        Ok((rest, _)) if !rest.is_empty() && trailing == Trailing::Reject => {
            let kind = DecodeErrorKind::Trailing(rest.len());
            Err(DecodeError {
                offset: offset(rest.len()),
                kind,
            })
        }
        Ok((_, value)) => Ok(value),
        Err(nom::Err::Error(e) | nom::Err::Failure(e)) => Err(DecodeError {
            offset: offset(e.left),
            kind: e.kind,
        }),
        Err(nom::Err::Incomplete(_)) => Err(DecodeError {
            offset: payload.len(),
            kind: DecodeErrorKind::Truncated,
        }),
    }
}

pub(crate) fn endpoint_id(input: &[u8]) -> Parsed<'_, EndpointId> {
    let (rest, bytes) = octets(input)?;
    Ok((rest, EndpointId::from_bytes(bytes)))
}

pub(crate) fn octets<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    match input.split_first_chunk() {
        Some((bytes, rest)) => Ok((rest, *bytes)),
        None => fail(input, DecodeErrorKind::Truncated),
    }
}

/// A varbyte length and that many bytes.
pub(crate) fn string(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, len) = varbyte::parse(input)?;
    if len > rest.len() {
        let kind = DecodeErrorKind::SizeExceedsInput {
            announced: len,
            left: rest.len(),
        };
        return fail(input, kind);
    }
    take(len)(rest)
}

pub(crate) fn put_string(bytes: &[u8], out: &mut impl BufMut) {
    varbyte::put(bytes.len(), out);
    out.put_slice(bytes);
}

/// A count whose elements need at least `min_size` bytes each.
pub(crate) fn count(input: &[u8], min_size: usize) -> Parsed<'_, usize> {
    let (rest, count) = varbyte::parse(input)?;
    if count > rest.len() / min_size {
        let kind = DecodeErrorKind::SizeExceedsInput {
            announced: count,
            left: rest.len(),
        };
        return fail(input, kind);
    }
    Ok((rest, count))
}

/// A peer's filter: a count and that many topics (WIRE §4.1, §6.1).
pub(crate) fn filter<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, Filter> {
    let (mut rest, count) = count(input, 1)?;
    if count > limits.filter_topics {
        return fail(input, DecodeErrorKind::TooMany);
    }
    let mut topics = Vec::with_capacity(count);
    for _ in 0..count {
        let (after, bytes) = string(rest)?;
        let Ok(topic) = Topic::new(bytes) else {
            return fail(rest, DecodeErrorKind::TooMany);
        };
        topics.push(topic);
        rest = after;
    }
    Ok((rest, Filter::from_wire(topics)))
}

pub(crate) fn put_filter(filter: &Filter, out: &mut BytesMut) {
    varbyte::put(filter.topics().len(), out);
    for topic in filter.topics() {
        put_string(topic.as_bytes(), out);
    }
}

/// Reads the payload of a routing update: a complete filter (WIRE §6.1).
///
/// # Errors
/// If the payload is not exactly one filter within the limits.
pub fn decode_filter(payload: &[u8], limits: &Limits) -> Result<Filter, DecodeError> {
    parse_all(payload, Trailing::Reject, |input| filter(input, limits))
}

/// Writes the payload of a routing update.
pub fn encode_filter(filter: &Filter) -> Bytes {
    let mut out = BytesMut::new();
    put_filter(filter, &mut out);
    out.freeze()
}

pub(crate) fn tag(input: &[u8]) -> Parsed<'_, u8> {
    be_u8(input)
}

pub(crate) fn u16(input: &[u8]) -> Parsed<'_, u16> {
    be_u16(input)
}

pub(crate) fn byte_string(input: &[u8]) -> Parsed<'_, ByteString> {
    let (rest, bytes) = string(input)?;
    Ok((rest, ByteString::from(bytes)))
}

/// At most the first 32 bytes as hex, for logs.
pub(crate) struct Excerpt<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(32) {
            write!(f, "{byte:02x}")?;
        }
        if self.0.len() > 32 {
            write!(f, "… ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_in_a_filter_may_be_as_long_as_a_topic_of_a_message() {
        // The length of a message's topic has 16 bits (WIRE §5.1), here it is a varbyte (WIRE §3.2).
        let filter = |length: [u8; 3], len| [&[1][..], &length, &vec![b'x'; len]].concat();
        let limits = Limits::default();
        let longest = filter([0xff, 0xff, 0x03], 65_535);
        let topics = decode_filter(&longest, &limits).map(|it| it.topics().len());
        assert_eq!(topics, Ok(1));
        let error = decode_filter(&filter([0x80, 0x80, 0x04], 65_536), &limits).unwrap_err();
        assert_eq!((error.offset, error.kind), (1, DecodeErrorKind::TooMany));
    }

    #[test]
    fn logs_show_the_beginning_of_a_frame_and_how_long_it_is() {
        assert_eq!(Excerpt(&[0, 0xab]).to_string(), "00ab");
        assert_eq!(Excerpt(&[1; 32]).to_string(), "01".repeat(32));
        let long = format!("{}… (33 bytes)", "01".repeat(32));
        assert_eq!(Excerpt(&[1; 33]).to_string(), long);
    }
}
