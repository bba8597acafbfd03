//! `Data` ⇄ bytes (WIRE §3).

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use nom::number::complete::{be_i64, be_u64};

use super::{
    DecodeError, DecodeErrorKind, Limits, Parsed, Trailing, byte_string, count, fail, octets,
    parse_all, put_string, tag, u16, varbyte,
};
use crate::data::{Address, Data, Port, Protocol, Subnet, Timespan, Timestamp};

/// Writes one value with its tag, sets and tables in Broker's order.
pub fn encode(data: &Data) -> Bytes {
    let mut out = BytesMut::new();
    put(data, &mut out);
    out.freeze()
}

/// Reads exactly one value.
///
/// # Errors
/// If the bytes are not one value, or are one beyond the limits.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Data, DecodeError> {
    parse_all(bytes, Trailing::Reject, |input| value(input, limits))
}

/// Appends one value with its tag.
pub(crate) fn put(data: &Data, out: &mut BytesMut) {
    out.put_u8(data.tag());
    match data {
        Data::None => {}
        Data::Boolean(value) => out.put_u8(u8::from(*value)),
        Data::Count(value) => out.put_u64(*value),
        Data::Integer(value) => out.put_i64(*value),
        Data::Real(value) => out.put_u64(real_to_bits(*value)),
        Data::String(text) | Data::Enum(text) => put_string(text.as_bytes(), out),
        Data::Address(address) => out.put_slice(&address.octets()),
        Data::Subnet(subnet) => {
            out.put_slice(&subnet.network().octets());
            out.put_u8(subnet.length());
        }
        Data::Port(port) => {
            out.put_u16(port.number);
            out.put_u8(port.protocol.code());
        }
        Data::Timestamp(Timestamp(ns)) | Data::Timespan(Timespan(ns)) => out.put_i64(*ns),
        Data::Set(items) => put_items(items.len(), items, out),
        Data::Table(entries) => {
            varbyte::put(entries.len(), out);
            for (key, value) in entries {
                put(key, out);
                put(value, out);
            }
        }
        Data::Vector(items) => put_items(items.len(), items, out),
    }
}

fn put_items<'a>(count: usize, items: impl IntoIterator<Item = &'a Data>, out: &mut BytesMut) {
    varbyte::put(count, out);
    for item in items {
        put(item, out);
    }
}

/// One value, with its own budget of elements.
pub(crate) fn value<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, Data> {
    Reader {
        depth_left: limits.depth,
        elements_left: limits.elements,
    }
    .value(input)
}

/// Counts down what one value may still use.
struct Reader {
    depth_left: usize,
    elements_left: usize,
}

impl Reader {
    fn value<'a>(&mut self, input: &'a [u8]) -> Parsed<'a, Data> {
        let (rest, kind) = tag(input)?;
        match kind {
            0 => Ok((rest, Data::None)),
            1 => tag(rest).map(|(rest, byte)| (rest, Data::Boolean(byte != 0))),
            2 => be_u64(rest).map(|(rest, value)| (rest, Data::Count(value))),
            3 => be_i64(rest).map(|(rest, value)| (rest, Data::Integer(value))),
            4 => be_u64(rest).map(|(rest, bits)| (rest, Data::Real(real_from_bits(bits)))),
            5 => byte_string(rest).map(|(rest, text)| (rest, Data::String(text))),
            6 => octets(rest).map(|(rest, ip)| (rest, Data::Address(Address::from_octets(ip)))),
            7 => subnet(rest),
            8 => port(rest),
            9 => be_i64(rest).map(|(rest, ns)| (rest, Data::Timestamp(Timestamp(ns)))),
            10 => be_i64(rest).map(|(rest, ns)| (rest, Data::Timespan(Timespan(ns)))),
            11 => byte_string(rest).map(|(rest, name)| (rest, Data::Enum(name))),
            12 => self.nested(rest, Self::set),
            13 => self.nested(rest, Self::table),
            14 => self.nested(rest, Self::vector),
            tag => fail(
                input,
                DecodeErrorKind::UnknownTag {
                    what: "value tag",
                    tag,
                },
            ),
        }
    }

    fn nested<'a>(
        &mut self,
        input: &'a [u8],
        container: fn(&mut Self, &'a [u8]) -> Parsed<'a, Data>,
    ) -> Parsed<'a, Data> {
        if self.depth_left == 0 {
            return fail(input, DecodeErrorKind::TooDeep);
        }
        self.depth_left -= 1;
        let parsed = container(self, input);
        self.depth_left += 1;
        parsed
    }

    fn announced<'a>(&mut self, input: &'a [u8], min_size: usize) -> Parsed<'a, usize> {
        let (rest, count) = count(input, min_size)?;
        match self.elements_left.checked_sub(count) {
            Some(left) => self.elements_left = left,
            None => return fail(input, DecodeErrorKind::TooMany),
        }
        Ok((rest, count))
    }

    fn set<'a>(&mut self, input: &'a [u8]) -> Parsed<'a, Data> {
        let (mut rest, count) = self.announced(input, 1)?;
        let mut items = BTreeSet::new();
        for _ in 0..count {
            let (after, item) = self.value(rest)?;
            if !items.insert(item) {
                return fail(rest, DecodeErrorKind::Duplicate);
            }
            rest = after;
        }
        Ok((rest, Data::Set(items)))
    }

    fn table<'a>(&mut self, input: &'a [u8]) -> Parsed<'a, Data> {
        let (mut rest, count) = self.announced(input, 2)?;
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let (after_key, key) = self.value(rest)?;
            let (after, value) = self.value(after_key)?;
            if entries.insert(key, value).is_some() {
                return fail(rest, DecodeErrorKind::Duplicate);
            }
            rest = after;
        }
        Ok((rest, Data::Table(entries)))
    }

    fn vector<'a>(&mut self, input: &'a [u8]) -> Parsed<'a, Data> {
        let (mut rest, count) = self.announced(input, 1)?;
        // The announced count may claim far more memory than the input has bytes.
        let mut items = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            let (after, item) = self.value(rest)?;
            items.push(item);
            rest = after;
        }
        Ok((rest, Data::Vector(items)))
    }
}

fn subnet(input: &[u8]) -> Parsed<'_, Data> {
    let (rest, network) = octets(input)?;
    let (rest, length) = tag(rest)?;
    match Subnet::new(Address::from_octets(network), length) {
        Ok(subnet) => Ok((rest, Data::Subnet(subnet))),
        Err(error) => fail(input, DecodeErrorKind::SubnetLength(error.length)),
    }
}

fn port(input: &[u8]) -> Parsed<'_, Data> {
    let (rest, number) = u16(input)?;
    let (after, code) = tag(rest)?;
    match Protocol::from_code(code) {
        Some(protocol) => Ok((after, Data::Port(Port { number, protocol }))),
        None => fail(
            rest,
            DecodeErrorKind::UnknownTag {
                what: "port protocol",
                tag: code,
            },
        ),
    }
}

const SIGN: u64 = 1 << 63;
const PLUS_INFINITY: u64 = 0xfff0_0000_0000_0000;
const MINUS_INFINITY: u64 = 0x7ff0_0000_0000_0000;
const NAN: u64 = u64::MAX;
const EXPONENT: u64 = 0x7ff0_0000_0000_0000;

/// Broker's bits for a real: the infinities are swapped, every NaN is all ones (WIRE §3.4).
/// Subnormal numbers become a zero of their sign, since stock's own bytes for them mean nothing.
fn real_to_bits(value: f64) -> u64 {
    if value.is_nan() {
        return NAN;
    }
    if value.is_infinite() {
        return if value > 0.0 {
            PLUS_INFINITY
        } else {
            MINUS_INFINITY
        };
    }
    let bits = value.to_bits();
    if value.is_subnormal() {
        bits & SIGN
    } else {
        bits
    }
}

/// The real that stock reads from these bits (WIRE §3.4).
fn real_from_bits(bits: u64) -> f64 {
    let exponent = bits & EXPONENT;
    if bits == NAN {
        return f64::NAN;
    }
    if exponent == EXPONENT {
        let minus = bits == MINUS_INFINITY || (bits != PLUS_INFINITY && bits & SIGN != 0);
        return if minus {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    if exponent == 0 && bits & !SIGN != 0 {
        // Stock takes the fraction of a subnormal for one with a leading one.
        let normal = f64::from_bits(bits | (1 << 52));
        return normal / 2.0;
    }
    f64::from_bits(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8], limits: &Limits) -> DecodeErrorKind {
        decode(bytes, limits).unwrap_err().kind
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let limits = Limits {
            depth: 3,
            ..Limits::default()
        };
        assert!(decode(&[14, 1, 14, 1, 14, 1, 0], &limits).is_ok());
        assert_eq!(
            kind(&[14, 1, 14, 1, 14, 1, 14, 0], &limits),
            DecodeErrorKind::TooDeep
        );
    }

    #[test]
    fn elements_are_counted_over_all_containers() {
        let limits = Limits {
            elements: 3,
            ..Limits::default()
        };
        assert!(decode(&[14, 2, 14, 1, 0, 0], &limits).is_ok());
        assert_eq!(
            kind(&[14, 2, 14, 1, 0, 14, 1, 0], &limits),
            DecodeErrorKind::TooMany
        );
    }

    #[test]
    fn a_count_beyond_the_input_is_refused_before_allocating() {
        let error = decode(&[14, 0xff, 0xff, 0xff, 0xff, 0x0f], &Limits::default()).unwrap_err();
        let kind = DecodeErrorKind::SizeExceedsInput {
            announced: 0xffff_ffff,
            left: 0,
        };
        assert_eq!(error, DecodeError { offset: 1, kind });
        assert_eq!(
            error.to_string(),
            "announced size 4294967295 exceeds the 0 bytes left at byte 1"
        );
    }

    #[test]
    fn subnets_out_of_range_are_refused_and_host_bits_masked() {
        let mut v4 = vec![
            7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 9, 77, 120,
        ];
        let want = Data::Subnet(Subnet::new("192.168.9.0".parse().unwrap(), 120).unwrap());
        assert_eq!(decode(&v4, &Limits::default()), Ok(want));
        v4[17] = 24;
        assert_eq!(
            kind(&v4, &Limits::default()),
            DecodeErrorKind::SubnetLength(24)
        );
    }

    #[test]
    fn odd_reals_are_read_as_stock_reads_them() {
        assert_eq!(real_from_bits(0x7ff8_0000_0000_0000), f64::INFINITY);
        assert_eq!(real_from_bits(0xfff8_0000_0000_0000), f64::NEG_INFINITY);
        assert_eq!(real_to_bits(5e-324), 0);
        assert_eq!(real_to_bits(-5e-324), SIGN);
        let subnormal = real_from_bits(1);
        assert!((1.1e-308..1.2e-308).contains(&subnormal), "{subnormal:e}");
    }
}
