//! `Data` → JSON text.

use std::fmt::{Arguments, Write};

use broker_proto::{Data, Protocol};

use super::time;

/// The value as JSON text (CLIENT §A5); see [`encode_into`].
pub fn encode(data: &Data) -> String {
    let mut out = String::new();
    encode_into(data, &mut out);
    out
}

/// Appends the value as `{"@data-type":T,"data":D}` (CLIENT §A5).
///
/// The result is strict JSON that every zeek-client reads, so it differs from stock's where stock
/// writes what clients refuse: all control characters are escaped; bytes that are not UTF-8 become
/// U+FFFD; reals keep their precision; timespans never come in `us`. Reals that are not finite and
/// ports without a number or a protocol become `none`, and of several such members of a set or keys
/// of a table only the first is written.
pub fn encode_into(data: &Data, out: &mut String) {
    out.push('{');
    put_members(data, out);
    out.push('}');
}

/// Appends the two members of a value's object, without the braces.
pub(crate) fn put_members(data: &Data, out: &mut String) {
    let data = if becomes_none(data) {
        &Data::None
    } else {
        data
    };
    put_type(data, out);
    match data {
        Data::None => out.push_str("{}"),
        Data::Boolean(v) => put(out, format_args!("{v}")),
        Data::Count(v) => put(out, format_args!("{v}")),
        Data::Integer(v) => put(out, format_args!("{v}")),
        Data::Real(v) => put_real(*v, out),
        Data::String(v) | Data::Enum(v) => put_text(&v.to_lossy(), out),
        Data::Address(v) => put(out, format_args!("\"{v}\"")),
        Data::Subnet(v) => put(out, format_args!("\"{v}\"")),
        Data::Port(v) => put(out, format_args!("\"{v}\"")),
        Data::Timestamp(v) => put(out, format_args!("\"{}\"", time::format_timestamp(*v))),
        Data::Timespan(v) => put(out, format_args!("\"{}\"", time::format_timespan(*v))),
        Data::Set(members) => put_array(out, distinct(members.iter(), |m| m), encode_into),
        Data::Table(entries) => put_array(out, distinct(entries.iter(), |(k, _)| k), put_entry),
        Data::Vector(items) => put_array(out, items.iter(), encode_into),
    }
}

/// The same of a value that nobody needs any more: what is in it is let go as it is written, before
/// it leaves the processor's caches. Long answers are larger than those.
pub(crate) fn put_members_of(data: Data, out: &mut String) {
    if let Data::Vector(_) = &data {
        put_type(&data, out);
    }
    let Data::Vector(items) = data else {
        return put_members(&data, out);
    };
    put_array(out, items.into_iter(), |item, out| {
        out.push('{');
        put_members_of(item, out);
        out.push('}');
    });
}

fn put_type(data: &Data, out: &mut String) {
    out.push_str("\"@data-type\":\"");
    out.push_str(data.type_name());
    out.push_str("\",\"data\":");
}

/// About how long a value's text is, or [`MOST`]: long answers are written into memory that need not
/// grow.
pub(crate) fn estimate(data: &Data) -> usize {
    let below = match data {
        Data::String(text) | Data::Enum(text) => text.as_bytes().len(),
        Data::Vector(items) => estimate_all(items.iter(), estimate),
        Data::Set(items) => estimate_all(items.iter(), estimate),
        Data::Table(entries) => estimate_all(entries.iter(), |(key, value)| {
            AROUND + estimate(key) + estimate(value)
        }),
        Data::None
        | Data::Boolean(_)
        | Data::Count(_)
        | Data::Integer(_)
        | Data::Real(_)
        | Data::Address(_)
        | Data::Subnet(_)
        | Data::Port(_)
        | Data::Timestamp(_)
        | Data::Timespan(_) => 0,
    };
    (AROUND + below).min(MOST)
}

/// What many items have in common a few of them tell, taken from all over.
fn estimate_all<T>(
    items: impl ExactSizeIterator<Item = T>,
    estimate: impl Fn(T) -> usize,
) -> usize {
    let len = items.len();
    let step = len.div_ceil(SAMPLE).max(1);
    let sampled = len.div_ceil(step).max(1);
    let sum: usize = items.step_by(step).map(estimate).sum();
    (sum / sampled).saturating_mul(len).min(MOST)
}

/// As many items of a list are looked at, at most.
const SAMPLE: usize = 64;

/// The answer to a thousand agents with 16 nodes takes 6 MB. What is asked for in vain by an estimate
/// that is wrong is addresses, not memory.
const MOST: usize = 16 << 20;

/// What stands around a text, or a number with it. Rather too much than too little: memory that has to
/// grow at the end is twice what is needed.
const AROUND: usize = 40;

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
            Some(c) => put(out, format_args!("\\u{:04x}", u32::from(c))),
            None => {}
        }
        rest = special.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Whether a value has no spelling that zeek-client accepts.
fn becomes_none(data: &Data) -> bool {
    match data {
        Data::None => true,
        Data::Real(v) => !v.is_finite(),
        Data::Port(v) => v.number == 0 || v.protocol == Protocol::Unknown,
        Data::Boolean(_)
        | Data::Count(_)
        | Data::Integer(_)
        | Data::String(_)
        | Data::Address(_)
        | Data::Subnet(_)
        | Data::Timestamp(_)
        | Data::Timespan(_)
        | Data::Enum(_)
        | Data::Set(_)
        | Data::Table(_)
        | Data::Vector(_) => false,
    }
}

/// Leaves out all but the first item whose key becomes `none`: readers refuse duplicates.
fn distinct<T>(
    items: impl Iterator<Item = T>,
    key: impl Fn(&T) -> &Data,
) -> impl Iterator<Item = T> {
    let mut seen = false;
    items.filter(move |item| {
        let repeated = seen && becomes_none(key(item));
        seen |= becomes_none(key(item));
        !repeated
    })
}

fn put_array<T>(out: &mut String, items: impl Iterator<Item = T>, each: fn(T, &mut String)) {
    out.push('[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(',');
        }
        each(item, out);
    }
    out.push(']');
}

fn put_entry((key, value): (&Data, &Data), out: &mut String) {
    out.push_str("{\"key\":");
    encode_into(key, out);
    out.push_str(",\"value\":");
    encode_into(value, out);
    out.push('}');
}

/// The shortest text that reads back as the same number, always with a fraction: stock refuses a
/// real that looks like an integer.
fn put_real(value: f64, out: &mut String) {
    let text = format!("{value:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            put(out, format_args!("{mantissa}.0e{exponent}"));
        }
        _ => out.push_str(&text),
    }
}

fn put(out: &mut String, text: Arguments<'_>) {
    out.write_fmt(text).expect("a String takes any text");
}
