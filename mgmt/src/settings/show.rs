//! Listing settings with where each comes from.

use super::given::{Found, Given, Origin};
use super::options::{Fallback, OPTIONS, Opt, Program, Readers};
use super::value::Value;

impl Given {
    /// Every setting that one of these programs reads, a line each, sorted by name: what a script
    /// would say, and behind `#` where it was said. Secrets are not shown.
    #[must_use]
    pub fn show(&self, programs: &[Program]) -> String {
        let rows = OPTIONS.iter().filter(|option| is_read(option, programs));
        rows.map(|option| self.row(option, programs)).collect()
    }

    fn row(&self, option: &Opt, programs: &[Program]) -> String {
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
        let name = option.name;
        let overridden: Vec<String> = overridden.iter().map(Origin::to_string).collect();
        let mut origin = origin.to_string();
        if let (Fallback::Same(other), "default") = (option.fallback, origin.as_str()) {
            origin = format!("as {other}");
        }
        match overridden.join(", ") {
            others if others.is_empty() => format!("{name} = {text}  # {origin}\n"),
            others => format!("{name} = {text}  # {origin}, not {others}\n"),
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
