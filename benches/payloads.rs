//! One value at a time: what real Zeek processes sent, and one large table.
//!
//! The recorded ones are the longest of their kind in `tests/transcripts/a2c`. `README.md` tells
//! how to read the figures.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a benchmark's inputs are its own"
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use broker_proto::Data;
use broker_proto::codec::envelope::{Envelope, MessageKind};
use broker_proto::codec::view::{Value as Item, View};
use broker_proto::codec::{Limits, data};
use bytes::{BufMut, Bytes, BytesMut};
use cpu_time::CpuTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;

mod cpu_time;

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = decode, check, view, walk, scan, encode
}
criterion_main!(benches);

/// Bytes to [`Data`], and the time to free it again.
fn decode(c: &mut Criterion<CpuTime>) {
    let limits = Limits::default();
    each(c, "decode", |payload| {
        black_box(data::decode(payload, &limits).unwrap());
    });
}

/// Whether bytes are a value.
fn check(c: &mut Criterion<CpuTime>) {
    let limits = Limits::default();
    each(c, "check", |payload| {
        data::check(black_box(payload), &limits).unwrap();
    });
}

/// Bytes to a checked [`View`].
fn view(c: &mut Criterion<CpuTime>) {
    let limits = Limits::default();
    each(c, "view", |payload| {
        black_box(View::new(payload.clone(), &limits).unwrap());
    });
}

/// Bytes to a [`View`], and every value in it looked at.
fn walk(c: &mut Criterion<CpuTime>) {
    let limits = Limits::default();
    each(c, "view_and_walk", |payload| {
        let view = View::new(payload.clone(), &limits).unwrap();
        black_box(count(view.value()));
    });
}

/// The same without going down container by container.
fn scan(c: &mut Criterion<CpuTime>) {
    let limits = Limits::default();
    each(c, "view_and_scan", |payload| {
        let view = View::new(payload.clone(), &limits).unwrap();
        view.values().for_each(|value| _ = black_box(value));
    });
}

fn count(value: Item<'_>) -> usize {
    match black_box(value) {
        Item::Set(items) | Item::Vector(items) => 1 + items.map(count).sum::<usize>(),
        Item::Table(entries) => 1 + entries.map(|(k, v)| count(k) + count(v)).sum::<usize>(),
        _ => 1,
    }
}

/// [`Data`] to bytes.
fn encode(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("encode");
    for (name, payload) in payloads() {
        let value: Data = data::decode(&payload, &Limits::default()).unwrap();
        assert_eq!(data::encode(&value), payload, "{name}");
        group.throughput(Throughput::Bytes(size(&payload)));
        group.bench_function(name, |b| {
            b.iter(|| black_box(data::encode(black_box(&value))));
        });
    }
    group.finish();
}

fn each(c: &mut Criterion<CpuTime>, group: &str, mut run: impl FnMut(&Bytes)) {
    let mut group = c.benchmark_group(group);
    for (name, payload) in payloads() {
        group.throughput(Throughput::Bytes(size(&payload)));
        group.bench_function(name, |b| b.iter(|| run(black_box(&payload))));
    }
    group.finish();
}

fn payloads() -> Vec<(&'static str, Bytes)> {
    let recorded = recorded();
    let longest = |name: &str| {
        let named = recorded.iter().filter(|payload| {
            let marker = [name.as_bytes(), &[0x0e]].concat();
            contains(payload, &marker)
        });
        named.max_by_key(|payload| payload.len()).unwrap().clone()
    };
    // A batch's message type is 5 (WIRE §8.1).
    let batch = [
        0x0e, 3, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 5,
    ];
    let batches = recorded
        .iter()
        .filter(|payload| payload.starts_with(&batch));
    vec![
        ("hello", longest("Cluster::hello")),
        ("deploy_request", longest("::deploy_request")),
        ("get_nodes_response", longest("::get_nodes_response")),
        (
            "status_response",
            longest("SupervisorControl::status_response"),
        ),
        (
            "log_batch",
            batches.max_by_key(|p| p.len()).unwrap().clone(),
        ),
        ("table_of_1000_strings", table()),
    ]
}

/// A table of 1000 short strings by short strings, in order.
fn table() -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(&[13, 0xe8, 0x07]);
    for n in 0..1000 {
        for text in [format!("key-{n:04}"), format!("this is value {n}")] {
            out.put_slice(&[5, u8::try_from(text.len()).unwrap()]);
            out.put_slice(text.as_bytes());
        }
    }
    out.freeze()
}

/// The payloads of all recorded data envelopes.
fn recorded() -> Vec<Bytes> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/transcripts/a2c");
    let text = fs::read_to_string(path.join("transcript.json")).unwrap();
    let transcript: Value = serde_json::from_str(&text).unwrap();
    let connections = transcript["connections"].as_array().unwrap().iter();
    let messages = connections
        .filter(|connection| connection["kind"] == "broker")
        .flat_map(|connection| connection["messages"].as_array().unwrap());
    let frames = messages.filter_map(|message| message["hex"].as_str());
    let envelopes = frames.filter_map(|hex| Envelope::decode(&unhex(hex)).ok());
    let values = envelopes.filter(|envelope| envelope.kind == MessageKind::Data);
    values.map(|envelope| envelope.payload).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn unhex(text: &str) -> Bytes {
    let pairs = text.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

fn size(payload: &Bytes) -> u64 {
    u64::try_from(payload.len()).unwrap()
}
