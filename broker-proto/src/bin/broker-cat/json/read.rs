//! Values and messages from JSON (WIRE §12).

use broker_proto::codec::command::{Command, CommandContent, EntityId};
use broker_proto::codec::encode_filter;
use broker_proto::codec::envelope::{Envelope, MessageKind};
use broker_proto::codec::handshake::{DropConn, HandshakeMsg};
use broker_proto::{Address, Data, EndpointId, Filter, Subnet, Timespan, Timestamp, Topic, codec};
use bytes::Bytes;
use serde_json::Value;

/// Text that is not in the notation.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ReadError(pub(crate) String);

type Read<T> = Result<T, ReadError>;

/// One JSON text.
///
/// # Errors
/// If it is none, or nested deeper than any value can be.
pub(crate) fn parse(text: &str) -> Read<Value> {
    let mut depth = 0usize;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return fail("nested too deep");
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    let mut values = reader.into_iter::<Value>();
    match (values.next(), values.next()) {
        (Some(Ok(value)), None) => Ok(value),
        (Some(Err(error)), _) | (Some(Ok(_)), Some(Err(error))) => fail(error.to_string()),
        (None, _) | (Some(Ok(_)), Some(Ok(_))) => fail("not exactly one value"),
    }
}

/// The bytes that are described: of a value, of a handshake message or of an envelope.
///
/// # Errors
/// If it describes none of them.
pub(crate) fn encode(json: &Value) -> Read<Bytes> {
    if json.get("msg").is_some() {
        Ok(handshake(json)?.encode())
    } else if json.get("topic").is_some() {
        Ok(envelope(json)?.encode())
    } else {
        Ok(codec::data::encode(&data(json)?))
    }
}

/// One value.
///
/// # Errors
/// If it describes none.
pub(crate) fn data(json: &Value) -> Read<Data> {
    let kind = text(json, "type")?;
    match kind {
        "none" => Ok(Data::None),
        "boolean" => match member(json, "value")?.as_bool() {
            Some(value) => Ok(Data::Boolean(value)),
            None => fail("a boolean is true or false"),
        },
        "string" | "enum" if json.get("hex").is_some() => {
            let bytes = unhex(text(json, "hex")?)?;
            Ok(if kind == "enum" {
                Data::enum_value(bytes)
            } else {
                Data::string(bytes)
            })
        }
        "timestamp" | "timespan" => scalar(kind, text(json, "ns")?),
        "set" => Ok(Data::Set(
            list(json, "elements")?
                .iter()
                .map(data)
                .collect::<Read<_>>()?,
        )),
        "vector" => Ok(Data::Vector(
            list(json, "elements")?
                .iter()
                .map(data)
                .collect::<Read<_>>()?,
        )),
        "table" => {
            let entries = list(json, "entries")?.iter().map(entry);
            Ok(Data::Table(entries.collect::<Read<_>>()?))
        }
        _ => scalar(kind, text(json, "value")?),
    }
}

/// A value that is no container, from its type and its text.
///
/// # Errors
/// If there is no such type or the text is not of it.
pub(crate) fn scalar(kind: &str, text: &str) -> Read<Data> {
    let wrong = || ReadError(format!("'{text}' is not of type {kind}"));
    Ok(match kind {
        "boolean" => Data::Boolean(text.parse().map_err(|_| wrong())?),
        "count" => Data::Count(text.parse().map_err(|_| wrong())?),
        "integer" => Data::Integer(text.parse().map_err(|_| wrong())?),
        "real" => Data::Real(text.parse().map_err(|_| wrong())?),
        "string" => Data::string(text),
        "enum" => Data::enum_value(text),
        "address" => Data::Address(text.parse().map_err(|_| wrong())?),
        "subnet" => Data::Subnet(subnet(text).ok_or_else(wrong)?),
        "port" => Data::Port(text.parse().map_err(|_| wrong())?),
        "timestamp" => Data::Timestamp(Timestamp(text.parse().map_err(|_| wrong())?)),
        "timespan" => Data::Timespan(Timespan(text.parse().map_err(|_| wrong())?)),
        _ => return fail(format!("no value is of type {kind}")),
    })
}

/// The type of a tag, for the initial value of a store command.
pub(crate) fn type_name(tag: u8) -> &'static str {
    TYPES.get(usize::from(tag)).copied().unwrap_or("unknown")
}

/// Pairs of hexadecimal digits.
///
/// # Errors
/// If there is anything else.
pub(crate) fn unhex(text: &str) -> Read<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2));
    let Some(digits) = digits else {
        return fail("not pairs of hexadecimal digits");
    };
    let byte = |pair: &[u32]| pair.iter().fold(0, |byte, digit| byte * 16 + digit);
    let bytes = digits.chunks_exact(2).map(byte);
    Ok(bytes.filter_map(|byte| u8::try_from(byte).ok()).collect())
}

fn handshake(json: &Value) -> Read<HandshakeMsg> {
    let sender = || parsed::<EndpointId>(json, "sender_id");
    Ok(match text(json, "msg")? {
        "hello" => HandshakeMsg::Hello {
            sender: sender()?,
            min_version: number(json, "min_version")?,
            max_version: number(json, "max_version")?,
        },
        "probe" => HandshakeMsg::Probe,
        "version_select" => HandshakeMsg::VersionSelect {
            sender: sender()?,
            version: number(json, "selected_version")?,
        },
        "drop_conn" => HandshakeMsg::DropConn(DropConn {
            sender: sender()?,
            code: number(json, "code")?,
            description: bytes(member(json, "description")?)?.into(),
        }),
        "originator_syn" => HandshakeMsg::OriginatorSyn(filter(json)?),
        "responder_syn_ack" => HandshakeMsg::ResponderSynAck(filter(json)?),
        "originator_ack" => HandshakeMsg::OriginatorAck,
        other => return fail(format!("no handshake message is called {other}")),
    })
}

fn envelope(json: &Value) -> Read<Envelope> {
    let (kind, payload) = match text(json, "type")? {
        "data" => (
            MessageKind::Data,
            codec::data::encode(&data(member(json, "data")?)?),
        ),
        "command" => (
            MessageKind::Command,
            command(member(json, "command")?)?.encode(),
        ),
        "routing_update" => (MessageKind::RoutingUpdate, encode_filter(&filter(json)?)),
        "ping" => (MessageKind::Ping, unhex(text(json, "payload_hex")?)?.into()),
        "pong" => (MessageKind::Pong, unhex(text(json, "payload_hex")?)?.into()),
        other => return fail(format!("no envelope is of type {other}")),
    };
    Ok(Envelope {
        sender: parsed(json, "sender")?,
        receiver: parsed(json, "receiver")?,
        kind,
        ttl: number(json, "ttl")?,
        topic: topic(member(json, "topic")?)?,
        payload,
    })
}

fn command(json: &Value) -> Read<Command> {
    Ok(Command {
        seq: parsed(json, "seq")?,
        sender: entity(json, "sender")?,
        receiver: entity(json, "receiver")?,
        content: content(member(json, "content")?)?,
    })
}

#[allow(clippy::too_many_lines, reason = "a flat match, one arm a command")]
fn content(json: &Value) -> Read<CommandContent> {
    use CommandContent as C;
    let value = |key| data(member(json, key)?);
    let publisher = || entity(json, "publisher");
    let expiry = || {
        let is_set = !member(json, "expiry_ns")?.is_null();
        is_set.then(|| parsed(json, "expiry_ns")).transpose()
    };
    Ok(match text(json, "cmd")? {
        "put" => C::Put {
            key: value("key")?,
            value: value("value")?,
            expiry: expiry()?,
            publisher: publisher()?,
        },
        "put_unique" => C::PutUnique {
            key: value("key")?,
            value: value("value")?,
            expiry: expiry()?,
            who: entity(json, "who")?,
            request: parsed(json, "req_id")?,
            publisher: publisher()?,
        },
        "put_unique_result" => C::PutUniqueResult {
            inserted: member(json, "inserted")?.as_bool().unwrap_or_default(),
            who: entity(json, "who")?,
            request: parsed(json, "req_id")?,
            publisher: publisher()?,
        },
        "erase" => C::Erase {
            key: value("key")?,
            publisher: publisher()?,
        },
        "expire" => C::Expire {
            key: value("key")?,
            publisher: publisher()?,
        },
        "add" => C::Add {
            key: value("key")?,
            value: value("value")?,
            init_tag: tag(text(json, "init_type")?)?,
            expiry: expiry()?,
            publisher: publisher()?,
        },
        "subtract" => C::Subtract {
            key: value("key")?,
            value: value("value")?,
            expiry: expiry()?,
            publisher: publisher()?,
        },
        "clear" => C::Clear {
            publisher: publisher()?,
        },
        "attach_writer" => C::AttachWriter {
            offset: parsed(json, "offset")?,
            heartbeat: number(json, "heartbeat_interval")?,
        },
        "keepalive" => C::Keepalive {
            seq: parsed(json, "seq")?,
        },
        "cumulative_ack" => C::CumulativeAck {
            seq: parsed(json, "seq")?,
        },
        "nack" => {
            let seqs = list(json, "seqs")?.iter();
            let seqs = seqs.map(|seq| seq.as_str().and_then(|text| text.parse().ok()));
            let seqs: Option<Vec<u64>> = seqs.collect();
            C::Nack {
                seqs: seqs.ok_or_else(|| ReadError("seqs are decimal texts".into()))?,
            }
        }
        "ack_clone" => C::AckClone {
            offset: parsed(json, "offset")?,
            heartbeat: number(json, "heartbeat_interval")?,
            state: list(json, "state")?
                .iter()
                .map(entry)
                .collect::<Read<_>>()?,
        },
        "retransmit_failed" => C::RetransmitFailed {
            seq: parsed(json, "seq")?,
        },
        other => return fail(format!("no command is called {other}")),
    })
}

fn entry(json: &Value) -> Read<(Data, Data)> {
    Ok((data(member(json, "key")?)?, data(member(json, "value")?)?))
}

fn entity(json: &Value, key: &str) -> Read<EntityId> {
    let json = member(json, key)?;
    Ok(EntityId {
        endpoint: parsed(json, "endpoint")?,
        object: parsed(json, "object")?,
    })
}

fn filter(json: &Value) -> Read<Filter> {
    let topics = list(json, "filter")?.iter().map(topic);
    Ok(Filter::from_wire(topics.collect::<Read<_>>()?))
}

fn topic(json: &Value) -> Read<Topic> {
    Topic::new(bytes(json)?).map_err(|error| ReadError(error.to_string()))
}

/// A text, or an object with `hex`.
fn bytes(json: &Value) -> Read<Vec<u8>> {
    match json.as_str() {
        Some(text) => Ok(text.as_bytes().to_vec()),
        None => unhex(text(json, "hex")?),
    }
}

fn subnet(text: &str) -> Option<Subnet> {
    let (network, length) = text.split_once('/')?;
    let network: Address = network.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    let length = if network.is_v4() {
        length.checked_add(96)?
    } else {
        length
    };
    Subnet::new(network, length).ok()
}

fn tag(name: &str) -> Read<u8> {
    let tag = TYPES.iter().position(|known| *known == name);
    let tag = tag.and_then(|tag| u8::try_from(tag).ok());
    tag.ok_or_else(|| ReadError(format!("no value is of type {name}")))
}

fn member<'a>(json: &'a Value, key: &str) -> Read<&'a Value> {
    json.get(key)
        .ok_or_else(|| ReadError(format!("no member '{key}'")))
}

fn text<'a>(json: &'a Value, key: &str) -> Read<&'a str> {
    let text = member(json, key)?.as_str();
    text.ok_or_else(|| ReadError(format!("'{key}' is not a text")))
}

fn list<'a>(json: &'a Value, key: &str) -> Read<&'a [Value]> {
    let list = member(json, key)?.as_array();
    list.map(Vec::as_slice)
        .ok_or_else(|| ReadError(format!("'{key}' is not a list")))
}

fn parsed<T: std::str::FromStr>(json: &Value, key: &str) -> Read<T> {
    let text = text(json, key)?;
    text.parse()
        .map_err(|_| ReadError(format!("'{key}' cannot be '{text}'")))
}

fn number<T: TryFrom<u64>>(json: &Value, key: &str) -> Read<T> {
    let number = member(json, key)?.as_u64();
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| ReadError(format!("'{key}' is not a number in range")))
}

fn fail<T>(text: impl Into<String>) -> Read<T> {
    Err(ReadError(text.into()))
}

/// By tag (WIRE §3.5).
const TYPES: [&str; 15] = [
    "none",
    "boolean",
    "count",
    "integer",
    "real",
    "string",
    "address",
    "subnet",
    "port",
    "timestamp",
    "timespan",
    "enum",
    "set",
    "table",
    "vector",
];

/// Values nest at most 100 deep by default; each level is a list of objects.
const MAX_DEPTH: usize = 512;
