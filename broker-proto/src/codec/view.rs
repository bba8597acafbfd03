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

use bytes::Bytes;

use super::data::skip::{SET, TABLE, VECTOR, split_size, split_string, split_value};
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

    /// The value.
    pub fn value(&self) -> Value<'_> {
        let mut rest: &[u8] = &self.0;
        Value::split(&mut rest).expect("the payload was checked")
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

    /// Takes one value off the start of checked bytes; containers with all that is in them.
    fn split(rest: &mut &'a [u8]) -> Option<Self> {
        let mut content = split_value(rest)?;
        let (&tag, after) = content.split_first()?;
        content = after;
        let number = || content.first_chunk().copied().map(i64::from_be_bytes);
        Some(match tag {
            1 => Self::Boolean(content.first() != Some(&0)),
            2 => Self::Count(number()?.cast_unsigned()),
            3 => Self::Integer(number()?),
            4 => Self::Real(real_from_bits(number()?.cast_unsigned())),
            5 => Self::String(split_string(&mut content)?),
            6 => Self::Address(Address::from_octets(*content.first_chunk()?)),
            7 => {
                let network = Address::from_octets(*content.first_chunk()?);
                Self::Subnet(Subnet::new(network, *content.last()?).ok()?)
            }
            8 => Self::Port(Port {
                number: u16::from_be_bytes(*content.first_chunk()?),
                protocol: Protocol::from_code(*content.last()?)?,
            }),
            9 => Self::Timestamp(Timestamp(number()?)),
            10 => Self::Timespan(Timespan(number()?)),
            11 => Self::Enum(split_string(&mut content)?),
            SET => Self::Set(Items::new(content)?),
            TABLE => Self::Table(Entries(Items::new(content)?)),
            VECTOR => Self::Vector(Items::new(content)?),
            _ => Self::None,
        })
    }
}

/// What is in a set or vector and has not been taken yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Items<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    fn new(mut content: &'a [u8]) -> Option<Self> {
        let left = split_size(&mut content)?;
        let rest = content;
        Some(Self { left, rest })
    }

    /// The `n`th from here; walks over those before it.
    pub fn get(mut self, n: usize) -> Option<Value<'a>> {
        for _ in 0..n.min(self.left) {
            split_value(&mut self.rest)?;
        }
        self.left = self.left.checked_sub(n)?;
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
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        Value::split(&mut self.rest)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// What is in a table and has not been taken yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
        let key = Value::split(&mut self.0.rest)?;
        Some((key, Value::split(&mut self.0.rest)?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left, Some(self.0.left))
    }
}

#[cfg(test)]
mod tests;
