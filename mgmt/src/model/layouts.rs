//! The layouts of records that peers of other versions use (API §14; CLIENT §C4, §D).
//!
//! | record | fields | written by | what the newest layout adds |
//! | --- | --- | --- | --- |
//! | `Node` | 10 | Zeek 5.0 to 6.2, zeek-client 1.2.0 and 1.3.1 | – |
//! | `Node` | 11 | Zeek since 7.0, zeek-client since 1.4.0 | `metrics_port` |
//! | `NodeStatus` | 6 | Zeek 5.0 to 6.2 | – |
//! | `NodeStatus` | 7 | Zeek since 7.0 | `metrics_port` |
//! | `Configuration` | 3 | all | – |
//! | `Instance` | 3 | all | – |
//! | `Result` | 6 | all | – |
//! | `NodeOutputs` | 2 | all | – |
//!
//! All layouts of a record are read, and the newest is written: every peer ignores what it does not
//! know, but stock refuses records that are shorter than its own (API §1.2). Two fields also differ in
//! type: zeek-client before 1.4.0 sends `cpu_affinity` as a count ([`CpuAffinity`]), and a port that
//! does not exist is `0/tcp` up to Zeek 6.2 and `0/unknown` later, where it is not left out. No client
//! can read either of these (CLIENT §C3), so they are taken for unset.
//!
//! [`CpuAffinity`]: super::CpuAffinity

use broker_proto::Port;

use super::{Configuration, Instance, Node, NodeStatus};

impl Configuration {
    /// The same with every port that says "none" unset.
    #[must_use]
    pub fn without_null_ports(self) -> Self {
        let instances = self.instances.into_iter().map(|instance| Instance {
            listen_port: real(instance.listen_port),
            ..instance
        });
        let nodes = self.nodes.into_iter().map(|node| Node {
            p: real(node.p),
            metrics_port: real(node.metrics_port),
            ..node
        });
        Self {
            id: self.id,
            instances: instances.collect(),
            nodes: nodes.collect(),
        }
    }
}

impl NodeStatus {
    /// The same with every port that says "none" unset.
    #[must_use]
    pub fn without_null_ports(self) -> Self {
        Self {
            p: real(self.p),
            metrics_port: real(self.metrics_port),
            ..self
        }
    }
}

fn real(port: Option<Port>) -> Option<Port> {
    port.filter(|port| port.number != 0)
}

#[cfg(test)]
mod tests;
