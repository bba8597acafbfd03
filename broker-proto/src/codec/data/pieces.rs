//! Values written and read in pieces, for those whose parts are much alike: such a part is encoded
//! once and appended often, or recognized by its bytes instead of being read again.
//!
//! ```
//! use broker_proto::Data;
//! use broker_proto::codec::data::pieces::{self, Pieces};
//! use broker_proto::codec::{Limits, data};
//!
//! let mut out = Vec::new();
//! pieces::put_vector(2, &mut out);
//! let part = data::encode(&Data::string("hi"));
//! out.extend_from_slice(&part);
//! out.extend_from_slice(&part);
//! assert_eq!(out, [14, 2, 5, 2, b'h', b'i', 5, 2, b'h', b'i']);
//!
//! let mut rest = Pieces::of(&out, &Limits::default());
//! assert_eq!(rest.take_vector(), Some(2));
//! let (hi, part) = rest.take_part(Pieces::take).unwrap();
//! assert_eq!(hi, Data::string("hi"));
//! assert!(rest.take_again(&part));
//! assert!(rest.is_empty());
//! ```

use super::owned::Reader;
use super::skip::{BOOLEAN, COUNT, ENUM, INTEGER, NONE, PORT, STRING, TABLE, VECTOR, split_size};
use crate::codec::{Limits, put_string as put_bytes, varbyte};
use crate::data::{Data, Port};

/// Levels kept for what is around the values that [`Pieces::take`] reads, as it does not know.
const OUTER_LEVELS: usize = 16;

/// Appends no value.
pub fn put_none(out: &mut Vec<u8>) {
    out.push(NONE);
}

/// Appends true or false.
pub fn put_boolean(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&[BOOLEAN, value.into()]);
}

/// Appends a `count`.
pub fn put_count(value: u64, out: &mut Vec<u8>) {
    out.push(COUNT);
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends an `int`.
pub fn put_integer(value: i64, out: &mut Vec<u8>) {
    out.push(INTEGER);
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a port.
pub fn put_port(port: Port, out: &mut Vec<u8>) {
    let [high, low] = port.number.to_be_bytes();
    out.extend_from_slice(&[PORT, high, low, port.protocol.code()]);
}

/// Appends a string.
pub fn put_string(text: &str, out: &mut Vec<u8>) {
    put_text(STRING, text, out);
}

/// Appends an enum value by its full name.
pub fn put_enum(name: &str, out: &mut Vec<u8>) {
    put_text(ENUM, name, out);
}

/// Appends what comes before the elements of a vector. The caller appends so many values.
pub fn put_vector(len: usize, out: &mut Vec<u8>) {
    out.push(VECTOR);
    varbyte::put(len, out);
}

/// Appends what comes before the entries of a table. The caller appends so many distinct keys in
/// Broker's order, each followed by its value.
pub fn put_table(len: usize, out: &mut Vec<u8>) {
    out.push(TABLE);
    varbyte::put(len, out);
}

fn put_text(tag: u8, text: &str, out: &mut Vec<u8>) {
    out.push(tag);
    put_bytes(text.as_bytes(), out);
}

/// What has not been taken off a payload.
///
/// What can be taken off, [`decode`](super::decode) would read too, if the caller sees to it that
/// sizes are kept and keys are distinct, and if it goes down 16 levels at most itself. What cannot
/// may be in order nevertheless: that is for `decode` to say.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    rest: &'a [u8],
    limits: Limits,
}

/// Values that were taken off once, as they were sent.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    bytes: &'a [u8],
    elements: usize,
}

impl<'a> Pieces<'a> {
    /// All of a payload.
    pub fn of(payload: &'a [u8], limits: &Limits) -> Self {
        let depth = limits.depth.saturating_sub(OUTER_LEVELS);
        Self {
            rest: payload,
            limits: Limits { depth, ..*limits },
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes off what comes before the elements of a vector: how many there are, as announced.
    pub fn take_vector(&mut self) -> Option<usize> {
        self.take_size(VECTOR)
    }

    /// Takes off what comes before the entries of a table: how many there are, as announced.
    pub fn take_table(&mut self) -> Option<usize> {
        self.take_size(TABLE)
    }

    /// Takes off one whole value.
    pub fn take(&mut self) -> Option<Data> {
        let mut reader = Reader::new(self.rest, &self.limits);
        let (rest, data) = reader.parse(self.rest).ok()?;
        self.rest = rest;
        self.limits.elements = reader.elements_left();
        Some(data)
    }

    /// What `read` takes off, and as what it was sent.
    pub fn take_part<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<(T, Part<'a>)> {
        let (start, elements) = (self.rest, self.limits.elements);
        let value = read(self)?;
        let part = Part {
            bytes: start.get(..start.len() - self.rest.len())?,
            elements: elements - self.limits.elements,
        };
        Some((value, part))
    }

    /// Takes off the same once more, if that comes next.
    pub fn take_again(&mut self, part: &Part<'_>) -> bool {
        let rest = self.rest.strip_prefix(part.bytes);
        let elements = self.limits.elements.checked_sub(part.elements);
        let (Some(rest), Some(elements)) = (rest, elements) else {
            return false;
        };
        self.rest = rest;
        self.limits.elements = elements;
        true
    }

    fn take_size(&mut self, wanted: u8) -> Option<usize> {
        let (&tag, mut after) = self.rest.split_first()?;
        let size = split_size(&mut after).filter(|_| tag == wanted)?;
        self.limits.elements = self.limits.elements.checked_sub(size)?;
        self.rest = after;
        Some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::data::encode;

    #[test]
    fn elements_are_counted_over_all_pieces() {
        // A vector of two vectors of two counts.
        let inner = [14, 2, 2, 0, 0, 0, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 0, 0, 0, 8];
        let payload = [&[14, 2], inner.as_slice(), &inner].concat();
        for (elements, fits) in [(6, true), (5, false)] {
            let limits = Limits {
                elements,
                ..Limits::default()
            };
            let mut rest = Pieces::of(&payload, &limits);
            assert_eq!(rest.take_vector(), Some(2));
            let (_, part) = rest.take_part(Pieces::take).unwrap();
            assert_eq!(rest.clone().take().is_some(), fits);
            assert_eq!(rest.take_again(&part), fits);
            assert_eq!(rest.is_empty(), fits);
            assert_eq!(super::super::decode(&payload, &limits).is_ok(), fits);
        }
    }

    #[test]
    fn what_does_not_come_next_is_left_where_it_is() {
        let payload = encode(&Data::Vector(vec![Data::string("a"), Data::string("ab")]));
        let mut rest = Pieces::of(&payload, &Limits::default());
        assert_eq!(rest.take_table(), None);
        assert_eq!(rest.take_vector(), Some(2));
        let (_, part) = rest.take_part(Pieces::take).unwrap();
        assert!(!rest.take_again(&part));
        assert_eq!(rest.take(), Some(Data::string("ab")));
        assert_eq!(rest.take(), None);
        assert!(rest.is_empty());
    }
}
