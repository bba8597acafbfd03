//! The agent's own nodes, and what is known of each of them (API §12.2 D36).
//!
//! News of a node come on two ways that know nothing of each other's order: its starts and deaths
//! from the supervisor, its hello and the end of its peering from itself. Lives are counted, so that
//! what is said of a former one does not count for the next.

use std::collections::{BTreeMap, BTreeSet};

use broker_proto::EndpointId;
use supervisor::api::{Cluster, NodeEnd, NodeExit};

use super::life::FormerProcess;
use crate::model::{Node, NodeOutputs, State};

/// A node that died so often since it was ordered will not come up in time.
const TOO_MANY_DEATHS: u32 = 3;

/// The nodes of the current configuration that run on this instance.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// Names in the order of creation, which is the order of results.
    order: Vec<String>,
    by_name: BTreeMap<String, LocalNode>,
    /// All nodes of the cluster, as each of them is told.
    cluster: Cluster,
}

/// One of them, since the deployment that created it.
#[derive(Debug)]
pub(super) struct LocalNode {
    /// As configured, and its state.
    config: Node,
    /// What it wrote in a former life, if it had one in this deployment.
    outputs: Option<NodeOutputs>,
    /// Whether the supervisor has taken it on. What that says of the name before is about a former
    /// node.
    is_created: bool,
    /// A process that was there before may still have its name, until it starts.
    former: Option<FormerProcess>,
    /// It has started just now, and who says hello may still be that one: its end is told on another
    /// connection.
    is_settling: bool,
    /// Somebody has said hello so soon after a start, and it did not count.
    is_overheard: bool,
    /// The supervisor is asked whether it has started.
    is_asked: bool,
    /// The supervisor does not say so, so that a hello is all there is.
    is_unanswered: bool,
    /// It shall end and start again, and has not started yet.
    is_restarting: bool,
    /// Orders to do so that the supervisor has not answered. What it tells of before is older.
    restarts_asked: u32,
    /// How often the supervisor started it.
    starts: u32,
    /// As which process the last time, if that is known.
    pid: Option<i64>,
    /// Which of these lives said hello last. One ahead of `starts` if the hello overtook the
    /// supervisor's news: these travel on different connections.
    greeted: u32,
    /// What it is since the life numbered `starts` ended.
    dead: Option<State>,
    /// Deaths since it was ordered to start.
    deaths: u32,
    /// How it ended last, if it has not said hello since, in words that follow its name.
    ending: Option<String>,
    /// Nobody tries to start it any more, or nothing helps.
    is_hopeless: bool,
    /// Who said hello last; every process has an endpoint id of its own.
    peer: Option<EndpointId>,
    /// Whether that one is peered.
    is_linked: bool,
    /// That one's hello came when a start was still to be told. Was it of a former process of this
    /// name, it ends before.
    is_early: bool,
}

impl Nodes {
    /// These nodes, in the order of creation, in this cluster.
    pub(super) fn new(nodes: Vec<LocalNode>, cluster: Cluster) -> Self {
        let order = nodes.iter().map(|node| node.config.name.clone()).collect();
        let nodes = nodes.into_iter();
        let by_name = nodes.map(|node| (node.config.name.clone(), node)).collect();
        Self {
            order,
            by_name,
            cluster,
        }
    }

    /// All, in the order of creation.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &LocalNode)> {
        let node = |name: &String| self.by_name.get_key_value(name);
        let nodes = self.order.iter().filter_map(node);
        nodes.map(|(name, node)| (name.as_str(), node))
    }

    pub(super) fn get(&self, name: &str) -> Option<&LocalNode> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut LocalNode> {
        self.by_name.get_mut(name)
    }

    /// Takes a node out of a table that is to be replaced.
    pub(super) fn remove(&mut self, name: &str) -> Option<LocalNode> {
        self.by_name.remove(name)
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// The node whose hello came from this peer last.
    pub(super) fn of_peer(&self, peer: EndpointId) -> Option<String> {
        let mut nodes = self.iter();
        let found = nodes.find(|(_, node)| node.peer == Some(peer));
        found.map(|(name, _)| name.to_owned())
    }

    /// The nodes meant by a request, in the order of creation: an empty set means all, and names
    /// that are not here are somebody else's.
    pub(super) fn targets(&self, wanted: &BTreeSet<String>) -> Vec<(String, State)> {
        let is_wanted = |name: &str| wanted.is_empty() || wanted.contains(name);
        let nodes = self.iter().filter(|(name, _)| is_wanted(name));
        nodes
            .map(|(name, node)| (name.to_owned(), node.state()))
            .collect()
    }

    pub(super) fn all_running(&self) -> bool {
        self.by_name
            .values()
            .all(|node| node.state() == State::Running)
    }
}

impl LocalNode {
    /// One that shall be created.
    pub(super) fn pending(config: Node) -> Self {
        Self {
            config: Node {
                state: State::Pending,
                ..config
            },
            outputs: None,
            is_created: false,
            former: None,
            is_settling: false,
            is_overheard: false,
            is_asked: false,
            is_unanswered: false,
            is_restarting: false,
            restarts_asked: 0,
            starts: 0,
            pid: None,
            greeted: 0,
            dead: None,
            deaths: 0,
            ending: None,
            is_hopeless: false,
            peer: None,
            is_linked: false,
            is_early: false,
        }
    }

    /// Another process was ordered to end under its name.
    pub(super) fn on_former(&mut self, former: FormerProcess) {
        self.former = Some(former);
    }

    /// Itself, if the process of this number is its own, as what its successor has to expect.
    pub(super) fn as_former(&self, pid: Option<i64>) -> FormerProcess {
        let is_own = pid.is_some() && self.pid == pid;
        let peer = self.greeter().filter(|_| is_own);
        FormerProcess { pid, peer }
    }

    /// Who has said hello as its last process.
    fn greeter(&self) -> Option<EndpointId> {
        self.peer
            .filter(|_| self.starts > 0 && self.greeted == self.starts)
    }

    /// Whether the supervisor has taken it on, or started it, is not known. `true` if it has said
    /// hello already, and no former process can have.
    pub(super) fn on_unanswered(&mut self) -> bool {
        self.is_asked = false;
        if self.may_be_former() {
            return false;
        }
        self.is_unanswered = true;
        let is_up = !self.is_restarting && self.take_early();
        if is_up {
            self.greeted = self.starts.saturating_add(1);
        }
        is_up
    }

    /// One that the supervisor has started once, for a former life of the agent.
    pub(super) fn returning(config: Node) -> Self {
        Self {
            is_created: true,
            starts: 1,
            ..Self::pending(config)
        }
    }

    /// The same node, of another configuration in which nothing about it differs.
    pub(super) fn kept(self, config: Node) -> Self {
        let state = self.state();
        Self {
            config: Node { state, ..config },
            ..self
        }
    }

    pub(super) fn state(&self) -> State {
        self.config.state
    }

    pub(super) fn config(&self) -> &Node {
        &self.config
    }

    pub(super) fn outputs(&self) -> Option<&NodeOutputs> {
        self.outputs.as_ref()
    }

    /// The supervisor has told of a start of this node, not only of a former one.
    pub(super) fn is_started(&self) -> bool {
        self.starts > 0
    }

    pub(super) fn starts(&self) -> u32 {
        self.starts
    }

    /// It was ordered to end and start again, and has not started yet.
    pub(super) fn is_restarting(&self) -> bool {
        self.is_restarting
    }

    /// Somebody has said hello under its name, and whether it is a former process is not known.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_early && self.is_linked
    }

    /// Whether a supervisor that has read all orders, and lists the node with this process, or does
    /// not, never had the one for it.
    pub(super) fn is_order_lost(&self, found: Option<Option<i64>>) -> bool {
        let former = self.former.as_ref().and_then(|former| former.pid);
        let is_former = found.is_none_or(|pid| pid.is_some() && former == pid);
        !self.is_created && is_former
    }

    pub(super) fn on_ordered_again(&mut self) {
        self.config.state = State::Pending;
        self.is_asked = false;
        self.is_unanswered = false;
    }

    /// Whether a process that was there before may still have its name.
    pub(super) fn may_be_former(&self) -> bool {
        self.former.is_some() && self.starts == 0
    }

    /// It has started just now, and may not be the one who says hello under its name.
    pub(super) fn is_settling(&self) -> bool {
        self.is_settling
    }

    /// Somebody has said hello right after its start, or before, and may have been this node.
    pub(super) fn is_overheard(&self) -> bool {
        self.is_overheard
    }

    /// By now the end of a former process has been told. `true` if it has said hello itself.
    pub(super) fn on_settled(&mut self) -> bool {
        let is_over = std::mem::take(&mut self.is_settling);
        let is_up = is_over && std::mem::take(&mut self.is_early) && self.is_linked;
        if is_up {
            self.greet();
        }
        is_up
    }

    /// A start that was ordered has happened. `true` if it has said hello already, for sure.
    fn settle(&mut self) -> bool {
        let former = self.former.as_ref();
        self.is_settling = former.is_some_and(|former| former.peer.is_none());
        self.is_overheard |= self.is_settling && self.is_early && self.is_linked;
        !self.is_settling && self.take_early()
    }

    /// Neither the supervisor nor, before that, the agent takes it on.
    pub(super) fn is_refused(&self) -> bool {
        self.state() == State::Failed && !self.is_created
    }

    /// It is known to have no process.
    pub(super) fn is_dead(&self) -> bool {
        match self.state() {
            State::Crashed | State::Failed | State::Stopped => true,
            State::Pending | State::Running | State::Unknown => false,
        }
    }

    /// How it ended, if it is not up again, in words that follow its name.
    pub(super) fn ending(&self) -> Option<String> {
        self.ending.clone().map(|text| match self.deaths {
            0 | 1 => text,
            times => format!("{text}, {times} times by now"),
        })
    }

    /// Why nobody needs to wait for its hello any longer, in words that follow its name.
    pub(super) fn hopeless(&self) -> Option<String> {
        let is_over = self.is_hopeless || self.deaths >= TOO_MANY_DEATHS;
        self.ending().filter(|_| is_over)
    }

    pub(super) fn on_created(&mut self) {
        self.is_created = true;
    }

    /// The supervisor, or the agent itself, does not take it on.
    pub(super) fn on_refused(&mut self) {
        self.config.state = State::Failed;
    }

    /// It said hello; `false` if that is no news of the life that somebody may wait for.
    ///
    /// A process that was ordered to end may say its first hello on its way out, perhaps to an agent
    /// that has ordered another one of the same name by then. Its peering ends with it, before the
    /// other one can start.
    pub(super) fn on_hello(&mut self, from: EndpointId) -> bool {
        let is_known = self.peer == Some(from);
        let former = self.former.as_ref().and_then(|former| former.peer);
        if (is_known && self.is_restarting) || former == Some(from) {
            return false;
        }
        self.peer = Some(from);
        self.is_linked = true;
        let is_expected = self.starts > 0 || self.is_unanswered;
        if self.is_restarting || !is_expected {
            self.is_early = true;
            return false;
        }
        // Also if it says hello again: links break.
        if self.is_settling {
            self.is_early = true;
            self.is_overheard = true;
            return false;
        }
        if is_known {
            self.config.state = State::Running;
        } else {
            self.greet();
        }
        true
    }

    /// Its last life, or the next one if that is known to have ended, has said hello.
    fn greet(&mut self) {
        self.is_overheard = false;
        self.config.state = State::Running;
        self.ending = None;
        let is_next = self.dead.is_some() || self.greeted >= self.starts;
        self.greeted = self.starts.saturating_add(u32::from(is_next));
    }

    /// Whether to ask the supervisor if it has started: it has said hello before the news of that, or
    /// a process has that an agent before this one ordered to end. From here on it is asked.
    pub(super) fn is_to_be_asked_for(&mut self) -> bool {
        let is_doubtful = self.starts == 0 && self.is_early && self.former.is_none();
        is_doubtful && !self.is_restarting && !std::mem::replace(&mut self.is_asked, true)
    }

    /// The supervisor has answered that; `None` if it does not list it. `true` if it has started, and
    /// has said hello already. If it has not, its start will be told.
    pub(super) fn on_asked_for(&mut self, pid: Option<Option<i64>>) -> bool {
        self.is_asked = false;
        let is_awaited = self.starts == 0 && !self.is_restarting;
        is_awaited && pid.is_some_and(|pid| self.on_found(pid))
    }

    /// Its peering ended. A supervisor of ours tells why soon; until then nobody knows.
    pub(super) fn on_lost(&mut self) {
        self.is_linked = false;
        self.is_early = false;
        if self.state() == State::Running {
            self.config.state = self.dead.unwrap_or(State::Unknown);
        }
        // Last words that came behind the news of its death were no hello of its next life.
        if self.dead.is_some() {
            self.greeted = self.greeted.min(self.starts);
        }
    }

    /// A life that has not said hello is pending, also if the node was running before. Stock keeps
    /// it RUNNING while the supervisor revives it (API §12.2 D36). `true` if it has said hello
    /// already.
    pub(super) fn on_started(&mut self, pid: Option<i64>) -> bool {
        if !self.is_created {
            return false;
        }
        self.pid = pid;
        // The life that the order ends, if it was told of only now.
        if self.is_restarting && self.restarts_asked > 0 {
            self.starts = self.starts.saturating_add(1);
            self.former = Some(FormerProcess { pid, peer: None });
            return false;
        }
        let is_ordered = self.starts == 0 || self.is_restarting;
        let is_expected = is_ordered || self.dead.is_some();
        self.starts = self.starts.saturating_add(1);
        let is_up = match is_ordered {
            true => self.settle(),
            false => !self.is_settling && self.take_early(),
        };
        if self.greeted < self.starts {
            self.config.state = State::Pending;
            // Stock's supervisor tells of no death.
            if !is_expected {
                self.deaths = self.deaths.saturating_add(1);
                self.ending = Some("died".to_owned());
            }
        }
        self.is_restarting = false;
        self.is_hopeless = false;
        self.dead = None;
        is_up
    }

    /// Takes an early hello for one of the life that is known by now.
    fn take_early(&mut self) -> bool {
        let is_up = std::mem::take(&mut self.is_early) && self.is_linked;
        if is_up {
            self.greeted = self.starts;
            self.ending = None;
            self.config.state = State::Running;
        }
        is_up
    }

    /// The supervisor tells how a life ended, or what one wrote; `true` if that is the news of a
    /// death.
    ///
    /// What comes with the first start of a deployment are the last words of a node that an earlier
    /// one had created under the same name (API §12.2 D40). What comes before any start is why there
    /// is none.
    pub(super) fn on_exit(&mut self, exit: NodeExit) -> bool {
        if !self.is_created {
            return false;
        }
        let NodeExit { outputs, end } = exit;
        let has_words =
            !outputs.stdout.as_bytes().is_empty() || !outputs.stderr.as_bytes().is_empty();
        match end {
            Some(end) if end.is_given_up => {
                let how = if self.starts == 0 {
                    "did not start".to_owned()
                } else {
                    died(&end)
                };
                self.ending = Some(format!("{how}; its supervisor has given up"));
                self.is_hopeless = true;
                // There will be no start to wait for, also if one was ordered.
                self.is_restarting = false;
                self.dead = Some(State::Failed);
            }
            // Its former self's.
            Some(_) if self.starts == 0 => return false,
            Some(end) => {
                self.ending = Some(died(&end));
                self.dead = Some(State::Crashed);
                self.deaths = self.deaths.saturating_add(1);
            }
            None if self.starts == 0 => {
                self.ending = Some("did not start".to_owned());
                self.dead = Some(State::Crashed);
                self.is_hopeless = true;
            }
            None if self.starts == 1 && self.dead.is_none() => return false,
            None => {}
        }
        if has_words {
            self.outputs = Some(outputs);
        }
        let Some(dead) = self.dead.filter(|_| end.is_some() || self.starts == 0) else {
            return false;
        };
        if !self.is_restarting && self.greeted <= self.starts {
            self.config.state = dead;
            self.is_linked = false;
        }
        true
    }

    /// The supervisor is asked to end it and start it again.
    pub(super) fn on_restart(&mut self) {
        self.config.state = State::Pending;
        if self.starts > 0 {
            let (pid, peer) = (self.pid, self.greeter());
            self.former = Some(FormerProcess { pid, peer });
        }
        self.is_settling = false;
        self.is_restarting = true;
        self.restarts_asked = self.restarts_asked.saturating_add(1);
        self.is_early = false;
        self.is_hopeless = false;
        self.deaths = 0;
        self.ending = None;
        self.dead = None;
    }

    /// The supervisor has answered an order to restart it, or will not: what it tells of from here
    /// on comes of that.
    pub(super) fn on_restart_answered(&mut self) {
        self.restarts_asked = self.restarts_asked.saturating_sub(1);
    }

    /// Nobody tells of its starts and deaths any more. While it is peered, it runs.
    pub(super) fn on_supervisor_lost(&mut self) {
        self.restarts_asked = 0;
        if !self.is_linked && !self.is_refused() {
            self.config.state = State::Unknown;
        }
    }

    /// A supervisor that was away knows it by this process, and may have told of its start
    /// meanwhile, also of that which was asked for by a restart. `true` if it has said hello
    /// already.
    pub(super) fn on_found(&mut self, pid: Option<i64>) -> bool {
        self.is_created = true;
        if self.state() == State::Unknown {
            self.config.state = State::Pending;
        }
        if pid.is_none() {
            return false;
        }
        if self.starts > 0 {
            let is_next = match self.pid {
                Some(_) => self.pid != pid,
                None => self.is_early && self.is_linked,
            };
            return self.is_restarting && is_next && self.on_started(pid);
        }
        if self.former.as_ref().is_some_and(|former| former.pid == pid) {
            return false;
        }
        self.starts = 1;
        self.pid = pid;
        self.settle()
    }

    /// The supervisor still has it from a former life of the agent, as this process. Without one it
    /// has not started, and who said hello is a process that had its name before.
    pub(super) fn on_outlived(&mut self, pid: Option<i64>) {
        self.on_found(None);
        if pid.is_some() || self.pid.is_some() {
            return;
        }
        if self.state() == State::Running {
            self.config.state = State::Pending;
        }
        self.starts = 0;
        self.greeted = 0;
        self.is_early = self.is_linked;
    }

    /// The supervisor does not know it any more.
    pub(super) fn on_missing(&mut self) {
        if self.is_created {
            self.config.state = State::Stopped;
        }
    }

    /// It is the agent that ends it.
    pub(super) fn on_ended(&mut self) {
        self.config.state = State::Stopped;
    }
}

/// In words that follow a node's name.
fn died(end: &NodeEnd) -> String {
    let how = match (end.status, end.signal) {
        (Some(status), _) => format!("died with status {status}"),
        (None, Some(signal)) => format!("died of signal {signal}"),
        (None, None) => "died".to_owned(),
    };
    format!("{how} after {:.3} s", end.run_time.as_secs_f64())
}
