//! Real messages to start from: the vectors, and what was recorded of a real Zeek.

use std::fs;
use std::path::Path;

use serde_json::Value;
use zeek_mgmt_fuzz::{TARGETS, Target};

/// A real message and the targets that read its kind.
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) targets: Vec<(&'static str, Target)>,
    pub(crate) bytes: Vec<u8>,
}

impl Seed {
    fn new(name: String, targets: &[&str], bytes: Vec<u8>) -> Self {
        let known = TARGETS.iter().copied();
        let targets: Vec<_> = known.filter(|(name, _)| targets.contains(name)).collect();
        assert!(!targets.is_empty(), "no target for {name}");
        Self {
            name,
            targets,
            bytes,
        }
    }
}

/// Every codec vector, and what a real Zeek said on WebSockets, peerings and a stem's pipe.
pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = vectors();
    seeds.extend(recorded());
    seeds.push(stem());
    for (target, file) in [("plan", "everything.ini"), ("log", "escapes")] {
        let path = format!("corpus/{target}/{file}");
        let bytes = fs::read(root().join(path)).unwrap();
        seeds.push(Seed::new(file.into(), &[target], bytes));
    }
    seeds
}

/// From `tests/transcripts`: each WebSocket message, each client's whole side of its connection,
/// and the first frames of either side of each native peering.
fn recorded() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let transcript = read_json("tests/transcripts/a2c/transcript.json");
    let connections = transcript["connections"].as_array().unwrap().iter();
    for (n, connection) in connections.enumerate() {
        let name = format!("{} {n}", connection["name"].as_str().unwrap());
        let messages = connection["messages"].as_array().unwrap();
        let texts = |from: Option<&str>| -> Vec<&str> {
            let messages = messages.iter();
            let messages = messages.filter(|m| from.is_none_or(|from| m["from"] == from));
            messages.filter_map(|m| m["text"].as_str()).collect()
        };
        for text in texts(None) {
            let message: Value = serde_json::from_str(text).unwrap();
            if message["topic"].is_string() && text.len() < 2048 {
                seeds.push(Seed::new(name.clone(), &["json"], text.into()));
            }
        }
        let client = texts(Some("client")).join("\n");
        if !client.is_empty() && client.len() < 2048 {
            seeds.push(Seed::new(name.clone(), &["session"], client.into()));
        }
        // To the one who accepted, the other side is the dialer, and the other way round.
        for (from, first) in [("client", 64), ("server", 65)] {
            let mut stream = vec![first];
            for message in messages.iter().filter(|m| m["from"] == from) {
                let Some(hex) = message["hex"]
                    .as_str()
                    .filter(|_| message["control"].is_null())
                else {
                    continue;
                };
                let frame = unhex(hex);
                if stream.len() + frame.len() > 768 {
                    break;
                }
                stream.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
                stream.extend_from_slice(&frame);
            }
            if stream.len() > 1 {
                seeds.push(Seed::new(format!("{name} {from}"), &["peering"], stream));
            }
        }
    }
    assert!(seeds.len() > 20, "the transcript has little in it");
    seeds
}

/// `tests/vectors/codec.json` (WIRE §12), and each payload as a frame between two probes.
fn vectors() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for vector in read_json("tests/vectors/codec.json").as_array().unwrap() {
        let name = vector["name"].as_str().unwrap().to_owned();
        let bytes = unhex(vector["hex"].as_str().unwrap());
        let target: &[&str] = match vector["kind"].as_str().unwrap() {
            "data" => &["event", "zeek"],
            "handshake" => &["handshake"],
            "envelope" => &["envelope"],
            kind => panic!("{name} is a {kind}"),
        };
        if bytes.len() < 256 {
            let mut stream = vec![7, 0, 0, 0, 5, 0x07, 0x5a, 0x45, 0x45, 0x4b];
            stream.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
            stream.extend_from_slice(&bytes);
            stream.extend_from_slice(&[0, 0, 0, 5, 0x07, 0x5a, 0x45, 0x45, 0x4b]);
            seeds.push(Seed::new(format!("{name} framed"), &["frame"], stream));
        }
        seeds.push(Seed::new(name, target, bytes));
    }
    seeds
}

/// All that a real stem said on its status pipe.
fn stem() -> Seed {
    let transcript = read_json("tests/transcripts/stem/transcript.json");
    let messages = transcript["messages"].as_array().unwrap().iter();
    let texts = messages.filter(|m| m["pipe"] == "status");
    let mut bytes = vec![5];
    for message in texts {
        bytes.extend_from_slice(message["text"].as_str().unwrap().as_bytes());
    }
    Seed::new("stem".into(), &["stem"], bytes)
}

fn read_json(path: &str) -> Value {
    let text = fs::read_to_string(root().join("..").join(path)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}
