//! Policy files: TOML, with every error told at once and with its line (API §18.2).

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::limits::{LimitError, Limits};

use super::{Listener, Network, Pattern, Role, Rule};

/// What a policy file says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PolicyFile {
    /// Ports without certificates may be reached from other hosts, as with stock.
    pub allow_unauthenticated: bool,
    /// The limits that the file sets, and the usual ones (API §16).
    pub limits: Limits,
    /// The rules in order; `None` if the file has none.
    pub rules: Option<Vec<Rule>>,
}

/// Something wrong in a policy file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}:{line}: {text}")]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub text: String,
}

/// Longest file that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

impl PolicyFile {
    /// Reads a file's text; `file` names it in problems.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the lines.
    pub fn read(text: &str, file: &str) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader {
            text,
            file,
            problems: Vec::new(),
        };
        if text.len() > MAX_BYTES {
            reader.problem(&(0..0), format!("longer than {MAX_BYTES} bytes"));
            return Err(reader.problems);
        }
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            reader.problem(&error.span().unwrap_or_default(), error.message());
        }
        let read = reader.root(root.get_ref());
        let mut problems = reader.problems;
        if problems.is_empty() {
            return Ok(read);
        }
        problems.sort_by_key(|problem| problem.line);
        Err(problems)
    }
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    problems: Vec<Problem>,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn problem(&mut self, at: &Range<usize>, text: impl fmt::Display) {
        let before = self.text.as_bytes().get(..at.start);
        let before = before.unwrap_or(self.text.as_bytes());
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            text: text.to_string(),
        });
    }

    fn root(&mut self, table: &DeTable<'_>) -> PolicyFile {
        let mut read = PolicyFile::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "allow_unauthenticated" => {
                    read.allow_unauthenticated = self
                        .flag("allow_unauthenticated", value)
                        .unwrap_or_default();
                }
                "limits" => read.limits = self.limits(value),
                "rule" => read.rules = self.rules(value),
                other => {
                    let known = "there are allow_unauthenticated, limits and rule";
                    self.problem(&key.span(), unknown(other, known));
                }
            }
        }
        read
    }

    fn limits(&mut self, value: &Value<'_>) -> Limits {
        let mut limits = Limits::default();
        let Some(table) = value.get_ref().as_table() else {
            self.problem(&value.span(), "limits are a table: [limits]");
            return limits;
        };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let number = value.get_ref().as_integer();
            let number = number.and_then(|it| u64::from_str_radix(it.as_str(), it.radix()).ok());
            let Some(number) = number else {
                let text = format!("{}: not a whole number", name.escape_debug());
                self.problem(&value.span(), text);
                continue;
            };
            match limits.set(name, number) {
                Ok(()) => {}
                Err(error @ LimitError::Unknown) => {
                    self.problem(&key.span(), format!("{}: {error}", name.escape_debug()));
                }
                Err(error @ LimitError::OutOfRange { .. }) => {
                    self.problem(&value.span(), format!("{name}: {error}"));
                }
            }
        }
        limits
    }

    fn rules(&mut self, value: &Value<'_>) -> Option<Vec<Rule>> {
        let Some(array) = value.get_ref().as_array() else {
            self.problem(&value.span(), "rules are written as [[rule]]");
            return None;
        };
        let mut rules = Vec::new();
        for rule in array.iter() {
            match rule.get_ref().as_table() {
                Some(table) => rules.push(self.rule(&rule.span(), table)),
                None => self.problem(&rule.span(), "rules are written as [[rule]]"),
            }
        }
        Some(rules)
    }

    fn rule(&mut self, at: &Range<usize>, table: &DeTable<'_>) -> Rule {
        let mut rule = Rule::default();
        let mut has_roles = false;
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "certificate" => {
                    rule.certificates = self.list("certificate", value, |text| match text {
                        "" => Err("a certificate's name is not empty".to_owned()),
                        text => Ok(Pattern::new(text)),
                    });
                }
                "listener" => {
                    let read = self.one("listener", value, |text| {
                        let known = Listener::ALL.map(Listener::as_str);
                        Listener::from_name(text).ok_or_else(|| none_of(text, &known))
                    });
                    rule.listener = read;
                }
                "address" => {
                    rule.addresses = self.list("address", value, |text| {
                        Network::parse(text).map_err(|error| error.to_string())
                    });
                }
                "roles" => {
                    has_roles = true;
                    let read = self.list("roles", value, |text| {
                        let known = Role::ALL.map(Role::as_str);
                        Role::from_name(text).ok_or_else(|| none_of(text, &known))
                    });
                    rule.roles = BTreeSet::from_iter(read);
                }
                "agent" => {
                    rule.agent = self.one("agent", value, |text| match text {
                        "" => Err("an agent's name is not empty".to_owned()),
                        text => Ok(text.to_owned()),
                    });
                }
                other => {
                    let known = "a rule has certificate, listener, address, roles and agent";
                    self.problem(&key.span(), unknown(other, known));
                }
            }
        }
        if !has_roles {
            self.problem(at, "a rule without roles; roles = [] refuses whom it fits");
        } else if rule.agent.is_some() && !rule.roles.contains(&Role::Agent) {
            self.problem(
                at,
                "agent names who has the role agent, which this rule does not give",
            );
        }
        rule
    }

    fn flag(&mut self, key: &str, value: &Value<'_>) -> Option<bool> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            let got = value.get_ref().type_str();
            self.problem(&value.span(), format!("{key} is true or false, not {got}"));
        }
        flag
    }

    fn one<T>(
        &mut self,
        key: &str,
        value: &Value<'_>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Some(text) = value.get_ref().as_str() else {
            let got = value.get_ref().type_str();
            self.problem(&value.span(), format!("{key} is a text, not {got}"));
            return None;
        };
        let read = read(text);
        read.map_err(|problem| self.problem(&value.span(), format!("{key}: {problem}")))
            .ok()
    }

    /// One text, or several in brackets. None at all would fit everybody, which only roles may mean.
    fn list<T>(
        &mut self,
        key: &str,
        value: &Value<'_>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(array) = value.get_ref().as_array() else {
            return self.one(key, value, read).into_iter().collect();
        };
        if array.is_empty() && key != "roles" {
            self.problem(&value.span(), format!("{key} has no entry"));
        }
        let items = array.iter();
        items
            .filter_map(|item| self.one(key, item, &read))
            .collect()
    }
}

fn unknown(key: &str, known: &str) -> String {
    format!("there is no '{}'; {known}", key.escape_debug())
}

fn none_of(text: &str, known: &[&str]) -> String {
    format!("'{}' is none of {}", text.escape_debug(), known.join(", "))
}
