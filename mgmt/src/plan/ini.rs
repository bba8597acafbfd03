//! INI files as Python's `ConfigParser(allow_no_value=True)` reads them (CLIENT §C6).
//!
//! Keys are lower-cased, section names are not; `=` or `:` separates; lines that begin with `#` or
//! `;` are comments; a line that is indented further continues the value above; `[DEFAULT]` adds
//! its keys to every section; `%(key)s` in a value is replaced by that key's value and `%%` by `%`.

use std::collections::BTreeSet;

/// The section whose keys all sections have.
const DEFAULT: &str = "DEFAULT";

/// Values that name values that name values, and so on.
const MAX_DEPTH: usize = 10;

/// The longest value that comes of that, in bytes, and how many references it may take.
const MAX_VALUE: usize = 1 << 20;
const MAX_REFERENCES: usize = 10_000;

/// Why a text is no such file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IniError {
    /// A line has no meaning.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A value refers to something that is not there, or to itself.
    #[error("value of {key} in section [{section}]: {problem}")]
    Value {
        /// Where.
        section: String,
        /// Which.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A file that was read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ini {
    defaults: Entries,
    sections: Vec<(String, Entries)>,
}

/// Keys and values in their order; a key may have no value.
type Entries = Vec<(String, Option<String>)>;

impl Ini {
    /// Reads a file.
    ///
    /// # Errors
    /// If a line is neither section nor key nor comment, or something is there twice.
    pub fn parse(text: &str) -> Result<Self, IniError> {
        let mut reader = Reader::default();
        for (at, line) in text.lines().enumerate() {
            let read = reader.line(line);
            read.map_err(|problem| {
                let line = at + 1;
                IniError::Line { line, problem }
            })?;
        }
        Ok(reader.finish())
    }

    /// The names of all sections but the default one, in their order.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|(name, _)| name.as_str())
    }

    /// Whether there is such a section.
    pub fn has(&self, section: &str) -> bool {
        self.sections().any(|name| name == section)
    }

    /// The keys of a section, default ones first.
    pub fn keys(&self, section: &str) -> Vec<&str> {
        let all = self.defaults.iter().chain(self.entries(section));
        let mut seen = BTreeSet::new();
        all.map(|(key, _)| key.as_str())
            .filter(|key| seen.insert(*key))
            .collect()
    }

    /// A value; `None` if there is no such key or it has no value.
    ///
    /// # Errors
    /// If the value refers to one that is not there, or is not written as references are.
    pub fn get(&self, section: &str, key: &str) -> Result<Option<String>, IniError> {
        let Some(raw) = self.raw(section, key) else {
            return Ok(None);
        };
        let mut out = String::new();
        let error = |problem| IniError::Value {
            section: section.to_owned(),
            key: key.to_owned(),
            problem,
        };
        let mut left = MAX_REFERENCES;
        self.interpolate(section, raw, (1, &mut left), &mut out)
            .map_err(error)?;
        Ok(Some(out))
    }

    fn entries(&self, section: &str) -> impl Iterator<Item = &(String, Option<String>)> {
        let found = self
            .sections
            .iter()
            .filter(move |(name, _)| name == section);
        found.flat_map(|(_, entries)| entries)
    }

    fn raw(&self, section: &str, key: &str) -> Option<&str> {
        let own = self.entries(section).find(|(name, _)| name == key);
        let entry = own.or_else(|| self.defaults.iter().find(|(name, _)| name == key));
        entry.and_then(|(_, value)| value.as_deref())
    }

    fn interpolate(
        &self,
        section: &str,
        value: &str,
        (depth, left): (usize, &mut usize),
        out: &mut String,
    ) -> Result<(), &'static str> {
        if depth > MAX_DEPTH {
            return Err("refers to itself");
        }
        *left = left.checked_sub(1).ok_or("is too long")?;
        let mut rest = value;
        while let Some(at) = rest.find('%') {
            let (text, reference) = rest.split_at(at);
            out.push_str(text);
            if let Some(after) = reference.strip_prefix("%%") {
                out.push('%');
                rest = after;
                continue;
            }
            let inner = reference.strip_prefix("%(");
            let inner = inner.ok_or("'%' must be followed by '%' or '('")?;
            let (key, after) = inner.split_once(")s").ok_or("bad reference")?;
            let key = key.to_lowercase();
            let value = self.raw(section, &key).ok_or("refers to nothing")?;
            self.interpolate(section, value, (depth + 1, left), out)?;
            rest = after;
        }
        out.push_str(rest);
        if out.len() > MAX_VALUE {
            return Err("is too long");
        }
        Ok(())
    }
}

/// Where reading stands.
#[derive(Default)]
struct Reader {
    ini: Ini,
    place: Place,
    /// Of the last line that was no continuation.
    indent: usize,
    /// Whether the last key can be continued.
    key: LastKey,
}

/// The section that lines belong to.
#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Nowhere,
    Defaults,
    Section,
}

/// The key that the next line may continue.
#[derive(Clone, Copy, Default)]
enum LastKey {
    #[default]
    None,
    WithValue,
    WithoutValue,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let value = line.trim();
        if value.starts_with(['#', ';']) {
            return Ok(());
        }
        if value.is_empty() {
            if let LastKey::WithValue = self.key {
                self.continue_value("");
            }
            return Ok(());
        }
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        match self.key {
            LastKey::WithValue if indent > self.indent => {
                self.continue_value(value);
                return Ok(());
            }
            LastKey::WithoutValue if indent > self.indent => {
                return Err("this line continues a key without value".to_owned());
            }
            LastKey::None | LastKey::WithValue | LastKey::WithoutValue => {}
        }
        self.indent = indent;
        match header(value) {
            Some(name) => self.section(name),
            None => self.entry(value),
        }
    }

    fn section(&mut self, name: &str) -> Result<(), String> {
        self.key = LastKey::None;
        if name == DEFAULT {
            self.place = Place::Defaults;
            return Ok(());
        }
        if self.ini.has(name) {
            return Err(format!("section [{name}] is there twice"));
        }
        self.place = Place::Section;
        self.ini.sections.push((name.to_owned(), Vec::new()));
        Ok(())
    }

    fn entry(&mut self, line: &str) -> Result<(), String> {
        let (key, value) = match line.split_once(['=', ':']) {
            Some((key, value)) => (key.trim_end(), Some(value.trim().to_owned())),
            None => (line, None),
        };
        if key.is_empty() {
            return Err("no key before the '=' or ':'".to_owned());
        }
        let key = key.to_lowercase();
        let Some(entries) = self.entries() else {
            return Err("no section before this line".to_owned());
        };
        if entries.iter().any(|(other, _)| *other == key) {
            return Err(format!("key {key} is there twice"));
        }
        let last = match value {
            Some(_) => LastKey::WithValue,
            None => LastKey::WithoutValue,
        };
        entries.push((key, value));
        self.key = last;
        Ok(())
    }

    fn entries(&mut self) -> Option<&mut Entries> {
        match self.place {
            Place::Nowhere => None,
            Place::Defaults => Some(&mut self.ini.defaults),
            Place::Section => self.ini.sections.last_mut().map(|(_, entries)| entries),
        }
    }

    fn continue_value(&mut self, line: &str) {
        let entry = self.entries().and_then(|entries| entries.last_mut());
        if let Some((_, Some(value))) = entry {
            value.push('\n');
            value.push_str(line);
        }
    }

    fn finish(mut self) -> Ini {
        let sections = self.ini.sections.iter_mut().map(|(_, entries)| entries);
        for entries in sections.chain([&mut self.ini.defaults]) {
            for (_, value) in entries {
                if let Some(value) = value {
                    value.truncate(value.trim_end().len());
                }
            }
        }
        self.ini
    }
}

/// `[name]`, whatever stands behind it.
fn header(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix('[')?.rsplit_once(']')?;
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, key: &str) -> Option<String> {
        Ini::parse(text).unwrap().get("s", key).unwrap()
    }

    /// What Python 3.11 makes of the same texts.
    #[test]
    fn values_are_read_as_python_reads_them() {
        let cases = [
            ("[s]\nk = v", "k", Some("v")),
            ("[s]\nK: a=b", "k", Some("a=b")),
            ("[s]\nk", "k", None),
            ("[s]\nk =", "k", Some("")),
            ("[s]\nk = a # b", "k", Some("a # b")),
            ("[s]\nk = a\n  b\n\n  c\n\nd = e", "k", Some("a\nb\n\nc")),
            ("[s]\nk = a\n# no\n  b", "k", Some("a\nb")),
            ("[s] and more\nk = v", "k", Some("v")),
            ("[DEFAULT]\nk = v\n[s]", "k", Some("v")),
            (
                "[s]\nk = 50%% %(x)s\nx = y%(z)s\nz = !",
                "k",
                Some("50% y!"),
            ),
            ("[s]\nk = %(X)s\nx = y", "k", Some("y")),
        ];
        for (text, key, expected) in cases {
            assert_eq!(value(text, key).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn values_are_limited_whatever_they_are_made_of() {
        let text = |len| format!("[s]\nk = {}\n", "v".repeat(len));
        let value = |text: &str| Ini::parse(text).unwrap().get("s", "k").map_err(|_| ());
        assert!(value(&text(MAX_VALUE)).is_ok());
        assert!(value(&text(MAX_VALUE + 1)).is_err());
        let pieces = "%(x)s".repeat(3);
        let half = "v".repeat(MAX_VALUE / 2);
        assert!(value(&format!("[s]\nk = {pieces}\nx = {half}\n")).is_err());
    }

    #[test]
    fn default_keys_are_in_every_section_and_in_none_of_the_names() {
        let ini = Ini::parse("[DEFAULT]\na = 1\n[s]\nb = 2\n[t]\na = 3\n").unwrap();
        assert_eq!(ini.sections().collect::<Vec<_>>(), ["s", "t"]);
        assert_eq!(ini.keys("s"), ["a", "b"]);
        assert_eq!(ini.keys("t"), ["a"]);
        assert_eq!(ini.get("t", "a").unwrap().as_deref(), Some("3"));
    }

    #[test]
    fn what_python_refuses_is_refused_with_its_line() {
        let cases = [
            ("k = v", "line 1: no section before this line"),
            ("[s]\n\n= v", "line 3: no key before the '=' or ':'"),
            ("[s]\n[t]\n[s]", "line 3: section [s] is there twice"),
            ("[s]\nk = 1\nK = 2", "line 3: key k is there twice"),
            (
                "[s]\nk\n v",
                "line 3: this line continues a key without value",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Ini::parse(text).unwrap_err().to_string(), expected);
        }
        let cases = [
            ("[s]\nk = 50%", "'%' must be followed by '%' or '('"),
            ("[s]\nk = %(a", "bad reference"),
            ("[s]\nk = %(a)s", "refers to nothing"),
            ("[s]\nk = %(k)s", "refers to itself"),
        ];
        for (text, expected) in cases {
            let error = Ini::parse(text).unwrap().get("s", "k").unwrap_err();
            assert!(error.to_string().ends_with(expected), "{error}");
        }
    }

    #[test]
    fn references_cannot_fill_the_memory() {
        let mut text = String::from("[s]\nk0 =\n");
        for level in 1..9 {
            let below = format!("%(k{})s", level - 1).repeat(100);
            text.push_str(&format!("k{level} = {below}\n"));
        }
        assert!(Ini::parse(&text).unwrap().get("s", "k8").is_err());
    }
}
