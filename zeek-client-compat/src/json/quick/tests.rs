use super::*;
use serde_json::Value;

use crate::json::encode;
use crate::message::DataMessage;

/// As the careful reader has it.
fn carefully(text: &str) -> Option<(Topic, Data)> {
    let message = DataMessage::parse_carefully(text).ok()?;
    Some((message.topic, message.data))
}

fn around(value: &str) -> String {
    format!(r#"{{"type":"data-message","topic":"/t",{}"#, &value[1..])
}

/// The same as zeek-client has it, which sorts the members of objects.
fn sorted(value: &str) -> String {
    let members = value.strip_suffix('}').unwrap();
    format!(r#"{members}, "topic": "/t", "type": "data-message"}}"#)
}

#[test]
fn what_clients_write_is_read_at_once() {
    let value = r#"{"@data-type":"vector","data":[
        {"@data-type": "none", "data": {}}, {"@data-type":"boolean","data":true},
        {"@data-type":"count","data":18446744073709551615},
        {"@data-type":"integer","data":-5}, {"@data-type":"count","data":0},
        {"@data-type":"string","data":"a\u00e9\"\\ \ud83d\ude00é"},
        {"@data-type":"enum-value","data":"A::B"},
        {"@data-type":"address","data":"10.0.0.1"}, {"@data-type":"subnet","data":"10.0.0.0/8"},
        {"@data-type":"port","data":"80/tcp"}, {"@data-type":"timespan","data":"5s"},
        {"@data-type":"timestamp","data":"2022-04-10T07:00:00.000"},
        {"@data-type":"set","data":[]}, {"@data-type":"set","data":[{"@data-type":"count","data":2},
         {"@data-type":"count","data":1}, {"@data-type":"count","data":2}]},
        {"@data-type":"table","data":[{"key":{"@data-type":"count","data":1},
         "value":{"@data-type":"string","data":""}}]} ]}"#;
    let text = around(value);
    let (topic, data) = message(&text).unwrap();
    assert_eq!(topic, Topic::from_static("/t"));
    let read = Some((topic, data.clone()));
    assert_eq!(read, carefully(&text));
    assert_eq!(message(&sorted(value)), read);
    assert_eq!(message(&around(&encode(&data))), read);
}

/// Every cut and every changed byte: what is read at once is what is read carefully.
#[test]
fn nothing_is_read_that_the_careful_reader_reads_otherwise() {
    let value = r#"{"@data-type":"vector","data":[{"@data-type":"count","data":10},{"@data-type":"integer","data":-1},{"@data-type":"port","data":"80/tcp"},{"@data-type":"boolean","data":true},{"@data-type":"none","data":{}},{"@data-type":"string","data":"a\n"},{"@data-type":"table","data":[{"key":{"@data-type":"count","data":1},"value":{"@data-type":"count","data":1}}]}]}"#;
    let same = |text: &str| {
        if let Some(read) = message(text) {
            assert_eq!(Some(read), carefully(text), "{text}");
        }
    };
    for text in [around(value), sorted(value)] {
        for at in 0..text.len() {
            same(&text[..at]);
            for byte in *b" \"\\{}[],:01-.ee+ntx\x01\x0c\t" {
                let mut changed = text.clone().into_bytes();
                changed[at] = byte;
                same(std::str::from_utf8(&changed).unwrap());
                changed.insert(at, byte);
                same(std::str::from_utf8(&changed).unwrap());
            }
        }
    }
}

#[test]
fn what_the_stock_client_wrote_is_read_at_once() {
    let mut checked = 0;
    for text in [
        include_str!("../../../../tests/transcripts/a2c/transcript.json"),
        include_str!("../../../../tests/transcripts/c2a/transcript.json"),
    ] {
        let transcript: Value = serde_json::from_str(text).unwrap();
        let connections = transcript["connections"].as_array().unwrap().iter();
        for connection in connections.filter(|c| c["kind"] == "websocket") {
            let messages = connection["messages"].as_array().unwrap().iter();
            let texts = messages.filter(|m| m["from"] == "client");
            let texts = texts.filter_map(|message| message["text"].as_str());
            for text in texts.filter(|text| text.starts_with('{')) {
                let read = message(text);
                assert!(read.is_some(), "{text}");
                assert_eq!(read, carefully(text), "{text}");
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "only {checked} messages");
}

#[test]
fn members_of_the_message_come_in_any_order_but_once() {
    let value = r#""@data-type":"count","data":1"#;
    let (kind, topic) = (r#""type":"data-message""#, r#""topic":"/t""#);
    let read = Some((Topic::from_static("/t"), Data::Count(1)));
    for text in [
        format!("{{{value},{topic},{kind}}}"),
        format!("{{{topic},{value},{kind}}}"),
        format!("{{ {kind} , {topic} , {value} }}"),
        format!("{{{value},{topic}}}"),
    ] {
        assert_eq!(message(&text), read, "{text}");
        assert_eq!(carefully(&text), read, "{text}");
    }
    for text in [
        format!("{{{value},{topic},{kind},{kind}}}"),
        format!("{{{value},{topic},{value}}}"),
        format!("{{{value},{topic},{topic}}}"),
        format!("{{{value},{topic},\"x\":1}}"),
        format!("{{{value},{topic},}}"),
        format!("{{{value},{topic}}}}}"),
        format!("{{{value},{kind}}}"),
        format!("{{{topic},{kind}}}"),
        format!("{{{value} {topic}}}"),
        "{}".to_owned(),
    ] {
        assert_eq!(message(&text), None, "{text}");
    }
}

#[test]
fn what_is_written_otherwise_is_left_to_the_careful_reader() {
    for value in [
        r#"{"data":1,"@data-type":"count"}"#,
        r#"{"@data-type":"count","data":1,"x":1}"#,
        r#"{"@data-type":"count","data":-0}"#,
        r#"{"@data-type":"count","data":01}"#,
        r#"{"@data-type":"count","data":1.0}"#,
        r#"{"@data-type":"real","data":1.0}"#,
        r#"{"@data-type":"none"}"#,
        r#"{"@data-type":"cnt","data":1}"#,
        r#"{"@data-type":"count","data":1}}"#,
    ] {
        assert_eq!(message(&around(value)), None, "{value}");
    }
    let other = r#"{"type":"ack","topic":"/t","@data-type":"count","data":1}"#;
    assert_eq!(message(other), None);
    let deep = r#"{"@data-type":"vector","data":["#.repeat(100);
    assert_eq!(message(&around(&deep)), None);
}
