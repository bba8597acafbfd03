//! What a deployment would do, without doing it.
//!
//! A [`Plan`] is made of what is wanted and what a controller can be asked without any effect: what
//! is deployed, which agents are connected, what they run. It follows the controller's own rules,
//! given that controller's settings.
//!
//! An agent that gets another configuration ends all its nodes and starts them anew (API §5.4), so
//! a node that stays is restarted, even if nothing about it changes, unless agents are told to keep
//! such nodes ([`Unchanged`]). [`ini`] and [`cluster`] read
//! the file that zeek-client reads; [`show`] prints the plan.

pub mod cluster;
pub mod ini;
mod nodes;
pub mod show;
pub mod target;

use std::collections::{BTreeMap, BTreeSet};

use broker_proto::{Address, Port};

use crate::model::diff::InstanceDiff;
use crate::model::{ClusterRole, Configuration, Instance, NodeStatus};
use crate::settings::{ControllerSettings, Unchanged};
pub(crate) use nodes::role_name;

/// What a controller says about its cluster.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Observed {
    /// What is deployed.
    pub deployed: Option<Configuration>,
    /// The agents that are connected.
    pub agents: Vec<Instance>,
    /// What they run, by instance, or why that is not known.
    pub running: BTreeMap<String, Result<Vec<NodeStatus>, String>>,
}

/// What a deployment would do.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// Why the controller would refuse it; then nothing else would happen.
    pub refusals: Vec<String>,
    /// Instances that would not take part, with the reason.
    pub missing: Vec<String>,
    /// What somebody should look at.
    pub warnings: Vec<String>,
    /// Instances, by name.
    pub instances: Vec<InstanceStep>,
    /// Nodes: first those that end, then the others, each by instance, role and name.
    pub nodes: Vec<NodeStep>,
}

/// What happens to one instance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InstanceStep {
    /// Its name.
    pub name: String,
    /// What.
    pub action: InstanceAction,
    /// Its address, as far as it is known.
    pub host: Option<Address>,
    /// The agent's port, if the controller dials it.
    pub listen_port: Option<Port>,
    /// Whether its agent is there now.
    pub is_connected: bool,
}

/// What can happen to an instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InstanceAction {
    /// It is part of the cluster, and stays.
    Keep,
    /// It becomes part of the cluster.
    Add,
    /// It stays, and is reached in another way.
    Reconnect,
    /// It leaves the cluster; all its nodes end.
    Drop,
}

/// What happens to one node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeStep {
    /// Its name.
    pub name: String,
    /// Where.
    pub instance: String,
    /// Its role.
    pub role: ClusterRole,
    /// What.
    pub action: NodeAction,
    /// Its Broker port, assigned ones included.
    pub port: Option<Port>,
    /// Its metrics port, assigned ones included.
    pub metrics_port: Option<Port>,
    /// What differs from what is deployed.
    pub changes: Vec<String>,
}

/// What can happen to a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NodeAction {
    /// It does not run, and will.
    Start,
    /// It runs, and runs on.
    Keep,
    /// It runs, ends, and is started again.
    Restart,
    /// It runs, and ends.
    Stop,
    /// It is started when its instance is there.
    Later,
}

impl Plan {
    /// What a controller with these settings would do to deploy `wanted`, with agents that do this
    /// to unchanged nodes.
    pub fn new(
        mut wanted: Configuration,
        observed: &Observed,
        settings: &ControllerSettings,
        unchanged: Unchanged,
    ) -> Self {
        let mut plan = Self {
            refusals: wanted.refusals(settings),
            ..Self::default()
        };
        if !plan.refusals.is_empty() {
            return plan;
        }
        fill_hosts(&mut wanted, observed);
        wanted.assign_ports(settings);
        plan.warnings = wanted.warnings();
        plan.refusals = wanted.unreachable();
        plan.refusals.extend(wanted.metrics_conflicts());
        if !plan.refusals.is_empty() {
            return plan;
        }
        let connected: BTreeSet<&str> = observed.agents.iter().map(|a| a.name.as_str()).collect();
        plan.missing = missing(&wanted, &connected);
        plan.instances = instance_steps(&wanted, observed, &connected);
        let awaited = awaited(&wanted);
        if !awaited.is_empty() && awaited.len() == plan.missing.len() {
            // The deployment would wait for agents until it times out, and leave all as it is.
            plan.instances.clear();
            return plan;
        }
        plan.nodes = nodes::steps(&wanted, observed, &connected);
        if unchanged == Unchanged::Keep {
            nodes::keep(&mut plan.nodes, &wanted, observed);
        }
        for (name, running) in &observed.running {
            if let Err(problem) = running {
                let text = format!("instance {name} does not say what it runs: {problem}");
                plan.warnings.push(text);
            }
        }
        plan
    }

    /// Whether the deployment would succeed, as far as anybody can know before.
    pub fn is_deployable(&self) -> bool {
        self.refusals.is_empty() && self.missing.is_empty()
    }
}

/// Agents that dial are at the address they come from, or were when they were last here.
fn fill_hosts(config: &mut Configuration, observed: &Observed) {
    let deployed = observed.deployed.iter().flat_map(|c| &c.instances);
    let known: BTreeMap<&str, Address> = deployed
        .chain(&observed.agents)
        .filter(|instance| !instance.host.is_unspecified())
        .map(|instance| (instance.name.as_str(), instance.host))
        .collect();
    let instances = std::mem::take(&mut config.instances).into_iter();
    let instances = instances.map(|mut instance| {
        if instance.host.is_unspecified()
            && instance.listen_port.is_none()
            && let Some(host) = known.get(instance.name.as_str())
        {
            instance.host = *host;
        }
        instance
    });
    config.instances = instances.collect();
}

/// The instances that a deployment waits for: those with nodes, or all if none has (API §15.1 D02).
fn awaited(config: &Configuration) -> Vec<&Instance> {
    let has_nodes = |instance: &&Instance| {
        let mut nodes = config.nodes.iter();
        config.nodes.is_empty() || nodes.any(|node| node.instance == instance.name)
    };
    config.instances.iter().filter(has_nodes).collect()
}

/// An agent that the controller dials need not be there before.
fn missing(config: &Configuration, connected: &BTreeSet<&str>) -> Vec<String> {
    let awaited = awaited(config).into_iter();
    let missing = awaited.filter(|i| i.listen_port.is_none() && !connected.contains(&*i.name));
    missing
        .map(|i| format!("instance {} is not connected", i.name))
        .collect()
}

fn instance_steps(
    config: &Configuration,
    observed: &Observed,
    connected: &BTreeSet<&str>,
) -> Vec<InstanceStep> {
    let deployed = observed.deployed.iter().flat_map(|c| &c.instances);
    let deployed = deployed.map(|i| (i.name.clone(), i.clone())).collect();
    let diff = InstanceDiff::new(&deployed, &config.instances);
    let step = |action, instance: Instance| InstanceStep {
        is_connected: connected.contains(instance.name.as_str()),
        name: instance.name,
        action,
        host: Some(instance.host).filter(|host| !host.is_unspecified()),
        listen_port: instance.listen_port,
    };
    let of = |action, list: Vec<Instance>| list.into_iter().map(move |i| step(action, i));
    let moved = diff.reconnect.into_iter().map(|r| r.to).collect();
    let mut steps: Vec<InstanceStep> = of(InstanceAction::Keep, diff.keep)
        .chain(of(InstanceAction::Add, diff.add))
        .chain(of(InstanceAction::Reconnect, moved))
        .chain(of(InstanceAction::Drop, diff.drop))
        .collect();
    steps.sort_by(|a, b| a.name.cmp(&b.name));
    steps
}

#[cfg(test)]
mod tests;
