//! One link: its frames, its queue, and its state.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::handshake::Handshake;
use super::interest::Interest;
use super::outbox::Outbox;
use super::{Options, PeerAddr, PeerCounters, Readable};
use crate::codec::frame::FrameDecoder;
use crate::{EndpointId, PeerCertificate};

/// A link that is open.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) remote: SocketAddr,
    /// The address that this link serves: as dialed, or one whose own link was redundant.
    pub(super) dialed: Option<PeerAddr>,
    /// Whose the other end is, where links have certificates.
    pub(super) certificate: Option<Arc<PeerCertificate>>,
    pub(super) decoder: FrameDecoder,
    pub(super) outbox: Outbox,
    pub(super) state: LinkState,
}

#[derive(Debug)]
pub(super) enum LinkState {
    /// The caller is opening it.
    Dialing,
    /// Phases 1 and 2.
    Handshake(Establishing),
    /// Waits for another link's handshake with the same peer.
    Parked { peer: EndpointId },
    /// Phase 3.
    Peered(Peering),
    /// To be closed by the caller; nothing it says counts any more.
    Closing,
}

/// A handshake that runs.
#[derive(Debug)]
pub(super) struct Establishing {
    pub(super) state: Handshake,
    pub(super) announced: Generation,
}

/// Counts the changes of our own filter; zero is no filter at all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Generation(u64);

impl Generation {
    pub(super) fn advance(&mut self) {
        self.0 += 1;
    }
}

/// An established peering.
#[derive(Debug)]
pub(super) struct Peering {
    pub(super) peer: EndpointId,
    /// What the peer wants.
    pub(super) wants: Interest,
    /// What it may have of that; `None` for all of it.
    pub(super) readable: Option<Box<Readable>>,
    /// Which of our filters the peer was told.
    pub(super) announced: Generation,
    pub(super) question: Question,
    pub(super) strikes: Strikes,
    pub(super) counters: PeerCounters,
}

/// What we have asked the peer with a ping, by the ping's payload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Question {
    /// Nothing.
    None,
    /// Whether it is alive, as somebody else comes under its id (WIRE §11).
    Alive(Bytes),
    /// We said goodbye; the link ends with the pong (WIRE §6.6).
    Bye(Bytes),
}

/// Counts a peer's bad envelopes.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    since: Option<Instant>,
    count: u32,
}

impl Strikes {
    /// Notes one more; returns whether it was one too many.
    pub(super) fn strike(&mut self, now: Instant, options: &Options) -> bool {
        let running = |since| now < since + options.strike_window;
        let running = self.since.is_some_and(running);
        if !running {
            *self = Self {
                since: Some(now),
                count: 0,
            };
        }
        self.count = self.count.saturating_add(1);
        self.count > options.strikes
    }
}

impl Link {
    /// The established peering, if it is one.
    pub(super) fn peering(&self) -> Option<&Peering> {
        match &self.state {
            LinkState::Peered(peering) => Some(peering),
            LinkState::Handshake(_)
            | LinkState::Dialing
            | LinkState::Parked { .. }
            | LinkState::Closing => None,
        }
    }

    /// The same, to change it.
    pub(super) fn peering_mut(&mut self) -> Option<&mut Peering> {
        match &mut self.state {
            LinkState::Peered(peering) => Some(peering),
            LinkState::Handshake(_)
            | LinkState::Dialing
            | LinkState::Parked { .. }
            | LinkState::Closing => None,
        }
    }

    /// The peer whose registry entry this link has a part in.
    pub(super) fn claimed(&self) -> Option<EndpointId> {
        match &self.state {
            LinkState::Handshake(running) => running.state.peer(),
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
