//! What a redefinition's value is, as far as that can be told without running the script.

use std::collections::VecDeque;

use super::statement::{Expression, Word};
use crate::settings::value::Value;

/// What values may refer to.
pub(crate) trait Scope {
    /// An environment variable; empty if there is none.
    fn variable(&self, name: &str) -> String;
    /// The host's name.
    fn hostname(&self) -> String;
    /// What an option is so far, if it is one.
    fn option(&self, name: &str) -> Option<Value>;
}

/// Values within values.
const MAX_DEPTH: usize = 16;

/// The longest text that is put together, in bytes.
const MAX_TEXT: usize = 64 << 10;

/// Tells the value.
///
/// # Errors
/// If it is none, or one that only a running Zeek can tell; the text says what it is about.
pub(crate) fn evaluate(expression: Expression, scope: &dyn Scope) -> Result<Value, String> {
    let Expression { words, directory } = expression;
    let mut parser = Parser {
        words,
        directory,
        scope,
        depth: 0,
    };
    let value = parser.sum()?;
    match parser.words.pop_front() {
        None => Ok(value),
        Some(word) => Err(unexpected(&word)),
    }
}

struct Parser<'a> {
    words: VecDeque<Word>,
    directory: String,
    scope: &'a dyn Scope,
    depth: usize,
}

impl Parser<'_> {
    /// `a + b + …`: Zeek joins texts with it.
    fn sum(&mut self) -> Result<Value, String> {
        let mut value = self.operand()?;
        while self.take("+") {
            value = value.plus(self.operand()?)?;
            if matches!(&value, Value::Text(text) if text.len() > MAX_TEXT) {
                return Err("the text is too long".to_owned());
            }
        }
        Ok(value)
    }

    fn operand(&mut self) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("too many values within values".to_owned());
        }
        let value = self.value();
        self.depth -= 1;
        value
    }

    fn value(&mut self) -> Result<Value, String> {
        match self.words.pop_front() {
            Some(Word::Value(value)) => Ok(value),
            Some(Word::Directory) => Ok(Value::Text(self.directory.clone())),
            Some(Word::Name(name)) if self.take("(") => self.call(&name),
            Some(Word::Name(name)) => Ok(self.named(&name)),
            Some(Word::Sign(sign)) => match sign.as_str() {
                "-" => self.operand()?.negative(),
                "(" => {
                    let value = self.sum()?;
                    self.expect(")")?;
                    Ok(value)
                }
                "[" => self.list("]"),
                "{" => self.list("}"),
                other => Err(format!("'{other}' is no value")),
            },
            Some(word @ (Word::Other(_) | Word::Bad(_))) => Err(unexpected(&word)),
            None => Err("there is no value".to_owned()),
        }
    }

    fn named(&self, name: &str) -> Value {
        let name = name.trim_start_matches("::");
        let option = self.scope.option(name);
        option.unwrap_or_else(|| Value::Enum(name.to_owned()))
    }

    /// The functions that settings are written with, and constructors.
    fn call(&mut self, name: &str) -> Result<Value, String> {
        let inner = self.list(")")?;
        let Value::List(arguments) = inner else {
            let constructed = is_type(name).then_some(inner);
            return constructed.ok_or_else(|| format!("{name}(…) takes no fields"));
        };
        let texts: Vec<String> = arguments.iter().map(Value::shown).collect();
        match (name, arguments.as_slice()) {
            ("getenv", [Value::Text(variable)]) => Ok(Value::Text(self.scope.variable(variable))),
            ("gethostname", []) => Ok(Value::Text(self.scope.hostname())),
            ("cat", _) => Ok(Value::Text(texts.concat())),
            ("fmt", [Value::Text(format), ..]) => {
                formatted(format, texts.get(1..).unwrap_or_default()).map(Value::Text)
            }
            ("build_path" | "build_path_compressed", [Value::Text(dir), Value::Text(file)]) => {
                Ok(Value::Text(joined(dir, file)))
            }
            ("to_port", [Value::Text(port)]) => {
                let port = port.parse().map(Value::Port);
                port.map_err(|_| "to_port of what is no port".to_owned())
            }
            ("set" | "vector", _) => Ok(Value::List(arguments)),
            // A record with all its defaults.
            (name, []) if is_type(name) => Ok(Value::Record(Vec::new())),
            (name, _) => Err(format!("only a running Zeek can tell {name}(…)")),
        }
    }

    /// Elements or fields up to the closing bracket.
    fn list(&mut self, close: &str) -> Result<Value, String> {
        let mut elements = Vec::new();
        let mut fields = Vec::new();
        while !self.take(close) {
            if self.take("$") {
                let Some(Word::Name(name)) = self.words.pop_front() else {
                    return Err("'$' without a name".to_owned());
                };
                self.expect("=")?;
                fields.push((name, self.sum()?));
            } else {
                elements.push(self.sum()?);
            }
            if !self.take(",") && !self.is_next(close) {
                return Err(match self.words.front() {
                    Some(word) => unexpected(word),
                    None => format!("'{close}' is missing"),
                });
            }
        }
        match (fields.is_empty(), elements.is_empty()) {
            (true, _) => Ok(Value::List(elements)),
            (false, true) => Ok(Value::Record(fields)),
            (false, false) => Err("fields and elements in one pair of brackets".to_owned()),
        }
    }

    fn is_next(&self, sign: &str) -> bool {
        matches!(self.words.front(), Some(Word::Sign(next)) if next == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.is_next(sign);
        if found {
            self.words.pop_front();
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) {
            return Ok(());
        }
        Err(match self.words.front() {
            Some(word) => unexpected(word),
            None => format!("'{sign}' is missing"),
        })
    }
}

fn unexpected(word: &Word) -> String {
    match word {
        Word::Bad(problem) => problem.clone(),
        Word::Name(name) => format!("'{name}' is not expected there"),
        Word::Value(value) => format!("{value} is not expected there"),
        Word::Directory => "@DIR is not expected there".to_owned(),
        Word::Sign(sign) => format!("only a running Zeek can tell '{sign}'"),
        Word::Other(what) => format!("{what} is not expected there"),
    }
}

/// Types have names with a capital in their last part.
fn is_type(name: &str) -> bool {
    let last = name.rsplit("::").next().unwrap_or_default();
    last.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Of Zeek's formats, those that put a value in as it is.
fn formatted(format: &str, arguments: &[String]) -> Result<String, String> {
    let mut text = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some('%') => text.push('%'),
            Some('s' | 'd') => match arguments.next() {
                Some(argument) => text.push_str(argument),
                None => return Err("fmt has too few arguments".to_owned()),
            },
            _ => return Err("only a running Zeek can tell this fmt(…)".to_owned()),
        }
        if text.len() > MAX_TEXT {
            return Err("the text is too long".to_owned());
        }
    }
    match arguments.next() {
        None => Ok(text),
        Some(_) => Err("fmt has too many arguments".to_owned()),
    }
}

/// Stock: base/utils/paths.zeek, `build_path`.
fn joined(dir: &str, file: &str) -> String {
    if file.starts_with('/') {
        return file.to_owned();
    }
    let slash = if dir.ends_with('/') { "" } else { "/" };
    format!("{dir}{slash}{file}")
}
