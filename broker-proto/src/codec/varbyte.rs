//! The variable-length size: little-endian base 128, 32 bits at most (WIRE §3.2).

use bytes::BufMut;

use super::{DecodeErrorKind, Parsed, fail, tag};

/// Reads a size. Redundant forms within five bytes are taken, as in stock.
pub(crate) fn parse(input: &[u8]) -> Parsed<'_, usize> {
    let mut value = 0_u64;
    let mut rest = input;
    for shift in [0, 7, 14, 21, 28] {
        let (after, byte) = tag(rest)?;
        rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return match u32::try_from(value).map(usize::try_from) {
                Ok(Ok(size)) => Ok((rest, size)),
                Ok(Err(_)) | Err(_) => fail(input, DecodeErrorKind::SizeOverflow),
            };
        }
    }
    fail(input, DecodeErrorKind::SizeOverflow)
}

/// Writes a size in its shortest form.
///
/// Sizes of 2^32 and more cannot be expressed; the frame limit keeps callers far below.
pub(crate) fn put(size: usize, out: &mut impl BufMut) {
    let mut rest = u32::try_from(size).expect("frames are limited to far less than 4 GiB");
    while rest >= 0x80 {
        out.put_u8(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<usize> {
        parse(bytes).ok().map(|(_, size)| size)
    }

    fn written(size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        put(size, &mut out);
        out
    }

    #[test]
    fn sizes_have_the_bytes_of_the_specification() {
        let samples: [(usize, &[u8]); 6] = [
            (0, &[0x00]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (300, &[0xac, 0x02]),
            (16384, &[0x80, 0x80, 0x01]),
            (0xffff_ffff, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (size, bytes) in samples {
            assert_eq!(read(bytes), Some(size));
            assert_eq!(written(size), bytes);
        }
    }

    #[test]
    fn redundant_forms_are_taken_and_longer_ones_refused() {
        assert_eq!(read(&[0x83, 0x00]), Some(3));
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), None);
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None);
        assert_eq!(read(&[0x80]), None);
    }
}
