//! `Data` ⇄ bytes (WIRE §3).

mod owned;
pub(super) mod real;
pub(super) mod skip;
#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes};

use self::owned::Reader;
use self::real::real_to_bits;
use super::{DecodeError, Limits, Parsed, Trailing, parse_all, put_string, varbyte};
use crate::data::{Data, Timespan, Timestamp};

/// Writes one value with its tag, sets and tables in Broker's order.
pub fn encode(data: &Data) -> Bytes {
    // Finding out the length first would take as long as growing now and then.
    let mut out = Vec::with_capacity(TYPICAL_LEN);
    put(data, &mut out);
    out.into_boxed_slice().into()
}

/// Longer than most messages, in bytes.
const TYPICAL_LEN: usize = 512;

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

/// Appends one value with its tag. Tag and content go out in one piece where they are short.
pub(crate) fn put(data: &Data, out: &mut impl BufMut) {
    let tag = data.tag();
    match data {
        Data::None => out.put_slice(&[tag]),
        Data::Boolean(value) => out.put_slice(&[tag, u8::from(*value)]),
        Data::Count(value) => put_tagged(tag, value.to_be_bytes(), out),
        Data::Integer(value) => put_tagged(tag, value.to_be_bytes(), out),
        Data::Real(value) => put_tagged(tag, real_to_bits(*value).to_be_bytes(), out),
        Data::String(text) | Data::Enum(text) => put_text(tag, text.as_bytes(), out),
        Data::Address(address) => {
            out.put_slice(&[tag]);
            out.put_slice(&address.octets());
        }
        Data::Subnet(subnet) => {
            out.put_slice(&[tag]);
            out.put_slice(&subnet.network().octets());
            out.put_slice(&[subnet.length()]);
        }
        Data::Port(port) => {
            let [high, low] = port.number.to_be_bytes();
            out.put_slice(&[tag, high, low, port.protocol.code()]);
        }
        Data::Timestamp(Timestamp(ns)) | Data::Timespan(Timespan(ns)) => {
            put_tagged(tag, ns.to_be_bytes(), out);
        }
        Data::Set(items) => {
            put_count(tag, items.len(), out);
            items.iter().for_each(|item| put(item, out));
        }
        Data::Table(entries) => {
            put_count(tag, entries.len(), out);
            for (key, value) in entries {
                put(key, out);
                put(value, out);
            }
        }
        Data::Vector(items) => {
            put_count(tag, items.len(), out);
            items.iter().for_each(|item| put(item, out));
        }
    }
}

#[inline]
fn put_tagged(tag: u8, [a, b, c, d, e, f, g, h]: [u8; 8], out: &mut impl BufMut) {
    out.put_slice(&[tag, a, b, c, d, e, f, g, h]);
}

#[inline]
fn put_text(tag: u8, text: &[u8], out: &mut impl BufMut) {
    match u8::try_from(text.len()) {
        Ok(len) if len < 0x80 => {
            out.put_slice(&[tag, len]);
            out.put_slice(text);
        }
        Ok(_) | Err(_) => {
            out.put_slice(&[tag]);
            put_string(text, out);
        }
    }
}

fn put_count(tag: u8, count: usize, out: &mut impl BufMut) {
    out.put_slice(&[tag]);
    varbyte::put(count, out);
}

/// One value, with its own budget of elements.
pub(crate) fn value<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, Data> {
    Reader::new(input, limits).parse(input)
}
