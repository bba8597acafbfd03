//! What can go wrong, and what does in one round: drawn from a seed.

use std::fmt;
use std::time::Duration;

use broker_proto::IdGen;

use crate::host::Kind;
use crate::network::{HostId, Way};

/// Something that goes wrong on one host.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fault {
    /// The link is down, and the host sees that.
    Unplugged,
    /// The link is down and up again many times.
    Flapping,
    /// Frames to the host are lost.
    Deaf,
    /// Frames from the host are lost.
    Mute,
    /// The link is slow.
    Slow,
    /// A process gets SIGKILL.
    Killed(Kind),
    /// A process gets SIGSTOP, and SIGCONT later.
    Stopped(Kind),
    /// All processes of the host get them.
    Frozen,
    /// All processes end at once, connections with them, and nobody is told.
    PowerCut,
    /// No byte is left on the disk of the state directory.
    DiskFull,
    /// The time of day jumps.
    ClockStepped,
}

/// A fault in a round.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Planned {
    pub(crate) fault: Fault,
    pub(crate) host: HostId,
    /// From the beginning of the round.
    pub(crate) after: Duration,
    /// Until it is over, or until what was killed may start again.
    pub(crate) lasts: Duration,
    /// Which of several processes; by how much a clock is stepped.
    pub(crate) which: u64,
}

/// Which faults this system allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Possible {
    pub(crate) links: bool,
    pub(crate) disks: bool,
    pub(crate) clocks: bool,
}

pub(crate) const ALL: [Fault; 18] = [
    Fault::Unplugged,
    Fault::Flapping,
    Fault::Deaf,
    Fault::Mute,
    Fault::Slow,
    Fault::Killed(Kind::Controller),
    Fault::Killed(Kind::Agent),
    Fault::Killed(Kind::Supervisor),
    Fault::Killed(Kind::Stem),
    Fault::Killed(Kind::Node),
    Fault::Stopped(Kind::Controller),
    Fault::Stopped(Kind::Agent),
    Fault::Stopped(Kind::Supervisor),
    Fault::Stopped(Kind::Node),
    Fault::Frozen,
    Fault::PowerCut,
    Fault::DiskFull,
    Fault::ClockStepped,
];

const MOST_AT_ONCE: u64 = 3;
const LATEST_MILLIS: u64 = 6000;
const SHORTEST_MILLIS: u64 = 500;
const LONGEST_MILLIS: u64 = 18_000;
const TWO_DAYS_SECS: u64 = 2 * 24 * 3600;

impl Fault {
    fn is_of_a_link(self) -> bool {
        matches!(
            self,
            Self::Unplugged | Self::Flapping | Self::Deaf | Self::Mute | Self::Slow
        )
    }

    /// Whether the link is not as it was while it lasts.
    fn holds_the_link(self) -> bool {
        self.is_of_a_link() || self == Self::PowerCut
    }

    fn is_possible(self, here: Possible) -> bool {
        match self {
            Self::DiskFull => here.disks,
            Self::ClockStepped => here.clocks,
            _ => here.links || !self.is_of_a_link(),
        }
    }

    /// Whether it can befall this host.
    fn fits(self, host: HostId) -> bool {
        let of_controller = host == HostId::CONTROLLER;
        match self {
            Self::Killed(kind) | Self::Stopped(kind) => of_controller == (kind == Kind::Controller),
            _ => true,
        }
    }

    /// Which direction is lost, if one is.
    pub(crate) fn lost(self) -> Option<Way> {
        match self {
            Self::Deaf => Some(Way::In),
            Self::Mute => Some(Way::Out),
            _ => None,
        }
    }
}

impl Planned {
    /// Whether the controller cannot be expected to answer.
    pub(crate) fn takes_the_controller_away(&self) -> bool {
        let of_process = matches!(self.fault, Fault::Killed(_) | Fault::Stopped(_));
        let of_host = matches!(self.fault, Fault::Frozen | Fault::PowerCut);
        self.host == HostId::CONTROLLER && (of_process || of_host)
    }

    pub(crate) fn over(&self) -> Duration {
        self.after + self.lasts
    }

    /// By how much a clock is stepped: up to two days, either way.
    pub(crate) fn step_secs(&self) -> i64 {
        let secs = i64::try_from(self.which % TWO_DAYS_SECS).unwrap_or_default() + 1;
        if self.which >> 63 == 0 { secs } else { -secs }
    }
}

/// Faults, round after round: all kinds in an order that is drawn, and then again in another one.
pub(crate) struct Faults {
    ids: IdGen,
    sensors: u8,
    possible: Vec<Fault>,
    /// Those to come, the next one last.
    deck: Vec<Fault>,
}

impl Faults {
    pub(crate) fn new(seed: u64, sensors: u8, here: Possible) -> Self {
        let possible = ALL.into_iter().filter(|fault| fault.is_possible(here));
        Self {
            ids: IdGen::new(seed),
            sensors,
            possible: possible.collect(),
            deck: Vec::new(),
        }
    }

    /// Leaves out what has none of these in its name; whether any is left.
    pub(crate) fn only(&mut self, names: &[String]) -> bool {
        let is_named = |fault: &Fault| {
            let name = fault.to_string();
            names.iter().any(|part| name.contains(part.as_str()))
        };
        self.possible.retain(is_named);
        !self.possible.is_empty()
    }

    /// The faults of the next round.
    pub(crate) fn round(&mut self) -> Vec<Planned> {
        let mut plan: Vec<Planned> = Vec::new();
        for _ in 0..=self.below(MOST_AT_ONCE) {
            let planned = self.plan_one();
            let is_second = plan.iter().any(|other| {
                let both_links = other.fault.holds_the_link() && planned.fault.holds_the_link();
                other.host == planned.host && (both_links || other.fault == planned.fault)
            });
            match is_second {
                // Its turn comes in the next round.
                true => self.deck.push(planned.fault),
                false => plan.push(planned),
            }
        }
        plan
    }

    fn plan_one(&mut self) -> Planned {
        let fault = self.next();
        let hosts: Vec<HostId> = (0..=self.sensors)
            .map(HostId)
            .filter(|host| fault.fits(*host))
            .collect();
        Planned {
            fault,
            host: self.one_of(&hosts).unwrap_or(HostId::CONTROLLER),
            after: Duration::from_millis(self.below(LATEST_MILLIS)),
            lasts: Duration::from_millis(SHORTEST_MILLIS + self.below(LONGEST_MILLIS)),
            which: self.ids.next_u64(),
        }
    }

    fn next(&mut self) -> Fault {
        if self.deck.is_empty() {
            let mut left = self.possible.clone();
            while let Some(fault) = self.one_of(&left) {
                left.retain(|other| *other != fault);
                self.deck.push(fault);
            }
        }
        // What needs neither links nor disks nor clocks is always possible.
        self.deck.pop().unwrap_or(Fault::Frozen)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.ids.next_u64() % limit
    }

    fn one_of<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let which = self.ids.next_u64().checked_rem(from.len() as u64)?;
        from.get(usize::try_from(which).ok()?).copied()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |kind: Kind| match kind {
            Kind::Controller => "controller",
            Kind::Agent => "agent",
            Kind::Supervisor => "supervisor",
            Kind::Stem => "stem",
            Kind::Node => "node",
        };
        match self {
            Self::Unplugged => f.write_str("link unplugged"),
            Self::Flapping => f.write_str("link flapping"),
            Self::Deaf => f.write_str("frames to a host lost"),
            Self::Mute => f.write_str("frames from a host lost"),
            Self::Slow => f.write_str("link slow"),
            Self::Killed(kind) => write!(f, "{} killed", of(*kind)),
            Self::Stopped(kind) => write!(f, "{} stopped", of(*kind)),
            Self::Frozen => f.write_str("host frozen"),
            Self::PowerCut => f.write_str("power cut"),
            Self::DiskFull => f.write_str("disk full"),
            Self::ClockStepped => f.write_str("clock stepped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const EVERYTHING: Possible = Possible {
        links: true,
        disks: true,
        clocks: true,
    };

    fn plans(seed: u64, here: Possible) -> Vec<Vec<Planned>> {
        let mut faults = Faults::new(seed, 3, here);
        (0..100).map(|_| faults.round()).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_faults() {
        assert_eq!(plans(7, EVERYTHING), plans(7, EVERYTHING));
        assert_ne!(plans(7, EVERYTHING), plans(8, EVERYTHING));
    }

    #[test]
    fn every_fault_comes_before_one_comes_again() {
        let drawn: Vec<Fault> = plans(1, EVERYTHING)
            .into_iter()
            .flatten()
            .map(|planned| planned.fault)
            .collect();
        let first: BTreeSet<Fault> = drawn[..ALL.len()].iter().copied().collect();
        assert_eq!(first, BTreeSet::from(ALL));
    }

    #[test]
    fn what_the_system_lacks_is_not_drawn() {
        let nothing = Possible {
            links: false,
            disks: false,
            clocks: false,
        };
        for planned in plans(1, nothing).into_iter().flatten() {
            let fault = planned.fault;
            assert!(!fault.is_of_a_link(), "{fault}");
            assert!(!matches!(fault, Fault::DiskFull | Fault::ClockStepped));
        }
    }

    #[test]
    fn only_the_controllers_host_loses_its_controller() {
        for planned in plans(2, EVERYTHING).into_iter().flatten() {
            if let Fault::Killed(kind) | Fault::Stopped(kind) = planned.fault {
                let of_controller = planned.host == HostId::CONTROLLER;
                assert_eq!(of_controller, kind == Kind::Controller, "{planned:?}");
            }
        }
    }
}
