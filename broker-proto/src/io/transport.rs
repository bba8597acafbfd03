//! Runs the orders of a peering endpoint on real sockets.
//!
//! One task per socket. What the tasks read comes back through one bounded channel: while nobody
//! calls [`Transport::next`], they stop reading, and TCP slows the peers down (WIRE §6.8).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{self, JoinError, JoinSet};
use tracing::{debug, error, info, warn};

use crate::io::gate::{self, Gate};
use crate::io::listen::{self, Accepted};
use crate::io::tls::{Acceptor, Connector};
use crate::peering::{Input, LinkId, Output, PeerAddr};

mod link;
#[cfg(test)]
mod tests;

use link::{News, Orders};

/// The sockets of one endpoint.
///
/// Dropping it ends all its tasks and closes all its sockets at once.
#[derive(Debug)]
pub struct Transport {
    connector: Connector,
    acceptor: Acceptor,
    gate: Gate,
    links: BTreeMap<LinkId, Link>,
    /// Links with frames that their tasks do not have yet.
    pending: Vec<LinkId>,
    accepted: u64,
    tasks: JoinSet<()>,
    news: Channel<(LinkId, News)>,
    incoming: Channel<Accepted>,
    listen_retry: Duration,
}

#[derive(Debug)]
struct Link {
    task: task::Id,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Dialing, or open.
    Live {
        /// Ordered since the last flush.
        pending: Vec<Bytes>,
        frames: mpsc::UnboundedSender<Vec<Bytes>>,
        close: oneshot::Sender<()>,
    },
    /// `Close` was ordered. Only `Closed` is still reported.
    Closing,
}

/// Both ends, so that it never closes.
#[derive(Debug)]
struct Channel<T> {
    sender: mpsc::Sender<T>,
    receiver: mpsc::Receiver<T>,
}

impl Transport {
    /// A transport without links, which dials and accepts as told here.
    #[must_use]
    pub fn new(connector: Connector, acceptor: Acceptor) -> Self {
        Self {
            connector,
            acceptor,
            gate: Gate::default(),
            links: BTreeMap::new(),
            pending: Vec::new(),
            accepted: 0,
            tasks: JoinSet::new(),
            news: Channel::new(NEWS),
            incoming: Channel::new(1),
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
    /// dial comes back as `Closed`. `Send` queues without limit, until [`Self::next`] or
    /// [`Self::flush`]; how much may be on its way is the endpoint's business, which `Sent` tells it.
    /// Orders for an unknown link are ignored: it may have closed in the meantime.
    pub fn apply(&mut self, output: Output) {
        match output {
            Output::Listen { addr } => {
                let incoming = self.incoming.sender.clone();
                let (acceptor, gate) = (self.acceptor.clone(), self.gate.clone());
                let retry = self.listen_retry;
                self.tasks
                    .spawn(listen_for_ever(addr, acceptor, gate, incoming, retry));
            }
            Output::Dial { link, addr } => {
                let connector = self.connector.clone();
                self.start(link, |orders, news| {
                    link::dial(link, connector, addr, orders, news)
                });
            }
            Output::Send { link, bytes } => self.send(link, bytes),
            Output::Close { link } => self.close(link),
            Output::Deliver { .. }
            | Output::PeerUp { .. }
            | Output::PeerDown { .. }
            | Output::PeerUnreachable { .. }
            | Output::Misbehaved { .. }
            | Output::Stopped => {}
        }
    }

    /// Lets the sockets' tasks have what was ordered, all of it at once: waking a task costs more
    /// than most frames do. Only needed if [`Self::next`] is not called soon.
    pub fn flush(&mut self) {
        for link in self.pending.drain(..) {
            if let Some(Link {
                state: State::Live {
                    pending, frames, ..
                },
                ..
            }) = self.links.get_mut(&link)
            {
                // Fails if the task has ended; its `Closed` is on its way.
                let _ = frames.send(std::mem::take(pending));
            }
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
        self.tasks
            .spawn(listen::accept(listener, acceptor, gate, incoming));
    }

    /// Waits for what happens next: `Opened`, `Bytes`, `Sent` or `Closed`.
    ///
    /// Every link that was dialed or reported as `Opened` ends in exactly one `Closed`. After
    /// `Close` was ordered, nothing but `Closed` comes from a link. Cancel safe.
    pub async fn next(&mut self) -> Input {
        self.flush();
        loop {
            let input = tokio::select! {
                Some((link, news)) = self.news.receiver.recv() => self.on_news(link, news),
                Some(accepted) = self.incoming.receiver.recv() => self.on_accepted(accepted),
                Some(ended) = self.tasks.join_next() => {
                    ended.err().and_then(|failure| self.on_failed_task(&failure))
                }
            };
            if let Some(input) = input {
                return input;
            }
        }
    }

    fn on_news(&mut self, link: LinkId, news: News) -> Option<Input> {
        let is_live = match self.links.get(&link)?.state {
            State::Live { .. } => true,
            State::Closing => false,
        };
        match news {
            News::Opened {
                remote,
                certificate,
            } => is_live.then_some(Input::Opened {
                link,
                remote,
                certificate,
            }),
            News::Bytes(chunk) => is_live.then_some(Input::Bytes { link, chunk }),
            News::Sent(messages) => is_live.then_some(Input::Sent { link, messages }),
            News::Closed(_) if !is_live => Some(self.forget(link, "closed by this side")),
            News::Closed(reason) => Some(self.forget(link, &reason)),
        }
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
        self.start(link, async move |orders, news| {
            link::serve(link, stream, orders, news).await;
            drop(pass);
        });
        debug!(%link, %remote, "link accepted");
        Some(Input::Opened {
            link,
            remote,
            certificate,
        })
    }

    /// A task that panicked cannot report the end of its link.
    fn on_failed_task(&mut self, failure: &JoinError) -> Option<Input> {
        error!(%failure, "a transport task failed");
        let (&link, _) = self
            .links
            .iter()
            .find(|(_, link)| link.task == failure.id())?;
        Some(self.forget(link, "internal error"))
    }

    fn forget(&mut self, link: LinkId, reason: &str) -> Input {
        debug!(%link, reason, "link closed");
        self.links.remove(&link);
        let reason = reason.to_owned();
        Input::Closed { link, reason }
    }

    fn start<F>(
        &mut self,
        link: LinkId,
        task: impl FnOnce(Orders, mpsc::Sender<(LinkId, News)>) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (frames, queued) = mpsc::unbounded_channel();
        let (close, closing) = oneshot::channel();
        let orders = Orders {
            frames: queued,
            closing,
        };
        let task = self.tasks.spawn(task(orders, self.news.sender.clone()));
        let state = State::Live {
            pending: Vec::new(),
            frames,
            close,
        };
        self.links.insert(
            link,
            Link {
                task: task.id(),
                state,
            },
        );
    }

    fn send(&mut self, link: LinkId, bytes: Bytes) {
        if let Some(Link {
            state: State::Live { pending, .. },
            ..
        }) = self.links.get_mut(&link)
        {
            if pending.is_empty() {
                self.pending.push(link);
            }
            pending.push(bytes);
        }
    }

    fn close(&mut self, link: LinkId) {
        self.flush();
        let Some(entry) = self.links.get_mut(&link) else {
            return;
        };
        if let State::Live { close, .. } = std::mem::replace(&mut entry.state, State::Closing) {
            let _ = close.send(());
        }
    }
}

impl<T> Channel<T> {
    fn new(size: usize) -> Self {
        let (sender, receiver) = mpsc::channel(size);
        Self { sender, receiver }
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

/// How much may wait for [`Transport::next`]; times [`link::READ_SIZE`], in bytes.
const NEWS: usize = 64;
