//! Deployment and standby: ask what runs, end it, start what shall run, await hellos or the
//! deadline (API §5.2 – §5.4).
//!
//! There is at most one at a time. A later one takes an open one's place, and that is answered at
//! once (API §12.2 D47).

pub(super) mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use broker_proto::ByteString;
use broker_proto::zeek::ToData;
use supervisor::api::{MANAGEMENT_NODE_VARIABLE, NodeConfig, Status, SupervisorRequest};

use self::plan::Plan;
use super::life::{FormerProcess, SETTLING};
use super::nodes::{LocalNode, Nodes};
use super::watch::{Former, Watch};
use super::{Agent, NO_SUPERVISOR, Output, TIMED_OUT, Waiting, options, remedy};
use crate::api::ApiResult;
use crate::api::agent::AgentResponse;
use crate::log::Record;
use crate::model::{Configuration, Node, NodeOutputs, State};
use crate::settings::{StartOrder, Unchanged};

/// Most names of ended nodes that are remembered, which are the last ones.
const MAX_ENDED: usize = 4096;

const SUPERSEDED: &str = "superseded by a later deployment";
const SUPERSEDED_BY_STANDBY: &str = "superseded by a standby request";

/// How far the agent is with changing what runs.
#[derive(Debug)]
pub(super) enum Deployment {
    /// The supervisor is asked what runs, with this id.
    AwaitStatus { status: String, goal: Goal },
    /// The nodes are ordered.
    AwaitHellos(Starting),
}

/// What shall run in the end.
#[derive(Debug)]
pub(super) enum Goal {
    /// Nothing. There is no deadline: it is done when there is a supervisor to do it.
    Standby {
        /// Who asked. Stock's controller leaves it empty.
        reqid: String,
    },
    /// This agent's part of a configuration.
    Run {
        /// Who asked.
        reqid: String,
        /// How long the supervisor has to say what runs.
        deadline: Instant,
        /// Whom to wait for then.
        watch: Watch,
        /// What.
        config: Configuration,
    },
}

/// A node that was ordered to end.
#[derive(Debug)]
pub(super) struct Ended {
    /// By the deployment, or standby, of this number.
    round: u64,
    /// Its process.
    former: FormerProcess,
}

/// Nodes on their way.
#[derive(Debug)]
pub(super) struct Starting {
    reqid: String,
    /// Nodes that have not said hello.
    watch: Watch,
    /// Nodes that will not, and why.
    failed: BTreeMap<String, String>,
    /// Those of them that had their time.
    late: BTreeSet<String>,
    /// Nodes that are not ordered yet, by role.
    queue: VecDeque<Vec<Node>>,
    /// Names that former nodes still have.
    former: BTreeSet<String>,
}

impl Deployment {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::AwaitStatus { goal, .. } => match goal {
                Goal::Standby { .. } => None,
                Goal::Run { deadline, .. } => Some(*deadline),
            },
            Self::AwaitHellos(starting) => starting.watch.deadline(),
        }
    }
}

impl Agent {
    /// Stock answers a standby at once (API §5.2 A5). An agent that ends before it has ordered the end
    /// of its nodes has not stood by, and must be told again (API §12.1 D15).
    pub(super) fn on_standby(&mut self, reqid: String) {
        tracing::info!("standby");
        self.supersede(SUPERSEDED_BY_STANDBY);
        self.current = None;
        self.keep(None);
        self.clear_for(Goal::Standby { reqid });
    }

    /// A configuration whose nodes all run is left alone; stock leaves it alone in any case, and
    /// so never repairs one that failed (API §5.3 A6, §12.1 D08).
    pub(super) fn on_deploy(
        &mut self,
        now: Instant,
        reqid: String,
        config: Configuration,
        force: bool,
    ) {
        let is_current = !config.id.is_empty() && self.current.as_ref() == Some(&config.id);
        if is_current && !force && self.deployment.is_none() && self.nodes.all_running() {
            tracing::info!(config.id, "already running");
            self.log(Record::info(format!(
                "already running config {}",
                config.id
            )));
            let results = vec![self.ok(&reqid)];
            return self.respond(AgentResponse::Deploy { reqid, results });
        }
        if self.supervisor.is_none() {
            let results = vec![self.failed(&reqid, NO_SUPERVISOR)];
            return self.respond(AgentResponse::Deploy { reqid, results });
        }
        tracing::info!(reqid, config.id, "deploying");
        self.supersede(SUPERSEDED);
        self.current = None;
        self.keep(None);
        let step = self.settings.request_timeout;
        let goal = Goal::Run {
            reqid,
            deadline: now + step,
            watch: Watch::new(now, step, self.settings.deploying.start),
            config,
        };
        self.clear_for(goal);
    }

    /// Asks again what runs: a supervisor that was away has not heard the question.
    pub(super) fn resume_deployment(&mut self) {
        if let Some(Deployment::AwaitStatus { status, .. }) = &self.deployment {
            let reqid = status.clone();
            let node = String::new();
            self.ask_supervisor(SupervisorRequest::Status { reqid, node });
        }
    }

    /// Whether the nodes are about to be replaced.
    pub(super) fn is_clearing(&self) -> bool {
        matches!(self.deployment, Some(Deployment::AwaitStatus { .. }))
    }

    /// Whether the node is not ordered yet, because others start before it.
    pub(super) fn is_queued(&self, name: &str) -> bool {
        match &self.deployment {
            Some(Deployment::AwaitHellos(starting)) => {
                let mut queued = starting.queue.iter().flatten();
                queued.any(|node| node.name == name)
            }
            Some(Deployment::AwaitStatus { .. }) | None => false,
        }
    }

    /// The goal of the deployment that this status was asked for.
    pub(super) fn take_cleared(&mut self, id: &str) -> Option<Goal> {
        match self.deployment.take() {
            Some(Deployment::AwaitStatus { status, goal }) if status == id => Some(goal),
            other => {
                self.deployment = other;
                None
            }
        }
    }

    /// Ends what runs and starts what shall.
    pub(super) fn on_deploy_status(&mut self, now: Instant, goal: Goal, status: &Status) {
        match goal {
            Goal::Standby { reqid } => {
                self.end_nodes(now, status, &BTreeSet::new());
                self.nodes = Nodes::default();
                let result = self.ok(&reqid);
                self.respond(AgentResponse::Standby { reqid, result });
            }
            Goal::Run {
                reqid,
                watch,
                config,
                ..
            } => {
                self.keep(Some(&config));
                let plan = Plan::new(config, &self.settings.name);
                let kept = self.unchanged(&plan, status);
                let starting = Starting {
                    reqid,
                    watch,
                    failed: BTreeMap::new(),
                    late: BTreeSet::new(),
                    queue: VecDeque::new(),
                    former: self.end_nodes(now, status, &kept),
                };
                self.start_nodes(now, starting, plan, &kept);
            }
        }
    }

    pub(super) fn on_created(&mut self, now: Instant, id: &str, error: String) {
        let (node, is_current) = match self.waiting.finish(id) {
            Some(Waiting::Create { node, round }) => (node, round == self.round),
            Some(_) => return,
            None => match self.late_orders.remove(id) {
                Some(node) => (node, true),
                None => return,
            },
        };
        if error.is_empty() {
            if is_current {
                self.change(&node, LocalNode::on_created);
            }
            return;
        }
        let msg = format!("failed to create node {node}: {error}");
        self.notify_error(node.clone(), msg);
        if is_current {
            self.change(&node, LocalNode::on_refused);
            // Also if it was up under a supervisor before this one.
            if let Some(starting) = self.starting() {
                starting.failed.insert(node.clone(), error.clone());
            }
            self.on_node_failed(now, &node, &error);
        }
    }

    pub(super) fn on_destroyed(&mut self, id: &str, done: bool) {
        let waiting = self.waiting.finish(id);
        if let (Some(Waiting::Destroy { node }), false) = (waiting, done) {
            let msg = format!("failed to destroy node {node}, {id}");
            self.notify_error(node, msg);
        }
    }

    /// One of the nodes said hello.
    pub(super) fn on_node_up(&mut self, now: Instant, name: &str) {
        if let Some(starting) = self.starting() {
            // Given up, and there nevertheless: an answer that is not sent yet shall not deny it.
            starting.failed.remove(name);
            starting.late.remove(name);
            if starting.watch.remove(name) {
                self.proceed(now);
            }
        }
        self.settle_restarts(name, Ok(()));
    }

    /// One of the nodes was started, for which a former one of its name had to be gone.
    pub(super) fn on_node_started(&mut self, now: Instant, name: &str) {
        let Some(node) = self.nodes.get(name).filter(|node| node.is_started()) else {
            return;
        };
        let is_restarting = node.is_restarting();
        if node.is_settling() {
            self.settling.insert(name.to_owned(), now + SETTLING);
        }
        self.ended.remove(name);
        if let Some(starting) = self.starting() {
            starting.watch.on_started(now, name);
        }
        if !is_restarting {
            self.on_restarting_node_started(now, name);
        }
    }

    /// One of the nodes will not say hello, as far as anybody can tell (API §12.2 D34).
    pub(super) fn on_node_failed(&mut self, now: Instant, name: &str, why: &str) {
        if let Some(starting) = self.starting()
            && starting.watch.remove(name)
        {
            starting.failed.insert(name.to_owned(), why.to_owned());
            self.proceed(now);
        }
        self.settle_restarts(name, Err(why));
    }

    pub(super) fn expire_deployment(&mut self, now: Instant) {
        let is_due = |it: &mut Deployment| it.deadline().is_some_and(|due| due <= now);
        match self.deployment.take_if(is_due) {
            None
            | Some(Deployment::AwaitStatus {
                goal: Goal::Standby { .. },
                ..
            }) => {}
            Some(Deployment::AwaitStatus {
                goal: Goal::Run { reqid, .. },
                ..
            }) => {
                tracing::warn!(reqid, "supervisor does not say what it runs");
                self.log_timeout(&reqid);
                let why = [TIMED_OUT, remedy::SILENT_SUPERVISOR];
                let results = why.map(|why| self.failed(&reqid, why)).into();
                self.respond(AgentResponse::Deploy { reqid, results });
            }
            Some(Deployment::AwaitHellos(mut starting)) => {
                for (name, missed) in starting.watch.take_late(now) {
                    let why = self.why_late(&name, missed);
                    tracing::warn!(starting.reqid, why, "deployment timed out");
                    starting.failed.insert(name.clone(), why);
                    starting.late.insert(name);
                }
                self.deployment = Some(Deployment::AwaitHellos(starting));
                self.proceed(now);
            }
        }
    }

    /// Orders one node (API §5.4 A11).
    pub(super) fn create(&mut self, now: Instant, node: &Node) {
        let waiting = Waiting::Create {
            node: node.name.clone(),
            round: self.round,
        };
        let reqid = self.await_answer(now, waiting);
        if let Some(text) = options::script(node) {
            let path = options::path(&self.settings, node);
            self.outputs.push_back(Output::WriteOptions { path, text });
        }
        let node = plan::order(&self.settings, node, self.nodes.cluster());
        self.ask_supervisor(SupervisorRequest::Create { reqid, node });
    }

    /// First half: ask what runs.
    fn clear_for(&mut self, goal: Goal) {
        self.round += 1;
        self.late_orders.clear();
        let status = self.ids.unique_id();
        self.deployment = Some(Deployment::AwaitStatus { status, goal });
        self.resume_deployment();
    }

    /// Nodes that run just as a configuration wants them, if such nodes shall run on.
    fn unchanged(&self, plan: &Plan, status: &Status) -> BTreeSet<String> {
        let keeps = self.settings.deploying.unchanged == Unchanged::Keep;
        let is_unchanged = |node: &&Node| {
            let order = plan::order(&self.settings, node, &plan.cluster);
            let running = status.nodes.get(&node.name);
            let former = self.nodes.get(&node.name);
            let former = former.filter(|former| former.config().options == node.options);
            former.map(LocalNode::state) == Some(State::Running)
                && running.is_some_and(|running| plan::is_as_ordered(&running.node, &order))
        };
        let kept = plan.local.iter().filter(|_| keeps).filter(is_unchanged);
        kept.map(|node| node.name.clone()).collect()
    }

    /// Orders the end of all nodes but these, and returns their names.
    ///
    /// An agent that was restarted does not know its nodes any more, but where they run. Stock ends
    /// everything that is not part of the framework, whoever created it (API §5.4 A7, §12.2 D41).
    fn end_nodes(
        &mut self,
        now: Instant,
        status: &Status,
        kept: &BTreeSet<String>,
    ) -> BTreeSet<String> {
        let mut ended = BTreeSet::new();
        for (node, running) in &status.nodes {
            if kept.contains(node) {
                continue;
            }
            if !self.is_own(node, &running.node) {
                tracing::debug!(node, "left alone: it is not ours");
                continue;
            }
            self.end_node(now, node, running.pid);
            self.change(node, LocalNode::on_ended);
            ended.insert(node.clone());
        }
        ended
    }

    /// Orders the end of a node, which is this process.
    pub(super) fn end_node(&mut self, now: Instant, name: &str, pid: Option<i64>) {
        let node = name.to_owned();
        let waiting = Waiting::Destroy { node: node.clone() };
        let reqid = self.await_answer(now, waiting);
        self.ask_supervisor(SupervisorRequest::Destroy { reqid, node });
        self.note_ended(name, pid);
    }

    /// Orders may be lost with the link to a supervisor that stays. What it lists of the nodes that were
    /// to end is ended, unless there is one of that name again.
    pub(super) fn end_leftovers(&mut self, now: Instant, status: &Status) {
        let is_over =
            |name: &&String| self.ended.contains_key(*name) && self.nodes.get(name).is_none();
        let names = status.nodes.keys();
        let kept = names.filter(|name| !is_over(name)).cloned().collect();
        self.end_nodes(now, status, &kept);
    }

    /// Whether a supervisor that was away may have nodes that matter.
    pub(super) fn may_have_left_nodes(&self) -> bool {
        !self.ended.is_empty() || self.nodes.iter().next().is_some()
    }

    /// A node's process may be there for a while, also when its supervisor lists it no more.
    fn note_ended(&mut self, name: &str, pid: Option<i64>) {
        if self.ended.len() >= MAX_ENDED && !self.ended.contains_key(name) {
            let oldest = self.ended.iter().min_by_key(|(_, ended)| ended.round);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.ended.remove(&oldest);
            }
        }
        let local = self.nodes.get(name).map(|node| node.as_former(pid));
        // Of what was ended before, and is listed still, the agent may have no node any more.
        let before = self.ended.get(name).map(|ended| &ended.former);
        let before = before.filter(|before| pid.is_some() && before.pid == pid);
        let peer = local.and_then(|local| local.peer);
        let peer = peer.or_else(|| before?.peer);
        let (round, former) = (self.round, FormerProcess { pid, peer });
        self.ended.insert(name.to_owned(), Ended { round, former });
    }

    fn is_own(&self, name: &str, config: &NodeConfig) -> bool {
        let directory = plan::directory(&self.settings, name);
        let is_marked = config.env.contains_key(MANAGEMENT_NODE_VARIABLE);
        !is_marked && config.directory.as_ref() == Some(&directory)
    }

    /// Second half: order the nodes. An instance without nodes is done at once; stock lets it wait
    /// for nobody (API §12.1 D02).
    fn start_nodes(
        &mut self,
        now: Instant,
        mut starting: Starting,
        plan: Plan,
        kept: &BTreeSet<String>,
    ) {
        self.current = Some(plan.id);
        let mut former = std::mem::take(&mut self.nodes);
        let mut nodes = Vec::new();
        for config in plan.local {
            let old = former.remove(&config.name);
            if let Some(node) = old.filter(|_| kept.contains(&config.name)) {
                tracing::info!(node = config.name, "unchanged; it runs on");
                nodes.push(node.kept(config));
                continue;
            }
            let mut node = LocalNode::pending(config.clone());
            if let Some(ended) = self.ended.get(&config.name) {
                node.on_former(ended.former.clone());
            }
            if let Some(why) = plan::refusal(&config) {
                tracing::warn!(node = config.name, "{why}");
                node.on_refused();
                starting.failed.insert(config.name, why);
            } else {
                self.enqueue(&mut starting.queue, config);
            }
            nodes.push(node);
        }
        if nodes.is_empty() {
            let reqid = starting.reqid;
            let results = vec![self.ok(&reqid)];
            return self.respond(AgentResponse::Deploy { reqid, results });
        }
        self.nodes = Nodes::new(nodes, plan.cluster);
        self.deployment = Some(Deployment::AwaitHellos(starting));
        self.proceed(now);
    }

    /// Puts a node behind those of its role, or behind all.
    fn enqueue(&self, queue: &mut VecDeque<Vec<Node>>, node: Node) {
        let waits = self.settings.deploying.start == StartOrder::RoleByRole;
        match queue.back_mut() {
            Some(group) if !waits || group.iter().all(|other| other.role == node.role) => {
                group.push(node);
            }
            Some(_) | None => queue.push_back(vec![node]),
        }
    }

    fn starting(&mut self) -> Option<&mut Starting> {
        match self.deployment.as_mut() {
            Some(Deployment::AwaitHellos(starting)) => Some(starting),
            Some(Deployment::AwaitStatus { .. }) | None => None,
        }
    }

    /// Orders what is next, or answers. What had no turn when time is over is ordered all the same.
    fn proceed(&mut self, now: Instant) {
        while let Some(starting) = self.starting() {
            if !starting.watch.is_empty() {
                return;
            }
            let Some(group) = starting.queue.pop_front() else {
                if let Some(Deployment::AwaitHellos(starting)) = self.deployment.take() {
                    self.answer(starting);
                }
                return;
            };
            let is_over = starting.watch.is_over(now);
            for node in &group {
                let former = if starting.former.contains(&node.name) {
                    Former::Ending
                } else {
                    Former::None
                };
                if is_over {
                    let why = format!("cluster node {} had no time to start", node.name);
                    starting.failed.insert(node.name.clone(), why);
                } else {
                    starting.watch.add(now, &node.name, former);
                }
            }
            for node in &group {
                self.create(now, node);
            }
        }
    }

    /// One result per node in the order of creation, behind what there is to say about the instance
    /// (API §5.4 A13, A14).
    fn answer(&mut self, mut starting: Starting) {
        let reqid = &starting.reqid;
        let mut results = Vec::new();
        if !starting.late.is_empty() {
            self.log_timeout(reqid);
            results.push(self.failed(reqid, TIMED_OUT));
        }
        // Of a node that failed, clients show what it wrote and no error text.
        for (name, why) in &mut starting.failed {
            let node = self.nodes.get(name);
            *why = self.with_doubt(name, std::mem::take(why));
            if let Some(outputs) = node.and_then(LocalNode::outputs) {
                let why = with_remedy(why, outputs);
                results.push(self.failed(reqid, &why));
            }
        }
        let nodes = self.nodes.iter();
        results.extend(nodes.map(|(name, node)| self.outcome(&starting, name, node)));
        let reqid = starting.reqid;
        self.respond(AgentResponse::Deploy { reqid, results });
    }

    /// A reason goes where clients look if the node wrote nothing (API §12.2 D34, D35).
    fn outcome(&self, starting: &Starting, name: &str, node: &LocalNode) -> ApiResult {
        let reqid = &starting.reqid;
        let Some(why) = starting.failed.get(name) else {
            return self.ok(reqid).on_node(name);
        };
        let outputs = node.outputs().cloned().unwrap_or_else(|| NodeOutputs {
            stdout: ByteString::from(""),
            stderr: ByteString::from(why.as_str()),
        });
        let why = with_remedy(why, &outputs);
        let result = self.failed(reqid, &why).on_node(name);
        result.with_data(outputs.into_data())
    }

    /// Ends an open deployment, and restarts, for the sake of another.
    fn supersede(&mut self, why: &str) {
        self.drop_restarts(why);
        let reqid = match self.deployment.take() {
            None => return,
            Some(Deployment::AwaitStatus {
                goal: Goal::Standby { reqid },
                ..
            }) => {
                let result = self.failed(&reqid, why);
                return self.respond(AgentResponse::Standby { reqid, result });
            }
            Some(Deployment::AwaitStatus {
                goal: Goal::Run { reqid, .. },
                ..
            }) => reqid,
            Some(Deployment::AwaitHellos(starting)) => starting.reqid,
        };
        tracing::info!(reqid, "{why}");
        let results = vec![self.failed(&reqid, why)];
        self.respond(AgentResponse::Deploy { reqid, results });
    }
}

/// Why a node failed, and what helps, if its last words tell that.
fn with_remedy(why: &str, outputs: &NodeOutputs) -> String {
    match remedy::of(outputs) {
        Some(remedy) => format!("{why}; {remedy}"),
        None => why.to_owned(),
    }
}
