//! What one link has still to write.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;

/// Frames in their order, written in as few writes as possible.
#[derive(Debug, Default)]
pub(super) struct Queue {
    frames: VecDeque<Bytes>,
    /// So much of the first one is written.
    offset: usize,
    /// Written frames that a TLS session may still hold.
    unflushed: usize,
}

impl Queue {
    pub(super) fn push(&mut self, frame: Bytes) {
        self.frames.push_back(frame);
    }

    /// Whether all that was pushed has been handed to the operating system.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.unflushed == 0
    }

    /// Writes all, or as much as the system takes: then `cx` is woken when it takes more. Returns how
    /// many frames it has taken. Small ones are put together in `gathered`, which keeps nothing.
    ///
    /// # Errors
    /// If the stream fails. What was queued is of no use then.
    pub(super) fn write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
        gathered: &mut Vec<u8>,
    ) -> io::Result<usize> {
        while !self.frames.is_empty() {
            let piece = self.piece(gathered);
            // Only empty frames are left, and OpenSSL would take that for a failure.
            if piece.is_empty() {
                self.advance(0);
                continue;
            }
            match Pin::new(&mut *stream).poll_write(cx, piece) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.advance(written?),
                Poll::Pending => break,
            }
        }
        if self.frames.is_empty() {
            // Who had much to write may not have for long.
            self.frames.shrink_to(KEPT);
        }
        if self.unflushed > 0
            && let Poll::Ready(flushed) = Pin::new(stream).poll_flush(cx)
        {
            flushed?;
            return Ok(std::mem::take(&mut self.unflushed));
        }
        Ok(0)
    }

    /// The next bytes: those of one frame, or of several small ones.
    fn piece<'a>(&'a self, gathered: &'a mut Vec<u8>) -> &'a [u8] {
        let mut frames = self.frames.iter();
        let first = frames.next().and_then(|first| first.get(self.offset..));
        let first = first.unwrap_or_default();
        if self.frames.len() == 1 || first.len() >= WRITE_SIZE {
            return first;
        }
        gathered.clear();
        gathered.extend_from_slice(first);
        for frame in frames {
            if gathered.len() + frame.len() > WRITE_SIZE {
                break;
            }
            gathered.extend_from_slice(frame);
        }
        gathered
    }

    fn advance(&mut self, written: usize) {
        self.offset += written;
        while let Some(first) = self.frames.front()
            && let Some(beyond) = self.offset.checked_sub(first.len())
        {
            self.frames.pop_front();
            self.offset = beyond;
            self.unflushed += 1;
        }
    }
}

/// Frames are gathered up to this size, in bytes. A larger frame is written as it is.
const WRITE_SIZE: usize = 64 * 1024;

/// Frames that a queue keeps room for while it is empty.
const KEPT: usize = 4;
