use std::fs;
use std::path::Path;

use broker_proto::{Data, Timespan};
use serde_json::Value;

use crate::decode::{DecodeFailure, Form, run};
use crate::json::{read, write};
use crate::{Kind, args, text};

#[test]
fn every_vector_decodes_to_its_json_and_back_to_its_bytes() {
    for vector in vectors() {
        let (name, json) = (&vector["name"], &vector["json"]);
        let hex = vector["hex"].as_str().unwrap();
        let kind = kind(&vector);
        let (line, result) = decoded(kind, Form::Json, hex.as_bytes());
        if json["invalid"] == true {
            assert!(
                result.is_err() && line.contains("\"invalid\": true"),
                "{name}"
            );
            continue;
        }
        result.unwrap();
        if json["canonical"] == false {
            continue;
        }
        // Decoding JSON again gives the bytes, in one go and by way of its text.
        for input in [hex, &line] {
            let (again, result) = decoded(kind, Form::Hex, input.as_bytes());
            result.unwrap();
            assert_eq!(again, format!("{hex}\n"), "{name}");
        }
        // The file's own text means the same bytes.
        let bytes = read::encode(json).unwrap();
        assert_eq!(write::hex(&bytes), hex, "{name}");
    }
}

#[test]
fn json_of_scalars_and_messages_is_that_of_the_vectors() {
    let mut compared = 0;
    for vector in vectors() {
        let json = &vector["json"];
        let listed = json.to_string();
        // Sets and tables are listed in any order; long strings may be written as hex.
        let any_form = ["elements", "entries", "\"hex\"", "invalid", "canonical"];
        if any_form.iter().any(|word| listed.contains(word)) {
            continue;
        }
        let hex = vector["hex"].as_str().unwrap();
        let (line, _) = decoded(kind(&vector), Form::Json, hex.as_bytes());
        let ours: Value = serde_json::from_str(&line).unwrap();
        if let Some(value) = json["value"].as_str()
            && ["address", "subnet"].contains(&json["type"].as_str().unwrap())
        {
            // An address has several texts.
            let kind = json["type"].as_str().unwrap();
            assert_eq!(read::data(&ours), read::scalar(kind, value));
        } else {
            assert_eq!(ours, *json, "{}", vector["name"]);
        }
        compared += 1;
    }
    assert!(compared > 70, "only {compared}");
}

#[test]
fn a_stream_of_frames_is_told_apart() {
    let hello = "000000175a";
    let stream = [
        // hello (WIRE §4.1), originator_ack, then a ping (WIRE §5).
        "00000017065a45454b5746d8ee36445bd29f54d5a44c26c2a10101",
        "000000010c",
        "0000002b00000000000040008000000000000000c0551e8d392b509ba47bae46f75befac04001000033c243e666f6f",
    ];
    let bytes = read::unhex(&stream.concat()).unwrap();
    let (lines, result) = decoded(Kind::Frames, Form::Json, &bytes);
    result.unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines[0]["msg"], "hello");
    assert_eq!(lines[1]["msg"], "originator_ack");
    assert_eq!(lines[2]["payload_hex"], "666f6f");
    let (hex, _) = decoded(Kind::Frames, Form::Hex, &bytes);
    let payloads: Vec<&str> = stream.iter().map(|frame| &frame[8..]).collect();
    assert_eq!(hex.lines().collect::<Vec<_>>(), payloads);
    let (cut, result) = decoded(Kind::Frames, Form::Json, &read::unhex(hello).unwrap());
    assert!(matches!(result, Err(DecodeFailure::Invalid(1))));
    assert!(cut.contains("5 bytes of an unfinished frame"), "{cut}");
}

#[test]
fn arguments_are_typed_text_or_json() {
    assert_eq!(args::value("count:7"), Ok(Data::Count(7)));
    assert_eq!(args::value("string:a:b"), Ok(Data::string("a:b")));
    assert_eq!(args::value("boolean:true"), Ok(Data::Boolean(true)));
    assert_eq!(args::value("none"), Ok(Data::None));
    assert_eq!(args::value("timespan:-5"), Ok(Data::Timespan(Timespan(-5))));
    assert_eq!(
        args::value("address:::1"),
        Ok(Data::Address("::1".parse().unwrap()))
    );
    let list = r#"{"type": "vector", "elements": [{"type": "count", "value": "1"}]}"#;
    assert_eq!(args::value(list), Ok(Data::Vector(vec![Data::Count(1)])));
    for wrong in ["count:-1", "count", "word:x", "{", "{}", "{} {}"] {
        assert!(args::value(wrong).is_err(), "{wrong}");
    }
    assert!(args::value(&"{\"a\":[".repeat(100_000)).is_err());
}

#[test]
fn reals_are_written_as_python_does() {
    let texts = [
        "2.5",
        "-0.0",
        "1e-05",
        "1e+16",
        "1.7976931348623157e+308",
        "inf",
        "-inf",
        "nan",
    ];
    for expected in texts {
        assert_eq!(write::real(expected.parse().unwrap()), expected);
    }
}

#[test]
fn people_read_events_as_calls() {
    let event = broker_proto::zeek::Event::new(
        "Example::ping",
        vec![
            Data::Count(7),
            Data::string("a \"b\""),
            Data::Timespan(Timespan(-1)),
        ],
    );
    let text = text::message(&event.into_data());
    assert_eq!(text, r#"Example::ping(7, "a \"b\"", -0.000000001s)"#);
}

fn decoded(kind: Kind, form: Form, mut input: &[u8]) -> (String, Result<(), DecodeFailure>) {
    let mut out = Vec::new();
    // A text of no lines has no item; an empty item is an empty line.
    let blank = &b"\n"[..];
    if input.is_empty() {
        input = blank;
    }
    let result = run(kind, form, &mut input, &mut out);
    (String::from_utf8(out).unwrap(), result)
}

fn kind(vector: &Value) -> Kind {
    match vector["kind"].as_str().unwrap() {
        "data" => Kind::Data,
        "handshake" => Kind::Handshake,
        _ => Kind::Envelope,
    }
}

fn vectors() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/codec.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}
