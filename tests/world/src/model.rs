//! What an operator may observe of a cluster, whatever goes wrong below: a plain reference for the
//! programs, which knows nothing of how they work.
//!
//! The [`Model`] is told everything that is [`Seen`], in order, and objects as soon as something was
//! seen that must not be. [`Rule`] lists what it looks after. Where requests overlap, it allows what
//! some order of them explains that does not contradict the order in which they were asked and
//! answered: an answer must hold at one moment, at least, between its request and itself.
//!
//! It takes the disk for what is known of the controller's state: what is deployed and staged changes
//! when a save is [`Seen::Stored`], and only in ways that somebody asked for.

mod answers;
mod configs;
mod nodes;
mod requests;
#[cfg(test)]
mod tests;
mod traffic;
mod violation;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use mgmt::api::controller::ControllerRequest;

use crate::seen::{Client, Program, Seen};
use configs::Configs;
use nodes::Processes;
use requests::{Answer, Request, Requests};
use traffic::Traffic;
pub use traffic::{Speaker, Way};
pub use violation::{Rule, Violation};

/// Once nothing fails any more and nobody has asked for a change, all that was asked for is there
/// after this time: a node may be stopping for 30 s, and wait for its next start for 60 s.
pub const SETTLED: Duration = Duration::from_secs(90);

/// How long the controller may take an agent for connected that is not, and an agent a node:
/// until then TCP notices.
const DEAD_LINK: Duration = Duration::from_secs(60);

/// What is known of a cluster from what was seen of it.
#[derive(Debug, Default)]
pub struct Model {
    requests: Requests,
    configs: Configs,
    processes: Processes,
    traffic: Traffic,
    agents: BTreeMap<String, Presence>,
    stock: BTreeSet<String>,
    /// Whose supervisors are stock's.
    late: BTreeSet<String>,
    calm: Option<Duration>,
    /// When somebody last asked for a change.
    changed: Duration,
}

/// Whether an agent's program runs.
#[derive(Clone, Copy, Debug)]
enum Presence {
    Here,
    GoneSince(Duration),
}

impl Model {
    /// Nothing was seen. What these instances do is as in stock, whose agents take dead nodes for
    /// running ones and orders for deeds (API §12.2): of them less is demanded.
    pub fn new(stock: BTreeSet<String>) -> Self {
        Self {
            stock,
            ..Self::default()
        }
    }

    /// The supervisors of these instances are stock's, whose stem may be behind with earlier orders:
    /// nobody can tell whether the start of a node that it tells of is the one that was ordered last
    /// (API §12.3 D50).
    pub fn with_stock_supervisors(mut self, instances: BTreeSet<String>) -> Self {
        self.late = instances;
        self
    }

    /// Takes in what was seen at a time since the start, which never goes back.
    ///
    /// # Errors
    /// If that must not be. The model means nothing from then on.
    pub fn see(&mut self, at: Duration, seen: &Seen) -> Result<(), Violation> {
        self.requests.check_due(at)?;
        match seen {
            Seen::Asked { client, request } => {
                let request = Request {
                    client: *client,
                    asked: at,
                    request: request.clone(),
                    is_settled: self.is_settled(at),
                };
                let request = self.requests.ask(request)?;
                if let ControllerRequest::Deploy { .. } | ControllerRequest::Restart { .. } =
                    &request.request
                {
                    self.changed = at;
                }
                self.configs.ask(&request);
            }
            Seen::Answered { client, response } => {
                if let Some(request) = self.requests.answer(at, *client, response)? {
                    let (results, from) = (response.results(), request.asked);
                    self.check(&Answer {
                        request: &request,
                        results,
                        from,
                        at,
                    })?;
                }
            }
            Seen::ClientGone { client } => self.requests.leave(*client),
            Seen::Started { program } => self.start(program),
            Seen::Killed { program } => self.kill(at, program),
            Seen::Stored { deployed, staged } => {
                self.changed = at;
                let requests = &self.requests;
                self.configs
                    .store(at, requests, deployed.as_ref(), staged.as_ref())?;
            }
            Seen::NodeBorn {
                pid,
                instance,
                node,
                config,
            } => self
                .processes
                .born(at, *pid, [instance, node, config], &self.configs)?,
            Seen::NodeHeard { pid } => self.processes.heard(at, *pid),
            Seen::NodeDied { pid } => self.processes.died(at, *pid),
            Seen::Calm => self.calm = Some(at),
        }
        self.processes.check_outdated(at)
    }

    /// A client is sent somebody's request, as all are that are connected.
    ///
    /// # Errors
    /// If that is its own one.
    pub fn overhear(&self, at: Duration, client: Client, reqid: &str) -> Result<(), Violation> {
        self.requests.check_overheard(at, client, reqid)
    }

    /// Two processes have a link, the first of which has dialed.
    pub fn open(&mut self, link: u64, speakers: [Speaker; 2]) {
        self.traffic.open(link, speakers);
    }

    /// A process hands out bytes for a link.
    ///
    /// # Errors
    /// If these must not be sent there.
    pub fn send(&mut self, at: Duration, way: Way, bytes: Bytes) -> Result<(), Violation> {
        self.traffic.send(at, way, bytes)
    }

    /// So many of the bytes that were sent are about to be handed to the other side.
    pub fn arrive(&mut self, way: Way, len: usize) {
        self.traffic.arrive(way, len);
    }

    /// A process has ended its side of a link, or has gone.
    pub fn close(&mut self, way: Way) {
        self.traffic.close(way);
    }

    /// A link is no more.
    pub fn forget_link(&mut self, link: u64) {
        self.traffic.forget(link);
    }

    /// Nothing fails any more, and nobody has anything to do.
    ///
    /// # Errors
    /// If a peer was not sent what it should have been.
    pub fn check_links(&self, at: Duration) -> Result<(), Violation> {
        self.traffic.check_calm(at)
    }

    /// From when on [`Self::end`] has something to say; `None` as long as things may fail.
    pub fn settles(&self) -> Option<Duration> {
        Some(self.calm?.max(self.changed) + SETTLED)
    }

    /// Nothing more is seen: checks that nobody waits for an answer and, if that may be expected by
    /// then ([`Self::settles`]), that what is deployed runs everywhere, and nothing else, but for
    /// the instances that are excused.
    ///
    /// # Errors
    /// If not.
    pub fn end(&mut self, at: Duration, excused: &BTreeSet<String>) -> Result<(), Violation> {
        self.requests.check_due(at)?;
        self.requests.check_idle(at)?;
        self.processes.check_outdated(at)?;
        if !self.is_settled(at) {
            return Ok(());
        }
        let deployed = self.configs.deployed().cloned();
        let is_exempt = |name: &str| self.stock.contains(name) || excused.contains(name);
        let there = |name: &str| self.is_there(name) && !is_exempt(name);
        self.processes.check_settled(at, deployed.as_deref(), there)
    }

    /// Whether everything that was asked for must be there by now.
    fn is_settled(&self, at: Duration) -> bool {
        self.settles().is_some_and(|settled| settled <= at)
    }

    fn is_there(&self, instance: &str) -> bool {
        matches!(self.agents.get(instance), Some(Presence::Here))
    }

    /// What an earlier controller was asked, and its disk has not taken by now, comes to nothing.
    fn start(&mut self, program: &Program) {
        match program {
            Program::Agent(name) => {
                self.agents.insert(name.clone(), Presence::Here);
            }
            Program::Controller => self.configs.forget_pending(),
            Program::Supervisor(_) => {}
        }
    }

    /// What a controller was asked dies with it, as in stock: clients see their connection end.
    fn kill(&mut self, at: Duration, program: &Program) {
        match program {
            Program::Agent(name) => {
                self.agents.insert(name.clone(), Presence::GoneSince(at));
            }
            Program::Controller => self.requests.lose(),
            Program::Supervisor(_) => {}
        }
    }
}
