//! A sensor's host: agent and supervisor, and the system below the supervisor with stems and the
//! nodes they start.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use broker_proto::peering::PeerAddr;
use mgmt::agent::process::AgentProcess;
use mgmt::model::Configuration;
use supervisor::host::{ChildId, Ending, Group, HostInput, HostOutput, Signal, Stream, Target};
use supervisor::process::SupervisorProcess;

use super::net::Loss;
use super::{Event, Host, Kind, Process, Who, World, settings};
use crate::fault::Fault;
use crate::node::{Manners, Node};
use crate::script::Maker;
use crate::seen::{CONFIG_VARIABLE, Pid, Program, Seen};
use crate::stock_agent::StockAgent;

/// A node that takes so long to end is late.
const LATE_END: Duration = Duration::from_secs(4);

/// A sensor's host.
#[derive(Debug)]
pub(crate) struct Sensor {
    pub(crate) agent: Option<Who>,
    pub(crate) supervisor: Option<Who>,
    /// What the agent's disk has.
    pub(crate) kept: Option<Configuration>,
    /// The agent may have nodes to order, now or for its next supervisor: a configuration was sent
    /// to it or kept for it, and it has not read since that it shall stand by.
    pub(super) is_ordered: bool,
    stems: BTreeMap<ChildId, Stem>,
    /// When the supervisor hears of what happens next: news do not overtake.
    free: Option<Instant>,
    /// Numbers of processes as the supervisor knows them.
    last_pid: u32,
}

#[derive(Debug)]
struct Stem {
    pid: u32,
    /// From the first SIGTERM to the end, if that has any effect.
    stops_in: Option<Duration>,
    /// What its node is, once it is told: name and configuration.
    told: Option<(String, String)>,
    /// It was told to stop, so it does not start its node again.
    is_stopping: bool,
    node: Option<Running>,
}

/// A node's process.
#[derive(Debug)]
struct Running {
    pid: Pid,
    /// As the supervisor knows it.
    number: u32,
    /// Its part on the network, when it has one.
    who: Option<Who>,
}

impl Sensor {
    pub(super) fn new() -> Self {
        Self {
            agent: None,
            supervisor: None,
            kept: None,
            is_ordered: false,
            stems: BTreeMap::new(),
            free: None,
            last_pid: 1000,
        }
    }

    fn next_number(&mut self) -> u32 {
        self.last_pid += 1;
        self.last_pid
    }

    /// Whether nodes run here, or may be started by what the agent knows.
    pub(super) fn may_have_nodes(&self) -> bool {
        self.is_ordered || !self.stems.is_empty()
    }

    /// The nodes whose process lives, with the configuration they are of, sorted.
    pub(crate) fn living(&self) -> Vec<(String, String)> {
        let stems = self.stems.values().filter(|stem| stem.node.is_some());
        let mut nodes: Vec<_> = stems.filter_map(|stem| stem.told.clone()).collect();
        nodes.sort();
        nodes
    }

    /// The nodes that are on the network.
    pub(crate) fn nodes(&self) -> Vec<Who> {
        let nodes = self.stems.values().filter_map(|stem| stem.node.as_ref());
        nodes.filter_map(|node| node.who).collect()
    }

    /// The children whose node's process lives.
    pub(crate) fn children(&self) -> Vec<(ChildId, Pid)> {
        let nodes = self.stems.iter();
        let nodes = nodes.filter_map(|(child, stem)| Some((*child, stem.node.as_ref()?.pid)));
        nodes.collect()
    }
}

impl World {
    pub(crate) fn sensor(&mut self, host: Host) -> &mut Sensor {
        &mut self.sensors[host.0 - 1]
    }

    pub(super) fn boot_agent(&mut self, host: Host) {
        if self.sensor(host).agent.is_some() {
            return;
        }
        let plan = self.header.sensors[host.0 - 1];
        let controller = plan.dials.then(|| PeerAddr {
            host: Host::CONTROLLER.ip(host).to_string(),
            port: 2150,
        });
        if plan.is_stock {
            return self.boot_stock_agent(host, controller);
        }
        let mut settings = settings(&host.instance()).agent;
        settings.controller = controller;
        settings.listen.host = "0.0.0.0".to_owned();
        let mut ids = self.ids();
        let id = ids.endpoint_id();
        let program = self.program(host, Kind::Agent);
        self.see(Seen::Started { program });
        let mut process = AgentProcess::new(settings, id, ids, self.now);
        let kept = self.sensor(host).kept.clone();
        self.sensor(host).is_ordered = plan.remembers && kept.is_some();
        if plan.remembers {
            process = process.with_memory(kept);
        }
        let who = self.start(host, Process::Agent(Box::new(process)));
        self.sensor(host).agent = Some(who);
        self.obey(who);
    }

    /// Its lists of nodes are lost now and then (API §12.2 D33).
    fn boot_stock_agent(&mut self, host: Host, controller: Option<PeerAddr>) {
        let name = host.instance();
        let release = self.chance.next();
        let id = self.chance.endpoint_id();
        let mut agent = StockAgent::new(&name, release, id, controller, self.now);
        agent.set_stuck(!self.is_calm && self.chance.is_one_in(8));
        self.see(Seen::Started {
            program: Program::Agent(name),
        });
        let who = self.start(host, Process::Stock(Box::new(agent)));
        self.sensor(host).agent = Some(who);
        self.obey(who);
    }

    pub(super) fn boot_supervisor(&mut self, host: Host) {
        let plan = self.header.sensors[host.0 - 1];
        if plan.is_stock || self.sensor(host).supervisor.is_some() {
            return;
        }
        if plan.supervisor == Maker::Stock {
            return self.boot_stock_supervisor(host);
        }
        let settings = supervisor::settings::Settings {
            listen: Some(settings("unused").agent.supervisor),
            zeek: "zeek".into(),
            args: Vec::new(),
            own: Vec::new(),
            policy: supervisor::settings::Policy::default(),
        };
        let mut ids = self.ids();
        let id = ids.endpoint_id();
        let program = self.program(host, Kind::Supervisor);
        self.see(Seen::Started { program });
        let process = SupervisorProcess::new(settings, id, ids, self.now);
        let who = self.start(host, Process::Supervisor(Box::new(process)));
        self.sensor(host).supervisor = Some(who);
        self.obey(who);
    }

    pub(crate) fn kill_agent(&mut self, host: Host, how: Loss, back_in: Option<Duration>) {
        let Some(who) = self.sensor(host).agent.take() else {
            return;
        };
        if how == Loss::Process {
            self.note(Fault::AgentKilled);
        }
        let program = self.program(host, Kind::Agent);
        self.see(Seen::Killed { program });
        self.kill(who, how);
        if let Some(wait) = back_in {
            self.later(self.now + wait, Event::Boot(host, Kind::Agent));
        }
    }

    /// Nodes do not outlive their supervisor: they share its control group.
    pub(crate) fn kill_supervisor(&mut self, host: Host, how: Loss, back_in: Option<Duration>) {
        let Some(who) = self.sensor(host).supervisor.take() else {
            return;
        };
        if how == Loss::Process {
            self.note(Fault::SupervisorKilled);
        }
        let program = self.program(host, Kind::Supervisor);
        self.see(Seen::Killed { program });
        self.kill(who, how);
        for stem in std::mem::take(&mut self.sensor(host).stems).into_values() {
            if let Some(node) = stem.node {
                self.end_node(node, how);
            }
        }
        if let Some(wait) = back_in {
            self.later(self.now + wait, Event::Boot(host, Kind::Supervisor));
        }
    }

    pub(super) fn obey_system(&mut self, who: Who, order: HostOutput) {
        let Some(host) = self.host_of(who) else {
            return;
        };
        let is_bad = self.header.chances.system && !self.is_calm && self.chance.is_one_in(20);
        match order {
            HostOutput::MakeDirectory { .. } => {
                let result = match is_bad {
                    true => {
                        self.note(Fault::DirectoryFailed);
                        Err("no room".to_owned())
                    }
                    false => Ok(()),
                };
                // Whoever deployed it is told, and has to do it again.
                self.excused.extend(is_bad.then_some((host, self.now)));
                self.report(host, HostInput::DirectoryMade { result });
            }
            HostOutput::Spawn { child, .. } => self.spawn(host, child, is_bad),
            HostOutput::Tell { child, message } => self.create(host, child, &message),
            HostOutput::Signal {
                target: Target::Group,
                signal: Signal::Term,
                ..
            } => {}
            HostOutput::Signal { child, signal, .. } => self.signal(host, child, signal),
            HostOutput::OpenFiles { .. }
            | HostOutput::WriteLine { .. }
            | HostOutput::CloseFiles { .. } => {}
        }
    }

    pub(super) fn signal(&mut self, host: Host, child: ChildId, signal: Signal) {
        match (signal, self.sensor(host).stems.get_mut(&child)) {
            (Signal::Term, Some(stem)) => {
                let fault = stem.resistance();
                stem.is_stopping = true;
                let (stops_in, pid) = (stem.stops_in, stem.pid);
                self.record.tally.note_all(fault);
                if let Some(wait) = stops_in {
                    self.later(self.now + wait, Event::End(host, child, pid));
                }
            }
            (Signal::Kill, Some(_)) => self.end_stem(host, child),
            (_, None) | (Signal::Hangup, _) => {}
        }
    }

    fn spawn(&mut self, host: Host, child: ChildId, is_bad: bool) {
        if is_bad {
            self.note(Fault::SpawnFailed);
            let reason = "cannot run zeek: no memory".to_owned();
            return self.report(host, HostInput::SpawnFailed { child, reason });
        }
        let pid = self.add_child(host, child, None);
        self.report(host, HostInput::Spawned { child, pid });
    }

    /// A supervisor has another child, which is told what its node is at once or later.
    pub(super) fn add_child(
        &mut self,
        host: Host,
        child: ChildId,
        told: Option<(String, String)>,
    ) -> u32 {
        let pid = self.sensor(host).next_number();
        let stops_in = self.stop_time();
        let stem = Stem {
            pid,
            stops_in,
            told,
            is_stopping: false,
            node: None,
        };
        self.sensor(host).stems.insert(child, stem);
        pid
    }

    /// A stem starts its node.
    fn create(&mut self, host: Host, child: ChildId, message: &[u8]) {
        let text = std::str::from_utf8(message).unwrap();
        let name = text.strip_prefix("create ");
        let name = name.and_then(|rest| rest.split(' ').next());
        let name = name.unwrap().to_owned();
        if let Some(stem) = self.sensor(host).stems.get_mut(&child) {
            stem.told = Some((name, config_in(text)));
            self.start_node(host, child);
        }
    }

    /// A node is forked, and gets as far as its network later.
    pub(super) fn start_node(&mut self, host: Host, child: ChildId) {
        let (number, pid) = (self.sensor(host).next_number(), self.next_pid());
        let stem = self.sensor(host).stems.get_mut(&child);
        let Some(stem) = stem.filter(|stem| !stem.is_stopping && stem.node.is_none()) else {
            return;
        };
        let who = None;
        stem.node = Some(Running { pid, number, who });
        let (node, config) = stem.told.clone().unwrap();
        let chunk = format!("status {node} {number}\0").into();
        self.report(host, HostInput::Message { child, chunk });
        let instance = host.instance();
        let born = Seen::NodeBorn {
            pid,
            instance,
            node,
            config,
        };
        self.see(born);
        let is_bad = self.header.chances.nodes && !self.is_calm;
        let wait = match self.chance.below(20) {
            0..14 => self.chance.millis(20..500),
            _ if !is_bad => self.chance.millis(20..500),
            bad @ 14..19 => {
                self.note(Fault::NodeStartsLate);
                self.chance
                    .millis(if bad < 17 { 500..4000 } else { 4000..12_000 })
            }
            _ => return self.note(Fault::NodeNeverStarts),
        };
        self.later(self.now + wait, Event::Birth(host, child, pid));
        if is_bad && self.chance.is_one_in(8) {
            let wait = self.chance.millis(1..3000);
            self.later(self.now + wait, Event::Death(host, child, pid));
        }
    }

    /// A node has got as far as its network, if it is still this process.
    pub(super) fn birth(&mut self, host: Host, child: ChildId, pid: Pid) {
        let stem = self.sensor(host).stems.get(&child);
        let Some(stem) = stem.filter(|stem| stem.is_waiting(pid)) else {
            return;
        };
        let (name, _) = stem.told.clone().unwrap();
        let is_bad = self.header.chances.nodes && !self.is_calm;
        let manners = match self.chance.below(10) {
            0..7 => Manners::Answers(self.chance.millis(0..50)),
            _ if !is_bad => Manners::Answers(self.chance.millis(0..50)),
            7..9 => Manners::Answers(self.chance.millis(50..8000)),
            _ => Manners::IsSilent,
        };
        let id = self.chance.endpoint_id();
        let node = Node::new(name, id, manners, self.now);
        let who = self.start(host, Process::Node(Box::new(node)));
        self.nodes.insert(who, (host, child));
        self.pids.insert(who, pid);
        let stem = self.sensor(host).stems.get_mut(&child);
        if let Some(node) = stem.and_then(|stem| stem.node.as_mut()) {
            node.who = Some(who);
        }
        self.obey(who);
    }

    /// A node dies by itself; its stem tells, and starts it again.
    pub(crate) fn on_death(&mut self, host: Host, child: ChildId, pid: Pid) {
        let is_stock = self.header.sensors[host.0 - 1].supervisor == Maker::Stock;
        let stem = self.sensor(host).stems.get_mut(&child);
        let Some(stem) = stem.filter(|stem| stem.node.as_ref().is_some_and(|it| it.pid == pid))
        else {
            return;
        };
        if is_stock {
            self.note(Fault::NodeDied);
            return self.end_stem(host, child);
        }
        let name = stem.told.clone().unwrap().0;
        let stem_pid = stem.pid;
        let node = stem.node.take().unwrap();
        let number = node.number;
        self.note(Fault::NodeDied);
        self.end_node(node, Loss::Process);
        let how = format!("error Supervised node '{name}' (PID {number}) exited prematurely");
        let chunk = format!("{how} with status 1\0").into();
        self.report(host, HostInput::Message { child, chunk });
        let wait = self.chance.millis(0..2000);
        self.later(self.now + wait, Event::Revival(host, child, stem_pid));
    }

    /// A stem starts its node again, if it is still this one.
    pub(super) fn revive(&mut self, host: Host, child: ChildId, stem: u32) {
        if self.has_stem(host, child, stem) {
            self.start_node(host, child);
        }
    }

    /// A stem has stopped, if it is still this one.
    pub(super) fn on_end(&mut self, host: Host, child: ChildId, stem: u32) {
        if self.has_stem(host, child, stem) {
            self.end_stem(host, child);
        }
    }

    /// The next supervisor counts its children anew.
    fn has_stem(&mut self, host: Host, child: ChildId, pid: u32) -> bool {
        let stem = self.sensor(host).stems.get(&child);
        stem.is_some_and(|stem| stem.pid == pid)
    }

    /// A stem is gone, and its node with it.
    fn end_stem(&mut self, host: Host, child: ChildId) {
        let Some(stem) = self.sensor(host).stems.remove(&child) else {
            return;
        };
        if let Some(node) = stem.node {
            self.end_node(node, Loss::Process);
        }
        let exited = HostInput::Exited {
            child,
            pid: stem.pid,
            ending: Ending::Status(0),
            group: Group::Empty,
        };
        self.report(host, exited);
    }

    fn end_node(&mut self, node: Running, how: Loss) {
        if let Some(who) = node.who {
            self.kill(who, how);
        }
        self.see(Seen::NodeDied { pid: node.pid });
    }

    /// A node prints without an end.
    pub(crate) fn flood(&mut self, host: Host, lines: usize) {
        let line = "0123456789 0123456789 0123456789 0123456789 0123456789\n";
        for (child, _) in self.sensor(host).children() {
            if lines > 0 {
                self.note(Fault::NodeFloods);
            }
            for stream in [Stream::Stdout, Stream::Stderr] {
                let chunk = line.repeat(lines).into();
                let printed = HostInput::Printed {
                    child,
                    stream,
                    chunk,
                };
                self.report(host, printed);
            }
        }
    }

    /// Mostly soon, sometimes not within any request's time, or not before SIGKILL.
    fn stop_time(&mut self) -> Option<Duration> {
        let is_bad = self.header.chances.nodes && !self.is_calm;
        match self.chance.below(20) {
            0 | 1 if is_bad => Some(self.chance.millis(4000..24_000)),
            2 if is_bad => None,
            // A stock stem ends one after the other, in all in less than a node's time to start.
            _ if self.is_calm => Some(self.chance.millis(10..400)),
            _ => Some(self.chance.millis(10..1000)),
        }
    }

    /// Nodes that are stuck get on, those that are silent speak, and all end when they are told to.
    pub(crate) fn calm_nodes(&mut self) {
        for host in self.sensor_hosts() {
            let agent = self.sensor(host).agent;
            if let Some(Process::Stock(agent)) = agent.and_then(|it| self.process_mut(it)) {
                agent.set_stuck(false);
            }
            let supervisor = self.sensor(host).supervisor;
            let supervisor = supervisor.and_then(|it| self.process_mut(it));
            if let Some(Process::StockSupervisor(supervisor)) = supervisor {
                supervisor.calm();
            }
            for who in self.sensor(host).nodes() {
                if let Some(Process::Node(node)) = self.process_mut(who) {
                    node.manners = Manners::Answers(Duration::from_millis(10));
                }
            }
            for stem in self.sensor(host).stems.values_mut() {
                stem.stops_in = Some(Duration::from_millis(100));
            }
            for (child, pid) in self.sensor(host).children() {
                let wait = self.chance.millis(20..500);
                self.later(self.now + wait, Event::Birth(host, child, pid));
            }
        }
    }

    pub(super) fn report(&mut self, host: Host, input: HostInput) {
        let at = self.now + self.chance.micros(200..10_000);
        let sensor = self.sensor(host);
        let at = sensor.free.map_or(at, |free| free.max(at));
        sensor.free = Some(at);
        if let Some(who) = sensor.supervisor {
            self.later(at, Event::System(who, input));
        }
    }
}

impl Stem {
    /// What is wrong when it is told to end, for the first time.
    fn resistance(&self) -> Option<Fault> {
        match self.stops_in {
            _ if self.is_stopping => None,
            None => Some(Fault::NodeIgnoresTerm),
            Some(wait) if wait >= LATE_END => Some(Fault::NodeEndsLate),
            Some(_) => None,
        }
    }

    /// Whether this process is its node and has no network yet.
    fn is_waiting(&self, pid: Pid) -> bool {
        let node = self.node.as_ref();
        node.is_some_and(|node| node.pid == pid && node.who.is_none())
    }
}

/// The configuration that the order for a node names.
fn config_in(order: &str) -> String {
    let found = order.split_once(&format!("\"{CONFIG_VARIABLE}\":\""));
    let found = found.and_then(|(_, rest)| rest.split('"').next());
    found.unwrap_or_default().to_owned()
}
