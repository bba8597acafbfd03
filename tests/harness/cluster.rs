//! Configurations in the form that zeek-client reads.

use std::fmt::Write;

use crate::tree::INSTANCE;

/// A manager and a worker.
pub fn small() -> String {
    ini(&[("manager", "manager"), ("worker-01", "worker")])
}

/// These nodes on [`INSTANCE`], each given by name and role. Workers read the loopback interface,
/// which wants the right to do so where nodes are real.
pub fn ini(nodes: &[(&str, &str)]) -> String {
    let mut text = format!("[instances]\n{INSTANCE}\n");
    for (name, role) in nodes {
        write!(text, "\n[{name}]\ninstance = {INSTANCE}\nrole = {role}\n")
            .expect("a String takes any text");
        if *role == "worker" {
            text.push_str("interface = lo\n");
        }
    }
    text
}
