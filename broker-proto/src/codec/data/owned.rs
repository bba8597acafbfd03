//! Bytes to `Data`. Most of what a peering spends on a message is spent here, so the reader walks
//! a slice in straight lines instead of combining parsers.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;

use super::real::real_from_bits;
use super::skip::{SET, TABLE, VECTOR, short_string};
use crate::codec::{DecodeErrorKind, Limits, ParseError, Parsed, count, string};
use crate::data::{
    Address, ByteString, Data, Port, Protocol, Set, Subnet, Table, Timespan, Timestamp,
};

/// Reads one value, and counts down what it may still use.
///
/// What is left of the input goes from hand to hand, as an argument and a result, so that it stays
/// in registers. Values are written where they stay: one that is returned is copied right after it
/// was written, in pieces of another size, and processors wait for that.
pub(super) struct Reader {
    depth_left: usize,
    elements_left: usize,
    /// Places that containers may still reserve before their elements are there. Each element has
    /// at least one byte, so reservations never exceed what an honest input of this length needs.
    places_left: usize,
    error: Option<ParseError>,
}

/// The reader's `error` says why.
struct Failed;

type Read<T> = Result<T, Failed>;

/// Where a value goes. Nothing is there yet, so nothing is dropped when it is filled, which would
/// take as long as reading does. What was read is dropped by whoever holds the place.
type Place = ManuallyDrop<Data>;

const EMPTY: Place = Place::new(Data::None);
// In one piece each, to be copied so.
const STRING: Place = Place::new(Data::String(ByteString::EMPTY));
const ENUM: Place = Place::new(Data::Enum(ByteString::EMPTY));

impl Reader {
    pub(super) fn new(input: &[u8], limits: &Limits) -> Self {
        Self {
            depth_left: limits.depth,
            elements_left: limits.elements,
            places_left: input.len(),
            error: None,
        }
    }

    pub(super) fn parse<'a>(&mut self, input: &'a [u8]) -> Parsed<'a, Data> {
        let mut rest = input;
        match self.next(&mut rest) {
            Ok(data) => Ok((rest, data)),
            Err(Failed) => {
                let error = self.error.take().expect("a failed reader says why");
                Err(nom::Err::Failure(error))
            }
        }
    }

    /// How many more elements the limits allow.
    pub(super) fn elements_left(&self) -> usize {
        self.elements_left
    }

    /// Reads one value to its place.
    #[inline(always)]
    fn value<'a>(&mut self, input: &'a [u8], place: &mut Place) -> Read<&'a [u8]> {
        let ([tag], rest) = self.octets(input)?;
        match tag {
            0 => Ok(rest),
            1 => self.scalar(rest, place, |[byte]| Data::Boolean(byte != 0)),
            2 => self.scalar(rest, place, |n| Data::Count(u64::from_be_bytes(n))),
            3 => self.scalar(rest, place, |n| Data::Integer(i64::from_be_bytes(n))),
            4 => self.scalar(rest, place, |n| {
                Data::Real(real_from_bits(u64::from_be_bytes(n)))
            }),
            5 => {
                *place = STRING;
                self.text(rest, place)
            }
            6 => self.scalar(rest, place, |n| Data::Address(Address::from_octets(n))),
            7 => self.subnet(rest, place),
            8 => self.port(rest, place),
            9 => self.scalar(rest, place, |n| {
                Data::Timestamp(Timestamp(i64::from_be_bytes(n)))
            }),
            10 => self.scalar(rest, place, |n| {
                Data::Timespan(Timespan(i64::from_be_bytes(n)))
            }),
            11 => {
                *place = ENUM;
                self.text(rest, place)
            }
            SET => self.set(rest, place),
            TABLE => self.table(rest, place),
            VECTOR => self.vector(rest, place),
            tag => {
                let what = "value tag";
                self.fail(input, DecodeErrorKind::UnknownTag { what, tag })
            }
        }
    }

    /// Reads a value of fixed length.
    #[inline(always)]
    fn scalar<'a, const N: usize>(
        &mut self,
        input: &'a [u8],
        place: &mut Place,
        value: impl FnOnce([u8; N]) -> Data,
    ) -> Read<&'a [u8]> {
        let (bytes, rest) = self.octets(input)?;
        *place = Place::new(value(bytes));
        Ok(rest)
    }

    #[inline(always)]
    fn octets<'a, const N: usize>(&mut self, input: &'a [u8]) -> Read<([u8; N], &'a [u8])> {
        match input.split_first_chunk() {
            Some((bytes, rest)) => Ok((*bytes, rest)),
            None => self.fail(input, DecodeErrorKind::Truncated),
        }
    }

    /// Reads the text of a string or enum value whose place has none yet.
    #[inline(always)]
    fn text<'a>(&mut self, input: &'a [u8], place: &mut Place) -> Read<&'a [u8]> {
        let (Data::String(text) | Data::Enum(text)) = &mut **place else {
            return Ok(input);
        };
        // Nearly every length is one byte.
        if let Some((&len, rest)) = input.split_first()
            && len < 0x80
            && let Some(after) = rest.get(len.into()..)
        {
            text.set_start(rest, len);
            return Ok(after);
        }
        let (rest, bytes) = self.take(string(input))?;
        text.set(bytes);
        Ok(rest)
    }

    fn subnet<'a>(&mut self, input: &'a [u8], place: &mut Place) -> Read<&'a [u8]> {
        let (octets, rest) = self.octets(input)?;
        let ([length], rest) = self.octets(rest)?;
        match Subnet::new(Address::from_octets(octets), length) {
            Ok(subnet) => *place = Place::new(Data::Subnet(subnet)),
            Err(error) => return self.fail(input, DecodeErrorKind::SubnetLength(error.length)),
        }
        Ok(rest)
    }

    #[inline(always)]
    fn port<'a>(&mut self, input: &'a [u8], place: &mut Place) -> Read<&'a [u8]> {
        let (number, at) = self.octets(input)?;
        let number = u16::from_be_bytes(number);
        let ([tag], rest) = self.octets(at)?;
        let Some(protocol) = Protocol::from_code(tag) else {
            let what = "port protocol";
            return self.fail(at, DecodeErrorKind::UnknownTag { what, tag });
        };
        *place = Place::new(Data::Port(Port { number, protocol }));
        Ok(rest)
    }

    fn vector<'a>(&mut self, input: &'a [u8], place: &mut Place) -> Read<&'a [u8]> {
        let (rest, count) = self.enter(input, 1)?;
        let mut items = self.places(count);
        let read = self.elements(rest, &mut items, count);
        let items = filled(items);
        let rest = read?;
        *place = Place::new(Data::Vector(items));
        self.depth_left += 1;
        Ok(rest)
    }

    #[inline(always)]
    fn elements<'a>(
        &mut self,
        mut rest: &'a [u8],
        items: &mut Vec<Place>,
        count: usize,
    ) -> Read<&'a [u8]> {
        for place in items.iter_mut() {
            rest = self.value(rest, place)?;
        }
        if items.len() < count {
            rest = self.more(rest, items, count)?;
        }
        Ok(rest)
    }

    /// Goes on with a vector that got fewer places than it has elements.
    #[cold]
    fn more<'a>(
        &mut self,
        mut rest: &'a [u8],
        items: &mut Vec<Place>,
        count: usize,
    ) -> Read<&'a [u8]> {
        while items.len() < count {
            items.push(Place::new(self.next(&mut rest)?));
        }
        Ok(rest)
    }

    fn set<'a>(&mut self, input: &'a [u8], place: &mut Place) -> Read<&'a [u8]> {
        let (mut rest, count) = self.enter(input, 1)?;
        let mut items = self.places(count);
        let read = self.ascending::<1>(&mut rest, items.as_chunks_mut().0);
        let items = filled(items);
        let set = match read? {
            None if items.len() == count => Set::from_ascending(items),
            odd => {
                let odd = odd.unwrap_or((items.len(), rest));
                self.unsorted_set(items, odd, &mut rest, count)?
            }
        };
        *place = Place::new(Data::Set(set));
        self.depth_left += 1;
        Ok(rest)
    }

    fn table<'a>(&mut self, input: &'a [u8], place: &mut Place) -> Read<&'a [u8]> {
        let (mut rest, count) = self.enter(input, 2)?;
        let mut flat = self.places(2 * count);
        let read = self.ascending::<2>(&mut rest, flat.as_chunks_mut().0);
        let flat = filled(flat);
        let table = match read? {
            None if flat.len() == 2 * count => Table::from_ascending(flat),
            odd => {
                let odd = odd.unwrap_or((flat.len() / 2, rest));
                self.unsorted_table(flat, odd, &mut rest, count)?
            }
        };
        *place = Place::new(Data::Table(table));
        self.depth_left += 1;
        Ok(rest)
    }

    /// Reads elements, each an item or a key and its value, while they are in ascending order. If
    /// one is not, the last thing read is that one; returns how many were read by then, and where
    /// it was.
    #[inline(always)]
    fn ascending<'a, const N: usize>(
        &mut self,
        rest: &mut &'a [u8],
        elements: &mut [[Place; N]],
    ) -> Read<Option<(usize, &'a [u8])>> {
        let mut last: Option<Key<'_, '_>> = None;
        for (n, element) in elements.iter_mut().enumerate() {
            let at = *rest;
            for place in element.iter_mut() {
                *rest = self.value(rest, place)?;
            }
            let Some(data) = element.first() else {
                continue;
            };
            let key = Key { at, data };
            match last.map_or(Ordering::Less, |last| last.cmp(key)) {
                Ordering::Less => last = Some(key),
                Ordering::Equal => return self.fail(at, DecodeErrorKind::Duplicate),
                Ordering::Greater => return Ok(Some((n + 1, at))),
            }
        }
        Ok(None)
    }

    /// Goes on with a set whose last item was not in order, or that got fewer places than it has
    /// items.
    #[cold]
    fn unsorted_set<'a>(
        &mut self,
        mut read: Vec<Data>,
        (taken, at): (usize, &'a [u8]),
        rest: &mut &'a [u8],
        count: usize,
    ) -> Read<Set> {
        read.truncate(taken);
        let mut items: BTreeSet<Data> = read.into_iter().collect();
        if items.len() < taken {
            return self.fail(at, DecodeErrorKind::Duplicate);
        }
        for _ in taken..count {
            let at = *rest;
            if !items.insert(self.next(rest)?) {
                return self.fail(at, DecodeErrorKind::Duplicate);
            }
        }
        Ok(items.into())
    }

    /// Goes on with a table whose last key was not in order, or that got fewer places than it has
    /// entries.
    #[cold]
    fn unsorted_table<'a>(
        &mut self,
        mut read: Vec<Data>,
        (taken, at): (usize, &'a [u8]),
        rest: &mut &'a [u8],
        count: usize,
    ) -> Read<Table> {
        read.truncate(2 * taken);
        let mut entries = BTreeMap::new();
        let mut read = read.into_iter();
        while let (Some(key), Some(value)) = (read.next(), read.next()) {
            entries.insert(key, value);
        }
        if entries.len() < taken {
            return self.fail(at, DecodeErrorKind::Duplicate);
        }
        for _ in taken..count {
            let at = *rest;
            let (key, value) = (self.next(rest)?, self.next(rest)?);
            if entries.insert(key, value).is_some() {
                return self.fail(at, DecodeErrorKind::Duplicate);
            }
        }
        Ok(entries.into())
    }

    /// Reads one value that has no place yet.
    fn next(&mut self, rest: &mut &[u8]) -> Read<Data> {
        let mut place = EMPTY;
        *rest = self.value(rest, &mut place)?;
        Ok(Place::into_inner(place))
    }

    /// Reads how many elements of at least `min_size` bytes a container has, and goes one level
    /// down.
    #[inline]
    fn enter<'a>(&mut self, input: &'a [u8], min_size: usize) -> Read<(&'a [u8], usize)> {
        match self.depth_left.checked_sub(1) {
            Some(left) => self.depth_left = left,
            None => return self.fail(input, DecodeErrorKind::TooDeep),
        }
        let (rest, count) = match input.split_first() {
            // Nearly every count is one byte.
            Some((&byte, rest)) if byte < 0x80 && usize::from(byte) <= rest.len() / min_size => {
                (rest, byte.into())
            }
            Some(_) | None => self.take(count(input, min_size))?,
        };
        match self.elements_left.checked_sub(count) {
            Some(left) => self.elements_left = left,
            None => return self.fail(input, DecodeErrorKind::TooMany),
        }
        Ok((rest, count))
    }

    /// Places for so many values, as far as the input can still hold them.
    #[inline]
    fn places(&mut self, count: usize) -> Vec<Place> {
        let count = count.min(self.places_left);
        self.places_left -= count;
        let mut places = Vec::with_capacity(count);
        places.resize_with(count, || EMPTY);
        places
    }

    #[inline]
    fn take<'a, T>(&mut self, parsed: Parsed<'a, T>) -> Read<(&'a [u8], T)> {
        match parsed {
            Ok((rest, value)) => Ok((rest, value)),
            Err(nom::Err::Error(error) | nom::Err::Failure(error)) => {
                self.error = Some(error);
                Err(Failed)
            }
            Err(nom::Err::Incomplete(_)) => self.fail(&[], DecodeErrorKind::Truncated),
        }
    }

    #[cold]
    fn fail<T>(&mut self, at: &[u8], kind: DecodeErrorKind) -> Read<T> {
        let left = at.len();
        self.error = Some(ParseError { left, kind });
        Err(Failed)
    }
}

/// Places that hold what they are for. Takes no time: nothing moves.
#[inline]
fn filled(places: Vec<Place>) -> Vec<Data> {
    places.into_iter().map(Place::into_inner).collect()
}

/// An item of a set or a key of a table, and where it was read.
#[derive(Clone, Copy)]
struct Key<'a, 'd> {
    at: &'a [u8],
    data: &'d Data,
}

impl Key<'_, '_> {
    /// Broker's order. Short strings, which most keys are, are compared where they came from:
    /// processors wait for what was just written.
    #[inline(always)]
    fn cmp(self, other: Self) -> Ordering {
        match (short_string(self.at), short_string(other.at)) {
            (Some(a), Some(b)) => a.cmp(b),
            _ => self.data.cmp(other.data),
        }
    }
}
