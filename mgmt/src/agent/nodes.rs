//! The agent's own nodes: their states, their last words, and `get_nodes` (API §5.4 A12, §5.5).

#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use broker_proto::EndpointId;
use broker_proto::zeek::ToData;
use supervisor::api::{
    self, ExitEvent, MANAGEMENT_NODE_VARIABLE, NodeStatusEvent, Status, SupervisorRequest,
};

use super::{Agent, NO_SUPERVISOR, TOO_MANY, Waiting};
use crate::api::agent::AgentResponse;
use crate::model::{ClusterRole, NodeOutputs, NodeStatus, Role, State};

/// The nodes of the current configuration that run on this instance.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// Names in the order of creation, which is the order of results.
    order: Vec<String>,
    by_name: BTreeMap<String, LocalNode>,
}

/// One of them, since the deployment that created it.
#[derive(Debug)]
pub(super) struct LocalNode {
    pub(super) state: State,
    /// What it wrote in a former life, if it had one in this deployment.
    pub(super) outputs: Option<NodeOutputs>,
    /// How often the supervisor started it.
    starts: u32,
    /// Which of these lives said hello last. One ahead of `starts` if the hello overtook the
    /// supervisor's news: these travel on different connections.
    greeted: u32,
    /// Who said hello last; every process has an endpoint id of its own.
    peer: Option<EndpointId>,
}

impl Nodes {
    /// These nodes, all pending.
    pub(super) fn pending(order: Vec<String>) -> Self {
        let by_name = order
            .iter()
            .map(|name| (name.clone(), LocalNode::pending()));
        let by_name = by_name.collect();
        Self { order, by_name }
    }

    /// All, in the order of creation.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &LocalNode)> {
        let node = |name: &String| self.by_name.get_key_value(name);
        let nodes = self.order.iter().filter_map(node);
        nodes.map(|(name, node)| (name.as_str(), node))
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut LocalNode> {
        self.by_name.get_mut(name)
    }

    /// The nodes meant by a request, in the order of creation: an empty set means all, and names
    /// that are not here are somebody else's.
    pub(super) fn targets(&self, wanted: &BTreeSet<String>) -> Vec<(String, State)> {
        let is_wanted = |name: &str| wanted.is_empty() || wanted.contains(name);
        let nodes = self.iter().filter(|(name, _)| is_wanted(name));
        nodes
            .map(|(name, node)| (name.to_owned(), node.state))
            .collect()
    }

    pub(super) fn all_running(&self) -> bool {
        self.by_name
            .values()
            .all(|node| node.state == State::Running)
    }

    fn state(&self, name: &str) -> Option<State> {
        self.by_name.get(name).map(|node| node.state)
    }
}

impl LocalNode {
    fn pending() -> Self {
        Self {
            state: State::Pending,
            outputs: None,
            starts: 0,
            greeted: 0,
            peer: None,
        }
    }

    fn on_hello(&mut self, from: EndpointId) {
        self.state = State::Running;
        if self.peer == Some(from) {
            return;
        }
        self.peer = Some(from);
        self.greeted = if self.greeted < self.starts {
            self.starts
        } else {
            self.starts.saturating_add(1)
        };
    }

    /// A life that has not said hello is pending, also if the node was running before. Stock keeps
    /// it RUNNING while the supervisor revives it (API §12.2 D36).
    fn on_started(&mut self) {
        self.starts = self.starts.saturating_add(1);
        if self.greeted < self.starts {
            self.state = State::Pending;
        }
    }
}

impl Agent {
    pub(super) fn on_node_hello(&mut self, from: EndpointId, name: &str) {
        let Some(node) = self.nodes.get_mut(name) else {
            tracing::debug!(name, %from, "hello of a node that is not ours");
            return;
        };
        node.on_hello(from);
        tracing::info!(name, %from, "node is running");
        self.on_node_up(name);
    }

    pub(super) fn on_node_status(&mut self, message: &NodeStatusEvent) {
        let NodeStatusEvent::NodeStatus { node: name, pid } = message;
        if let Some(node) = self.nodes.get_mut(name) {
            node.on_started();
            tracing::info!(name, pid, "node started");
        }
    }

    /// What comes with the first start of a deployment are the last words of a node that an
    /// earlier one had created under the same name (API §12.2 D40). What comes before any start is
    /// why there is none. What comes at the end of a life is of this deployment.
    pub(super) fn on_exit(&mut self, message: ExitEvent) {
        let ExitEvent::NotifyNodeExit {
            node: name,
            outputs,
        } = message;
        let is_end = outputs.end.is_some();
        let node = self.nodes.get_mut(&name);
        if let Some(node) = node.filter(|node| is_end || node.starts != 1) {
            node.outputs = Some(outputs.outputs);
        }
    }

    pub(super) fn on_get_nodes(&mut self, now: Instant, reqid: String) {
        if self.supervisor.is_none() {
            return self.refuse_get_nodes(reqid, NO_SUPERVISOR);
        }
        if self.is_full() {
            return self.refuse_get_nodes(reqid, TOO_MANY);
        }
        let reqid = self.await_answer(now, Waiting::GetNodes { reqid });
        let node = String::new();
        self.ask_supervisor(SupervisorRequest::Status { reqid, node });
    }

    pub(super) fn on_get_nodes_status(&mut self, reqid: String, status: Status) {
        let known = status.nodes.into_iter();
        let mut rows: Vec<_> = known.map(|(name, node)| self.row(name, node)).collect();
        if !rows.iter().any(|row| row.mgmt_role == Role::Agent) {
            rows.push(self.own_row());
        }
        let result = self.ok(&reqid).with_data(rows.into_data());
        self.respond(AgentResponse::GetNodes { reqid, result });
    }

    /// Without data a stock controller's handler would abort and answer nobody (API §12.1 D18).
    pub(super) fn refuse_get_nodes(&mut self, reqid: String, error: &str) {
        let nothing = Vec::<NodeStatus>::new().into_data();
        let result = self.failed(&reqid, error).with_data(nothing);
        self.respond(AgentResponse::GetNodes { reqid, result });
    }

    /// What `get_nodes` says about a process of the supervisor (API §5.5 A16).
    fn row(&self, name: String, status: api::NodeStatus) -> NodeStatus {
        let mut row = NodeStatus {
            node: name,
            state: State::Pending,
            mgmt_role: Role::None,
            cluster_role: ClusterRole::None,
            pid: status.pid,
            p: None,
            metrics_port: None,
        };
        let config = status.node;
        if let Some(member) = config.cluster.get(&row.node) {
            row.cluster_role = member.role;
            // Supervisors up to 6.2 say `0/tcp` where later ones say `0/unknown`.
            row.p = Some(member.p).filter(|p| p.number != 0);
            row.metrics_port = member.metrics_port;
            row.state = self.nodes.state(&row.node).unwrap_or(row.state);
            return row;
        }
        match config.env.get(MANAGEMENT_NODE_VARIABLE).map(String::as_str) {
            Some("CONTROLLER") => {
                row.mgmt_role = Role::Controller;
                row.state = State::Running;
                // Stock says the agent's port here, and tests rely on it (API §12.2 D44).
                row.p = Some(self.own_port());
            }
            Some("AGENT") => {
                row.mgmt_role = Role::Agent;
                row.state = State::Running;
                row.p = self.advertised_port();
            }
            Some(mark) => tracing::debug!(node = row.node, mark, "unknown management role"),
            None => {}
        }
        row
    }

    /// The agent's row if the supervisor does not run it and so does not know it (API §13.4).
    fn own_row(&self) -> NodeStatus {
        NodeStatus {
            node: self.settings.name.clone(),
            state: State::Running,
            mgmt_role: Role::Agent,
            cluster_role: ClusterRole::None,
            pid: None,
            p: self.advertised_port(),
            metrics_port: None,
        }
    }

    fn own_port(&self) -> broker_proto::Port {
        broker_proto::Port::tcp(self.settings.listen.port)
    }

    /// The agent's port, where the controller is the one that dials.
    fn advertised_port(&self) -> Option<broker_proto::Port> {
        let waits = self.settings.controller.is_none();
        waits.then(|| self.own_port())
    }
}
