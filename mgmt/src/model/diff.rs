//! What a deployment changes about the instances in force (API §4.4 C13).

use std::collections::{BTreeMap, BTreeSet};

use super::Instance;

/// The instances in force against those of a configuration; each list is in name order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct InstanceDiff {
    /// In force, but not in the configuration.
    pub drop: Vec<Instance>,
    /// In both, but reached in another way: to drop as it was, then to add as it shall be.
    pub reconnect: Vec<Reconnect>,
    /// In the configuration, but not in force.
    pub add: Vec<Instance>,
    /// In both; as the configuration has it.
    pub keep: Vec<Instance>,
}

/// One instance that moved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reconnect {
    /// How it was reached.
    pub from: Instance,
    /// How it shall be reached.
    pub to: Instance,
}

impl InstanceDiff {
    /// Compares the instances in force, by name, with those of a configuration.
    pub fn new(wanted: &BTreeMap<String, Instance>, config: &BTreeSet<Instance>) -> Self {
        let mut diff = Self::default();
        let names: BTreeSet<&str> = config.iter().map(|i| i.name.as_str()).collect();
        for (name, instance) in wanted {
            if !names.contains(name.as_str()) {
                diff.drop.push(instance.clone());
            }
        }
        for instance in config {
            match wanted.get(&instance.name) {
                None => diff.add.push(instance.clone()),
                Some(old) if has_moved(old, instance) => diff.reconnect.push(Reconnect {
                    from: old.clone(),
                    to: instance.clone(),
                }),
                Some(_) => diff.keep.push(instance.clone()),
            }
        }
        diff
    }
}

/// Whether another connection is needed. An agent that dials is where it is, and another address of
/// its concerns only the layout; stock takes even learning its host for a move
/// (`is_instance_connectivity_change`; API §12.1 D04). But an address that the controller dials must
/// be the one configured.
fn has_moved(old: &Instance, new: &Instance) -> bool {
    let is_dialed = new.listen_port.is_some();
    old.listen_port != new.listen_port || (is_dialed && old.host != new.host)
}

#[cfg(test)]
mod tests {
    use broker_proto::Port;

    use super::*;

    #[test]
    fn instances_are_told_apart_by_name() {
        let diff = compare(
            &[("gone", "10.0.0.1", None), ("kept", "10.0.0.2", None)],
            &[("kept", "10.0.0.2", None), ("new", "10.0.0.3", None)],
        );
        assert_eq!(diff.drop, [instance("gone", "10.0.0.1", None)]);
        assert_eq!(diff.keep, [instance("kept", "10.0.0.2", None)]);
        assert_eq!(diff.add, [instance("new", "10.0.0.3", None)]);
        assert_eq!(diff.reconnect, []);
    }

    #[test]
    fn d04_another_address_port_or_direction_of_dialing_is_a_move() {
        for (old, new) in [
            (("a", "10.0.0.1", Some(2151)), ("a", "10.0.0.2", Some(2151))),
            (("a", "10.0.0.1", None), ("a", "10.0.0.1", Some(2151))),
            (("a", "10.0.0.1", Some(2151)), ("a", "10.0.0.1", None)),
            (("a", "10.0.0.1", Some(2151)), ("a", "10.0.0.1", Some(9))),
            (("a", "0.0.0.0", Some(2151)), ("a", "10.0.0.1", Some(2151))),
        ] {
            let diff = compare(&[old], &[new]);
            let want = Reconnect {
                from: instance(old.0, old.1, old.2),
                to: instance(new.0, new.1, new.2),
            };
            assert_eq!(diff.reconnect, [want], "{old:?} to {new:?}");
            assert_eq!(diff.keep, []);
        }
    }

    #[test]
    fn d04_the_host_of_an_agent_that_dials_is_no_move() {
        for (old, new) in [
            ("0.0.0.0", "10.0.0.1"),
            ("10.0.0.1", "0.0.0.0"),
            ("10.0.0.1", "10.0.0.2"),
        ] {
            let diff = compare(&[("a", old, None)], &[("a", new, None)]);
            assert_eq!(diff.reconnect, [], "{old} to {new}");
            assert_eq!(diff.keep, [instance("a", new, None)]);
        }
    }

    type Row = (&'static str, &'static str, Option<u16>);

    fn compare(wanted: &[Row], config: &[Row]) -> InstanceDiff {
        let wanted = wanted
            .iter()
            .map(|&(n, h, p)| (n.into(), instance(n, h, p)));
        let config = config.iter().map(|&(n, h, p)| instance(n, h, p));
        InstanceDiff::new(&wanted.collect(), &config.collect())
    }

    fn instance(name: &str, host: &str, port: Option<u16>) -> Instance {
        Instance {
            name: name.into(),
            host: host.parse().unwrap(),
            listen_port: port.map(Port::tcp),
        }
    }
}
