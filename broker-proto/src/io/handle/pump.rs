//! The endpoint's task: orders in, sockets and queues out.

use std::future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::warn;

use super::queue::{self, Reader, Writer};
use super::{Message, Options, Overflow, Status, clock};
use crate::io::tls::{Acceptor, Connector};
use crate::io::transport::Transport;
use crate::peering::{Endpoint, Input, Output, PeerAddr, PeerNetwork};
use crate::{EndpointId, Topic};

/// What a handle wants.
#[derive(Debug)]
pub(super) enum Command {
    Accept(TcpListener),
    Peer {
        addr: PeerAddr,
        retry: Option<Duration>,
    },
    Unpeer {
        addr: PeerAddr,
    },
    Subscribe {
        topics: Vec<Topic>,
        inbox: oneshot::Sender<Reader<Message>>,
    },
    Publish {
        topic: Topic,
        frame: Bytes,
    },
    Ready(oneshot::Sender<()>),
    Peers(oneshot::Sender<Vec<(EndpointId, PeerNetwork)>>),
    Status(oneshot::Sender<Reader<Status>>),
    Shutdown(oneshot::Sender<()>),
}

#[derive(Debug)]
pub(super) struct Pump {
    endpoint: Endpoint,
    orders: mpsc::Receiver<Command>,
    subscribers: Vec<Subscriber>,
    watchers: Vec<Writer<Status>>,
    /// Who wants to publish more, and when the queues of the peers let it.
    waiting: Vec<oneshot::Sender<()>>,
    backlog: usize,
    leaving: Vec<oneshot::Sender<()>>,
    /// A reader has read.
    taken: Arc<Notify>,
    inbox: usize,
    overflow: Overflow,
}

#[derive(Debug)]
struct Subscriber {
    topics: Vec<Topic>,
    inbox: Writer<Message>,
}

impl Pump {
    pub(super) fn new(
        endpoint: Endpoint,
        options: &Options,
        orders: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            endpoint,
            orders,
            subscribers: Vec::new(),
            watchers: Vec::new(),
            waiting: Vec::new(),
            backlog: options.peering.outbox / 2,
            leaving: Vec::new(),
            taken: Arc::default(),
            inbox: options.inbox,
            overflow: options.overflow,
        }
    }

    /// Runs until the endpoint has left its peers.
    pub(super) async fn run(mut self, connector: Connector, acceptor: Acceptor) {
        let mut transport = Transport::new(connector, acceptor);
        let taken = Arc::clone(&self.taken);
        let (mut batch, mut has_handles) = (Vec::new(), true);
        loop {
            while let Some(output) = self.endpoint.poll_output() {
                if matches!(output, Output::Stopped) {
                    return;
                }
                self.on_output(output, &mut transport);
            }
            self.flush();
            let is_holding = self.subscribers.iter().any(|s| s.inbox.is_holding());
            transport.set_reading(!is_holding);
            let deadline = self.endpoint.poll_timeout();
            tokio::select! {
                input = transport.next() => self.endpoint.handle(clock(), input),
                () = taken.notified(), if is_holding => {}
                count = self.orders.recv_many(&mut batch, BATCH), if has_handles => {
                    let now = clock();
                    for command in batch.drain(..) {
                        self.on_command(now, command, &mut transport);
                    }
                    if count == 0 {
                        has_handles = false;
                        self.endpoint.handle(now, Input::Shutdown);
                    }
                }
                () = until(deadline) => self.endpoint.handle_timeout(clock()),
            }
        }
    }

    fn on_output(&mut self, output: Output, transport: &mut Transport) {
        match output {
            Output::Deliver {
                topic,
                payload,
                from,
            } => self.deliver(Message::new(topic, payload, from)),
            Output::PeerUp { id, network } => self.tell(&Status::PeerUp { id, network }),
            Output::PeerDown { id, reason } => self.tell(&Status::PeerDown { id, reason }),
            // Logged and counted.
            Output::Misbehaved { .. } => {}
            Output::PeerUnreachable { addr, reason } => {
                self.tell(&Status::PeerUnreachable { addr, reason });
            }
            Output::Listen { .. }
            | Output::Dial { .. }
            | Output::Send { .. }
            | Output::Close { .. }
            | Output::Stopped => transport.apply(output),
        }
    }

    fn on_command(&mut self, now: Instant, command: Command, transport: &mut Transport) {
        // An answer that cannot be given is no longer waited for.
        match command {
            Command::Accept(listener) => transport.accept(listener),
            Command::Peer { addr, retry } => {
                self.endpoint.handle(now, Input::Dial { addr, retry });
            }
            Command::Unpeer { addr } => self.endpoint.handle(now, Input::Unpeer { addr }),
            Command::Subscribe { topics, inbox } => self.subscribe(now, topics, inbox),
            Command::Publish { topic, frame } => {
                self.endpoint
                    .handle(now, Input::PublishFrame { topic, frame });
            }
            Command::Ready(answer) => self.waiting.push(answer),
            Command::Peers(answer) => _ = answer.send(self.endpoint.peers().collect()),
            Command::Status(answer) => {
                let taken = Arc::clone(&self.taken);
                let (watcher, reader) = queue::queue(STATUS, Overflow::DropOldest, taken);
                self.watchers.push(watcher);
                let _ = answer.send(reader);
            }
            Command::Shutdown(answer) => {
                self.leaving.push(answer);
                self.endpoint.handle(now, Input::Shutdown);
            }
        }
    }

    fn subscribe(
        &mut self,
        now: Instant,
        topics: Vec<Topic>,
        inbox: oneshot::Sender<Reader<Message>>,
    ) {
        let taken = Arc::clone(&self.taken);
        let (writer, reader) = queue::queue(self.inbox, self.overflow, taken);
        for topic in topics.clone() {
            self.endpoint.handle(now, Input::Subscribe { topic });
        }
        self.subscribers.push(Subscriber {
            topics,
            inbox: writer,
        });
        let _ = inbox.send(reader);
    }

    /// The last subscriber gets the message itself, which is cheaper than a copy.
    fn deliver(&mut self, message: Message) {
        let wants = |subscriber: &Subscriber| {
            let mut topics = subscriber.topics.iter();
            topics.any(|topic| topic.is_prefix_of(&message.topic))
        };
        let Some(last) = self.subscribers.iter().rposition(wants) else {
            return;
        };
        let (others, last) = self.subscribers.split_at_mut(last);
        for subscriber in others {
            if wants(subscriber) {
                subscriber.inbox.add(message.clone());
            }
        }
        if let Some(subscriber) = last.first_mut() {
            subscriber.inbox.add(message);
        }
    }

    fn tell(&mut self, status: &Status) {
        for watcher in &mut self.watchers {
            watcher.add(status.clone());
        }
    }

    /// Lets readers see what came, and forgets those that are gone.
    fn flush(&mut self) {
        self.subscribers.retain(|s| !s.inbox.is_abandoned());
        self.watchers.retain(|watcher| !watcher.is_abandoned());
        for Subscriber { topics, inbox } in &mut self.subscribers {
            if let Some(lost) = inbox.flush() {
                warn!(
                    ?topics,
                    lost, "subscriber does not read; oldest messages dropped"
                );
            }
        }
        for watcher in &mut self.watchers {
            watcher.flush();
        }
        if !self.waiting.is_empty() && self.endpoint.backlog() <= self.backlog {
            for answer in self.waiting.drain(..) {
                let _ = answer.send(());
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => future::pending().await,
    }
}

/// Orders taken at a time.
const BATCH: usize = 256;

/// News that may wait for one watcher.
const STATUS: usize = 1024;
