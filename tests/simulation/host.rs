//! The operating system below the supervisor: stems, and the nodes they start.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use supervisor::host::{ChildId, Ending, Group, HostInput, HostOutput, Signal, Target};

use crate::node::{Manners, Node};
use crate::world::{Event, SUPERVISOR, What, Who, World};

/// Tells a node which configuration it is of.
pub(crate) const CONFIG_VARIABLE: &str = "SIMULATED_CONFIG";

/// Its processes, and how they behave.
#[derive(Default)]
pub(crate) struct Host {
    /// Everything works, and fast.
    pub(crate) is_calm: bool,
    stems: BTreeMap<ChildId, Stem>,
    /// When the supervisor hears of what happens next: news do not overtake.
    free: Option<Instant>,
    last_pid: u32,
}

struct Stem {
    pid: u32,
    /// From the first SIGTERM to the end.
    stops_in: Duration,
    /// Once it is told of one: name and configuration.
    told: Option<(String, String)>,
    /// It was told to stop, so it does not start its node again.
    is_stopping: bool,
    /// The node's process id, since its last start.
    node_pid: u32,
    /// The node, while it runs.
    node: Option<Who>,
}

impl World {
    pub(crate) fn obey_host(&mut self, order: HostOutput) {
        let is_bad = !self.host.is_calm && self.draw.below(20) == 0;
        match order {
            HostOutput::MakeDirectory { .. } => {
                let room = if is_bad {
                    Err("no room".to_owned())
                } else {
                    Ok(())
                };
                self.report(HostInput::DirectoryMade { result: room });
            }
            HostOutput::Spawn { child, .. } => {
                if is_bad {
                    let reason = "cannot run zeek: no memory".to_owned();
                    return self.report(HostInput::SpawnFailed { child, reason });
                }
                let pid = self.next_pid();
                let stem = Stem {
                    pid,
                    stops_in: self.stop_time(),
                    told: None,
                    is_stopping: false,
                    node_pid: 0,
                    node: None,
                };
                self.host.stems.insert(child, stem);
                self.report(HostInput::Spawned { child, pid });
            }
            HostOutput::Tell { child, message } => self.create(child, &message),
            HostOutput::Signal {
                child,
                target,
                signal,
                ..
            } => match (target, signal, self.host.stems.get_mut(&child)) {
                (Target::Process, Signal::Term, Some(stem)) => {
                    stem.is_stopping = true;
                    let at = self.now + stem.stops_in;
                    self.later(at, Event::End(child));
                }
                (_, Signal::Kill, Some(_)) => self.end(child),
                (_, _, None) | (_, Signal::Hangup, _) | (Target::Group, Signal::Term, _) => {}
            },
            HostOutput::OpenFiles { .. }
            | HostOutput::WriteLine { .. }
            | HostOutput::CloseFiles { .. } => {}
        }
    }

    /// A stem starts its node; that takes a while, or never comes to anything.
    fn create(&mut self, child: ChildId, message: &[u8]) {
        let text = std::str::from_utf8(message).unwrap();
        let name = text
            .strip_prefix("create ")
            .and_then(|rest| rest.split(' ').next());
        let name = name.unwrap().to_owned();
        let Some(stem) = self.host.stems.get_mut(&child) else {
            return;
        };
        stem.told = Some((name, config_in(text)));
        self.start_node(child);
    }

    /// A node dies by itself; its stem tells, and starts it again.
    pub(crate) fn crash(&mut self, who: Who) {
        let stems = self.host.stems.iter();
        let mut own = stems.filter(|(_, stem)| stem.node == Some(who));
        let Some((child, stem)) = own.next() else {
            return;
        };
        let (child, pid) = (*child, stem.node_pid);
        let name = stem.told.clone().unwrap().0;
        self.kill(who);
        let how = format!("error Supervised node '{name}' (PID {pid}) exited prematurely");
        let chunk = format!("{how} with status 1\0").into();
        self.report(HostInput::Message { child, chunk });
        let wait = self.draw.millis(0..2000);
        self.later(self.now + wait, Event::Revival(child));
    }

    /// A node is forked, and says so much later that it is there.
    pub(crate) fn start_node(&mut self, child: ChildId) {
        let pid = self.next_pid();
        let stem = self.host.stems.get_mut(&child);
        let Some(stem) = stem.filter(|stem| !stem.is_stopping) else {
            return;
        };
        (stem.node_pid, stem.node) = (pid, None);
        let name = stem.told.clone().unwrap().0;
        let chunk = format!("status {name} {pid}\0").into();
        self.report(HostInput::Message { child, chunk });
        let wait = match self.draw.below(20) {
            _ if self.host.is_calm => self.draw.millis(0..500),
            0..12 => self.draw.millis(0..500),
            12..17 => self.draw.millis(500..4000),
            17..19 => self.draw.millis(4000..12_000),
            _ => return,
        };
        self.later(self.now + wait, Event::Birth(child));
    }

    pub(crate) fn birth(&mut self, child: ChildId) {
        let stem = self.host.stems.get(&child);
        let Some((name, config)) = stem.and_then(|stem| stem.told.clone()) else {
            return;
        };
        let manners = match self.draw.below(10) {
            _ if self.host.is_calm => Manners::Answers(self.draw.millis(0..50)),
            0..7 => Manners::Answers(self.draw.millis(0..50)),
            7..9 => Manners::Answers(self.draw.millis(50..8000)),
            _ => Manners::IsSilent,
        };
        let id = self.draw.endpoint_id();
        let node = self.start(Node::new((name, config), id, manners, self.now));
        if let Some(stem) = self.host.stems.get_mut(&child) {
            stem.node = Some(node);
        }
    }

    pub(crate) fn end(&mut self, child: ChildId) {
        let Some(stem) = self.host.stems.remove(&child) else {
            return;
        };
        if let Some(node) = stem.node {
            self.kill(node);
        }
        self.report(HostInput::Exited {
            child,
            pid: stem.pid,
            ending: Ending::Status(0),
            group: Group::Empty,
        });
    }

    /// Mostly soon, sometimes not within any request's time.
    fn stop_time(&mut self) -> Duration {
        match self.draw.below(10) {
            0 => self.draw.millis(4000..24_000),
            _ => self.draw.millis(10..2000),
        }
    }

    fn report(&mut self, input: HostInput) {
        let at = self.now + self.draw.millis(1..20);
        let at = self.host.free.map_or(at, |free| free.max(at));
        self.host.free = Some(at);
        self.later(at, Event::To(SUPERVISOR, What::Host(input)));
    }

    fn next_pid(&mut self) -> u32 {
        self.host.last_pid += 1;
        1000 + self.host.last_pid
    }
}

/// The configuration that the order for a node names.
fn config_in(order: &str) -> String {
    let (_, rest) = order
        .split_once(&format!("\"{CONFIG_VARIABLE}\":\""))
        .unwrap();
    rest.split('"').next().unwrap().to_owned()
}
