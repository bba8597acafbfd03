//! An endpoint to embed: a task of its own, and handles to it.
//!
//! [`spawn`] starts the task, which pumps between sockets ([`crate::io::transport`]) and the
//! peering machine ([`crate::peering`]). A [`Handle`] tells it what to do, a [`Subscription`]
//! yields what comes, a [`StatusEvents`] tells about peers.
//!
//! - A publication reaches the peers that subscribe to its topic at that moment; nobody keeps it
//!   for later. It does not come back to the subscriptions of the same endpoint.
//! - A peer that does not read has a bounded queue; when it is full, its oldest message goes
//!   (WIRE §6.8). Who would rather wait awaits [`Handle::ready`] now and then.
//! - A subscriber that does not read has a bounded queue too; [`Overflow`] says what happens then.
//! - All methods are cancel safe: a future that is dropped has either done its work or nothing.
//!
//! ```
//! use broker_proto::{Data, Topic};
//! use broker_proto::io::handle::{Options, Status, spawn};
//! use broker_proto::zeek::Event;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One endpoint listens and subscribes,
//! let office = spawn(Options::cleartext());
//! let addr = office.listen(&"127.0.0.1:0".parse()?).await?;
//! let mut news = office.subscribe(Topic::from_static("/news/")).await?;
//!
//! // another one dials it and publishes once the peering stands.
//! let reporter = spawn(Options::cleartext());
//! let mut status = reporter.status().await?;
//! reporter.peer(&addr.into(), None).await?;
//! while let Some(event) = status.next().await {
//!     match event {
//!         Status::PeerUp { .. } => break,
//!         Status::PeerDown { reason, .. } | Status::PeerUnreachable { reason, .. } => {
//!             return Err(reason.into());
//!         }
//!     }
//! }
//! let event = Event::new("Example::headline", vec![Data::Count(7), Data::string("rain")]);
//! reporter.publish(Topic::from_static("/news/weather"), event.clone()).await?;
//!
//! let message = news.next().await.ok_or("the endpoint ended")?;
//! assert_eq!(message.topic, Topic::from_static("/news/weather"));
//! assert_eq!(message.from, reporter.id());
//! assert_eq!(message.event()?, event);
//!
//! reporter.shutdown().await;
//! office.shutdown().await;
//! # Ok(())
//! # }
//! ```

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::codec::envelope::data_frame;
use crate::codec::{self, DecodeError, Limits};
use crate::io::tls::{Acceptor, Connector};
use crate::io::{entropy, listen};
use crate::peering::{self, Endpoint, PeerAddr, PeerNetwork};
use crate::zeek::{Event, EventError};
use crate::{Data, EndpointId, IdGen, Topic};

mod addr;
mod pump;
mod queue;
#[cfg(test)]
mod tests;

pub use addr::AddrParseError;
use pump::{Command, Pump};
use queue::Reader;

/// What an endpoint is made of.
#[derive(Debug)]
pub struct Options {
    /// How peers are dialed.
    pub connector: Connector,
    /// How peers that dial are let in.
    pub acceptor: Acceptor,
    /// The limits and timeouts of the protocol.
    pub peering: peering::Options,
    /// Messages that may wait for one subscriber. 8,192 by default.
    pub inbox: usize,
    /// What happens when more than that come.
    pub overflow: Overflow,
}

/// What happens when a subscriber does not read and its queue is full.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Overflow {
    /// Its oldest message goes; [`Subscription::lost`] counts them. Nobody else notices.
    #[default]
    DropOldest,
    /// The endpoint reads nothing more from any peer until the subscriber has read. TCP then slows
    /// the peers down, whose own policies decide in the end. The queue may outgrow its limit by
    /// what one read from a socket held.
    Wait,
}

impl Options {
    /// The defaults, with this way to dial and to accept.
    #[must_use]
    pub fn new(connector: Connector, acceptor: Acceptor) -> Self {
        Self {
            connector,
            acceptor,
            peering: peering::Options::default(),
            inbox: INBOX,
            overflow: Overflow::default(),
        }
    }

    /// Dials in cleartext; accepts cleartext, and TLS without checking who it is.
    #[must_use]
    pub fn cleartext() -> Self {
        Self::new(Connector::cleartext(), Acceptor::self_signed())
    }

    /// Dials as Zeek does by default, with TLS that checks nobody (WIRE §7.1); accepts as
    /// [`Self::cleartext`].
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(Connector::anonymous(), Acceptor::self_signed())
    }
}

/// Starts an endpoint with an id of its own, and no peers yet.
///
/// Must be called within a tokio runtime that has its time and network drivers on. The endpoint
/// lives until [`Handle::shutdown`], or until the last handle is dropped, which makes it leave its
/// peers in good order too.
#[must_use]
pub fn spawn(options: Options) -> Handle {
    let mut ids = IdGen::new(entropy::seed());
    let id = ids.endpoint_id();
    let endpoint = Endpoint::new(id, options.peering.clone(), ids);
    let limits = options.peering.limits;
    let (commands, orders) = mpsc::channel(COMMANDS);
    let pump = Pump::new(endpoint, &options, orders);
    #[allow(clippy::disallowed_methods, reason = "this is `io`")]
    tokio::spawn(pump.run(options.connector, options.acceptor));
    Handle {
        id,
        limits,
        commands,
    }
}

/// Tells one endpoint what to do. Clones tell the same endpoint.
#[derive(Clone, Debug)]
pub struct Handle {
    id: EndpointId,
    limits: Limits,
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// The endpoint's id.
    #[must_use]
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// Listens for peers and says where: for port 0 the system chooses one.
    ///
    /// An empty host means every interface.
    ///
    /// # Errors
    /// If the address cannot be bound, or the endpoint has ended.
    pub async fn listen(&self, addr: &PeerAddr) -> Result<SocketAddr, ListenError> {
        let failed = |source| ListenError::Bind {
            addr: addr.clone(),
            source,
        };
        let listener = listen::bind(addr).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        self.tell(Command::Accept(listener)).await?;
        Ok(local)
    }

    /// Dials, and keeps a peering with whoever answers.
    ///
    /// With `retry` a failed or lost peering is dialed again after that time, for as long as
    /// [`Self::unpeer`] does not end it; with `None` it is dialed once. Returns at once: what comes
    /// of it is told by [`Self::status`].
    ///
    /// # Errors
    /// If the endpoint has ended.
    pub async fn peer(&self, addr: &PeerAddr, retry: Option<Duration>) -> Result<(), Gone> {
        let addr = addr.clone();
        self.tell(Command::Peer { addr, retry }).await
    }

    /// Leaves the peer that was dialed by this address, after all that was published before
    /// (WIRE §6.6), and dials it no more.
    ///
    /// # Errors
    /// If the endpoint has ended.
    pub async fn unpeer(&self, addr: &PeerAddr) -> Result<(), Gone> {
        self.tell(Command::Unpeer { addr: addr.clone() }).await
    }

    /// Receives what peers publish on topics that start with this one; `/` has no meaning
    /// (WIRE §6.2).
    ///
    /// Peers that come later are told in the handshake, so nothing they send is missed. Topics
    /// below `<$>/local/` are for nobody outside an endpoint and yield nothing.
    ///
    /// # Errors
    /// If the endpoint has ended.
    pub async fn subscribe(&self, topic: Topic) -> Result<Subscription, Gone> {
        self.subscribe_all(vec![topic]).await
    }

    /// As [`Self::subscribe`], for several topics in one queue. What matches more than one of them
    /// comes once.
    ///
    /// # Errors
    /// If the endpoint has ended.
    pub async fn subscribe_all(&self, topics: Vec<Topic>) -> Result<Subscription, Gone> {
        let (inbox, ask) = oneshot::channel();
        self.tell(Command::Subscribe { topics, inbox }).await?;
        let messages = ask.await.map_err(|_| Gone)?;
        let limits = self.limits;
        Ok(Subscription { messages, limits })
    }

    /// Publishes to the peers that subscribe to this topic.
    ///
    /// Waits only for the endpoint's task, never for a peer; see [`Self::ready`].
    ///
    /// # Errors
    /// If no peer may get it, or the endpoint has ended.
    pub async fn publish(
        &self,
        topic: Topic,
        payload: impl Into<Payload>,
    ) -> Result<(), PublishError> {
        let frame = self.frame(&topic, &payload.into())?;
        self.tell(Command::Publish { topic, frame }).await?;
        Ok(())
    }

    /// Waits until no peer's queue is more than half full, so that what is published next is not
    /// lost to a slow peer.
    ///
    /// # Errors
    /// If the endpoint has ended.
    pub async fn ready(&self) -> Result<(), Gone> {
        self.ask(Command::Ready).await
    }

    /// The peers there are, and how they are reached.
    ///
    /// # Errors
    /// If the endpoint has ended.
    pub async fn peers(&self) -> Result<Vec<(EndpointId, PeerNetwork)>, Gone> {
        self.ask(Command::Peers).await
    }

    /// Tells about peers from here on.
    ///
    /// # Errors
    /// If the endpoint has ended.
    pub async fn status(&self) -> Result<StatusEvents, Gone> {
        let events = self.ask(Command::Status).await?;
        Ok(StatusEvents { events })
    }

    /// Leaves all peers in good order, after all that was published before, and ends the endpoint.
    ///
    /// Returns when every link is closed: seconds at most, even if a peer does not answer. Every
    /// later call on any handle fails with [`Gone`], and subscriptions end once they are read.
    pub async fn shutdown(&self) {
        // An endpoint that has ended is what was asked for.
        let _ = self.ask(Command::Shutdown).await;
    }

    fn frame(&self, topic: &Topic, payload: &Payload) -> Result<Bytes, PublishError> {
        let payload: &[u8] = match &payload.0 {
            Encoded::Here(bytes) => bytes,
            Encoded::Before(bytes) => bytes,
        };
        if topic.as_bytes().is_empty() || topic.is_local() {
            return Err(PublishError::Topic(topic.clone()));
        }
        let (size, limit) = (payload.len(), self.limits.frame);
        if size == 0 || size.saturating_add(HEADER + topic.as_bytes().len()) > limit {
            return Err(PublishError::Size { size, limit });
        }
        Ok(data_frame(self.id, topic, payload))
    }

    async fn tell(&self, command: Command) -> Result<(), Gone> {
        // There nearly always is room, and then no need to be able to wait.
        match self.commands.try_send(command) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(command)) => self.commands.send(command).await.map_err(|_| Gone),
            Err(TrySendError::Closed(_)) => Err(Gone),
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Gone> {
        let (answer, ask) = oneshot::channel();
        self.tell(command(answer)).await?;
        ask.await.map_err(|_| Gone)
    }
}

/// What comes on one topic and below. Dropping it ends it.
///
/// Peers are not told of the end, as Broker does not either (WIRE §6.1): they go on sending, and
/// the endpoint drops what nobody wants.
#[derive(Debug)]
pub struct Subscription {
    messages: Reader<Message>,
    limits: Limits,
}

impl Subscription {
    /// The next message; `None` when the endpoint has ended and all is read. Cancel safe.
    pub async fn next(&mut self) -> Option<Message> {
        let mut message = self.messages.next().await?;
        message.limits = self.limits;
        Some(message)
    }

    /// How many messages went because this was not read in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.messages.lost()
    }
}

/// One message as it came.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its topic.
    pub topic: Topic,
    /// One encoded value, not yet checked.
    pub payload: Bytes,
    /// The peer it came from, which is the last hop.
    pub from: EndpointId,
    limits: Limits,
}

impl Message {
    fn new(topic: Topic, payload: Bytes, from: EndpointId) -> Self {
        let limits = Limits::default();
        Self {
            topic,
            payload,
            from,
            limits,
        }
    }

    /// The value.
    ///
    /// # Errors
    /// If the payload is none, or exceeds the endpoint's limits.
    pub fn data(&self) -> Result<Data, DecodeError> {
        codec::data::decode(&self.payload, &self.limits)
    }

    /// The Zeek event.
    ///
    /// # Errors
    /// If the payload is no value, or a value that is not an event.
    pub fn event(&self) -> Result<Event, EventError> {
        Event::from_data(self.data().map_err(EventError::Undecodable)?)
    }
}

/// News about peers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Status {
    /// A peering is established: what is published from here on reaches the peer.
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
}

/// What happens to peers. At most 1,024 events wait; then the oldest goes.
#[derive(Debug)]
pub struct StatusEvents {
    events: Reader<Status>,
}

impl StatusEvents {
    /// The next event; `None` when the endpoint has ended and all is read. Cancel safe.
    pub async fn next(&mut self) -> Option<Status> {
        self.events.next().await
    }
}

/// One encoded value.
#[derive(Clone, Debug)]
pub struct Payload(Encoded);

#[derive(Clone, Debug)]
enum Encoded {
    /// For this publication only, in more memory than needed, for the moment until the frame is
    /// made of it.
    Here(Vec<u8>),
    Before(Bytes),
}

impl From<Event> for Payload {
    fn from(event: Event) -> Self {
        event.into_data().into()
    }
}

impl From<Data> for Payload {
    fn from(data: Data) -> Self {
        (&data).into()
    }
}

impl From<&Data> for Payload {
    fn from(data: &Data) -> Self {
        let mut out = Vec::with_capacity(TYPICAL_LEN);
        codec::data::encode_into(data, &mut out);
        Self(Encoded::Here(out))
    }
}

/// A value that is encoded already. Nobody checks it here; peers may hang up on garbage.
impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self(Encoded::Before(bytes))
    }
}

/// The endpoint has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the endpoint has been shut down")]
pub struct Gone;

/// Why an endpoint does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be bound.
    #[error("cannot listen at {addr}")]
    Bind {
        /// Where.
        addr: PeerAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The endpoint has ended.
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// Why something was not published.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PublishError {
    /// Peers may not get anything on this topic: it is empty or below `<$>/local/` (WIRE §6.4).
    #[error("peers may not get anything on the topic '{0}'")]
    Topic(Topic),
    /// There is no payload, or more than the endpoint's limit for frames lets through.
    #[error("a payload of {size} bytes does not fit a frame of at most {limit}")]
    Size {
        /// The payload's length in bytes.
        size: usize,
        /// The limit of a frame in bytes.
        limit: usize,
    },
    /// The endpoint has ended.
    #[error(transparent)]
    Gone(#[from] Gone),
}

fn clock() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "`io` reads the clock")]
    Instant::now()
}

/// What a frame has beside topic and payload, in bytes (WIRE §2, §5.1).
const HEADER: usize = 4 + 37;

/// Orders that may wait for the endpoint's task.
const COMMANDS: usize = 1024;

const INBOX: usize = 8192;

/// Longer than most payloads, in bytes.
const TYPICAL_LEN: usize = 1000;
