//! What `zeek-client get-nodes` says.

use std::collections::BTreeMap;
use std::error::Error;

use serde_json::Value;

/// The processes of a cluster by name, management processes included.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Nodes(BTreeMap<String, Node>);

/// A process of the framework itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// The controller.
    Controller,
    /// The agent.
    Agent,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Node {
    state: String,
    pid: Option<i32>,
    management: Option<Role>,
}

impl Nodes {
    /// Reads the client's output.
    ///
    /// # Errors
    /// If it is not the output of `get-nodes`, or reports an error.
    pub(crate) fn parse(output: &str) -> Result<Self, Box<dyn Error>> {
        let json: Value = serde_json::from_str(output)?;
        let errors = json.get("errors").and_then(Value::as_array);
        if errors.is_none_or(|errors| !errors.is_empty()) {
            return Err(format!("get-nodes reports errors: {output}").into());
        }
        let instances = json.get("results").and_then(Value::as_object);
        let instances = instances.into_iter().flat_map(|map| map.values());
        let nodes = instances.filter_map(Value::as_object).flatten();
        Ok(Self(
            nodes
                .map(|(name, node)| (name.clone(), Node::parse(node)))
                .collect(),
        ))
    }

    /// The process with this role.
    pub(crate) fn pid_of(&self, role: Role) -> Option<i32> {
        let mut nodes = self.0.values();
        nodes.find(|node| node.management == Some(role))?.pid
    }

    /// Whether there is a cluster and all of it runs.
    ///
    /// # Errors
    /// If there is none, or a node does not run or has no process id.
    pub(crate) fn check_running(&self) -> Result<(), Box<dyn Error>> {
        if self.cluster().count() == 0 {
            return Err("no cluster node is listed".into());
        }
        for (name, node) in &self.0 {
            if node.state != "RUNNING" || node.pid.is_none() {
                return Err(format!("{name} is {} with pid {:?}", node.state, node.pid).into());
            }
        }
        Ok(())
    }

    /// Whether each cluster node is another process than before.
    ///
    /// # Errors
    /// If one is the same, or they are other nodes.
    pub(crate) fn check_replaced(&self, before: &Self) -> Result<(), Box<dyn Error>> {
        let names = |nodes: &Self| {
            nodes
                .cluster()
                .map(|(n, _)| n.to_owned())
                .collect::<Vec<_>>()
        };
        if names(self) != names(before) {
            return Err("other nodes than before".into());
        }
        for (name, node) in self.cluster() {
            if before.0.get(name).is_some_and(|old| old.pid == node.pid) {
                return Err(format!("{name} was not restarted").into());
            }
        }
        Ok(())
    }

    fn cluster(&self) -> impl Iterator<Item = (&str, &Node)> {
        let nodes = self.0.iter().filter(|(_, node)| node.management.is_none());
        nodes.map(|(name, node)| (name.as_str(), node))
    }
}

impl Node {
    fn parse(json: &Value) -> Self {
        let text = |key| json.get(key).and_then(Value::as_str).unwrap_or_default();
        let pid = json.get("pid").and_then(Value::as_i64);
        Self {
            state: text("state").to_owned(),
            pid: pid.and_then(|pid| i32::try_from(pid).ok()),
            management: match text("mgmt_role") {
                "CONTROLLER" => Some(Role::Controller),
                "AGENT" => Some(Role::Agent),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../transcripts/a2c/client/o.get-nodes.json");

    #[test]
    fn a_recorded_answer_is_read() {
        let nodes = Nodes::parse(RECORDED).unwrap();
        assert_eq!(nodes.pid_of(Role::Controller), Some(34));
        assert_eq!(nodes.pid_of(Role::Agent), Some(35));
        assert_eq!(nodes.cluster().count(), 5);
        nodes.check_running().unwrap();
        assert!(nodes.check_replaced(&nodes).is_err());
    }

    #[test]
    fn a_node_that_does_not_run_is_named() {
        let pending = RECORDED.replacen(
            "\"pid\": 84,\n        \"state\": \"RUNNING\"",
            "\"state\": \"PENDING\"",
            1,
        );
        let error = Nodes::parse(&pending).unwrap().check_running().unwrap_err();
        assert_eq!(error.to_string(), "worker-01 is PENDING with pid None");
    }
}
