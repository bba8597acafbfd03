//! What the operator said, and where: scripts, arguments, environment.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::options::{
    FOR_NODES, Fallback, Kind, Opt, Readers, Variable, find, is_in_known_module, tcp,
};
use super::script::{self, Interest, Operator, Scope};
use super::value::Value;

/// What settings come from beside scripts and arguments.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sources {
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The host's name, part of default names.
    pub hostname: String,
    /// The Zeek installation, for default directories.
    pub prefix: PathBuf,
}

/// Where a value was set.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// An environment variable.
    Environment(String),
    /// A line of a script, counted from 1.
    Script {
        /// The file as it was found.
        file: String,
        /// Which line.
        line: usize,
    },
    /// An argument.
    Argument,
}

/// Something that cannot be taken as a setting.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct SettingError {
    /// Where it stands.
    pub origin: Origin,
    /// What is wrong with which value.
    pub problem: String,
}

/// A setting that is right and yet changes nothing here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Remark {
    /// Which setting.
    pub option: &'static str,
    /// Where it stands.
    pub origin: Origin,
    /// What it is and why it changes nothing.
    pub text: String,
    /// Whether nodes read it and may well do something with it.
    pub is_for_nodes: bool,
}

/// All that was said, the last word on each option last.
///
/// Scripts are to be taken first, in the order Zeek would load them, then arguments: as in Zeek,
/// the last one wins. The environment is what options are until then.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub(super) sources: Sources,
    assigned: BTreeMap<&'static str, Vec<(Value, Origin)>>,
    /// In the order they were found.
    pub(super) errors: Vec<SettingError>,
    remarks: Vec<Remark>,
}

/// An option's value and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// Where other values stand that do not count, the strongest first.
    pub(super) overridden: Vec<Origin>,
}

impl Given {
    /// Nothing but the environment.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let mut given = Self {
            sources,
            ..Self::default()
        };
        given.check_environment();
        given
    }

    /// One `NAME=VALUE` or `NAME+=VALUE` among the arguments.
    ///
    /// As in Zeek, texts have no quotes there; a text in quotes is taken without them.
    pub fn argument(&mut self, argument: &str) {
        let parts = split(argument);
        let Some((name, operator, text)) = parts else {
            let problem = format!("'{argument}' is not a setting of the form NAME=VALUE");
            self.error(Origin::Argument, problem);
            return;
        };
        let Some(option) = find(name) else {
            self.error(Origin::Argument, format!("there is no option {name}"));
            return;
        };
        match self.read_argument(option, text) {
            Ok(value) => self.assign(option, name, operator, value, Origin::Argument),
            Err(problem) => self.error(Origin::Argument, format!("{name}: {problem}")),
        }
    }

    /// The same for an argument that nodes get, too: options that are none of ours are theirs.
    pub fn node_argument(&mut self, argument: &str) {
        let is_ours = split(argument).is_none_or(|(name, ..)| (INTEREST.wanted)(name));
        if is_ours {
            self.argument(argument);
        }
    }

    fn read_argument(&self, option: &Opt, text: &str) -> Result<Value, String> {
        let is_text = match option.kind {
            Kind::Text | Kind::Name => true,
            Kind::Any
            | Kind::Flag
            | Kind::Interval
            | Kind::Port
            | Kind::PortOrNone
            | Kind::Network
            | Kind::WebSocketTls
            | Kind::Level => false,
        };
        if option.kind == Kind::Any || (is_text && !text.trim_start().starts_with('"')) {
            return Ok(Value::Text(text.to_owned()));
        }
        script::evaluate(script::expression(text), self)
    }

    /// `redef name operator value;` in a script.
    pub(super) fn redef(
        &mut self,
        name: &str,
        operator: Operator,
        value: script::Expression,
        origin: Origin,
    ) {
        let Some(option) = find(name) else {
            self.error(origin, format!("there is no option {name}"));
            return;
        };
        // Nobody looks at it, so it need not be understood.
        if option.kind == Kind::Any {
            self.assign(option, name, operator, Value::Flag(true), origin);
            return;
        }
        match script::evaluate(value, self) {
            Ok(value) => self.assign(option, name, operator, value, origin),
            Err(problem) => self.error(origin, format!("{name}: {problem}")),
        }
    }

    /// `name` is how the option was called; older names count too.
    fn assign(
        &mut self,
        option: &Opt,
        name: &str,
        operator: Operator,
        value: Value,
        origin: Origin,
    ) {
        if let Readers::Nobody(why) = option.readers {
            let text = format!("{name} has no effect here: {why}");
            self.remarks.push(Remark {
                option: option.name,
                origin,
                text,
                is_for_nodes: why == FOR_NODES,
            });
            return;
        }
        let value = match operator {
            Operator::Set => Ok(value),
            Operator::Add => self.found(option).value.plus(value),
        };
        let accepted = value.and_then(|value| {
            let expected = option.kind.expected();
            let wrong = || format!("{value} is not {expected}");
            option.kind.accept(&value).ok_or_else(wrong)
        });
        match accepted {
            Ok(value) => {
                let said = self.assigned.entry(option.name).or_default();
                said.push((value, origin));
            }
            Err(problem) => self.error(origin, format!("{name}: {problem}")),
        }
    }

    /// Notes something wrong.
    pub(super) fn error(&mut self, origin: Origin, problem: String) {
        self.errors.push(SettingError { origin, problem });
    }

    /// What is right and changes nothing.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// What is wrong, all of it.
    #[must_use]
    pub fn errors(&self) -> &[SettingError] {
        &self.errors
    }

    /// The value of an option, which must be one.
    pub(super) fn value(&self, name: &str) -> Value {
        self.look_up(name).value
    }

    /// The value of an option, which must be one, and its origin.
    pub(super) fn look_up(&self, name: &str) -> Found {
        let option = find(name).expect("only options of the table are asked for");
        self.found(option)
    }

    /// What a script or an argument said last, which may be nothing.
    pub(super) fn last_said(&self, name: &str) -> Option<&Value> {
        let (value, _) = self.assigned.get(name)?.last()?;
        Some(value)
    }

    pub(super) fn found(&self, option: &Opt) -> Found {
        let mut said: Vec<(Value, Origin)> = Vec::new();
        if let Some(value) = self.in_environment(option) {
            said.push(value);
        }
        said.extend(
            self.assigned
                .get(option.name)
                .into_iter()
                .flatten()
                .cloned(),
        );
        if matches!(option.variable, Some(Variable::Seconds(_))) && !said.is_empty() {
            let first = usize::from(self.in_environment(option).is_some());
            said.rotate_left(first);
        }
        let last = said.pop();
        let overridden = said.into_iter().rev().map(|(_, origin)| origin).collect();
        match last {
            Some((value, origin)) if !is_unset(option, &value) => Found {
                value,
                origin,
                overridden,
            },
            _ => Found {
                value: self.fallback(option),
                origin: Origin::Default,
                overridden,
            },
        }
    }

    fn in_environment(&self, option: &Opt) -> Option<(Value, Origin)> {
        let (variable, is_seconds) = match option.variable? {
            Variable::Default(name) => (name, false),
            Variable::Seconds(name) => (name, true),
        };
        // Only for state and spool; stock: management/persistence.zeek.
        if self.is_testing() && matches!(option.fallback, Fallback::Installation(_)) {
            return None;
        }
        let text = self.variable(variable);
        if text.is_empty() {
            return None;
        }
        let value = if is_seconds {
            Value::Interval(text.trim().parse().ok()?)
        } else {
            Value::Text(text)
        };
        let value = option.kind.accept(&value)?;
        Some((value, Origin::Environment(variable.to_owned())))
    }

    fn check_environment(&mut self) {
        for option in super::options::OPTIONS {
            let (variable, expected) = match option.variable {
                Some(Variable::Default(name)) => (name, option.kind.expected()),
                Some(Variable::Seconds(name)) => (name, "a number of seconds"),
                None => continue,
            };
            let text = self.variable(variable);
            let is_masked =
                self.is_testing() && matches!(option.fallback, Fallback::Installation(_));
            if !text.is_empty() && !is_masked && self.in_environment(option).is_none() {
                let origin = Origin::Environment(variable.to_owned());
                self.error(origin, format!("'{text}' is not {expected}"));
            }
        }
    }

    /// Whether everything stays in the working directory, and logs stay where they are.
    pub(super) fn is_testing(&self) -> bool {
        !self.variable("ZEEK_MANAGEMENT_TESTING").is_empty()
    }

    fn fallback(&self, option: &Opt) -> Value {
        let path = |path: PathBuf| Value::Text(path.display().to_string());
        match option.fallback {
            Fallback::Nothing => Value::Text(String::new()),
            Fallback::Text(text) => Value::Text(text.to_owned()),
            Fallback::Flag(flag) => Value::Flag(flag),
            Fallback::Seconds(seconds) => Value::Interval(seconds),
            Fallback::Port(number) => tcp(number),
            Fallback::Same(other) => self.value(other),
            Fallback::Hostname(start) => Value::Text(format!("{start}{}", self.sources.hostname)),
            Fallback::Installation("spool" | "var/lib") if self.is_testing() => {
                Value::Text(".".to_owned())
            }
            Fallback::Installation(below) => path(self.sources.prefix.join(below)),
            Fallback::Below(..) if self.is_testing() => Value::Text(String::new()),
            Fallback::Below(other, below) => {
                path(PathBuf::from(self.value(other).shown()).join(below))
            }
            Fallback::Rotation => Value::Interval(if self.is_testing() { 0.0 } else { 3600.0 }),
            Fallback::Controller => {
                let port = self.value("Management::Controller::listen_port");
                let address = Value::Text("127.0.0.1".to_owned());
                let fields = [("address", address), ("bound_port", port)];
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                Value::Record(fields.collect())
            }
            Fallback::Record => Value::Record(Vec::new()),
            Fallback::Enum(name) => Value::Enum(name.to_owned()),
        }
    }
}

impl Scope for Given {
    fn variable(&self, name: &str) -> String {
        self.sources.env.get(name).cloned().unwrap_or_default()
    }

    fn hostname(&self) -> String {
        self.sources.hostname.clone()
    }

    fn option(&self, name: &str) -> Option<Value> {
        let option = find(name).filter(|option| option.kind != Kind::Any)?;
        Some(self.found(option).value)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Script { file, line } => write!(f, "{file}:{line}"),
            Self::Argument => f.write_str("argument"),
        }
    }
}

/// Options, and the modules that have no others than those known here.
pub(super) const INTEREST: Interest = Interest {
    wanted: |name| find(name).is_some() || is_in_known_module(name),
    known: |name| find(name).is_some(),
};

/// Whether an argument has the form of a setting; Zeek takes whatever has a `=` for one.
#[must_use]
pub fn is_setting(argument: &str) -> bool {
    argument.contains('=')
}

/// Name, operator and value of an argument, as Zeek tells them apart.
fn split(argument: &str) -> Option<(&str, Operator, &str)> {
    let (name, value) = argument.split_once('=')?;
    let (name, operator) = match name.strip_suffix('+') {
        Some(name) => (name, Operator::Add),
        None => (name, Operator::Set),
    };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(word);
    is_name.then_some((name, operator, value))
}

fn is_unset(option: &Opt, value: &Value) -> bool {
    option.kind == Kind::Name && *value == Value::Text(String::new())
}
