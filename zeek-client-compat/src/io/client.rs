//! A client of the WebSocket port, for programs that ask a controller something and end.
//!
//! It blocks. Whether it talks in cleartext, as zeek-client 1.5.0 does by default (CLIENT §B1), is
//! the caller's choice.

mod tls;

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use broker_proto::Topic;
use broker_proto::peering::PeerAddr;
use broker_proto::zeek::{Event, EventError};
use tungstenite::{HandshakeError, Message, WebSocket};

use crate::message::{self, DataMessage};
use crate::protection::Protection;

pub use tls::TlsError;

/// A session with a server.
#[derive(Debug)]
pub struct Client {
    socket: WebSocket<Box<dyn Stream>>,
    /// What is below all, for its timeouts.
    tcp: TcpStream,
}

/// Bytes in both directions.
trait Stream: Read + Write + Debug + Send {}

impl<S: Read + Write + Debug + Send> Stream for S {}

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server cannot be reached.
    #[error("cannot connect to {addr}")]
    Connect {
        /// Where.
        addr: PeerAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no TLS with this server.
    #[error("no TLS with {addr}")]
    Tls {
        /// Where.
        addr: PeerAddr,
        /// Why not.
        #[source]
        source: TlsError,
    },
    /// Whoever answers is no such server.
    #[error("no WebSocket server at {addr}; it may want TLS")]
    Upgrade {
        /// Where.
        addr: PeerAddr,
        /// What came instead.
        #[source]
        source: Box<tungstenite::Error>,
    },
    /// The connection broke.
    #[error("lost the connection")]
    Lost(#[source] Box<tungstenite::Error>),
    /// The server says what it does not like.
    #[error("refused: {0}")]
    Refused(String),
    /// Nothing came in time.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
}

impl Client {
    /// Connects and subscribes to a topic.
    ///
    /// # Errors
    /// If there is no server, or it does not take the subscription within `limit`.
    pub fn connect(
        addr: &PeerAddr,
        protection: Option<&Protection>,
        topic: &Topic,
        limit: Duration,
    ) -> Result<Self, ClientError> {
        let opened = open(addr, limit).and_then(|tcp| Ok((tcp.try_clone()?, tcp)));
        let (tcp, stream) = opened.map_err(|source| ClientError::Connect {
            addr: addr.clone(),
            source,
        })?;
        let stream: Box<dyn Stream> = match protection {
            Some(protection) => {
                let stream = tls::connect(protection, &addr.host, stream);
                let addr = addr.clone();
                Box::new(stream.map_err(|source| ClientError::Tls { addr, source })?)
            }
            None => Box::new(stream),
        };
        let host = match addr.host.contains(':') {
            true => format!("[{}]", addr.host),
            false => addr.host.clone(),
        };
        let url = format!("ws://{host}:{}/v1/messages/json", addr.port);
        let (socket, _) = tungstenite::client(url, stream).map_err(|error| {
            let source = match error {
                HandshakeError::Failure(error) => error,
                HandshakeError::Interrupted(_) => {
                    tungstenite::Error::Io(ErrorKind::TimedOut.into())
                }
            };
            ClientError::Upgrade {
                addr: addr.clone(),
                source: Box::new(source),
            }
        })?;
        let mut client = Self { socket, tcp };
        let topic = String::from_utf8_lossy(topic.as_bytes()).into_owned();
        client.send(serde_json::json!([topic]).to_string())?;
        let ack = client.receive(Instant::now(), limit)?;
        let ack = crate::json::parse(&ack).unwrap_or_default();
        match ack.get("type").and_then(|kind| kind.as_str()) {
            Some("ack") => Ok(client),
            Some(_) | None => Err(ClientError::Refused(context(&ack))),
        }
    }

    /// Publishes an event.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn publish(&mut self, topic: &Topic, event: Event) -> Result<(), ClientError> {
        self.send(message::event(topic, event))
    }

    /// The first event that is wanted; others are passed over.
    ///
    /// # Errors
    /// If none comes within `limit`, the connection breaks, or the server reports an error.
    pub fn await_event<T>(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(Event) -> Result<Option<T>, EventError>,
    ) -> Result<T, ClientError> {
        let start = Instant::now();
        loop {
            let text = self.receive(start, limit)?;
            let Ok(DataMessage { data, .. }) = DataMessage::parse(&text) else {
                let other = crate::json::parse(&text).unwrap_or_default();
                return Err(ClientError::Refused(context(&other)));
            };
            // What cannot be read is not what was asked for.
            if let Ok(Some(found)) = Event::from_data(data).and_then(&mut wanted) {
                return Ok(found);
            }
        }
    }

    fn send(&mut self, text: String) -> Result<(), ClientError> {
        let sent = self.socket.send(Message::text(text));
        sent.map_err(|error| ClientError::Lost(Box::new(error)))
    }

    fn receive(&mut self, start: Instant, limit: Duration) -> Result<String, ClientError> {
        loop {
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(ClientError::Silent(limit));
            }
            let set = self.tcp.set_read_timeout(Some(left));
            let read = set
                .map_err(tungstenite::Error::Io)
                .and_then(|()| self.socket.read());
            match read {
                Ok(Message::Text(text)) => return Ok(text.to_string()),
                Ok(Message::Close(frame)) => {
                    let reason = frame.map(|frame| frame.reason.to_string());
                    return Err(ClientError::Refused(reason.unwrap_or_default()));
                }
                Ok(
                    Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_),
                ) => {}
                Err(tungstenite::Error::Io(error)) if is_timeout(&error) => {}
                Err(error) => return Err(ClientError::Lost(Box::new(error))),
            }
        }
    }
}

fn open(addr: &PeerAddr, limit: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    for addr in (addr.host.as_str(), addr.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&addr, limit) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(limit))?;
                stream.set_write_timeout(Some(limit))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn is_timeout(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == ErrorKind::WouldBlock || kind == ErrorKind::TimedOut
}

/// What an error message says.
fn context(error: &serde_json::Value) -> String {
    let text = error.get("context").and_then(|context| context.as_str());
    text.unwrap_or("the server does not talk as expected")
        .to_owned()
}
