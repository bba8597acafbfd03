//! What a deployment does to nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use broker_proto::{Address, Port};

use super::{NodeAction, NodeStep, Observed};
use crate::model::{ClusterRole, Configuration, Node, NodeStatus, Role, State};

/// Steps for all nodes that are wanted or run.
pub(super) fn steps(
    wanted: &Configuration,
    observed: &Observed,
    connected: &BTreeSet<&str>,
) -> Vec<NodeStep> {
    let deployed = by_place(observed.deployed.iter().flat_map(|c| &c.nodes));
    let wanted_nodes = by_place(&wanted.nodes);
    let running = running(observed, &deployed);
    let is_touched = |instance: &str| {
        let parts = [Some(wanted), observed.deployed.as_ref()];
        let mut instances = parts.into_iter().flatten().flat_map(|c| &c.instances);
        connected.contains(instance) && instances.any(|i| i.name == instance)
    };
    let ending = running.iter().filter(|(place, _)| {
        let (instance, _) = place;
        is_touched(instance) && !wanted_nodes.contains_key(*place)
    });
    let mut ending: Vec<NodeStep> = ending
        .map(|((instance, name), step)| NodeStep {
            name: (*name).to_owned(),
            instance: (*instance).to_owned(),
            action: NodeAction::Stop,
            ..step.clone()
        })
        .collect();
    let mut staying: Vec<NodeStep> = wanted_nodes
        .iter()
        .map(|(place, node)| {
            let action = if !connected.contains(place.0) {
                NodeAction::Later
            } else if running.contains_key(place) {
                NodeAction::Restart
            } else {
                NodeAction::Start
            };
            let former = deployed.get(place);
            let changes = former.map(|former| changes(former, node));
            step(node, action, changes.unwrap_or_default())
        })
        .collect();
    for steps in [&mut ending, &mut staying] {
        steps.sort_by(|a, b| {
            let key = |s: &NodeStep| (s.instance.clone(), s.role, s.name.clone());
            key(a).cmp(&key(b))
        });
    }
    ending.append(&mut staying);
    ending
}

/// Marks nodes that an agent leaves running if it keeps what is unchanged: nothing about them
/// changes, nor about the cluster, of which every node is told all when it starts.
pub(super) fn keep(steps: &mut [NodeStep], wanted: &Configuration, observed: &Observed) {
    let deployed = observed.deployed.as_ref().map(layout);
    if deployed != Some(layout(wanted)) {
        return;
    }
    let is_kept = |step: &&mut NodeStep| {
        let nodes = observed.running.get(&step.instance);
        let mut nodes = nodes.into_iter().flatten().flatten();
        let runs = nodes.any(|node| node.node == step.name && node.state == State::Running);
        runs && step.action == NodeAction::Restart && step.changes.is_empty()
    };
    for step in steps.iter_mut().filter(is_kept) {
        step.action = NodeAction::Keep;
    }
}

/// What every node is told of every other one.
type Member<'a> = (
    ClusterRole,
    Option<Address>,
    Option<Port>,
    Option<&'a str>,
    Option<Port>,
);

fn layout(config: &Configuration) -> BTreeMap<&str, Member<'_>> {
    let hosts = config.instances.iter();
    let hosts: BTreeMap<&str, Address> = hosts.map(|i| (i.name.as_str(), i.host)).collect();
    let members = config.nodes.iter().map(|node| {
        let host = hosts.get(node.instance.as_str()).copied();
        let interface = node.interface.as_deref();
        let member = (node.role, host, node.p, interface, node.metrics_port);
        (node.name.as_str(), member)
    });
    members.collect()
}

/// Instance and name.
type Place<'a> = (&'a str, &'a str);

fn by_place<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> BTreeMap<Place<'a>, &'a Node> {
    let nodes = nodes.into_iter();
    nodes
        .map(|node| ((node.instance.as_str(), node.name.as_str()), node))
        .collect()
}

/// Cluster nodes by what agents say. Of an agent that says nothing, what is deployed counts.
fn running<'a>(
    observed: &'a Observed,
    deployed: &BTreeMap<Place<'a>, &'a Node>,
) -> BTreeMap<Place<'a>, NodeStep> {
    let mut found = BTreeMap::new();
    for (instance, nodes) in &observed.running {
        match nodes {
            Ok(nodes) => {
                let nodes = nodes.iter().filter(|n| n.mgmt_role == Role::None);
                found.extend(nodes.map(|n| ((&**instance, &*n.node), status_step(instance, n))));
            }
            Err(_) => {
                let nodes = deployed.iter().filter(|((there, _), _)| there == instance);
                found.extend(nodes.map(|(place, node)| {
                    let step = step(node, NodeAction::Stop, Vec::new());
                    (*place, step)
                }));
            }
        }
    }
    found
}

fn step(node: &Node, action: NodeAction, changes: Vec<String>) -> NodeStep {
    NodeStep {
        name: node.name.clone(),
        instance: node.instance.clone(),
        role: node.role,
        action,
        port: node.p,
        metrics_port: node.metrics_port,
        changes,
    }
}

fn status_step(instance: &str, status: &NodeStatus) -> NodeStep {
    NodeStep {
        name: status.node.clone(),
        instance: instance.to_owned(),
        role: status.cluster_role,
        action: NodeAction::Stop,
        port: status.p,
        metrics_port: status.metrics_port,
        changes: Vec::new(),
    }
}

/// What is different about a node, but for its name and place.
fn changes(former: &Node, node: &Node) -> Vec<String> {
    let mut texts = Vec::new();
    let mut note = |what: &str, before: String, after: String| {
        if before != after {
            texts.push(format!("{what} {before} -> {after}"));
        }
    };
    let role = |node: &Node| role_name(node.role).to_owned();
    note("role", role(former), role(node));
    note("port", port(former.p), port(node.p));
    let metrics = |node: &Node| port(node.metrics_port);
    note("metrics port", metrics(former), metrics(node));
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    note("interface", text(&former.interface), text(&node.interface));
    let scripts = |node: &Node| list(node.scripts.iter().flatten());
    note("scripts", scripts(former), scripts(node));
    let cpu = |node: &Node| {
        node.cpu_affinity
            .map_or_else(|| "none".to_owned(), |c| c.0.to_string())
    };
    note("cpu_affinity", cpu(former), cpu(node));
    let env = |node: &Node| list(node.env.iter().map(|(k, v)| format!("{k}={v}")));
    note("env", env(former), env(node));
    if former.options != node.options {
        texts.push("options".to_owned());
    }
    texts
}

/// The role without its module.
pub(crate) fn role_name(role: ClusterRole) -> &'static str {
    let name = role.zeek_name();
    name.rsplit("::").next().unwrap_or(name)
}

fn port(port: Option<Port>) -> String {
    port.map_or_else(|| "none".to_owned(), |port| port.to_string())
}

fn list(items: impl Iterator<Item: Debug>) -> String {
    let items: Vec<String> = items.map(|item| format!("{item:?}")).collect();
    if items.is_empty() {
        return "none".to_owned();
    }
    items.join(" ")
}
