//! Messages as text for people.

use broker_proto::zeek::Event;
use broker_proto::{ByteString, Data};

use crate::json::write;

/// `Name(argument, …)` for an event, otherwise the value.
pub(crate) fn message(value: &Data) -> String {
    match Event::from_data(value.clone()) {
        Ok(event) => format!("{}({})", event.name, joined(&event.args)),
        Err(_) => text(value),
    }
}

fn text(value: &Data) -> String {
    match value {
        Data::None => "none".into(),
        Data::Boolean(value) => value.to_string(),
        Data::Count(number) => number.to_string(),
        Data::Integer(number) => format!("{number:+}"),
        Data::Real(number) => write::real(*number),
        Data::String(string) => quoted(string),
        Data::Enum(name) => name.to_string(),
        Data::Address(addr) => addr.to_string(),
        Data::Subnet(net) => net.to_string(),
        Data::Port(port) => port.to_string(),
        Data::Timestamp(time) => format!("@{}", seconds(time.0)),
        Data::Timespan(span) => format!("{}s", seconds(span.0)),
        Data::Set(items) => format!("{{{}}}", joined(items)),
        Data::Vector(items) => format!("[{}]", joined(items)),
        Data::Table(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, value)| format!("{} = {}", text(key), text(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(string: &ByteString) -> String {
    format!("{string:?}")
}

fn seconds(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    format!("{sign}{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

fn joined<'a>(values: impl IntoIterator<Item = &'a Data>) -> String {
    let values: Vec<String> = values.into_iter().map(text).collect();
    values.join(", ")
}
