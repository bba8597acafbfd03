//! What needs peers.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use broker_proto::codec::Limits;
use broker_proto::codec::envelope::{Envelope, MessageKind, TTL};
use broker_proto::io::handle::{
    Handle, Message, Options, Overflow, Status, StatusEvents, Subscription, spawn,
};
use broker_proto::io::tls::connector_and_acceptor;
use broker_proto::peering::PeerAddr;
use broker_proto::tls::Tls;
use broker_proto::zeek::Event;
use broker_proto::{EndpointId, Topic};
use tokio::signal::unix::{SignalKind, signal};

use crate::json::write;
use crate::record::Recording;
use crate::{PrintArgs, text};

/// What to do.
#[derive(Debug)]
pub(crate) enum Work {
    Peer {
        addr: PeerAddr,
        retry: u32,
        tls: Tls,
        print: PrintArgs,
    },
    Listen {
        addr: PeerAddr,
        tls: Tls,
        print: PrintArgs,
    },
    Publish {
        addr: PeerAddr,
        topic: String,
        event: Event,
        tls: Tls,
    },
}

/// Does it; returns when all is printed or published, or on SIGINT or SIGTERM.
///
/// # Errors
/// If an address cannot be had, a file or standard output cannot be written.
pub(crate) async fn run(work: Work) -> Result<(), Box<dyn Error>> {
    match work {
        Work::Peer {
            addr,
            retry,
            tls,
            print,
        } => {
            let handle = endpoint(&tls)?;
            let mut printer = Printer::new(&handle, print).await?;
            let retry = Duration::from_secs(retry.max(1).into());
            handle.peer(&addr, Some(retry)).await?;
            let printed = printer.run().await;
            handle.shutdown().await;
            printed
        }
        Work::Listen { addr, tls, print } => {
            let handle = endpoint(&tls)?;
            let mut printer = Printer::new(&handle, print).await?;
            let local = handle.listen(&addr).await?;
            eprintln!("listening at {local}");
            let printed = printer.run().await;
            handle.shutdown().await;
            printed
        }
        Work::Publish {
            addr,
            topic,
            event,
            tls,
        } => {
            let handle = endpoint(&tls)?;
            let mut status = handle.status().await?;
            handle.peer(&addr, None).await?;
            match status.next().await {
                Some(Status::PeerUp { .. }) => {}
                Some(Status::PeerDown { reason, .. }) => return Err(reason.into()),
                Some(Status::PeerUnreachable { addr, reason }) => {
                    return Err(format!("cannot peer with {addr}: {reason}").into());
                }
                None => return Err("the endpoint ended".into()),
            }
            handle.publish(Topic::new(topic)?, event).await?;
            handle.shutdown().await;
            Ok(())
        }
    }
}

fn endpoint(tls: &Tls) -> Result<Handle, Box<dyn Error>> {
    let (connector, acceptor) = connector_and_acceptor(tls)?;
    let mut options = Options::new(connector, acceptor);
    // Whoever reads standard output slowly gets everything all the same.
    options.overflow = Overflow::Wait;
    Ok(spawn(options))
}

/// Prints what comes.
#[derive(Debug)]
struct Printer {
    messages: Subscription,
    status: StatusEvents,
    recording: Option<Recording>,
    json: bool,
    left: Option<u64>,
}

impl Printer {
    async fn new(handle: &Handle, args: PrintArgs) -> Result<Self, Box<dyn Error>> {
        let topics = args.topics.into_iter().map(Topic::new);
        let mut topics: Vec<Topic> = topics.collect::<Result<_, _>>()?;
        if topics.is_empty() {
            topics.push(Topic::from_static(""));
        }
        let recording = args.record.map(|path| Recording::create(&path));
        Ok(Self {
            messages: handle.subscribe_all(topics).await?,
            status: handle.status().await?,
            recording: recording.transpose()?,
            json: args.json,
            left: args.count,
        })
    }

    async fn run(&mut self) -> Result<(), Box<dyn Error>> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        while self.left != Some(0) {
            tokio::select! {
                Some(message) = self.messages.next() => {
                    self.print(&message)?;
                    self.left = self.left.map(|left| left.saturating_sub(1));
                }
                Some(event) = self.status.next() => tell(event),
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            }
        }
        Ok(())
    }

    fn print(&mut self, message: &Message) -> io::Result<()> {
        let envelope = Envelope {
            sender: message.from,
            receiver: EndpointId::NIL,
            kind: MessageKind::Data,
            ttl: TTL,
            topic: message.topic.clone(),
            payload: message.payload.clone(),
        };
        if let Some(recording) = &mut self.recording {
            recording.add(&envelope)?;
        }
        let line = match message.data() {
            Ok(_) if self.json => match write::envelope(&envelope, &Limits::default()) {
                Ok(json) => json,
                Err(error) => write::invalid(&error.to_string()),
            },
            Ok(value) => format!("{} {}", message.topic, text::message(&value)),
            Err(error) => {
                eprintln!("undecodable message from {}: {error}", message.from);
                return Ok(());
            }
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }
}

fn tell(event: Status) {
    match event {
        Status::PeerUp { id, network } => eprintln!("peering with {id} at {}", network.remote),
        Status::PeerDown { id, reason } => eprintln!("peering with {id} ended: {reason}"),
        Status::PeerUnreachable { addr, reason } => eprintln!("cannot peer with {addr}: {reason}"),
    }
}
