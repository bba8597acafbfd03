//! A stock stem, which has all nodes of its supervisor for children and does one thing at a time
//! (API §9.4, §12.3 D50).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use supervisor::host::{ChildId, Signal};

use crate::chance::Chance;

/// From one signal to the next, and from one look at dead nodes to the next.
const PAUSE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_secs(1);

/// Signals that a node may ignore.
const TERMS: u32 = 13;

/// A node that lived longer is a good one again.
const GOOD: Duration = Duration::from_secs(30);

/// The signal may fall between the look at a node and the sleep, in one of so many cases.
const MISSED: u64 = 20;

/// It forks, kills and waits.
#[derive(Debug)]
pub(crate) struct StockStem {
    nodes: BTreeMap<String, Node>,
    /// Its pipe, with what it has not read yet.
    commands: VecDeque<Command>,
    killing: Option<Killing>,
    /// When it looks for nodes to start again.
    look: Option<Instant>,
    forks: u64,
    is_calm: bool,
    chance: Chance,
    deeds: VecDeque<Deed>,
}

/// What its supervisor writes into its pipe (API §10.2).
#[derive(Debug)]
pub(crate) enum Command {
    Create { node: String, config: String },
    Destroy { node: String },
    Restart { node: String },
}

/// What it does to processes.
#[derive(Debug)]
pub(crate) enum Deed {
    /// The process of this node begins, of this configuration.
    Fork(ChildId, String, String),
    Signal(ChildId, Signal),
    /// A command has to wait until another one's node has ended.
    Wait,
}

#[derive(Debug)]
struct Node {
    config: String,
    child: ChildId,
    process: State,
    spawned: Instant,
    attempts: u32,
    delay: Duration,
}

#[derive(Debug)]
enum State {
    Runs,
    /// It has ended, and the stem has not looked.
    Zombie,
    Gone,
}

/// The stem does nothing else meanwhile (S8).
#[derive(Debug)]
struct Killing {
    node: String,
    then: Then,
    signals: u32,
    next: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Forget,
    Start,
}

impl StockStem {
    pub(crate) fn new(chance: Chance) -> Self {
        Self {
            nodes: BTreeMap::new(),
            commands: VecDeque::new(),
            killing: None,
            look: None,
            forks: 0,
            is_calm: false,
            chance,
            deeds: VecDeque::new(),
        }
    }

    /// From now on no signal is missed: with those after it, five seconds would be too short.
    pub(crate) fn calm(&mut self) {
        self.is_calm = true;
    }

    /// Its supervisor orders something.
    pub(crate) fn order(&mut self, now: Instant, command: Command) {
        if self.killing.is_some() {
            self.deeds.push_back(Deed::Wait);
        }
        self.commands.push_back(command);
        self.read(now);
    }

    /// A child has ended, or was never born.
    pub(crate) fn on_exit(&mut self, now: Instant, child: ChildId) {
        let mut nodes = self.nodes.iter_mut();
        let Some((name, node)) = nodes.find(|(_, node)| node.child == child) else {
            return;
        };
        node.process = State::Zombie;
        match &mut self.killing {
            // The sleep may begin behind the signal that it waits for.
            Some(killing)
                if killing.node == *name && !self.is_calm && self.chance.is_one_in(MISSED) => {}
            // Any other child's end cuts the sleep short as well.
            Some(killing) => {
                killing.next = now;
                self.kill_on(now);
            }
            None => self.look_after(now),
        }
    }

    /// The node that has this process.
    pub(crate) fn name_of(&self, child: ChildId) -> Option<&str> {
        let mut nodes = self.nodes.iter();
        let found = nodes.find(|(_, node)| node.child == child);
        found.map(|(name, _)| name.as_str())
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.kill_on(now);
        if self.killing.is_none() && self.look.is_some_and(|look| look <= now) {
            self.look_after(now);
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Deed> {
        self.deeds.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.killing {
            Some(killing) => Some(killing.next),
            None => self.look,
        }
    }

    /// Does what it is told until that takes time.
    fn read(&mut self, now: Instant) {
        while self.killing.is_none()
            && let Some(command) = self.commands.pop_front()
        {
            match command {
                Command::Create { node, config } => {
                    let fresh = Node {
                        config,
                        child: self.next_child(),
                        process: State::Gone,
                        spawned: now,
                        attempts: 0,
                        delay: Duration::from_secs(1),
                    };
                    let former = self.nodes.insert(node.clone(), fresh);
                    assert!(former.is_none(), "{node} is created twice (API §10.2)");
                    self.fork(now, &node);
                }
                Command::Destroy { node } => self.kill(now, node, Then::Forget),
                Command::Restart { node } => self.kill(now, node, Then::Start),
            }
        }
    }

    fn kill(&mut self, now: Instant, node: String, then: Then) {
        self.killing = Some(Killing {
            node,
            then,
            signals: 0,
            next: now,
        });
        self.kill_on(now);
    }

    /// The next signal, if it is time and there is still somebody to hear it (S8).
    fn kill_on(&mut self, now: Instant) {
        let Some(killing) = self.killing.as_mut().filter(|it| it.next <= now) else {
            return;
        };
        let node = self.nodes.get_mut(&killing.node).unwrap();
        if matches!(node.process, State::Runs) {
            let signal = match killing.signals < TERMS {
                true => Signal::Term,
                false => Signal::Kill,
            };
            killing.signals += 1;
            killing.next = now + PAUSE;
            return self.deeds.push_back(Deed::Signal(node.child, signal));
        }
        node.process = State::Gone;
        let (name, then) = (killing.node.clone(), killing.then);
        self.killing = None;
        match then {
            Then::Forget => drop(self.nodes.remove(&name)),
            Then::Start => self.fork(now, &name),
        }
        self.read(now);
        if self.killing.is_none() {
            self.look_after(now);
        }
    }

    /// Whoever is dead is started again, if that was not tried just now (S7).
    fn look_after(&mut self, now: Instant) {
        let mut due = Vec::new();
        for (name, node) in &mut self.nodes {
            if matches!(node.process, State::Zombie) {
                node.process = State::Gone;
                if node.spawned + GOOD < now {
                    node.attempts = 0;
                    node.delay = Duration::from_secs(1);
                }
            }
            if matches!(node.process, State::Gone) && node.spawned + node.delay <= now {
                node.attempts += 1;
                if node.attempts.is_multiple_of(3) {
                    node.delay *= 2;
                }
                due.push(name.clone());
            }
        }
        for name in due {
            self.fork(now, &name);
        }
        let mut nodes = self.nodes.values();
        let is_one_dead = nodes.any(|node| matches!(node.process, State::Gone));
        self.look = is_one_dead.then(|| now + LOOK);
    }

    fn fork(&mut self, now: Instant, name: &str) {
        let child = self.next_child();
        let node = self.nodes.get_mut(name).unwrap();
        node.child = child;
        node.process = State::Runs;
        node.spawned = now;
        let config = node.config.clone();
        self.deeds
            .push_back(Deed::Fork(child, name.to_owned(), config));
    }

    fn next_child(&mut self) -> ChildId {
        self.forks += 1;
        ChildId {
            unit: self.forks,
            generation: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_a_node_that_ignores_signals_waits_26_s() {
        let (mut stem, t0) = (StockStem::new(Chance::new(1)), start());
        let [stuck, other] = ["stuck", "other"].map(|node| create(&mut stem, t0, node));
        stem.order(t0, destroy("stuck"));
        stem.order(t0, destroy("other"));
        let mut signals = vec![];
        let mut now = t0;
        while signals.last() != Some(&(stuck, Signal::Kill)) {
            signals.extend(drain(&mut stem).into_iter().filter_map(signal));
            now = stem.poll_timeout().unwrap();
            stem.handle_timeout(now);
            signals.extend(drain(&mut stem).into_iter().filter_map(signal));
        }
        assert_eq!(now - t0, Duration::from_secs(26));
        assert_eq!(signals.len(), 14);
        assert!(signals.iter().all(|(child, _)| *child == stuck));
        stem.on_exit(now, stuck);
        let then: Vec<_> = drain(&mut stem).into_iter().filter_map(signal).collect();
        assert_eq!(then, [(other, Signal::Term)]);
    }

    #[test]
    fn a_node_that_dies_at_once_is_started_after_1_1_1_2_2_2_4_s() {
        let (mut stem, t0) = (StockStem::new(Chance::new(1)), start());
        let mut child = create(&mut stem, t0, "a");
        let (mut waits, mut now) = (vec![], t0);
        for _ in 0..7 {
            let died = now;
            stem.on_exit(now, child);
            child = loop {
                if let [Deed::Fork(child, _, _)] = drain(&mut stem).as_slice() {
                    break *child;
                }
                now = stem.poll_timeout().unwrap();
                stem.handle_timeout(now);
            };
            waits.push((now - died).as_secs());
        }
        assert_eq!(waits, [1, 1, 1, 2, 2, 2, 4]);
    }

    #[test]
    fn nobody_is_revived_while_another_one_is_killed() {
        let (mut stem, t0) = (StockStem::new(Chance::new(1)), start());
        let [stuck, dead] = ["stuck", "dead"].map(|node| create(&mut stem, t0, node));
        let t1 = t0 + Duration::from_secs(10);
        stem.order(
            t1,
            Command::Restart {
                node: "stuck".to_owned(),
            },
        );
        stem.on_exit(t1, dead);
        stem.handle_timeout(t1 + PAUSE);
        let deeds = drain(&mut stem);
        assert!(!deeds.iter().any(|deed| matches!(deed, Deed::Fork(..))));
        stem.on_exit(t1 + PAUSE, stuck);
        stem.handle_timeout(t1 + PAUSE * 2);
        let forks: Vec<_> = drain(&mut stem).into_iter().filter_map(fork).collect();
        assert_eq!(forks, ["stuck", "dead"]);
    }

    fn create(stem: &mut StockStem, now: Instant, node: &str) -> ChildId {
        let (node, config) = (node.to_owned(), "c1".to_owned());
        stem.order(now, Command::Create { node, config });
        match drain(stem).as_slice() {
            [Deed::Fork(child, _, _)] => *child,
            other => panic!("{other:?}"),
        }
    }

    fn destroy(node: &str) -> Command {
        let node = node.to_owned();
        Command::Destroy { node }
    }

    fn drain(stem: &mut StockStem) -> Vec<Deed> {
        std::iter::from_fn(|| stem.poll_output()).collect()
    }

    fn signal(deed: Deed) -> Option<(ChildId, Signal)> {
        match deed {
            Deed::Signal(child, signal) => Some((child, signal)),
            Deed::Fork(..) | Deed::Wait => None,
        }
    }

    fn fork(deed: Deed) -> Option<String> {
        match deed {
            Deed::Fork(_, name, _) => Some(name),
            Deed::Signal(..) | Deed::Wait => None,
        }
    }

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn start() -> Instant {
        Instant::now()
    }
}
