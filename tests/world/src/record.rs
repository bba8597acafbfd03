//! What was seen, and what was wrong with it.

use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::seen::Seen;

/// Whether the trace is wanted as text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Telling {
    /// No: it costs more than the rest.
    Off,
    /// A line for each thing that happens.
    On,
}

/// What was seen, and the first thing that was wrong.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) seen: Vec<(Duration, Seen)>,
    pub(crate) text: Option<String>,
    pub(crate) violation: Option<String>,
}

impl Record {
    pub(crate) fn new(telling: Telling) -> Self {
        Self {
            seen: Vec::new(),
            text: match telling {
                Telling::Off => None,
                Telling::On => Some(String::new()),
            },
            violation: None,
        }
    }

    pub(crate) fn see(&mut self, at: Duration, seen: Seen) {
        self.tell(at, format_args!("{seen:?}"));
        self.seen.push((at, seen));
    }

    pub(crate) fn tell(&mut self, at: Duration, what: fmt::Arguments<'_>) {
        if let Some(text) = &mut self.text {
            let _ = writeln!(text, "{:>11.6} {what}", at.as_secs_f64());
        }
    }

    /// Only the first one counts: the rest may come from it.
    pub(crate) fn violate(&mut self, at: Duration, what: String) {
        self.tell(at, format_args!("VIOLATION {what}"));
        self.violation
            .get_or_insert_with(|| format!("{:.6} s: {what}", at.as_secs_f64()));
    }
}
