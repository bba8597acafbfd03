//! Values and messages as JSON (WIRE §12).

use broker_proto::codec::command::{Command, CommandContent, EntityId};
use broker_proto::codec::envelope::{Envelope, MessageKind};
use broker_proto::codec::handshake::HandshakeMsg;
use broker_proto::codec::{self, DecodeError, Limits, decode_filter};
use broker_proto::{ByteString, Data, Filter, Topic};

/// One value.
pub(crate) fn data(value: &Data) -> String {
    let mut out = String::new();
    put(value, &mut out);
    out
}

/// One message of the handshake.
pub(crate) fn handshake(msg: &HandshakeMsg) -> String {
    let name = string(msg.name());
    let members = match msg {
        HandshakeMsg::Hello {
            sender,
            min_version,
            max_version,
        } => format!(
            r#", "sender_id": "{sender}", "min_version": {min_version}, "max_version": {max_version}"#
        ),
        HandshakeMsg::VersionSelect { sender, version } => {
            format!(r#", "sender_id": "{sender}", "selected_version": {version}"#)
        }
        HandshakeMsg::DropConn(drop) => format!(
            r#", "sender_id": "{}", "code": {}, "description": {}"#,
            drop.sender,
            drop.code,
            bytes(drop.description.as_bytes())
        ),
        HandshakeMsg::OriginatorSyn(topics) | HandshakeMsg::ResponderSynAck(topics) => {
            format!(r#", "filter": {}"#, filter(topics))
        }
        HandshakeMsg::Probe | HandshakeMsg::OriginatorAck => String::new(),
    };
    format!(r#"{{"msg": {name}{members}}}"#)
}

/// One message of a peering, and what is in it.
///
/// # Errors
/// If its payload is not what its type says.
pub(crate) fn envelope(envelope: &Envelope, limits: &Limits) -> Result<String, DecodeError> {
    let payload = &envelope.payload;
    let (kind, payload) = match envelope.kind {
        MessageKind::Data => {
            let value = codec::data::decode(payload, limits)?;
            ("data", format!(r#""data": {}"#, data(&value)))
        }
        MessageKind::Command => {
            let value = Command::decode(payload, limits)?;
            ("command", format!(r#""command": {}"#, command(&value)))
        }
        MessageKind::RoutingUpdate => {
            let topics = decode_filter(payload, limits)?;
            (
                "routing_update",
                format!(r#""filter": {}"#, filter(&topics)),
            )
        }
        MessageKind::Ping => ("ping", format!(r#""payload_hex": "{}""#, hex(payload))),
        MessageKind::Pong => ("pong", format!(r#""payload_hex": "{}""#, hex(payload))),
    };
    let Envelope {
        sender,
        receiver,
        ttl,
        ..
    } = envelope;
    let topic = topic(&envelope.topic);
    Ok(format!(
        r#"{{"sender": "{sender}", "receiver": "{receiver}", "type": "{kind}", "ttl": {ttl}, "topic": {topic}, {payload}}}"#
    ))
}

/// What is said about bytes that are nothing.
pub(crate) fn invalid(reason: &str) -> String {
    format!(r#"{{"invalid": true, "reason": {}}}"#, string(reason))
}

/// Pairs of hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text with quotes around it.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A number as Python writes it, which is what the vectors have.
pub(crate) fn real(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => text,
    }
}

fn put(value: &Data, out: &mut String) {
    let scalar = |kind: &str, key: &str, text: &str| {
        format!(r#"{{"type": "{kind}", "{key}": {}}}"#, string(text))
    };
    match value {
        Data::None => out.push_str(r#"{"type": "none"}"#),
        Data::Boolean(value) => {
            out.push_str(&format!(r#"{{"type": "boolean", "value": {value}}}"#));
        }
        Data::Count(number) => out.push_str(&scalar("count", "value", &number.to_string())),
        Data::Integer(number) => out.push_str(&scalar("integer", "value", &number.to_string())),
        Data::Real(number) => out.push_str(&scalar("real", "value", &real(*number))),
        Data::String(text) => put_text("string", text, out),
        Data::Enum(name) => put_text("enum", name, out),
        Data::Address(addr) => out.push_str(&scalar("address", "value", &addr.to_string())),
        Data::Subnet(net) => out.push_str(&scalar("subnet", "value", &net.to_string())),
        Data::Port(port) => out.push_str(&scalar("port", "value", &port.to_string())),
        Data::Timestamp(time) => out.push_str(&scalar("timestamp", "ns", &time.0.to_string())),
        Data::Timespan(span) => out.push_str(&scalar("timespan", "ns", &span.0.to_string())),
        Data::Set(items) => put_list("set", "elements", items, out, put),
        Data::Vector(items) => put_list("vector", "elements", items, out, put),
        Data::Table(entries) => put_list("table", "entries", entries, out, |(key, value), out| {
            out.push_str(r#"{"key": "#);
            put(key, out);
            out.push_str(r#", "value": "#);
            put(value, out);
            out.push('}');
        }),
    }
}

fn put_text(kind: &str, text: &ByteString, out: &mut String) {
    let member = match text.to_str() {
        Some(text) => format!(r#""value": {}"#, string(text)),
        None => format!(r#""hex": "{}""#, hex(text.as_bytes())),
    };
    out.push_str(&format!(r#"{{"type": "{kind}", {member}}}"#));
}

fn put_list<T>(
    kind: &str,
    key: &str,
    items: impl IntoIterator<Item = T>,
    out: &mut String,
    put_item: impl Fn(T, &mut String),
) {
    out.push_str(&format!(r#"{{"type": "{kind}", "{key}": ["#));
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        put_item(item, out);
    }
    out.push_str("]}");
}

/// A text, or an object with `hex` if it is not UTF-8.
fn bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => string(text),
        Err(_) => format!(r#"{{"hex": "{}"}}"#, hex(bytes)),
    }
}

fn topic(topic: &Topic) -> String {
    bytes(topic.as_bytes())
}

fn filter(filter: &Filter) -> String {
    let topics: Vec<String> = filter.topics().iter().map(topic).collect();
    format!("[{}]", topics.join(", "))
}

fn command(command: &Command) -> String {
    format!(
        r#"{{"seq": "{}", "sender": {}, "receiver": {}, "content": {}}}"#,
        command.seq,
        entity(command.sender),
        entity(command.receiver),
        content(&command.content)
    )
}

fn entity(entity: EntityId) -> String {
    let EntityId { endpoint, object } = entity;
    format!(r#"{{"endpoint": "{endpoint}", "object": "{object}"}}"#)
}

#[allow(clippy::too_many_lines, reason = "a flat match, one arm a command")]
fn content(content: &CommandContent) -> String {
    use CommandContent as C;
    let expiry = |expiry: &Option<i64>| match expiry {
        Some(ns) => format!(r#""{ns}""#),
        None => "null".into(),
    };
    let (name, members) = match content {
        C::Put {
            key,
            value,
            expiry: ns,
            publisher,
        } => (
            "put",
            format!(
                r#""key": {}, "value": {}, "expiry_ns": {}, "publisher": {}"#,
                data(key),
                data(value),
                expiry(ns),
                entity(*publisher)
            ),
        ),
        C::PutUnique {
            key,
            value,
            expiry: ns,
            who,
            request,
            publisher,
        } => (
            "put_unique",
            format!(
                r#""key": {}, "value": {}, "expiry_ns": {}, "who": {}, "req_id": "{request}", "publisher": {}"#,
                data(key),
                data(value),
                expiry(ns),
                entity(*who),
                entity(*publisher)
            ),
        ),
        C::PutUniqueResult {
            inserted,
            who,
            request,
            publisher,
        } => (
            "put_unique_result",
            format!(
                r#""inserted": {inserted}, "who": {}, "req_id": "{request}", "publisher": {}"#,
                entity(*who),
                entity(*publisher)
            ),
        ),
        C::Erase { key, publisher } => ("erase", keyed(key, *publisher)),
        C::Expire { key, publisher } => ("expire", keyed(key, *publisher)),
        C::Add {
            key,
            value,
            init_tag,
            expiry: ns,
            publisher,
        } => (
            "add",
            format!(
                r#""key": {}, "value": {}, "init_type": {}, "expiry_ns": {}, "publisher": {}"#,
                data(key),
                data(value),
                string(super::read::type_name(*init_tag)),
                expiry(ns),
                entity(*publisher)
            ),
        ),
        C::Subtract {
            key,
            value,
            expiry: ns,
            publisher,
        } => (
            "subtract",
            format!(
                r#""key": {}, "value": {}, "expiry_ns": {}, "publisher": {}"#,
                data(key),
                data(value),
                expiry(ns),
                entity(*publisher)
            ),
        ),
        C::Clear { publisher } => ("clear", format!(r#""publisher": {}"#, entity(*publisher))),
        C::AttachWriter { offset, heartbeat } => (
            "attach_writer",
            format!(r#""offset": "{offset}", "heartbeat_interval": {heartbeat}"#),
        ),
        C::Keepalive { seq } => ("keepalive", format!(r#""seq": "{seq}""#)),
        C::CumulativeAck { seq } => ("cumulative_ack", format!(r#""seq": "{seq}""#)),
        C::Nack { seqs } => {
            let seqs: Vec<String> = seqs.iter().map(|seq| format!(r#""{seq}""#)).collect();
            ("nack", format!(r#""seqs": [{}]"#, seqs.join(", ")))
        }
        C::AckClone {
            offset,
            heartbeat,
            state,
        } => {
            let entries = state.iter();
            let entries: Vec<String> = entries
                .map(|(key, value)| {
                    format!(r#"{{"key": {}, "value": {}}}"#, data(key), data(value))
                })
                .collect();
            (
                "ack_clone",
                format!(
                    r#""offset": "{offset}", "heartbeat_interval": {heartbeat}, "state": [{}]"#,
                    entries.join(", ")
                ),
            )
        }
        C::RetransmitFailed { seq } => ("retransmit_failed", format!(r#""seq": "{seq}""#)),
    };
    format!(r#"{{"cmd": "{name}", {members}}}"#)
}

fn keyed(key: &Data, publisher: EntityId) -> String {
    format!(
        r#""key": {}, "publisher": {}"#,
        data(key),
        entity(publisher)
    )
}
