//! One file's statements.

use std::collections::VecDeque;

use super::token::{Token, Words};

/// What a file says to whoever looks for settings in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// What counts, in the order of the file.
    pub statements: Vec<Statement>,
    /// What was stepped over, a thousand pieces at most.
    pub skipped: Vec<Skipped>,
    /// What Zeek would refuse as well, or cannot be understood here.
    pub errors: Vec<ReadError>,
}

/// A statement that counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `@load what`.
    Load {
        /// As written.
        what: String,
        /// Counted from 1.
        line: usize,
    },
    /// `redef option = value;`
    Redef {
        /// The full name, module included.
        option: String,
        /// `=` or `+=`.
        operator: Operator,
        /// The value, to be told by `evaluate`.
        value: Expression,
        /// Counted from 1.
        line: usize,
    },
}

/// Whom a script is read for.
#[derive(Clone, Copy, Debug)]
pub struct Interest {
    /// Whether redefinitions of this name count; if it is no option, that is a mistake.
    pub wanted: fn(&str) -> bool,
    /// Whether this is an option, so that a module's own name may be left out.
    pub known: fn(&str) -> bool,
}

/// How a redefinition changes a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operator {
    /// `=`
    Set,
    /// `+=`
    Add,
}

/// The words of a value that nobody has told yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    pub(super) words: VecDeque<Word>,
    pub(super) directory: String,
}

/// A word that outlives the text it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    Name(String),
    Value(super::super::value::Value),
    Directory,
    Sign(String),
    /// Something no value has.
    Other(String),
    Bad(String),
}

/// A piece of a script that was not taken into account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Skipped {
    /// Where it begins, counted from 1.
    pub line: usize,
    /// What it is, such as `event zeek_init` or `@if`.
    pub what: String,
    /// Whether it names anything of interest, so that it may well matter.
    pub relevant: bool,
    /// What it names that is of interest, or of Zeek's Supervisor; the first few.
    pub names: Vec<String>,
}

/// Why a statement cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{problem}")]
pub struct ReadError {
    /// Where, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

/// How much of what was stepped over is remembered for one file.
pub(super) const MAX_SKIPPED: usize = 1000;

/// How many names of one piece are remembered.
const MAX_NAMES: usize = 8;

/// The framework's scripts, in whatever way they are loaded.
const FRAMEWORK: &str = "frameworks/management";

/// More words are no value of any option.
const MAX_WORDS: usize = 10_000;

/// More errors in one file are not listed.
const MAX_ERRORS: usize = 100;

pub(super) fn read(text: &str, directory: &str, interest: Interest) -> Script {
    let mut reader = Reader {
        words: Words::new(text),
        directory,
        interest,
        module: String::new(),
        exports: 0,
        conditionals: 0,
        script: Script::default(),
    };
    while let Some((token, line)) = reader.words.next() {
        reader.statement(token, line);
    }
    reader.script
}

/// A whole text as one value.
pub(super) fn expression(text: &str) -> Expression {
    let mut words = VecDeque::new();
    let mut reader = Words::new(text);
    while let Some((token, _)) = reader.next() {
        push(&mut words, token);
    }
    Expression {
        words,
        directory: String::new(),
    }
}

struct Reader<'a> {
    words: Words<'a>,
    directory: &'a str,
    interest: Interest,
    module: String,
    /// Open `export {`.
    exports: usize,
    /// Open `@if` inside what is being stepped over.
    conditionals: usize,
    script: Script,
}

impl<'a> Reader<'a> {
    fn statement(&mut self, first: Token<'a>, line: usize) {
        match first {
            Token::Directive { name, rest } => self.directive(name, rest, line),
            Token::Name("module") => self.module(line),
            Token::Name("export") => self.export(line),
            Token::Name("redef") => self.redef(line),
            Token::Sign(";") => {}
            Token::Sign("}") if self.exports > 0 => self.exports -= 1,
            Token::Bad(problem) | Token::Broken(problem) => self.error(line, problem),
            first @ (Token::Name(_)
            | Token::Text(_)
            | Token::Count(_)
            | Token::Double(_)
            | Token::Interval(_)
            | Token::Port(_)
            | Token::Address(_)
            | Token::Pattern
            | Token::Attribute(_)
            | Token::Directory
            | Token::Sign(_)) => self.other(first, line),
        }
    }

    fn directive(&mut self, name: &str, rest: &str, line: usize) {
        match name {
            "load" if rest.is_empty() => self.error(line, "@load of nothing".to_owned()),
            "load" => self.script.statements.push(Statement::Load {
                what: rest.to_owned(),
                line,
            }),
            "if" | "ifdef" | "ifndef" => match self.words.skip_conditional() {
                Some(block) => self.skip(line, format!("@{name} {rest}"), rest, block),
                None => self.error(line, format!("@{name} without @endif")),
            },
            "else" | "endif" => self.error(line, format!("@{name} without @if")),
            // They change how Zeek reads, not what it is told.
            "deprecated" | "pragma" | "load-sigs" | "DEBUG" => {}
            other => self.skip(line, format!("@{other} {rest}"), "", rest),
        }
    }

    fn module(&mut self, line: usize) {
        match self.words.next() {
            Some((Token::Name("GLOBAL"), _)) => self.module.clear(),
            Some((Token::Name(name), _)) => name.clone_into(&mut self.module),
            _ => self.error(line, "module without a name".to_owned()),
        }
    }

    fn export(&mut self, line: usize) {
        match self.words.next() {
            Some((Token::Sign("{"), _)) => self.exports += 1,
            _ => self.error(line, "export without {".to_owned()),
        }
    }

    fn redef(&mut self, line: usize) {
        let start = self.words.position();
        let name = match self.words.next() {
            Some((Token::Name(kind @ ("enum" | "record")), _)) => {
                let what = match self.words.next() {
                    Some((Token::Name(name), _)) => format!("redef {kind} {name}"),
                    _ => format!("redef {kind}"),
                };
                self.step_over(what, line, start, End::Semicolon);
                return;
            }
            Some((Token::Name(name), _)) => name.trim_start_matches("::"),
            Some((Token::Bad(problem) | Token::Broken(problem), at)) => {
                return self.error(at, problem);
            }
            _ => return self.error(line, "redef without a name".to_owned()),
        };
        let option = self.full_name(name);
        if !(self.interest.wanted)(&option) {
            self.step_over(format!("redef {name}"), line, start, End::Semicolon);
            return;
        }
        if let Some((operator, value)) = self.value(line) {
            self.script.statements.push(Statement::Redef {
                option,
                operator,
                value,
                line,
            });
        }
    }

    /// As Zeek looks names up: those without a module in the current one, then globally.
    fn full_name(&self, name: &str) -> String {
        let local = format!("{}::{name}", self.module);
        let is_local = !self.module.is_empty() && !name.contains("::");
        if is_local && (self.interest.known)(&local) {
            return local;
        }
        name.to_owned()
    }

    /// The operator and all up to the semicolon, attributes aside.
    fn value(&mut self, line: usize) -> Option<(Operator, Expression)> {
        let operator = match self.words.next() {
            Some((Token::Sign("="), _)) => Operator::Set,
            Some((Token::Sign("+="), _)) => Operator::Add,
            _ => {
                self.error(line, "redef without = or +=".to_owned());
                self.step_to_end(End::Semicolon);
                return None;
            }
        };
        let mut words = VecDeque::new();
        let mut attributes = false;
        loop {
            let before = self.words.clone();
            let Some((token, at)) = self.words.next() else {
                break;
            };
            if token == Token::Sign(";") {
                let directory = self.directory.to_owned();
                return Some((operator, Expression { words, directory }));
            }
            if begins_statement(&token) {
                let problem = "the redef does not end before this".to_owned();
                self.error(at, problem);
                self.words = before;
                return None;
            }
            attributes |= matches!(token, Token::Attribute(_));
            if !attributes {
                push(&mut words, token);
            }
        }
        self.error(line, "the redef does not end".to_owned());
        None
    }

    /// A statement that sets nothing.
    fn other(&mut self, first: Token<'a>, line: usize) {
        let start = self.words.position();
        let Token::Name(keyword) = first else {
            let mut depth = Depth::default();
            depth.see(&first);
            let what = "a statement".to_owned();
            self.step_over_from(depth, what, line, start, End::Semicolon);
            return;
        };
        let end = match keyword {
            "function" | "event" | "hook" | "if" | "for" | "while" | "when" | "switch" => {
                End::Block
            }
            _ => End::Semicolon,
        };
        let mut ahead = self.words.clone();
        let what = match ahead.next() {
            Some((Token::Name(name), _)) => format!("{keyword} {name}"),
            _ => keyword.to_owned(),
        };
        self.step_over(what, line, start, end);
    }

    fn step_over(&mut self, what: String, line: usize, start: usize, end: End) {
        self.step_over_from(Depth::default(), what, line, start, end);
    }

    fn step_over_from(&mut self, depth: Depth, what: String, line: usize, start: usize, end: End) {
        self.step(depth, end);
        self.skip(line, what, "", self.words.since(start));
    }

    fn step_to_end(&mut self, end: End) {
        self.step(Depth::default(), end);
    }

    /// Reads on until the statement is over.
    fn step(&mut self, mut depth: Depth, end: End) {
        self.conditionals = 0;
        loop {
            let before = self.words.clone();
            let Some((token, at)) = self.words.next() else {
                return;
            };
            match &token {
                Token::Sign(";") if depth.is_outside() => {
                    if end == End::Semicolon || !self.goes_on() {
                        return;
                    }
                }
                // The end of the `export` around it.
                Token::Sign("}") if depth.is_outside() => {
                    self.words = before;
                    return;
                }
                Token::Sign("}") if depth.is_last() && end == End::Block => {
                    if !self.goes_on() {
                        return;
                    }
                    depth.see(&token);
                }
                Token::Directive { name, .. } => self.inner_directive(name, at),
                Token::Broken(problem) => {
                    let problem = problem.clone();
                    self.error(at, problem);
                }
                Token::Name(_)
                | Token::Text(_)
                | Token::Count(_)
                | Token::Double(_)
                | Token::Interval(_)
                | Token::Port(_)
                | Token::Address(_)
                | Token::Pattern
                | Token::Attribute(_)
                | Token::Directory
                | Token::Sign(_)
                | Token::Bad(_) => depth.see(&token),
            }
        }
    }

    /// Of a conditional inside a statement the first part is read, so that brackets match.
    fn inner_directive(&mut self, name: &str, line: usize) {
        match name {
            "if" | "ifdef" | "ifndef" => self.conditionals += 1,
            "endif" => self.conditionals = self.conditionals.saturating_sub(1),
            "else" if self.conditionals > 0 => {
                self.conditionals -= 1;
                if self.words.skip_conditional().is_none() {
                    self.error(line, "@else without @endif".to_owned());
                }
            }
            _ => {}
        }
    }

    /// Whether a block or its like is followed by more of the same statement.
    fn goes_on(&self) -> bool {
        let next = self.words.clone().next();
        matches!(next, Some((Token::Name("else" | "timeout"), _)))
    }

    /// Notes what was stepped over: its text, and the condition it depends on.
    fn skip(&mut self, line: usize, what: String, condition: &str, text: &str) {
        if self.script.skipped.len() >= MAX_SKIPPED {
            return;
        }
        let mut names = Vec::new();
        self.put_names(condition, &mut names);
        let relevant = self.put_names(text, &mut names);
        self.script.skipped.push(Skipped {
            line,
            what: shortened(what.trim()),
            relevant,
            names,
        });
    }

    /// Adds what a text names that is of interest, and the Supervisor's; whether there is any of
    /// the former.
    fn put_names(&self, text: &str, names: &mut Vec<String>) -> bool {
        let mut add = |name: &str| {
            if names.len() < MAX_NAMES && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        };
        let mut relevant = text.contains(FRAMEWORK);
        if relevant {
            add(FRAMEWORK);
        }
        let word = |c: char| c != '_' && c != ':' && !c.is_ascii_alphanumeric();
        for name in text.split(word).filter(|name| name.contains("::")) {
            let is_wanted = (self.interest.wanted)(name);
            relevant |= is_wanted;
            if is_wanted || name.starts_with("Supervisor::") {
                add(name);
            }
        }
        relevant
    }

    fn error(&mut self, line: usize, problem: String) {
        if self.script.errors.len() < MAX_ERRORS {
            self.script.errors.push(ReadError { line, problem });
        }
    }
}

/// What stands in no value.
fn begins_statement(token: &Token<'_>) -> bool {
    let keyword = ["redef", "event", "function", "module", "export"];
    match token {
        Token::Name(name) => keyword.contains(name),
        Token::Directive { .. } => true,
        Token::Text(_)
        | Token::Count(_)
        | Token::Double(_)
        | Token::Interval(_)
        | Token::Port(_)
        | Token::Address(_)
        | Token::Pattern
        | Token::Attribute(_)
        | Token::Directory
        | Token::Sign(_)
        | Token::Bad(_)
        | Token::Broken(_) => false,
    }
}

/// Adds a word, or what makes the value wrong if there are too many.
fn push(words: &mut VecDeque<Word>, token: Token<'_>) {
    if words.len() < MAX_WORDS {
        words.push_back(Word::from(token));
    } else if words.len() == MAX_WORDS {
        words.push_front(Word::Bad("the value is too long".to_owned()));
    }
}

/// What ends a statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Semicolon,
    /// A block in braces, too.
    Block,
}

/// Open brackets. Their kinds need not match: Zeek sees to that.
#[derive(Clone, Copy, Debug, Default)]
struct Depth(usize);

impl Depth {
    fn is_outside(self) -> bool {
        self.0 == 0
    }

    fn is_last(self) -> bool {
        self.0 == 1
    }

    fn see(&mut self, token: &Token<'_>) {
        if let Token::Sign(sign) = token {
            match *sign {
                "(" | "[" | "{" => self.0 += 1,
                ")" | "]" | "}" => self.0 = self.0.saturating_sub(1),
                _ => {}
            }
        }
    }
}

impl From<Token<'_>> for Word {
    fn from(token: Token<'_>) -> Self {
        use super::super::value::Value;
        match token {
            Token::Name("T") => Self::Value(Value::Flag(true)),
            Token::Name("F") => Self::Value(Value::Flag(false)),
            Token::Name(name) => Self::Name(name.to_owned()),
            Token::Text(text) => Self::Value(Value::Text(text)),
            Token::Count(number) => Self::Value(Value::Count(number)),
            Token::Double(number) => Self::Value(Value::Double(number)),
            Token::Interval(seconds) => Self::Value(Value::Interval(seconds)),
            Token::Port(port) => Self::Value(Value::Port(port)),
            Token::Address(address) => Self::Value(Value::Address(address.to_owned())),
            Token::Directory => Self::Directory,
            Token::Sign(sign) => Self::Sign(sign.to_owned()),
            Token::Pattern => Self::Other("a pattern".to_owned()),
            Token::Attribute(name) => Self::Other(name.to_owned()),
            Token::Directive { name, .. } => Self::Other(format!("@{name}")),
            Token::Bad(problem) | Token::Broken(problem) => Self::Bad(problem),
        }
    }
}

/// For messages.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    let end = text.char_indices().nth(LONGEST).map(|(at, _)| at);
    match end.and_then(|end| text.get(..end)) {
        Some(start) => format!("{start}…"),
        None => text.to_owned(),
    }
}
