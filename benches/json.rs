//! JSON, over what a real Zeek and its client said to each other.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark's inputs are its own"
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use broker_proto::Data;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;
use zeek_client_compat::json;

criterion_group!(benches, values);
criterion_main!(benches);

fn values(c: &mut Criterion) {
    let texts = messages();
    let values: Vec<Data> = texts.iter().map(|text| read(text)).collect();
    let total: usize = texts.iter().map(String::len).sum();
    let mut group = c.benchmark_group("json");
    group.throughput(Throughput::Bytes(u64::try_from(total).unwrap()));
    group.bench_function("read recorded messages", |b| {
        b.iter(|| {
            for text in &texts {
                black_box(read(text));
            }
        });
    });
    group.bench_function("write recorded messages", |b| {
        b.iter(|| {
            for value in &values {
                black_box(json::encode(value));
            }
        });
    });
    group.finish();
}

fn read(text: &str) -> Data {
    json::decode(&json::parse(text).unwrap()).unwrap()
}

/// All data messages of the recorded WebSocket connections, requests and responses.
fn messages() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/transcripts/a2c");
    let text = fs::read_to_string(path.join("transcript.json")).unwrap();
    let transcript: Value = serde_json::from_str(&text).unwrap();
    let connections = transcript["connections"].as_array().unwrap().iter();
    let messages = connections.flat_map(|c| c["messages"].as_array().unwrap());
    let texts = messages.filter_map(|m| m["text"].as_str());
    let texts: Vec<_> = texts.filter(|t| t.contains("\"data-message\"")).collect();
    assert!(!texts.is_empty(), "the transcript has no messages");
    texts.into_iter().map(str::to_owned).collect()
}
