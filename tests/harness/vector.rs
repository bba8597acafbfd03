//! The vectors of WIRE §12: bytes and what they mean, written by another implementation.

use std::fs;

use serde_json::Value;

use crate::typed::unhex;

/// One entry of `vectors/codec.json`.
#[derive(Clone, Debug)]
pub struct Vector {
    /// Unique.
    pub name: String,
    /// What the bytes are.
    pub kind: Kind,
    /// The payload of a frame, or one value.
    pub bytes: Vec<u8>,
    /// What to do with them.
    pub expect: Expect,
}

/// What the bytes of a vector are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// One value with its tag.
    Data,
    /// The payload of a handshake frame.
    Handshake,
    /// The payload of a frame of an established peering.
    Envelope,
}

/// What a decoder has to make of a vector.
#[derive(Clone, Debug)]
pub enum Expect {
    /// This meaning, and these bytes again.
    Canonical(Value),
    /// This meaning; the encoder would write other bytes.
    DecodeOnly(Value),
    /// An error.
    Invalid {
        /// Why, for people.
        reason: String,
    },
}

/// All vectors, in the order of the file.
///
/// # Panics
/// If the file is not as described in WIRE §12.
pub fn all() -> Vec<Vector> {
    let path = crate::folder().join("vectors/codec.json");
    let text = fs::read_to_string(path).expect("the vectors are part of the tree");
    let json: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    let entries = json.as_array().expect("the vectors are a list");
    entries.iter().map(vector).collect()
}

fn vector(json: &Value) -> Vector {
    let text = |key| json.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = match text("kind") {
        "data" => Kind::Data,
        "handshake" => Kind::Handshake,
        "envelope" => Kind::Envelope,
        other => panic!("a vector of kind {other}"),
    };
    Vector {
        name: text("name").to_owned(),
        kind,
        bytes: unhex(text("hex")),
        expect: expect(json.get("json").unwrap_or(&Value::Null)),
    }
}

fn expect(json: &Value) -> Expect {
    let flag = |key| json.get(key).and_then(Value::as_bool);
    if flag("invalid") == Some(true) {
        let reason = json.get("reason").and_then(Value::as_str);
        let reason = reason.unwrap_or_default().to_owned();
        return Expect::Invalid { reason };
    }
    if flag("canonical") == Some(false) {
        return Expect::DecodeOnly(json.clone());
    }
    Expect::Canonical(json.clone())
}
