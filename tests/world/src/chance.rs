//! Numbers that a seed decides.

use std::ops::Range;
use std::time::Duration;

use broker_proto::{EndpointId, IdGen};

/// The same seed has the same numbers.
#[derive(Clone, Debug)]
pub(crate) struct Chance(IdGen);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(IdGen::new(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    pub(crate) fn is_one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn endpoint_id(&mut self) -> EndpointId {
        self.0.endpoint_id()
    }

    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    pub(crate) fn micros(&mut self, range: Range<u64>) -> Duration {
        Duration::from_micros(self.within(range))
    }

    fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }
}
