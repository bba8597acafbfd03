//! What a controller does with a configuration before any agent sees it (API §4.3, §7).

use std::collections::BTreeSet;

use broker_proto::Port;

use super::Configuration;
use super::validate::Rules;
use crate::settings::{AutoAssign, ControllerSettings};

impl Configuration {
    /// Why this controller does not stage it, sorted by bytes; empty if it does.
    pub fn refusals(&self, settings: &ControllerSettings) -> Vec<String> {
        let listen = settings.listen.as_ref();
        let mut problems = self.problems(Rules {
            controller_port: listen.map(|addr| Port::tcp(addr.port)),
            broker_ports: settings.broker_ports,
        });
        problems.extend(self.collision(&settings.name));
        problems.sort();
        problems
    }

    /// Hands out the ports that this controller hands out. Those of metrics depend on hosts.
    pub fn assign_ports(&mut self, settings: &ControllerSettings) {
        let own = [&settings.listen, &settings.listen_websocket];
        let own: BTreeSet<u16> = own.into_iter().flatten().map(|addr| addr.port).collect();
        if let AutoAssign::From(start) = settings.broker_ports {
            self.assign_broker_ports(start, &own);
        }
        if let AutoAssign::From(start) = settings.metrics_ports {
            self.assign_metrics_ports(start);
        }
    }
}
