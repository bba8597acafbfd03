//! One socket from dial or accept to its end.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

use super::queue::Queue;
use crate::certificate::PeerCertificate;
use crate::io::gate::Pass;
use crate::io::tls::{Connector, Stream};
use crate::peering::PeerAddr;

/// What happened to one link.
#[derive(Debug)]
pub(super) enum News {
    /// The dial succeeded.
    Opened {
        remote: SocketAddr,
        certificate: Option<Arc<PeerCertificate>>,
    },
    /// These came.
    Bytes(Bytes),
    /// So many frames were handed to the operating system.
    Sent(usize),
    /// It is over. The last news.
    Closed(String),
}

/// One link. Whoever polls it is woken when there is more news, except as [`Self::has_more`] says.
#[derive(Debug)]
pub(super) struct Link {
    state: State,
    queue: Queue,
    /// `Close` was ordered: what comes is of no interest any more, only the peer's end.
    is_closing: bool,
    has_more: bool,
    /// Its place at the gate, if it was accepted.
    _pass: Option<Pass>,
}

#[derive(Debug)]
enum State {
    Dialing(Dialing),
    Open(Open),
}

struct Dialing(Pin<Box<dyn Future<Output = Dialed> + Send>>);

type Dialed = io::Result<(Stream, SocketAddr)>;

#[derive(Debug)]
struct Open {
    stream: Stream,
    writing: Writing,
    /// Nothing came yet, and what comes first may show that TLS is not set alike.
    is_suspect: bool,
    /// Nothing more will come, because of this failure or because the peer has ended the stream.
    end: Option<io::Result<()>>,
    /// When it is over even if the peer does not end it.
    until: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Writing {
    On,
    /// All is written, the peer is still to be told.
    ShuttingDown,
    /// The peer knows, or the peer is gone. What it sent before is still wanted, it may say why; and
    /// closing a socket with unread bytes would reset the connection, which can cost the peer our
    /// last ones.
    Over(String),
}

/// Room that all links of an endpoint share.
#[derive(Debug, Default)]
pub(super) struct Room {
    read: BytesMut,
    gathered: Vec<u8>,
}

impl Link {
    /// Connects, and is open then.
    pub(super) fn dial(connector: Connector, addr: PeerAddr) -> Self {
        let dialing = Box::pin(async move { connector.connect(&addr).await });
        Self::new(State::Dialing(Dialing(dialing)), None)
    }

    pub(super) fn accepted(stream: Stream, pass: Pass) -> Self {
        Self::new(State::Open(Open::new(stream, false)), Some(pass))
    }

    fn new(state: State, pass: Option<Pass>) -> Self {
        Self {
            state,
            queue: Queue::default(),
            is_closing: false,
            has_more: false,
            _pass: pass,
        }
    }

    /// To be written next, if anything may still be written.
    pub(super) fn send(&mut self, frame: Bytes) {
        let is_over = matches!(&self.state, State::Open(open) if open.is_over());
        if !self.is_closing && !is_over {
            self.queue.push(frame);
        }
    }

    /// Writes what was sent before, tells the peer, and waits a moment for its end. Nobody is woken
    /// by this: it must be polled.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
        if let State::Open(open) = &mut self.state {
            open.give_up_after(DRAIN);
        }
    }

    /// Whether there may be more news at once, of which nobody is woken.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Looks at all of it. Reads only if that is wanted, or if this side closes.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        is_read: bool,
    ) -> Poll<News> {
        self.has_more = false;
        if let State::Dialing(dialing) = &mut self.state {
            if self.is_closing {
                return Poll::Ready(News::Closed(String::new()));
            }
            return match ready!(dialing.0.as_mut().poll(cx)) {
                Ok((stream, remote)) => Poll::Ready(self.opened(stream, remote)),
                Err(error) => Poll::Ready(News::Closed(error.to_string())),
            };
        }
        if let Poll::Ready(news) = self.poll_write(cx, room) {
            self.has_more = true;
            return Poll::Ready(news);
        }
        let State::Open(open) = &mut self.state else {
            return Poll::Pending;
        };
        if let Some(until) = &mut open.until
            && until.as_mut().poll(cx).is_ready()
        {
            let reason = match &mut open.writing {
                Writing::Over(reason) => std::mem::take(reason),
                Writing::On | Writing::ShuttingDown => String::new(),
            };
            return Poll::Ready(News::Closed(reason));
        }
        match is_read || self.is_closing {
            true => self.poll_read(cx, room),
            false => Poll::Pending,
        }
    }

    fn opened(&mut self, stream: Stream, remote: SocketAddr) -> News {
        let certificate = stream.certificate().cloned();
        let is_suspect = !stream.is_encrypted();
        self.state = State::Open(Open::new(stream, is_suspect));
        self.has_more = true;
        News::Opened {
            remote,
            certificate,
        }
    }

    /// Writes only: for a link that was sent something and has not called.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, room: &mut Room) -> Poll<News> {
        let State::Open(open) = &mut self.state else {
            return Poll::Pending;
        };
        if matches!(open.writing, Writing::On) {
            match self.queue.write(&mut open.stream, cx, &mut room.gathered) {
                Ok(sent) if sent > 0 && !self.is_closing => return Poll::Ready(News::Sent(sent)),
                Ok(_) if self.is_closing && self.queue.is_empty() => {
                    open.writing = Writing::ShuttingDown;
                }
                Ok(_) => return Poll::Pending,
                Err(error) => {
                    self.queue = Queue::default();
                    self.has_more = true;
                    open.end_writing(format!("write failed: {error}"));
                }
            }
        }
        if matches!(open.writing, Writing::ShuttingDown) {
            // If that fails, the peer is gone.
            let _ = ready!(Pin::new(&mut open.stream).poll_shutdown(cx));
            open.end_writing(String::new());
        }
        Poll::Pending
    }

    /// Reads until nothing is there, or enough to have others have their turn.
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut Room) -> Poll<News> {
        let State::Open(open) = &mut self.state else {
            return Poll::Pending;
        };
        if let Some(end) = open.end.take() {
            return Poll::Ready(News::Closed(reason(end, false)));
        }
        let buffer = room.make();
        while buffer.len() < READ_SIZE && open.end.is_none() {
            match pin!(open.stream.read_buf(buffer)).poll(cx) {
                Poll::Ready(Ok(0)) => open.end = Some(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => open.end = Some(Err(error)),
                Poll::Pending => break,
            }
        }
        if buffer.is_empty() {
            let end = open.end.take();
            return end.map_or(Poll::Pending, |end| {
                Poll::Ready(News::Closed(reason(end, open.is_suspect)))
            });
        }
        self.has_more = buffer.len() >= READ_SIZE || open.end.is_some();
        if std::mem::replace(&mut open.is_suspect, false) && buffer.starts_with(TLS_ALERT) {
            let reason = "the peer wants TLS (TLS is off here, is it on there?)";
            return Poll::Ready(News::Closed(reason.to_owned()));
        }
        match self.is_closing {
            true => Poll::Pending,
            false => Poll::Ready(News::Bytes(room.take())),
        }
    }
}

impl Open {
    fn new(stream: Stream, is_suspect: bool) -> Self {
        Self {
            stream,
            writing: Writing::On,
            is_suspect,
            end: None,
            until: None,
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.writing, Writing::Over(_))
    }

    fn end_writing(&mut self, reason: String) {
        self.writing = Writing::Over(reason);
        self.give_up_after(LINGER);
    }

    /// Or earlier, if that was said before.
    fn give_up_after(&mut self, time: Duration) {
        let at = Instant::now() + time;
        match &mut self.until {
            Some(until) if until.deadline() <= at => {}
            Some(until) => until.as_mut().reset(at),
            None => self.until = Some(Box::pin(sleep(time))),
        }
    }
}

/// Why nothing more comes. If nothing came at all, TLS may not be set alike.
fn reason(end: io::Result<()>, is_suspect: bool) -> String {
    match (end, is_suspect) {
        (Ok(()), false) => "end of stream".to_owned(),
        (Ok(()), true) => {
            "end of stream before the first byte (is TLS on there and off here?)".to_owned()
        }
        (Err(error), false) => format!("read failed: {error}"),
        (Err(error), true) => {
            format!("read failed before the first byte: {error} (is TLS on there and off here?)")
        }
    }
}

impl fmt::Debug for Dialing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialing").finish_non_exhaustive()
    }
}

impl Room {
    /// Empty, with room for a read.
    fn make(&mut self) -> &mut BytesMut {
        self.read.clear();
        self.read.reserve(READ_SIZE);
        &mut self.read
    }

    /// What was read. Little is copied, so that it keeps no more memory than it needs for as long as
    /// it waits somewhere.
    fn take(&mut self) -> Bytes {
        match self.read.len() < COPIED {
            true => Bytes::copy_from_slice(&self.read),
            false => self.read.split().freeze(),
        }
    }
}

/// Room made for one read, in bytes; large reads share it until all of them are let go.
const READ_SIZE: usize = 32 * 1024;

/// Reads below this size, in bytes, are copied.
const COPIED: usize = 4 * 1024;

/// How long the peer may take to end the stream after this side has.
const LINGER: Duration = Duration::from_secs(1);

/// How long all of closing may take.
const DRAIN: Duration = Duration::from_secs(2);

/// A TLS record of type alert.
const TLS_ALERT: &[u8] = &[0x15, 0x03];
