//! Deployment and standby: ask what runs, end it, start what shall run, await hellos or the
//! deadline (API §5.2 – §5.4).
//!
//! There is at most one at a time. A later one takes an open one's place, and that is answered at
//! once (API §12.2 D47).

#[cfg(test)]
mod tests;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use broker_proto::zeek::ToData;
use broker_proto::{Address, ByteString, Port};
use supervisor::api::{
    ClusterEndpoint, MANAGEMENT_NODE_VARIABLE, NodeConfig, Status, SupervisorRequest,
};

use super::nodes::{LocalNode, Nodes};
use super::{Agent, NO_SUPERVISOR, TIMED_OUT, Waiting};
use crate::api::ApiResult;
use crate::api::agent::AgentResponse;
use crate::log::Record;
use crate::model::{Configuration, Node, NodeOutputs};

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
    /// Nothing. The standby request is answered already, so there is no deadline: it is done when
    /// there is a supervisor to do it.
    Standby,
    /// This agent's part of a configuration.
    Run {
        /// Who asked.
        reqid: String,
        /// When to answer at the latest.
        deadline: Instant,
        /// What.
        config: Configuration,
    },
}

/// Nodes on their way.
#[derive(Debug)]
pub(super) struct Starting {
    reqid: String,
    deadline: Instant,
    /// Nodes that have not said hello.
    awaited: BTreeSet<String>,
    /// Nodes that will not, and why.
    refused: BTreeMap<String, String>,
}

impl Deployment {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asker().map(|(_, deadline)| deadline)
    }

    fn reqid(&self) -> Option<&str> {
        self.asker().map(|(reqid, _)| reqid)
    }

    /// Who is still to be answered, and until when.
    fn asker(&self) -> Option<(&str, Instant)> {
        match self {
            Self::AwaitStatus { goal, .. } => match goal {
                Goal::Standby => None,
                Goal::Run {
                    reqid, deadline, ..
                } => Some((reqid, *deadline)),
            },
            Self::AwaitHellos(starting) => Some((&starting.reqid, starting.deadline)),
        }
    }
}

impl Agent {
    /// Stock answers a standby before any node is gone (API §5.2 A5).
    pub(super) fn on_standby(&mut self, reqid: String) {
        tracing::info!("standby");
        self.supersede(SUPERSEDED_BY_STANDBY);
        self.current = None;
        self.nodes = Nodes::default();
        let result = self.ok(&reqid);
        self.respond(AgentResponse::Standby { reqid, result });
        self.clear_for(Goal::Standby);
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
        let deadline = now + self.settings.request_timeout;
        let goal = Goal::Run {
            reqid,
            deadline,
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

    /// Ends what runs and starts what shall. As stock, everything ends that is not marked as part
    /// of the framework, whoever created it: an agent that was restarted does not know its nodes
    /// any more (API §5.4 A7, §12.2 D41).
    pub(super) fn on_deploy_status(&mut self, now: Instant, goal: Goal, status: Status) {
        for (node, running) in status.nodes {
            if !running.node.env.contains_key(MANAGEMENT_NODE_VARIABLE) {
                let waiting = Waiting::Destroy { node: node.clone() };
                let reqid = self.await_answer(now, waiting);
                self.ask_supervisor(SupervisorRequest::Destroy { reqid, node });
            }
        }
        match goal {
            Goal::Standby => {}
            Goal::Run {
                reqid,
                deadline,
                config,
            } => self.start_nodes(now, reqid, deadline, config),
        }
    }

    pub(super) fn on_created(&mut self, id: &str, error: String) {
        let Some(Waiting::Create { node, round }) = self.waiting.finish(id) else {
            return;
        };
        if error.is_empty() {
            return;
        }
        let msg = format!("failed to create node {node}: {error}");
        self.notify_error(node.clone(), msg);
        let is_current = round == self.round;
        if let Some(starting) = self.starting().filter(|_| is_current) {
            starting.awaited.remove(&node);
            starting.refused.insert(node, error);
            self.answer_if_done();
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
    pub(super) fn on_node_up(&mut self, name: &str) {
        let starting = self.starting();
        if starting.is_some_and(|starting| starting.awaited.remove(name)) {
            self.answer_if_done();
        }
    }

    pub(super) fn expire_deployment(&mut self, now: Instant) {
        let is_late = |it: &mut Deployment| it.deadline().is_some_and(|due| due <= now);
        let Some(late) = self.deployment.take_if(is_late) else {
            return;
        };
        let reqid = late.reqid().unwrap_or_default().to_owned();
        tracing::warn!(reqid, "deployment timed out");
        self.log_timeout(&reqid);
        let timeout = self.failed(&reqid, TIMED_OUT);
        match late {
            Deployment::AwaitStatus { .. } => {
                let results = vec![timeout];
                self.respond(AgentResponse::Deploy { reqid, results });
            }
            Deployment::AwaitHellos(starting) => self.answer(starting, Some(timeout)),
        }
    }

    /// First half: ask what runs.
    fn clear_for(&mut self, goal: Goal) {
        self.round += 1;
        let status = self.ids.unique_id();
        self.deployment = Some(Deployment::AwaitStatus { status, goal });
        self.resume_deployment();
    }

    /// Second half: order the nodes, loggers first, managers, proxies, workers, each by name. An
    /// instance without nodes is done at once; stock lets it wait for nobody (API §12.1 D02).
    fn start_nodes(
        &mut self,
        now: Instant,
        reqid: String,
        deadline: Instant,
        config: Configuration,
    ) {
        let plan = Plan::new(config, &self.settings.name);
        self.current = Some(plan.id);
        self.nodes = Nodes::pending(plan.local.iter().map(|node| node.name.clone()).collect());
        if plan.local.is_empty() {
            let results = vec![self.ok(&reqid)];
            return self.respond(AgentResponse::Deploy { reqid, results });
        }
        let mut starting = Starting {
            reqid,
            deadline,
            awaited: BTreeSet::new(),
            refused: BTreeMap::new(),
        };
        for node in plan.local {
            // The supervisor's status could not tell it from the framework's own processes, so it
            // could never be ended (API §12.2 D42).
            if node.env.contains_key(MANAGEMENT_NODE_VARIABLE) {
                let why = format!("environment variable {MANAGEMENT_NODE_VARIABLE} is reserved");
                tracing::warn!(node = node.name, "{why}");
                starting.refused.insert(node.name, why);
                continue;
            }
            starting.awaited.insert(node.name.clone());
            self.create(now, node, plan.cluster.clone());
        }
        self.deployment = Some(Deployment::AwaitHellos(starting));
        self.answer_if_done();
    }

    /// Orders one node (API §5.4 A11).
    fn create(&mut self, now: Instant, node: Node, cluster: BTreeMap<String, ClusterEndpoint>) {
        let waiting = Waiting::Create {
            node: node.name.clone(),
            round: self.round,
        };
        let reqid = self.await_answer(now, waiting);
        let mut scripts = node.scripts.unwrap_or_default();
        scripts.push(self.settings.node_script.clone());
        let mut env = node.env;
        for (name, value) in &self.settings.node_env {
            env.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let state_dir = self.settings.state_dir.display();
        let node = NodeConfig {
            interface: node.interface,
            directory: Some(format!("{state_dir}/nodes/{}", node.name)),
            addl_user_scripts: scripts,
            env,
            cpu_affinity: node.cpu_affinity.map(|cpu| cpu.0),
            cluster,
            ..NodeConfig::named(node.name)
        };
        self.ask_supervisor(SupervisorRequest::Create { reqid, node });
    }

    fn starting(&mut self) -> Option<&mut Starting> {
        match self.deployment.as_mut() {
            Some(Deployment::AwaitHellos(starting)) => Some(starting),
            Some(Deployment::AwaitStatus { .. }) | None => None,
        }
    }

    fn answer_if_done(&mut self) {
        match self.deployment.take() {
            Some(Deployment::AwaitHellos(starting)) if starting.awaited.is_empty() => {
                self.answer(starting, None);
            }
            other => self.deployment = other,
        }
    }

    /// One result per node in the order of creation, behind the one for the instance if there is
    /// something to say about that (API §5.4 A13, A14).
    fn answer(&mut self, starting: Starting, instance: Option<ApiResult>) {
        let nodes = self.nodes.iter();
        let nodes = nodes.map(|(name, node)| self.outcome(&starting, name, node));
        let results = instance.into_iter().chain(nodes).collect();
        let reqid = starting.reqid;
        self.respond(AgentResponse::Deploy { reqid, results });
    }

    /// Clients show what failed nodes wrote, and no error text; so a refusal goes there as well
    /// (API §12.2 D34, D35).
    fn outcome(&self, starting: &Starting, name: &str, node: &LocalNode) -> ApiResult {
        let reqid = &starting.reqid;
        if let Some(why) = starting.refused.get(name) {
            let outputs = NodeOutputs {
                stdout: ByteString::from(""),
                stderr: ByteString::from(why.as_str()),
            };
            let result = self.failed(reqid, why).on_node(name);
            return result.with_data(outputs.into_data());
        }
        if !starting.awaited.contains(name) {
            return self.ok(reqid).on_node(name);
        }
        let why = format!("cluster node {name} did not report in time");
        let result = self.failed(reqid, why).on_node(name);
        match &node.outputs {
            Some(outputs) => result.with_data(outputs.clone().into_data()),
            None => result,
        }
    }

    /// Ends an open deployment for the sake of another.
    fn supersede(&mut self, why: &str) {
        let open = self.deployment.take();
        let Some(reqid) = open.as_ref().and_then(Deployment::reqid) else {
            return;
        };
        tracing::info!(reqid, "{why}");
        let results = vec![self.failed(reqid, why)];
        let reqid = reqid.to_owned();
        self.respond(AgentResponse::Deploy { reqid, results });
    }
}

/// A configuration as this agent sees it.
struct Plan {
    id: String,
    /// The nodes to run here, in the order of creation.
    local: Vec<Node>,
    /// All nodes, as each of them is told.
    cluster: BTreeMap<String, ClusterEndpoint>,
}

impl Plan {
    fn new(config: Configuration, instance: &str) -> Self {
        let hosts = config.instances.into_iter();
        let hosts: BTreeMap<_, _> = hosts.map(|it| (it.name, it.host)).collect();
        let mut nodes: Vec<_> = config.nodes.into_iter().collect();
        nodes.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
        let mut plan = Self {
            id: config.id,
            local: Vec::new(),
            cluster: BTreeMap::new(),
        };
        for node in nodes {
            // Controllers refuse configurations that use a name twice; the first one counts here.
            let Entry::Vacant(entry) = plan.cluster.entry(node.name.clone()) else {
                tracing::warn!(node = node.name, "configured twice");
                continue;
            };
            entry.insert(endpoint(&node, &hosts));
            if node.instance == instance {
                plan.local.push(node);
            }
        }
        plan
    }
}

fn endpoint(node: &Node, hosts: &BTreeMap<String, Address>) -> ClusterEndpoint {
    let host = hosts.get(&node.instance).copied();
    ClusterEndpoint {
        role: node.role,
        host: host.unwrap_or(Address::UNSPECIFIED),
        p: node.p.unwrap_or(Port::NONE),
        interface: node.interface.clone(),
        pcap_file: None,
        metrics_port: node.metrics_port,
    }
}
