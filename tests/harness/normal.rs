//! Outputs and events without what differs from run to run: ids, process ids, ports.

use std::collections::BTreeMap;

use broker_proto::{ByteString, Data};

/// Replaces ids by the order in which they appear, so that the same id stays the same. One is used
/// for one run; two runs are equal if their normalised outputs are.
#[derive(Clone, Debug, Default)]
pub struct Normal {
    ids: BTreeMap<String, String>,
    ports: BTreeMap<u16, u16>,
}

impl Normal {
    /// Ports of this run, each with the port it is to be called by.
    pub fn with_ports(ports: impl IntoIterator<Item = (u16, u16)>) -> Self {
        Self {
            ids: BTreeMap::new(),
            ports: ports.into_iter().collect(),
        }
    }

    /// What zeek-client printed, JSON or INI.
    pub fn output(&mut self, text: &str) -> String {
        let lines = text.lines().map(|line| self.line(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The name of an id in this run.
    pub fn id(&mut self, id: &str) -> String {
        let next = format!("<id {}>", self.ids.len() + 1);
        self.ids.entry(id.to_owned()).or_insert(next).clone()
    }

    /// A value in which every text that is a UUID, or was given to [`Self::id`] before, is named.
    pub fn data(&mut self, data: Data) -> Data {
        match data {
            Data::String(text) => Data::String(self.string(text)),
            Data::Vector(items) => Data::Vector(items.into_iter().map(|d| self.data(d)).collect()),
            Data::Set(items) => Data::Set(items.into_iter().map(|d| self.data(d)).collect()),
            Data::Table(entries) => {
                let entries = entries.into_iter();
                let named = entries.map(|(key, value)| (self.data(key), self.data(value)));
                Data::Table(named.collect())
            }
            other @ (Data::None
            | Data::Boolean(_)
            | Data::Count(_)
            | Data::Integer(_)
            | Data::Real(_)
            | Data::Address(_)
            | Data::Subnet(_)
            | Data::Port(_)
            | Data::Timestamp(_)
            | Data::Timespan(_)
            | Data::Enum(_)) => other,
        }
    }

    fn string(&mut self, text: ByteString) -> ByteString {
        let Some(known) = text.to_str() else {
            return text;
        };
        if is_uuid(known) || self.ids.contains_key(known) {
            return ByteString::from(self.id(known));
        }
        text
    }

    fn line(&mut self, line: &str) -> String {
        let mut named = String::new();
        for (at, word) in words(line) {
            let key = line.get(..at).unwrap_or_default().trim();
            let key = key.trim_matches(['"', ':', ' ', '=']);
            if is_uuid(word) {
                named.push_str(&self.id(word));
            } else if key == "pid" && word.parse::<u32>().is_ok_and(|pid| pid > 0) {
                named.push_str("<pid>");
            } else if key.ends_with("port") {
                named.push_str(&self.port(word));
            } else {
                named.push_str(word);
            }
        }
        named
    }

    fn port(&self, word: &str) -> String {
        let known = word
            .parse()
            .ok()
            .and_then(|port: u16| self.ports.get(&port));
        known.map_or_else(|| word.to_owned(), u16::to_string)
    }
}

/// A line cut where words (letters, digits and hyphens) begin and end, each piece with its place.
fn words(line: &str) -> Vec<(usize, &str)> {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut previous = None;
    for (at, c) in line.char_indices() {
        let inside = is_inside(c);
        if previous.is_some_and(|previous| previous != inside) {
            pieces.extend(line.get(start..at).map(|piece| (start, piece)));
            start = at;
        }
        previous = Some(inside);
    }
    pieces.extend(line.get(start..).map(|piece| (start, piece)));
    pieces
}

fn is_uuid(word: &str) -> bool {
    word.parse::<broker_proto::EndpointId>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_id_keeps_its_name_and_ports_are_translated() {
        let mut normal = Normal::with_ports([(23_456, 2200)]);
        let a = "7b4563c0-e5e2-11f1-a987-d6420b477af5";
        let b = "6e01138a-e5e2-11f1-93bf-d6420b477af5";
        let text = format!(
            "\"id\": \"{a}\"\n\"old\": \"{b}\", \"new\": \"{a}\"\n\"pid\": 34,\n  \"port\": 23456,\nport = 23456\n\"n\": 23456"
        );
        let expected = "\"id\": \"<id 1>\"\n\"old\": \"<id 2>\", \"new\": \"<id 1>\"\n\"pid\": <pid>,\n  \"port\": 2200,\nport = 2200\n\"n\": 23456";
        assert_eq!(normal.output(&text), expected);
    }

    #[test]
    fn ids_inside_values_are_named_like_those_in_outputs() {
        let mut normal = Normal::default();
        normal.id("r1");
        let value = Data::Vector(vec![Data::string("r1"), Data::string("r2"), Data::Count(3)]);
        let expected = vec![Data::string("<id 1>"), Data::string("r2"), Data::Count(3)];
        assert_eq!(normal.data(value), Data::Vector(expected));
    }
}
