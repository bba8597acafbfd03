//! Bytes to `Data`. Most of what a peering spends on a message is spent here, so the reader walks
//! a slice in straight lines instead of combining parsers.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::real::real_from_bits;
use crate::codec::{DecodeErrorKind, Limits, ParseError, Parsed, count, string};
use crate::data::{
    Address, ByteString, Data, Port, Protocol, Set, Subnet, Table, Timespan, Timestamp,
};

/// Reads one value, and counts down what it may still use.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    depth_left: usize,
    elements_left: usize,
    /// Places that containers may still reserve before their elements are there. Each element has
    /// at least one byte, so reservations never exceed what an honest input of this length needs.
    places_left: usize,
    error: Option<ParseError>,
}

/// The reader's `error` says why.
struct Failed;

/// What a container has in place of values that are still to be read. Most are strings.
const PLACE: Data = Data::String(ByteString::EMPTY);

type Read<T> = Result<T, Failed>;

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8], limits: &Limits) -> Self {
        Self {
            rest: input,
            depth_left: limits.depth,
            elements_left: limits.elements,
            places_left: input.len(),
            error: None,
        }
    }

    pub(super) fn parse(mut self) -> Parsed<'a, Data> {
        let mut data = PLACE;
        if let Ok(()) = self.fill(&mut data) {
            return Ok((self.rest, data));
        }
        let error = self.error.expect("a failed reader says why");
        Err(nom::Err::Failure(error))
    }

    /// Reads one value to its place in a container, which is there unless the input claimed
    /// too much.
    #[inline]
    fn value(&mut self, items: &mut Vec<Data>, at: usize) -> Read<()> {
        if at >= items.len() {
            items.push(PLACE);
        }
        match items.get_mut(at) {
            Some(place) => self.fill(place),
            None => self.fail(self.rest, DecodeErrorKind::TooMany),
        }
    }

    /// Reads one value to where it stays. One that is returned, or handed to `push`, is copied
    /// there right after it was written, in pieces of another size; processors wait for that, and
    /// it took longer than all else together.
    fn fill(&mut self, slot: &mut Data) -> Read<()> {
        let at = self.rest;
        let [tag] = self.octets()?;
        match tag {
            0 => *slot = Data::None,
            1 => {
                let [byte] = self.octets()?;
                *slot = Data::Boolean(byte != 0);
            }
            2 => *slot = Data::Count(u64::from_be_bytes(self.octets()?)),
            3 => *slot = Data::Integer(i64::from_be_bytes(self.octets()?)),
            4 => {
                let bits = u64::from_be_bytes(self.octets()?);
                *slot = Data::Real(real_from_bits(bits));
            }
            // A place is an empty string already.
            5 => self.byte_string(slot)?,
            6 => *slot = Data::Address(Address::from_octets(self.octets()?)),
            7 => *slot = Data::Subnet(self.subnet()?),
            8 => *slot = Data::Port(self.port()?),
            9 => {
                let ns = i64::from_be_bytes(self.octets()?);
                *slot = Data::Timestamp(Timestamp(ns));
            }
            10 => {
                let ns = i64::from_be_bytes(self.octets()?);
                *slot = Data::Timespan(Timespan(ns));
            }
            11 => {
                *slot = Data::Enum(ByteString::EMPTY);
                self.byte_string(slot)?;
            }
            12 => *slot = Data::Set(self.nested(Self::set)?),
            13 => *slot = Data::Table(self.nested(Self::table)?),
            14 => *slot = Data::Vector(self.nested(Self::vector)?),
            tag => {
                let what = "value tag";
                return self.fail(at, DecodeErrorKind::UnknownTag { what, tag });
            }
        }
        Ok(())
    }

    #[inline]
    fn octets<const N: usize>(&mut self) -> Read<[u8; N]> {
        match self.rest.split_first_chunk() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(*bytes)
            }
            None => self.fail(self.rest, DecodeErrorKind::Truncated),
        }
    }

    #[inline(always)]
    fn byte_string(&mut self, slot: &mut Data) -> Read<()> {
        let (Data::String(text) | Data::Enum(text)) = slot else {
            return Ok(());
        };
        // Nearly every length is one byte.
        if let Some((&len, rest)) = self.rest.split_first()
            && len < 0x80
            && let Some(after) = rest.get(len.into()..)
        {
            text.set_start(rest, len);
            self.rest = after;
            return Ok(());
        }
        *text = ByteString::from(self.take(string)?);
        Ok(())
    }

    fn subnet(&mut self) -> Read<Subnet> {
        let at = self.rest;
        let network = Address::from_octets(self.octets()?);
        let [length] = self.octets()?;
        match Subnet::new(network, length) {
            Ok(subnet) => Ok(subnet),
            Err(error) => self.fail(at, DecodeErrorKind::SubnetLength(error.length)),
        }
    }

    fn port(&mut self) -> Read<Port> {
        let number = u16::from_be_bytes(self.octets()?);
        let at = self.rest;
        let [tag] = self.octets()?;
        match Protocol::from_code(tag) {
            Some(protocol) => Ok(Port { number, protocol }),
            None => {
                let what = "port protocol";
                self.fail(at, DecodeErrorKind::UnknownTag { what, tag })
            }
        }
    }

    fn nested<T>(&mut self, container: fn(&mut Self) -> Read<T>) -> Read<T> {
        match self.depth_left.checked_sub(1) {
            Some(left) => self.depth_left = left,
            None => return self.fail(self.rest, DecodeErrorKind::TooDeep),
        }
        let container = container(self)?;
        self.depth_left += 1;
        Ok(container)
    }

    fn set(&mut self) -> Read<Set> {
        let (count, mut items) = self.announced(1, 1)?;
        for n in 0..count {
            let at = self.rest;
            self.value(&mut items, n)?;
            let Some([.., last, item]) = items.get(..=n) else {
                continue;
            };
            match last.cmp(item) {
                Ordering::Less => {}
                Ordering::Equal => return self.fail(at, DecodeErrorKind::Duplicate),
                Ordering::Greater => {
                    items.truncate(n + 1);
                    return self.unsorted_set(items, at, count - n - 1);
                }
            }
        }
        Ok(Set::from_ascending(items))
    }

    /// Goes on with a set whose last item, the one at `at`, turned out not to be in order.
    fn unsorted_set(&mut self, read: Vec<Data>, at: &'a [u8], left: usize) -> Read<Set> {
        let count = read.len();
        let mut items: BTreeSet<Data> = read.into_iter().collect();
        if items.len() < count {
            return self.fail(at, DecodeErrorKind::Duplicate);
        }
        for _ in 0..left {
            let at = self.rest;
            let mut item = PLACE;
            self.fill(&mut item)?;
            if !items.insert(item) {
                return self.fail(at, DecodeErrorKind::Duplicate);
            }
        }
        Ok(items.into())
    }

    fn table(&mut self) -> Read<Table> {
        let (count, mut flat) = self.announced(2, 2)?;
        for n in 0..count {
            let at = self.rest;
            self.value(&mut flat, 2 * n)?;
            self.value(&mut flat, 2 * n + 1)?;
            let Some([.., last, _, key, _]) = flat.get(..2 * n + 2) else {
                continue;
            };
            match last.cmp(key) {
                Ordering::Less => {}
                Ordering::Equal => return self.fail(at, DecodeErrorKind::Duplicate),
                Ordering::Greater => {
                    flat.truncate(2 * n + 2);
                    return self.unsorted_table(flat, at, count - n - 1);
                }
            }
        }
        Ok(Table::from_ascending(flat))
    }

    /// Goes on with a table whose last key, the one at `at`, turned out not to be in order.
    fn unsorted_table(&mut self, read: Vec<Data>, at: &'a [u8], left: usize) -> Read<Table> {
        let count = read.len() / 2;
        let mut entries = BTreeMap::new();
        let mut read = read.into_iter();
        while let (Some(key), Some(value)) = (read.next(), read.next()) {
            entries.insert(key, value);
        }
        if entries.len() < count {
            return self.fail(at, DecodeErrorKind::Duplicate);
        }
        for _ in 0..left {
            let at = self.rest;
            let (mut key, mut value) = (PLACE, PLACE);
            self.fill(&mut key)?;
            self.fill(&mut value)?;
            if entries.insert(key, value).is_some() {
                return self.fail(at, DecodeErrorKind::Duplicate);
            }
        }
        Ok(entries.into())
    }

    fn vector(&mut self) -> Read<Vec<Data>> {
        let (count, mut items) = self.announced(1, 1)?;
        for n in 0..count {
            self.value(&mut items, n)?;
        }
        Ok(items)
    }

    /// A container's count, and places for its elements of `values` values each, as far as the
    /// input can still hold them.
    fn announced(&mut self, min_size: usize, values: usize) -> Read<(usize, Vec<Data>)> {
        let at = self.rest;
        let count = self.take(|input| count(input, min_size))?;
        match self.elements_left.checked_sub(count) {
            Some(left) => self.elements_left = left,
            None => return self.fail(at, DecodeErrorKind::TooMany),
        }
        let places = (count * values).min(self.places_left);
        self.places_left -= places;
        let mut items = Vec::new();
        items.resize_with(places, || PLACE);
        Ok((count, items))
    }

    fn take<T>(&mut self, parser: impl FnOnce(&'a [u8]) -> Parsed<'a, T>) -> Read<T> {
        match parser(self.rest) {
            Ok((rest, value)) => {
                self.rest = rest;
                Ok(value)
            }
            Err(nom::Err::Error(error) | nom::Err::Failure(error)) => {
                self.error = Some(error);
                Err(Failed)
            }
            Err(nom::Err::Incomplete(_)) => self.fail(self.rest, DecodeErrorKind::Truncated),
        }
    }

    #[cold]
    fn fail<T>(&mut self, at: &'a [u8], kind: DecodeErrorKind) -> Read<T> {
        let left = at.len();
        self.error = Some(ParseError { left, kind });
        Err(Failed)
    }
}
