//! An operating system and peers that do their worst, and look at what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A stem's schedule and ours: 30 s to SIGKILL, 1 s for helpers, and what the system takes.
const DESTROYED_WITHIN: Duration = Duration::from_secs(34);

/// The longest back-off, and then some.
const CALM: Duration = Duration::from_secs(120);

/// What happened in a storm.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) nodes: u64,
    pub(super) deaths: u64,
    pub(super) kills: u64,
    pub(super) answers: u64,
}

impl Totals {
    pub(super) fn add(&mut self, other: Self) {
        self.nodes += other.nodes;
        self.deaths += other.deaths;
        self.kills += other.kills;
        self.answers += other.answers;
    }
}

/// One process group: a stem, its node, and what the node started.
#[derive(Clone, Debug)]
struct Family {
    child: ChildId,
    /// Unknown until the stem is told.
    name: Option<String>,
    stem: bool,
    node: Option<u32>,
    helper: bool,
    /// How long it takes after SIGTERM; `None`: for ever.
    stops_in: Option<Duration>,
    stopping: bool,
}

impl Family {
    fn is_alive(&self) -> bool {
        self.stem || self.node.is_some() || self.helper
    }
}

/// What will happen.
#[derive(Clone, Debug)]
enum Fate {
    Report(HostInput),
    /// The stem stops in order, its node before it.
    StemStops(u32),
    /// The node is dead and its stem starts it again.
    Revival(u32),
    /// A node sees that its stem is gone.
    OrphanLeaves(u32),
    /// A destroy was answered: these must be gone.
    Reckoning(Vec<u32>),
}

pub(super) struct World {
    supervisor: Supervisor,
    now: Instant,
    random: u64,
    families: BTreeMap<u32, Family>,
    fates: BTreeMap<(Instant, u64), Fate>,
    last: u32,
    asked: u64,
    seed: u64,
    is_calm: bool,
    is_ended: bool,
    listed: BTreeSet<String>,
    totals: Totals,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let rig = Rig::new();
        let (supervisor, now) = rig.into_parts();
        Self {
            supervisor,
            now,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            families: BTreeMap::new(),
            fates: BTreeMap::new(),
            last: 100,
            asked: 0,
            seed,
            is_calm: false,
            is_ended: false,
            listed: BTreeSet::new(),
            totals: Totals::default(),
        }
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// Lets a little time pass and does something.
    pub(super) fn step(&mut self) {
        let pause = match self.draw(10) {
            0..7 => self.draw(300),
            7..9 => self.draw(3000),
            _ => self.draw(20_000),
        };
        self.pass(Duration::from_millis(pause));
        match self.draw(16) {
            0..5 => self.ask_create(),
            5..8 => {
                let name = self.some_name();
                self.ask(destroy("r", name));
            }
            8..10 => {
                let name = self.some_name();
                self.ask(restart("r", name));
            }
            10..13 => self.kill_a_node(),
            13 => self.kill_a_stem(),
            14 => self.print_something(),
            _ => self.ask(destroy("r", "")),
        }
    }

    /// Nothing bad happens any more: all that is listed must run, and nothing else.
    pub(super) fn calm_down(&mut self) {
        self.is_calm = true;
        self.pass(CALM);
        self.ask(SupervisorRequest::Status {
            reqid: "s".into(),
            node: String::new(),
        });
        let alive = self.families.values().filter(|f| f.is_alive());
        let alive: Vec<&str> = alive.map(|f| f.name.as_deref().unwrap()).collect();
        let running: BTreeSet<String> = alive.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(running, self.listed, "seed {}", self.seed);
        assert_eq!(alive.len(), self.listed.len(), "seed {}", self.seed);
        assert_eq!(self.asked, self.totals.answers, "seed {}", self.seed);
    }

    pub(super) fn end(&mut self) {
        self.handle(Input::Shutdown);
        self.pass(Duration::from_secs(200));
        assert!(self.is_ended, "seed {}", self.seed);
        let left = self.families.values().filter(|f| f.is_alive()).count();
        assert_eq!(left, 0, "seed {}", self.seed);
    }

    fn ask_create(&mut self) {
        let name = self.some_name();
        let mut node = NodeConfig::named(name);
        if self.draw(3) == 0 {
            node.directory = Some("d".into());
        }
        self.ask(create("r", node));
    }

    fn ask(&mut self, request: SupervisorRequest) {
        self.asked += 1;
        if let SupervisorRequest::Destroy { node, .. } = &request {
            let meant = self.families.iter().filter(|(_, family)| {
                let is_named = family.name.as_deref() == Some(node.as_str());
                family.is_alive() && (node.is_empty() || is_named)
            });
            let meant: Vec<u32> = meant.map(|(pid, _)| *pid).collect();
            self.later(DESTROYED_WITHIN, Fate::Reckoning(meant));
        }
        self.handle(Input::Request { request });
    }

    fn kill_a_node(&mut self) {
        let Some(pid) = self.pick(|family| family.stem && family.node.is_some()) else {
            return;
        };
        let family = self.families.get_mut(&pid).unwrap();
        let node = family.node.take().unwrap();
        let (child, stopping) = (family.child, family.stopping);
        self.totals.deaths += 1;
        if stopping {
            return;
        }
        let name = self.families[&pid].name.clone().unwrap();
        let text = exited_text(&name, node);
        let chunk = text.into();
        self.report(HostInput::Message { child, chunk });
        let wait = self.draw(2000);
        self.later(Duration::from_millis(wait), Fate::Revival(pid));
    }

    fn kill_a_stem(&mut self) {
        if let Some(pid) = self.pick(|family| family.stem) {
            self.totals.deaths += 1;
            self.stem_ends(pid, Ending::Signal(9));
            let wait = self.draw(1300);
            self.later(Duration::from_millis(wait), Fate::OrphanLeaves(pid));
        }
    }

    fn print_something(&mut self) {
        if let Some(pid) = self.pick(|family| family.stem) {
            let child = self.families[&pid].child;
            self.report(HostInput::Printed {
                child,
                stream: Stream::Stderr,
                chunk: "[a] x\n[b] y\nz\n".into(),
            });
        }
    }

    fn stem_ends(&mut self, pid: u32, ending: Ending) {
        let family = self.families.get_mut(&pid).unwrap();
        family.stem = false;
        let group = match family.is_alive() {
            true => Group::Alive,
            false => Group::Empty,
        };
        let child = family.child;
        self.report(HostInput::Exited {
            child,
            pid,
            ending,
            group,
        });
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let fate = self.fates.keys().next().map(|(at, _)| *at);
            let due = self.supervisor.poll_timeout();
            let next = [fate, due].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = next.max(self.now);
            if fate == Some(next) {
                let (_, fate) = self.fates.pop_first().unwrap();
                self.befall(fate);
            } else {
                self.supervisor.handle_timeout(self.now);
                self.work();
                let again = self.supervisor.poll_timeout();
                assert!(again.is_none_or(|at| at > self.now), "seed {}", self.seed);
            }
        }
    }

    fn befall(&mut self, fate: Fate) {
        match fate {
            Fate::Report(input) => self.handle(Input::Host { input }),
            Fate::StemStops(pid) => {
                let family = self.families.get_mut(&pid).unwrap();
                family.node = None;
                if family.stem {
                    self.stem_ends(pid, Ending::Status(0));
                }
            }
            Fate::Revival(pid) => {
                let family = &self.families[&pid];
                if family.stem && family.node.is_none() && !family.stopping {
                    self.start_node(pid);
                }
            }
            Fate::OrphanLeaves(pid) => self.families.get_mut(&pid).unwrap().node = None,
            Fate::Reckoning(pids) => {
                for pid in pids {
                    let family = &self.families[&pid];
                    assert!(!family.is_alive(), "seed {}: {family:?}", self.seed);
                }
            }
        }
    }

    fn start_node(&mut self, pid: u32) {
        self.last += 1;
        let node = self.last;
        let name = self.families[&pid].name.clone().unwrap();
        for (other, family) in &self.families {
            let is_same = family.name.as_ref() == Some(&name);
            let clash = *other != pid && is_same && (family.stem || family.node.is_some());
            assert!(!clash, "seed {}: {family:?}", self.seed);
        }
        let has_helper = self.draw(6) == 0;
        let family = self.families.get_mut(&pid).unwrap();
        family.node = Some(node);
        family.helper |= has_helper;
        let child = family.child;
        self.totals.nodes += 1;
        let chunk = format!("status {name} {node}\0").into();
        self.report(HostInput::Message { child, chunk });
    }

    fn handle(&mut self, input: Input) {
        self.supervisor.handle(self.now, input);
        self.work();
    }

    fn work(&mut self) {
        while let Some(output) = self.supervisor.poll_output() {
            match output {
                Output::Respond { response } => {
                    self.totals.answers += 1;
                    if let SupervisorResponse::Status { result, .. } = response {
                        self.listed = result.nodes.into_keys().collect();
                    }
                }
                Output::Host { output } => self.obey(output),
                Output::Stopped => self.is_ended = true,
                Output::Lives { .. } | Output::NodeStatus { .. } | Output::NodeExit { .. } => {}
            }
        }
    }

    fn obey(&mut self, output: HostOutput) {
        match output {
            HostOutput::MakeDirectory { .. } => {
                let result = match self.draw(10) {
                    0 => Err("no room".to_owned()),
                    _ => Ok(()),
                };
                self.report(HostInput::DirectoryMade { result });
            }
            HostOutput::Spawn { child, .. } => self.spawn(child),
            HostOutput::Tell { child, message } => {
                let found = self.families.iter().find(|(_, f)| f.child == child);
                let (pid, _) = found.unwrap();
                let pid = *pid;
                let text = String::from_utf8(message.into()).unwrap();
                let name = text.split(' ').nth(1).unwrap().to_owned();
                let family = self.families.get_mut(&pid).unwrap();
                family.name = Some(name);
                if family.stem {
                    self.start_node(pid);
                }
            }
            HostOutput::Signal {
                pid,
                target,
                signal,
                ..
            } => self.signal(pid, target, signal),
            HostOutput::OpenFiles { .. }
            | HostOutput::WriteLine { .. }
            | HostOutput::CloseFiles { .. } => {}
        }
    }

    fn spawn(&mut self, child: ChildId) {
        if !self.is_calm && self.draw(8) == 0 {
            let reason = "cannot run zeek: no memory".into();
            return self.report(HostInput::SpawnFailed { child, reason });
        }
        self.last += 1;
        let pid = self.last;
        let stops_in = match self.draw(10) {
            0 => None,
            1 => Some(26_050),
            _ => Some(self.draw(3000)),
        };
        let family = Family {
            child,
            name: None,
            stem: true,
            node: None,
            helper: false,
            stops_in: stops_in.map(Duration::from_millis),
            stopping: false,
        };
        self.families.insert(pid, family);
        self.report(HostInput::Spawned { child, pid });
    }

    fn signal(&mut self, pid: u32, target: Target, signal: Signal) {
        let helpers_leave = self.draw(2) == 0;
        let family = self.families.get_mut(&pid).unwrap();
        match (target, signal) {
            (Target::Process, Signal::Term) if family.stem => {
                family.stopping = true;
                if let Some(time) = family.stops_in {
                    self.later(time, Fate::StemStops(pid));
                }
            }
            (Target::Group, Signal::Term) => family.helper &= !helpers_leave,
            (Target::Group, Signal::Kill) => {
                (family.node, family.helper) = (None, false);
                self.totals.kills += 1;
                if family.stem {
                    self.stem_ends(pid, Ending::Signal(9));
                }
            }
            (_, Signal::Hangup) | (Target::Process, Signal::Term | Signal::Kill) => {}
        }
    }

    /// News travel for a moment, in order.
    fn report(&mut self, input: HostInput) {
        self.later(Duration::from_millis(1), Fate::Report(input));
    }

    fn later(&mut self, time: Duration, fate: Fate) {
        self.last += 1;
        let order = u64::from(self.last);
        self.fates.insert((self.now + time, order), fate);
    }

    fn pick(&mut self, fits: impl Fn(&Family) -> bool) -> Option<u32> {
        let fitting = self.families.iter().filter(|(_, family)| fits(family));
        let fitting: Vec<u32> = fitting.map(|(pid, _)| *pid).collect();
        let count = u64::try_from(fitting.len()).unwrap();
        let at = self.draw(count.max(1));
        fitting.get(usize::try_from(at).unwrap()).copied()
    }

    fn some_name(&mut self) -> &'static str {
        let count = u64::try_from(NAMES.len()).unwrap();
        NAMES[usize::try_from(self.draw(count)).unwrap()]
    }

    /// A number below the limit (xorshift).
    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below.max(1)
    }
}

fn exited_text(node: &str, pid: u32) -> String {
    format!("error Supervised node '{node}' (PID {pid}) exited prematurely with status 1\0")
}
