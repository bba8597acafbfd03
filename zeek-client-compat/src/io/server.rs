//! The WebSocket server: one port for cleartext and TLS, one task per client (CLIENT §A1, §A9, §A10).

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use broker_proto::PeerCertificate;
use broker_proto::io::gate::{self, Gate, Known, LeftOut};
use broker_proto::io::listen;
use broker_proto::io::tls::Acceptor;
use broker_proto::peering::PeerAddr;
use broker_proto::places::Capacity;
use broker_proto::source::Source;
use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::hub::{ClientId, Input, Output};
use crate::sieve::{Longest, START};

pub use counters::Counters;

use counters::{Count, Tally};
use door::{Door, Visitor};
use outbox::{Order, Outbox, OutboxReader};
use seats::{Seat, Seats};

mod counters;
mod door;
mod outbox;
mod seats;
mod sifted;
mod socket;
#[cfg(test)]
mod tests;
mod upgrade;

/// Where clients ask for the upgrade. Stock knows no other path either.
pub const PATH: &str = "/v1/messages/json";

/// What clients in cleartext are told where only TLS will do: zeek-client prints all of it
/// (CLIENT §B3).
pub const TLS_REQUIRED: &[u8] = b"HTTP/1.1 400 TLS required\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 31\r\n\
    Connection: close\r\n\r\n\
    this port takes only TLS (wss)\n";

/// What one server puts up with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// How many clients at once; one more is answered 503.
    pub clients: usize,
    /// The same for clients from one source.
    pub clients_per_source: usize,
    /// How many connections may be strangers' at once, those on their way to being a client; beyond
    /// that the oldest of the source with most of them goes. A client is a stranger until it is sent
    /// something, which is the answer to its subscriptions.
    pub strangers: usize,
    /// The same for one source.
    pub strangers_per_source: usize,
    /// How many bytes of a stranger are read; what it sends beyond has to wait until it is known.
    pub stranger_bytes: usize,
    /// From accept to the end of the TLS handshake.
    pub greeting: Duration,
    /// The longest message of a client in bytes; a longer one is skipped and answered with an error,
    /// but as first message it closes the socket with 1009.
    pub message: usize,
    /// How many bytes of such messages one client may send in all; beyond that its socket is closed
    /// with 1009.
    pub skipped: usize,
    /// How many messages may wait for one client; one more closes its socket with 1008.
    pub outbox_messages: usize,
    /// How many bytes may wait for one client. A single longer message may wait alone; one of more
    /// than 4 KiB that has no room is not sent.
    pub outbox_bytes: usize,
    /// How many bytes may wait for all clients together; one message more, and whoever is furthest
    /// behind is closed with 1008. A text that waits for several counts for each of them.
    pub all_outboxes_bytes: usize,
    /// From the end of the TLS handshake to the upgrade.
    pub upgrade: Duration,
    /// How long a client may be silent before it is sent a ping.
    pub silence: Duration,
    /// How long the answer to a ping may take, and one message to be written.
    pub patience: Duration,
}

impl Limits {
    /// What the gate lets in, those included that are refused with an HTTP status.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        Capacity {
            links: self.clients + self.strangers,
            links_per_source: self.clients_per_source + self.strangers_per_source,
            strangers: self.strangers,
            strangers_per_source: self.strangers_per_source,
        }
    }

    /// What is cut of a client's messages.
    fn longest(&self) -> Longest {
        Longest {
            message: self.message,
            skipped: self.skipped,
        }
    }

    /// A gate for a server with these limits.
    #[must_use]
    pub fn gate(&self) -> Gate {
        Gate::new(self.capacity(), self.greeting)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 512,
            clients_per_source: 256,
            strangers: 128,
            strangers_per_source: 64,
            stranger_bytes: 64 * 1024,
            greeting: Duration::from_secs(10),
            message: 16 * 1024 * 1024,
            skipped: 256 * 1024 * 1024,
            outbox_messages: 1024,
            outbox_bytes: 16 * 1024 * 1024,
            all_outboxes_bytes: 32 * 1024 * 1024,
            upgrade: Duration::from_secs(10),
            silence: Duration::from_secs(25),
            patience: Duration::from_secs(60),
        }
    }
}

/// A listening server and its clients.
///
/// Dropping it ends all of them; [`finish`](Self::finish) lets what is queued go out first.
#[derive(Debug)]
pub struct Server {
    local: SocketAddr,
    news: mpsc::Receiver<News>,
    clients: BTreeMap<ClientId, Client>,
    /// What the hub is to hear of next.
    unsent: VecDeque<Input>,
    all_outboxes_bytes: usize,
    gate: Gate,
    tally: Arc<Tally>,
    /// Accepting and HTTP; aborted when dropped.
    tasks: JoinSet<()>,
}

/// What the server knows of one client.
#[derive(Debug)]
struct Client {
    outbox: Outbox,
    /// Who is to be told that it is no stranger any more.
    stranger: Option<Known>,
}

impl Server {
    /// Listens at `addr`; an empty host means every interface, port 0 lets the system choose.
    ///
    /// # Errors
    /// If no address of that name can be bound.
    pub async fn bind(addr: &PeerAddr, acceptor: Acceptor, limits: Limits) -> io::Result<Self> {
        let gate = limits.gate();
        Self::bind_behind(addr, acceptor, limits, gate).await
    }

    /// The same behind a gate of the caller's, made by [`Limits::gate`].
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub async fn bind_behind(
        addr: &PeerAddr,
        acceptor: Acceptor,
        limits: Limits,
        gate: Gate,
    ) -> io::Result<Self> {
        let listener = listen::bind(addr).await?;
        let local = listener.local_addr()?;
        info!(%local, path = PATH, "accepting WebSocket clients");
        let (sender, news) = mpsc::channel(INBOX);
        let mut tasks = JoinSet::new();
        let tally = Arc::new(Tally::default());
        let all_outboxes_bytes = limits.all_outboxes_bytes;
        let (entering, accepted) = mpsc::channel(1);
        tasks.spawn(listen::accept(listener, acceptor, gate.clone(), entering));
        let door = Door::new(accepted, &limits, Arc::clone(&tally));
        let app = Router::new()
            .route(PATH, any(admit))
            .fallback(upgrade::wrong_path)
            .with_state(Arc::new(Reception {
                seats: Seats::new(limits.clients, limits.clients_per_source),
                limits,
                gate: gate.clone(),
                tally: Arc::clone(&tally),
                news: sender,
            }));
        let app = app.into_make_service_with_connect_info::<Visitor>();
        tasks.spawn(async move {
            if let Err(error) = axum::serve(door, app).await {
                warn!(%error, "the WebSocket server ended");
            }
        });
        Ok(Self {
            local,
            news,
            clients: BTreeMap::new(),
            unsent: VecDeque::new(),
            all_outboxes_bytes,
            gate,
            tally,
            tasks,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What happened until now.
    pub fn counters(&self) -> Counters {
        self.tally.now()
    }

    /// What happened to connections before that.
    pub fn gate_counters(&self) -> gate::Counters {
        self.gate.counters()
    }

    /// Does what the hub orders. Never waits: what a client does not read is queued up to
    /// [`Limits`], then [`Input::Unsent`] tells of what is long, and for the rest the client is
    /// closed. What clients sent is for the program.
    pub fn apply(&mut self, output: Output) {
        match output {
            Output::Send { client, text } => match self.excess(client, text.len()) {
                Some(reason) => {
                    self.tally.add(Count::Unsent);
                    self.unsent.push_back(Input::Unsent {
                        client,
                        start: text.chars().take(START).collect(),
                        reason,
                    });
                }
                None => self.order(client, Order::Send(text)),
            },
            Output::Close {
                client,
                code,
                reason,
            } => self.order(client, Order::Close { code, reason }),
            Output::Deliver { .. }
            | Output::Refused { .. }
            | Output::Unread { .. }
            | Output::Unsent { .. } => {}
        }
    }

    /// What clients did next. Cancel safe.
    pub async fn next(&mut self) -> Input {
        if let Some(unsent) = self.unsent.pop_front() {
            return unsent;
        }
        match self.news.recv().await {
            Some(News::Opened {
                client,
                remote,
                application,
                certificate,
                outbox,
                known,
            }) => {
                let stranger = Some(known);
                self.clients.insert(client, Client { outbox, stranger });
                Input::Opened {
                    client,
                    remote,
                    application,
                    certificate,
                }
            }
            Some(News::Text { client, text }) => Input::Text { client, text },
            Some(News::TooLong {
                client,
                start,
                reason,
            }) => Input::TooLong {
                client,
                start,
                reason,
            },
            Some(News::Closed { client, reason }) => {
                self.clients.remove(&client);
                Input::Closed { client, reason }
            }
            // Only if the task that accepts has died.
            None => std::future::pending().await,
        }
    }

    /// Stops accepting, lets queued messages go out, closes who is left with 1001. Takes at most
    /// 3 s.
    pub async fn finish(mut self) {
        let (counters, gate) = (self.counters(), self.gate_counters());
        info!(?counters, ?gate, "no more WebSocket clients");
        self.tasks.shutdown().await;
        // A client whose outbox ends goes by itself, and the channel ends with the last client.
        self.clients.clear();
        let gone = async { while self.news.recv().await.is_some() {} };
        if tokio::time::timeout(FINISH, gone).await.is_err() {
            debug!("some clients did not take their leave in time");
        }
    }

    fn order(&mut self, client: ClientId, order: Order) {
        self.make_room(order.len());
        let Some(known) = self.clients.get_mut(&client) else {
            // It left, and its `Closed` is still on the way to the hub.
            return;
        };
        if let (Order::Send(_), Some(stranger)) = (&order, known.stranger.take()) {
            // One that was pushed out just now is told so by its own task.
            let _ = stranger.settle();
        }
        if known.outbox.push(order).is_err() {
            self.give_up(client);
        }
    }

    /// Why a long message cannot be queued for a client, if it cannot: other clients do not go for
    /// it, nor does this one, whoever asked for it.
    fn excess(&self, client: ClientId, len: usize) -> Option<String> {
        let outbox = &self.clients.get(&client)?.outbox;
        if len <= NOTICE {
            return None;
        }
        let (waiting, most) = (outbox.waiting(), outbox.max_bytes());
        if waiting > 0 && waiting.saturating_add(len) > most {
            return Some(format!(
                "too long: {len} bytes behind {waiting} that are not read yet, \
                 client_outbox_bytes is {most}"
            ));
        }
        let most = self.all_outboxes_bytes;
        if len > most && self.waiting() > 0 {
            return Some(format!(
                "too long: {len} bytes while other clients read theirs, all_outboxes_bytes is {most}"
            ));
        }
        None
    }

    fn waiting(&self) -> usize {
        let waiting = self.clients.values().map(|client| client.outbox.waiting());
        waiting.sum()
    }

    /// Gives clients up, the furthest behind first, until so much more may wait.
    fn make_room(&mut self, len: usize) {
        loop {
            let waiting = self.waiting();
            if waiting == 0 || waiting.saturating_add(len) <= self.all_outboxes_bytes {
                return;
            }
            let clients = self.clients.iter();
            let furthest = clients.max_by_key(|(_, client)| client.outbox.waiting());
            let Some((client, _)) = furthest else { return };
            self.give_up(*client);
        }
    }

    fn give_up(&mut self, client: ClientId) {
        if let Some(known) = self.clients.remove(&client) {
            warn!(%client, "client does not read what it is sent, closing");
            known.outbox.overflow();
        }
    }
}

/// What the clients' tasks tell the server.
#[derive(Debug)]
enum News {
    Opened {
        client: ClientId,
        remote: SocketAddr,
        application: Option<String>,
        certificate: Option<Arc<PeerCertificate>>,
        outbox: Outbox,
        known: Known,
    },
    Text {
        client: ClientId,
        text: String,
    },
    TooLong {
        client: ClientId,
        start: String,
        reason: String,
    },
    Closed {
        client: ClientId,
        reason: String,
    },
}

/// What every request needs.
#[derive(Debug)]
struct Reception {
    limits: Limits,
    gate: Gate,
    seats: Seats,
    tally: Arc<Tally>,
    news: mpsc::Sender<News>,
}

impl Reception {
    /// Serves one client to its end.
    async fn serve(
        &self,
        upgraded: Upgraded,
        visitor: Visitor,
        application: Option<String>,
        seat: Seat,
    ) {
        let client = ClientId(self.tally.admit());
        let (outbox, reader) = outbox::new(&self.limits);
        let opened = News::Opened {
            client,
            remote: visitor.remote,
            application,
            certificate: visitor.certificate,
            outbox,
            known: visitor.known,
        };
        // Nobody listens only when the server is gone, and then the reader is at its end too.
        drop(self.news.send(opened).await);
        let reason = self.converse(upgraded, client, reader).await;
        // Whoever hears that this client is gone may count on its seat.
        drop(seat);
        drop(self.news.send(News::Closed { client, reason }).await);
    }

    async fn converse(&self, upgraded: Upgraded, client: ClientId, outbox: OutboxReader) -> String {
        let connection = socket::Connection {
            socket: socket::open(upgraded, &self.limits).await,
            is_torn: false,
            received: 0,
            longest: self.limits.longest(),
            client,
            outbox,
            news: self.news.clone(),
            tally: Arc::clone(&self.tally),
            silence: self.limits.silence,
            patience: self.limits.patience,
        };
        connection.run().await
    }
}

/// Answers a request for [`PATH`].
async fn admit(
    State(reception): State<Arc<Reception>>,
    ConnectInfo(visitor): ConnectInfo<Visitor>,
    request: Request,
) -> Response {
    let (mut parts, _body) = request.into_parts();
    let refused = |refusal: upgrade::Refusal| {
        debug!(remote = %visitor.remote, %refusal, "upgrade refused");
        refusal.into_response()
    };
    if let Err(refusal) = upgrade::check(&parts) {
        return refused(refusal);
    }
    let seat = match reception.seats.take(Source::of(visitor.remote.ip())) {
        Ok(seat) => seat,
        Err(refusal) => {
            let remote = visitor.remote;
            match reception.gate.line() {
                Ok(left_out) => warn!(%remote, %refusal, left_out, "client refused"),
                Err(LeftOut) => debug!(%remote, %refusal, "client refused, as many others"),
            }
            reception.tally.add(Count::Refused);
            reception.gate.tell(visitor.remote, || refusal.to_string());
            return refusal.into_response();
        }
    };
    let Some(upgrading) = parts.extensions.remove::<OnUpgrade>() else {
        return refused(upgrade::Refusal::NoUpgrade);
    };
    let application = upgrade::application(&parts);
    let response = upgrade::accept(&parts);
    tokio::spawn(async move {
        match upgrading.await {
            Ok(upgraded) => {
                visitor.stays();
                reception.serve(upgraded, visitor, application, seat).await;
            }
            Err(error) => debug!(remote = %visitor.remote, %error, "client left while it upgraded"),
        }
    });
    response
}

/// How many messages of all clients may wait for the hub; the clients' sockets are not read then.
const INBOX: usize = 16;

/// A message of so many bytes is short: if not even that has room, the client goes. Longer ones may
/// be left out, with a short one in their place.
const NOTICE: usize = 4 * 1024;

/// How long clients may take to leave at the end.
const FINISH: Duration = Duration::from_secs(3);
