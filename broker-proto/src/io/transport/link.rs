//! One socket from dial or accept to its end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};

use crate::certificate::PeerCertificate;
use crate::io::tls::{Connector, Stream};
use crate::peering::{LinkId, PeerAddr};

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

/// What the link is told.
#[derive(Debug)]
pub(super) struct Orders {
    /// To be written, in order. Ends when the link shall close.
    pub(super) frames: mpsc::UnboundedReceiver<Vec<Bytes>>,
    /// Comes as soon as the link shall close, even if the writer is stuck.
    pub(super) closing: oneshot::Receiver<()>,
}

/// Connects, then as [`serve`].
pub(super) async fn dial(
    link: LinkId,
    connector: Connector,
    addr: PeerAddr,
    mut orders: Orders,
    news: mpsc::Sender<(LinkId, News)>,
) {
    let connected = tokio::select! {
        connected = connector.connect(&addr) => connected,
        _ = &mut orders.closing => Err(io::ErrorKind::Interrupted.into()),
    };
    match connected {
        Ok((stream, remote)) => {
            // Only fails when the transport is gone, and this task with it.
            let certificate = stream.certificate().cloned();
            let opened = News::Opened {
                remote,
                certificate,
            };
            let _ = news.send((link, opened)).await;
            serve(link, stream, orders, news).await;
        }
        Err(error) => {
            let _ = news.send((link, News::Closed(error.to_string()))).await;
        }
    }
}

/// Reads and writes until either fails, the peer ends the stream or `orders` say so.
pub(super) async fn serve(
    link: LinkId,
    stream: Stream,
    orders: Orders,
    news: mpsc::Sender<(LinkId, News)>,
) {
    let suspicion = match link {
        LinkId::Dialed(_) if !stream.is_encrypted() => Suspicion::PeerWantsTls,
        LinkId::Dialed(_) | LinkId::Accepted(_) => Suspicion::None,
    };
    let (reader, writer) = tokio::io::split(stream);
    let Orders { frames, closing } = orders;
    let reading = pin!(read(link, reader, suspicion, &news));
    let writing = pin!(async {
        let written = write(link, writer, frames, &news).await;
        // All is written and the peer knows, or the peer is gone. What it sent before is still
        // wanted, it may say why; and closing a socket with unread bytes would reset the
        // connection, which can cost the peer our last ones.
        tokio::time::sleep(LINGER).await;
        written.map_or_else(|error| format!("write failed: {error}"), |()| String::new())
    });
    let giving_up = pin!(async {
        // Whatever it returns: without its other end there is nothing left to do either.
        let _ = closing.await;
        tokio::time::sleep(DRAIN).await;
    });
    let reason = tokio::select! {
        reason = reading => reason,
        reason = writing => reason,
        // That this side closed is for the transport to say.
        () = giving_up => String::new(),
    };
    let _ = news.send((link, News::Closed(reason))).await;
}

/// What may be wrong if the peer does not answer sensibly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Suspicion {
    None,
    PeerWantsTls,
}

/// Passes on what comes; returns why nothing more will.
async fn read(
    link: LinkId,
    mut reader: ReadHalf<Stream>,
    suspicion: Suspicion,
    news: &mpsc::Sender<(LinkId, News)>,
) -> String {
    let mut room = Room::default();
    let mut is_first = true;
    loop {
        let buffer = room.make();
        let is_suspect = is_first && suspicion == Suspicion::PeerWantsTls;
        match reader.read_buf(buffer).await {
            Ok(0) if is_suspect => {
                return "end of stream before the first byte (is TLS on there and off here?)"
                    .into();
            }
            Ok(0) => return "end of stream".into(),
            Ok(_) if is_suspect && buffer.starts_with(TLS_ALERT) => {
                return "the peer wants TLS (TLS is off here, is it on there?)".into();
            }
            Ok(_) => {}
            Err(error) if is_suspect => {
                return format!(
                    "read failed before the first byte: {error} (is TLS on there and off here?)"
                );
            }
            Err(error) => return format!("read failed: {error}"),
        }
        is_first = false;
        if news.send((link, News::Bytes(room.take()))).await.is_err() {
            return "end of the program".into();
        }
    }
}

/// What the next read goes into. Most links are silent most of the time, and there are many.
#[derive(Debug, Default)]
struct Room {
    buffer: BytesMut,
    is_large: bool,
}

impl Room {
    /// Has room for a read, much if the last one filled what it had.
    fn make(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() < READ_SIZE_MIN / 2 {
            let size = match self.is_large {
                true => READ_SIZE,
                false => READ_SIZE_MIN,
            };
            self.buffer.reserve(size);
        }
        &mut self.buffer
    }

    /// What was read.
    fn take(&mut self) -> Bytes {
        let is_full = self.buffer.len() == self.buffer.capacity();
        let chunk = self.buffer.split().freeze();
        if self.is_large && !is_full {
            // What is left, and what a buffer grows to again, is as large as it ever was.
            self.buffer = BytesMut::new();
        }
        self.is_large = is_full;
        chunk
    }
}

/// Writes what is queued, in as few writes as possible, until the queue ends.
async fn write(
    link: LinkId,
    mut writer: WriteHalf<Stream>,
    mut frames: mpsc::UnboundedReceiver<Vec<Bytes>>,
    news: &mpsc::Sender<(LinkId, News)>,
) -> io::Result<()> {
    let mut batches = Vec::new();
    let mut gathered = BytesMut::new();
    while frames.recv_many(&mut batches, BATCHES).await > 0 {
        let mut count = 0;
        for frame in batches.drain(..).flatten() {
            if count > 0 && gathered.len() + frame.len() > WRITE_SIZE {
                put(link, &mut writer, &gathered, count, news).await?;
                gathered.clear();
                count = 0;
            }
            if frame.len() > WRITE_SIZE {
                put(link, &mut writer, &frame, 1, news).await?;
                continue;
            }
            gathered.extend_from_slice(&frame);
            count += 1;
        }
        if count > 0 {
            put(link, &mut writer, &gathered, count, news).await?;
            gathered.clear();
        }
        if frames.is_empty() {
            // Who has nothing to write for the moment may not have for long.
            gathered = BytesMut::new();
        }
    }
    writer.shutdown().await
}

async fn put(
    link: LinkId,
    writer: &mut WriteHalf<Stream>,
    bytes: &[u8],
    messages: usize,
    news: &mpsc::Sender<(LinkId, News)>,
) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await?;
    // Only fails when the transport is gone, and this task with it.
    let _ = news.send((link, News::Sent(messages))).await;
    Ok(())
}

/// Room made for one read, in bytes; what is read shares it until all of it is let go.
pub(super) const READ_SIZE: usize = 32 * 1024;

/// The same after a read that did not fill it.
const READ_SIZE_MIN: usize = 1024;

/// Frames are gathered up to this size, in bytes. A larger frame is written as it is.
const WRITE_SIZE: usize = 64 * 1024;

/// Flushes taken from the queue at a time.
const BATCHES: usize = 64;

/// How long the peer may take to end the stream after this side has.
const LINGER: Duration = Duration::from_secs(1);

/// How long all of closing may take.
const DRAIN: Duration = Duration::from_secs(2);

/// A TLS record of type alert.
const TLS_ALERT: &[u8] = &[0x15, 0x03];

#[cfg(test)]
mod tests {
    use super::*;

    /// One read of as many bytes as there is room for, up to this many; how much room there was.
    fn read(room: &mut Room, most: usize) -> usize {
        let buffer = room.make();
        let capacity = buffer.capacity();
        let len = most.min(capacity);
        buffer.resize(len, 7);
        assert_eq!(room.take(), vec![7; len]);
        capacity
    }

    #[test]
    fn much_room_is_made_only_while_reads_fill_it() {
        for short in [1, READ_SIZE / 2, READ_SIZE - 600, READ_SIZE - 1] {
            let mut room = Room::default();
            assert_eq!(read(&mut room, usize::MAX), READ_SIZE_MIN);
            assert!(read(&mut room, usize::MAX) >= READ_SIZE);
            assert!(read(&mut room, short) >= READ_SIZE);
            for _ in 0..100 {
                assert!(read(&mut room, 100) <= READ_SIZE_MIN, "{short}");
            }
        }
    }

    #[test]
    fn what_was_read_stays_as_it_is_while_more_is_read() {
        let mut room = Room::default();
        room.make().extend_from_slice(b"first");
        let first = room.take();
        for _ in 0..10 {
            read(&mut room, usize::MAX);
        }
        assert_eq!(first, b"first".as_slice());
    }
}
