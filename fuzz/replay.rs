//! Runs every target over the committed corpus, and over mutations of real messages.
//!
//! Nothing here is random: the same mutations run every time, so a failure repeats by itself. To
//! keep an input that once broke something, add it to `corpus/<target>/`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "all of it is test code"
)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zeek_mgmt_fuzz::{TARGETS, Target};

#[test]
fn committed_inputs_break_no_target() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "corpus/{name} is empty");
        for (file, input) in inputs {
            run(*target, &input, &file.display().to_string());
        }
    }
}

#[test]
fn every_corpus_folder_has_a_target() {
    for folder in fs::read_dir(root().join("corpus")).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(
            TARGETS.iter().any(|(target, _)| *target == name),
            "no target {name}"
        );
    }
}

#[test]
fn truncated_messages_break_no_target() {
    for seed in seeds() {
        // At every byte of what is short, at as many places of what is long.
        let step = seed.bytes.len() / 1024 + 1;
        for end in (0..=seed.bytes.len()).step_by(step) {
            seed.run(&seed.bytes[..end], &format!("cut at {end}"));
        }
    }
}

#[test]
fn messages_with_flipped_bits_break_no_target() {
    let mut random = Random(0x5eed_0001);
    for seed in seeds() {
        let bits = seed.bytes.len() * 8;
        // Every bit of what is short, as many of what is long.
        for n in 0..bits.min(1024) {
            let bit = if bits <= 1024 { n } else { random.below(bits) };
            let mut bytes = seed.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            seed.run(&bytes, &format!("bit {bit} flipped"));
        }
    }
}

#[test]
fn messages_with_spliced_bytes_break_no_target() {
    let mut random = Random(0x5eed_0002);
    let seeds = seeds();
    for seed in &seeds {
        for round in 0..32 {
            let mut bytes = seed.bytes.clone();
            for _ in 0..=random.below(3) {
                mutate(&mut bytes, &seeds, &mut random);
            }
            seed.run(&bytes, &format!("mutation {round}"));
        }
    }
}

/// Replaces, inserts, removes or repeats a piece, or takes one from another message.
fn mutate(bytes: &mut Vec<u8>, seeds: &[Seed], random: &mut Random) {
    const ODD: [u8; 8] = [0x00, 0x01, 0x0c, 0x0d, 0x0e, 0x7f, 0x80, 0xff];
    let at = random.below(bytes.len() + 1);
    let end = at + random.below((bytes.len() - at).min(16) + 1);
    let piece = match random.below(4) {
        0 => vec![ODD[random.below(ODD.len())]; 1 + random.below(6)],
        1 => Vec::new(),
        2 => bytes[at..end].repeat(2 + random.below(3)),
        _ => {
            let other = &seeds[random.below(seeds.len())].bytes;
            let from = random.below(other.len() + 1);
            other[from..other.len().min(from + 64)].to_vec()
        }
    };
    bytes.splice(at..end, piece);
}

/// A real message and the targets that read its kind.
struct Seed {
    name: String,
    targets: Vec<(&'static str, Target)>,
    bytes: Vec<u8>,
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

    fn run(&self, input: &[u8], what: &str) {
        for (name, target) in &self.targets {
            run(*target, input, &format!("{name}: {}, {what}", self.name));
        }
    }
}

/// Says which input it was before the panic goes on.
fn run(target: Target, input: &[u8], what: &str) {
    let outcome = std::panic::catch_unwind(|| target(input));
    if let Err(panic) = outcome {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{what}: {hex}");
        std::panic::resume_unwind(panic);
    }
}

/// Every codec vector, and what a real Zeek said on WebSockets, peerings and a stem's pipe.
fn seeds() -> Vec<Seed> {
    let mut seeds = vectors();
    seeds.extend(recorded());
    seeds.push(stem());
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
            "data" => &["event"],
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

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = root().join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: PathBuf| (file.clone(), fs::read(&file).unwrap());
    files.into_iter().map(read).collect()
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

/// SplitMix64.
struct Random(u64);

impl Random {
    /// A number below `bound`, which is not zero.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}
