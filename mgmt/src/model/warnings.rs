//! What is odd about a configuration, though some cluster may live with it (API §12.1 D21).

use std::collections::{BTreeMap, BTreeSet};

use broker_proto::{Address, Port};

use super::{ClusterRole, Configuration, State};

/// Ports below this one belong to known services and need privileges.
const FIRST_UNPRIVILEGED: u16 = 1024;

/// Ports that the framework itself uses by default, and what for (API §1.1).
const USUAL: [(u16, &str); 4] = [
    (2149, "the controller's WebSocket port"),
    (2150, "the controller's port"),
    (2151, "an agent's port"),
    (9999, "the Supervisor's port"),
];

/// Most longer names that are told of each name.
const MAX_LONGER: usize = 8;

impl Configuration {
    /// What somebody should look at, sorted by bytes. Stock accepts all of it in silence, so nothing
    /// of it is a reason to refuse the configuration.
    pub fn warnings(&self) -> Vec<String> {
        let mut texts = Vec::new();
        self.warn_of_managers(&mut texts);
        self.warn_of_names(&mut texts);
        self.warn_of_ports(&mut texts);
        self.warn_of_unused(&mut texts);
        texts.sort();
        texts
    }

    fn warn_of_managers(&self, texts: &mut Vec<String>) {
        let managers = self.nodes.iter();
        let managers: Vec<&str> = managers
            .filter(|n| n.role == ClusterRole::Manager)
            .map(|n| n.name.as_str())
            .collect();
        if managers.is_empty() && !self.nodes.is_empty() {
            texts.push("no node is a manager".to_owned());
        }
        if managers.len() > 1 {
            texts.push(format!("several managers: {}", managers.join(", ")));
        }
    }

    fn warn_of_names(&self, texts: &mut Vec<String>) {
        // Lines of a node are told by the name in brackets before them (API §12.3 D65).
        let bracketed = self.nodes.iter().filter(|n| n.name.contains(['[', ']']));
        texts.extend(bracketed.map(|n| {
            let name = &n.name;
            format!("node '{name}' has brackets in its name: a stock Supervisor loses its output")
        }));
        let names: BTreeSet<&str> = self.instances.iter().map(|i| i.name.as_str()).collect();
        for name in &names {
            // They come right behind it.
            let longer = names.range::<&str, _>(name..).skip(1);
            let longer = longer.take_while(|n| n.starts_with(name));
            texts.extend(longer.take(MAX_LONGER).map(|longer| {
                format!("a stock agent of instance '{name}' also obeys messages to '{longer}'")
            }));
        }
    }

    fn warn_of_ports(&self, texts: &mut Vec<String>) {
        let hosts = self.instances.iter();
        let hosts: BTreeMap<&str, Address> = hosts.map(|i| (i.name.as_str(), i.host)).collect();
        let mut users: BTreeMap<(Address, Port), BTreeSet<&str>> = BTreeMap::new();
        for node in &self.nodes {
            let ports = [("port", node.p), ("metrics port", node.metrics_port)];
            for (what, port) in ports {
                let Some(port) = port else { continue };
                texts.extend(port_oddities(port).map(|odd| {
                    let name = &node.name;
                    format!("node '{name}' {what} {port} is {odd}")
                }));
            }
            let host = hosts.get(node.instance.as_str());
            let host = host.filter(|host| !host.is_unspecified());
            if let (Some(host), Some(port)) = (host, node.p) {
                users
                    .entry((*host, port))
                    .or_default()
                    .insert(&node.instance);
            }
        }
        let shared = users.iter().filter(|(_, instances)| instances.len() > 1);
        texts.extend(
            shared.map(|((host, port), _)| {
                format!("multiple nodes on host {host} using port {port}")
            }),
        );
    }

    /// What is carried and shown, but does nothing (API §12.1 D27).
    fn warn_of_unused(&self, texts: &mut Vec<String>) {
        let list = |names: Vec<&str>| names.join(", ");
        let nodes = self.nodes.iter();
        let with_options = nodes.filter(|n| n.options.as_ref().is_some_and(|o| !o.is_empty()));
        let with_options: Vec<&str> = with_options.map(|n| n.name.as_str()).collect();
        if !with_options.is_empty() {
            let names = list(with_options);
            texts.push(format!("stock agents ignore the options of nodes {names}"));
        }
        let nodes = self.nodes.iter();
        let with_state = nodes.filter(|n| n.state != State::Running);
        let with_state: Vec<&str> = with_state.map(|n| n.name.as_str()).collect();
        if !with_state.is_empty() {
            let names = list(with_state);
            texts.push(format!("the desired state of nodes {names} has no effect"));
        }
    }
}

fn port_oddities(port: Port) -> impl Iterator<Item = &'static str> {
    let well_known = (port.number < FIRST_UNPRIVILEGED).then_some("a well-known port");
    let usual = USUAL.into_iter();
    let usual = usual.filter(move |(number, _)| *number == port.number);
    well_known.into_iter().chain(usual.map(|(_, what)| what))
}

#[cfg(test)]
mod tests;
