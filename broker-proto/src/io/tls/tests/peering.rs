//! Whole endpoints over real sockets: whoever dials, whichever id is smaller, however protected.

use std::time::Instant;

use super::authority::{Authority, Kind};
use super::within;
use crate::IdGen;
use crate::endpoint_id::EndpointId;
use crate::io::tls::connector_and_acceptor;
use crate::io::transport::Transport;
use crate::peering::{Endpoint, Input, Options, Output, PeerAddr};
use crate::tls::Tls;

/// Who dials.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Dialer {
    First,
    Second,
    Both,
}

// WIRE §4.2, §4.4, §7.
#[tokio::test]
async fn endpoints_peer_whoever_dials_whichever_id_is_smaller_however_protected() {
    let ca = Authority::new("CA");
    let protections = [
        Tls::Off,
        Tls::Anonymous,
        ca.tls("rustls", Kind::Version3),
        ca.tls("openssl", Kind::Version1),
    ];
    let mut ids = IdGen::new(1);
    let mut ids = [ids.endpoint_id(), ids.endpoint_id()];
    ids.sort_unstable();
    let [smaller, larger] = ids;
    for tls in &protections {
        for dialer in [Dialer::First, Dialer::Second, Dialer::Both] {
            for (first, second) in [(smaller, larger), (larger, smaller)] {
                within(peer_up(tls, dialer, first, second)).await;
            }
        }
    }
}

/// Returns when both have each other as peer.
async fn peer_up(tls: &Tls, dialer: Dialer, first: EndpointId, second: EndpointId) {
    let (mut a, addr_a) = Node::new(tls, first).await;
    let (mut b, addr_b) = Node::new(tls, second).await;
    if dialer != Dialer::Second {
        a.dial(addr_b);
    }
    if dialer != Dialer::First {
        b.dial(addr_a);
    }
    while a.peers != [second] || b.peers != [first] {
        tokio::select! {
            input = a.transport.next() => a.handle(input),
            input = b.transport.next() => b.handle(input),
        }
    }
}

struct Node {
    endpoint: Endpoint,
    transport: Transport,
    peers: Vec<EndpointId>,
}

impl Node {
    async fn new(tls: &Tls, id: EndpointId) -> (Self, PeerAddr) {
        let (connector, acceptor) = connector_and_acceptor(tls).unwrap();
        let mut transport = Transport::new(connector, acceptor);
        let addr = |port| PeerAddr {
            host: "127.0.0.1".into(),
            port,
        };
        let local = transport.listen(&addr(0)).await.unwrap();
        let node = Self {
            endpoint: Endpoint::new(id, Options::default(), IdGen::new(2)),
            transport,
            peers: Vec::new(),
        };
        (node, addr(local.port()))
    }

    fn dial(&mut self, addr: PeerAddr) {
        self.handle(Input::Dial { addr, retry: None });
    }

    #[allow(
        clippy::disallowed_methods,
        clippy::wildcard_enum_match_arm,
        reason = "sockets keep real time, and most outputs are for them"
    )]
    fn handle(&mut self, input: Input) {
        self.endpoint.handle(Instant::now(), input);
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::PeerUp { id, .. } => self.peers.push(id),
                other => self.transport.apply(other),
            }
        }
    }
}
