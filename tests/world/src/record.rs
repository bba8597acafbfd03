//! What was seen, and what was wrong with it.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::model::{Model, Rule, Violation};
use crate::seen::Seen;
use crate::tally::Tally;

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
    /// What the model objects to.
    pub(crate) rule: Option<Rule>,
    /// How often what went wrong, and what became of requests.
    pub(crate) tally: Tally,
    model: Model,
    /// Nobody judges what is seen.
    is_unjudged: bool,
}

impl Record {
    pub(crate) fn new(telling: Telling, model: Model) -> Self {
        Self {
            seen: Vec::new(),
            text: match telling {
                Telling::Off => None,
                Telling::On => Some(String::new()),
            },
            violation: None,
            rule: None,
            tally: Tally::default(),
            model,
            is_unjudged: false,
        }
    }

    pub(crate) fn see(&mut self, at: Duration, seen: Seen) {
        self.tell(at, format_args!("{seen:?}"));
        self.tally.see(&seen);
        if self.violation.is_none()
            && !self.is_unjudged
            && let Err(violation) = self.model.see(at, &seen)
        {
            self.object(at, &violation);
        }
        self.seen.push((at, seen));
    }

    /// The model looks at something that is not kept.
    pub(crate) fn judge(
        &mut self,
        at: Duration,
        judge: impl FnOnce(&mut Model) -> Result<(), Violation>,
    ) {
        if self.violation.is_none()
            && !self.is_unjudged
            && let Err(violation) = judge(&mut self.model)
        {
            self.object(at, &violation);
        }
    }

    /// The same for somebody else to judge.
    pub(crate) fn unjudged(telling: Telling) -> Self {
        Self {
            is_unjudged: true,
            ..Self::new(telling, Model::default())
        }
    }

    /// What is seen from here on is neither kept nor judged.
    pub(crate) fn forget(&mut self) {
        self.is_unjudged = true;
        self.seen.clear();
    }

    /// From when on all that was asked for must be there ([`Model::settles`]).
    pub(crate) fn settles(&self) -> Option<Duration> {
        self.model.settles()
    }

    /// Nothing more will be seen; whether these instances run what is deployed does not matter.
    pub(crate) fn end(&mut self, at: Duration, excused: &BTreeSet<String>) {
        if self.violation.is_none()
            && let Err(violation) = self.model.end(at, excused)
        {
            self.object(at, &violation);
        }
    }

    /// A rule is broken.
    pub(crate) fn object(&mut self, at: Duration, violation: &Violation) {
        self.rule = Some(violation.rule);
        self.violate(at, format!("{violation}"));
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
