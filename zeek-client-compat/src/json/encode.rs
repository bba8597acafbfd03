//! Values → JSON text, straight from their bytes.

use std::fmt::{Arguments, Write};

use broker_proto::codec::view::{Value, Values, View};
use broker_proto::{Data, Protocol};

use super::time;

/// The value as JSON text, `{"@data-type":T,"data":D}` (CLIENT §A5); see [`encode_view`].
pub fn encode(data: &Data) -> String {
    encode_view(&View::of(data))
}

/// The value as JSON text, `{"@data-type":T,"data":D}` (CLIENT §A5).
///
/// The result is strict JSON that every zeek-client reads, so it differs from stock's where stock
/// writes what clients refuse: all control characters are escaped; bytes that are not UTF-8 become
/// U+FFFD; reals keep their precision; timespans never come in `us`. Reals that are not finite and
/// ports without a number or a protocol become `none`, and of several such members of a set or keys
/// of a table only the first is written.
pub fn encode_view(view: &View) -> String {
    let mut out = String::with_capacity(estimate(view));
    put_next(&mut view.values(), &mut out);
    out
}

/// Appends the two members of a value's object, without the braces.
pub(crate) fn put_members_of(view: &View, out: &mut String) {
    let mut values = view.values();
    if let Some(value) = values.next() {
        put_members(value, &mut values, out);
    }
}

/// The value that comes next, with all that is in it.
fn put_next(values: &mut Values<'_>, out: &mut String) {
    if let Some(value) = values.next() {
        put_object(value, values, out);
    }
}

/// A value; what is in it comes next.
fn put_object(value: Value<'_>, inside: &mut Values<'_>, out: &mut String) {
    out.push('{');
    put_members(value, inside, out);
    out.push('}');
}

/// What the members of a value of this type begin with.
macro_rules! typed {
    ($name:literal) => {
        concat!("\"@data-type\":\"", $name, "\",\"data\":")
    };
}

/// The recursion is as deep as what was decoded, which is limited.
fn put_members(value: Value<'_>, inside: &mut Values<'_>, out: &mut String) {
    if becomes_none(&value) {
        return out.push_str(concat!(typed!("none"), "{}"));
    }
    match value {
        Value::None => {}
        Value::Boolean(v) => put(out, typed!("boolean"), format_args!("{v}")),
        Value::Count(v) => put(out, typed!("count"), format_args!("{v}")),
        Value::Integer(v) => put(out, typed!("integer"), format_args!("{v}")),
        Value::Real(v) => put(out, typed!("real"), format_args!("{}", real(v))),
        Value::String(v) => put_bytes(typed!("string"), v, out),
        Value::Enum(v) => put_bytes(typed!("enum-value"), v, out),
        Value::Address(v) => put(out, typed!("address"), format_args!("\"{v}\"")),
        Value::Subnet(v) => put(out, typed!("subnet"), format_args!("\"{v}\"")),
        Value::Port(v) => put(out, typed!("port"), format_args!("\"{v}\"")),
        Value::Timestamp(v) => {
            let text = time::format_timestamp(v);
            put(out, typed!("timestamp"), format_args!("\"{text}\""));
        }
        Value::Timespan(v) => {
            let text = time::format_timespan(v);
            put(out, typed!("timespan"), format_args!("\"{text}\""));
        }
        Value::Vector(items) => {
            out.push_str(typed!("vector"));
            put_array(out, items.len(), |out| {
                put_next(inside, out);
                true
            });
        }
        Value::Set(items) => {
            let mut first = FirstNone::default();
            out.push_str(typed!("set"));
            put_array(out, items.len(), |out| {
                let member = inside.next().filter(|member| first.admits(member));
                let Some(member) = member else { return false };
                put_object(member, inside, out);
                true
            });
        }
        Value::Table(entries) => {
            let mut first = FirstNone::default();
            out.push_str(typed!("table"));
            put_array(out, entries.len(), |out| {
                let key = inside.next().filter(|key| first.admits(key));
                let Some(key) = key else {
                    put_next(inside, &mut String::new());
                    return false;
                };
                out.push_str("{\"key\":");
                put_object(key, inside, out);
                out.push_str(",\"value\":");
                put_next(inside, out);
                out.push('}');
                true
            });
        }
    }
}

/// So many items, without those that nothing was written of.
fn put_array(out: &mut String, len: usize, mut item: impl FnMut(&mut String) -> bool) {
    out.push('[');
    let mut is_first = true;
    for _ in 0..len {
        let before = out.len();
        if !is_first {
            out.push(',');
        }
        if item(out) {
            is_first = false;
        } else {
            out.truncate(before);
        }
    }
    out.push(']');
}

/// Leaves out all but the first value that becomes `none`: readers refuse duplicates.
#[derive(Default)]
struct FirstNone {
    is_past: bool,
}

impl FirstNone {
    fn admits(&mut self, value: &Value<'_>) -> bool {
        let was_past = self.is_past;
        self.is_past |= becomes_none(value);
        !(was_past && becomes_none(value))
    }
}

/// About how long a value's text is, or [`MOST`]: long answers are written into memory that need not
/// grow. What its first values are like the others are taken to be like.
pub(crate) fn estimate(view: &View) -> usize {
    let len = view.bytes().len();
    let mut values = view.values();
    let sampled = values.by_ref().take(SAMPLE).count();
    let read = len.saturating_sub(values.bytes_left()).max(1);
    let count = len.saturating_mul(sampled) / read;
    len.saturating_add(count.saturating_mul(AROUND)).min(MOST)
}

/// As many values are looked at, at most.
const SAMPLE: usize = 1024;

/// The answer to a thousand agents with 16 nodes takes 6 MB. What is asked for in vain by an estimate
/// that is wrong is addresses, not memory.
const MOST: usize = 16 << 20;

/// What stands around a text, or a number with it. Rather too much than too little: memory that has to
/// grow at the end is twice what is needed.
const AROUND: usize = 36;

/// Bytes that should be text.
fn put_bytes(typed: &str, bytes: &[u8], out: &mut String) {
    out.push_str(typed);
    match std::str::from_utf8(bytes) {
        Ok(text) => put_text(text, out),
        Err(_) => put_text(&String::from_utf8_lossy(bytes), out),
    }
}

/// Appends a JSON string.
pub(crate) fn put_text(text: &str, out: &mut String) {
    let is_special = |b: u8| b < b' ' || b == b'"' || b == b'\\';
    out.push('"');
    let mut rest = text;
    while let Some((plain, special)) = rest
        .bytes()
        .position(is_special)
        .and_then(|at| rest.split_at_checked(at))
    {
        out.push_str(plain);
        let mut special = special.chars();
        match special.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(c) => put(out, "", format_args!("\\u{:04x}", u32::from(c))),
            None => {}
        }
        rest = special.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Whether a value has no spelling that zeek-client accepts.
fn becomes_none(value: &Value<'_>) -> bool {
    match value {
        Value::None => true,
        Value::Real(v) => !v.is_finite(),
        Value::Port(v) => v.number == 0 || v.protocol == Protocol::Unknown,
        Value::Boolean(_)
        | Value::Count(_)
        | Value::Integer(_)
        | Value::String(_)
        | Value::Address(_)
        | Value::Subnet(_)
        | Value::Timestamp(_)
        | Value::Timespan(_)
        | Value::Enum(_)
        | Value::Set(_)
        | Value::Table(_)
        | Value::Vector(_) => false,
    }
}

/// The shortest text that reads back as the same number, always with a fraction: stock refuses a
/// real that looks like an integer.
fn real(value: f64) -> String {
    let text = format!("{value:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            format!("{mantissa}.0e{exponent}")
        }
        _ => text,
    }
}

fn put(out: &mut String, typed: &str, text: Arguments<'_>) {
    out.push_str(typed);
    out.write_fmt(text).expect("a String takes any text");
}

#[cfg(test)]
mod tests {
    use broker_proto::{Port, Set};

    use super::*;

    #[test]
    fn a_set_has_at_most_one_member_that_became_none() {
        let set = Data::Set(Set::from([
            Data::Real(f64::INFINITY),
            Data::Real(f64::NAN),
            Data::Port(Port::NONE),
            Data::Port(Port::tcp(1)),
        ]));
        assert_eq!(
            encode(&set),
            r#"{"@data-type":"set","data":[{"@data-type":"none","data":{}},{"@data-type":"port","data":"1/tcp"}]}"#
        );
    }

    #[test]
    fn a_key_that_is_left_out_takes_all_of_its_value_with_it() {
        let list = Data::Vector(vec![Data::Vector(vec![Data::Count(2)]), Data::Count(3)]);
        let keys = [
            Data::Real(f64::NAN),
            Data::Real(f64::INFINITY),
            Data::Count(1),
        ];
        let table = keys.into_iter().zip([list, Data::Count(4), Data::Count(5)]);
        let table = Data::Table(table.collect());
        let text = r#"{"@data-type":"table","data":[{"key":{"@data-type":"count","data":1},"value":{"@data-type":"count","data":5}},{"key":{"@data-type":"none","data":{}},"value":{"@data-type":"count","data":4}}]}"#;
        assert_eq!(encode(&table), text);
    }
}
