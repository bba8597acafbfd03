//! `Data` to bytes, as fast as reading: values of fixed length in one piece, short strings too.

use bytes::{BufMut, Bytes};

use super::real::real_to_bits;
use super::skip::{SET, TABLE, VECTOR};
use crate::codec::varbyte;
use crate::data::text::INLINE;
use crate::data::{ByteString, Data, Timespan, Timestamp};

/// Writes one value.
pub(super) fn encode(data: &Data) -> Bytes {
    let mut far = Vec::new();
    let mut sink = Sink::new(&mut far);
    let end = sink.value(data, 0);
    if sink.far.is_empty() {
        return Bytes::copy_from_slice(gathered(&sink.near, end));
    }
    sink.finish(end);
    far.into_boxed_slice().into()
}

/// Appends one value with its tag.
pub(super) fn put(data: &Data, out: &mut Vec<u8>) {
    let mut sink = Sink::new(out);
    let end = sink.value(data, 0);
    sink.finish(end);
}

/// Bytes on their way.
///
/// They gather in `near`, which needs no allocation: most values are there whole before memory of
/// their length is asked for. How far `near` is filled goes from hand to hand, as an argument and a
/// result, so that it stays in a register; what does not fit makes it [spill](Self::spill).
struct Sink<'v> {
    near: [u8; NEAR],
    far: &'v mut Vec<u8>,
}

/// Longer than most messages, in bytes, and short enough to be zeroed in no time.
const NEAR: usize = 1024;

impl<'v> Sink<'v> {
    fn new(far: &'v mut Vec<u8>) -> Self {
        Self {
            near: [0; NEAR],
            far,
        }
    }

    #[inline(always)]
    fn value(&mut self, data: &Data, at: usize) -> usize {
        match data {
            Data::None => self.array(&[0], at),
            Data::Boolean(value) => self.array(&[1, u8::from(*value)], at),
            Data::Count(value) => self.eight(2, value.to_be_bytes(), at),
            Data::Integer(value) => self.eight(3, value.to_be_bytes(), at),
            Data::Real(value) => self.eight(4, real_to_bits(*value).to_be_bytes(), at),
            Data::String(text) => self.text(5, text, at),
            Data::Address(address) => {
                let at = self.array(&[6], at);
                self.array(&address.octets(), at)
            }
            Data::Subnet(subnet) => {
                let at = self.array(&[7], at);
                let at = self.array(&subnet.network().octets(), at);
                self.array(&[subnet.length()], at)
            }
            Data::Port(port) => {
                let [high, low] = port.number.to_be_bytes();
                self.array(&[8, high, low, port.protocol.code()], at)
            }
            Data::Timestamp(Timestamp(ns)) => self.eight(9, ns.to_be_bytes(), at),
            Data::Timespan(Timespan(ns)) => self.eight(10, ns.to_be_bytes(), at),
            Data::Enum(name) => self.text(11, name, at),
            Data::Set(items) => self.container(SET, items.len(), items.as_slice(), at),
            Data::Table(entries) => self.container(TABLE, entries.len(), entries.as_slice(), at),
            Data::Vector(items) => self.container(VECTOR, items.len(), items, at),
        }
    }

    fn container(&mut self, tag: u8, count: usize, values: &[Data], at: usize) -> usize {
        let mut at = self.size(tag, count, at);
        for value in values {
            // By far the most frequent one, and a branch is faster than a table of jumps.
            if let Data::None = value {
                at = self.array(&[0], at);
            } else {
                at = self.value(value, at);
            }
        }
        at
    }

    #[inline(always)]
    fn eight(&mut self, tag: u8, [a, b, c, d, e, f, g, h]: [u8; 8], at: usize) -> usize {
        self.array(&[tag, a, b, c, d, e, f, g, h], at)
    }

    #[inline(always)]
    fn text(&mut self, tag: u8, text: &ByteString, at: usize) -> usize {
        let Some((len, bytes)) = text.as_inline() else {
            return self.long_text(tag, text.as_bytes(), at);
        };
        let at = self.array(&[tag, len], at);
        // All of it, to be overwritten by what comes next: a copy whose length is known
        // beforehand is several times faster.
        self.array(bytes, at) - INLINE + usize::from(len)
    }

    /// Not inlined, as [`Self::long_size`]: the less there is in the loop over a container, the
    /// more of it stays in registers.
    #[inline(never)]
    fn long_text(&mut self, tag: u8, text: &[u8], at: usize) -> usize {
        let at = self.size(tag, text.len(), at);
        self.slice(text, at)
    }

    #[inline]
    fn size(&mut self, tag: u8, size: usize, at: usize) -> usize {
        match u8::try_from(size) {
            Ok(size) if size < 0x80 => self.array(&[tag, size], at),
            Ok(_) | Err(_) => self.long_size(tag, size, at),
        }
    }

    #[cold]
    fn long_size(&mut self, tag: u8, size: usize, at: usize) -> usize {
        let mut bytes = [0; 6];
        let mut rest = bytes.as_mut_slice();
        rest.put_u8(tag);
        varbyte::put(size, &mut rest);
        let len = 6 - rest.len();
        self.slice(bytes.get(..len).unwrap_or_default(), at)
    }

    fn slice(&mut self, bytes: &[u8], at: usize) -> usize {
        let end = at + bytes.len();
        if let Some(place) = self.near.get_mut(at..end) {
            place.copy_from_slice(bytes);
            return end;
        }
        self.spill(at);
        self.far.extend_from_slice(bytes);
        0
    }

    /// Writes a few bytes. They are handed over where they are: copied to the stack before, in
    /// pieces of another size, they cost ten times as much.
    #[inline(always)]
    fn array<const N: usize>(&mut self, bytes: &[u8; N], mut at: usize) -> usize {
        if at > NEAR - N {
            self.spill(at);
            at = 0;
        }
        let rest = self.near.get_mut(at..).unwrap_or_default();
        if let Some(place) = rest.first_chunk_mut() {
            *place = *bytes;
        }
        at + N
    }

    /// Moves on what has gathered; `near` is filled from its start again.
    #[cold]
    fn spill(&mut self, end: usize) {
        // There is no telling how much more comes, but growing step by step is slow.
        if self.far.capacity() == 0 {
            self.far.reserve(4 * NEAR);
        }
        self.far.extend_from_slice(gathered(&self.near, end));
    }

    /// Moves on the last bytes.
    fn finish(self, end: usize) {
        self.far.extend_from_slice(gathered(&self.near, end));
    }
}

/// What is in `near` up to there.
fn gathered(near: &[u8; NEAR], end: usize) -> &[u8] {
    near.get(..end).unwrap_or_default()
}
