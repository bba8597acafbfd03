//! The orderly end of all units: workers first, loggers late (API §12.3 D51).

use std::time::Instant;

use tracing::{info, warn};

use super::{Intake, Output, Supervisor};
use crate::unit::{Rank, Unit};

/// How far the end has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descent {
    /// Units of this rank and of those before it are told to stop.
    stage: Rank,
    /// When the next rank is told to, even if some of this one are left; unset after the last.
    until: Option<Instant>,
}

impl Descent {
    pub(super) fn deadline(self) -> Option<Instant> {
        self.until
    }
}

impl Supervisor {
    /// Begins the end. Whoever asks a second time has waited enough: all the rest stops at once.
    pub(super) fn on_shutdown(&mut self, now: Instant) {
        let units = self.units.len();
        let descent = match &self.intake {
            Intake::Open | Intake::Preparing { .. } => {
                info!(units, "stopping");
                let lowest = self.units.values().map(Unit::rank).min();
                self.enter(now, lowest.unwrap_or(Rank::LAST))
            }
            Intake::Stopping(_) => {
                warn!(units, "told again to stop; the rest stops at once");
                let (stage, until) = (Rank::LAST, None);
                Descent { stage, until }
            }
            Intake::Stopped => return,
        };
        self.intake = Intake::Stopping(descent);
    }

    /// Stops what is due to stop. Returns whether units went, so that more may follow.
    pub(super) fn descend(&mut self, now: Instant) -> bool {
        let Intake::Stopping(descent) = self.intake else {
            return false;
        };
        let descent = self.proceed(now, descent);
        self.intake = Intake::Stopping(descent);
        let mut went = false;
        for unit in self.units.values_mut() {
            // What has no process must not get one while the others stop.
            if unit.rank() <= descent.stage || !unit.has_process() {
                unit.on_stop(now, &mut self.out);
                went |= unit.is_gone();
            }
        }
        went
    }

    /// The next rank's turn comes when the ranks before it have no unit or no time left.
    fn proceed(&self, now: Instant, descent: Descent) -> Descent {
        let has_time = descent.until.is_none_or(|until| now < until);
        let mut ranks = self.units.values().map(Unit::rank);
        if has_time && ranks.any(|rank| rank <= descent.stage) {
            return descent;
        }
        let ranks = self.units.values().map(Unit::rank);
        match ranks.filter(|rank| *rank > descent.stage).min() {
            Some(stage) => self.enter(now, stage),
            None => descent,
        }
    }

    fn enter(&self, now: Instant, stage: Rank) -> Descent {
        let here = self.units.values().filter(|unit| unit.rank() == stage);
        let grace = here.clone().map(Unit::grace).max();
        info!(role = stage.name(), units = here.count(), "stopping");
        let has_more = self.units.values().any(|unit| unit.rank() > stage);
        let until = grace.filter(|_| has_more).map(|grace| now + grace);
        Descent { stage, until }
    }

    /// Reports the end when nothing is left.
    pub(super) fn end_if_empty(&mut self) {
        if matches!(self.intake, Intake::Stopping(_)) && self.units.is_empty() {
            self.intake = Intake::Stopped;
            self.out.push_back(Output::Stopped);
        }
    }
}
