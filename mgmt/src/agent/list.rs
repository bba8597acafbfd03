//! `get_nodes`: what the supervisor runs, and how that is doing (API §5.5).

#[cfg(test)]
mod tests;

use std::time::Instant;

use broker_proto::zeek::ToData;
use supervisor::api::{self, MANAGEMENT_NODE_VARIABLE, Status, SupervisorRequest};

use super::{Agent, NO_SUPERVISOR, TOO_MANY, Waiting};
use crate::api::agent::AgentResponse;
use crate::model::{ClusterRole, Node, NodeStatus, Role, State};

impl Agent {
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

    /// Nodes of the configuration that the supervisor does not have are listed too, so that nobody
    /// has to miss them; stock does not.
    pub(super) fn on_get_nodes_status(&mut self, reqid: String, status: Status) {
        self.note_missing(&status);
        let missing = self.nodes.iter();
        let missing = missing.filter(|(name, _)| !status.nodes.contains_key(*name));
        let missing: Vec<_> = missing.map(|(_, node)| lone_row(node.config())).collect();
        let known = status.nodes.into_iter();
        let mut rows: Vec<_> = known.map(|(name, node)| self.row(name, node)).collect();
        rows.extend(missing);
        if !rows.iter().any(|row| row.mgmt_role == Role::Agent) {
            rows.push(self.own_row());
        }
        let result = self.ok(&reqid).with_data(rows.into_data());
        self.respond(AgentResponse::GetNodes { reqid, result });
    }

    /// What is known without the supervisor. Without data a stock controller's handler would abort
    /// and answer nobody (API §12.1 D18).
    pub(super) fn refuse_get_nodes(&mut self, reqid: String, error: &str) {
        let rows = self.nodes.iter().map(|(_, node)| lone_row(node.config()));
        let rows = Vec::from_iter(rows).into_data();
        let result = self.failed(&reqid, error).with_data(rows);
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
            if let Some(node) = self.nodes.get(&row.node) {
                row.state = node.state();
                // The supervisor goes on naming the last process (API §12.3 D68).
                row.pid = row.pid.filter(|_| !node.is_dead());
            }
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

/// A row of which the supervisor says nothing.
fn lone_row(node: &Node) -> NodeStatus {
    NodeStatus {
        node: node.name.clone(),
        state: node.state,
        mgmt_role: Role::None,
        cluster_role: node.role,
        pid: None,
        p: node.p,
        metrics_port: node.metrics_port,
    }
}
