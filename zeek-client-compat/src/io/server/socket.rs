//! One client's socket, from the upgrade to its end (CLIENT §A9).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tungstenite::Message;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::counters::{Count, Tally};
use super::outbox::{Order, OutboxReader};
use super::sifted::Sifted;
use super::{Limits, News};
use crate::hub::{ClientId, Text};
use crate::session::{GOING_AWAY, POLICY_VIOLATION, TERMINATING};
use crate::sieve::{Cut, Longest, START, Verdict};

/// A client's WebSocket.
pub(super) type Socket = WebSocketStream<Sifted<TokioIo<Upgraded>>>;

/// The WebSocket on a connection whose upgrade is done.
pub(super) async fn open(upgraded: Upgraded, limits: &Limits) -> Socket {
    let config = WebSocketConfig::default()
        .max_message_size(Some(limits.message))
        .max_frame_size(Some(limits.message))
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER);
    let sifted = Sifted::new(TokioIo::new(upgraded), limits.longest());
    WebSocketStream::from_raw_socket(sifted, Role::Server, Some(config)).await
}

/// What one client's task works with.
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// A long text is being written: if that is given up, nothing more can be said.
    pub(super) is_torn: bool,
    /// Texts of the client, those included that were cut.
    pub(super) received: u64,
    pub(super) longest: Longest,
    pub(super) client: ClientId,
    pub(super) outbox: OutboxReader,
    pub(super) news: mpsc::Sender<News>,
    pub(super) tally: Arc<Tally>,
    pub(super) silence: Duration,
    pub(super) patience: Duration,
}

/// What is written in one go.
enum Outgoing {
    Texts(Vec<Text>),
    Ping,
}

/// How a conversation ends.
enum End {
    /// The client went away or said goodbye.
    Gone(String),
    /// It is told to go.
    Close { code: u16, reason: String },
    /// The same, for something that is counted.
    Fault {
        count: Count,
        code: u16,
        reason: String,
    },
}

impl Connection {
    /// Carries messages both ways until one side ends it; returns the reason.
    pub(super) async fn run(mut self) -> String {
        let end = match self.converse().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        // Nobody will read it, and a goodbye takes its time.
        self.outbox.discard();
        match end {
            End::Gone(reason) => reason,
            End::Close { code, reason } => self.part(code, &reason).await,
            End::Fault {
                count,
                code,
                reason,
            } => {
                self.tally.add(count);
                self.part(code, &reason).await
            }
        }
    }

    async fn part(&mut self, code: u16, reason: &str) -> String {
        if self.is_torn {
            return format!("cut off with {code}: {reason}");
        }
        match timeout(GOODBYE, self.say_goodbye(code, reason)).await {
            Ok(()) => format!("closed with {code}: {reason}"),
            Err(_) => format!("closed with {code}, which it did not answer: {reason}"),
        }
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, End> {
        let mut heard = Instant::now();
        let mut pinged = false;
        loop {
            let due = heard
                + self.silence
                + if pinged {
                    self.patience
                } else {
                    Duration::ZERO
                };
            tokio::select! {
                order = self.outbox.next() => self.on_order(order).await?,
                message = self.socket.next() => {
                    heard = Instant::now();
                    pinged = false;
                    self.on_message(message).await?;
                }
                () = sleep_until(due) => {
                    if pinged {
                        return Err(End::fault(Count::Silent, INTERNAL, "Ping timeout"));
                    }
                    self.send(Outgoing::Ping).await?;
                    pinged = true;
                }
            }
        }
    }

    async fn on_order(&mut self, order: Option<Order>) -> Result<(), End> {
        match order {
            Some(Order::Send(text)) => self.on_texts(text).await,
            Some(Order::Close { code, reason }) => Err(End::Close { code, reason }),
            Some(Order::GiveUp) => Err(End::does_not_read()),
            None => Err(End::close(GOING_AWAY, TERMINATING)),
        }
    }

    /// Sends a text and those that wait behind it.
    async fn on_texts(&mut self, first: Text) -> Result<(), End> {
        let mut len = first.len();
        let mut texts = vec![first];
        let mut then = Ok(());
        while len < BATCH {
            match self.outbox.try_next() {
                Some(Order::Send(text)) => {
                    len += text.len();
                    texts.push(text);
                }
                Some(Order::Close { code, reason }) => {
                    then = Err(End::Close { code, reason });
                    break;
                }
                Some(Order::GiveUp) => return Err(End::does_not_read()),
                None => break,
            }
        }
        self.is_torn = texts.iter().any(|text| text.len() > LONG);
        self.send(Outgoing::Texts(texts)).await?;
        self.is_torn = false;
        self.outbox.written(len);
        then
    }

    async fn on_message(
        &mut self,
        message: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<(), End> {
        let Some(message) = message else {
            return Err(End::gone("connection ended"));
        };
        let bytes = match message.map_err(End::from)? {
            Message::Text(text) => Bytes::from(text),
            // zeek-websocket-rs sends its text in binary frames.
            Message::Binary(bytes) => bytes,
            // The WebSocket layer answers pings. Frames are only ever written.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
            Message::Close(frame) => return Err(self.take_leave(frame).await),
        };
        let number = self.received;
        self.received += 1;
        if let Some(cut) = self.socket.get_mut().cut(number) {
            return self.on_cut(cut, &bytes).await;
        }
        let Ok(text) = String::from_utf8(bytes.into()) else {
            return Err(End::malformed(NOT_UTF8, "Invalid frame payload data"));
        };
        let text = News::Text {
            client: self.client,
            text,
        };
        self.tell(text).await
    }

    /// A message is too long: what it begins with may say whose answer it waits for.
    async fn on_cut(&mut self, cut: Cut, start: &[u8]) -> Result<(), End> {
        let bytes = cut.bytes;
        let reason = match cut.verdict {
            Verdict::Ends if cut.message > 0 => {
                let skipped = self.longest.skipped;
                format!("Message too big: {bytes} bytes, skipped_bytes is {skipped}")
            }
            Verdict::Ends | Verdict::GoesOn => {
                let message = self.longest.message;
                format!("Message too big: {bytes} bytes, message_bytes is {message}")
            }
        };
        if cut.verdict == Verdict::Ends {
            return Err(End::malformed(TOO_BIG, reason));
        }
        self.tally.add(Count::Skipped);
        let start = start.get(..START).unwrap_or(start);
        self.tell(News::TooLong {
            client: self.client,
            start: String::from_utf8_lossy(start).into_owned(),
            reason,
        })
        .await
    }

    /// Waiting here is what slows down a client that sends faster than the hub can take it.
    async fn tell(&mut self, news: News) -> Result<(), End> {
        let told = self.news.send(news).await;
        told.map_err(|_| End::close(GOING_AWAY, TERMINATING))
    }

    /// Writes messages with one system call if they fit. A client that does not read is given up
    /// after a while, or as soon as too much waits behind them.
    async fn send(&mut self, messages: Outgoing) -> Result<(), End> {
        tokio::select! {
            sent = write(&mut self.socket, messages) => sent.map_err(End::from),
            () = self.outbox.overflowed() => Err(End::does_not_read()),
            () = sleep(self.patience) => Err(End::does_not_read()),
        }
    }

    /// Lets the WebSocket layer send its answer to a close frame.
    async fn take_leave(&mut self, frame: Option<CloseFrame>) -> End {
        let answered = async { while let Some(Ok(_)) = self.socket.next().await {} };
        // Whether it went out does not matter to anybody here.
        drop(timeout(GOODBYE, answered).await);
        match frame {
            Some(frame) => End::Gone(format!(
                "closed by client with {}: {}",
                frame.code, frame.reason
            )),
            None => End::gone("closed by client"),
        }
    }

    /// Sends a close frame and reads on until the client has answered it or is gone.
    async fn say_goodbye(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: fitting(reason).into(),
        };
        if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = self.socket.next().await {}
        }
    }
}

impl End {
    fn gone(reason: &str) -> Self {
        Self::Gone(reason.to_owned())
    }

    fn close(code: u16, reason: &str) -> Self {
        let reason = reason.to_owned();
        Self::Close { code, reason }
    }

    fn fault(count: Count, code: u16, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Fault {
            count,
            code,
            reason,
        }
    }

    fn malformed(code: u16, reason: impl Into<String>) -> Self {
        Self::fault(Count::Malformed, code, reason)
    }

    fn does_not_read() -> Self {
        let reason = "messages are not read fast enough";
        Self::fault(Count::Unread, POLICY_VIOLATION, reason)
    }
}

impl From<tungstenite::Error> for End {
    fn from(error: tungstenite::Error) -> Self {
        use tungstenite::Error as Ws;
        if let Ws::Protocol(ProtocolError::ResetWithoutClosingHandshake) = error {
            // How zeek-client always leaves.
            Self::gone("connection ended")
        } else if let Ws::Capacity(excess) = error {
            Self::malformed(TOO_BIG, too_big(excess))
        } else if let Ws::Utf8(_) = error {
            Self::malformed(NOT_UTF8, "Invalid frame payload data")
        } else if let Ws::Protocol(_) = error {
            Self::malformed(PROTOCOL_ERROR, error.to_string())
        } else {
            Self::Gone(error.to_string())
        }
    }
}

/// Stock's reason, and the limit by its name in the policy file.
fn too_big(excess: CapacityError) -> String {
    match excess {
        CapacityError::MessageTooLong { size, max_size } => {
            format!("Message too big: {size} bytes, message_bytes is {max_size}")
        }
        CapacityError::TooManyHeaders => "Message too big".to_owned(),
    }
}

/// Feeds all messages before it flushes.
async fn write(socket: &mut Socket, messages: Outgoing) -> Result<(), tungstenite::Error> {
    match messages {
        Outgoing::Ping => socket.feed(Message::Ping(Bytes::new())).await?,
        Outgoing::Texts(texts) => {
            for text in texts {
                if text.len() > LONG {
                    write_long(socket, &text).await?;
                } else {
                    // It is UTF-8, which a message would have to show once more.
                    let text = Bytes::from_owner(text);
                    let frame = Frame::message(text, OpCode::Data(Data::Text), true);
                    socket.feed(Message::Frame(frame)).await?;
                }
            }
        }
    }
    socket.flush().await
}

/// Writes a text from where it is. The WebSocket layer would copy it to its buffer, which stays as
/// large as the longest text it ever had.
async fn write_long(socket: &mut Socket, text: &str) -> Result<(), tungstenite::Error> {
    socket.flush().await?;
    let len = u64::try_from(text.len()).unwrap_or(u64::MAX);
    let mut header = Vec::from([WHOLE_TEXT, LEN_IN_8_BYTES]);
    header.extend_from_slice(&len.to_be_bytes());
    let stream = socket.get_mut();
    stream.write_all(&header).await?;
    stream.write_all(text.as_bytes()).await?;
    Ok(stream.flush().await?)
}

/// The start of a reason that fits a close frame, which has 123 bytes for it.
fn fitting(reason: &str) -> &str {
    let ends = reason.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|end| *end <= 123).last();
    reason.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// A longer text is not copied on its way out. More than a frame's length of two bytes can say.
const LONG: usize = 128 * 1024;

/// How a frame of such a text begins (RFC 6455, 5.2).
const WHOLE_TEXT: u8 = 0x81;
const LEN_IN_8_BYTES: u8 = 127;

/// How many bytes of messages are written together.
const BATCH: usize = 16 * 1024;

/// Each client has one. The default of 128 KiB would be most of what an idle controller takes.
const READ_BUFFER: usize = 8 * 1024;

/// What is written together before the socket is tried.
const WRITE_BUFFER: usize = 16 * 1024;

const PROTOCOL_ERROR: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;
const INTERNAL: u16 = 1011;

/// How long a client may take over its part of a goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
