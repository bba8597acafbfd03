//! Bytes written by another implementation: the vectors of WIRE §12, and every recorded frame.
//!
//! A vector's meaning is built from its JSON, so that encoder and decoder are each held against
//! something that neither of them made.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may unwrap and index"
)]

use std::net::SocketAddr;
use std::time::Instant;

use broker_proto::codec::command::{Command, CommandContent, EntityId};
use broker_proto::codec::data::pieces::{self, Pieces};
use broker_proto::codec::envelope::{Envelope, MessageKind};
use broker_proto::codec::handshake::{DropConn, HandshakeMsg};
use broker_proto::codec::{Limits, data, decode_filter, encode_filter};
use broker_proto::peering::{Endpoint, Input, LinkId, Options, Output};
use broker_proto::zeek::Message;
use broker_proto::zeek::log::LogRecord;
use broker_proto::{Data, EndpointId, Filter, IdGen, Topic};
use bytes::Bytes;
use harness::recorded::{self, Frame};
use harness::transcript::{Kind as Protocol, Side, Transcript};
use harness::typed::{self, field, list, parse, text, unhex};
use harness::vector::{self, Expect, Kind, Vector};
use serde_json::Value;

#[test]
fn there_are_as_many_vectors_as_documented() {
    let vectors = vector::all();
    let of = |kind| vectors.iter().filter(|vector| vector.kind == kind).count();
    assert_eq!(
        (of(Kind::Data), of(Kind::Handshake), of(Kind::Envelope)),
        (100, 17, 63)
    );
    let invalid = vectors
        .iter()
        .filter(|v| matches!(v.expect, Expect::Invalid { .. }));
    assert_eq!(invalid.count(), 18);
}

#[test]
fn values_decode_to_their_meaning_and_encode_to_their_bytes() {
    for vector in of_kind(Kind::Data) {
        let decoded = data::decode(&vector.bytes, &Limits::default());
        match &vector.expect {
            Expect::Canonical(json) => {
                let meaning = typed::data(json);
                assert_eq!(data::encode(&meaning), vector.bytes, "{}", vector.name);
                let decoded = decoded.unwrap();
                assert_eq!(decoded, meaning, "{}", vector.name);
                assert_eq!(data::encode(&decoded), vector.bytes, "{}", vector.name);
            }
            Expect::DecodeOnly(json) => {
                assert_eq!(decoded, Ok(typed::data(json)), "{}", vector.name);
            }
            Expect::Invalid { reason } => {
                assert!(decoded.is_err(), "{}: {reason}", vector.name);
            }
        }
    }
}

#[test]
fn handshake_messages_decode_to_their_meaning_and_encode_to_their_bytes() {
    for vector in of_kind(Kind::Handshake) {
        let decoded = HandshakeMsg::decode(&vector.bytes, &Limits::default());
        match &vector.expect {
            Expect::Canonical(json) => {
                let meaning = handshake(json);
                assert_eq!(meaning.encode(), vector.bytes, "{}", vector.name);
                assert_eq!(decoded, Ok(meaning), "{}", vector.name);
            }
            Expect::DecodeOnly(json) => {
                assert_eq!(decoded, Ok(handshake(json)), "{}", vector.name);
            }
            Expect::Invalid { .. } => {}
        }
    }
}

#[test]
fn an_endpoint_answers_a_bad_handshake_message_with_its_code_and_closes() {
    for vector in of_kind(Kind::Handshake) {
        let Expect::Invalid { reason } = &vector.expect else {
            continue;
        };
        let code = reason.rsplit(' ').next().map(parse).unwrap();
        let outputs = answers_to(&framed(&vector.bytes));
        let link = LinkId::Accepted(0);
        let dropped = outputs.iter().any(
            |output| matches!(output, Output::Send { bytes, .. } if drop_code(bytes) == Some(code)),
        );
        assert!(dropped, "{}: {reason}, not {outputs:?}", vector.name);
        assert!(
            outputs.contains(&Output::Close { link }),
            "{}: not closed",
            vector.name
        );
    }
}

#[test]
fn envelopes_decode_to_their_meaning_and_encode_to_their_bytes() {
    for vector in of_kind(Kind::Envelope) {
        let bytes = Bytes::from(vector.bytes);
        let decoded = Envelope::decode(&bytes);
        match &vector.expect {
            Expect::Canonical(json) | Expect::DecodeOnly(json) => {
                let decoded = decoded.unwrap();
                check_payload(&decoded, json, &vector.name);
                let meaning = envelope(json, decoded.payload.clone());
                assert_eq!(decoded, meaning, "{}", vector.name);
                assert_eq!(meaning.encode(), bytes, "{}", vector.name);
            }
            Expect::Invalid { reason } => {
                let whole = decoded
                    .ok()
                    .filter(|envelope| recorded::value(envelope).is_some());
                assert_eq!(whole, None, "{}: {reason}", vector.name);
            }
        }
    }
}

#[test]
fn every_recorded_frame_decodes_and_encodes_to_the_same_bytes() {
    let mut count = 0;
    for name in ["a2c", "c2a"] {
        let connections = Transcript::read(name).connections.into_iter();
        for connection in connections.filter(|c| c.kind == Protocol::Broker) {
            for side in [Side::Client, Side::Server] {
                for (at, bytes, frame) in recorded::frames(&connection, side) {
                    let place = format!("{name}, {}, {at:?}", connection.name);
                    assert_eq!(again(&frame), bytes, "{place}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 1500, "only {count} frames");
}

#[test]
fn every_recorded_message_is_zeeks_and_encodes_to_the_same_bytes() {
    let (mut events, mut creates, mut writes) = (0, 0, 0);
    for payload in recorded_payloads() {
        let message = Message::decode(&payload, &Limits::default()).unwrap();
        assert_eq!(message.clone().encode(), payload);
        let members = match message {
            Message::Batch(members) => members,
            single @ (Message::Event(_)
            | Message::LogCreate(_)
            | Message::LogWrite(_)
            | Message::IdentifierUpdate { .. }) => vec![single],
        };
        for member in members {
            match member {
                Message::Event(_) => events += 1,
                Message::LogCreate(_) => creates += 1,
                Message::LogWrite(write) => {
                    let record = LogRecord::decode(write.record.as_bytes()).unwrap();
                    assert_eq!(record.encode(), write.record);
                    writes += 1;
                }
                other @ (Message::IdentifierUpdate { .. } | Message::Batch(_)) => {
                    panic!("not known to be recorded: {other:?}")
                }
            }
        }
    }
    let counts = (events, creates, writes);
    assert!(events > 100 && creates > 10 && writes > 10, "{counts:?}");
}

#[test]
fn messages_in_vectors_encode_to_the_same_bytes() {
    let mut kinds = [0; 5];
    for vector in vector::all() {
        let Expect::Canonical(_) = vector.expect else {
            continue;
        };
        let payload = match vector.kind {
            Kind::Data => vector.bytes.into(),
            Kind::Envelope => Envelope::decode(&vector.bytes.into()).unwrap().payload,
            Kind::Handshake => continue,
        };
        let Ok(message) = Message::decode(&payload, &Limits::default()) else {
            continue;
        };
        let kind = match &message {
            Message::Event(_) => 0,
            Message::LogCreate(_) => 1,
            Message::LogWrite(write) => {
                let record = LogRecord::decode(write.record.as_bytes()).unwrap();
                assert_eq!(record.encode(), write.record, "{}", vector.name);
                2
            }
            Message::IdentifierUpdate { .. } => 3,
            Message::Batch(_) => 4,
        };
        kinds[kind] += 1;
        assert_eq!(message.encode(), payload, "{}", vector.name);
    }
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
}

#[test]
fn values_are_written_and_read_in_pieces_too() {
    let mut payloads: Vec<Bytes> = recorded_payloads();
    for vector in vector::all() {
        match (vector.kind, &vector.expect) {
            (Kind::Data, Expect::Canonical(_)) => payloads.push(vector.bytes.into()),
            (Kind::Envelope, Expect::Canonical(_)) => {
                let envelope = Envelope::decode(&vector.bytes.into()).unwrap();
                payloads.extend(recorded::value(&envelope).map(|_| envelope.payload));
            }
            (Kind::Data | Kind::Envelope | Kind::Handshake, _) => {}
        }
    }
    let limits = Limits::default();
    for payload in payloads {
        let value = data::decode(&payload, &limits).unwrap();
        let mut out = Vec::new();
        put(&value, &mut out);
        assert_eq!(out, payload);
        let mut rest = Pieces::of(&payload, &limits);
        assert_eq!(take(&mut rest), Some(value));
        assert!(rest.is_empty());
    }
}

/// Containers by their parts, as far as there are pieces for them.
fn put(value: &Data, out: &mut Vec<u8>) {
    if let Data::Vector(items) = value {
        pieces::put_vector(items.len(), out);
        items.iter().for_each(|item| put(item, out));
    } else if let Data::Table(entries) = value {
        pieces::put_table(entries.len(), out);
        for (key, value) in entries {
            put(key, out);
            put(value, out);
        }
    } else {
        data::encode_into(value, out);
    }
}

fn take(rest: &mut Pieces<'_>) -> Option<Data> {
    if let Some(len) = rest.take_vector() {
        let items = (0..len).map(|_| take(rest));
        return items.collect::<Option<_>>().map(Data::Vector);
    }
    if let Some(len) = rest.take_table() {
        let entries = (0..len).map(|_| Some((take(rest)?, take(rest)?)));
        return entries.collect::<Option<_>>().map(Data::Table);
    }
    rest.take()
}

/// What the data envelopes of all recordings carry.
fn recorded_payloads() -> Vec<Bytes> {
    let names = ["a2c", "c2a"].into_iter();
    let connections = names.flat_map(|name| Transcript::read(name).connections);
    let peerings = connections.filter(|c| c.kind == Protocol::Broker);
    let frames = peerings.flat_map(|connection| {
        let sides = [Side::Client, Side::Server].into_iter();
        sides.flat_map(move |side| recorded::frames(&connection, side))
    });
    let payload = |(_, _, frame)| match frame {
        Frame::Envelope(envelope) if envelope.kind == MessageKind::Data => Some(envelope.payload),
        Frame::Envelope(_) | Frame::Handshake(_) => None,
    };
    frames.filter_map(payload).collect()
}

fn of_kind(kind: Kind) -> Vec<Vector> {
    let all = vector::all().into_iter();
    all.filter(|vector| vector.kind == kind).collect()
}

/// The frame from its parts, payload included.
fn again(frame: &Frame) -> Bytes {
    let envelope = match frame {
        Frame::Handshake(msg) => return msg.encode(),
        Frame::Envelope(envelope) => envelope,
    };
    let limits = Limits::default();
    let payload = match envelope.kind {
        MessageKind::Data => data::encode(&data::decode(&envelope.payload, &limits).unwrap()),
        MessageKind::Command => Command::decode(&envelope.payload, &limits)
            .unwrap()
            .encode(),
        MessageKind::RoutingUpdate => {
            encode_filter(&decode_filter(&envelope.payload, &limits).unwrap())
        }
        MessageKind::Ping | MessageKind::Pong => envelope.payload.clone(),
    };
    let envelope = envelope.clone();
    Envelope {
        payload,
        ..envelope
    }
    .encode()
}

fn handshake(json: &Value) -> HandshakeMsg {
    let sender = || text(json, "sender_id").parse().unwrap();
    let number = |key| u8::try_from(field(json, key).as_u64().unwrap()).unwrap();
    match text(json, "msg") {
        "hello" => HandshakeMsg::Hello {
            sender: sender(),
            min_version: number("min_version"),
            max_version: number("max_version"),
        },
        "probe" => HandshakeMsg::Probe,
        "version_select" => HandshakeMsg::VersionSelect {
            sender: sender(),
            version: number("selected_version"),
        },
        "drop_conn" => HandshakeMsg::DropConn(DropConn {
            sender: sender(),
            code: number("code"),
            description: text(json, "description").into(),
        }),
        "originator_syn" => HandshakeMsg::OriginatorSyn(filter(json)),
        "responder_syn_ack" => HandshakeMsg::ResponderSynAck(filter(json)),
        "originator_ack" => HandshakeMsg::OriginatorAck,
        other => panic!("no handshake message is called {other}"),
    }
}

fn filter(json: &Value) -> Filter {
    let topics = list(json, "filter").iter();
    let topics = topics.map(|topic| Topic::new(topic.as_str().unwrap()).unwrap());
    Filter::from_wire(topics.collect())
}

fn envelope(json: &Value, payload: Bytes) -> Envelope {
    Envelope {
        sender: text(json, "sender").parse().unwrap(),
        receiver: text(json, "receiver").parse().unwrap(),
        kind: match text(json, "type") {
            "data" => MessageKind::Data,
            "command" => MessageKind::Command,
            "routing_update" => MessageKind::RoutingUpdate,
            "ping" => MessageKind::Ping,
            "pong" => MessageKind::Pong,
            other => panic!("no envelope is of type {other}"),
        },
        ttl: u16::try_from(field(json, "ttl").as_u64().unwrap()).unwrap(),
        topic: Topic::new(text(json, "topic")).unwrap(),
        payload,
    }
}

fn check_payload(decoded: &Envelope, json: &Value, name: &str) {
    let limits = Limits::default();
    let payload = &decoded.payload;
    let encoded = match decoded.kind {
        MessageKind::Data => {
            let meaning = typed::data(field(json, "data"));
            assert_eq!(
                data::decode(payload, &limits),
                Ok(meaning.clone()),
                "{name}"
            );
            data::encode(&meaning)
        }
        MessageKind::Command => {
            let meaning = command(field(json, "command"));
            assert_eq!(
                Command::decode(payload, &limits),
                Ok(meaning.clone()),
                "{name}"
            );
            meaning.encode()
        }
        MessageKind::RoutingUpdate => {
            let meaning = filter(json);
            assert_eq!(
                decode_filter(payload, &limits),
                Ok(meaning.clone()),
                "{name}"
            );
            encode_filter(&meaning)
        }
        MessageKind::Ping | MessageKind::Pong => unhex(text(json, "payload_hex")).into(),
    };
    assert_eq!(encoded, *payload, "{name}");
}

fn command(json: &Value) -> Command {
    Command {
        seq: parse(text(json, "seq")),
        sender: entity(field(json, "sender")),
        receiver: entity(field(json, "receiver")),
        content: content(field(json, "content")),
    }
}

fn content(json: &Value) -> CommandContent {
    let value = |key| typed::data(field(json, key));
    let entity = |key| entity(field(json, key));
    let number = |key| parse(text(json, key));
    let heartbeat = || u16::try_from(field(json, "heartbeat_interval").as_u64().unwrap()).unwrap();
    let expiry = || field(json, "expiry_ns").as_str().map(parse);
    let (key, publisher) = ("key", "publisher");
    match text(json, "cmd") {
        "put" => CommandContent::Put {
            key: value(key),
            value: value("value"),
            expiry: expiry(),
            publisher: entity(publisher),
        },
        "put_unique" => CommandContent::PutUnique {
            key: value(key),
            value: value("value"),
            expiry: expiry(),
            who: entity("who"),
            request: number("req_id"),
            publisher: entity(publisher),
        },
        "put_unique_result" => CommandContent::PutUniqueResult {
            inserted: field(json, "inserted").as_bool().unwrap(),
            who: entity("who"),
            request: number("req_id"),
            publisher: entity(publisher),
        },
        "erase" => CommandContent::Erase {
            key: value(key),
            publisher: entity(publisher),
        },
        "expire" => CommandContent::Expire {
            key: value(key),
            publisher: entity(publisher),
        },
        "add" => CommandContent::Add {
            key: value(key),
            value: value("value"),
            init_tag: typed::data(
                &serde_json::json!({"type": text(json, "init_type"), "value": "0"}),
            )
            .tag(),
            expiry: expiry(),
            publisher: entity(publisher),
        },
        "subtract" => CommandContent::Subtract {
            key: value(key),
            value: value("value"),
            expiry: expiry(),
            publisher: entity(publisher),
        },
        "clear" => CommandContent::Clear {
            publisher: entity(publisher),
        },
        "attach_writer" => CommandContent::AttachWriter {
            offset: number("offset"),
            heartbeat: heartbeat(),
        },
        "keepalive" => CommandContent::Keepalive { seq: number("seq") },
        "cumulative_ack" => CommandContent::CumulativeAck { seq: number("seq") },
        "nack" => CommandContent::Nack {
            seqs: numbers(json, "seqs"),
        },
        "ack_clone" => CommandContent::AckClone {
            offset: number("offset"),
            heartbeat: heartbeat(),
            state: entries(json, "state"),
        },
        "retransmit_failed" => CommandContent::RetransmitFailed { seq: number("seq") },
        other => panic!("no command is called {other}"),
    }
}

fn numbers(json: &Value, key: &str) -> Vec<u64> {
    let numbers = list(json, key).iter();
    numbers
        .map(|number| parse(number.as_str().unwrap()))
        .collect()
}

fn entries(json: &Value, key: &str) -> Vec<(Data, Data)> {
    let entries = list(json, key).iter();
    let pair = |entry| {
        (
            typed::data(field(entry, "key")),
            typed::data(field(entry, "value")),
        )
    };
    entries.map(pair).collect()
}

fn entity(json: &Value) -> EntityId {
    EntityId {
        endpoint: text(json, "endpoint").parse().unwrap(),
        object: parse(text(json, "object")),
    }
}

fn framed(payload: &[u8]) -> Bytes {
    let len = u32::try_from(payload.len()).unwrap();
    [len.to_be_bytes().as_slice(), payload].concat().into()
}

/// The code of a frame that is a drop_conn (WIRE §4.1).
fn drop_code(frame: &[u8]) -> Option<u8> {
    (frame.get(4) == Some(&9)).then(|| frame.get(25).copied())?
}

/// What a fresh endpoint does about these bytes on a link that it accepted.
fn answers_to(bytes: &Bytes) -> Vec<Output> {
    let now = start();
    let id = EndpointId::from_bytes([0x42; 16]);
    let mut endpoint = Endpoint::new(id, Options::default(), IdGen::new(1));
    let link = LinkId::Accepted(0);
    let remote = SocketAddr::from(([127, 0, 0, 1], 50_000));
    endpoint.handle(
        now,
        Input::Opened {
            link,
            remote,
            certificate: None,
        },
    );
    endpoint.handle(
        now,
        Input::Bytes {
            link,
            chunk: bytes.clone(),
        },
    );
    std::iter::from_fn(|| endpoint.poll_output()).collect()
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}
