//! What an endpoint is told and what it asks for.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::Limits;
use crate::{EndpointId, Filter, PeerCertificate, Topic};

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
    /// Whose the other end is, where links have certificates.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// What a peer may read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Readable {
    /// These topics, and no longer ones that begin with them.
    pub exactly: Vec<Topic>,
    /// These topics and all that begin with them.
    pub below: Filter,
}

impl Readable {
    /// Whether a topic is among them.
    #[must_use]
    pub fn has(&self, topic: &Topic) -> bool {
        self.exactly.contains(topic) || self.below.matches(topic)
    }
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
        /// Its certificate, verified, where links have certificates.
        certificate: Option<Arc<PeerCertificate>>,
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
    /// The same, with the envelope written where the value was, which is usually another thread.
    PublishFrame {
        /// The topic.
        topic: Topic,
        /// Made by [`data_frame`] for this endpoint, this topic and a payload that is not empty.
        ///
        /// [`data_frame`]: crate::codec::envelope::data_frame
        frame: Bytes,
    },
    /// The same with a value in parts, each of which is handed on as it is: what is much the same
    /// for many peers is in memory once, however many of them it waits for.
    PublishParts {
        /// The topic.
        topic: Topic,
        /// One encoded value, cut anywhere.
        parts: Vec<Bytes>,
    },
    /// End the peering with this address and stop dialing it.
    Unpeer {
        /// As given to `Dial`.
        addr: PeerAddr,
    },
    /// Send an established peer only what it may read, whatever its filter says. Until told so it
    /// gets all it asks for; tell it on [`Output::PeerUp`], before anything else is published.
    Restrict {
        /// Whom.
        peer: EndpointId,
        /// What it may read; `None` for everything.
        to: Option<Readable>,
    },
    /// End the peering with somebody who is not wanted, without a goodbye. An address it was dialed
    /// at is dialed again after its retry interval.
    Expel {
        /// Whom.
        peer: EndpointId,
        /// Why, for people.
        reason: String,
    },
    /// Find out whether a peer still lives; it is ended if it does not answer within
    /// [`Options::alive_timeout`].
    CheckAlive {
        /// Whom.
        peer: EndpointId,
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
    /// Write one frame, or a part of one whose other parts follow; answered by `Sent`.
    Send {
        /// The link.
        link: LinkId,
        /// The frame, length prefix included; in parts only if it was published in parts.
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
    /// A peer sent an envelope that was dropped: one that does not read, in the name of somebody
    /// else, or against a limit. At most as many as it may have strikes before its peering ends.
    Misbehaved {
        /// Who.
        id: EndpointId,
        /// What was wrong, for people.
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

/// What happens when more waits for a peer than its outbox holds (WIRE §6.8). Answers to pings, the
/// own filter and goodbyes are not subject to it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OverflowPolicy {
    /// The message that waits longest is dropped, as Zeek 7.2 and later do.
    #[default]
    DropOldest,
    /// The message that does not fit is dropped.
    DropNewest,
    /// The link is cut without a goodbye, and this endpoint does not dial the address again unless
    /// it is told to. Zeek 7.1 and plain Broker endpoints do that.
    Disconnect,
}

/// Whether peers get what other peers sent (WIRE §6.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Forwarding {
    /// Nothing received is passed on, as Zeek runs.
    #[default]
    Off,
    /// Data and store commands go on to every other peer that wants them, or to the one they are
    /// addressed to, unread. The endpoint must subscribe to what it shall pass on: filters of peers
    /// are not told to other peers. The peerings must form a tree: nothing stops a message from
    /// going round in a circle.
    On,
}

/// Whether a peer may ask for everything (WIRE §11).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum EmptyPrefix {
    /// The empty topic in a filter matches every topic, as in stock.
    #[default]
    Allowed,
    /// A filter with the empty topic is refused.
    Refused,
}

/// What an endpoint may be told beyond its inputs. What stock has is Zeek's by default; the other
/// limits are those of WIRE §11.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// From `Opened` to the end of the handshake; 10 s by default.
    pub handshake_timeout: Duration,
    /// How long a leaving endpoint waits for the pong (WIRE §6.6); 3 s by default.
    pub bye_timeout: Duration,
    /// How long a peer may take to answer a ping after one more link came under its id; then the
    /// link it has is taken for dead and ended. 5 s by default.
    pub alive_timeout: Duration,
    /// Accepted links that may be in their handshake at a time; one more ends the oldest of the
    /// source that has most. 1024 by default.
    pub pending_links: usize,
    /// The same for links from one source; one more ends its oldest. 256 by default, as all nodes
    /// may share a host.
    pub pending_links_per_source: usize,
    /// Messages queued per peer before `overflow` applies (WIRE §6.8); 8192 by default.
    pub outbox: usize,
    /// Bytes queued per peer before `overflow` applies; 256 MiB by default, which has no match in
    /// stock.
    pub outbox_bytes: usize,
    /// What happens then.
    pub overflow: OverflowPolicy,
    /// Answers to pings queued per peer; the newest stay. 16 by default.
    pub pongs: usize,
    /// Largest payload of a ping that is answered, in bytes; 4 KiB by default, stock sends 11.
    pub ping_bytes: usize,
    /// Bad messages a peer may send within `strike_window`; one more ends the peering. 16 by
    /// default.
    pub strikes: u32,
    /// 60 s by default.
    pub strike_window: Duration,
    /// Largest sum of topic lengths of a peer's filter, in bytes; 1 MiB by default. The number of
    /// topics is in `limits`.
    pub filter_bytes: usize,
    /// Whether a peer may ask for everything.
    pub empty_prefix: EmptyPrefix,
    /// Whether peers get what other peers sent.
    pub forwarding: Forwarding,
    /// What peers may make the endpoint hold.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            bye_timeout: Duration::from_secs(3),
            alive_timeout: Duration::from_secs(5),
            pending_links: 1024,
            pending_links_per_source: 256,
            outbox: 8192,
            outbox_bytes: 256 << 20,
            overflow: OverflowPolicy::DropOldest,
            pongs: 16,
            ping_bytes: 4 << 10,
            strikes: 16,
            strike_window: Duration::from_secs(60),
            filter_bytes: 1 << 20,
            empty_prefix: EmptyPrefix::Allowed,
            forwarding: Forwarding::Off,
            limits: Limits::default(),
        }
    }
}
