//! JSON → `Data`.

use std::collections::BTreeMap;

use broker_proto::{Address, Data, Port, Protocol, Subnet};
use serde_json::{Map, Value};

use super::time;

/// Why a JSON value is no Broker value, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{kind} at ${path}")]
pub struct JsonError {
    /// The way from the outermost object, such as `.data[2].data[0]`; empty for that object itself.
    pub path: String,
    /// What is wrong there.
    pub kind: JsonErrorKind,
}

/// What is wrong with a JSON value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JsonErrorKind {
    /// Not `{"@data-type":…,"data":…}`.
    #[error("value is not an object")]
    NotObject,
    /// `@data-type` or `data` is missing, or `key` or `value` of a table's entry.
    #[error("no '{0}'")]
    NoMember(&'static str),
    /// No type has this name.
    #[error("unknown type '{0}'")]
    UnknownType(String),
    /// `data` has another JSON type, or a number is out of range.
    #[error("{type_name} is not {expected}")]
    Shape {
        /// The type by its name in JSON.
        type_name: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// Text that is not in the type's notation.
    #[error("'{text}' is not a valid {type_name}")]
    Text {
        /// The type by its name in JSON.
        type_name: &'static str,
        /// The start of the text.
        text: String,
    },
    /// A table has two entries with the same key.
    #[error("duplicate key")]
    DuplicateKey,
}

/// Reads a value, as far as stock does and beyond (CLIENT §A5, column "ours"): reals may look like
/// integers, timespans may be in days, sets may have duplicates, a port without protocol is TCP.
///
/// The recursion is as deep as `value` is; [`parse`](super::parse) returns at most 128 levels.
///
/// # Errors
/// If anything in it is no Broker value.
pub fn decode(value: &Value) -> Result<Data, JsonError> {
    decode_members(value.as_object().ok_or(JsonErrorKind::NotObject)?)
}

/// Reads a value from an object that may have other members too.
pub(crate) fn decode_members(object: &Map<String, Value>) -> Result<Data, JsonError> {
    let type_name = object.get("@data-type").and_then(Value::as_str);
    let type_name = type_name.ok_or(JsonErrorKind::NoMember("@data-type"))?;
    if type_name == "none" {
        return Ok(Data::None);
    }
    let data = object.get("data").ok_or(JsonErrorKind::NoMember("data"));
    match type_name {
        "boolean" => shape(
            data?.as_bool().map(Data::Boolean),
            "boolean",
            "true or false",
        ),
        "count" => shape(
            data?.as_u64().map(Data::Count),
            "count",
            "an integer of 64 bits, not negative",
        ),
        "integer" => shape(
            data?.as_i64().map(Data::Integer),
            "integer",
            "an integer of 64 bits",
        ),
        "real" => shape(real(data?).map(Data::Real), "real", "a number"),
        "string" => shape(data?.as_str().map(Data::string), "string", "a string"),
        "enum-value" => shape(
            data?.as_str().map(Data::enum_value),
            "enum-value",
            "a string",
        ),
        "address" => text(data?, "address"),
        "subnet" => text(data?, "subnet"),
        "port" => text(data?, "port"),
        "timestamp" => text(data?, "timestamp"),
        "timespan" => text(data?, "timespan"),
        "set" => items(data?, "set")?
            .collect::<Result<_, _>>()
            .map(Data::Set),
        "vector" => items(data?, "vector")?
            .collect::<Result<_, _>>()
            .map(Data::Vector),
        "table" => table(data?),
        other => Err(JsonErrorKind::UnknownType(excerpt(other)).into()),
    }
}

/// The start of a text from a client, short enough for a message to people.
pub(crate) fn excerpt(text: &str) -> String {
    const LEN: usize = 60;
    match text.char_indices().nth(LEN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl From<JsonErrorKind> for JsonError {
    fn from(kind: JsonErrorKind) -> Self {
        Self {
            path: String::new(),
            kind,
        }
    }
}

impl JsonError {
    fn below(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }
}

fn shape(
    data: Option<Data>,
    type_name: &'static str,
    expected: &'static str,
) -> Result<Data, JsonError> {
    let kind = JsonErrorKind::Shape {
        type_name,
        expected,
    };
    data.ok_or_else(|| kind.into())
}

/// A value whose JSON is a text in the notation of its type.
pub(super) fn notation(type_name: &str, text: &str) -> Option<Data> {
    match type_name {
        "address" => text.parse().ok().map(Data::Address),
        "subnet" => subnet(text).map(Data::Subnet),
        "port" => port(text).map(Data::Port),
        "timestamp" => time::parse_timestamp(text).map(Data::Timestamp),
        "timespan" => time::parse_timespan(text).map(Data::Timespan),
        _ => None,
    }
}

fn text(value: &Value, type_name: &'static str) -> Result<Data, JsonError> {
    let Some(text) = value.as_str() else {
        return shape(None, type_name, "a string");
    };
    let kind = || JsonErrorKind::Text {
        type_name,
        text: excerpt(text),
    };
    notation(type_name, text).ok_or_else(|| kind().into())
}

fn array<'a>(value: &'a Value, type_name: &'static str) -> Result<&'a Vec<Value>, JsonError> {
    let kind = JsonErrorKind::Shape {
        type_name,
        expected: "an array",
    };
    value.as_array().ok_or_else(|| kind.into())
}

fn items<'a>(
    value: &'a Value,
    type_name: &'static str,
) -> Result<impl Iterator<Item = Result<Data, JsonError>> + 'a, JsonError> {
    let items = array(value, type_name)?.iter().enumerate();
    Ok(items.map(|(at, item)| decode(item).map_err(|e| e.below(&format!(".data[{at}]")))))
}

fn table(value: &Value) -> Result<Data, JsonError> {
    let mut table = BTreeMap::new();
    for (at, entry) in array(value, "table")?.iter().enumerate() {
        let (key, value) = table_entry(entry).map_err(|e| e.below(&format!(".data[{at}]")))?;
        if table.insert(key, value).is_some() {
            return Err(JsonError::from(JsonErrorKind::DuplicateKey).below(&format!(".data[{at}]")));
        }
    }
    Ok(Data::Table(table.into()))
}

fn table_entry(entry: &Value) -> Result<(Data, Data), JsonError> {
    let object = entry.as_object().ok_or(JsonErrorKind::NotObject)?;
    let member = |name: &'static str| {
        let value = object.get(name).ok_or(JsonErrorKind::NoMember(name))?;
        decode(value).map_err(|e| e.below(&format!(".{name}")))
    };
    Ok((member("key")?, member("value")?))
}

/// JSON has no number that is not finite; `parse` turns the bare words into strings.
fn real(value: &Value) -> Option<f64> {
    match value.as_str() {
        None => value.as_f64(),
        Some("nan" | "NaN") => Some(f64::NAN),
        Some("inf" | "Infinity") => Some(f64::INFINITY),
        Some("-inf" | "-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
    }
}

/// An address and the prefix length in that notation's own family; host bits are masked.
fn subnet(text: &str) -> Option<Subnet> {
    let (network, length) = text.split_once('/')?;
    let length = number(length)?;
    let network_addr: Address = network.parse().ok()?;
    if network.contains(':') {
        return Subnet::new(network_addr, u8::try_from(length).ok()?).ok();
    }
    if length > 32 {
        return None;
    }
    Subnet::new(network_addr, u8::try_from(96 + length).ok()?).ok()
}

/// `80/tcp`, or `80` for TCP; stock reads every word it does not know as "unknown".
fn port(text: &str) -> Option<Port> {
    let (digits, word) = text.split_once('/').unwrap_or((text, "tcp"));
    let known = [Protocol::Tcp, Protocol::Udp, Protocol::Icmp];
    let protocol = known.into_iter().find(|p| p.name() == word);
    Some(Port {
        number: number(digits)?,
        protocol: protocol.unwrap_or(Protocol::Unknown),
    })
}

/// Decimal digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
