//! What the framework talks about: configurations, instances, nodes, their states (API §1.3, §1.4).

pub mod admission;
pub mod diff;
pub mod hosts;
pub mod layouts;
pub mod ports;
pub mod validate;
pub mod warnings;

use std::collections::{BTreeMap, BTreeSet};

use broker_proto::zeek::{ConvertError, FromData, ToData};
use broker_proto::{Address, Data, Port, zeek_enum, zeek_record};
pub use supervisor::api::{ClusterRole, NodeOutputs};

zeek_enum! {
    /// What a process does for the framework.
    pub enum Role("Management::") {
        /// Nothing.
        None = "NONE",
        /// An agent.
        Agent = "AGENT",
        /// The controller.
        Controller = "CONTROLLER",
        /// A cluster node.
        Node = "NODE",
    }
}

zeek_enum! {
    /// How a node is doing.
    pub enum State("Management::") {
        /// Started, has not said hello.
        Pending = "PENDING",
        /// Has said hello.
        Running = "RUNNING",
        /// Stopped on purpose.
        Stopped = "STOPPED",
        /// Given up.
        Failed = "FAILED",
        /// Ended by itself.
        Crashed = "CRASHED",
        /// Nobody knows.
        Unknown = "UNKNOWN",
    }
}

zeek_record! {
    /// A script option to set on a node.
    pub struct NodeOption("Management::Option") {
        /// Its name.
        pub name: String,
        /// Its value, as Zeek source text.
        pub value: String,
    }
}

zeek_record! {
    /// One agent and what it commands.
    pub struct Instance("Management::Instance") {
        /// The agent's name.
        pub name: String,
        /// Its host; [`Address::UNSPECIFIED`] if not known.
        pub host: Address,
        /// The agent's port, if the controller dials the agent.
        pub listen_port: Option<Port>,
    }
}

/// A CPU number. Clients before 1.4.0 send a count, which stock refuses (CLIENT §C4).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct CpuAffinity(pub i64);

impl FromData for CpuAffinity {
    fn from_data(data: Data) -> Result<Self, ConvertError> {
        if let Data::Count(cpu) = data {
            let cpu = i64::try_from(cpu);
            return cpu
                .map(Self)
                .map_err(|_| ConvertError::other("no such CPU number"));
        }
        i64::from_data(data).map(Self)
    }
}

impl ToData for CpuAffinity {
    fn into_data(self) -> Data {
        Data::Integer(self.0)
    }
}

/// How many fields a [`Node`] has; one less before Zeek 7.0 (API §14).
pub const NODE_FIELDS: usize = 11;

zeek_record! {
    /// One cluster node.
    pub struct Node("Management::Node") {
        /// Its name.
        pub name: String,
        /// The instance it runs on.
        pub instance: String,
        /// Its role in the cluster.
        pub role: ClusterRole,
        /// Set by agents; what clients send here means nothing.
        pub state: State,
        /// Its Broker port.
        pub p: Option<Port>,
        /// Scripts it loads beyond the usual ones.
        pub scripts: Option<Vec<String>>,
        /// Script options.
        pub options: Option<BTreeSet<NodeOption>>,
        /// The interface it reads.
        pub interface: Option<String>,
        /// The CPU it is pinned to.
        pub cpu_affinity: Option<CpuAffinity>,
        /// Its additional environment.
        pub env: BTreeMap<String, String> = BTreeMap::new(),
        /// Its metrics port; absent in layouts before Zeek 7.0.
        pub metrics_port: Option<Port>,
    }
}

impl Node {
    /// A running node of which nothing else is said.
    pub fn new(instance: impl Into<String>, name: impl Into<String>, role: ClusterRole) -> Self {
        Self {
            name: name.into(),
            instance: instance.into(),
            role,
            state: State::Running,
            p: None,
            scripts: None,
            options: None,
            interface: None,
            cpu_affinity: None,
            env: BTreeMap::new(),
            metrics_port: None,
        }
    }
}

zeek_record! {
    /// A cluster: where it runs and what runs.
    pub struct Configuration("Management::Configuration") {
        /// Chosen by the client; empty if it left that to the controller.
        pub id: String = String::new(),
        /// The agents it needs.
        pub instances: BTreeSet<Instance> = BTreeSet::new(),
        /// The nodes on them.
        pub nodes: BTreeSet<Node> = BTreeSet::new(),
    }
}

impl Configuration {
    /// The node of this name, found without a look at all of them.
    pub fn node(&self, name: &str) -> Option<&Node> {
        // Nodes are ordered by name, then by instance; none comes before this one.
        let first = Node {
            state: State::Pending,
            ..Node::new("", name, ClusterRole::None)
        };
        let found = self.nodes.range(first..).next();
        found.filter(|node| node.name == name)
    }
}

zeek_record! {
    /// One line of `get-nodes`.
    pub struct NodeStatus("Management::NodeStatus") {
        /// The node's name.
        pub node: String,
        /// How it is doing.
        pub state: State,
        /// Its role in the framework.
        pub mgmt_role: Role = Role::None,
        /// Its role in the cluster.
        pub cluster_role: ClusterRole = ClusterRole::None,
        /// Its process id.
        pub pid: Option<i64>,
        /// Its Broker port.
        pub p: Option<Port>,
        /// Its metrics port; absent in layouts before Zeek 7.0.
        pub metrics_port: Option<Port>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_by_its_name() {
        let least = Node {
            state: State::Pending,
            ..Node::new("", "ab", ClusterRole::None)
        };
        let nodes = [
            Node::new("x", "a", ClusterRole::Worker),
            least,
            Node::new("x", "abc", ClusterRole::Manager),
        ];
        let config = Configuration {
            id: String::new(),
            instances: BTreeSet::new(),
            nodes: nodes.into(),
        };
        for name in ["a", "ab", "abc"] {
            assert_eq!(config.node(name).map(|node| node.name.as_str()), Some(name));
        }
        for name in ["", "aa", "abcd", "b"] {
            assert_eq!(config.node(name), None);
        }
    }
}
