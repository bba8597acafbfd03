//! Values read where they lie, without copying them (WIRE §3).
//!
//! A [`View`] is a payload that was checked once, as strictly as [`data::decode`] does it; from
//! then on its parts are found by walking the bytes. Neither takes memory per element, and sharing
//! a view shares the payload. For a value whose elements are looked at once or in part this is
//! several times faster than [`Data`]; for random access to large tables `Data` is.
//!
//! ```
//! use broker_proto::codec::Limits;
//! use broker_proto::codec::view::{Value, View};
//!
//! let payload = vec![14, 2, 5, 2, b'h', b'i', 2, 0, 0, 0, 0, 0, 0, 0, 7];
//! let view = View::new(payload.into(), &Limits::default()).unwrap();
//! let Value::Vector(items) = view.value() else { panic!("not a vector") };
//! assert_eq!(items.get(0), Some(Value::String(b"hi")));
//! assert_eq!(items.get(1), Some(Value::Count(7)));
//! ```

use std::fmt;

use bytes::Bytes;

use super::data::skip::{SET, TABLE, VECTOR, after_values, octets, split_size, split_string};
use super::data::{self, real::real_from_bits};
use super::{DecodeError, Limits};
use crate::data::{Address, Data, Port, Protocol, Set, Subnet, Table, Timespan, Timestamp};

/// A payload that is exactly one value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct View(Bytes);

impl View {
    /// Checks a payload. If all its sets and tables are in order, as stock writes them, this takes
    /// no memory; otherwise the payload is decoded once, to find repeated elements.
    ///
    /// # Errors
    /// The same as [`data::decode`] has for these bytes.
    pub fn new(payload: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        data::check(&payload, limits)?;
        Ok(Self(payload))
    }

    /// The same of a value that is not encoded yet.
    pub fn of(data: &Data) -> Self {
        Self(data::encode(data))
    }

    /// The same of what our own encoders wrote.
    pub(crate) fn of_encoded(payload: Bytes) -> Self {
        debug_assert!(data::check(&payload, &UNLIMITED).is_ok());
        Self(payload)
    }

    /// The value.
    pub fn value(&self) -> Value<'_> {
        let mut rest: &[u8] = &self.0;
        Value::take(&mut rest).expect("the payload was checked")
    }

    /// Every value in it, at any depth, in the order on the wire: a container, then all that is in
    /// it. Takes time by the length of the payload. Going down by [`Items`] and [`Entries`] takes
    /// more: what is in a container is walked over once more for each container around it, except
    /// behind a last element.
    pub fn values(&self) -> Values<'_> {
        Values {
            left: 1,
            rest: &self.0,
        }
    }

    /// The whole payload.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The value in owned form, as [`data::decode`] reads it.
    pub fn to_data(&self) -> Data {
        self.value().to_data()
    }
}

/// For what nobody else sent.
const UNLIMITED: Limits = Limits {
    frame: usize::MAX,
    handshake_frame: usize::MAX,
    depth: usize::MAX,
    elements: usize::MAX,
    filter_topics: usize::MAX,
};

/// One value in a [`View`]: scalars as they are, strings and containers in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value.
    None,
    /// True or false.
    Boolean(bool),
    /// Zeek's `count`.
    Count(u64),
    /// Zeek's `int`.
    Integer(i64),
    /// Zeek's `double`.
    Real(f64),
    /// Bytes; usually UTF-8.
    String(&'a [u8]),
    /// An address.
    Address(Address),
    /// A network.
    Subnet(Subnet),
    /// A port.
    Port(Port),
    /// A point in time.
    Timestamp(Timestamp),
    /// A length of time.
    Timespan(Timespan),
    /// The name of an enum value.
    Enum(&'a [u8]),
    /// Distinct values, in the order in which they were sent.
    Set(Items<'a>),
    /// Values by key, in the order in which they were sent.
    Table(Entries<'a>),
    /// Values in order; records travel as vectors too (WIRE §8.6).
    Vector(Items<'a>),
}

impl<'a> Value<'a> {
    /// The text of a string, if this is one and it is UTF-8.
    pub fn as_str(self) -> Option<&'a str> {
        let Self::String(text) = self else {
            return None;
        };
        std::str::from_utf8(text).ok()
    }

    /// Field `n` of a record, or element `n` of any vector; walks over those before it.
    pub fn field(self, n: usize) -> Option<Self> {
        let Self::Vector(items) = self else {
            return None;
        };
        items.get(n)
    }

    /// The value in owned form.
    pub fn to_data(self) -> Data {
        match self {
            Self::None => Data::None,
            Self::Boolean(value) => Data::Boolean(value),
            Self::Count(value) => Data::Count(value),
            Self::Integer(value) => Data::Integer(value),
            Self::Real(value) => Data::Real(value),
            Self::String(text) => Data::string(text),
            Self::Address(value) => Data::Address(value),
            Self::Subnet(value) => Data::Subnet(value),
            Self::Port(value) => Data::Port(value),
            Self::Timestamp(value) => Data::Timestamp(value),
            Self::Timespan(value) => Data::Timespan(value),
            Self::Enum(name) => Data::enum_value(name),
            Self::Set(items) => Data::Set(items.map(Self::to_data).collect::<Set>()),
            Self::Table(entries) => {
                let entries = entries.map(|(key, value)| (key.to_data(), value.to_data()));
                Data::Table(entries.collect::<Table>())
            }
            Self::Vector(items) => Data::Vector(items.map(Self::to_data).collect()),
        }
    }

    /// Takes the value at the start of checked bytes; of a container, only what is before its
    /// elements.
    #[inline(always)]
    fn take(rest: &mut &'a [u8]) -> Option<Self> {
        Some(match tag(rest)? {
            1 => Self::Boolean(octets(rest)? != [0]),
            2 => Self::Count(u64::from_be_bytes(octets(rest)?)),
            3 => Self::Integer(i64::from_be_bytes(octets(rest)?)),
            4 => Self::Real(real_from_bits(u64::from_be_bytes(octets(rest)?))),
            5 => Self::String(split_string(rest)?),
            6 => Self::Address(Address::from_octets(octets(rest)?)),
            7 => {
                let network = Address::from_octets(octets(rest)?);
                Self::Subnet(Subnet::new(network, tag(rest)?).ok()?)
            }
            8 => Self::Port(Port {
                number: u16::from_be_bytes(octets(rest)?),
                protocol: Protocol::from_code(tag(rest)?)?,
            }),
            9 => Self::Timestamp(Timestamp(i64::from_be_bytes(octets(rest)?))),
            10 => Self::Timespan(Timespan(i64::from_be_bytes(octets(rest)?))),
            11 => Self::Enum(split_string(rest)?),
            SET => Self::Set(Items::take(rest)?),
            TABLE => Self::Table(Entries(Items::take(rest)?)),
            VECTOR => Self::Vector(Items::take(rest)?),
            _ => Self::None,
        })
    }

    /// How many values a container has directly in it.
    fn contained(&self) -> Option<usize> {
        match self {
            Self::Set(items) | Self::Vector(items) => Some(items.left),
            Self::Table(Entries(items)) => items.left.checked_mul(2),
            Self::None
            | Self::Boolean(_)
            | Self::Count(_)
            | Self::Integer(_)
            | Self::Real(_)
            | Self::String(_)
            | Self::Address(_)
            | Self::Subnet(_)
            | Self::Port(_)
            | Self::Timestamp(_)
            | Self::Timespan(_)
            | Self::Enum(_) => None,
        }
    }
}

/// What is in a set or vector and has not been taken yet.
#[derive(Clone, Copy)]
pub struct Items<'a> {
    left: usize,
    /// From the next value on; from the one before, if that was a container, whose end is only
    /// looked for if there is something behind it.
    rest: &'a [u8],
    is_inside: bool,
}

impl<'a> Items<'a> {
    fn take(rest: &mut &'a [u8]) -> Option<Self> {
        let left = split_size(rest)?;
        let (rest, is_inside) = (*rest, false);
        Some(Self {
            left,
            rest,
            is_inside,
        })
    }

    /// The `n`th from here; walks over those before it.
    pub fn get(mut self, n: usize) -> Option<Value<'a>> {
        let left = self.left.checked_sub(n)?.checked_sub(1)?;
        self.rest = after_values(self.rest, n + usize::from(self.is_inside))?;
        (self.left, self.is_inside) = (left + 1, false);
        self.next()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The next one, for as long as the caller knows that there is one.
    #[inline]
    fn step(&mut self) -> Option<Value<'a>> {
        if self.is_inside {
            self.rest = after_values(self.rest, 1)?;
        }
        let mut after = self.rest;
        let value = Value::take(&mut after)?;
        self.is_inside = value.contained().is_some();
        if !self.is_inside {
            self.rest = after;
        }
        Some(value)
    }

    /// The bytes of so many values that have not been taken.
    fn bytes(&self, count: usize) -> Option<&'a [u8]> {
        let start = after_values(self.rest, self.is_inside.into())?;
        let end = after_values(start, count)?;
        start.get(..start.len() - end.len())
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        self.step()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl PartialEq for Items<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.left == other.left && self.bytes(self.left) == other.bytes(other.left)
    }
}

impl Eq for Items<'_> {}

impl fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

/// What is in a table and has not been taken yet.
#[derive(Clone, Copy)]
pub struct Entries<'a>(Items<'a>);

impl Entries<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.left
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.left == 0
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Value<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.left = self.0.left.checked_sub(1)?;
        Some((self.0.step()?, self.0.step()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left, Some(self.0.left))
    }
}

impl PartialEq for Entries<'_> {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        a.left == b.left && a.bytes(2 * a.left) == b.bytes(2 * b.left)
    }
}

impl Eq for Entries<'_> {}

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(*self).finish()
    }
}

/// All values in a [`View`] that have not been taken yet.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    left: usize,
    rest: &'a [u8],
}

impl Values<'_> {
    /// How many bytes they are.
    pub fn bytes_left(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        let left = self.left.checked_sub(1)?;
        let value = Value::take(&mut self.rest)?;
        self.left = left.checked_add(value.contained().unwrap_or(0))?;
        Some(value)
    }
}

#[inline(always)]
fn tag(rest: &mut &[u8]) -> Option<u8> {
    octets(rest).map(|[byte]| byte)
}

#[cfg(test)]
mod tests;
