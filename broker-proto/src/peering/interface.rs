//! What an endpoint is told and what it asks for.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::Limits;
use crate::{EndpointId, Topic};

/// Names a link for as long as the caller keeps it open; never used twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LinkId {
    /// A link this endpoint asked for; the endpoint counts these.
    Dialed(u64),
    /// A link the caller accepted; the caller counts these.
    Accepted(u64),
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dialed(n) => write!(f, "dialed#{n}"),
            Self::Accepted(n) => write!(f, "accepted#{n}"),
        }
    }
}

/// A host name or address, and a port, as configured.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PeerAddr {
    /// A name or an address literal without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How a peer is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerNetwork {
    /// The other end of the socket.
    pub remote: SocketAddr,
    /// The address as dialed, if this endpoint dialed.
    pub dialed: Option<PeerAddr>,
}

/// What happened, or what somebody asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// Accept links at this address.
    Listen {
        /// Where.
        addr: PeerAddr,
    },
    /// Keep a peering with whoever answers at this address.
    Dial {
        /// Where.
        addr: PeerAddr,
        /// How long to wait between attempts; `None` tries once.
        retry: Option<Duration>,
    },
    /// A link is open, TLS included.
    Opened {
        /// The link; for dialed ones the id of [`Output::Dial`].
        link: LinkId,
        /// The other end.
        remote: SocketAddr,
    },
    /// Bytes arrived, cut anywhere.
    Bytes {
        /// The link.
        link: LinkId,
        /// The bytes.
        chunk: Bytes,
    },
    /// Earlier [`Output::Send`]s were handed to the operating system.
    Sent {
        /// The link.
        link: LinkId,
        /// How many of them.
        messages: usize,
    },
    /// A link is gone, or a dial failed. Nothing more comes from it.
    Closed {
        /// The link.
        link: LinkId,
        /// Why, for people.
        reason: String,
    },
    /// Receive what is published on this topic and below.
    Subscribe {
        /// The topic prefix.
        topic: Topic,
    },
    /// Publish to every peer whose filter matches.
    Publish {
        /// The topic.
        topic: Topic,
        /// One encoded value.
        payload: Bytes,
    },
    /// End the peering with this address and stop dialing it.
    Unpeer {
        /// As given to `Dial`.
        addr: PeerAddr,
    },
    /// Leave all peers in good order (WIRE §6.6), then report [`Output::Stopped`].
    Shutdown,
}

/// What the caller must do or know, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Accept links at this address.
    Listen {
        /// Where.
        addr: PeerAddr,
    },
    /// Open a link; answered by `Opened` or `Closed`.
    Dial {
        /// The id it shall have.
        link: LinkId,
        /// Where.
        addr: PeerAddr,
    },
    /// Write one frame; answered by `Sent`.
    Send {
        /// The link.
        link: LinkId,
        /// The frame, length prefix included.
        bytes: Bytes,
    },
    /// Close once everything sent before is written; answered by `Closed`.
    Close {
        /// The link.
        link: LinkId,
    },
    /// A subscribed or addressed data message came.
    Deliver {
        /// Its topic.
        topic: Topic,
        /// One encoded value, not yet checked.
        payload: Bytes,
        /// The peer it came from (the last hop).
        from: EndpointId,
    },
    /// A peering is established.
    PeerUp {
        /// Who.
        id: EndpointId,
        /// How it is reached.
        network: PeerNetwork,
    },
    /// A peering ended.
    PeerDown {
        /// Who.
        id: EndpointId,
        /// Why, for people.
        reason: String,
    },
    /// A dial or handshake failed; it is tried again if a retry interval was given.
    PeerUnreachable {
        /// Where.
        addr: PeerAddr,
        /// Why, for people.
        reason: String,
    },
    /// [`Input::Shutdown`] is complete; no link is left.
    Stopped,
}

/// What an endpoint may be told beyond its inputs. The defaults are Zeek's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// From `Opened` to the end of the handshake.
    pub handshake_timeout: Duration,
    /// How long a leaving endpoint waits for the pong (WIRE §6.6).
    pub bye_timeout: Duration,
    /// Messages queued per peer before the oldest is dropped (WIRE §6.8).
    pub outbox: usize,
    /// What peers may make the endpoint hold.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            bye_timeout: Duration::from_secs(3),
            outbox: 8192,
            limits: Limits::default(),
        }
    }
}
