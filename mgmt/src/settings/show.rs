//! Listing settings with where each comes from.

use super::given::{Found, Given, Origin};
use super::options::{Fallback, OPTIONS, Opt, Program, Readers};
use super::value::Value;

/// A setting, for people. Secrets are not shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// Stock's name.
    pub name: &'static str,
    /// As a script would say it.
    pub value: String,
    /// Where it was said, and where it was said in vain.
    pub origin: String,
    /// Whether it was said at all.
    pub was_said: bool,
}

impl Given {
    /// Every setting that one of these programs reads, a line each, sorted by name: what a script
    /// would say, and behind `#` where it was said. Secrets are not shown.
    #[must_use]
    pub fn show(&self, programs: &[Program]) -> String {
        let rows = self.rows(programs).into_iter();
        rows.map(|row| format!("{} = {}  # {}\n", row.name, row.value, row.origin))
            .collect()
    }

    /// The same in pieces.
    #[must_use]
    pub fn rows(&self, programs: &[Program]) -> Vec<Row> {
        let rows = OPTIONS.iter().filter(|option| is_read(option, programs));
        rows.map(|option| self.row(option, programs)).collect()
    }

    fn row(&self, option: &Opt, programs: &[Program]) -> Row {
        let Found {
            mut value,
            origin,
            overridden,
        } = self.found(option);
        if option.name == TIMEOUT && origin == Origin::Default {
            value = self.timeout(programs);
        }
        let text = match option.name {
            "Broker::ssl_passphrase" if value != Value::Text(String::new()) => {
                "\"(not shown)\"".to_owned()
            }
            _ => value.to_string(),
        };
        let was_said = origin != Origin::Default;
        let overridden: Vec<String> = overridden.iter().map(Origin::to_string).collect();
        let mut origin = origin.to_string();
        if let (Fallback::Same(other), "default") = (option.fallback, origin.as_str()) {
            origin = format!("as {other}");
        }
        if !overridden.is_empty() {
            origin.push_str(&format!(", not {}", overridden.join(", ")));
        }
        Row {
            name: option.name,
            value: text,
            origin,
            was_said,
        }
    }

    /// The agent's own default is shorter.
    fn timeout(&self, programs: &[Program]) -> Value {
        if programs.contains(&Program::Controller) {
            return self.value(TIMEOUT);
        }
        Value::Interval(super::resolve::AGENT_TIMEOUT)
    }
}

fn is_read(option: &Opt, programs: &[Program]) -> bool {
    match option.readers {
        Readers::Programs(readers) => readers.iter().any(|reader| programs.contains(reader)),
        Readers::Nobody(_) => false,
    }
}

const TIMEOUT: &str = "Management::Request::timeout_interval";
