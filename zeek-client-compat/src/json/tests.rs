//! Every type both ways, then whole messages of the stock software.

use broker_proto::codec::view::View;
use broker_proto::zeek::Event;
use broker_proto::{ByteString, Data, Port, Protocol, Set, Subnet, Table, Timespan, Timestamp};
use serde_json::Value;

use super::*;
use crate::message::{self, DataMessage};

/// Checks that a value is written as this text and read from it.
fn both_ways(data: Data, text: &str) {
    assert_eq!(encode(&data), text);
    assert_eq!(read(text), Ok(data), "{text}");
}

fn read(text: &str) -> Result<Data, JsonError> {
    decode(&parse(text).unwrap())
}

/// Reads a value given by its type and the JSON text of its `data`.
fn read_as(type_name: &str, data: &str) -> Result<Data, JsonError> {
    read(&format!(r#"{{"@data-type":"{type_name}","data":{data}}}"#))
}

fn refusal(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn subnet(network: &str, length: u8) -> Data {
    Data::Subnet(Subnet::new(network.parse().unwrap(), length).unwrap())
}

fn port(number: u16, protocol: Protocol) -> Data {
    Data::Port(Port { number, protocol })
}

#[test]
fn plain_values_are_written_as_stock_does() {
    both_ways(Data::None, r#"{"@data-type":"none","data":{}}"#);
    both_ways(
        Data::Boolean(true),
        r#"{"@data-type":"boolean","data":true}"#,
    );
    both_ways(
        Data::Boolean(false),
        r#"{"@data-type":"boolean","data":false}"#,
    );
    both_ways(
        Data::Count(u64::MAX),
        r#"{"@data-type":"count","data":18446744073709551615}"#,
    );
    both_ways(
        Data::Count(9_007_199_254_740_993),
        r#"{"@data-type":"count","data":9007199254740993}"#,
    );
    both_ways(
        Data::Integer(i64::MIN),
        r#"{"@data-type":"integer","data":-9223372036854775808}"#,
    );
    both_ways(
        Data::Integer(i64::MAX),
        r#"{"@data-type":"integer","data":9223372036854775807}"#,
    );
    both_ways(Data::string("x"), r#"{"@data-type":"string","data":"x"}"#);
    both_ways(
        Data::enum_value("Supervisor::WORKER"),
        r#"{"@data-type":"enum-value","data":"Supervisor::WORKER"}"#,
    );
}

#[test]
fn none_may_have_any_data_or_no_data() {
    assert_eq!(read(r#"{"@data-type":"none"}"#), Ok(Data::None));
    assert_eq!(read(r#"{"@data-type":"none","data":[1]}"#), Ok(Data::None));
}

#[test]
fn integers_of_the_wrong_kind_or_range_are_refused() {
    for data in ["-1", "1.0", "\"1\"", "18446744073709551616", "1e3", "true"] {
        assert!(read_as("count", data).is_err(), "{data}");
    }
    for data in [
        "9223372036854775808",
        "-9223372036854775809",
        "1.0",
        "\"1\"",
    ] {
        assert!(read_as("integer", data).is_err(), "{data}");
    }
    for data in ["1", "\"true\"", "null"] {
        assert!(read_as("boolean", data).is_err(), "{data}");
    }
}

#[test]
fn reals_are_shortest_and_never_look_like_integers() {
    for (value, text) in [
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (0.1, "0.1"),
        (1.5e-9, "1.5e-9"),
        (1e300, "1.0e300"),
        (1e16, "1.0e16"),
        (123_456.789, "123456.789"),
        (f64::MAX, "1.7976931348623157e308"),
    ] {
        both_ways(
            Data::Real(value),
            &format!(r#"{{"@data-type":"real","data":{text}}}"#),
        );
    }
    for data in ["1", "1.000000", "10e-1"] {
        assert_eq!(read_as("real", data), Ok(Data::Real(1.0)), "{data}");
    }
}

#[test]
fn reals_that_are_not_finite_are_read_but_not_written() {
    for (data, value) in [
        ("nan", f64::NAN),
        ("NaN", f64::NAN),
        ("inf", f64::INFINITY),
        ("Infinity", f64::INFINITY),
        ("-inf", f64::NEG_INFINITY),
        ("-Infinity", f64::NEG_INFINITY),
    ] {
        assert_eq!(read_as("real", data), Ok(Data::Real(value)), "{data}");
        assert_eq!(
            encode(&Data::Real(value)),
            r#"{"@data-type":"none","data":{}}"#
        );
    }
    assert!(read_as("real", "\"1.0\"").is_err());
}

#[test]
fn strings_are_strict_json_whatever_their_bytes() {
    both_ways(
        Data::string("\"\\/\u{8}\u{c}\n\r\t\u{b}\u{0}\u{1f}\u{7f}ü€😀"),
        "{\"@data-type\":\"string\",\"data\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u000b\\u0000\\u001f\u{7f}ü€😀\"}",
    );
    let latin1 = Data::String(ByteString::from(&b"caf\xe9"[..]));
    assert_eq!(
        encode(&latin1),
        "{\"@data-type\":\"string\",\"data\":\"caf\u{fffd}\"}"
    );
}

#[test]
fn all_escapes_are_read_and_lone_surrogates_refused() {
    let escaped = r#""\u00e9\ud83d\ude00\/\u0000""#;
    assert_eq!(read_as("string", escaped), Ok(Data::string("é😀/\0")));
    assert!(parse(r#"{"@data-type":"string","data":"\ud83d"}"#).is_err());
    assert!(parse("\"\u{1}\"").is_err());
}

#[test]
fn addresses_are_canonical() {
    for text in ["127.0.0.1", "::1", "2001:db8::b", "0.0.0.0"] {
        let json = format!(r#"{{"@data-type":"address","data":"{text}"}}"#);
        both_ways(Data::Address(text.parse().unwrap()), &json);
    }
    let mapped = read_as("address", "\"::ffff:1.2.3.4\"").unwrap();
    assert_eq!(
        encode(&mapped),
        r#"{"@data-type":"address","data":"1.2.3.4"}"#
    );
    for data in ["\"[::1]\"", "\"localhost\"", "\"1.2.3\"", "\"\"", "1"] {
        assert!(read_as("address", data).is_err(), "{data}");
    }
}

#[test]
fn subnets_are_masked_and_impossible_lengths_refused() {
    both_ways(
        subnet("10.0.0.0", 104),
        r#"{"@data-type":"subnet","data":"10.0.0.0/8"}"#,
    );
    both_ways(
        subnet("2001:db8::", 32),
        r#"{"@data-type":"subnet","data":"2001:db8::/32"}"#,
    );
    both_ways(subnet("::", 0), r#"{"@data-type":"subnet","data":"::/0"}"#);
    assert_eq!(
        read_as("subnet", "\"10.1.2.3/8\""),
        Ok(subnet("10.0.0.0", 104))
    );
    assert_eq!(
        read_as("subnet", "\"0.0.0.0/0\""),
        Ok(subnet("0.0.0.0", 96))
    );
    assert_eq!(
        read_as("subnet", "\"::ffff:10.0.0.0/104\""),
        Ok(subnet("10.0.0.0", 104))
    );
    for text in [
        "10.0.0.0/33",
        "10.0.0.0/64",
        "::/129",
        "::/256",
        "10.0.0.0",
        "10.0.0.0/",
        "::/+1",
        "x/8",
    ] {
        assert!(read_as("subnet", &format!("\"{text}\"")).is_err(), "{text}");
    }
}

#[test]
fn ports_without_number_or_protocol_are_written_as_none() {
    both_ways(
        port(80, Protocol::Tcp),
        r#"{"@data-type":"port","data":"80/tcp"}"#,
    );
    both_ways(
        port(53, Protocol::Udp),
        r#"{"@data-type":"port","data":"53/udp"}"#,
    );
    both_ways(
        port(8, Protocol::Icmp),
        r#"{"@data-type":"port","data":"8/icmp"}"#,
    );
    both_ways(
        port(65_535, Protocol::Tcp),
        r#"{"@data-type":"port","data":"65535/tcp"}"#,
    );
    for none in [Port::NONE, Port::tcp(0)] {
        assert_eq!(
            encode(&Data::Port(none)),
            r#"{"@data-type":"none","data":{}}"#
        );
    }
    let eighty = port(80, Protocol::Unknown);
    assert_eq!(encode(&eighty), r#"{"@data-type":"none","data":{}}"#);
    assert_eq!(read_as("port", "\"80\""), Ok(port(80, Protocol::Tcp)));
    assert_eq!(read_as("port", "\"80/?\""), Ok(eighty.clone()));
    assert_eq!(read_as("port", "\"80/sctp\""), Ok(eighty));
    assert_eq!(read_as("port", "\"0/?\""), Ok(Data::Port(Port::NONE)));
    for data in [
        "\"70000/tcp\"",
        "\"x/tcp\"",
        "\"\"",
        "\"-1/tcp\"",
        "\"+1/tcp\"",
        "80",
    ] {
        assert!(read_as("port", data).is_err(), "{data}");
    }
}

#[test]
fn timestamps_are_utc_with_three_digits() {
    for (nanos, text) in [
        (0, "1970-01-01T00:00:00.000"),
        (1_700_000_000_123_000_000, "2023-11-14T22:13:20.123"),
        (-1_000_000, "1969-12-31T23:59:59.999"),
    ] {
        let json = format!(r#"{{"@data-type":"timestamp","data":"{text}"}}"#);
        both_ways(Data::Timestamp(Timestamp(nanos)), &json);
    }
    let truncated = Data::Timestamp(Timestamp(1_999_999));
    assert_eq!(
        encode(&truncated),
        r#"{"@data-type":"timestamp","data":"1970-01-01T00:00:00.001"}"#
    );
}

#[test]
fn timestamps_are_read_with_any_fraction_and_zone() {
    for (text, nanos) in [
        ("1970-01-01T00:00:01", 1_000_000_000),
        ("1970-01-01T00:00:01.", 1_000_000_000),
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:00.123456789", 123_456_789),
        ("1970-01-01T01:30:00.5+01:30", 500_000_000),
        ("1969-12-31T23:00:00-01:00", 0),
    ] {
        let expected = Data::Timestamp(Timestamp(nanos));
        assert_eq!(
            read_as("timestamp", &format!("\"{text}\"")),
            Ok(expected),
            "{text}"
        );
    }
    for text in [
        "1970-01-01",
        "1970-01-01 00:00:00",
        "1970-13-01T00:00:00",
        "1970-00-01T00:00:00",
        "1970-01-00T00:00:00",
        "1970-01-01T24:00:00",
        "1970-01-01T00:00:60",
        "1970-01-01T00:00:00.1234567890",
        "1970-01-01T00:00:00x",
        "1970-01-01T00:00:00+01",
        "+970-01-01T00:00:00",
        "9999-01-01T00:00:00",
        "é970-01-01T00:00:00",
        "",
    ] {
        assert!(
            read_as("timestamp", &format!("\"{text}\"")).is_err(),
            "{text}"
        );
    }
}

#[test]
fn timespans_are_written_without_microseconds() {
    for (nanos, text) in [
        (0, "0s"),
        (90_000_000_000, "90s"),
        (1_500_000_000, "1500ms"),
        (5_000, "5000ns"),
        (1, "1ns"),
        (-2_000_000_000, "-2s"),
        (i64::MIN, "-9223372036854775808ns"),
    ] {
        let json = format!(r#"{{"@data-type":"timespan","data":"{text}"}}"#);
        both_ways(Data::Timespan(Timespan(nanos)), &json);
    }
}

#[test]
fn timespans_are_read_in_seven_units() {
    for (text, nanos) in [
        ("5us", 5_000),
        ("1.5s", 1_500_000_000),
        ("1.5h", 5_400_000_000_000),
        ("2min", 120_000_000_000),
        ("1d", 86_400_000_000_000),
        ("+1ms", 1_000_000),
        ("-0.5ms", -500_000),
        ("1.s", 1_000_000_000),
        ("0.0000000000000000001d", 0),
    ] {
        let expected = Data::Timespan(Timespan(nanos));
        assert_eq!(
            read_as("timespan", &format!("\"{text}\"")),
            Ok(expected),
            "{text}"
        );
    }
    for text in [
        "",
        "1",
        "s",
        "1 s",
        "1.5.5s",
        ".5s",
        "1w",
        "--1s",
        "1e3s",
        "9223372036854775808ns",
        "106752d",
    ] {
        assert!(
            read_as("timespan", &format!("\"{text}\"")).is_err(),
            "{text}"
        );
    }
}

#[test]
fn containers_keep_their_order_and_forgive_duplicate_members() {
    let one = Data::Count(1);
    let two = Data::Count(2);
    let items = r#"[{"@data-type":"count","data":1},{"@data-type":"count","data":2}]"#;
    both_ways(
        Data::Vector(vec![one.clone(), two.clone()]),
        &format!(r#"{{"@data-type":"vector","data":{items}}}"#),
    );
    let set = Data::Set(Set::from([two.clone(), one.clone()]));
    both_ways(
        set.clone(),
        &format!(r#"{{"@data-type":"set","data":{items}}}"#),
    );
    let again = items.replace("[{", r#"[{"@data-type":"count","data":2},{"#);
    assert_eq!(read_as("set", &again), Ok(set));
    both_ways(
        Data::Table(Table::from([(one, Data::string("a"))])),
        r#"{"@data-type":"table","data":[{"key":{"@data-type":"count","data":1},"value":{"@data-type":"string","data":"a"}}]}"#,
    );
    both_ways(Data::Set(Set::new()), r#"{"@data-type":"set","data":[]}"#);
    both_ways(
        Data::Table(Table::new()),
        r#"{"@data-type":"table","data":[]}"#,
    );
    both_ways(Data::Vector(vec![]), r#"{"@data-type":"vector","data":[]}"#);
}

#[test]
fn an_error_names_the_way_to_the_bad_value() {
    let good = r#"{"@data-type":"count","data":1}"#;
    let table = format!(
        r#"{{"@data-type":"vector","data":[{good},{{"@data-type":"table","data":[{{"key":{good},"value":{{"@data-type":"port","data":"x/tcp"}}}}]}}]}}"#
    );
    assert_eq!(
        refusal(&table),
        "'x/tcp' is not a valid port at $.data[1].data[0].value"
    );
    assert_eq!(refusal("[]"), "value is not an object at $");
    assert_eq!(refusal("{}"), "no '@data-type' at $");
    assert_eq!(refusal(r#"{"@data-type":"count"}"#), "no 'data' at $");
    assert_eq!(
        refusal(r#"{"@data-type":"enum_value","data":"x"}"#),
        "unknown type 'enum_value' at $"
    );
    assert_eq!(
        refusal(r#"{"@data-type":"vector","data":[7]}"#),
        "value is not an object at $.data[0]"
    );
    assert_eq!(
        refusal(r#"{"@data-type":"set","data":{}}"#),
        "set is not an array at $"
    );
    let entry = |members: &str| format!(r#"{{"@data-type":"table","data":[{members}]}}"#);
    assert_eq!(
        refusal(&entry(&format!(r#"{{"key":{good}}}"#))),
        "no 'value' at $.data[0]"
    );
    assert_eq!(
        refusal(&entry(&format!(r#"{{"value":{good}}}"#))),
        "no 'key' at $.data[0]"
    );
    let twice = format!(r#"{{"key":{good},"value":{good}}},{{"key":{good},"value":{good}}}"#);
    assert_eq!(refusal(&entry(&twice)), "duplicate key at $.data[1]");
    let long = refusal(&format!(
        r#"{{"@data-type":"{}","data":1}}"#,
        "ü".repeat(1000)
    ));
    assert_eq!(long, format!("unknown type '{}…' at $", "ü".repeat(60)));
}

#[test]
fn depth_and_size_of_a_document_are_bounded() {
    let nested = |depth: usize| {
        let open = r#"{"@data-type":"vector","data":["#.repeat(depth);
        format!("{open}{}", "]}".repeat(depth))
    };
    assert!(read(&nested(63)).is_ok());
    assert!(parse(&nested(64)).is_err());
    assert!(parse(&"[".repeat(10_000_000)).is_err());
    let wide = format!("[{}0]", "0,".repeat(MAX_TOKENS));
    assert!(matches!(parse(&wide), Err(ParseError::TooMany)));
}

#[test]
fn every_frame_of_the_reference_is_an_event() {
    let frames = include_str!("../../tests/frames.txt");
    assert_eq!(frames.lines().count(), 16);
    for frame in frames.lines() {
        let (_, text) = frame.split_once(' ').unwrap();
        check_frame(Order::OfSetsMayDiffer, text);
    }
}

#[test]
fn what_a_stock_controller_and_its_client_said_reads_and_writes_back() {
    let mut checked = 0;
    for text in [
        include_str!("../../../tests/transcripts/a2c/transcript.json"),
        include_str!("../../../tests/transcripts/c2a/transcript.json"),
    ] {
        let transcript: Value = serde_json::from_str(text).unwrap();
        let connections = transcript["connections"].as_array().unwrap().iter();
        for connection in connections.filter(|c| c["kind"] == "websocket") {
            for message in connection["messages"].as_array().unwrap() {
                if let Some(text) = message["text"].as_str() {
                    check_message(message["from"] == "server", text);
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 100, "only {checked} messages");
}

fn check_message(from_server: bool, text: &str) {
    let value = parse(text).unwrap();
    if value.is_array() {
        assert!(message::parse_subscriptions(text).is_ok());
    } else if value["type"] == "ack" {
        let member = |name: &str| value[name].as_str().unwrap().to_owned();
        assert_eq!(message::ack(&member("endpoint"), &member("version")), text);
    } else if from_server {
        check_frame(Order::Same, text);
    } else {
        check_frame(Order::OfSetsMayDiffer, text);
    }
}

/// How what we write may differ from what we read: zeek-client has another order of keys and sets.
enum Order {
    Same,
    OfSetsMayDiffer,
}

fn check_frame(order: Order, text: &str) {
    let DataMessage { topic, data } = DataMessage::parse(text).unwrap();
    let event = Event::from_data(data.clone()).unwrap();
    assert_eq!(event.metadata, None);
    assert_eq!(event.into_data(), data);
    let written = message::data(&topic, &View::of(&data));
    match order {
        Order::Same => assert_eq!(written, text),
        Order::OfSetsMayDiffer => {
            let sorted = |text: &str| sort_arrays(serde_json::from_str(text).unwrap());
            assert_eq!(sorted(&written), sorted(text));
        }
    }
}

fn sort_arrays(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<_> = items.into_iter().map(sort_arrays).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(members) => {
            let members = members.into_iter();
            Value::Object(
                members
                    .map(|(key, value)| (key, sort_arrays(value)))
                    .collect(),
            )
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[test]
fn a_long_answer_is_about_as_long_as_it_is_estimated() {
    let text = |text: &str| Data::string(text);
    let name = |name: &str| Data::enum_value(name);
    let node = Data::Vector(vec![
        text("node-00001-01"),
        name("Management::RUNNING"),
        name("Management::NONE"),
        name("Supervisor::WORKER"),
        Data::Integer(1001),
        Data::None,
        Data::Port(Port::tcp(9000)),
    ]);
    for count in [1, 64, 65, 1000] {
        let value = Data::Vector(vec![node.clone(); count]);
        let (len, estimated) = (encode(&value).len(), estimate(&View::of(&value)));
        assert!(
            (len..len + len / 8 + 64).contains(&estimated),
            "{estimated} for {len}"
        );
    }
}

/// Whoever knows which values are looked at cannot have more than that set aside.
#[test]
fn an_estimate_is_bounded() {
    let view = View::of(&Data::Vector(vec![Data::None; 1 << 20]));
    assert_eq!(estimate(&view), 16 << 20);
}

#[test]
fn only_a_name_that_is_a_string_begins_an_event() {
    let one = r#"{"@data-type":"count","data":1}"#;
    let start = |name: &str| {
        format!(
            r#"{{"type":"data-message","topic":"t","@data-type":"vector","data":[{one},{one},{{"@data-type":"vector","data":[{name},{{"@data-type":"vector","data":[{one},"#
        )
    };
    let name = r#"{"@data-type":"string","data":"e"}"#;
    let found = ("e".to_owned(), Data::Count(1));
    assert_eq!(opening(&start(name)), Some(found));
    assert_eq!(opening(&start(one)), None);
}
