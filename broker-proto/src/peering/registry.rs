//! Which peer is connecting or peered, and what to do with one more link to it (WIRE §4.4).

use std::collections::BTreeMap;

use super::LinkId;
use super::handshake::Role;
use crate::EndpointId;

/// The one link that counts for each peer, and those that wait for its handshake.
#[derive(Debug, Default)]
pub(super) struct Registry {
    peers: BTreeMap<EndpointId, Entry>,
}

#[derive(Debug)]
struct Entry {
    link: LinkId,
    status: Status,
    parked: Vec<LinkId>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Status {
    Connecting,
    Peered,
}

/// What becomes of a link that claims a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It is the peer's link.
    Go,
    /// It waits for the handshake that runs.
    Park,
    /// It is closed with this code and text.
    Drop {
        /// WIRE §4.5.
        code: u8,
        /// Stock's text.
        description: &'static str,
    },
}

impl Registry {
    /// A handshake on `link` has found out who the peer is.
    pub(super) fn claim(&mut self, peer: EndpointId, role: Role, link: LinkId) -> Verdict {
        let Some(entry) = self.peers.get_mut(&peer) else {
            let entry = Entry {
                link,
                status: Status::Connecting,
                parked: Vec::new(),
            };
            self.peers.insert(peer, entry);
            return Verdict::Go;
        };
        match (entry.status, role) {
            (Status::Connecting, Role::Originator) => {
                entry.parked.push(link);
                Verdict::Park
            }
            (Status::Peered, Role::Originator) => REDUNDANT,
            (Status::Connecting | Status::Peered, Role::Responder) => Verdict::Drop {
                code: 40,
                description: "detected redundant connection at the responder",
            },
        }
    }

    /// The handshake is done; returns the links that waited for it.
    pub(super) fn peered(&mut self, peer: EndpointId) -> Vec<LinkId> {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return Vec::new();
        };
        entry.status = Status::Peered;
        std::mem::take(&mut entry.parked)
    }

    /// A link is gone; returns the links that waited for its handshake.
    pub(super) fn release(&mut self, peer: EndpointId, link: LinkId) -> Vec<LinkId> {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return Vec::new();
        };
        if entry.link != link {
            entry.parked.retain(|parked| *parked != link);
            return Vec::new();
        }
        self.peers
            .remove(&peer)
            .map(|entry| entry.parked)
            .unwrap_or_default()
    }

    /// The link that counts for a peer that is connecting or peered.
    pub(super) fn link(&self, peer: EndpointId) -> Option<LinkId> {
        self.peers.get(&peer).map(|entry| entry.link)
    }
}

/// How the originator turns down one more link.
pub(super) const REDUNDANT: Verdict = Verdict::Drop {
    code: 39,
    description: "redundant connection",
};
