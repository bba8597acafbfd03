//! What goes wrong between and below the programs, and the end of that.

use std::time::Duration;

use super::net::Loss;
use super::{Event, Host, Kind, Who, World};
use crate::fault::Fault;
use crate::seen::Seen;

impl World {
    /// From here to there nothing gets through for a while.
    pub(crate) fn block(&mut self, from: Host, to: Host, time: Duration) {
        if from == to {
            return;
        }
        self.tell(format_args!(
            "nothing gets from {from} to {to} for {time:?}"
        ));
        self.net.blocked.insert((from, to));
        self.later(self.now + time, Event::Heal(from, to));
    }

    pub(super) fn heal(&mut self, from: Host, to: Host) {
        if self.net.blocked.remove(&(from, to)) {
            self.net.felt.remove(&(from, to));
            self.tell(format_args!("{from} reaches {to} again"));
            self.wake_links();
        }
    }

    /// The connections between two hosts, or within one, are lost.
    pub(crate) fn reset(&mut self, a: Host, b: Host) {
        self.tell(format_args!("links between {a} and {b} are reset"));
        let links = self.net.links.iter();
        let lost = links.filter(|(_, link)| {
            let hosts = link.sides.each_ref().map(|side| side.host);
            hosts == [a, b] || hosts == [b, a]
        });
        for number in lost.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.note(Fault::LinkReset);
            self.break_link(number, "connection reset by peer");
        }
    }

    /// The connections between two processes are lost.
    pub(crate) fn cut(&mut self, a: Who, b: Who) {
        self.tell(format_args!("links between {a:?} and {b:?} are cut"));
        let links = self.net.links.iter();
        let lost = links.filter(|(_, link)| {
            let ends = link.sides.each_ref().map(|side| side.end.who);
            ends == [a, b] || ends == [b, a]
        });
        for number in lost.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.break_link(number, "connection reset by peer");
        }
    }

    /// What goes into a host's links stays on its way for a while.
    pub(crate) fn clog(&mut self, from: Host, time: Duration) {
        self.tell(format_args!("links from {from} are stuck for {time:?}"));
        let until = self.now + time;
        for link in self.net.links.values_mut() {
            for side in &mut link.sides {
                if side.host == from {
                    side.out.stalled = Some(until);
                }
            }
        }
    }

    /// The lights go out, and on again after a while.
    pub(crate) fn cut_power(&mut self, host: Host, time: Duration) {
        if !self.dark.insert(host) {
            return;
        }
        self.tell(format_args!("{host} has no power for {time:?}"));
        if host == Host::CONTROLLER {
            self.note(Fault::ControllerUnpowered);
            self.kill_controller(Loss::Host, None);
        } else {
            self.note(Fault::SensorUnpowered);
            self.kill_agent(host, Loss::Host, None);
            self.kill_supervisor(host, Loss::Host, None);
        }
        self.later(self.now + time, Event::Power(host));
    }

    pub(super) fn on_power(&mut self, host: Host) {
        if !self.dark.remove(&host) {
            return;
        }
        self.tell(format_args!("{host} has power"));
        self.wake_links();
        self.expect_keepalives(host);
        if host == Host::CONTROLLER {
            return self.boot(host, Kind::Controller);
        }
        for kind in [Kind::Supervisor, Kind::Agent] {
            let wait = self.chance.millis(0..2000);
            self.later(self.now + wait, Event::Boot(host, kind));
        }
    }

    /// Nothing fails any more. What is stopped or stuck goes on when its time is over.
    pub(crate) fn calm_down(&mut self) {
        self.is_calm = true;
        self.see(Seen::Calm);
        for (from, to) in std::mem::take(&mut self.net.blocked) {
            self.tell(format_args!("{from} reaches {to} again"));
        }
        self.wake_links();
        for host in self.dark.clone() {
            self.on_power(host);
        }
        self.boot(Host::CONTROLLER, Kind::Controller);
        for host in self.sensor_hosts() {
            self.boot(host, Kind::Supervisor);
            self.boot(host, Kind::Agent);
        }
        self.calm_nodes();
    }
}
