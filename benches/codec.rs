//! Values, envelopes and events, over the codec vectors (WIRE §12) and over one large message.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark's inputs are its own"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hint::black_box;
use std::path::Path;

use broker_proto::codec::envelope::{Envelope, MessageKind};
use broker_proto::codec::frame::FrameDecoder;
use broker_proto::codec::{Limits, data};
use broker_proto::zeek::Event;
use broker_proto::{Data, EndpointId, Topic};
use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mgmt::api::controller::ControllerRequest;
use mgmt::model::{Configuration, CpuAffinity, Node};
use serde_json::Value;
use supervisor::api::ClusterRole;

criterion_group!(benches, values, envelopes, frames, events);
criterion_main!(benches);

fn values(c: &mut Criterion) {
    let limits = Limits::default();
    let encoded = vectors("data");
    let decoded: Vec<Data> = encoded
        .iter()
        .map(|bytes| data::decode(bytes, &limits).unwrap())
        .collect();
    let mut group = c.benchmark_group("values");
    group.throughput(Throughput::Bytes(total(&encoded)));
    group.bench_function("decode vectors", |b| {
        b.iter(|| {
            for bytes in &encoded {
                black_box(data::decode(bytes, &limits).unwrap());
            }
        });
    });
    group.bench_function("encode vectors", |b| {
        b.iter(|| {
            for value in &decoded {
                black_box(data::encode(value));
            }
        });
    });
    group.finish();
}

fn envelopes(c: &mut Criterion) {
    let encoded = vectors("envelope");
    let decoded: Vec<Envelope> = encoded
        .iter()
        .map(|bytes| Envelope::decode(bytes).unwrap())
        .collect();
    let mut group = c.benchmark_group("envelopes");
    group.throughput(Throughput::Bytes(total(&encoded)));
    group.bench_function("decode vectors", |b| {
        b.iter(|| {
            for bytes in &encoded {
                black_box(Envelope::decode(bytes).unwrap());
            }
        });
    });
    group.bench_function("encode vectors", |b| {
        b.iter(|| {
            for envelope in &decoded {
                black_box(envelope.to_frame());
            }
        });
    });
    group.finish();
}

/// A stream of all envelopes, arriving in pieces as large as one TCP segment.
fn frames(c: &mut Criterion) {
    let mut stream = BytesMut::new();
    for bytes in vectors("envelope") {
        stream.extend_from_slice(&Envelope::decode(&bytes).unwrap().to_frame());
    }
    let limit = Limits::default().frame;
    let mut group = c.benchmark_group("frames");
    group.throughput(Throughput::Bytes(size(stream.len())));
    group.bench_function("cut a stream of segments", |b| {
        b.iter(|| {
            let mut decoder = FrameDecoder::default();
            for segment in stream.chunks(1448) {
                decoder.push(segment);
                while let Some(frame) = decoder.next_frame(limit).unwrap() {
                    black_box(frame);
                }
            }
        });
    });
    group.finish();
}

/// The largest request there is in practice: a configuration of 300 nodes.
fn events(c: &mut Criterion) {
    let limits = Limits::default();
    let payload = data::encode(&Event::from(stage_request(300)).into_data());
    let envelope = Envelope {
        sender: EndpointId::NIL,
        receiver: EndpointId::NIL,
        kind: MessageKind::Data,
        ttl: 16,
        topic: Topic::new("zeek/management/controller").unwrap(),
        payload: payload.clone(),
    };
    let frame = envelope.encode();
    let mut group = c.benchmark_group("configuration of 300 nodes");
    group.throughput(Throughput::Bytes(size(payload.len())));
    group.bench_function("frame to typed request", |b| {
        b.iter(|| {
            let envelope = Envelope::decode(&frame).unwrap();
            let value = data::decode(&envelope.payload, &limits).unwrap();
            let event = Event::from_data(value).unwrap();
            black_box(ControllerRequest::try_from(event).unwrap())
        });
    });
    let request = stage_request(300);
    group.bench_function("typed request to frame", |b| {
        b.iter(|| {
            let payload = data::encode(&Event::from(request.clone()).into_data());
            let envelope = Envelope {
                payload,
                ..envelope.clone()
            };
            black_box(envelope.to_frame())
        });
    });
    group.finish();
}

/// A client's request to stage a configuration of workers with all that a node may have.
fn stage_request(nodes: u16) -> ControllerRequest {
    let node = |n: u16| Node {
        scripts: Some(vec!["site/local".into(), "site/worker".into()]),
        interface: Some("eth0".into()),
        cpu_affinity: Some(CpuAffinity(i64::from(n))),
        env: BTreeMap::from([("SITE".into(), "somewhere".into())]),
        ..Node::new("instance-1", format!("worker-{n:03}"), ClusterRole::Worker)
    };
    let config = Configuration {
        id: "5d3c6f02-c6f1-11f0-9a3b-0242ac110002".into(),
        instances: BTreeSet::new(),
        nodes: (0..nodes).map(node).collect(),
    };
    let reqid = "5d3c7a10-c6f1-11f0-9a3b-0242ac110002".into();
    ControllerRequest::StageConfiguration { reqid, config }
}

/// The valid vectors of one kind.
fn vectors(kind: &str) -> Vec<Bytes> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/codec.json");
    let vectors: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let vectors = vectors.as_array().unwrap().iter();
    let valid = vectors.filter(|v| v["kind"] == kind && v["json"]["invalid"] != true);
    valid.map(|v| unhex(v["hex"].as_str().unwrap())).collect()
}

fn unhex(text: &str) -> Bytes {
    let pairs = text.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

fn total(messages: &[Bytes]) -> u64 {
    messages.iter().map(|bytes| size(bytes.len())).sum()
}

fn size(len: usize) -> u64 {
    u64::try_from(len).unwrap()
}
