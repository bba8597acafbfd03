//! What a configuration must not be: stock's checks (API §7.1), and what stock finds out only when
//! it is too late (API §12.1 D21).

mod gaps;

use std::collections::BTreeSet;

use broker_proto::Port;

use super::ports::needs_broker_port;
use super::{Configuration, Node};
use crate::settings::AutoAssign;

/// What a configuration is checked against besides itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rules {
    /// The controller's Broker port, if it listens.
    pub controller_port: Option<Port>,
    /// Whether nodes without Broker port get one.
    pub broker_ports: AutoAssign,
}

impl Configuration {
    /// Everything that is wrong with it, sorted by bytes; empty if it can be deployed. What stock
    /// checks, too, is in stock's words.
    pub fn problems(&self, rules: Rules) -> Vec<String> {
        let mut texts = Vec::new();
        self.check_names(&mut texts);
        self.check_ports(rules.controller_port, &mut texts);
        self.check_gaps(&mut texts);
        if rules.broker_ports == AutoAssign::Off {
            self.check_missing_ports(&mut texts);
        }
        texts.sort();
        texts
    }

    fn check_names(&self, texts: &mut Vec<String>) {
        let instances = self.instances.iter().map(|i| i.name.as_str());
        let (instances, twice) = distinct(instances);
        let twice = twice.iter();
        texts.extend(twice.map(|name| format!("multiple instances named '{name}'")));

        let (nodes, twice) = distinct(self.nodes.iter().map(|n| n.name.as_str()));
        let twice = twice.iter();
        texts.extend(twice.map(|name| format!("multiple nodes named '{name}'")));

        let both: Vec<&str> = instances.intersection(&nodes).copied().collect();
        if !both.is_empty() {
            let both = both.join(", ");
            texts.push(format!("node and instance names collide: {both}"));
        }
        for Node { name, instance, .. } in &self.nodes {
            if !instances.contains(instance.as_str()) {
                texts.push(format!(
                    "node '{name}' has undeclared instance name '{instance}'"
                ));
            }
        }
    }

    fn check_ports(&self, controller: Option<Port>, texts: &mut Vec<String>) {
        let agents = self.instances.iter();
        let agents: BTreeSet<(&str, Port)> = agents
            .filter_map(|i| Some((i.name.as_str(), i.listen_port?)))
            .collect();
        for node in &self.nodes {
            let Node { name, instance, .. } = node;
            let Some(p) = node.p else { continue };
            if agents.contains(&(instance, p)) {
                texts.push(format!(
                    "node '{name}' port {p} conflicts with agent port on instance '{instance}'"
                ));
            }
            if Some(p) == controller {
                texts.push(format!(
                    "node '{name}' port {p} conflicts with controller port"
                ));
            }
        }
        let used = self.nodes.iter();
        let used = used.filter_map(|n| Some((n.instance.as_str(), n.p?)));
        let (_, twice) = distinct(used);
        for (instance, p) in twice {
            texts.push(format!(
                "multiple nodes on instance '{instance}' using port {p}"
            ));
        }
    }

    fn check_missing_ports(&self, texts: &mut Vec<String>) {
        let nodes = self.nodes.iter();
        let lacking: BTreeSet<&str> = nodes
            .filter(|n| n.p.is_none() && needs_broker_port(n.role))
            .map(|n| n.name.as_str())
            .collect();
        if !lacking.is_empty() {
            let lacking = Vec::from_iter(lacking).join(", ");
            texts.push(format!(
                "Broker port auto-assignment disabled but nodes {lacking} lack ports"
            ));
        }
    }
}

/// All items once, and those that came more than once.
fn distinct<T: Ord + Copy>(items: impl Iterator<Item = T>) -> (BTreeSet<T>, BTreeSet<T>) {
    let mut once = BTreeSet::new();
    let twice = items.filter(|item| !once.insert(*item)).collect();
    (once, twice)
}

#[cfg(test)]
mod tests;
