//! Typed values over [`Data`]: conversions, and records and enums by declaration (WIRE §8.6).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::codec::data::{encode_into, pieces};
use crate::data::{Address, ByteString, Data, Port, Timespan};

/// Why a value is not of the type it should have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConvertError {
    path: Vec<String>,
    problem: String,
}

impl ConvertError {
    /// A value of another type than `expected`.
    pub fn wrong_type(expected: &'static str, got: &Data) -> Self {
        Self::other(format!("expected {expected}, got {}", got.type_name()))
    }

    /// Any other problem, in words.
    pub fn other(problem: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            problem: problem.into(),
        }
    }

    /// The same error seen from the container that has the value as `part`.
    #[must_use]
    pub fn within(mut self, part: impl Into<String>) -> Self {
        self.path.push(part.into());
        self
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.path.iter().rev() {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ConvertError {}

/// A type that can be read from a Broker value.
pub trait FromData: Sized {
    /// Reads the value. Conversion is strict: an integer is no count (WIRE §8.6).
    ///
    /// # Errors
    /// If the value has another type or content.
    fn from_data(data: Data) -> Result<Self, ConvertError>;

    /// The value of a record field that the sender's shorter layout does not have; `None` if the
    /// field is mandatory.
    fn absent() -> Option<Self> {
        None
    }
}

/// A type that can be written as a Broker value.
pub trait ToData: Sized {
    /// The value.
    fn into_data(self) -> Data;

    /// Appends the value's bytes with its tag, as [`encode_into`] writes what [`Self::into_data`]
    /// makes. Types that are written often do without that.
    fn put(self, out: &mut Vec<u8>) {
        encode_into(&self.into_data(), out);
    }
}

impl FromData for Data {
    fn from_data(data: Data) -> Result<Self, ConvertError> {
        Ok(data)
    }
}

impl ToData for Data {
    fn into_data(self) -> Data {
        self
    }
}

macro_rules! scalar {
    ($ty:ty, $variant:ident, $name:literal $(, $put:expr)?) => {
        impl FromData for $ty {
            fn from_data(data: Data) -> Result<Self, ConvertError> {
                let Data::$variant(value) = data else {
                    return Err(ConvertError::wrong_type($name, &data));
                };
                Ok(value)
            }
        }

        impl ToData for $ty {
            fn into_data(self) -> Data {
                Data::$variant(self)
            }

            $( fn put(self, out: &mut Vec<u8>) {
                ($put)(self, out);
            } )?
        }
    };
}

scalar!(bool, Boolean, "boolean", pieces::put_boolean);
scalar!(u64, Count, "count", pieces::put_count);
scalar!(i64, Integer, "integer", pieces::put_integer);
scalar!(Address, Address, "address");
scalar!(Port, Port, "port", pieces::put_port);
scalar!(Timespan, Timespan, "timespan");
scalar!(ByteString, String, "string");

impl FromData for String {
    fn from_data(data: Data) -> Result<Self, ConvertError> {
        let text = ByteString::from_data(data)?;
        let text = Self::from_utf8(text.into());
        text.map_err(|_| ConvertError::other("string is not UTF-8"))
    }
}

impl ToData for String {
    fn into_data(self) -> Data {
        Data::string(self)
    }

    fn put(self, out: &mut Vec<u8>) {
        pieces::put_string(&self, out);
    }
}

impl<T: FromData> FromData for Option<T> {
    fn from_data(data: Data) -> Result<Self, ConvertError> {
        if matches!(data, Data::None) {
            Ok(None)
        } else {
            T::from_data(data).map(Some)
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: ToData> ToData for Option<T> {
    fn into_data(self) -> Data {
        self.map_or(Data::None, ToData::into_data)
    }

    fn put(self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.put(out),
            None => pieces::put_none(out),
        }
    }
}

impl<T: FromData> FromData for Vec<T> {
    fn from_data(data: Data) -> Result<Self, ConvertError> {
        let Data::Vector(items) = data else {
            return Err(ConvertError::wrong_type("vector", &data));
        };
        let items = items.into_iter().enumerate();
        items
            .map(|(i, item)| T::from_data(item).map_err(|e| e.within(format!("element {i}"))))
            .collect()
    }
}

impl<T: ToData> ToData for Vec<T> {
    fn into_data(self) -> Data {
        Data::Vector(self.into_iter().map(ToData::into_data).collect())
    }

    fn put(self, out: &mut Vec<u8>) {
        pieces::put_vector(self.len(), out);
        for item in self {
            item.put(out);
        }
    }
}

impl<T: FromData + Ord> FromData for BTreeSet<T> {
    fn from_data(data: Data) -> Result<Self, ConvertError> {
        let Data::Set(items) = data else {
            return Err(ConvertError::wrong_type("set", &data));
        };
        items
            .into_iter()
            .map(|item| T::from_data(item).map_err(|e| e.within("member")))
            .collect()
    }
}

impl<T: ToData> ToData for BTreeSet<T> {
    fn into_data(self) -> Data {
        Data::Set(self.into_iter().map(ToData::into_data).collect())
    }
}

impl<K: FromData + Ord, V: FromData> FromData for BTreeMap<K, V> {
    fn from_data(data: Data) -> Result<Self, ConvertError> {
        let Data::Table(entries) = data else {
            return Err(ConvertError::wrong_type("table", &data));
        };
        let mut map = Self::new();
        for (key, value) in entries {
            let key = K::from_data(key).map_err(|e| e.within("key"))?;
            map.insert(key, V::from_data(value).map_err(|e| e.within("value"))?);
        }
        Ok(map)
    }
}

impl<K: ToData, V: ToData> ToData for BTreeMap<K, V> {
    fn into_data(self) -> Data {
        Data::Table(
            self.into_iter()
                .map(|(k, v)| (k.into_data(), v.into_data()))
                .collect(),
        )
    }
}

/// Declares a Zeek record: fields by position, `Option` for `&optional`, `= expr` for `&default`.
///
/// Reading takes surplus elements silently, nil in a defaulted field as its default, and missing
/// trailing elements only where the field is optional or defaulted; any other missing element is an
/// error that names the field (API §1.2).
///
/// ```
/// broker_proto::zeek_record! {
///     /// A cluster node.
///     pub struct Node("Example::Node") {
///         /// Its name.
///         pub name: String,
///         /// Where it listens.
///         pub p: Option<u64>,
///         /// Its scripts.
///         pub scripts: Vec<String> = Vec::new(),
///     }
/// }
/// # use broker_proto::{Data, zeek::FromData};
/// let short = Node::from_data(Data::Vector(vec![Data::string("a")]));
/// assert_eq!(short, Ok(Node { name: "a".into(), p: None, scripts: vec![] }));
/// ```
#[macro_export]
macro_rules! zeek_record {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($zeek:literal) {
            $( $(#[$fmeta:meta])* $fvis:vis $field:ident: $ty:ty $(= $default:expr)? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
        $vis struct $name {
            $( $(#[$fmeta])* $fvis $field: $ty, )*
        }

        impl $crate::zeek::FromData for $name {
            fn from_data(data: $crate::Data) -> Result<Self, $crate::zeek::ConvertError> {
                let $crate::Data::Vector(fields) = data else {
                    return Err($crate::zeek::ConvertError::wrong_type(
                        concat!("record ", $zeek), &data,
                    ));
                };
                let mut fields = fields.into_iter();
                Ok(Self { $(
                    $field: $crate::zeek::record::field(
                        fields.next(), $crate::zeek_record!(@default $ty $(, $default)?),
                    ).map_err(|e| e.within(concat!($zeek, "$", stringify!($field))))?
                ),* })
            }
        }

        impl $crate::zeek::ToData for $name {
            fn into_data(self) -> $crate::Data {
                $crate::Data::Vector(vec![$($crate::zeek::ToData::into_data(self.$field)),*])
            }

            fn put(self, out: &mut Vec<u8>) {
                const FIELDS: &[&str] = &[$(stringify!($field)),*];
                $crate::codec::data::pieces::put_vector(FIELDS.len(), out);
                $( $crate::zeek::ToData::put(self.$field, out); )*
            }
        }
    };
    (@default $ty:ty) => { None::<fn() -> $ty> };
    (@default $ty:ty, $default:expr) => { Some(|| -> $ty { $default }) };
}

/// Reads one field of a record; the work behind [`zeek_record!`](crate::zeek_record).
///
/// # Errors
/// If the element is missing and mandatory, or does not convert.
pub fn field<T: FromData>(
    element: Option<Data>,
    default: Option<impl FnOnce() -> T>,
) -> Result<T, ConvertError> {
    match (element, default) {
        (None | Some(Data::None), Some(default)) => Ok(default()),
        (None, None) => T::absent().ok_or_else(|| ConvertError::other("field is missing")),
        (Some(data), _) => T::from_data(data),
    }
}

/// Declares a Zeek enum: variants and their names behind a common module prefix.
///
/// ```
/// broker_proto::zeek_enum! {
///     /// How it goes.
///     pub enum State("Example::") {
///         /// Not yet.
///         Pending = "PENDING",
///         /// It runs.
///         Running = "RUNNING",
///     }
/// }
/// assert_eq!(State::Running.zeek_name(), "Example::RUNNING");
/// ```
#[macro_export]
macro_rules! zeek_enum {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident($prefix:literal) {
            $( $(#[$vmeta:meta])* $variant:ident = $text:literal ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        $vis enum $name {
            $( $(#[$vmeta])* $variant, )*
        }

        impl $name {
            /// The value's full name in Zeek.
            $vis fn zeek_name(self) -> &'static str {
                match self { $( Self::$variant => concat!($prefix, $text), )* }
            }

            /// The value of that full name.
            $vis fn from_zeek_name(name: &str) -> Option<Self> {
                match name { $( concat!($prefix, $text) => Some(Self::$variant), )* _ => None }
            }
        }

        impl $crate::zeek::FromData for $name {
            fn from_data(data: $crate::Data) -> Result<Self, $crate::zeek::ConvertError> {
                let $crate::Data::Enum(name) = data else {
                    return Err($crate::zeek::ConvertError::wrong_type("enum-value", &data));
                };
                let value = name.to_str().and_then(Self::from_zeek_name);
                value.ok_or_else(|| $crate::zeek::ConvertError::other(
                    format!("unknown value {name} of enum {}", stringify!($name)),
                ))
            }
        }

        impl $crate::zeek::ToData for $name {
            fn into_data(self) -> $crate::Data {
                $crate::Data::enum_value(self.zeek_name())
            }

            fn put(self, out: &mut Vec<u8>) {
                $crate::codec::data::pieces::put_enum(self.zeek_name(), out);
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zeek::Any;

    zeek_record! {
        struct Sample("Sample") {
            name: String,
            p: Option<Port>,
            env: BTreeMap<String, String> = BTreeMap::new(),
        }
    }

    zeek_enum! {
        enum Mood("Sample::") {
            Good = "GOOD",
        }
    }

    zeek_record! {
        struct Whole("Whole") {
            text: String,
            bytes: ByteString,
            yes: bool,
            count: u64,
            int: i64,
            port: Port,
            time: Timespan,
            mood: Mood,
            list: Vec<Option<u64>>,
            set: BTreeSet<String>,
            inner: Sample,
            any: Any,
            data: Data,
        }
    }

    #[test]
    fn what_is_written_at_once_is_what_the_value_would_be() {
        let inner = Sample {
            name: "a".repeat(200),
            p: Some(Port::tcp(80)),
            env: BTreeMap::from([("k".into(), "v".into())]),
        };
        let whole = Whole {
            text: "text".into(),
            bytes: ByteString::from([0xff].as_slice()),
            yes: true,
            count: u64::MAX,
            int: -1,
            port: Port::tcp(1),
            time: Timespan(5),
            mood: Mood::Good,
            list: vec![Some(1), None],
            set: BTreeSet::from(["b".into(), "aa".into()]),
            inner: inner.clone(),
            any: Any::packed(inner),
            data: Data::Vector(vec![Data::Real(0.5)]),
        };
        let mut out = Vec::new();
        whole.clone().put(&mut out);
        assert_eq!(out, crate::codec::data::encode(&whole.clone().into_data()));
        assert_eq!(Any::packed(whole.clone()), Any::Data(whole.into_data()));
    }

    fn read(fields: Vec<Data>) -> Result<Sample, String> {
        Sample::from_data(Data::Vector(fields)).map_err(|e| e.to_string())
    }

    #[test]
    fn nil_and_missing_fields_take_their_defaults() {
        let want = Sample {
            name: "a".into(),
            p: None,
            env: BTreeMap::new(),
        };
        assert_eq!(read(vec![Data::string("a")]), Ok(want.clone()));
        assert_eq!(
            read(vec![Data::string("a"), Data::None, Data::None]),
            Ok(want.clone())
        );
        let surplus = vec![Data::string("a"), Data::None, Data::None, Data::Count(1)];
        assert_eq!(read(surplus), Ok(want));
    }

    #[test]
    fn a_missing_mandatory_field_is_named() {
        assert_eq!(read(vec![]), Err("Sample$name: field is missing".into()));
    }

    #[test]
    fn a_field_of_another_type_is_named() {
        let fields = vec![Data::string("a"), Data::Count(80)];
        assert_eq!(
            read(fields),
            Err("Sample$p: expected port, got count".into())
        );
    }
}
