//! One link: its frames, its queue, and its state.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::PeerAddr;
use super::handshake::Handshake;
use super::outbox::Outbox;
use crate::EndpointId;
use crate::codec::frame::FrameDecoder;
use crate::topic::Filter;

/// How many undecodable or foreign envelopes a peer may send within [`STRIKE_WINDOW`].
const MAX_STRIKES: u32 = 16;
const STRIKE_WINDOW: Duration = Duration::from_secs(60);

/// A link that is open.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) remote: SocketAddr,
    pub(super) dialed: Option<PeerAddr>,
    pub(super) decoder: FrameDecoder,
    pub(super) outbox: Outbox,
    pub(super) state: LinkState,
}

#[derive(Debug)]
pub(super) enum LinkState {
    /// The caller is opening it.
    Dialing,
    /// Phases 1 and 2.
    Handshake {
        state: Handshake,
        announced: Filter,
        deadline: Instant,
    },
    /// Waits for another link's handshake with the same peer.
    Parked { peer: EndpointId },
    /// Phase 3.
    Peered(Peering),
    /// To be closed by the caller; nothing it says counts any more.
    Closing,
}

/// An established peering.
#[derive(Debug)]
pub(super) struct Peering {
    pub(super) peer: EndpointId,
    /// What the peer wants.
    pub(super) filter: Filter,
    /// What the peer was told that we want.
    pub(super) announced: Filter,
    pub(super) leaving: Option<Bye>,
    pub(super) strikes: Strikes,
}

/// We said goodbye and wait for the pong (WIRE §6.6).
#[derive(Debug)]
pub(super) struct Bye {
    pub(super) token: Bytes,
    pub(super) deadline: Instant,
}

/// Counts a peer's bad envelopes.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    since: Option<Instant>,
    count: u32,
}

impl Strikes {
    /// Notes one more; returns whether it was one too many.
    pub(super) fn strike(&mut self, now: Instant) -> bool {
        let running = self.since.is_some_and(|since| now < since + STRIKE_WINDOW);
        if !running {
            *self = Self {
                since: Some(now),
                count: 0,
            };
        }
        self.count += 1;
        self.count > MAX_STRIKES
    }
}

impl Link {
    /// When this link needs attention without anything arriving.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            LinkState::Handshake { deadline, .. } => Some(*deadline),
            LinkState::Peered(peering) => peering.leaving.as_ref().map(|bye| bye.deadline),
            LinkState::Dialing | LinkState::Parked { .. } | LinkState::Closing => None,
        }
    }

    /// The established peering, if it is one.
    pub(super) fn peering(&self) -> Option<&Peering> {
        match &self.state {
            LinkState::Peered(peering) => Some(peering),
            LinkState::Handshake { .. }
            | LinkState::Dialing
            | LinkState::Parked { .. }
            | LinkState::Closing => None,
        }
    }

    /// The same, to change it.
    pub(super) fn peering_mut(&mut self) -> Option<&mut Peering> {
        match &mut self.state {
            LinkState::Peered(peering) => Some(peering),
            LinkState::Handshake { .. }
            | LinkState::Dialing
            | LinkState::Parked { .. }
            | LinkState::Closing => None,
        }
    }

    /// The peer whose registry entry this link has a part in.
    pub(super) fn claimed(&self) -> Option<EndpointId> {
        match &self.state {
            LinkState::Handshake { state, .. } => state.peer(),
            LinkState::Parked { peer } => Some(*peer),
            LinkState::Peered(peering) => Some(peering.peer),
            LinkState::Dialing | LinkState::Closing => None,
        }
    }

    /// Who the peer is, for logs.
    pub(super) fn label(&self) -> String {
        match (self.claimed(), &self.dialed) {
            (Some(peer), _) => format!("{peer} at {}", self.remote),
            (None, Some(addr)) => addr.to_string(),
            (None, None) => self.remote.to_string(),
        }
    }
}
