//! The management log: what operators of the stock framework read and search (API §8.4).
//!
//! The processes hand out [`Record`]s, in the order of what happened, next to their other outputs:
//! one for every event that comes in or goes out, and one for each of the few things that stock
//! tells besides. [`message`] words the first kind. [`ascii`] lays records out as Zeek's log writer
//! does. Nothing here knows the time or a file.

pub mod ascii;
pub mod message;

use std::path::PathBuf;
use std::time::Duration;

/// The longest message, in bytes. Ids and names come from the network, and records wait in memory
/// until they are written.
const MAX_MESSAGE: usize = 256 << 10;

/// How much a record matters (`Management::Log::Level`).
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// For those who work on the framework.
    Debug,
    /// What happened.
    #[default]
    Info,
    /// Someone should look.
    Warning,
    /// Something failed.
    Error,
}

/// One line of the log, but for its time and who writes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// How much it matters.
    pub level: Level,
    /// What happened, at most 256 KiB.
    pub message: String,
}

/// How the log is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogSettings {
    /// What is below this is left out (`Management::Log::level`).
    pub level: Level,
    /// How often the file is rotated; `None` for never (`Log::default_rotation_interval`).
    pub rotation: Option<Duration>,
    /// Where rotated files go, for other programs to take; empty for the directory of the log
    /// itself (`Log::default_rotation_dir`).
    pub rotation_dir: PathBuf,
    /// The form of the file.
    pub format: Format,
}

/// The forms that Zeek's log writer knows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// Columns with a header.
    #[default]
    Ascii,
    /// One JSON object in a line (`LogAscii::use_json`).
    Json,
}

/// Whose log it is (`Management::role`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogRole {
    /// A controller's.
    Controller,
    /// An agent's.
    Agent,
}

impl Level {
    /// As the column `level` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        }
    }

    /// The level of this name, with or without its module.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("Management::Log::").unwrap_or(name);
        let all = [Self::Debug, Self::Info, Self::Warning, Self::Error];
        all.into_iter().find(|level| level.as_str() == name)
    }
}

impl LogRole {
    /// As the column `role` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Controller => "CONTROLLER",
            Self::Agent => "AGENT",
        }
    }
}

impl Record {
    /// What is too long is cut.
    pub fn new(level: Level, mut message: String) -> Self {
        if message.len() > MAX_MESSAGE {
            let mut end = MAX_MESSAGE;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
        }
        Self { level, message }
    }

    /// What happened.
    pub fn info(message: impl Into<String>) -> Self {
        Self::new(Level::Info, message.into())
    }

    /// What someone should look at.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Level::Warning, message.into())
    }

    /// What failed.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Level::Error, message.into())
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: Level::default(),
            rotation: Some(Duration::from_secs(3600)),
            rotation_dir: PathBuf::new(),
            format: Format::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_the_names_that_scripts_use() {
        assert_eq!(
            Level::from_name("Management::Log::DEBUG"),
            Some(Level::Debug)
        );
        assert_eq!(Level::from_name("WARNING"), Some(Level::Warning));
        assert_eq!(Level::from_name("WARN"), None);
    }

    #[test]
    fn a_message_that_is_too_long_is_cut_between_characters() {
        let record = Record::info("é".repeat(MAX_MESSAGE));
        assert_eq!(record.message.len(), MAX_MESSAGE);
        let record = Record::info(format!("x{}", "é".repeat(MAX_MESSAGE)));
        assert_eq!(record.message.len(), MAX_MESSAGE - 1);
    }
}
