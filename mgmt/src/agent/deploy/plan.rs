//! What a configuration means for one agent: which nodes, and how each is ordered.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use broker_proto::{Address, Port};
use supervisor::api::{Cluster, ClusterEndpoint, MANAGEMENT_NODE_VARIABLE, NodeConfig};

use crate::agent::options;
use crate::model::{Configuration, Node};
use crate::settings::AgentSettings;

/// A configuration as this agent sees it.
pub(in crate::agent) struct Plan {
    pub(in crate::agent) id: String,
    /// The nodes to run here, in the order of creation: loggers first, then managers, proxies,
    /// workers, each by name.
    pub(in crate::agent) local: Vec<Node>,
    /// All nodes, as each of them is told.
    pub(in crate::agent) cluster: Cluster,
}

impl Plan {
    pub(in crate::agent) fn new(config: Configuration, instance: &str) -> Self {
        let hosts = config.instances.into_iter();
        let hosts: BTreeMap<_, _> = hosts.map(|it| (it.name, it.host)).collect();
        if !hosts.contains_key(instance) {
            let config = &config.id;
            tracing::warn!(config, "configuration does not list this agent's instance");
        }
        let mut nodes: Vec<_> = config.nodes.into_iter().collect();
        nodes.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
        let mut plan = Self {
            id: config.id,
            local: Vec::new(),
            cluster: Cluster::default(),
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

/// Why a node cannot be run, whatever the supervisor says.
pub(in crate::agent) fn refusal(node: &Node) -> Option<String> {
    // The supervisor's status could not tell it from the framework's own processes, so it could
    // never be ended (API §12.2 D42).
    if node.env.contains_key(MANAGEMENT_NODE_VARIABLE) {
        let why = format!("environment variable {MANAGEMENT_NODE_VARIABLE} is reserved");
        return Some(why);
    }
    node.problem().or_else(|| options::refusal(node))
}

/// The directory that a node of this name has under this agent, today and in its former lives.
pub(super) fn directory(settings: &AgentSettings, name: &str) -> String {
    format!("{}/nodes/{name}", settings.state_dir.display())
}

/// The order for one node (API §5.4 A11).
pub(in crate::agent) fn order(
    settings: &AgentSettings,
    node: &Node,
    cluster: &Cluster,
) -> NodeConfig {
    let mut scripts = node.scripts.clone().unwrap_or_default();
    if options::script(node).is_some() {
        let path = options::path(settings, node);
        scripts.push(path.display().to_string());
    }
    scripts.push(settings.node_script.clone());
    let mut env = node.env.clone();
    for (name, value) in &settings.node_env {
        env.entry(name.clone()).or_insert_with(|| value.clone());
    }
    NodeConfig {
        interface: node.interface.clone(),
        directory: Some(directory(settings, &node.name)),
        addl_user_scripts: scripts,
        env,
        cpu_affinity: node.cpu_affinity.map(|cpu| cpu.0),
        cluster: cluster.clone(),
        ..NodeConfig::named(&node.name)
    }
}

/// Whether a node runs as ordered, but for what layouts of other versions add or lose (API §1.5).
pub(in crate::agent) fn is_as_ordered(running: &NodeConfig, order: &NodeConfig) -> bool {
    let rest = |config: &NodeConfig| {
        let mut config = config.clone();
        // Before 5.1 that is the only list.
        config
            .addl_user_scripts
            .extend(config.scripts.take().into_iter().flatten());
        config.cluster = Cluster::default();
        config
    };
    rest(running) == rest(order) && is_same_cluster(&running.cluster, &order.cluster)
}

fn is_same_cluster(running: &Cluster, order: &Cluster) -> bool {
    let plain = |member: &ClusterEndpoint| {
        let mut member = member.clone();
        if member.p.number == 0 {
            member.p = Port::NONE;
        }
        member
    };
    let mut pairs = running.iter().zip(order.iter());
    let is_same = |((name, member), (other, ordered)): ((&String, _), (&String, _))| {
        name == other && plain(member) == plain(ordered)
    };
    running == order || (running.len() == order.len() && pairs.all(is_same))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClusterRole;

    #[test]
    fn a_cluster_is_the_same_whatever_no_port_is_called_and_else_only_if_it_is_equal() {
        let same = |a: &[(&str, Port)], b: &[(&str, Port)]| {
            let [a, b] = [a, b].map(in_cluster);
            is_as_ordered(&a, &b)
        };
        let (none, own) = (Port::NONE, Port::tcp(2200));
        assert!(same(
            &[("m", own), ("w", Port::tcp(0))],
            &[("m", own), ("w", none)]
        ));
        assert!(!same(&[("m", own)], &[("m", none)]));
        assert!(!same(&[("m", own)], &[("n", own)]));
        assert!(!same(&[("m", own)], &[("m", own), ("w", none)]));
    }

    /// A node among these members.
    fn in_cluster(members: &[(&str, Port)]) -> NodeConfig {
        let hosts = BTreeMap::new();
        let members = members.iter().map(|(name, port)| {
            let node = Node {
                p: Some(*port),
                ..Node::new("a", *name, ClusterRole::Manager)
            };
            ((*name).to_owned(), endpoint(&node, &hosts))
        });
        NodeConfig {
            cluster: members.collect::<BTreeMap<_, _>>().into(),
            ..NodeConfig::named("m")
        }
    }
}
