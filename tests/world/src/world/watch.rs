//! The model reads along what goes through the links.

use std::time::Duration;

use bytes::Bytes;

use super::{Host, Process, Who, World};
use crate::model::{Model, Speaker, Violation, Way};
use crate::node::HELLO;

/// A message that somebody takes note of when it is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mark {
    /// A node's first words.
    Hello,
    /// An agent shall end its nodes.
    Standby,
}

/// What the controller tells agents about their nodes.
const DEPLOY: &[u8] = b"Management::Agent::API::deploy_request";
const STANDBY: &[u8] = b"Management::Agent::API::agent_standby_request";

impl World {
    /// What somebody sends on a link is looked through for marks. An agent counts as ordered to have
    /// nodes as soon as the order is under way.
    pub(super) fn mark(&mut self, link: u64, from: Who, bytes: &[u8]) -> Option<Mark> {
        let has = |text: &[u8]| bytes.windows(text.len()).any(|it| it == text);
        if self.nodes.contains_key(&from) {
            return has(HELLO).then_some(Mark::Hello);
        }
        if self.controller != Some(from) {
            return None;
        }
        if has(DEPLOY) {
            let hosts = self.net.links[&link].sides.each_ref().map(|it| it.host);
            let sensors = hosts.into_iter().filter(|it| *it != Host::CONTROLLER);
            for host in sensors {
                self.sensor(host).is_ordered = true;
            }
        }
        has(STANDBY).then_some(Mark::Standby)
    }

    /// A message with a mark is read.
    pub(super) fn on_mark(&mut self, mark: Mark, from: Who, to: Who) {
        match mark {
            Mark::Hello => self.hear_hello(from),
            Mark::Standby => {
                let mut sensors = self.sensors.iter_mut();
                if let Some(sensor) = sensors.find(|it| it.agent == Some(to)) {
                    sensor.is_ordered = false;
                }
            }
        }
    }

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
