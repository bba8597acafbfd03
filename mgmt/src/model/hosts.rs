//! Whether nodes can reach each other (API §12.1 D07).

use std::collections::{BTreeMap, BTreeSet};

use broker_proto::Address;

use super::ports::needs_broker_port;
use super::{Configuration, Instance};

impl Configuration {
    /// Notes where agents are seen whose instances say nothing about it. What they do say stays.
    pub(crate) fn learn_hosts(&mut self, hosts: &BTreeMap<String, Address>) {
        let instances = std::mem::take(&mut self.instances).into_iter();
        let learned = |instance: Instance| match hosts.get(&instance.name) {
            Some(host) if instance.host.is_unspecified() && instance.listen_port.is_none() => {
                Instance {
                    host: *host,
                    ..instance
                }
            }
            Some(_) | None => instance,
        };
        self.instances = instances.map(learned).collect();
    }

    /// Instances with a loopback address although nodes on other hosts would have to dial theirs, one
    /// text each that says what to set. An address that is not known yet is no reason.
    pub fn unreachable(&self) -> Vec<String> {
        let hosts = self.instances.iter();
        let hosts: BTreeMap<&str, Address> = hosts.map(|i| (i.name.as_str(), i.host)).collect();
        let mut hosts_with_nodes = self.nodes.iter().filter_map(|n| {
            let host = hosts.get(n.instance.as_str());
            host.copied()
        });
        if !hosts_with_nodes.any(|host| !host.is_unspecified() && !is_loopback(host)) {
            return Vec::new();
        }
        let local = self.instances.iter().filter(|i| is_loopback(i.host));
        let dialed = self.nodes.iter().filter(|n| needs_broker_port(n.role));
        let dialed: BTreeSet<&str> = dialed.map(|node| node.instance.as_str()).collect();
        let dialed = local.filter(|i| dialed.contains(i.name.as_str()));
        dialed
            .map(|i| {
                let (name, host) = (&i.name, i.host);
                let what_to_set = if i.listen_port.is_some() {
                    "list it with an address that other hosts can reach"
                } else {
                    "set Management::Agent::controller of its agent to an address of the \
                     controller's that other hosts can reach"
                };
                format!(
                    "instance '{name}' has the loopback address {host}, but nodes on other hosts \
                     have to connect to its nodes: {what_to_set}"
                )
            })
            .collect()
    }
}

fn is_loopback(host: Address) -> bool {
    host.to_ip().is_loopback()
}

#[cfg(test)]
mod tests {

    use broker_proto::Port;

    use super::*;
    use crate::model::{ClusterRole, Node};

    use ClusterRole::{Logger, Manager, Worker};

    #[test]
    fn d07_a_loopback_address_that_other_hosts_have_to_dial_is_a_problem() {
        let nodes = [("a", "m", Manager), ("b", "w", Worker)];
        let dialing = config(&[("a", "127.0.0.1", None), ("b", "10.0.0.2", None)], &nodes);
        assert_eq!(
            dialing.unreachable(),
            [
                "instance 'a' has the loopback address 127.0.0.1, but nodes on other hosts have to \
                 connect to its nodes: set Management::Agent::controller of its agent to an \
                 address of the controller's that other hosts can reach"
            ]
        );
        let dialed = config(&[("a", "::1", Some(2151)), ("b", "10.0.0.2", None)], &nodes);
        assert_eq!(
            dialed.unreachable(),
            [
                "instance 'a' has the loopback address ::1, but nodes on other hosts have to \
                 connect to its nodes: list it with an address that other hosts can reach"
            ]
        );
    }

    #[test]
    fn d07_workers_on_loopback_single_hosts_and_unknown_hosts_are_fine() {
        let nodes = [("a", "m", Manager), ("a", "l", Logger), ("b", "w", Worker)];
        for hosts in [
            ["127.0.0.1", "127.0.0.1"],
            ["127.0.0.1", "127.0.0.2"],
            ["10.0.0.1", "127.0.0.1"],
            ["127.0.0.1", "0.0.0.0"],
        ] {
            let instances = [("a", hosts[0], None), ("b", hosts[1], None)];
            let config = config(&instances, &nodes);
            assert_eq!(config.unreachable(), [""; 0], "{hosts:?}");
        }
        let elsewhere = [("a", "127.0.0.1", None), ("b", "10.0.0.2", None)];
        assert_eq!(config(&elsewhere, &nodes[..2]).unreachable(), [""; 0]);
    }

    #[test]
    fn what_an_instance_says_of_its_address_stays_and_what_it_leaves_open_is_learned() {
        let (said, seen) = ("10.0.0.9", "10.0.0.1");
        let instances = [
            ("open", "0.0.0.0", None),
            ("named", said, None),
            ("dialed", "0.0.0.0", Some(2151)),
            ("away", "0.0.0.0", None),
        ];
        let mut config = config(&instances, &[]);
        let hosts =
            ["open", "named", "dialed"].map(|name| (name.to_owned(), seen.parse().unwrap()));
        config.learn_hosts(&hosts.into());
        let host = |name: &str| {
            let mut instances = config.instances.iter();
            let found = instances.find(|instance| instance.name == name);
            found.unwrap().host.to_string()
        };
        let hosts = ["open", "named", "dialed", "away"].map(host);
        assert_eq!(hosts, [seen, said, "0.0.0.0", "0.0.0.0"]);
    }

    fn config(
        instances: &[(&str, &str, Option<u16>)],
        nodes: &[(&str, &str, ClusterRole)],
    ) -> Configuration {
        let instances = instances.iter().map(|(name, host, port)| Instance {
            name: (*name).into(),
            host: host.parse().unwrap(),
            listen_port: port.map(Port::tcp),
        });
        let nodes = nodes
            .iter()
            .map(|(instance, name, role)| Node::new(*instance, *name, *role));
        Configuration {
            id: "c".into(),
            instances: instances.collect(),
            nodes: nodes.collect(),
        }
    }
}
