//! Connections on their way from the TLS handshake to the upgrade.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use broker_proto::PeerCertificate;
use broker_proto::io::tls::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Sleep;

use super::counters::{Count, Tally};

/// Hands open connections to axum, no more at once than there are places.
#[derive(Debug)]
pub(super) struct Door {
    accepted: mpsc::Receiver<(Stream, SocketAddr)>,
    places: Arc<Semaphore>,
    upgrade: Duration,
    tally: Arc<Tally>,
}

impl Door {
    pub(super) fn new(
        accepted: mpsc::Receiver<(Stream, SocketAddr)>,
        places: usize,
        upgrade: Duration,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            accepted,
            places: Arc::new(Semaphore::new(places)),
            upgrade,
            tally,
        }
    }
}

impl Listener for Door {
    type Io = Guarded;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guarded, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        let Some((stream, remote)) = self.accepted.recv().await else {
            // The accepting task ends only together with this one.
            return std::future::pending().await;
        };
        let guarded = Guarded {
            stream,
            stays: Arc::default(),
            tally: Arc::clone(&self.tally),
            deadline: Box::pin(tokio::time::sleep(self.upgrade)),
            _place: place,
        };
        (guarded, remote)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A connection that ends by itself unless it becomes a WebSocket in time: axum has no time limit
/// for requests.
#[derive(Debug)]
pub(super) struct Guarded {
    stream: Stream,
    stays: Arc<AtomicBool>,
    tally: Arc<Tally>,
    deadline: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

/// Who a request comes from.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    pub(super) remote: SocketAddr,
    pub(super) certificate: Option<Arc<PeerCertificate>>,
    stays: Arc<AtomicBool>,
}

impl Visitor {
    /// The connection is a WebSocket; its time limit is over.
    pub(super) fn stays(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, Door>> for Visitor {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self {
            remote: *stream.remote_addr(),
            certificate: stream.io().stream.certificate().cloned(),
            stays: Arc::clone(&stream.io().stays),
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            return Poll::Ready(read);
        }
        if this.stays.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        ready!(this.deadline.as_mut().poll(cx));
        // The connection is not polled again after an error.
        this.tally.add(Count::Late);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
