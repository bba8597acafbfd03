//! What is done with the endpoint elsewhere.

use std::time::Duration;

use broker_proto::codec::envelope::{Envelope, MessageKind};
use broker_proto::codec::{Limits, data};
use broker_proto::io::handle::{
    Handle, Options, Payload, Status, StatusEvents, Subscription, spawn,
};
use broker_proto::io::tls::connector_and_acceptor;
use broker_proto::peering::PeerAddr;
use broker_proto::tls::Tls;
use broker_proto::zeek::Event;
use broker_proto::{Data, EndpointId, Port, Protocol, Timestamp, Topic};
use bytes::Bytes;
use harness::typed;
use harness::vector::{self, Expect, Kind};
use tokio::time::timeout;

use super::relay::Relay;

pub(super) const TOPIC: Topic = Topic::from_static("/zeek-mgmt/interop");
pub(super) const DIAL: &str = "ZeekMgmt::dial";
pub(super) const UNDIAL: &str = "ZeekMgmt::undial";

/// The endpoint elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere {
    pub(super) addr: PeerAddr,
    /// How we are protected, which fits how it is.
    pub(super) tls: Tls,
    pub(super) strictness: Strictness,
}

/// What it has to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Strictness {
    /// All that is asked of it.
    AllOfIt,
    /// What it shows to do.
    WhatItDoes,
}

/// What it did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Report {
    pub(super) echoes: bool,
    pub(super) dials: bool,
}

/// An endpoint of ours, with what comes to it.
struct Ours {
    handle: Handle,
    status: StatusEvents,
    messages: Subscription,
}

/// Everything, one after the other.
pub(super) async fn all(elsewhere: &Elsewhere) -> Report {
    let echoes = every_type_twice(elsewhere).await;
    elsewhere.has_to(echoes, "does not echo what it gets");
    if echoes {
        thousands_at_speed(elsewhere).await;
        a_megabyte(elsewhere).await;
    }
    redialed_after_a_cut(elsewhere, echoes).await;
    let dials = dials_and_redials(elsewhere).await;
    elsewhere.has_to(dials, "does not dial on request");
    if dials && echoes {
        both_dial_at_once(elsewhere).await;
    }
    Report { echoes, dials }
}

/// Peers, sends what there is, leaves, and does it again. Returns whether all came back.
async fn every_type_twice(elsewhere: &Elsewhere) -> bool {
    let mut ours = Ours::new(elsewhere).await;
    let mut echoes = true;
    for _ in 0..2 {
        let peer = ours.dial(&elsewhere.addr).await;
        let first = Event::new("ZeekMgmt::first", vec![]).encode();
        ours.publish(first.clone()).await;
        echoes = echoes && ours.hears(first, ECHO_LIMIT).await;
        for payload in payloads() {
            ours.publish(payload.clone()).await;
            if echoes {
                ours.must_hear(payload).await;
            }
        }
        // Unsubscribed, what comes is for nobody; subscribed again, it comes again. Peers are
        // told nothing of that (WIRE §6.1), so what was said in between may come or not.
        ours.messages = ours
            .handle
            .subscribe(Topic::from_static("/zeek-mgmt/other"))
            .await
            .unwrap();
        ours.publish(Event::new("ZeekMgmt::unheard", vec![]).encode())
            .await;
        ours.messages = ours.handle.subscribe(TOPIC).await.unwrap();
        let heard = Event::new("ZeekMgmt::heard", vec![]).encode();
        ours.publish(heard.clone()).await;
        while echoes && ours.next().await != heard {}
        ours.leave(&elsewhere.addr, peer).await;
    }
    ours.handle.shutdown().await;
    echoes
}

/// As many as it takes to fill every queue on the way, were they not emptied.
async fn thousands_at_speed(elsewhere: &Elsewhere) {
    const COUNT: u64 = 5_000;
    // No more than stock's smallest queue (WIRE §6.8) are under way.
    const WINDOW: u64 = 1_000;
    let mut ours = Ours::new(elsewhere).await;
    ours.dial(&elsewhere.addr).await;
    for n in 0..COUNT + WINDOW {
        if n < COUNT {
            ours.publish(numbered(n)).await;
        }
        if let Some(n) = n.checked_sub(WINDOW) {
            assert_eq!(ours.next().await, numbered(n), "event {n} of {COUNT}");
        }
    }
    ours.handle.shutdown().await;
}

async fn a_megabyte(elsewhere: &Elsewhere) {
    let mut ours = Ours::new(elsewhere).await;
    ours.dial(&elsewhere.addr).await;
    let text: String = (0..1_u32 << 17).map(|n| format!("{n:08x}")).collect();
    let event = Event::new("ZeekMgmt::megabyte", vec![Data::string(text)]).encode();
    ours.publish(event.clone()).await;
    ours.must_hear(event).await;
    ours.handle.shutdown().await;
}

/// We dial again what we lost without a goodbye.
async fn redialed_after_a_cut(elsewhere: &Elsewhere, echoes: bool) {
    let relay = Relay::start(&elsewhere.addr).await;
    let mut ours = Ours::new(elsewhere).await;
    let peer = ours.dial(&relay.addr).await;
    for n in 0..3 {
        relay.cut().await;
        ours.await_down(peer).await;
        // Until it has seen the cut, it may refuse the next link (WIRE §4.4).
        assert_eq!(ours.await_up().await, peer);
        if echoes {
            ours.publish(numbered(n)).await;
            ours.must_hear(numbered(n)).await;
        }
    }
    ours.handle.shutdown().await;
}

/// It dials us as we ask, again when we are gone, and no more when we ask for that.
async fn dials_and_redials(elsewhere: &Elsewhere) -> bool {
    let mut orders = Ours::new(elsewhere).await;
    orders.dial(&elsewhere.addr).await;
    let mut ours = Ours::new(elsewhere).await;
    let any = "127.0.0.1:0".parse().unwrap();
    let addr: PeerAddr = ours.handle.listen(&any).await.unwrap().into();
    orders.order(DIAL, &addr).await;
    if timeout(ECHO_LIMIT, ours.await_up()).await.is_err() {
        return false;
    }
    for n in 0..2 {
        ours.publish(numbered(n)).await;
        ours.must_hear(numbered(n)).await;
        ours.handle.shutdown().await;
        ours = Ours::new(elsewhere).await;
        ours.handle.listen(&addr).await.unwrap();
        ours.await_up().await;
    }
    ours.publish(numbered(7)).await;
    ours.must_hear(numbered(7)).await;
    orders.order(UNDIAL, &addr).await;
    let down = within(ours.status.next()).await;
    assert!(matches!(down, Some(Status::PeerDown { .. })), "{down:?}");
    ours.handle.shutdown().await;
    orders.handle.shutdown().await;
    true
}

/// Both sides dial, as near to the same time as can be, with ids in both orders (WIRE §4.4).
async fn both_dial_at_once(elsewhere: &Elsewhere) {
    let mut orders = Ours::new(elsewhere).await;
    orders.dial(&elsewhere.addr).await;
    for n in 0..20 {
        let mut ours = Ours::new(elsewhere).await;
        let any = "127.0.0.1:0".parse().unwrap();
        let addr: PeerAddr = ours.handle.listen(&any).await.unwrap().into();
        let retry = Some(Duration::from_secs(1));
        tokio::join!(orders.order(DIAL, &addr), async {
            ours.handle.peer(&elsewhere.addr, retry).await.unwrap();
        });
        let peer = ours.await_up().await;
        for m in 0..10 {
            ours.publish(numbered(n * 10 + m)).await;
            ours.must_hear(numbered(n * 10 + m)).await;
        }
        let peers = ours.handle.peers().await.unwrap();
        assert_eq!(peers.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [peer]);
        orders.order(UNDIAL, &addr).await;
        ours.handle.shutdown().await;
    }
    orders.handle.shutdown().await;
}

impl Elsewhere {
    #[allow(clippy::print_stdout, reason = "what was not tried is told")]
    fn has_to(&self, done: bool, otherwise: &str) {
        assert!(
            done || self.strictness == Strictness::WhatItDoes,
            "{} {otherwise}",
            self.addr
        );
        if !done {
            println!("{} {otherwise}", self.addr);
        }
    }
}

impl Ours {
    async fn new(elsewhere: &Elsewhere) -> Self {
        let handle = spawn(options(&elsewhere.tls));
        Self {
            status: handle.status().await.unwrap(),
            messages: handle.subscribe(TOPIC).await.unwrap(),
            handle,
        }
    }

    /// Peers, and peers again if it is lost.
    async fn dial(&mut self, addr: &PeerAddr) -> EndpointId {
        let retry = Some(Duration::from_secs(1));
        self.handle.peer(addr, retry).await.unwrap();
        self.await_up().await
    }

    async fn await_up(&mut self) -> EndpointId {
        loop {
            match within(self.status.next()).await {
                Some(Status::PeerUp { id, .. }) => return id,
                // Tried again.
                Some(Status::PeerUnreachable { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn await_down(&mut self, peer: EndpointId) {
        let down = within(self.status.next()).await;
        assert!(
            matches!(&down, Some(Status::PeerDown { id, .. }) if *id == peer),
            "{down:?}"
        );
    }

    async fn leave(&mut self, addr: &PeerAddr, peer: EndpointId) {
        let peers = self.handle.peers().await.unwrap();
        assert!(peers.iter().any(|(id, _)| *id == peer), "the peering ended");
        self.handle.unpeer(addr).await.unwrap();
        self.await_down(peer).await;
        assert_eq!(self.handle.peers().await.unwrap(), []);
    }

    async fn publish(&self, payload: Bytes) {
        let payload = Payload::from(payload);
        self.handle.publish(TOPIC, payload).await.unwrap();
    }

    /// Has it dial, or not any more.
    async fn order(&self, what: &str, addr: &PeerAddr) {
        let port = Port {
            number: addr.port,
            protocol: Protocol::Tcp,
        };
        let args = vec![Data::string(addr.host.clone()), Data::Port(port)];
        self.publish(Event::new(what, args).encode()).await;
    }

    /// The next payload that is no order of another endpoint of ours: those are echoed, and perhaps
    /// forwarded, to everybody.
    async fn next(&mut self) -> Bytes {
        loop {
            let message = within(self.messages.next()).await;
            let message = message.expect("the endpoint lives");
            let is_order = |event: Event| event.name == DIAL || event.name == UNDIAL;
            if !message.event().is_ok_and(is_order) {
                return message.payload;
            }
        }
    }

    async fn must_hear(&mut self, payload: Bytes) {
        assert_eq!(self.next().await, payload);
    }

    async fn hears(&mut self, payload: Bytes, limit: Duration) -> bool {
        timeout(limit, self.must_hear(payload)).await.is_ok()
    }
}

pub(super) fn options(tls: &Tls) -> Options {
    let (connector, acceptor) = connector_and_acceptor(tls).unwrap();
    Options::new(connector, acceptor)
}

/// Every type of value, empty and nested, in events with each form of metadata (WIRE §8.2), and
/// every message of Zeek's that there is a vector of, logs among them.
fn payloads() -> Vec<Bytes> {
    let limits = Limits::default();
    let mut payloads = Vec::new();
    for vector in vector::all() {
        match (vector.kind, vector.expect) {
            (Kind::Data, Expect::Canonical(json)) => {
                payloads.extend(events(&typed::data(&json)));
            }
            (Kind::Envelope, Expect::Canonical(_)) => {
                let envelope = Envelope::decode(&Bytes::from(vector.bytes)).unwrap();
                if envelope.kind == MessageKind::Data {
                    data::check(&envelope.payload, &limits).unwrap();
                    payloads.push(envelope.payload);
                }
            }
            (Kind::Handshake, _) | (_, Expect::DecodeOnly(_) | Expect::Invalid { .. }) => {}
        }
    }
    payloads
}

fn events(value: &Data) -> impl Iterator<Item = Bytes> {
    let time = (1, Data::Timestamp(Timestamp(1_700_000_000_000_000_000)));
    let own = (200, value.clone());
    let metadata = [None, Some(vec![]), Some(vec![time, own])];
    metadata
        .map(|metadata| {
            let mut event = Event::new("ZeekMgmt::interop", vec![value.clone()]);
            event.metadata = metadata;
            event.encode()
        })
        .into_iter()
}

fn numbered(n: u64) -> Bytes {
    let padding = "x".repeat(100);
    Event::new(
        "ZeekMgmt::numbered",
        vec![Data::Count(n), Data::string(padding)],
    )
    .encode()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(LIMIT, work)
        .await
        .expect("an endpoint answers within its own limits")
}

const LIMIT: Duration = Duration::from_secs(30);

/// After that an endpoint is one that does not echo, or does not dial.
const ECHO_LIMIT: Duration = Duration::from_secs(10);
