//! A stock supervisor as a process of the world: one link to its agent, and a stem below it
//! (API §2.5, §9, §12.3).

use std::collections::VecDeque;
use std::time::Instant;

use broker_proto::EndpointId;
use broker_proto::peering::{Input, Output};
use supervisor::host::{ChildId, HostInput, Signal};

use crate::chance::Chance;
use crate::fault::Fault;
use crate::seen::CONFIG_VARIABLE;
use crate::stock::peer::{Heard, Peer};
use crate::stock::release::RELEASES;
use crate::stock::shapes::Part;
use crate::stock::supervisor::Supervisor;
use crate::stock::{Act, Scripts};
use crate::stock_link::StockLink;
use crate::stock_stem::{Command, Deed, StockStem};

/// Where agents look for it.
const PORT: u16 = 9999;

/// What it answers is true of what it has ordered, not of what has come of that.
#[derive(Debug)]
pub(crate) struct StockSupervisor {
    link: StockLink,
    scripts: Supervisor,
    stem: StockStem,
    wants: VecDeque<Want>,
}

/// What it and its stem want of the world.
#[derive(Debug)]
pub(crate) enum Want {
    Broker(Output),
    /// The process of a node, and the configuration it is of.
    Fork {
        child: ChildId,
        node: String,
        config: String,
    },
    Signal(ChildId, Signal),
    /// One of its defects has done something.
    Note(Fault),
}

impl StockSupervisor {
    /// One of the release that the number says.
    pub(crate) fn new(release: u64, id: EndpointId, chance: Chance) -> Self {
        let release = RELEASES[usize::try_from(release).unwrap() % RELEASES.len()];
        let peer = Peer::new(release, Part::Supervisor, id, &Supervisor::FILTER);
        Self {
            link: StockLink::new(peer, PORT),
            scripts: Supervisor::new(release).with_stem(),
            stem: StockStem::new(chance),
            wants: VecDeque::new(),
        }
    }

    /// Nothing goes wrong from now on.
    pub(crate) fn calm(&mut self) {
        self.stem.calm();
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        self.link.handle(input);
        while let Some(heard) = self.link.hear() {
            match heard {
                Heard::Event { topic, name, args } => {
                    let acts = self.scripts.hear(&topic, &name, &args);
                    self.act(now, acts);
                }
                Heard::Up | Heard::Lost | Heard::Refused(_) => {}
            }
        }
        self.settle();
    }

    /// Something happens to its nodes' processes.
    pub(crate) fn handle_host(&mut self, now: Instant, input: HostInput) {
        match input {
            HostInput::Message { chunk, .. } => {
                let text = std::str::from_utf8(&chunk).unwrap().trim_end_matches('\0');
                let status = text
                    .strip_prefix("status ")
                    .and_then(|it| it.split_once(' '));
                let (node, pid) = status.unwrap();
                let acts = self.scripts.on_status(node, pid.parse().unwrap());
                self.act(now, acts);
            }
            HostInput::Exited { child, .. } => self.stem.on_exit(now, child),
            // It tells of a process that has no number (S11).
            HostInput::SpawnFailed { child, .. } => {
                if let Some(node) = self.stem.name_of(child) {
                    let acts = self.scripts.on_status(node, 0);
                    self.act(now, acts);
                }
                self.stem.on_exit(now, child);
            }
            HostInput::DirectoryMade { .. }
            | HostInput::Spawned { .. }
            | HostInput::Printed { .. } => {}
        }
        self.settle();
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.stem.handle_timeout(now);
        self.settle();
    }

    pub(crate) fn poll_output(&mut self) -> Option<Want> {
        let want = self.wants.pop_front();
        want.or_else(|| self.link.poll_output().map(Want::Broker))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.stem.poll_timeout()
    }

    /// It publishes at once, and its stem reads its orders when it has time.
    fn act(&mut self, now: Instant, acts: Vec<Act>) {
        let mut acts = acts.into_iter().peekable();
        while let Some(act) = acts.next() {
            match act {
                Act::Say {
                    topic, name, args, ..
                } => self.link.say(&topic, &name, args),
                Act::Start(order) => {
                    let node = order.name;
                    let config = self.scripts.variable(&node, CONFIG_VARIABLE);
                    self.stem.order(now, Command::Create { node, config });
                }
                Act::Stop(node) => {
                    let is_start = |act: &Act| matches!(act, Act::Start(_));
                    self.stem.order(
                        now,
                        match acts.next_if(is_start) {
                            Some(_) => Command::Restart { node },
                            None => Command::Destroy { node },
                        },
                    );
                }
            }
        }
    }

    fn settle(&mut self) {
        while let Some(deed) = self.stem.poll_output() {
            self.wants.push_back(match deed {
                Deed::Fork(child, node, config) => Want::Fork {
                    child,
                    node,
                    config,
                },
                Deed::Signal(child, signal) => Want::Signal(child, signal),
                Deed::Wait => Want::Note(Fault::StockStemBusy),
            });
        }
        self.link.flush();
    }
}
