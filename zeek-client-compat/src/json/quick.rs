//! JSON → `Data` without a tree of JSON values between, for messages as clients write them: every
//! value with `@data-type` before `data` and no other member.
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
    let mut topic = None;
    loop {
        let key = input.key()?;
        match &*key {
            "type" => _ = Some(input.string()?).filter(|text| text == "data-message")?,
            "topic" => topic = Some(Topic::new(input.string()?.into_owned()).ok()?),
            "@data-type" => break,
            _ => return None,
        }
        input.take(b',')?;
    }
    let data = input.value_after_type(MAX_DEPTH)?;
    input.rest.is_empty().then_some((topic?, data))
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
        self.value_after_type(depth)
    }

    /// From the type's name to the end of the object.
    fn value_after_type(&mut self, depth: usize) -> Option<Data> {
        let type_name = self.string()?;
        self.take(b',')?;
        self.key().filter(|key| key == "data")?;
        let data = self.data(&type_name, depth)?;
        self.take(b'}')?;
        Some(data)
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
mod tests {
    use super::*;
    use crate::json::{decode_members, encode, parse};

    /// As the careful reader has it.
    fn carefully(text: &str) -> Option<Data> {
        decode_members(parse(text).ok()?.as_object()?).ok()
    }

    fn around(value: &str) -> String {
        format!(r#"{{"type":"data-message","topic":"/t",{}"#, &value[1..])
    }

    #[test]
    fn what_clients_write_is_read_at_once() {
        let value = r#"{"@data-type":"vector","data":[
            {"@data-type": "none", "data": {}}, {"@data-type":"boolean","data":true},
            {"@data-type":"count","data":18446744073709551615},
            {"@data-type":"integer","data":-5}, {"@data-type":"count","data":0},
            {"@data-type":"string","data":"a\u00e9\"\\ \ud83d\ude00é"},
            {"@data-type":"enum-value","data":"A::B"},
            {"@data-type":"address","data":"10.0.0.1"}, {"@data-type":"subnet","data":"10.0.0.0/8"},
            {"@data-type":"port","data":"80/tcp"}, {"@data-type":"timespan","data":"5s"},
            {"@data-type":"timestamp","data":"2022-04-10T07:00:00.000"},
            {"@data-type":"set","data":[]}, {"@data-type":"set","data":[{"@data-type":"count","data":2},
             {"@data-type":"count","data":1}, {"@data-type":"count","data":2}]},
            {"@data-type":"table","data":[{"key":{"@data-type":"count","data":1},
             "value":{"@data-type":"string","data":""}}]} ]}"#;
        let text = around(value);
        let (topic, data) = message(&text).unwrap();
        assert_eq!(topic, Topic::from_static("/t"));
        assert_eq!(Some(&data), carefully(value).as_ref());
        assert_eq!(message(&around(&encode(&data))), Some((topic, data)));
    }

    /// Every cut and every changed byte: what is read at once is what is read carefully.
    #[test]
    fn nothing_is_read_that_the_careful_reader_reads_otherwise() {
        let value = r#"{"@data-type":"vector","data":[{"@data-type":"count","data":10},{"@data-type":"integer","data":-1},{"@data-type":"port","data":"80/tcp"},{"@data-type":"boolean","data":true},{"@data-type":"none","data":{}},{"@data-type":"string","data":"a\n"},{"@data-type":"table","data":[{"key":{"@data-type":"count","data":1},"value":{"@data-type":"count","data":1}}]}]}"#;
        let text = around(value);
        let same = |text: &str| {
            if let Some((_, data)) = message(text) {
                assert_eq!(Some(data), carefully(text), "{text}");
            }
        };
        for at in 0..text.len() {
            same(&text[..at]);
            for byte in *b" \"\\{}[],:01-.ee+ntx\x01\x0c\t" {
                let mut changed = text.clone().into_bytes();
                changed[at] = byte;
                same(std::str::from_utf8(&changed).unwrap());
                changed.insert(at, byte);
                same(std::str::from_utf8(&changed).unwrap());
            }
        }
    }

    #[test]
    fn what_is_written_otherwise_is_left_to_the_careful_reader() {
        for value in [
            r#"{"data":1,"@data-type":"count"}"#,
            r#"{"@data-type":"count","data":1,"x":1}"#,
            r#"{"@data-type":"count","data":-0}"#,
            r#"{"@data-type":"count","data":01}"#,
            r#"{"@data-type":"count","data":1.0}"#,
            r#"{"@data-type":"real","data":1.0}"#,
            r#"{"@data-type":"none"}"#,
            r#"{"@data-type":"cnt","data":1}"#,
            r#"{"@data-type":"count","data":1}}"#,
        ] {
            assert_eq!(message(&around(value)), None, "{value}");
        }
        let other = r#"{"type":"ack","topic":"/t","@data-type":"count","data":1}"#;
        assert_eq!(message(other), None);
        let deep = r#"{"@data-type":"vector","data":["#.repeat(100);
        assert_eq!(message(&around(&deep)), None);
    }
}
