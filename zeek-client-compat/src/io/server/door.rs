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
use broker_proto::io::gate::{Known, Pass};
use broker_proto::io::listen::Accepted;
use broker_proto::io::tls::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::Limits;
use super::counters::{Count, Tally};

/// Hands open connections to axum. How many there are at once is the gate's business.
#[derive(Debug)]
pub(super) struct Door {
    accepted: mpsc::Receiver<Accepted>,
    upgrade: Duration,
    stranger_bytes: usize,
    tally: Arc<Tally>,
}

impl Door {
    pub(super) fn new(
        accepted: mpsc::Receiver<Accepted>,
        limits: &Limits,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            accepted,
            upgrade: limits.upgrade,
            stranger_bytes: limits.stranger_bytes,
            tally,
        }
    }
}

impl Listener for Door {
    type Io = Guarded;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guarded, SocketAddr) {
        let Some(accepted) = self.accepted.recv().await else {
            // The accepting task ends only together with this one.
            return std::future::pending().await;
        };
        let Accepted {
            stream,
            remote,
            pass,
        } = accepted;
        let guarded = Guarded {
            stream,
            known: pass.known(),
            pass,
            may_send: self.stranger_bytes,
            stays: Arc::default(),
            tally: Arc::clone(&self.tally),
            deadline: Box::pin(tokio::time::sleep(self.upgrade)),
        };
        (guarded, remote)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A connection that ends by itself unless it becomes a WebSocket in time: axum has no time limit
/// for requests. As long as it is a stranger's it also ends when it has to make room for others, and
/// little of what it sends is read.
#[derive(Debug)]
pub(super) struct Guarded {
    stream: Stream,
    pass: Pass,
    known: Known,
    /// How many bytes more are read of a stranger.
    may_send: usize,
    stays: Arc<AtomicBool>,
    tally: Arc<Tally>,
    deadline: Pin<Box<Sleep>>,
}

/// Who a request comes from.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    pub(super) remote: SocketAddr,
    pub(super) certificate: Option<Arc<PeerCertificate>>,
    pub(super) known: Known,
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
            known: stream.io().known.clone(),
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
        if this.known.is_known() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        if this.pass.poll_pushed_out(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        // Who has sent that much is read on when it is known, which wakes this task.
        if this.may_send > 0 {
            let before = buf.filled().len();
            if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buf) {
                let len = buf.filled().len() - before;
                this.may_send = this.may_send.saturating_sub(len);
                return Poll::Ready(read);
            }
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
