//! Against a Broker endpoint built elsewhere: `BROKER_PEER=host:port cargo test --test interop`.
//!
//! The endpoint is dialed with the TLS of a Zeek without certificates, or in cleartext with
//! `BROKER_TLS=off`. Nothing is known of what it subscribes to, so what it sends back is told, not
//! checked; that it keeps the peering through every kind of event is.

#![allow(clippy::print_stdout, reason = "a test that does not run says so")]

use std::env;
use std::time::Duration;

use broker_proto::io::handle::{Handle, Options, Status, StatusEvents, Subscription, spawn};
use broker_proto::peering::PeerAddr;
use broker_proto::zeek::Event;
use broker_proto::{Data, EndpointId, Topic};
use harness::typed;
use harness::vector::{self, Expect, Kind};
use tokio::time::timeout;

const TOPIC: Topic = Topic::from_static("/zeek-mgmt/interop");

#[tokio::test]
async fn a_broker_endpoint_elsewhere_takes_every_type_and_peers_again() {
    let Ok(text) = env::var("BROKER_PEER") else {
        println!("did not run: BROKER_PEER=host:port names no Broker endpoint");
        return;
    };
    let cleartext = env::var("BROKER_TLS").is_ok_and(|tls| tls == "off");
    converse(&text.parse().unwrap(), cleartext).await;
}

/// The same, with an endpoint of this project on the other side, so that it always runs.
#[tokio::test]
async fn an_endpoint_of_ours_takes_every_type_and_peers_again() {
    let other = spawn(Options::cleartext().unwrap());
    let mut events = other.subscribe(TOPIC).await.unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let addr = other.listen(&any).await.unwrap().into();
    let echo = other.clone();
    let echoing = async {
        while let Some(message) = events.next().await {
            echo.publish(message.topic, message.payload).await.unwrap();
        }
    };
    let echoed = tokio::select! {
        echoed = converse(&addr, false) => echoed,
        () = echoing => 0,
    };
    // Both rounds, all of each.
    assert_eq!(echoed, 2 * values().len());
}

/// Peers twice; sends one event for each valid vector and returns how many came back.
async fn converse(addr: &PeerAddr, cleartext: bool) -> usize {
    let options = if cleartext {
        Options::cleartext()
    } else {
        Options::anonymous()
    };
    let ours = spawn(options.unwrap());
    let mut status = ours.status().await.unwrap();
    let mut echoed = 0;
    for round in 1..=2 {
        // Dropping it at the end of the round unsubscribes.
        let mut events = ours.subscribe(TOPIC).await.unwrap();
        let peer = peered(&ours, &mut status, addr).await;
        println!("round {round}: peering with {peer}");
        for value in values() {
            let event = Event::new("ZeekMgmt::interop", vec![value]);
            ours.publish(TOPIC, event.clone()).await.unwrap();
            if came_back(&mut events, &event).await {
                echoed += 1;
            }
        }
        let peers = ours.peers().await.unwrap();
        assert!(peers.iter().any(|(id, _)| *id == peer), "the peering ended");
        drop(events);
        ours.unpeer(addr).await.unwrap();
        let down = within(status.next()).await;
        assert!(
            matches!(&down, Some(Status::PeerDown { id, .. }) if *id == peer),
            "{down:?}"
        );
    }
    println!("{echoed} events came back");
    ours.shutdown().await;
    echoed
}

/// Whether the peer sends such an event in a moment.
async fn came_back(events: &mut Subscription, event: &Event) -> bool {
    let answer = async {
        while let Some(message) = events.next().await {
            if message.event().as_ref() == Ok(event) {
                return true;
            }
        }
        false
    };
    timeout(Duration::from_millis(100), answer)
        .await
        .unwrap_or(false)
}

async fn peered(ours: &Handle, status: &mut StatusEvents, addr: &PeerAddr) -> EndpointId {
    ours.peer(addr, None).await.unwrap();
    let event = within(status.next()).await;
    let Some(Status::PeerUp { id, .. }) = event else {
        panic!("{event:?}");
    };
    id
}

/// The values of all valid vectors: every type, empty and nested.
fn values() -> Vec<Data> {
    let data = vector::all().into_iter().filter(|v| v.kind == Kind::Data);
    let valid = data.filter_map(|vector| match vector.expect {
        Expect::Canonical(json) => Some(typed::data(&json)),
        Expect::DecodeOnly(_) | Expect::Invalid { .. } => None,
    });
    valid.collect()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work)
        .await
        .expect("an endpoint answers within its own limits")
}
