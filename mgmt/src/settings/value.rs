//! Zeek's constants, as settings have them.

use std::fmt;

use broker_proto::Port;

/// A value that an option can have.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `T` or `F`.
    Flag(bool),
    /// A whole number from 0 on.
    Count(u64),
    /// A whole number below 0.
    Int(i64),
    /// A number with a point.
    Double(f64),
    /// A string.
    Text(String),
    /// A number with a protocol.
    Port(Port),
    /// A time span in seconds.
    Interval(f64),
    /// An address or a subnet.
    Address(String),
    /// A name that is no option: of an enum's value, as a rule.
    Enum(String),
    /// Fields of a record.
    Record(Vec<(String, Self)>),
    /// Elements of a set or vector.
    List(Vec<Self>),
}

impl Value {
    /// What `+` makes of two.
    pub(super) fn plus(self, other: Self) -> Result<Self, String> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Ok(Self::Text(a + &b)),
            (Self::Count(a), Self::Count(b)) => match a.checked_add(b) {
                Some(sum) => Ok(Self::Count(sum)),
                None => Err("the sum is too large".to_owned()),
            },
            (Self::Double(a), Self::Double(b)) => Ok(Self::Double(a + b)),
            (Self::Interval(a), Self::Interval(b)) => Ok(Self::Interval(a + b)),
            (Self::List(mut a), Self::List(b)) => {
                a.extend(b);
                Ok(Self::List(a))
            }
            (a, b) => Err(format!("{a} and {b} cannot be added")),
        }
    }

    /// What `-` makes of one.
    pub(super) fn negative(self) -> Result<Self, String> {
        match self {
            Self::Count(number) => {
                let negative = i64::try_from(number).map(|number| Self::Int(-number));
                negative.map_err(|_| "the number is too large".to_owned())
            }
            Self::Double(number) => Ok(Self::Double(-number)),
            Self::Interval(seconds) => Ok(Self::Interval(-seconds)),
            other @ (Self::Flag(_)
            | Self::Int(_)
            | Self::Text(_)
            | Self::Port(_)
            | Self::Address(_)
            | Self::Enum(_)
            | Self::Record(_)
            | Self::List(_)) => Err(format!("there is no -{other}")),
        }
    }

    /// A time span.
    pub(super) fn as_seconds(&self) -> Option<f64> {
        if let Self::Interval(seconds) = self {
            return Some(*seconds);
        }
        None
    }

    /// A port, or a text that is one: some options of stock's have ports as texts.
    pub(super) fn as_port(&self) -> Option<Port> {
        if let Self::Port(port) = self {
            return Some(*port);
        }
        self.shown().trim().parse().ok()
    }

    /// As Zeek's `cat` writes it: texts without quotes.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other @ (Self::Flag(_)
            | Self::Count(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Port(_)
            | Self::Interval(_)
            | Self::Address(_)
            | Self::Enum(_)
            | Self::Record(_)
            | Self::List(_)) => other.to_string(),
        }
    }
}

/// As a script would write it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(true) => f.write_str("T"),
            Self::Flag(false) => f.write_str("F"),
            Self::Count(number) => write!(f, "{number}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Double(number) => write!(f, "{number:?}"),
            Self::Text(text) => write_text(f, text),
            Self::Port(port) => write!(f, "{}/{}", port.number, port.protocol.name()),
            Self::Interval(seconds) => write_interval(f, *seconds),
            Self::Address(address) if address.contains(':') => write!(f, "[{address}]"),
            Self::Address(address) => f.write_str(address),
            Self::Enum(name) => f.write_str(name),
            Self::Record(fields) => {
                f.write_str("[")?;
                for (n, (name, value)) in fields.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    write!(f, "{comma}${name}={value}")?;
                }
                f.write_str("]")
            }
            Self::List(elements) => {
                f.write_str("{")?;
                for (n, value) in elements.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    write!(f, "{comma}{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// The largest unit that divides it, as people write it.
fn write_interval(f: &mut fmt::Formatter<'_>, seconds: f64) -> fmt::Result {
    let units = [(86400.0, "day"), (3600.0, "hr"), (60.0, "min")];
    let whole = |unit: f64| seconds >= unit && seconds % unit == 0.0;
    let unit = units.into_iter().find(|(unit, _)| whole(*unit));
    let (unit, name) = unit.unwrap_or((1.0, "sec"));
    let number = seconds / unit;
    let plural = if number == 1.0 { "" } else { "s" };
    write!(f, "{number}{name}{plural}")
}
