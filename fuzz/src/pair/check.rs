//! What must hold of two endpoints, whatever happens to them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use broker_proto::peering::Input;
use broker_proto::{EndpointId, Topic};
use bytes::Bytes;

use super::world::{BULK, OUTBOX, Side, World, addr};

/// What both are subscribed to at the end.
const LAST: &str = "last";

/// What waits for a peer beside messages: pongs, a filter, handshake messages, pings of our own.
const BESIDE: usize = 32;

/// What a caller holds of one link: a window of 512 KiB and one frame more.
const IN_FLIGHT: usize = (512 << 10) + 200_100;

impl World {
    /// After every step.
    pub(super) fn check(&self) {
        for side in Side::BOTH {
            let host = &self[side];
            let peers: Vec<EndpointId> = host.endpoint.peers().map(|(id, _)| id).collect();
            let unique: BTreeSet<EndpointId> = peers.iter().copied().collect();
            assert_eq!(peers.len(), unique.len(), "two peerings with one peer");
            assert_eq!(unique, host.up, "peers are not what was told");
            assert!(!unique.contains(&host.endpoint.id()), "peered with itself");
            let backlog = host.endpoint.backlog();
            assert!(backlog <= OUTBOX + BESIDE, "{backlog} messages wait");
            assert!(!host.stopped || unique.is_empty(), "stopped with peers");
        }
        for end in self.pipes.iter().flat_map(|pipe| &pipe.ends) {
            let held: usize = end.unwritten.iter().sum();
            assert!(held <= IN_FLIGHT, "the caller holds {held} bytes of a link");
        }
    }

    /// Once all is quiet: whoever is peered is so on both ends, and whoever left is gone.
    pub(super) fn check_agreement(&self) {
        self.check();
        let [left, right] = Side::BOTH.map(|side| self.established(side));
        assert_eq!(left, right, "one is peered, the other is not");
        for side in Side::BOTH {
            let host = &self[side];
            assert_eq!(host.leaving, host.stopped, "a shutdown does not end");
        }
    }

    /// Those who want to be peers become peers, whatever was before.
    pub(super) fn check_reunion(&mut self) {
        for side in Side::BOTH {
            if self[side].leaving {
                self.restart(side, 0);
            }
        }
        let retry = Some(Duration::from_secs(1));
        for side in Side::BOTH {
            let addr = addr(false);
            self.tell(side, Input::Dial { addr, retry });
            self.want(side, LAST);
        }
        self.settle(Duration::from_secs(60));
        self.check_agreement();
        assert_eq!(self.peering().len(), 1, "two that dial are no peers");
        self.check_flow();
    }

    /// Each hears what the other publishes on every topic it subscribed to, ever, and once.
    pub(super) fn check_flow(&mut self) {
        for side in Side::BOTH {
            let from = self[side].endpoint.id();
            let other = side.other();
            let heard = |world: &Self| world[other].heard.get(&from).copied().unwrap_or(0);
            for topic in self[other].wants.clone() {
                let before = heard(self);
                let topic = Topic::from_static(topic);
                let payload = Bytes::from_static(&BULK[..1]);
                self.tell(side, Input::Publish { topic, payload });
                self.pump();
                assert_eq!(heard(self), before + 1, "a peer does not hear a message");
            }
        }
    }

    /// The links by which the two are peers.
    pub(super) fn peering(&self) -> BTreeSet<SocketAddr> {
        self.established(Side::Left)
    }

    fn established(&self, side: Side) -> BTreeSet<SocketAddr> {
        let other = self[side.other()].endpoint.id();
        let peers = self[side].endpoint.peers();
        let peers = peers.filter(|(id, _)| *id == other);
        peers.map(|(_, network)| network.remote).collect()
    }
}
