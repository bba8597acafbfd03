//! `Data` ⇄ bytes (WIRE §3).

mod owned;
pub mod pieces;
pub(super) mod real;
pub(super) mod skip;
#[cfg(test)]
mod tests;
mod write;

use bytes::{Bytes, BytesMut};

use self::owned::Reader;
use super::{DecodeError, Limits, Parsed, Trailing, parse_all};
use crate::data::Data;

/// Writes one value with its tag, sets and tables in Broker's order.
pub fn encode(data: &Data) -> Bytes {
    write::encode(data)
}

/// Appends one value with its tag to what is there.
pub fn encode_into(data: &Data, out: &mut Vec<u8>) {
    write::put(data, out);
}

/// Reads exactly one value.
///
/// Takes at most 160 bytes of memory per byte of input: values take 32 bytes each and one byte on
/// the wire at least, and a container that grows has its old and new place for a moment.
///
/// # Errors
/// If the bytes are not one value, or are one beyond the limits.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Data, DecodeError> {
    parse_all(bytes, Trailing::Reject, |input| value(input, limits))
}

/// Checks that the bytes are exactly one value, without making it.
///
/// Takes and refuses what [`decode`] does, with the same error. As long as the elements of all sets
/// and tables are in order, as stock writes them, no memory is taken; otherwise the value is
/// decoded, to find repeated elements.
///
/// # Errors
/// If the bytes are not one value, or are one beyond the limits.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    if skip::is_plain(bytes, limits) {
        return Ok(());
    }
    decode(bytes, limits).map(|_| ())
}

/// Appends one value with its tag.
pub(crate) fn put(data: &Data, out: &mut BytesMut) {
    out.extend_from_slice(&encode(data));
}

/// One value, with its own budget of elements.
pub(crate) fn value<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, Data> {
    Reader::new(input, limits).parse(input)
}
