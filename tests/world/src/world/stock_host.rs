//! What is below a stock supervisor: one stem, which the supervisor's part of the world has in
//! itself, and the processes of its nodes.

use supervisor::host::{ChildId, HostInput};

use super::{Host, Kind, Process, Who, World};
use crate::chance::Chance;
use crate::fault::Fault;
use crate::model::Model;
use crate::script::{Header, Maker, SensorPlan};
use crate::seen::Seen;
use crate::stock_supervisor::{StockSupervisor, Want};

/// What may be seen in a world that has such peers.
pub(super) fn model_of(header: &Header) -> Model {
    let those = |has: fn(&SensorPlan) -> bool| {
        let sensors = (1..).map(Host).zip(&header.sensors);
        let those = sensors.filter(|(_, plan)| has(plan));
        those.map(|(host, _)| host.instance()).collect()
    };
    let stock = those(|plan| plan.is_stock);
    Model::new(stock).with_stock_supervisors(those(|plan| plan.supervisor == Maker::Stock))
}

impl World {
    /// The nodes that run on a host, with the configuration they are of, sorted. Those of a stock agent
    /// are as true as what it was told.
    pub(crate) fn living(&mut self, host: Host) -> Vec<(String, String)> {
        if let Some(who) = self.sensor(host).agent
            && let Some(Process::Stock(agent)) = self.process_mut(who)
        {
            return agent.nodes();
        }
        self.sensor(host).living()
    }

    pub(super) fn boot_stock_supervisor(&mut self, host: Host) {
        let (release, seed) = (self.chance.next(), self.chance.next());
        let id = self.chance.endpoint_id();
        let mut process = StockSupervisor::new(release, id, Chance::new(seed));
        if self.is_calm {
            process.calm();
        }
        let program = self.program(host, Kind::Supervisor);
        self.see(Seen::Started { program });
        let who = self.start(host, Process::StockSupervisor(Box::new(process)));
        self.sensor(host).supervisor = Some(who);
        self.obey(who);
    }

    pub(super) fn obey_stock_supervisor(&mut self, who: Who, want: Want) {
        let Some(host) = self.host_of(who) else {
            return;
        };
        match want {
            Want::Broker(output) => self.obey_broker(who, output),
            Want::Fork {
                child,
                node,
                config,
            } => self.fork(host, child, node, config),
            Want::Signal(child, signal) => self.signal(host, child, signal),
            Want::Note(fault) => self.note(fault),
        }
    }

    fn fork(&mut self, host: Host, child: ChildId, node: String, config: String) {
        if self.header.chances.system && !self.is_calm && self.chance.is_one_in(20) {
            self.note(Fault::SpawnFailed);
            let reason = "no memory".to_owned();
            return self.report(host, HostInput::SpawnFailed { child, reason });
        }
        self.add_child(host, child, Some((node, config)));
        self.start_node(host, child);
    }
}
