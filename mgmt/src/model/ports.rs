//! Hands out Broker and metrics ports (API §7.2, §7.3).

use std::collections::{BTreeMap, BTreeSet};

use broker_proto::{Address, Port};

use super::{ClusterRole, Configuration, Node};

/// Ports of agents and the Supervisor, unless they are told otherwise. Stock hands these out as well
/// (API §12.1 D22).
const USUAL: [u16; 2] = [2151, 9999];

impl Configuration {
    /// Gives managers, loggers and proxies without a port the next free one from `start` on, counted
    /// over all instances. Agents' ports, explicit ports, the framework's usual ones and `reserved`
    /// are not handed out; neither are explicit metrics ports, which stock forgets (API §12.1 D22). A
    /// node for which no number is left stays without.
    pub fn assign_broker_ports(&mut self, start: u16, reserved: &BTreeSet<u16>) {
        let mut taken = reserved.clone();
        taken.extend(USUAL);
        taken.extend(
            self.instances
                .iter()
                .filter_map(|i| i.listen_port)
                .map(number),
        );
        for node in &self.nodes {
            taken.extend(
                [node.p, node.metrics_port]
                    .into_iter()
                    .flatten()
                    .map(number),
            );
        }
        let mut counter = Counter::new(start);
        for mut node in self.sorted_nodes() {
            if node.p.is_none() && needs_broker_port(node.role) {
                self.nodes.remove(&node);
                node.p = counter.next_free(&taken).map(Port::tcp);
                self.nodes.insert(node);
            }
        }
    }

    /// Gives every node without a metrics port the next free one of its host from `start` on.
    /// Instances are on one host if they have the same address, and those whose address is not known
    /// may be on any: their nodes come last and get numbers that nobody has.
    pub fn assign_metrics_ports(&mut self, start: u16) {
        let hosts: BTreeMap<String, Address> = self
            .instances
            .iter()
            .map(|i| (i.name.clone(), i.host))
            .collect();
        let host_of = |node: &Node| {
            let host = hosts.get(&node.instance).copied();
            host.unwrap_or(Address::UNSPECIFIED)
        };
        let mut taken: BTreeMap<Address, BTreeSet<u16>> = BTreeMap::new();
        for instance in &self.instances {
            let port = instance.listen_port.map(number);
            let taken = taken.entry(instance.host).or_default();
            taken.extend(USUAL.into_iter().chain(port));
        }
        for node in &self.nodes {
            let ports = [node.p, node.metrics_port].into_iter().flatten();
            let taken = taken.entry(host_of(node)).or_default();
            taken.extend(ports.map(number));
        }
        let mut counters: BTreeMap<Address, Counter> = BTreeMap::new();
        let lacking = self.sorted_nodes().into_iter();
        let lacking = lacking.filter(|node| node.metrics_port.is_none());
        let (nowhere, somewhere): (Vec<Node>, Vec<Node>) =
            lacking.partition(|node| host_of(node).is_unspecified());
        for mut node in somewhere.into_iter().chain(nowhere) {
            let host = host_of(&node);
            if host.is_unspecified() && !counters.contains_key(&host) {
                let everywhere = taken.values().flatten().copied().collect();
                taken.insert(host, everywhere);
            }
            let counter = counters.entry(host).or_insert_with(|| Counter::new(start));
            self.nodes.remove(&node);
            let taken = taken.entry(host).or_default();
            node.metrics_port = counter.next_free(taken).map(Port::tcp);
            taken.extend(node.metrics_port.map(number));
            self.nodes.insert(node);
        }
    }

    /// The nodes in the order in which ports are handed out: by instance, role and name.
    fn sorted_nodes(&self) -> Vec<Node> {
        let mut nodes: Vec<Node> = self.nodes.iter().cloned().collect();
        nodes.sort_by(|a, b| {
            let rank = |n: &Node| rank(n.role);
            let instances = a.instance.cmp(&b.instance);
            let ranks = instances.then_with(|| rank(a).cmp(&rank(b)));
            ranks.then_with(|| a.name.cmp(&b.name))
        });
        nodes
    }
}

/// Whether a node of this role listens for the rest of its cluster.
pub fn needs_broker_port(role: ClusterRole) -> bool {
    match role {
        ClusterRole::Manager | ClusterRole::Logger | ClusterRole::Proxy => true,
        ClusterRole::Worker | ClusterRole::None => false,
    }
}

fn rank(role: ClusterRole) -> u8 {
    match role {
        ClusterRole::Manager => 0,
        ClusterRole::Logger => 1,
        ClusterRole::Proxy => 2,
        ClusterRole::Worker => 3,
        ClusterRole::None => 4,
    }
}

fn number(port: Port) -> u16 {
    port.number
}

/// Counts ports upwards; `None` when it is past the last.
struct Counter(Option<u16>);

impl Counter {
    fn new(start: u16) -> Self {
        Self(Some(start))
    }

    fn next_free(&mut self, taken: &BTreeSet<u16>) -> Option<u16> {
        while let Some(port) = self.0 {
            self.0 = port.checked_add(1);
            if !taken.contains(&port) {
                return Some(port);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
