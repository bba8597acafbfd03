//! JSON → `Data` without a tree of JSON values between, for messages as clients write them: every
//! value with `@data-type` just before `data` and no other member. The message's own members may
//! come in any order around those two: zeek-client sorts them by name (CLIENT §A3), stock servers
//! begin with the type.
//!
//! A parsed JSON object takes hundreds of bytes, however short its text is; a configuration of a
//! thousand hosts took ten times its own length. What is written otherwise is `None` here, and
//! [`parse`](super::parse) and [`decode`](super::decode) have the verdict, also of what is wrong.

use std::borrow::Cow;
use std::collections::BTreeMap;

use broker_proto::{Data, Topic};

use super::MAX_TOKENS;
use super::decode;
use super::literals;
use crate::message::DATA_MESSAGE;

/// Containers in each other; deeper ones are left to the careful reader.
const MAX_DEPTH: usize = 32;

/// Reads a data message; `None` if it is not written as clients write it.
pub(crate) fn message(text: &str) -> Option<(Topic, Data)> {
    if literals::count_tokens(text) > MAX_TOKENS {
        return None;
    }
    let mut input = Input {
        rest: text.trim_matches(BLANKS),
    };
    input.take(b'{')?;
    let (mut topic, mut data, mut is_typed) = (None, None, false);
    loop {
        match &*input.key()? {
            "type" if !is_typed => {
                input.string().filter(|text| text == DATA_MESSAGE)?;
                is_typed = true;
            }
            "topic" if topic.is_none() => {
                topic = Some(Topic::new(input.string()?.into_owned()).ok()?);
            }
            "@data-type" if data.is_none() => data = Some(input.typed(MAX_DEPTH)?),
            _ => return None,
        }
        if input.take(b'}').is_some() {
            break;
        }
        input.take(b',')?;
    }
    input.rest.is_empty().then_some((topic?, data?))
}

/// Name and first argument of the event that a data message begins with; what follows need not be
/// there.
pub(crate) fn opening(text: &str) -> Option<(String, Data)> {
    let mut input = Input {
        rest: text.trim_start_matches(BLANKS),
    };
    input.take(b'{')?;
    loop {
        match &*input.key()? {
            "type" | "topic" => input.string()?,
            "@data-type" => break,
            _ => return None,
        };
        input.take(b',')?;
    }
    // Format and kind of the message, then the event (CLIENT §A6).
    input.enter_vector()?;
    for _ in 0..2 {
        input.value(0)?;
        input.take(b',')?;
    }
    input.take(b'{')?;
    input.key().filter(|key| key == "@data-type")?;
    input.enter_vector()?;
    let Data::String(name) = input.value(0)? else {
        return None;
    };
    input.take(b',')?;
    input.take(b'{')?;
    input.key().filter(|key| key == "@data-type")?;
    input.enter_vector()?;
    Some((name.to_str()?.to_owned(), input.value(0)?))
}

/// What JSON allows between its parts.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

struct Input<'a> {
    rest: &'a str,
}

impl<'a> Input<'a> {
    fn value(&mut self, depth: usize) -> Option<Data> {
        self.take(b'{')?;
        self.key().filter(|key| key == "@data-type")?;
        let data = self.typed(depth)?;
        self.take(b'}')?;
        Some(data)
    }

    /// From the type's name to the end of `data`.
    fn typed(&mut self, depth: usize) -> Option<Data> {
        let type_name = self.string()?;
        self.take(b',')?;
        self.key().filter(|key| key == "data")?;
        self.data(&type_name, depth)
    }

    /// From the type's name to the first element.
    fn enter_vector(&mut self) -> Option<()> {
        self.string().filter(|name| name == "vector")?;
        self.take(b',')?;
        self.key().filter(|key| key == "data")?;
        self.take(b'[')
    }

    fn data(&mut self, type_name: &str, depth: usize) -> Option<Data> {
        Some(match type_name {
            "none" => {
                self.take(b'{')?;
                self.take(b'}')?;
                Data::None
            }
            "boolean" => Data::Boolean(self.boolean()?),
            "count" => Data::Count(self.integer()?.parse().ok()?),
            "integer" => Data::Integer(self.integer()?.parse().ok()?),
            "string" => Data::string(self.string()?.into_owned()),
            "enum-value" => Data::enum_value(self.string()?.into_owned()),
            "address" | "subnet" | "port" | "timestamp" | "timespan" => {
                decode::notation(type_name, &self.string()?)?
            }
            "set" => Data::Set(self.values(depth)?.into_iter().collect()),
            "vector" => Data::Vector(self.values(depth)?),
            "table" => Data::Table(self.entries(depth)?.into()),
            // Reals are rare, and their notation is not simple.
            _ => return None,
        })
    }

    fn values(&mut self, depth: usize) -> Option<Vec<Data>> {
        let mut values = Vec::new();
        self.list(depth, |input, depth| {
            values.push(input.value(depth)?);
            Some(())
        })?;
        Some(values)
    }

    fn entries(&mut self, depth: usize) -> Option<BTreeMap<Data, Data>> {
        let mut entries = BTreeMap::new();
        self.list(depth, |input, depth| {
            input.take(b'{')?;
            input.key().filter(|key| key == "key")?;
            let key = input.value(depth)?;
            input.take(b',')?;
            input.key().filter(|key| key == "value")?;
            let value = input.value(depth)?;
            input.take(b'}')?;
            entries.insert(key, value).is_none().then_some(())
        })?;
        Some(entries)
    }

    fn list(
        &mut self,
        depth: usize,
        mut element: impl FnMut(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.take(b'[')?;
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            element(self, depth)?;
            if self.take(b']').is_some() {
                return Some(());
            }
            self.take(b',')?;
        }
    }

    /// A member's name, with the colon.
    fn key(&mut self) -> Option<Cow<'a, str>> {
        let key = self.string()?;
        self.take(b':')?;
        Some(key)
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        let text = self.rest.strip_prefix('"')?;
        let special = |byte: u8| byte == b'"' || byte == b'\\' || byte < b' ';
        let end = text.bytes().position(special)?;
        if text.as_bytes().get(end) == Some(&b'"') {
            let (text, after) = text.split_at(end);
            self.rest = after.get(1..)?.trim_start_matches(BLANKS);
            return Some(text.into());
        }
        let (text, after) = self.rest.split_at(literals::string_len(self.rest));
        self.rest = after.trim_start_matches(BLANKS);
        serde_json::from_str::<String>(text).ok().map(Cow::Owned)
    }

    fn boolean(&mut self) -> Option<bool> {
        let words = [("true", true), ("false", false)];
        let found = words.iter();
        let mut found = found.filter_map(|(word, it)| Some((self.rest.strip_prefix(word)?, *it)));
        let (after, value) = found.next()?;
        self.rest = after.trim_start_matches(BLANKS);
        Some(value)
    }

    /// The text of a number without fraction, exponent and superfluous zeros.
    fn integer(&mut self) -> Option<&'a str> {
        let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let end = self.rest.find(|c| !is_part(c))?;
        let (number, after) = self.rest.split_at(end);
        let digits = number.strip_prefix('-').unwrap_or(number);
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_zero = digits.starts_with('0') && number != "0";
        self.rest = after.trim_start_matches(BLANKS);
        (is_plain && !is_zero).then_some(number)
    }

    /// One byte outside of strings, and the blanks behind it.
    fn take(&mut self, wanted: u8) -> Option<()> {
        let (first, _) = self.rest.as_bytes().split_first()?;
        if *first != wanted {
            return None;
        }
        self.rest = self.rest.get(1..)?.trim_start_matches(BLANKS);
        Some(())
    }
}

#[cfg(test)]
mod tests;
