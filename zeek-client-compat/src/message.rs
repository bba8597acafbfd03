//! The messages of the WebSocket protocol: subscriptions, data, ack, error (CLIENT §A2–A4).

use broker_proto::codec::view::View;
use broker_proto::zeek::Event;
use broker_proto::{Data, Filter, Topic};
use serde_json::Value;

use crate::json::{self, JsonError, ParseError};

/// The most topics a client may subscribe to.
pub const MAX_SUBSCRIPTIONS: usize = 1_000;

/// The most bytes all topics of a client may have together.
pub const MAX_SUBSCRIPTION_BYTES: usize = 256 * 1024;

/// What the `type` of a data message says.
pub(crate) const DATA_MESSAGE: &str = "data-message";

/// The codes of error messages, by stock's names (CLIENT §A4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorCode {
    /// What the client sent cannot be read.
    DeserializationFailed,
    /// What the client sent was read and refused.
    BrokerError,
}

impl ErrorCode {
    /// The code in the message.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeserializationFailed => "deserialization_failed",
            Self::BrokerError => "broker_error",
        }
    }
}

/// The answer to the subscriptions: who serves this client, and which version.
pub fn ack(endpoint: &str, version: &str) -> String {
    object(&[
        ("type", "ack"),
        ("endpoint", endpoint),
        ("version", version),
    ])
}

/// What was wrong with a client's message. Only for the client that sent it: an error that comes
/// unasked ends the wait of zeek-client 1.4.0 and older.
pub fn error(code: ErrorCode, context: &str) -> String {
    object(&[
        ("type", "error"),
        ("code", code.name()),
        ("context", context),
    ])
}

/// A value on a topic, members in stock's order. Bytes of the topic that are not UTF-8 become
/// U+FFFD.
pub fn data(topic: &Topic, data: &View) -> String {
    let mut out = String::with_capacity(json::estimate(data) + topic.as_bytes().len() + 64);
    out.push_str("{\"type\":\"data-message\",\"topic\":");
    json::put_text(&String::from_utf8_lossy(topic.as_bytes()), &mut out);
    out.push(',');
    json::put_members_of(data, &mut out);
    out.push('}');
    out
}

/// An event as clients send it, metadata and all.
pub fn event(topic: &Topic, event: Event) -> String {
    data(topic, &View::of(&event.into_data()))
}

/// Why a client's first message is not a list of subscriptions. The texts are stock's as far as it
/// has one (CLIENT §A2).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SubscribeError {
    /// Not JSON, or no array.
    #[error("subscriptions not an array")]
    NotAnArray,
    /// An element is not a string.
    #[error("individual subscription not a string")]
    NotAString,
    /// More than [`MAX_SUBSCRIPTIONS`] or [`MAX_SUBSCRIPTION_BYTES`].
    #[error(
        "too many subscriptions: at most {MAX_SUBSCRIPTIONS} of {MAX_SUBSCRIPTION_BYTES} bytes"
    )]
    TooMany,
    /// One topic does not fit an envelope.
    #[error("individual subscription too long")]
    TooLong,
}

/// Reads a client's first message: a JSON array of topic prefixes. `[""]` asks for everything.
///
/// # Errors
/// If it is anything else, or too much.
pub fn parse_subscriptions(text: &str) -> Result<Filter, SubscribeError> {
    let value = json::parse(text).map_err(|_| SubscribeError::NotAnArray)?;
    let topics = value.as_array().ok_or(SubscribeError::NotAnArray)?;
    if topics.len() > MAX_SUBSCRIPTIONS {
        return Err(SubscribeError::TooMany);
    }
    let mut filter = Filter::default();
    let mut bytes = 0;
    for topic in topics {
        let topic = topic.as_str().ok_or(SubscribeError::NotAString)?;
        bytes += topic.len();
        if bytes > MAX_SUBSCRIPTION_BYTES {
            return Err(SubscribeError::TooMany);
        }
        filter.extend(Topic::new(topic).map_err(|_| SubscribeError::TooLong)?);
    }
    Ok(filter)
}

/// A value that a client publishes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DataMessage {
    /// Where to.
    pub topic: Topic,
    /// What.
    pub data: Data,
}

/// The event that a data message holds, as far as its name and first argument, of a text that need
/// not go on behind those. `None` if it is not written as clients write it.
pub(crate) fn opening(text: &str) -> Option<Event> {
    let (name, first) = json::opening(text)?;
    Some(Event {
        metadata: None,
        ..Event::new(name, vec![first])
    })
}

/// Why a message is not a data message. The texts are stock's, with the reason behind a colon
/// (CLIENT §A8).
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not JSON.
    #[error("failed to decode JSON object: {0}")]
    Syntax(#[from] ParseError),
    /// JSON, but an array or a plain value.
    #[error("failed to decode JSON object: not an object")]
    NotObject,
    /// `type` is there and says something else.
    #[error("failed to decode JSON object: type is not {DATA_MESSAGE}")]
    OtherType,
    /// `topic` is missing, not a string, or longer than an envelope allows.
    #[error("no topic in top-level JSON object")]
    NoTopic,
    /// The value cannot be read.
    #[error("failed to decode JSON object: {0}")]
    Value(#[from] JsonError),
}

impl DataMessage {
    /// Reads what a client sends after its subscriptions. The order of members does not matter,
    /// unknown ones are ignored, `type` may be absent (CLIENT §A3).
    ///
    /// # Errors
    /// If the text is no such message.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        if let Some((topic, data)) = json::quick_message(text) {
            return Ok(Self { topic, data });
        }
        Self::parse_carefully(text)
    }

    /// The same for every text there may be, with the verdict on those that are no such message.
    pub(crate) fn parse_carefully(text: &str) -> Result<Self, MessageError> {
        let value = json::parse(text)?;
        let object = value.as_object().ok_or(MessageError::NotObject)?;
        if object.get("type").is_some_and(|t| t != DATA_MESSAGE) {
            return Err(MessageError::OtherType);
        }
        let topic = object.get("topic").and_then(Value::as_str);
        let topic = topic.and_then(|t| Topic::new(t).ok());
        Ok(Self {
            topic: topic.ok_or(MessageError::NoTopic)?,
            data: json::decode_members(object)?,
        })
    }
}

fn object(members: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (key, value) in members {
        out.push(if out.is_empty() { '{' } else { ',' });
        json::put_text(key, &mut out);
        out.push(':');
        json::put_text(value, &mut out);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        DataMessage::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn messages_are_written_in_the_key_order_of_stock() {
        assert_eq!(
            ack("fc96b53a-0eb6-5e68-9f51-a8644bfb3908-websocket-0", "8.0.10"),
            r#"{"type":"ack","endpoint":"fc96b53a-0eb6-5e68-9f51-a8644bfb3908-websocket-0","version":"8.0.10"}"#
        );
        assert_eq!(
            error(ErrorCode::DeserializationFailed, "a \"b\""),
            r#"{"type":"error","code":"deserialization_failed","context":"a \"b\""}"#
        );
        assert_eq!(
            data(&Topic::from_static("/t"), &View::of(&Data::Count(1))),
            r#"{"type":"data-message","topic":"/t","@data-type":"count","data":1}"#
        );
    }

    #[test]
    fn subscriptions_are_an_array_of_strings() {
        let filter = parse_subscriptions(r#"["/b", "/a", "/b"]"#).unwrap();
        assert_eq!(
            filter.topics(),
            [Topic::from_static("/a"), Topic::from_static("/b")]
        );
        assert_eq!(parse_subscriptions("[]"), Ok(Filter::default()));
        for text in ["", "x", "{}", "\"/a\"", "[\"/a\""] {
            assert_eq!(
                parse_subscriptions(text),
                Err(SubscribeError::NotAnArray),
                "{text}"
            );
        }
        assert_eq!(
            parse_subscriptions("[\"/a\",1]"),
            Err(SubscribeError::NotAString)
        );
    }

    #[test]
    fn subscriptions_are_bounded() {
        let many = format!("[{}\"\"]", "\"\",".repeat(MAX_SUBSCRIPTIONS));
        assert_eq!(parse_subscriptions(&many), Err(SubscribeError::TooMany));
        let long = format!("[\"{}\"]", "x".repeat(65_536));
        assert_eq!(parse_subscriptions(&long), Err(SubscribeError::TooLong));
        let large = format!(
            "[{0},{0},{0},{0},{0}]",
            format_args!("\"{}\"", "x".repeat(65_535))
        );
        assert_eq!(parse_subscriptions(&large), Err(SubscribeError::TooMany));
    }

    #[test]
    fn a_data_message_may_come_in_any_order_and_without_type() {
        let expected = DataMessage {
            topic: Topic::from_static("/t"),
            data: Data::Count(1),
        };
        for text in [
            r#"{"@data-type": "count", "data": 1, "topic": "/t", "type": "data-message"}"#,
            r#"{"topic":"/t","x":[],"data":1,"@data-type":"count"}"#,
        ] {
            assert_eq!(DataMessage::parse(text).unwrap(), expected);
        }
    }

    #[test]
    fn a_bad_message_is_refused_in_the_words_of_stock() {
        for text in ["", "nope", "{\"a\":", "[]", "\"x\"", "7"] {
            let problem = problem(text);
            assert!(
                problem.starts_with("failed to decode JSON object: "),
                "{problem}"
            );
        }
        let topicless = r#"{"type":"data-message","@data-type":"count","data":1}"#;
        assert_eq!(problem(topicless), "no topic in top-level JSON object");
        assert_eq!(
            problem(r#"{"type":"ack","topic":"/t","@data-type":"count","data":1}"#),
            "failed to decode JSON object: type is not data-message"
        );
        assert_eq!(
            problem(r#"{"topic":"/t","@data-type":"vector","data":[{"@data-type":"cnt"}]}"#),
            "failed to decode JSON object: unknown type 'cnt' at $.data[0]"
        );
    }
}
