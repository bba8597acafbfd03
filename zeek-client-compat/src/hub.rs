//! All clients of one server as local subscribers (CLIENT §A7).
//!
//! [`Hub`] is fed what clients send and what the program publishes, and hands out what to send to
//! whom. A client's event goes to the program as [`Output::Deliver`], and nowhere else: it reaches
//! other clients only when the program has understood it and says [`Input::Publish`] with the
//! client as origin. What the program does not take it answers with [`Input::Reject`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_proto::zeek::{BareEvent, Event};
use broker_proto::{Filter, PeerCertificate, Topic};
use tracing::{debug, info};

use crate::message::{self, ErrorCode};
use crate::session::{self, Effect, GOING_AWAY, Local, POLICY_VIOLATION, Session, TERMINATING};

#[cfg(test)]
mod tests;

/// Names a client for as long as the server runs; the server counts its clients from 0.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ClientId(pub u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "websocket-{}", self.0)
    }
}

/// What a hub has to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// The id of the program's endpoint. An ack names `<endpoint>-websocket-<n>`.
    pub endpoint: String,
    /// The version in an ack; any text that is not empty.
    pub version: String,
    /// The topics, and below, that clients may publish to. All others are refused.
    pub publish: Filter,
    /// How long a client may take to send its subscriptions.
    pub subscribe_timeout: Duration,
}

impl Options {
    /// With 60 s to subscribe.
    pub fn new(endpoint: impl Into<String>, version: impl Into<String>, publish: Filter) -> Self {
        Self {
            endpoint: endpoint.into(),
            version: version.into(),
            publish,
            subscribe_timeout: Duration::from_secs(60),
        }
    }
}

/// What happened, or what the program asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// A client completed the WebSocket upgrade.
    Opened {
        /// The client.
        client: ClientId,
        /// Its end of the socket.
        remote: SocketAddr,
        /// What it calls itself, if it does (`X-Application-Name`).
        application: Option<String>,
        /// Its certificate, verified, where clients have certificates.
        certificate: Option<Arc<PeerCertificate>>,
    },
    /// A client sent a message.
    Text {
        /// The client.
        client: ClientId,
        /// The message.
        text: String,
    },
    /// A client sent a message that is too long, and was not read.
    TooLong {
        /// The client.
        client: ClientId,
        /// What it begins with.
        start: String,
        /// How long it is, and how long it may be, for people.
        reason: String,
    },
    /// A message to a client was not sent: there is no room for it behind those that wait.
    Unsent {
        /// The client.
        client: ClientId,
        /// What it begins with.
        start: String,
        /// How long it is, and how much may wait, for people.
        reason: String,
    },
    /// A client is gone. Nothing more comes from it.
    Closed {
        /// The client.
        client: ClientId,
        /// Why, for people.
        reason: String,
    },
    /// Send an event to every subscribed client but its origin. Metadata is left out: zeek-client
    /// 1.2.0 fails on it.
    Publish {
        /// The topic.
        topic: Topic,
        /// The event.
        event: BareEvent,
        /// The client whose event this is, if it is one's.
        origin: Option<ClientId>,
    },
    /// Send an event to one client, if it has subscribed to the topic.
    Tell {
        /// To whom.
        client: ClientId,
        /// The topic.
        topic: Topic,
        /// The event.
        event: BareEvent,
    },
    /// A delivered event is not one that the program takes.
    Reject {
        /// Whose event it was.
        client: ClientId,
        /// What is wrong with it.
        reason: String,
    },
    /// A client is not wanted: close it.
    Expel {
        /// Whom.
        client: ClientId,
        /// Why, for the client.
        reason: String,
    },
    /// Close all clients, and every one that comes from now on.
    Shutdown,
}

/// What the caller must do, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send a text message.
    Send {
        /// To whom.
        client: ClientId,
        /// The message.
        text: Text,
    },
    /// Close with this code once everything before is sent; answered by [`Input::Closed`].
    Close {
        /// Whom.
        client: ClientId,
        /// The WebSocket close code.
        code: u16,
        /// Why, for the client.
        reason: String,
    },
    /// A client published an event on a topic that it may publish to.
    Deliver {
        /// The topic.
        topic: Topic,
        /// The event.
        event: Event,
        /// The client.
        from: ClientId,
    },
    /// A client's message was not read, because there is too much of it. It begins as this event,
    /// so the program may have an answer that its sender understands, and otherwise says
    /// [`Input::Reject`].
    Unread {
        /// Its name and first argument.
        event: Event,
        /// Why.
        reason: String,
        /// The client.
        from: ClientId,
    },
    /// A message to a client was not sent, because there is too much of it. It begins as this event,
    /// so the program may say something shorter instead with [`Input::Tell`].
    Unsent {
        /// Its name and first argument.
        event: Event,
        /// Why.
        reason: String,
        /// The client.
        to: ClientId,
    },
    /// A client wanted to publish on a topic that it may not publish to, and was told so.
    Refused {
        /// The topic.
        topic: Topic,
        /// The event's name, if it was one.
        event: Option<String>,
        /// What the client was told.
        reason: String,
        /// The client.
        from: ClientId,
    },
}

/// A message as it was written: there once, however many clients get it, and never copied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Text(Arc<String>);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Arc::new(text))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Where a client comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Its end of the socket.
    pub remote: SocketAddr,
    /// What it calls itself, if it does.
    pub application: Option<String>,
    /// Its certificate, verified, where clients have certificates.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// The machine.
#[derive(Debug)]
pub struct Hub {
    options: Options,
    stage: Stage,
    clients: BTreeMap<ClientId, Client>,
    outputs: VecDeque<Output>,
}

/// Whether new clients are served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Serving,
    Stopping,
}

#[derive(Debug)]
struct Client {
    origin: Origin,
    endpoint: String,
    /// When a client that has not subscribed has to go.
    deadline: Instant,
    session: Session,
}

impl Hub {
    /// A hub without clients.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            stage: Stage::Serving,
            clients: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// How many clients there are, those included that were told to go and did not yet.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// All of them.
    pub fn ids(&self) -> impl Iterator<Item = ClientId> {
        self.clients.keys().copied()
    }

    /// Where a client comes from, until its [`Input::Closed`].
    pub fn client(&self, client: ClientId) -> Option<&Origin> {
        self.clients.get(&client).map(|client| &client.origin)
    }

    /// One thing happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Opened {
                client,
                remote,
                application,
                certificate,
            } => {
                let origin = Origin {
                    remote,
                    application,
                    certificate,
                };
                self.on_opened(now, client, origin);
            }
            Input::Text { client, text } => self.on_text(client, &text),
            Input::TooLong {
                client,
                start,
                reason,
            } => self.step(client, |session, _, out| {
                session.on_too_long(&start, reason, out)
            }),
            Input::Unsent {
                client,
                start,
                reason,
            } => self.on_unsent(client, &start, reason),
            Input::Closed { client, reason } => self.on_closed(client, &reason),
            Input::Publish {
                topic,
                event,
                origin,
            } => self.on_publish(&topic, &event, origin),
            Input::Tell {
                client,
                topic,
                event,
            } => self.on_tell(client, &topic, &event),
            Input::Reject { client, reason } => self.on_reject(client, &reason),
            Input::Expel { client, reason } => self.close(client, POLICY_VIOLATION, &reason),
            Input::Shutdown => self.on_shutdown(),
        }
    }

    /// Lets clients go that have not subscribed in time.
    pub fn handle_timeout(&mut self, now: Instant) {
        let waiting = self.clients.iter().filter(|(_, c)| c.is_waiting());
        let late = waiting.filter(|(_, c)| c.deadline <= now);
        for client in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close(client, POLICY_VIOLATION, "no subscriptions in time");
        }
    }

    /// What the caller must do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.clients.values().filter(|c| c.is_waiting());
        waiting.map(|c| c.deadline).min()
    }

    fn on_opened(&mut self, now: Instant, id: ClientId, origin: Origin) {
        let application = origin.application.as_deref().unwrap_or("unknown");
        match &origin.certificate {
            Some(certificate) => {
                info!(client = %id, remote = %origin.remote, application, %certificate, "client connected");
            }
            None => info!(client = %id, remote = %origin.remote, application, "client connected"),
        }
        let client = Client {
            origin,
            endpoint: format!("{}-{id}", self.options.endpoint),
            deadline: now + self.options.subscribe_timeout,
            session: Session::AwaitSubscriptions,
        };
        self.clients.insert(id, client);
        if self.stage == Stage::Stopping {
            self.close(id, GOING_AWAY, TERMINATING);
        }
    }

    fn on_text(&mut self, client: ClientId, text: &str) {
        self.step(client, |session, local, out| {
            session.on_text(text, local, out)
        });
    }

    fn on_closed(&mut self, client: ClientId, reason: &str) {
        if self.clients.remove(&client).is_some() {
            info!(%client, reason, "client left");
        }
    }

    fn on_unsent(&mut self, client: ClientId, start: &str, reason: String) {
        match message::opening(start) {
            Some(event) if self.clients.contains_key(&client) => {
                let to = client;
                self.outputs.push_back(Output::Unsent { event, reason, to });
            }
            Some(_) | None => debug!(%client, reason, "message not sent"),
        }
    }

    fn on_publish(&mut self, topic: &Topic, event: &BareEvent, origin: Option<ClientId>) {
        let others = self.clients.iter().filter(|(id, _)| Some(**id) != origin);
        let receivers = others.filter(|(_, client)| client.session.wants(topic));
        let receivers: Vec<_> = receivers.map(|(id, _)| *id).collect();
        if receivers.is_empty() {
            return;
        }
        let text = text(topic, event);
        self.outputs
            .extend(receivers.into_iter().map(|client| Output::Send {
                client,
                text: text.clone(),
            }));
    }

    fn on_tell(&mut self, client: ClientId, topic: &Topic, event: &BareEvent) {
        let known = self.clients.get(&client);
        if known.is_some_and(|known| known.session.wants(topic)) {
            let text = text(topic, event);
            self.outputs.push_back(Output::Send { client, text });
        }
    }

    fn on_reject(&mut self, client: ClientId, reason: &str) {
        let context = session::not_an_event(reason);
        self.step(client, |session, _, out| {
            if let Session::Active { .. } = session {
                out.push(session::refusal(ErrorCode::DeserializationFailed, &context));
            }
            session
        });
    }

    fn on_shutdown(&mut self) {
        self.stage = Stage::Stopping;
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            self.close(client, GOING_AWAY, TERMINATING);
        }
    }

    fn close(&mut self, client: ClientId, code: u16, reason: &str) {
        self.step(client, |session, _, out| {
            session.close(code, reason.to_owned(), out)
        });
    }

    /// Runs one step of a client's session and queues what it wants done.
    fn step(
        &mut self,
        id: ClientId,
        step: impl FnOnce(Session, &Local<'_>, &mut Vec<Effect>) -> Session,
    ) {
        let Some(client) = self.clients.get_mut(&id) else {
            debug!(client = %id, "nobody by this id");
            return;
        };
        let local = Local {
            endpoint: &client.endpoint,
            version: &self.options.version,
            publish: &self.options.publish,
        };
        let mut effects = Vec::new();
        let session = std::mem::replace(&mut client.session, Session::Closed);
        client.session = step(session, &local, &mut effects);
        self.outputs
            .extend(effects.into_iter().map(|effect| effect.of(id)));
    }
}

/// As clients get it.
fn text(topic: &Topic, event: &BareEvent) -> Text {
    message::data(topic, event.message()).into()
}

impl Client {
    fn is_waiting(&self) -> bool {
        matches!(self.session, Session::AwaitSubscriptions)
    }
}

impl Effect {
    fn of(self, client: ClientId) -> Output {
        match self {
            Self::Send(text) => {
                let text = text.into();
                Output::Send { client, text }
            }
            Self::Close { code, reason } => Output::Close {
                client,
                code,
                reason,
            },
            Self::Publish { topic, event } => Output::Deliver {
                topic,
                event,
                from: client,
            },
            Self::Unread { event, reason } => Output::Unread {
                event,
                reason,
                from: client,
            },
            Self::Refused {
                topic,
                event,
                reason,
            } => Output::Refused {
                topic,
                event,
                reason,
                from: client,
            },
        }
    }
}
