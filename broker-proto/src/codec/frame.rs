//! Frames: a 4-byte length, then that many bytes (WIRE §2).

use bytes::{Buf, BufMut, Bytes, BytesMut};

const PREFIX: usize = 4;

/// Cuts a byte stream into frames. Holds no more than was received.
#[derive(Debug, Default)]
pub struct FrameDecoder {
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
        self.buffer.extend_from_slice(chunk);
    }

    /// The payload of the next complete frame; empty frames are handed out too.
    ///
    /// # Errors
    /// If the frame announces more than `limit` bytes.
    pub fn next_frame(&mut self, limit: usize) -> Result<Option<Bytes>, FrameTooLarge> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let announced = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(FrameTooLarge { announced, limit });
        }
        if self.buffer.len() - PREFIX < announced {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(announced).freeze()))
    }

    /// Whether the stream stands between two frames.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The bytes received and not yet handed out.
    pub fn pending(&self) -> &[u8] {
        &self.buffer
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
