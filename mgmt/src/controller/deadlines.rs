//! Instances that something is due for, each at its time. There may be thousands, and what is due
//! next is asked for after whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// A time for each of these names.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    by_name: BTreeMap<String, Instant>,
    /// The same, as they come.
    by_time: BTreeSet<(Instant, String)>,
}

impl Deadlines {
    /// The same time for all.
    pub(super) fn all_at(names: impl IntoIterator<Item = String>, at: Instant) -> Self {
        let mut deadlines = Self::default();
        for name in names {
            deadlines.set(name, at);
        }
        deadlines
    }

    /// In place of the one that this name has, if it has one.
    pub(super) fn set(&mut self, name: String, at: Instant) {
        self.remove(&name);
        self.by_time.insert((at, name.clone()));
        self.by_name.insert(name, at);
    }

    /// Whether there was one.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some((name, at)) = self.by_name.remove_entry(name) else {
            return false;
        };
        self.by_time.remove(&(at, name))
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out those whose time has come; in the order of their names.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        while self.next().is_some_and(|at| at <= now)
            && let Some((_, name)) = self.by_time.pop_first()
        {
            self.by_name.remove(&name);
            due.push(name);
        }
        due.sort();
        due
    }
}
