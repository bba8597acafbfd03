//! Whether two values are the same but for ids that each run draws for itself.

use std::collections::{BTreeMap, BTreeSet};

use broker_proto::zeek::Event;
use broker_proto::{ByteString, Data, Topic};

/// Which id of this run stands for which recorded id. One stands for one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    recorded: BTreeSet<String>,
    to_ours: BTreeMap<String, String>,
    to_recorded: BTreeMap<String, String>,
}

impl Ids {
    /// Declares a recorded id that this run will have another one for.
    pub(crate) fn declare(&mut self, id: &str) {
        self.recorded.insert(id.to_owned());
    }

    /// Learns from two events if they are the same. The topics of answers of a supervisor end in
    /// an id.
    pub(crate) fn unify(
        &mut self,
        recorded: (&Topic, &Event),
        ours: (&Topic, &Event),
    ) -> Result<(), ()> {
        let mut ids = self.clone();
        let topics = ids.texts(&recorded.0.to_string(), &ours.0.to_string());
        let names = recorded.1.name == ours.1.name;
        if topics && names && ids.ordered(&recorded.1.args, &ours.1.args) {
            *self = ids;
            return Ok(());
        }
        Err(())
    }

    /// A recorded value with the ids of this run; `None` if one is not known yet.
    pub(crate) fn translate(&self, data: &Data) -> Option<Data> {
        match data {
            Data::String(text) => Some(Data::String(self.translate_text(text)?)),
            Data::Vector(items) => {
                let items = items.iter().map(|d| self.translate(d));
                items.collect::<Option<_>>().map(Data::Vector)
            }
            Data::Set(items) => {
                let items = items.iter().map(|d| self.translate(d));
                items.collect::<Option<_>>().map(Data::Set)
            }
            Data::Table(entries) => {
                let entries = entries.iter();
                let entries = entries.map(|(k, v)| Some((self.translate(k)?, self.translate(v)?)));
                entries.collect::<Option<_>>().map(Data::Table)
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
            | Data::Enum(_)) => Some(other.clone()),
        }
    }

    /// A recorded line of text with the ids of this run, as far as they are known.
    pub(crate) fn translate_line(&self, line: &str) -> String {
        let words = line.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
        let words = words.map(|word| {
            let end = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let rest = &word[end.len()..];
            let ours = self.to_ours.get(end).map_or(end, String::as_str);
            format!("{ours}{rest}")
        });
        words.collect()
    }

    /// A recorded topic with the ids of this run.
    pub(crate) fn translate_topic(&self, topic: &Topic) -> Option<Topic> {
        let text = topic.to_str()?;
        let Some((before, last)) = text.rsplit_once('/') else {
            return Some(topic.clone());
        };
        let last = self.translate_text(&ByteString::from(last))?;
        Topic::new(format!("{before}/{last}")).ok()
    }

    fn translate_text(&self, text: &ByteString) -> Option<ByteString> {
        let known = text.to_str().filter(|text| self.recorded.contains(*text));
        let Some(known) = known else {
            return Some(text.clone());
        };
        self.to_ours
            .get(known)
            .map(|ours| ByteString::from(ours.as_str()))
    }

    fn values(&mut self, recorded: &Data, ours: &Data) -> bool {
        match (recorded, ours) {
            (Data::String(a), Data::String(b)) => match (a.to_str(), b.to_str()) {
                (Some(a), Some(b)) => self.texts(a, b),
                _ => a == b,
            },
            (Data::Vector(a), Data::Vector(b)) if is_list(a) => self.unordered(a, b),
            (Data::Vector(a), Data::Vector(b)) => self.ordered(a, b),
            (a, b) => a == b,
        }
    }

    fn ordered(&mut self, recorded: &[Data], ours: &[Data]) -> bool {
        let mut pairs = recorded.iter().zip(ours);
        recorded.len() == ours.len() && pairs.all(|(a, b)| self.values(a, b))
    }

    /// Stock iterates its tables in no particular order, and so lists results.
    fn unordered(&mut self, recorded: &[Data], ours: &[Data]) -> bool {
        let mut rest: Vec<&Data> = ours.iter().collect();
        let all = recorded.iter().all(|a| {
            let fits = rest.iter().position(|b| {
                let mut ids = self.clone();
                let same = ids.values(a, b);
                if same {
                    *self = ids;
                }
                same
            });
            fits.map(|at| rest.remove(at)).is_some()
        });
        all && rest.is_empty()
    }

    fn texts(&mut self, recorded: &str, ours: &str) -> bool {
        if let (Some((a, a_last)), Some((b, b_last))) =
            (recorded.rsplit_once('/'), ours.rsplit_once('/'))
        {
            return a == b && self.words(a_last, b_last);
        }
        self.words(recorded, ours)
    }

    fn words(&mut self, recorded: &str, ours: &str) -> bool {
        if !self.recorded.contains(recorded) {
            return recorded == ours;
        }
        match (self.to_ours.get(recorded), self.to_recorded.get(ours)) {
            (None, None) => {
                self.to_ours.insert(recorded.to_owned(), ours.to_owned());
                self.to_recorded
                    .insert(ours.to_owned(), recorded.to_owned());
                true
            }
            (known, back) => {
                known.is_some_and(|known| known == ours) && back.is_some_and(|b| b == recorded)
            }
        }
    }
}

/// Records in a vector; a record's own fields are not all vectors.
fn is_list(items: &[Data]) -> bool {
    items.iter().all(|item| matches!(item, Data::Vector(_)))
}
