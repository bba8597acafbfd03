//! `Data` to bytes, as fast as reading: values of fixed length in one piece, short strings too.

use bytes::Bytes;

use super::real::real_to_bits;
use super::skip::{SET, TABLE, VECTOR};
use crate::codec::varbyte;
use crate::data::{ByteString, Data, Timespan, Timestamp};

/// Longer than most messages, in bytes, and a size that allocators have at hand.
const TYPICAL_LEN: usize = 1000;

/// Writes one value.
pub(super) fn encode(data: &Data) -> Bytes {
    // Finding out the length first would take as long as writing.
    let mut out = Vec::with_capacity(TYPICAL_LEN);
    put_value(data, &mut out);
    if out.len() <= TYPICAL_LEN {
        // Faster than giving back what was not used of it.
        return Bytes::copy_from_slice(&out);
    }
    out.into_boxed_slice().into()
}

/// Appends one value with its tag.
pub(super) fn put(data: &Data, out: &mut Vec<u8>) {
    put_value(data, out);
}

#[inline(always)]
fn put_value(data: &Data, out: &mut Vec<u8>) {
    match data {
        Data::None => out.push(0),
        Data::Boolean(value) => out.extend_from_slice(&[1, u8::from(*value)]),
        Data::Count(value) => put_eight(2, value.to_be_bytes(), out),
        Data::Integer(value) => put_eight(3, value.to_be_bytes(), out),
        Data::Real(value) => put_eight(4, real_to_bits(*value).to_be_bytes(), out),
        Data::String(text) => put_text(5, text, out),
        Data::Address(address) => {
            out.push(6);
            out.extend_from_slice(&address.octets());
        }
        Data::Subnet(subnet) => {
            out.push(7);
            out.extend_from_slice(&subnet.network().octets());
            out.push(subnet.length());
        }
        Data::Port(port) => {
            let [high, low] = port.number.to_be_bytes();
            out.extend_from_slice(&[8, high, low, port.protocol.code()]);
        }
        Data::Timestamp(Timestamp(ns)) => put_eight(9, ns.to_be_bytes(), out),
        Data::Timespan(Timespan(ns)) => put_eight(10, ns.to_be_bytes(), out),
        Data::Enum(name) => put_text(11, name, out),
        Data::Set(items) => put_container(SET, items.len(), items.as_slice(), out),
        Data::Table(entries) => put_container(TABLE, entries.len(), entries.as_slice(), out),
        Data::Vector(items) => put_container(VECTOR, items.len(), items, out),
    }
}

fn put_container(tag: u8, count: usize, values: &[Data], out: &mut Vec<u8>) {
    put_size(tag, count, out);
    for value in values {
        put_value(value, out);
    }
}

#[inline(always)]
fn put_eight(tag: u8, [a, b, c, d, e, f, g, h]: [u8; 8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[tag, a, b, c, d, e, f, g, h]);
}

#[inline(always)]
fn put_text(tag: u8, text: &ByteString, out: &mut Vec<u8>) {
    let Some((len, bytes)) = text.as_inline() else {
        return put_long_text(tag, text.as_bytes(), out);
    };
    out.extend_from_slice(&[tag, len]);
    let end = out.len() + usize::from(len);
    // All of it and then less: a copy whose length is known beforehand is several times faster.
    out.extend_from_slice(bytes);
    out.truncate(end);
}

fn put_long_text(tag: u8, text: &[u8], out: &mut Vec<u8>) {
    put_size(tag, text.len(), out);
    out.extend_from_slice(text);
}

#[inline]
fn put_size(tag: u8, size: usize, out: &mut Vec<u8>) {
    match u8::try_from(size) {
        Ok(size) if size < 0x80 => out.extend_from_slice(&[tag, size]),
        Ok(_) | Err(_) => {
            out.push(tag);
            varbyte::put(size, out);
        }
    }
}
