//! What is deployed: one configuration after the other, each with a number that reaches its nodes.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The variable of its environment in which a node finds its deployment's number.
pub(crate) const NUMBER: &str = "CHAOS_DEPLOYMENT";

/// A sensor, as configurations name it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Sensor {
    pub(crate) name: String,
    /// Where the controller dials its agent; `None` if the agent dials.
    pub(crate) dialed: Option<String>,
    /// The first port of its nodes.
    pub(crate) first_port: u16,
}

/// The nodes of a deployment, each with its instance: no deployment has those of the one before.
pub(crate) fn nodes(number: u64, sensors: &[Sensor]) -> BTreeMap<String, String> {
    let mut nodes = BTreeMap::new();
    for (at, sensor) in sensors.iter().enumerate() {
        let mut add = |name: String| nodes.insert(name, sensor.name.clone());
        if at == 0 {
            add("manager".to_owned());
            add("logger".to_owned());
        }
        add(format!("work-{}a", at + 1));
        if number % 2 == 1 {
            add(format!("work-{}b", at + 1));
        }
    }
    nodes
}

/// The same as zeek-client reads it.
pub(crate) fn ini(number: u64, sensors: &[Sensor]) -> String {
    let mut text = "[instances]\n".to_owned();
    for sensor in sensors {
        match &sensor.dialed {
            Some(address) => writeln!(text, "{} = {address}", sensor.name),
            None => writeln!(text, "{}", sensor.name),
        }
        .expect("a String takes any text");
    }
    for (node, instance) in nodes(number, sensors) {
        let first = sensors.iter().find(|sensor| sensor.name == instance);
        let first = first.map_or(0, |sensor| sensor.first_port);
        let rest = match node.as_str() {
            "manager" => format!("role = manager\nport = {first}\n"),
            "logger" => format!("role = logger\nport = {}\n", first.saturating_add(1)),
            _ => "role = worker\ninterface = lo\n".to_owned(),
        };
        let env = format!("env = {NUMBER}={number}");
        write!(text, "\n[{node}]\ninstance = {instance}\n{env}\n{rest}")
            .expect("a String takes any text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_told_its_deployment() {
        let sensor = |name: &str, dialed: Option<&str>| Sensor {
            name: name.to_owned(),
            dialed: dialed.map(str::to_owned),
            first_port: 2200,
        };
        let sensors = [sensor("one", None), sensor("two", Some("10.0.0.2:2151"))];
        let expected = "[instances]\none\ntwo = 10.0.0.2:2151\n\
            \n[logger]\ninstance = one\nenv = CHAOS_DEPLOYMENT=2\nrole = logger\nport = 2201\n\
            \n[manager]\ninstance = one\nenv = CHAOS_DEPLOYMENT=2\nrole = manager\nport = 2200\n\
            \n[work-1a]\ninstance = one\nenv = CHAOS_DEPLOYMENT=2\nrole = worker\ninterface = lo\n\
            \n[work-2a]\ninstance = two\nenv = CHAOS_DEPLOYMENT=2\nrole = worker\ninterface = lo\n";
        assert_eq!(ini(2, &sensors), expected);
        assert_eq!(nodes(3, &sensors).len(), 6);
    }
}
