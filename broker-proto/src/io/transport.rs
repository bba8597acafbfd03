//! Runs the orders of a peering endpoint on real sockets.
//!
//! Whoever awaits [`Transport::next`] reads and writes all sockets meanwhile: what one link has to say
//! is dealt with before the next one is looked at, and while nobody awaits it nothing is read, so that
//! TCP slows the peers down (WIRE §6.8). Only listening, with the handshakes of links that come, has
//! tasks of its own.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::io::gate::{self, Gate};
use crate::io::listen::{self, Accepted};
use crate::io::tls::{Acceptor, Connector};
use crate::peering::{Input, LinkId, Output, PeerAddr};

mod awake;
mod link;
mod links;
mod queue;
#[cfg(test)]
mod tests;

use link::Link;
use links::Links;

/// The sockets of one endpoint.
///
/// Dropping it ends all its tasks and closes all its sockets at once.
#[derive(Debug)]
pub struct Transport {
    connector: Connector,
    acceptor: Acceptor,
    gate: Gate,
    links: Links,
    accepted: u64,
    listeners: JoinSet<()>,
    incoming: Incoming,
    listen_retry: Duration,
}

/// Links that come. Both ends, so that it never closes.
#[derive(Debug)]
struct Incoming {
    sender: mpsc::Sender<Accepted>,
    receiver: mpsc::Receiver<Accepted>,
}

impl Transport {
    /// A transport without links, which dials and accepts as told here.
    #[must_use]
    pub fn new(connector: Connector, acceptor: Acceptor) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self {
            connector,
            acceptor,
            gate: Gate::default(),
            links: Links::new(),
            accepted: 0,
            listeners: JoinSet::new(),
            incoming: Incoming { sender, receiver },
            listen_retry: LISTEN_RETRY,
        }
    }

    /// The same with another time between attempts to listen on an address that is taken.
    #[must_use]
    pub fn listen_retry(mut self, retry: Duration) -> Self {
        self.listen_retry = retry.max(SHORTEST_RETRY);
        self
    }

    /// The same with a gate of the caller's making. Must be said before anything is listened at.
    #[must_use]
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// What happened to links that came, until now.
    pub fn gate_counters(&self) -> gate::Counters {
        self.gate.counters()
    }

    /// Does what the endpoint ordered. Outputs that are news for the program are ignored here.
    ///
    /// Must be called within a tokio runtime. Never waits: an address that cannot be listened at is
    /// logged and tried again every second, as stock does, or as [`Self::listen_retry`] says; a failed
    /// dial comes back as `Closed`. `Send` queues without limit, until [`Self::next`]; how much may be
    /// on its way is the endpoint's business, which `Sent` tells it. Orders for an unknown link are
    /// ignored: it may have closed in the meantime.
    pub fn apply(&mut self, output: Output) {
        match output {
            Output::Listen { addr } => {
                let incoming = self.incoming.sender.clone();
                let (acceptor, gate) = (self.acceptor.clone(), self.gate.clone());
                let retry = self.listen_retry;
                self.listeners
                    .spawn(listen_for_ever(addr, acceptor, gate, incoming, retry));
            }
            Output::Dial { link, addr } => {
                self.links
                    .add(link, Link::dial(self.connector.clone(), addr));
            }
            Output::Send { link, bytes } => self.links.send(link, bytes),
            Output::Close { link } => self.links.close(link),
            Output::Deliver { .. }
            | Output::PeerUp { .. }
            | Output::PeerDown { .. }
            | Output::PeerUnreachable { .. }
            | Output::Misbehaved { .. }
            | Output::Stopped => {}
        }
    }

    /// Listens at `addr` and says where: for port 0, and for programs that rather fail than retry.
    ///
    /// # Errors
    /// As [`listen::bind`].
    pub async fn listen(&mut self, addr: &PeerAddr) -> io::Result<SocketAddr> {
        let listener = listen::bind(addr).await?;
        let local = listener.local_addr()?;
        self.accept(listener);
        info!(%local, "listening for peers");
        Ok(local)
    }

    /// Accepts links from a socket that listens already.
    pub fn accept(&mut self, listener: TcpListener) {
        let (acceptor, gate) = (self.acceptor.clone(), self.gate.clone());
        let incoming = self.incoming.sender.clone();
        self.listeners
            .spawn(listen::accept(listener, acceptor, gate, incoming));
    }

    /// Whether links are read at all, as they are at first. What was ordered is written in any case.
    pub fn set_reading(&mut self, is_reading: bool) {
        self.links.set_reading(is_reading);
    }

    /// Waits for what happens next: `Opened`, `Bytes`, `Sent` or `Closed`. Links dial, read and write
    /// only meanwhile.
    ///
    /// Every link that was dialed or reported as `Opened` ends in exactly one `Closed`. After
    /// `Close` was ordered, nothing but `Closed` comes from a link. Cancel safe.
    pub async fn next(&mut self) -> Input {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        // One at most, before its task brings another: those who are in do not wait for long.
        while let Poll::Ready(Some(accepted)) = self.incoming.receiver.poll_recv(cx) {
            if let Some(opened) = self.on_accepted(accepted) {
                return Poll::Ready(opened);
            }
        }
        while let Poll::Ready(Some(ended)) = self.listeners.poll_join_next(cx) {
            if let Err(failure) = ended {
                error!(%failure, "nobody listens any more");
            }
        }
        self.links.poll(cx)
    }

    /// `None` if it lost its place while it waited.
    fn on_accepted(&mut self, accepted: Accepted) -> Option<Input> {
        let Accepted {
            stream,
            remote,
            pass,
        } = accepted;
        // From here on the endpoint has limits for those that do not become peers.
        if !pass.known().settle() {
            listen::on_pushed_out(&self.gate, remote);
            return None;
        }
        let link = LinkId::Accepted(self.accepted);
        self.accepted += 1;
        let certificate = stream.certificate().cloned();
        self.links.add(link, Link::accepted(stream, pass));
        debug!(%link, %remote, "link accepted");
        Some(Input::Opened {
            link,
            remote,
            certificate,
        })
    }
}

async fn listen_for_ever(
    addr: PeerAddr,
    acceptor: Acceptor,
    gate: Gate,
    incoming: mpsc::Sender<Accepted>,
    retry: Duration,
) {
    let mut known = String::new();
    let listener = loop {
        match listen::bind(&addr).await {
            Ok(listener) => break listener,
            Err(error) => {
                let reason = error.to_string();
                if reason != known {
                    warn!(%addr, reason, ?retry, "cannot listen, trying again and again");
                }
                known = reason;
            }
        }
        tokio::time::sleep(retry).await;
    };
    info!(%addr, "listening for peers");
    listen::accept(listener, acceptor, gate, incoming).await;
}

/// Stock's `Broker::default_listen_retry`.
const LISTEN_RETRY: Duration = Duration::from_secs(1);

/// Trying without a pause would only keep the machine busy.
const SHORTEST_RETRY: Duration = Duration::from_millis(10);
