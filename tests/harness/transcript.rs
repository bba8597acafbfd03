//! Recorded sessions of a real Zeek, as `transcripts/README.md` describes them.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::typed::unhex;

/// Everything that was on the wire in one run.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// In the order in which they were opened.
    pub connections: Vec<Connection>,
}

/// One TCP connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Who dialed whom, as in `agent-controller`.
    pub name: String,
    /// What was spoken.
    pub kind: Kind,
    /// The dialing side's port.
    pub client_port: u16,
    /// The listening side's port.
    pub server_port: u16,
    /// In the order of their times.
    pub messages: Vec<Message>,
}

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Broker's native peering.
    Broker,
    /// JSON over WebSocket.
    WebSocket,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Since the first connection of the run was opened.
    pub at: Duration,
    /// Who sent it.
    pub from: Side,
    /// What was sent.
    pub content: Content,
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The one that dialed.
    Client,
    /// The one that listened.
    Server,
}

impl Side {
    /// The other end.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What a message carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// The payload of one Broker frame, without its length.
    Frame(Bytes),
    /// A WebSocket text message.
    Text(String),
    /// The head of the upgrade's request or response.
    Http(String),
    /// A WebSocket control frame.
    Control {
        /// `ping`, `pong` or `close`.
        name: String,
        /// Its payload.
        payload: Bytes,
    },
}

impl Transcript {
    /// Reads `transcripts/<name>/transcript.json`.
    ///
    /// # Panics
    /// If the file is not as described.
    pub fn read(name: &str) -> Self {
        let path = crate::folder().join(format!("transcripts/{name}/transcript.json"));
        let text = fs::read_to_string(&path).expect("the transcript is part of the tree");
        let json: Value = serde_json::from_str(&text).expect("the transcript is JSON");
        let connections = list(&json, "connections").iter().map(connection);
        Self {
            connections: connections.collect(),
        }
    }

    /// The connections of this name, in order.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Connection> {
        let name = name.to_owned();
        let all = self.connections.iter();
        all.filter(move |connection| connection.name == name)
    }
}

impl Connection {
    /// The frames that one side sent, with their times.
    pub fn frames(&self, from: Side) -> impl Iterator<Item = (Duration, &Bytes)> {
        let own = self.messages.iter().filter(move |m| m.from == from);
        own.filter_map(|message| match &message.content {
            Content::Frame(bytes) => Some((message.at, bytes)),
            Content::Text(_) | Content::Http(_) | Content::Control { .. } => None,
        })
    }

    /// The texts that one side sent, with their times.
    pub fn texts(&self, from: Side) -> impl Iterator<Item = (Duration, &str)> {
        let own = self.messages.iter().filter(move |m| m.from == from);
        own.filter_map(|message| match &message.content {
            Content::Text(text) => Some((message.at, text.as_str())),
            Content::Frame(_) | Content::Http(_) | Content::Control { .. } => None,
        })
    }
}

fn connection(json: &Value) -> Connection {
    let kind = match string(json, "kind") {
        "broker" => Kind::Broker,
        "websocket" => Kind::WebSocket,
        other => panic!("a connection speaks {other}"),
    };
    Connection {
        name: string(json, "name").to_owned(),
        kind,
        client_port: port(json, "client_port"),
        server_port: port(json, "server_port"),
        messages: list(json, "messages").iter().map(message).collect(),
    }
}

fn message(json: &Value) -> Message {
    let from = match string(json, "from") {
        "client" => Side::Client,
        "server" => Side::Server,
        other => panic!("a message is from {other}"),
    };
    let seconds = json.get("t").and_then(Value::as_f64);
    Message {
        at: Duration::from_secs_f64(seconds.expect("a message has its time")),
        from,
        content: content(json),
    }
}

fn content(json: &Value) -> Content {
    let text = |key| json.get(key).and_then(Value::as_str).map(str::to_owned);
    if let Some(name) = text("control") {
        let payload = unhex(&text("hex").unwrap_or_default()).into();
        return Content::Control { name, payload };
    }
    if let Some(text) = text("text") {
        return Content::Text(text);
    }
    if let Some(head) = text("http") {
        return Content::Http(head);
    }
    let hex = text("hex").expect("a message without text is a frame");
    Content::Frame(unhex(&hex).into())
}

fn string<'a>(json: &'a Value, key: &str) -> &'a str {
    let text = json.get(key).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("{key} is not a text"))
}

fn list<'a>(json: &'a Value, key: &str) -> &'a [Value] {
    let list = json.get(key).and_then(Value::as_array);
    list.unwrap_or_else(|| panic!("{key} is not a list"))
}

fn port(json: &Value, key: &str) -> u16 {
    let number = json.get(key).and_then(Value::as_u64);
    let number = number.unwrap_or_else(|| panic!("{key} is not a number"));
    u16::try_from(number).expect("a port has 16 bits")
}
