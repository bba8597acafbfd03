//! What one message costs an endpoint with 1, 10 and 1,000 peers (WIRE §6.3): published for nobody,
//! for one and for all of them, received, and passed on.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark's inputs are its own"
)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use broker_proto::codec::envelope::{Envelope, MessageKind, TTL};
use broker_proto::peering::{Endpoint, Forwarding, Input, LinkId, Options, Output};
use broker_proto::{EndpointId, IdGen, Topic};
use bytes::{BufMut, Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// As many topics as a Zeek node subscribes to.
const TOPICS_PER_PEER: u64 = 12;

criterion_group!(benches, publish, receive, relay);
criterion_main!(benches);

fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("routing");
    for peers in [1, 10, 1000] {
        let mut hub = Hub::new(peers, Forwarding::Off);
        for (name, topic, receivers) in [
            ("publish for nobody", "nobody".to_owned(), 0),
            (
                "publish for one peer",
                format!("zeek/node/{}/x", peers - 1),
                1,
            ),
            ("publish for all peers", "zeek/all/x".to_owned(), peers),
        ] {
            let topic = Topic::new(topic).unwrap();
            let payload = Bytes::from(vec![0; 300]);
            group.throughput(Throughput::Elements(receivers.max(1)));
            group.bench_function(BenchmarkId::new(name, peers), |b| {
                b.iter(|| {
                    let (topic, payload) = (topic.clone(), payload.clone());
                    hub.handle(Input::Publish { topic, payload });
                    assert_eq!(hub.pump(), receivers);
                });
            });
        }
    }
    group.finish();
}

fn receive(c: &mut Criterion) {
    let mut group = c.benchmark_group("routing");
    group.throughput(Throughput::Elements(1));
    for peers in [1, 10, 1000] {
        let mut hub = Hub::new(peers, Forwarding::Off);
        let frame = event(0, "zeek/all/x");
        group.bench_function(BenchmarkId::new("receive", peers), |b| {
            b.iter(|| {
                let (link, chunk) = (LinkId::Accepted(0), frame.clone());
                hub.handle(Input::Bytes { link, chunk });
                assert_eq!(hub.pump(), 1);
            });
        });
    }
    group.finish();
}

fn relay(c: &mut Criterion) {
    let mut group = c.benchmark_group("routing");
    for peers in [10, 1000] {
        let mut hub = Hub::new(peers, Forwarding::On);
        let frame = event(0, "zeek/all/x");
        group.throughput(Throughput::Elements(peers));
        group.bench_function(BenchmarkId::new("relay to all peers", peers), |b| {
            b.iter(|| {
                let (link, chunk) = (LinkId::Accepted(0), frame.clone());
                hub.handle(Input::Bytes { link, chunk });
                assert_eq!(hub.pump(), peers, "one delivery, and all but the sender");
            });
        });
    }
    group.finish();
}

/// An endpoint that all peers have dialed, and which wants what they all want.
struct Hub {
    endpoint: Endpoint,
    now: Instant,
}

impl Hub {
    fn new(peers: u64, forwarding: Forwarding) -> Self {
        let options = Options {
            forwarding,
            ..Options::default()
        };
        let id = EndpointId::from_bytes([0xff; 16]);
        let endpoint = Endpoint::new(id, options, IdGen::new(1));
        let mut hub = Self {
            endpoint,
            now: start(),
        };
        let topic = Topic::from_static("zeek/all");
        hub.handle(Input::Subscribe { topic });
        for peer in 0..peers {
            let link = LinkId::Accepted(peer);
            let remote = SocketAddr::from(([127, 0, 0, 1], 9999));
            hub.handle(Input::Opened {
                link,
                remote,
                certificate: None,
            });
            let chunk = handshake(peer);
            hub.handle(Input::Bytes { link, chunk });
            hub.pump();
        }
        let connected = u64::try_from(hub.endpoint.peers().count()).unwrap();
        assert_eq!(connected, peers);
        hub
    }

    fn handle(&mut self, input: Input) {
        self.endpoint.handle(self.now, input);
    }

    /// Takes all outputs as a driver does; counts what was sent and delivered.
    fn pump(&mut self) -> u64 {
        let mut count = 0;
        while let Some(output) = self.endpoint.poll_output() {
            count += match black_box(output) {
                Output::Send { link, .. } => {
                    self.handle(Input::Sent { link, messages: 1 });
                    1
                }
                Output::Deliver { .. } => 1,
                Output::Listen { .. }
                | Output::Dial { .. }
                | Output::Close { .. }
                | Output::PeerUp { .. }
                | Output::PeerDown { .. }
                | Output::PeerUnreachable { .. }
                | Output::Misbehaved { .. }
                | Output::Stopped => 0,
            };
        }
        black_box(self.endpoint.poll_timeout());
        count
    }
}

fn id(peer: u64) -> EndpointId {
    EndpointId::from_bytes(u128::from(peer + 1).to_be_bytes())
}

/// All that a dialer with a smaller id says before it is a peer (WIRE §4.3).
fn handshake(peer: u64) -> Bytes {
    let mut filter = vec![
        Topic::from_static("zeek/all"),
        Topic::new(format!("zeek/node/{peer}/")).unwrap(),
    ];
    let rest =
        (0..TOPICS_PER_PEER - 2).map(|n| Topic::new(format!("zeek/pool/{peer}/{n}")).unwrap());
    filter.extend(rest);
    let mut out = BytesMut::new();
    for (tag, versions) in [(6, &[1_u8, 1][..]), (8, &[1])] {
        out.put_u32(u32::try_from(21 + versions.len()).unwrap());
        out.put_u8(tag);
        out.put_slice(b"ZEEK");
        out.put_slice(id(peer).as_bytes());
        out.put_slice(versions);
    }
    let mut syn = BytesMut::from(&[10, u8::try_from(filter.len()).unwrap()][..]);
    for topic in &filter {
        syn.put_u8(u8::try_from(topic.as_bytes().len()).unwrap());
        syn.put_slice(topic.as_bytes());
    }
    out.put_u32(u32::try_from(syn.len()).unwrap());
    out.put_slice(&syn);
    out.put_slice(&[0, 0, 0, 1, 12]);
    out.freeze()
}

/// A message of a peer for everybody, 300 bytes of payload.
fn event(peer: u64, topic: &'static str) -> Bytes {
    let envelope = Envelope {
        sender: id(peer),
        receiver: EndpointId::NIL,
        kind: MessageKind::Data,
        ttl: TTL,
        topic: Topic::from_static(topic),
        payload: Bytes::from(vec![0; 300]),
    };
    envelope.to_frame()
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}
