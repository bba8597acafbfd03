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

pub(in crate::codec) const NONE: u8 = 0;
pub(in crate::codec) const BOOLEAN: u8 = 1;
pub(in crate::codec) const COUNT: u8 = 2;
pub(in crate::codec) const INTEGER: u8 = 3;
pub(in crate::codec) const STRING: u8 = 5;
pub(in crate::codec) const PORT: u8 = 8;
pub(in crate::codec) const ENUM: u8 = 11;
pub(in crate::codec) const SET: u8 = 12;
pub(in crate::codec) const TABLE: u8 = 13;
pub(in crate::codec) const VECTOR: u8 = 14;

/// Whether the bytes are exactly one value within the limits, all in order. A no means nothing.
pub(super) fn is_plain(bytes: &[u8], limits: &Limits) -> bool {
    let mut checker = Checker {
        depth_left: limits.depth,
        elements_left: limits.elements,
    };
    checker.value(bytes).is_some_and(<[u8]>::is_empty)
}

/// Takes a size off the start of checked bytes.
#[inline(always)]
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
#[inline(always)]
pub(in crate::codec) fn split_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = split_size(rest)?;
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(text)
}

/// What a value may still use. What is left of the input goes from hand to hand.
struct Checker {
    depth_left: usize,
    elements_left: usize,
}

impl Checker {
    /// What follows the value at the start of `input`.
    #[inline(always)]
    fn value<'a>(&mut self, input: &'a [u8]) -> Option<&'a [u8]> {
        let (&tag, rest) = input.split_first()?;
        match tag {
            SET => self.ascending(rest, 1),
            TABLE => self.ascending(rest, 2),
            VECTOR => self.vector(rest),
            tag => after_scalar(tag, rest),
        }
    }

    fn vector<'a>(&mut self, input: &'a [u8]) -> Option<&'a [u8]> {
        let (mut rest, count) = self.enter(input, 1)?;
        for _ in 0..count {
            rest = self.value(rest)?;
        }
        self.depth_left += 1;
        Some(rest)
    }

    /// Elements of one or two values, of which the first ones are in ascending order.
    fn ascending<'a>(&mut self, input: &'a [u8], values: usize) -> Option<&'a [u8]> {
        let (mut rest, count) = self.enter(input, values)?;
        let mut last = None;
        for _ in 0..count {
            let at = rest;
            rest = self.value(at)?;
            let first = at.get(..at.len() - rest.len())?;
            if values == 2 {
                rest = self.value(rest)?;
            }
            if last.is_some_and(|last| compare(last, first) != Some(Ordering::Less)) {
                return None;
            }
            last = Some(first);
        }
        self.depth_left += 1;
        Some(rest)
    }

    #[inline(always)]
    fn enter<'a>(&mut self, input: &'a [u8], min_size: usize) -> Option<(&'a [u8], usize)> {
        let mut rest = input;
        let count = split_size(&mut rest)?;
        if count > rest.len() / min_size {
            return None;
        }
        self.depth_left = self.depth_left.checked_sub(1)?;
        self.elements_left = self.elements_left.checked_sub(count)?;
        Some((rest, count))
    }
}

/// What follows the content of a value that is no container.
#[inline(always)]
fn after_scalar(tag: u8, rest: &[u8]) -> Option<&[u8]> {
    match tag {
        0 => Some(rest),
        1 => rest.get(1..),
        2 | 3 | 4 | 9 | 10 => rest.get(8..),
        5 | 11 => after_text(rest),
        6 => rest.get(16..),
        7 => after_subnet(rest),
        8 => {
            let (&[_, _, protocol], after) = rest.split_first_chunk()?;
            (protocol <= 3).then_some(after)
        }
        _ => None,
    }
}

#[inline(always)]
fn after_text(rest: &[u8]) -> Option<&[u8]> {
    // Nearly every length is one byte.
    if let Some((&len, rest)) = rest.split_first()
        && len < 0x80
    {
        return rest.get(len.into()..);
    }
    let mut rest = rest;
    split_string(&mut rest)?;
    Some(rest)
}

fn after_subnet(rest: &[u8]) -> Option<&[u8]> {
    let (network, after) = rest.split_first_chunk()?;
    let (&length, after) = after.split_first()?;
    Subnet::new(Address::from_octets(*network), length).ok()?;
    Some(after)
}

/// The text of a string of less than 128 bytes, if that is what the input starts with.
#[inline(always)]
pub(super) fn short_string(input: &[u8]) -> Option<&[u8]> {
    let (&[tag, len], rest) = input.split_first_chunk()?;
    (tag == 5 && len < 0x80).then(|| rest.get(..len.into()))?
}

/// What follows so many checked values.
pub(in crate::codec) fn after_values(mut rest: &[u8], count: usize) -> Option<&[u8]> {
    let mut left = count;
    while let Some(less) = left.checked_sub(1) {
        left = less;
        let (&tag, after) = rest.split_first()?;
        rest = after;
        match tag {
            SET | VECTOR => left = left.checked_add(split_size(&mut rest)?)?,
            TABLE => left = left.checked_add(split_size(&mut rest)?.checked_mul(2)?)?,
            tag => rest = after_scalar(tag, rest)?,
        }
    }
    Some(rest)
}

/// Broker's order of two checked values with everything inside them in order (WIRE §3.8).
#[inline(always)]
fn compare(a: &[u8], b: &[u8]) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (short_string(a), short_string(b)) {
        return Some(a.cmp(b));
    }
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
            *a = after_scalar(tag, a)?;
            *b = after_scalar(tag, b)?;
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

/// Takes so many bytes off the start.
#[inline(always)]
pub(in crate::codec) fn octets<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
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
