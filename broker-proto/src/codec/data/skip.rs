//! Checking encoded values, and walking over checked ones, without making any [`Data`].
//!
//! [`is_plain`] says yes to what is valid beyond doubt: well-formed, within the limits, and every
//! set and table in strictly ascending order, which is how stock writes them. It keeps nothing but
//! a position. Anything else, odd or broken, is left to the owned decoder, whose verdict and whose
//! error are therefore everybody's.
//!
//! [`Data`]: crate::data::Data

use std::cmp::Ordering;

use super::real::real_from_bits;
use crate::codec::{Limits, varbyte};
use crate::data::{Address, Subnet, cmp_reals};

pub(in crate::codec) const SET: u8 = 12;
pub(in crate::codec) const TABLE: u8 = 13;
pub(in crate::codec) const VECTOR: u8 = 14;

/// Whether the bytes are exactly one value within the limits, all in order. A no means nothing.
pub(super) fn is_plain(bytes: &[u8], limits: &Limits) -> bool {
    let mut checker = Checker {
        rest: bytes,
        depth_left: limits.depth,
        elements_left: limits.elements,
    };
    checker.value().is_some() && checker.rest.is_empty()
}

/// Takes one value, tag included, off the start of checked bytes.
pub(in crate::codec) fn split_value<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let start = *rest;
    skip(rest)?;
    start.get(..start.len() - rest.len())
}

/// Takes a size off the start of checked bytes.
pub(in crate::codec) fn split_size(rest: &mut &[u8]) -> Option<usize> {
    if let Some((&byte, after)) = rest.split_first()
        && byte < 0x80
    {
        *rest = after;
        return Some(byte.into());
    }
    let (after, size) = varbyte::parse(rest).ok()?;
    *rest = after;
    Some(size)
}

/// Takes a length and that many bytes off the start of checked bytes.
pub(in crate::codec) fn split_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = split_size(rest)?;
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(text)
}

struct Checker<'a> {
    rest: &'a [u8],
    depth_left: usize,
    elements_left: usize,
}

impl<'a> Checker<'a> {
    fn value(&mut self) -> Option<()> {
        let (&tag, rest) = self.rest.split_first()?;
        self.rest = rest;
        match tag {
            SET => self.nested(1, Self::set),
            TABLE => self.nested(2, Self::table),
            VECTOR => self.nested(1, Self::vector),
            tag => scalar(tag, &mut self.rest),
        }
    }

    fn nested(
        &mut self,
        min_size: usize,
        contents: fn(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        let count = split_size(&mut self.rest)?;
        if count > self.rest.len() / min_size {
            return None;
        }
        self.depth_left = self.depth_left.checked_sub(1)?;
        self.elements_left = self.elements_left.checked_sub(count)?;
        contents(self, count)?;
        self.depth_left += 1;
        Some(())
    }

    fn vector(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            self.value()?;
        }
        Some(())
    }

    fn set(&mut self, count: usize) -> Option<()> {
        let mut last = None;
        for _ in 0..count {
            last = Some(self.ascending(last)?);
        }
        Some(())
    }

    fn table(&mut self, count: usize) -> Option<()> {
        let mut last = None;
        for _ in 0..count {
            last = Some(self.ascending(last)?);
            self.value()?;
        }
        Some(())
    }

    /// Takes an element that comes after the `last` one.
    fn ascending(&mut self, last: Option<&'a [u8]>) -> Option<&'a [u8]> {
        let start = self.rest;
        self.value()?;
        let element = start.get(..start.len() - self.rest.len())?;
        let in_order = last.is_none_or(|last| compare(last, element) == Some(Ordering::Less));
        in_order.then_some(element)
    }
}

/// Takes the content of a value that is no container.
#[inline]
fn scalar(tag: u8, rest: &mut &[u8]) -> Option<()> {
    let size = match tag {
        0 => 0,
        1 => 1,
        2 | 3 | 4 | 9 | 10 => 8,
        5 | 11 => return split_string(rest).map(|_| ()),
        6 => 16,
        7 => {
            let (network, after) = rest.split_first_chunk()?;
            let (&length, after) = after.split_first()?;
            Subnet::new(Address::from_octets(*network), length).ok()?;
            *rest = after;
            0
        }
        8 => {
            let (&[_, _, protocol], after) = rest.split_first_chunk()?;
            *rest = after;
            return (protocol <= 3).then_some(());
        }
        _ => return None,
    };
    *rest = rest.get(size..)?;
    Some(())
}

/// Takes one checked value.
fn skip(rest: &mut &[u8]) -> Option<()> {
    let (&tag, after) = rest.split_first()?;
    *rest = after;
    let values = match tag {
        SET | VECTOR => split_size(rest)?,
        TABLE => split_size(rest)?.checked_mul(2)?,
        tag => return scalar(tag, rest),
    };
    for _ in 0..values {
        skip(rest)?;
    }
    Some(())
}

/// Broker's order of two checked values with everything inside them in order (WIRE §3.8).
fn compare(a: &[u8], b: &[u8]) -> Option<Ordering> {
    let (mut a, mut b) = (a, b);
    compare_next(&mut a, &mut b)
}

/// Compares the values at the start of both, and takes them off if they are equal.
fn compare_next<'a>(a: &mut &'a [u8], b: &mut &'a [u8]) -> Option<Ordering> {
    let (&tag, rest_a) = a.split_first()?;
    let (&other, rest_b) = b.split_first()?;
    if tag != other {
        return Some(tag.cmp(&other));
    }
    (*a, *b) = (rest_a, rest_b);
    Some(match tag {
        1 => boolean(a)?.cmp(&boolean(b)?),
        3 | 9 | 10 => i64::from_be_bytes(octets(a)?).cmp(&i64::from_be_bytes(octets(b)?)),
        4 => cmp_reals(real(a)?, real(b)?),
        5 | 11 => split_string(a)?.cmp(split_string(b)?),
        7 => subnet(a)?.cmp(&subnet(b)?),
        SET | VECTOR => return compare_contents(a, b, 1),
        TABLE => return compare_contents(a, b, 2),
        // Big-endian and unsigned, or nothing at all.
        tag => {
            let (start_a, start_b) = (*a, *b);
            scalar(tag, a)?;
            scalar(tag, b)?;
            let len = start_a.len() - a.len();
            start_a.get(..len)?.cmp(start_b.get(..len)?)
        }
    })
}

fn compare_contents<'a>(a: &mut &'a [u8], b: &mut &'a [u8], values: usize) -> Option<Ordering> {
    let (count_a, count_b) = (split_size(a)?, split_size(b)?);
    for _ in 0..count_a.min(count_b).checked_mul(values)? {
        let order = compare_next(a, b)?;
        if order.is_ne() {
            return Some(order);
        }
    }
    Some(count_a.cmp(&count_b))
}

fn octets<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}

fn boolean(rest: &mut &[u8]) -> Option<bool> {
    octets(rest).map(|[byte]| byte != 0)
}

fn real(rest: &mut &[u8]) -> Option<f64> {
    octets(rest).map(u64::from_be_bytes).map(real_from_bits)
}

fn subnet(rest: &mut &[u8]) -> Option<Subnet> {
    let network = Address::from_octets(octets(rest)?);
    let [length] = octets(rest)?;
    Subnet::new(network, length).ok()
}
