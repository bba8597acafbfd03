//! How many links a listener holds, and who has to go when there are too many (WIRE §11).
//!
//! A link is a stranger's until its other end has shown that it means it: until then it costs
//! nothing to open one, so what strangers may hold is little, and one that comes is worth more than
//! one that has been sitting there. So a newcomer is let in, and the oldest stranger of the source
//! that holds most goes. A flood thus pushes out its own links, and an honest peer, which needs
//! milliseconds to prove itself, gets through. Nobody is pushed out once he is known.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// How many links there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capacity {
    /// Links of all kinds, from all sources. 2,048 by default.
    pub links: usize,
    /// Links of all kinds from one source; 1,024 by default, as all nodes of a cluster may share a
    /// host.
    pub links_per_source: usize,
    /// Strangers' links from all sources; 512 by default.
    pub strangers: usize,
    /// Strangers' links from one source; 256 by default.
    pub strangers_per_source: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            links: 2048,
            links_per_source: 1024,
            strangers: 512,
            strangers_per_source: 256,
        }
    }
}

/// Names a link's place; never used twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PlaceId(u64);

/// Why there is no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Full {
    /// [`Capacity::links`], all of them of peers that are known.
    #[error("there are too many links")]
    Links,
    /// [`Capacity::links_per_source`], likewise.
    #[error("there are too many links from this address")]
    LinksOfSource,
}

/// The links of one listener.
#[derive(Debug)]
pub struct Places {
    capacity: Capacity,
    next: u64,
    held: BTreeMap<PlaceId, Source>,
    sources: BTreeMap<Source, Held>,
    /// All strangers.
    strangers: usize,
}

/// What one source holds.
#[derive(Debug, Default)]
struct Held {
    links: usize,
    /// Oldest first.
    strangers: BTreeSet<PlaceId>,
}

impl Places {
    /// No link is there yet.
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            next: 0,
            held: BTreeMap::new(),
            sources: BTreeMap::new(),
            strangers: 0,
        }
    }

    /// How many links there are.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there is no link.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many of them are strangers'.
    pub fn strangers(&self) -> usize {
        self.strangers
    }

    /// A stranger comes. It gets a place, and the strangers that are named have lost theirs for it.
    ///
    /// # Errors
    /// If there is no room, and no stranger that could go.
    pub fn enter(&mut self, source: Source) -> Result<(PlaceId, Vec<PlaceId>), Full> {
        let mut gone = Vec::new();
        loop {
            let (links, strangers) = match self.sources.get(&source) {
                Some(held) => (held.links, held.strangers.len()),
                None => (0, 0),
            };
            let has_too_many = links >= self.capacity.links_per_source;
            let oldest = if has_too_many || strangers >= self.capacity.strangers_per_source {
                self.oldest_of(source).ok_or(Full::LinksOfSource)?
            } else if self.len() >= self.capacity.links || self.strangers >= self.capacity.strangers
            {
                self.oldest_of_largest().ok_or(Full::Links)?
            } else {
                break;
            };
            self.leave(oldest);
            gone.push(oldest);
        }
        let place = PlaceId(self.next);
        self.next += 1;
        self.held.insert(place, source);
        let held = self.sources.entry(source).or_default();
        held.links += 1;
        held.strangers.insert(place);
        self.strangers += 1;
        Ok((place, gone))
    }

    /// Whoever holds this place is no stranger any more. Nothing happens if it lost the place, and
    /// then the answer is `false`.
    pub fn settle(&mut self, place: PlaceId) -> bool {
        let source = self.held.get(&place);
        let Some(held) = source.and_then(|source| self.sources.get_mut(source)) else {
            return false;
        };
        if held.strangers.remove(&place) {
            self.strangers -= 1;
        }
        true
    }

    /// A link is gone. Nothing happens if it lost its place before.
    pub fn leave(&mut self, place: PlaceId) {
        self.settle(place);
        let Some(source) = self.held.remove(&place) else {
            return;
        };
        if let Some(held) = self.sources.get_mut(&source) {
            held.links -= 1;
            if held.links == 0 {
                self.sources.remove(&source);
            }
        }
    }

    fn oldest_of(&self, source: Source) -> Option<PlaceId> {
        self.sources.get(&source)?.strangers.first().copied()
    }

    /// The oldest stranger of the source that has most; among equals the oldest of all.
    fn oldest_of_largest(&self) -> Option<PlaceId> {
        let sources = self.sources.values();
        let largest = sources.filter(|held| !held.strangers.is_empty());
        let largest = largest.max_by_key(|held| {
            let oldest = held.strangers.first().copied();
            (held.strangers.len(), std::cmp::Reverse(oldest))
        });
        largest?.strangers.first().copied()
    }
}

#[cfg(test)]
mod tests;
