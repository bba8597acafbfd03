//! Frames: a 4-byte length, then that many bytes (WIRE §2).

use bytes::{Buf, BufMut, Bytes, BytesMut};

const PREFIX: usize = 4;

/// From this length on, in bytes, what follows a frame is rather copied than kept in one piece with
/// it.
const LARGE: usize = 64 * 1024;

/// Cuts a byte stream into frames. Holds no more than was received.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    /// What is left of the last chunk; frames that lie in it whole are not copied.
    chunk: Bytes,
    /// The start of a frame whose end was in no chunk so far. One of the two is empty.
    buffer: BytesMut,
}

/// A frame that announces more than the receiver allows. The stream is unusable after it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("frame of {announced} bytes exceeds the limit of {limit}")]
pub struct FrameTooLarge {
    /// The length as announced, in bytes.
    pub announced: usize,
    /// The limit, in bytes.
    pub limit: usize,
}

impl FrameDecoder {
    /// Takes the next bytes of the stream, cut anywhere.
    pub fn push(&mut self, chunk: &[u8]) {
        self.gather();
        self.buffer.extend_from_slice(chunk);
    }

    /// The same. Frames may share the chunk's memory.
    pub fn push_bytes(&mut self, chunk: Bytes) {
        if self.is_empty() {
            self.chunk = chunk;
        } else {
            self.push(&chunk);
        }
    }

    /// The payload of the next complete frame; empty frames are handed out too.
    ///
    /// # Errors
    /// If the frame announces more than `limit` bytes.
    pub fn next_frame(&mut self, limit: usize) -> Result<Option<Bytes>, FrameTooLarge> {
        let pending = self.pending();
        let Some((prefix, rest)) = pending.split_first_chunk::<PREFIX>() else {
            self.gather();
            return Ok(None);
        };
        let announced = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(FrameTooLarge { announced, limit });
        }
        if rest.len() < announced {
            self.gather();
            return Ok(None);
        }
        if self.chunk.is_empty() {
            self.buffer.advance(PREFIX);
            let frame = self.buffer.split_to(announced).freeze();
            if announced >= LARGE && self.buffer.len() <= announced {
                // The memory is the frame's alone, and goes with it.
                self.buffer = BytesMut::from(self.buffer.as_ref());
            }
            return Ok(Some(frame));
        }
        self.chunk.advance(PREFIX);
        Ok(Some(self.chunk.split_to(announced)))
    }

    /// Makes room for another chunk.
    fn gather(&mut self) {
        self.buffer
            .extend_from_slice(&std::mem::take(&mut self.chunk));
    }

    /// Whether the stream stands between two frames.
    pub fn is_empty(&self) -> bool {
        self.pending().is_empty()
    }

    /// The bytes received and not yet handed out.
    pub fn pending(&self) -> &[u8] {
        if self.chunk.is_empty() {
            &self.buffer
        } else {
            &self.chunk
        }
    }
}

/// A frame whose payload `write` appends; `size` is how long that will be, as far as is known.
pub fn put_frame(size: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX + size);
    out.put_u32(0);
    write(&mut out);
    let len = u32::try_from(out.len() - PREFIX).expect("payloads are far below 4 GiB");
    if let Some(prefix) = out.first_chunk_mut::<PREFIX>() {
        *prefix = len.to_be_bytes();
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use allocation_counter::measure;

    use super::*;

    const PROBE: [u8; 9] = [0, 0, 0, 5, 0x07, 0x5a, 0x45, 0x45, 0x4b];

    #[test]
    fn frames_come_out_however_the_stream_is_cut() {
        let stream = [PROBE, PROBE].concat();
        for cut in 1..stream.len() {
            let mut decoder = FrameDecoder::default();
            let mut frames = Vec::new();
            for chunk in stream.chunks(cut) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next_frame(5).unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&PROBE[4..], &PROBE[4..]], "chunks of {cut}");
            assert!(decoder.is_empty());
        }
    }

    #[test]
    fn chunks_that_are_shared_and_chunks_that_are_copied_make_one_stream() {
        let stream = [PROBE, PROBE, PROBE].concat();
        for cut in 1..=stream.len() {
            for copied in 0..8_usize {
                let mut decoder = FrameDecoder::default();
                let (mut frames, mut left) = (Vec::new(), stream.len());
                for (n, chunk) in stream.chunks(cut).enumerate() {
                    if copied >> (n % 3) & 1 == 1 {
                        decoder.push(chunk);
                    } else {
                        decoder.push_bytes(Bytes::copy_from_slice(chunk));
                    }
                    // Not asked for frames after every chunk.
                    if n % 2 == 0 || cut > 20 {
                        continue;
                    }
                    while let Some(frame) = decoder.next_frame(5).unwrap() {
                        left -= PREFIX + frame.len();
                        frames.push(frame);
                    }
                    assert!(stream.len() - left + decoder.pending().len() <= cut * (n + 1));
                }
                while let Some(frame) = decoder.next_frame(5).unwrap() {
                    frames.push(frame);
                }
                assert_eq!(
                    frames,
                    [&PROBE[4..]; 3],
                    "chunks of {cut}, copied {copied:b}"
                );
                assert!(decoder.is_empty());
            }
        }
    }

    /// Memory for messages as large as this is not to stay when they are gone.
    #[test]
    fn large_frames_leave_little_behind() {
        let stream = put_frame(0, |out| out.put_bytes(7, 330_000));
        for held in 0..3 {
            let mut decoder = FrameDecoder::default();
            let mut frames = VecDeque::new();
            let used = measure(|| {
                for _ in 0..50 {
                    for chunk in stream.chunks(32 << 10) {
                        decoder.push_bytes(Bytes::copy_from_slice(chunk));
                        frames.extend(decoder.next_frame(1 << 20).unwrap());
                    }
                    while frames.len() > held {
                        frames.pop_front();
                    }
                }
                frames.clear();
            });
            assert!(used.bytes_current < 70_000, "{held} held: {used:?}");
            assert!(
                used.bytes_max < 1_200_000 + 400_000 * held as u64,
                "{held} held: {used:?}"
            );
        }
    }

    #[test]
    fn large_frames_that_come_at_once_are_all_handed_out() {
        let frames = [1, 2, 3].map(|n| put_frame(0, |out| out.put_bytes(n, 100_000)));
        let mut decoder = FrameDecoder::default();
        decoder.push(&frames.concat());
        for frame in frames {
            assert_eq!(decoder.next_frame(1 << 20), Ok(Some(frame.slice(PREFIX..))));
        }
        assert!(decoder.is_empty());
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_its_bytes_arrive() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&[0xff, 0xff, 0xff, 0xff]);
        let error = FrameTooLarge {
            announced: 0xffff_ffff,
            limit: 64,
        };
        assert_eq!(decoder.next_frame(64), Err(error));
    }

    #[test]
    fn a_written_frame_has_its_length_in_front() {
        let frame = put_frame(0, |out| out.put_slice(&PROBE[4..]));
        assert_eq!(frame, PROBE[..]);
    }
}
