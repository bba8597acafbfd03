//! How many clients there may be, and how many of one source.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_proto::source::Source;

use super::upgrade::Refusal;

/// The seats of one server. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    limit: usize,
    limit_per_source: usize,
    taken: Arc<Mutex<BTreeMap<Source, usize>>>,
}

impl Seats {
    pub(super) fn new(limit: usize, limit_per_source: usize) -> Self {
        Self {
            limit,
            limit_per_source,
            taken: Arc::default(),
        }
    }

    /// Seats a client of this source.
    ///
    /// # Errors
    /// If all seats are taken, or all that one source may have.
    pub(super) fn take(&self, source: Source) -> Result<Seat, Refusal> {
        let mut taken = self.taken();
        if taken.values().sum::<usize>() >= self.limit {
            return Err(Refusal::Full);
        }
        let of_source = taken.entry(source).or_default();
        if *of_source >= self.limit_per_source {
            return Err(Refusal::SourceFull);
        }
        *of_source += 1;
        Ok(Seat {
            seats: self.clone(),
            source,
        })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<Source, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's seat, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    source: Source,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(of_source) = taken.get_mut(&self.source) {
            *of_source = of_source.saturating_sub(1);
            if *of_source == 0 {
                taken.remove(&self.source);
            }
        }
    }
}
