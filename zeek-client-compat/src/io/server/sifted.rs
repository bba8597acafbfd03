//! A connection whose client's long messages are cut before the WebSocket layer sees them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::sieve::{Cut, Longest, Sieve};

/// Bytes in both directions; those of the client through a [`Sieve`].
#[derive(Debug)]
pub(super) struct Sifted<S> {
    stream: S,
    sieve: Sieve,
    /// What passed and did not fit the reader's buffer, from `at` on.
    rest: Vec<u8>,
    at: usize,
}

impl<S> Sifted<S> {
    pub(super) fn new(stream: S, longest: Longest) -> Self {
        Self {
            stream,
            sieve: Sieve::new(longest),
            rest: Vec::new(),
            at: 0,
        }
    }

    /// What was cut of the message that was read as this one, counted from 0, if anything.
    pub(super) fn cut(&mut self, message: u64) -> Option<Cut> {
        self.sieve.cut(message)
    }

    /// Moves what passed earlier to the reader; whether there was any.
    fn serve(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let rest = self.rest.get(self.at..).unwrap_or_default();
        let len = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..len).unwrap_or_default());
        self.at += len;
        if self.at == self.rest.len() {
            (self.rest, self.at) = (Vec::new(), 0);
        }
        len > 0
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sifted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        // Who sends nothing but what is dropped does not keep the thread: the socket is not ready
        // every time.
        while !this.serve(buf) {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            let read = buf.filled().get(before..).unwrap_or_default();
            if read.is_empty() || this.sieve.passes(read.len()) {
                break;
            }
            this.sieve.sift(read, &mut this.rest);
            buf.set_filled(before);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sifted<S> {
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
