//! The model reads along what goes through the links.

use std::time::Duration;

use bytes::Bytes;

use super::{Process, Who, World};
use crate::model::{Model, Speaker, Violation, Way};

impl World {
    /// Two processes have a link, the first of which has dialed.
    pub(super) fn watch_link(&mut self, link: u64, ends: [Who; 2]) {
        let speakers = ends.map(|who| Speaker {
            number: who.0,
            is_stock: matches!(
                self.process_mut(who),
                Some(Process::Stock(_) | Process::StockController(_))
            ),
        });
        self.tell(format_args!(
            "link {link} from {:?} to {:?}",
            ends[0], ends[1]
        ));
        self.watch(|_, model| {
            model.open(link, speakers);
            Ok(())
        });
    }

    pub(super) fn watch_sent(&mut self, link: u64, side: usize, bytes: Bytes) {
        self.watch(|at, model| model.send(at, Way { link, side }, bytes));
    }

    pub(super) fn watch_arrived(&mut self, link: u64, side: usize, len: usize) {
        self.watch(|_, model| {
            model.arrive(Way { link, side }, len);
            Ok(())
        });
    }

    pub(super) fn watch_closed(&mut self, link: u64, side: usize) {
        self.watch(|_, model| {
            model.close(Way { link, side });
            Ok(())
        });
    }

    pub(super) fn watch_gone(&mut self, link: u64) {
        self.watch(|_, model| {
            model.forget_link(link);
            Ok(())
        });
    }

    /// When nobody has anything to do.
    pub(crate) fn check_links(&mut self) {
        self.watch(|at, model| model.check_links(at));
    }

    fn watch(&mut self, look: impl FnOnce(Duration, &mut Model) -> Result<(), Violation>) {
        let at = self.since_start();
        self.record.judge(at, |model| look(at, model));
    }
}
