//! Broker's value model (WIRE §3).

pub mod net;
pub mod sorted;
pub mod text;
pub mod time;

use std::cmp::Ordering;

pub use net::{Address, Port, Protocol, Subnet};
pub use sorted::{Set, Table};
pub use text::ByteString;
pub use time::{Timespan, Timestamp};

/// One Broker value.
///
/// The order is Broker's own (WIRE §3.8): sets and tables are written in it, so equal values have
/// equal bytes. Reals compare numerically, both zeros are one key, and NaN sorts after everything
/// else of its kind so that the order is total.
#[derive(Clone, Debug)]
pub enum Data {
    /// No value; an unset record field.
    None,
    /// True or false.
    Boolean(bool),
    /// Zeek's `count`.
    Count(u64),
    /// Zeek's `int`.
    Integer(i64),
    /// Zeek's `double`.
    Real(f64),
    /// Bytes; usually UTF-8, but nobody checks.
    String(ByteString),
    /// An IPv4 or IPv6 address.
    Address(Address),
    /// A network and its prefix length.
    Subnet(Subnet),
    /// A port number with its transport protocol.
    Port(Port),
    /// A point in time.
    Timestamp(Timestamp),
    /// A length of time.
    Timespan(Timespan),
    /// The name of an enum value, as in `Conn::LOG`.
    Enum(ByteString),
    /// Distinct values.
    Set(Set),
    /// Values by key.
    Table(Table),
    /// Values in order; records travel as vectors too (WIRE §8.6).
    Vector(Vec<Self>),
}

impl Data {
    /// A string value.
    pub fn string(text: impl Into<ByteString>) -> Self {
        Self::String(text.into())
    }

    /// An enum value by its full name.
    pub fn enum_value(name: impl Into<ByteString>) -> Self {
        Self::Enum(name.into())
    }

    /// The type's name as stock words it in JSON (`count`, `enum-value`, …).
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Boolean(_) => "boolean",
            Self::Count(_) => "count",
            Self::Integer(_) => "integer",
            Self::Real(_) => "real",
            Self::String(_) => "string",
            Self::Address(_) => "address",
            Self::Subnet(_) => "subnet",
            Self::Port(_) => "port",
            Self::Timestamp(_) => "timestamp",
            Self::Timespan(_) => "timespan",
            Self::Enum(_) => "enum-value",
            Self::Set(_) => "set",
            Self::Table(_) => "table",
            Self::Vector(_) => "vector",
        }
    }

    /// The tag byte on the wire, and the first sort key (WIRE §3.5).
    pub fn tag(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::Boolean(_) => 1,
            Self::Count(_) => 2,
            Self::Integer(_) => 3,
            Self::Real(_) => 4,
            Self::String(_) => 5,
            Self::Address(_) => 6,
            Self::Subnet(_) => 7,
            Self::Port(_) => 8,
            Self::Timestamp(_) => 9,
            Self::Timespan(_) => 10,
            Self::Enum(_) => 11,
            Self::Set(_) => 12,
            Self::Table(_) => 13,
            Self::Vector(_) => 14,
        }
    }
}

impl Ord for Data {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Count(a), Self::Count(b)) => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => cmp_reals(*a, *b),
            (Self::String(a), Self::String(b)) | (Self::Enum(a), Self::Enum(b)) => a.cmp(b),
            (Self::Address(a), Self::Address(b)) => a.cmp(b),
            (Self::Subnet(a), Self::Subnet(b)) => a.cmp(b),
            (Self::Port(a), Self::Port(b)) => a.cmp(b),
            (Self::Timestamp(a), Self::Timestamp(b)) => a.cmp(b),
            (Self::Timespan(a), Self::Timespan(b)) => a.cmp(b),
            (Self::Set(a), Self::Set(b)) => a.cmp(b),
            (Self::Table(a), Self::Table(b)) => a.cmp(b),
            (Self::Vector(a), Self::Vector(b)) => a.cmp(b),
            (a, b) => a.tag().cmp(&b.tag()),
        }
    }
}

impl PartialOrd for Data {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Data {}

/// Numerically; both zeros are equal, and NaN comes last.
pub(crate) fn cmp_reals(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_decides_before_the_value() {
        assert!(Data::Count(5) < Data::Integer(-1));
        assert!(Data::None < Data::Boolean(false));
    }

    #[test]
    fn zeros_are_one_key_and_nan_is_last() {
        assert_eq!(Data::Real(0.0), Data::Real(-0.0));
        assert!(Data::Real(f64::INFINITY) < Data::Real(f64::NAN));
        assert_eq!(Data::Real(f64::NAN), Data::Real(f64::NAN));
    }

    #[test]
    fn a_proper_prefix_comes_first() {
        assert!(Data::string("a") < Data::string("aa"));
        let short = Data::Vector(vec![Data::Count(1)]);
        let long = Data::Vector(vec![Data::Count(1), Data::None]);
        assert!(short < long);
    }
}
