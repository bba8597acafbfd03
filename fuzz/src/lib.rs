//! What the parsers owe to any input at all, as one function per parser.
//!
//! A target takes bytes as they could come from a network, a child process or a file. It must not
//! panic; where the input is accepted, it also checks that writing and reading it again changes
//! nothing. [`TARGETS`] names them all. `replay.rs` runs them over committed inputs and over
//! mutations of the vectors in the ordinary test run; `run` has libFuzzer drive the same functions.

mod machines;
mod pair;
mod scripts;
mod system;
mod texts;

use broker_proto::Data;
use broker_proto::codec::command::Command;
use broker_proto::codec::envelope::{Envelope, MessageKind};
use broker_proto::codec::frame::{FrameDecoder, put_frame};
use broker_proto::codec::handshake::HandshakeMsg;
use broker_proto::codec::view::{Value, View};
use broker_proto::codec::{self, Limits};
use broker_proto::zeek::log::LogRecord;
use broker_proto::zeek::{Event, EventError, Message as ZeekMessage};
use bytes::{BufMut, Bytes};
use mgmt::api::agent::{AgentRequest, AgentResponse};
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use mgmt::api::node::{NodeRequest, NodeResponse};
use mgmt::controller::configs::Saved;
use mgmt::controller::configs::rows::Row;
use supervisor::api::{ExitEvent, Layout, NodeStatusEvent, SupervisorRequest, SupervisorResponse};
use supervisor::stem::{Decoder, Message, Report};
use zeek_client_compat::json::{decode, encode, parse};

pub use machines::{peering, session};
pub use pair::{intruder, peers};
pub use scripts::redef;
pub use system::system;
pub use texts::{log, plan};

/// One parser's obligations.
pub type Target = fn(&[u8]);

/// Every target by the name of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("frame", frame),
    ("handshake", handshake),
    ("data", data),
    ("envelope", envelope),
    ("event", event),
    ("zeek", zeek),
    ("json", json),
    ("peering", peering),
    ("peers", peers),
    ("intruder", intruder),
    ("session", session),
    ("stem", stem),
    ("redef", redef),
    ("state", state),
    ("plan", plan),
    ("log", log),
    ("system", system),
];

/// A byte stream cut into frames (WIRE §2). The first byte says how it is chopped up on arrival,
/// which must make no difference.
pub fn frame(input: &[u8]) {
    const LIMIT: usize = 1 << 16;
    let Some((&first, stream)) = input.split_first() else {
        return;
    };
    let whole = frames(stream, stream.len().max(1), LIMIT);
    let chopped = frames(stream, usize::from(first).max(1), LIMIT);
    assert_eq!(whole, chopped, "how the stream is cut changes the frames");
    let (frames, left) = whole;
    let mut again = Vec::new();
    for frame in &frames {
        again.extend_from_slice(&put_frame(frame.len(), |out| out.put_slice(frame)));
    }
    again.extend_from_slice(&left);
    assert_eq!(again, stream, "bytes were lost or invented");
}

/// The frames of a stream that arrives in chunks, and what is left after the last one.
fn frames(stream: &[u8], chunk: usize, limit: usize) -> (Vec<Bytes>, Vec<u8>) {
    let mut decoder = FrameDecoder::default();
    let mut frames = Vec::new();
    let mut chunks = stream.chunks(chunk);
    for chunk in chunks.by_ref() {
        decoder.push(chunk);
        loop {
            match decoder.next_frame(limit) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => {
                    let mut left = decoder.pending().to_vec();
                    left.extend(chunks.flatten());
                    return (frames, left);
                }
            }
        }
    }
    (frames, decoder.pending().to_vec())
}

/// The payload of a handshake frame (WIRE §4.1).
pub fn handshake(input: &[u8]) {
    let Ok(msg) = HandshakeMsg::decode(input, &Limits::default()) else {
        return;
    };
    let bytes = msg.encode();
    assert_eq!(HandshakeMsg::decode(&bytes, &Limits::default()), Ok(msg));
}

/// One value (WIRE §3).
pub fn data(input: &[u8]) {
    // Limits that the mutations reach.
    let tight = Limits {
        depth: 3,
        elements: 16,
        ..Limits::default()
    };
    readers_agree(input, &tight);
    readers_agree(input, &Limits::default());
    let Ok(value) = codec::data::decode(input, &Limits::default()) else {
        return;
    };
    let bytes = codec::data::encode(&value);
    let again = codec::data::decode(&bytes, &Limits::default());
    assert_eq!(
        again.as_ref(),
        Ok(&value),
        "what was written reads differently"
    );
    assert_eq!(again.map(|value| codec::data::encode(&value)), Ok(bytes));
}

/// The three ways to read a value take and refuse the same, with the same error, and read alike.
fn readers_agree(input: &[u8], limits: &Limits) {
    let owned = codec::data::decode(input, limits);
    let checked = codec::data::check(input, limits);
    assert_eq!(checked, owned.as_ref().map(|_| ()).map_err(Clone::clone));
    let view = View::new(Bytes::copy_from_slice(input), limits);
    let view = view.inspect(|view| {
        let all = view.values().count();
        assert_eq!(all, count(view.value()), "a value is seen twice or never");
    });
    assert_eq!(view.map(|view| view.to_data()), owned);
}

/// How many values there are, going down container by container.
fn count(value: Value<'_>) -> usize {
    match value {
        Value::Set(items) | Value::Vector(items) => 1 + items.map(count).sum::<usize>(),
        Value::Table(entries) => 1 + entries.map(|(k, v)| count(k) + count(v)).sum::<usize>(),
        Value::None
        | Value::Boolean(_)
        | Value::Count(_)
        | Value::Integer(_)
        | Value::Real(_)
        | Value::String(_)
        | Value::Address(_)
        | Value::Subnet(_)
        | Value::Port(_)
        | Value::Timestamp(_)
        | Value::Timespan(_)
        | Value::Enum(_) => 1,
    }
}

/// The payload of a frame of an established peering (WIRE §5), down to what it carries.
pub fn envelope(input: &[u8]) {
    let input = Bytes::copy_from_slice(input);
    let Ok(envelope) = Envelope::decode(&input) else {
        return;
    };
    assert_eq!(envelope.encode(), input, "an envelope is written otherwise");
    let payload = &envelope.payload;
    match envelope.kind {
        MessageKind::Data => event(payload),
        MessageKind::Command => {
            if let Ok(command) = Command::decode(payload, &Limits::default()) {
                let again = Command::decode(&command.encode(), &Limits::default());
                assert_eq!(again, Ok(command));
            }
        }
        MessageKind::RoutingUpdate => {
            if let Ok(filter) = codec::decode_filter(payload, &Limits::default()) {
                let bytes = codec::encode_filter(&filter);
                assert_eq!(codec::decode_filter(&bytes, &Limits::default()), Ok(filter));
            }
        }
        MessageKind::Ping | MessageKind::Pong => {}
    }
}

/// A value that may be a Zeek event (WIRE §8.2), and one of those this project knows (API §2).
pub fn event(input: &[u8]) {
    data(input);
    let Ok(value) = codec::data::decode(input, &Limits::default()) else {
        return;
    };
    message(value.clone());
    let Ok(event) = Event::from_data(value) else {
        return;
    };
    let again = Event::from_data(event.clone().into_data());
    assert_eq!(again.as_ref(), Ok(&event));

    typed::<ControllerRequest>(&event);
    typed::<ControllerResponse>(&event);
    typed::<AgentRequest>(&event);
    typed::<AgentResponse>(&event);
    typed::<NodeRequest>(&event);
    typed::<NodeResponse>(&event);
    settled::<SupervisorRequest>(&event);
    settled::<SupervisorResponse>(&event);
    typed::<NodeStatusEvent>(&event);
    typed::<ExitEvent>(&event);
    status(input, event);
}

/// A status that is read in pieces is read alike as a value, and written alike in pieces.
fn status(input: &[u8], event: Event) {
    let Some(read) = SupervisorResponse::decode_status(input, &Limits::default()) else {
        return;
    };
    assert_eq!(SupervisorResponse::try_from(event), Ok(read.clone()));
    let whole = Event::from(read.clone()).encode();
    let SupervisorResponse::Status { reqid, result } = read else {
        panic!("another event is read as a status: {read:?}");
    };
    assert_eq!(result.encode_response(&reqid, Layout::default()), whole);
}

/// A record of a log, and a value that may be any message of Zeek's (WIRE §8.1).
pub fn zeek(input: &[u8]) {
    if let Ok(record) = LogRecord::decode(input) {
        let bytes = record.encode();
        assert_eq!(bytes.as_bytes(), input, "a record is written otherwise");
    }
    if let Ok(value) = codec::data::decode(input, &Limits::default()) {
        message(value);
    }
}

/// A value that may be any message of Zeek's, with the records of its logs.
fn message(value: Data) {
    let Ok(message) = ZeekMessage::from_data(value) else {
        return;
    };
    log_records(&message);
    let again = ZeekMessage::from_data(message.clone().into_data());
    assert_eq!(again, Ok(message));
}

fn log_records(message: &ZeekMessage) {
    match message {
        ZeekMessage::LogWrite(write) => {
            if let Ok(record) = LogRecord::decode(write.record.as_bytes()) {
                assert_eq!(record.encode(), write.record);
            }
        }
        ZeekMessage::Batch(messages) => messages.iter().for_each(log_records),
        ZeekMessage::Event(_)
        | ZeekMessage::LogCreate(_)
        | ZeekMessage::IdentifierUpdate { .. } => {}
    }
}

fn typed<T>(event: &Event)
where
    T: TryFrom<Event, Error = EventError> + Into<Event> + Clone + PartialEq + std::fmt::Debug,
{
    let Ok(known) = T::try_from(event.clone()) else {
        return;
    };
    let again = T::try_from(known.clone().into());
    assert_eq!(again, Ok(known));
}

/// The same for what is read in every layout and written in the youngest, which has no room for
/// some members of the older ones (API §1.5): writing is settled after one round.
fn settled<T>(event: &Event)
where
    T: TryFrom<Event, Error = EventError> + Into<Event>,
{
    let Ok(known) = T::try_from(event.clone()) else {
        return;
    };
    let written: Event = known.into();
    let again = T::try_from(written.clone());
    assert_eq!(again.map(Into::into), Ok(written));
}

/// One value as a client writes it (CLIENT §A5). What is written is strict JSON, and writing it is
/// settled after one round: the first may cut timestamps and drop what clients cannot read.
pub fn json(input: &[u8]) {
    let Some(value) = read_json(input) else {
        return;
    };
    let first = encode(&value);
    if serde_json::from_str::<serde_json::Value>(&first).is_err() {
        panic!("not JSON: {first}");
    }
    let Some(value) = read_json(first.as_bytes()) else {
        return;
    };
    let second = encode(&value);
    let again = read_json(second.as_bytes()).map(|value| encode(&value));
    assert_eq!(again, Some(second), "what was written reads differently");
}

fn read_json(input: &[u8]) -> Option<Data> {
    let text = std::str::from_utf8(input).ok()?;
    decode(&parse(text).ok()?).ok()
}

/// A stem's status pipe (API §10.2), in chunks as long as the first byte says, which must make no
/// difference.
pub fn stem(input: &[u8]) {
    let Some((&first, stream)) = input.split_first() else {
        return;
    };
    let whole = Decoder::default().push(stream);
    let mut decoder = Decoder::default();
    let chunks = stream.chunks(usize::from(first).max(1));
    let chopped: Vec<_> = chunks.flat_map(|chunk| decoder.push(chunk)).collect();
    assert_eq!(whole, chopped, "how the stream is cut changes the messages");
    for message in whole {
        if let Ok(Message::Error { text }) = message {
            Report::parse("worker-01", &text);
        }
    }
}

/// The rows of a controller's state file (API §4.9): each a byte that says how long the key is, the
/// key, two bytes for the value, the value; the last one may be cut.
pub fn state(input: &[u8]) {
    let mut rows = Vec::new();
    let mut rest = input;
    while let Some((&key, after)) = rest.split_first() {
        let (key, after) = after.split_at(usize::from(key).min(after.len()));
        let (len, after) = after.split_at(after.len().min(2));
        let len = len
            .iter()
            .fold(0, |len, byte| len << 8 | usize::from(*byte));
        let (value, after) = after.split_at(len.min(after.len()));
        rows.push(Row {
            key: key.to_vec(),
            value: value.to_vec(),
        });
        rest = after;
    }
    let Ok((saved, _)) = Saved::from_rows(rows) else {
        return;
    };
    let Ok(slots) = saved.to_rows() else {
        panic!("what was read is too large to be written");
    };
    let rows = slots.into_iter().filter_map(|slot| {
        let key = slot.key;
        slot.value.map(|value| Row { key, value })
    });
    let again = Saved::from_rows(rows).map(|(saved, _)| saved);
    assert_eq!(again, Ok(saved), "what was written reads differently");
}
