//! Store commands (WIRE §9). An endpoint without stores passes them on unread; tools decode them.

use bytes::{BufMut, Bytes, BytesMut};
use nom::number::complete::{be_i64, be_u64};

use super::data::{put, value};
use super::{
    DecodeError, DecodeErrorKind, Limits, Parsed, Trailing, count, endpoint_id, fail, parse_all,
    tag, u16, varbyte,
};
use crate::EndpointId;
use crate::data::Data;

/// One object inside an endpoint; all zero is nobody.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EntityId {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The object's number there.
    pub object: u64,
}

/// A message between the master and the clones of one store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    /// Ascending per channel for actions, 0 for control messages.
    pub seq: u64,
    /// Who sends.
    pub sender: EntityId,
    /// Who shall receive; nil for everybody.
    pub receiver: EntityId,
    /// What to do.
    pub content: CommandContent,
}

/// The kinds of command. Expiries are in nanoseconds, heartbeat intervals in ticks of 100 ms.
#[allow(missing_docs, reason = "the fields are those of WIRE §9")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CommandContent {
    /// Set a value.
    Put {
        key: Data,
        value: Data,
        expiry: Option<i64>,
        publisher: EntityId,
    },
    /// Set a value if there is none.
    PutUnique {
        key: Data,
        value: Data,
        expiry: Option<i64>,
        who: EntityId,
        request: u64,
        publisher: EntityId,
    },
    /// Tells whether it was set.
    PutUniqueResult {
        inserted: bool,
        who: EntityId,
        request: u64,
        publisher: EntityId,
    },
    /// Remove a key.
    Erase { key: Data, publisher: EntityId },
    /// A key's time is over.
    Expire { key: Data, publisher: EntityId },
    /// Add to a value, starting from an empty one of that type.
    Add {
        key: Data,
        value: Data,
        init_tag: u8,
        expiry: Option<i64>,
        publisher: EntityId,
    },
    /// Subtract from a value.
    Subtract {
        key: Data,
        value: Data,
        expiry: Option<i64>,
        publisher: EntityId,
    },
    /// Remove everything.
    Clear { publisher: EntityId },
    /// A writer joins.
    AttachWriter { offset: u64, heartbeat: u16 },
    /// Still there.
    Keepalive { seq: u64 },
    /// Everything up to here arrived.
    CumulativeAck { seq: u64 },
    /// These are missing.
    Nack { seqs: Vec<u64> },
    /// The whole table for a clone that joins.
    AckClone {
        offset: u64,
        heartbeat: u16,
        state: Vec<(Data, Data)>,
    },
    /// This one cannot be had any more.
    RetransmitFailed { seq: u64 },
}

impl Command {
    /// The payload of a command envelope.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u64(self.seq);
        put_entity(self.sender, &mut out);
        put_entity(self.receiver, &mut out);
        self.content.put(&mut out);
        out.freeze()
    }

    /// Reads the payload of a command envelope. Bytes after the command are ignored, as in stock.
    ///
    /// # Errors
    /// If a field is missing, the kind is unknown, or a value is beyond the limits.
    pub fn decode(payload: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        parse_all(payload, Trailing::Ignore, |input| {
            let (rest, seq) = be_u64(input)?;
            let (rest, sender) = entity(rest)?;
            let (rest, receiver) = entity(rest)?;
            let (rest, content) = content(rest, limits)?;
            Ok((
                rest,
                Self {
                    seq,
                    sender,
                    receiver,
                    content,
                },
            ))
        })
    }
}

impl CommandContent {
    fn code(&self) -> u8 {
        match self {
            Self::Put { .. } => 0,
            Self::PutUnique { .. } => 1,
            Self::PutUniqueResult { .. } => 2,
            Self::Erase { .. } => 3,
            Self::Expire { .. } => 4,
            Self::Add { .. } => 5,
            Self::Subtract { .. } => 6,
            Self::Clear { .. } => 7,
            Self::AttachWriter { .. } => 8,
            Self::Keepalive { .. } => 9,
            Self::CumulativeAck { .. } => 10,
            Self::Nack { .. } => 11,
            Self::AckClone { .. } => 12,
            Self::RetransmitFailed { .. } => 13,
        }
    }

    fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.code());
        match self {
            Self::Put {
                key,
                value,
                expiry,
                publisher,
            }
            | Self::Subtract {
                key,
                value,
                expiry,
                publisher,
            } => {
                put(key, out);
                put(value, out);
                put_expiry(*expiry, out);
                put_entity(*publisher, out);
            }
            Self::PutUnique {
                key,
                value,
                expiry,
                who,
                request,
                publisher,
            } => {
                put(key, out);
                put(value, out);
                put_expiry(*expiry, out);
                put_unique_tail(*who, *request, *publisher, out);
            }
            Self::PutUniqueResult {
                inserted,
                who,
                request,
                publisher,
            } => {
                out.put_u8(u8::from(*inserted));
                put_unique_tail(*who, *request, *publisher, out);
            }
            Self::Erase { key, publisher } | Self::Expire { key, publisher } => {
                put(key, out);
                put_entity(*publisher, out);
            }
            Self::Add {
                key,
                value,
                init_tag,
                expiry,
                publisher,
            } => {
                put(key, out);
                put(value, out);
                out.put_u8(*init_tag);
                put_expiry(*expiry, out);
                put_entity(*publisher, out);
            }
            Self::Clear { publisher } => put_entity(*publisher, out),
            Self::AttachWriter { offset, heartbeat } => {
                out.put_u64(*offset);
                out.put_u16(*heartbeat);
            }
            Self::Keepalive { seq }
            | Self::CumulativeAck { seq }
            | Self::RetransmitFailed { seq } => out.put_u64(*seq),
            Self::Nack { seqs } => {
                varbyte::put(seqs.len(), out);
                seqs.iter().for_each(|seq| out.put_u64(*seq));
            }
            Self::AckClone {
                offset,
                heartbeat,
                state,
            } => {
                out.put_u64(*offset);
                out.put_u16(*heartbeat);
                put_state(state, out);
            }
        }
    }
}

fn put_entity(id: EntityId, out: &mut BytesMut) {
    out.put_slice(id.endpoint.as_bytes());
    out.put_u64(id.object);
}

fn put_state(state: &[(Data, Data)], out: &mut BytesMut) {
    varbyte::put(state.len(), out);
    for (key, value) in state {
        put(key, out);
        put(value, out);
    }
}

fn put_unique_tail(who: EntityId, request: u64, publisher: EntityId, out: &mut BytesMut) {
    put_entity(who, out);
    out.put_u64(request);
    put_entity(publisher, out);
}

fn put_expiry(expiry: Option<i64>, out: &mut BytesMut) {
    out.put_u8(u8::from(expiry.is_some()));
    if let Some(ns) = expiry {
        out.put_i64(ns);
    }
}

fn entity(input: &[u8]) -> Parsed<'_, EntityId> {
    let (rest, endpoint) = endpoint_id(input)?;
    let (rest, object) = be_u64(rest)?;
    Ok((rest, EntityId { endpoint, object }))
}

fn expiry(input: &[u8]) -> Parsed<'_, Option<i64>> {
    let (rest, flag) = tag(input)?;
    if flag == 0 {
        return Ok((rest, None));
    }
    be_i64(rest).map(|(rest, ns)| (rest, Some(ns)))
}

fn content<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, CommandContent> {
    use CommandContent as C;
    let (rest, kind) = tag(input)?;
    match kind {
        0 => write(rest, limits).map(|(rest, (key, value, expiry, publisher))| {
            (
                rest,
                C::Put {
                    key,
                    value,
                    expiry,
                    publisher,
                },
            )
        }),
        1 => put_unique(rest, limits),
        2 => put_unique_result(rest),
        3 => keyed(rest, limits).map(|(r, (key, publisher))| (r, C::Erase { key, publisher })),
        4 => keyed(rest, limits).map(|(r, (key, publisher))| (r, C::Expire { key, publisher })),
        5 => add(rest, limits),
        6 => write(rest, limits).map(|(rest, (key, value, expiry, publisher))| {
            (
                rest,
                C::Subtract {
                    key,
                    value,
                    expiry,
                    publisher,
                },
            )
        }),
        7 => entity(rest).map(|(rest, publisher)| (rest, C::Clear { publisher })),
        8 => {
            offset(rest).map(|(r, (offset, heartbeat))| (r, C::AttachWriter { offset, heartbeat }))
        }
        9 => be_u64(rest).map(|(rest, seq)| (rest, C::Keepalive { seq })),
        10 => be_u64(rest).map(|(rest, seq)| (rest, C::CumulativeAck { seq })),
        11 => nack(rest),
        12 => ack_clone(rest, limits),
        13 => be_u64(rest).map(|(rest, seq)| (rest, C::RetransmitFailed { seq })),
        tag => fail(
            input,
            DecodeErrorKind::UnknownTag {
                what: "store command",
                tag,
            },
        ),
    }
}

fn write<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, (Data, Data, Option<i64>, EntityId)> {
    let (rest, key) = value(input, limits)?;
    let (rest, data) = value(rest, limits)?;
    let (rest, expiry) = expiry(rest)?;
    let (rest, publisher) = entity(rest)?;
    Ok((rest, (key, data, expiry, publisher)))
}

fn keyed<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, (Data, EntityId)> {
    let (rest, key) = value(input, limits)?;
    let (rest, publisher) = entity(rest)?;
    Ok((rest, (key, publisher)))
}

fn put_unique<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, CommandContent> {
    let (rest, key) = value(input, limits)?;
    let (rest, data) = value(rest, limits)?;
    let (rest, expiry) = expiry(rest)?;
    let (rest, who) = entity(rest)?;
    let (rest, request) = be_u64(rest)?;
    let (rest, publisher) = entity(rest)?;
    let content = CommandContent::PutUnique {
        key,
        value: data,
        expiry,
        who,
        request,
        publisher,
    };
    Ok((rest, content))
}

fn put_unique_result(input: &[u8]) -> Parsed<'_, CommandContent> {
    let (rest, inserted) = tag(input)?;
    let (rest, who) = entity(rest)?;
    let (rest, request) = be_u64(rest)?;
    let (rest, publisher) = entity(rest)?;
    let inserted = inserted != 0;
    Ok((
        rest,
        CommandContent::PutUniqueResult {
            inserted,
            who,
            request,
            publisher,
        },
    ))
}

fn add<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, CommandContent> {
    let (rest, key) = value(input, limits)?;
    let (rest, data) = value(rest, limits)?;
    let (rest, init_tag) = tag(rest)?;
    let (rest, expiry) = expiry(rest)?;
    let (rest, publisher) = entity(rest)?;
    Ok((
        rest,
        CommandContent::Add {
            key,
            value: data,
            init_tag,
            expiry,
            publisher,
        },
    ))
}

fn offset(input: &[u8]) -> Parsed<'_, (u64, u16)> {
    let (rest, offset) = be_u64(input)?;
    let (rest, heartbeat) = u16(rest)?;
    Ok((rest, (offset, heartbeat)))
}

fn nack(input: &[u8]) -> Parsed<'_, CommandContent> {
    let (mut rest, count) = count(input, 8)?;
    let mut seqs = Vec::with_capacity(count);
    for _ in 0..count {
        let (after, seq) = be_u64(rest)?;
        seqs.push(seq);
        rest = after;
    }
    Ok((rest, CommandContent::Nack { seqs }))
}

fn ack_clone<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, CommandContent> {
    let (rest, (offset, heartbeat)) = offset(input)?;
    let (mut rest, count) = count(rest, 2)?;
    if count > limits.elements {
        return fail(rest, DecodeErrorKind::TooMany);
    }
    let mut state = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let (after, key) = value(rest, limits)?;
        let (after, data) = value(after, limits)?;
        state.push((key, data));
        rest = after;
    }
    Ok((
        rest,
        CommandContent::AckClone {
            offset,
            heartbeat,
            state,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_no_more_entries_than_a_value_may_have_elements() {
        // WIRE §9: number, sender, receiver, kind 12, offset, heartbeat, entries of two nones.
        let snapshot = |count: u8| {
            let entries = vec![0; 2 * usize::from(count)];
            [&[0; 56][..], &[12], &[0; 10], &[count], &entries].concat()
        };
        let limits = Limits {
            elements: 3,
            ..Limits::default()
        };
        let read = |count| Command::decode(&snapshot(count), &limits);
        assert!(read(3).is_ok(), "{:?}", read(3));
        assert_eq!(read(4).unwrap_err().kind, DecodeErrorKind::TooMany);
    }
}
