//! Hosts, processes and one clock.

pub(crate) mod clients;
pub(crate) mod controller;
pub(crate) mod faults;
pub(crate) mod net;
mod process;
pub(crate) mod sensor;
mod stock_host;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use broker_proto::IdGen;
use broker_proto::peering::{self, LinkId};
use mgmt::controller::process::Input as ControllerInput;
use mgmt::settings::{Given, Settings, Sources};
use supervisor::host::{ChildId, HostInput};
use supervisor::process::Input as SupervisorInput;

use crate::chance::Chance;
use crate::fault::Fault;
use crate::model::{Rule, Violation};
use crate::record::{Record, Telling};
use crate::script::{Header, Maker};
use crate::seen::{Client, Pid, Program, Seen};

use clients::Clients;
use controller::Disk;
use net::{End, Loss, Net};
pub(crate) use process::Process;
use process::Want;
use sensor::Sensor;

/// A process of a simulated world, dead or alive. No number is used twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Who(pub(crate) u32);

/// A host: the controller's, or a sensor's.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Host(pub(crate) usize);

impl Host {
    /// Where the controller runs.
    pub(crate) const CONTROLLER: Self = Self(0);

    /// The host with this address; `None` if it is everybody's own.
    fn at(addr: &str) -> Option<Self> {
        let number: usize = addr.strip_prefix("10.0.0.")?.parse().ok()?;
        Some(Self(number.checked_sub(1)?))
    }

    /// As seen from a host.
    pub(crate) fn ip(self, from: Self) -> IpAddr {
        if self == from {
            return IpAddr::from([127, 0, 0, 1]);
        }
        IpAddr::from([10, 0, 0, u8::try_from(self.0 + 1).unwrap()])
    }

    /// The instance whose agent runs there. From the third one on, another one's name is the start of
    /// its name (API §12.1 D01).
    pub(crate) fn instance(self) -> String {
        match self.0.checked_sub(2) {
            None | Some(0) => format!("instance-{}", self.0),
            Some(other) => format!("instance-{other}0"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host-{}", self.0)
    }
}

/// Everything there is.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Instant,
    start: Instant,
    pub(crate) header: Header,
    pub(crate) chance: Chance,
    pub(crate) record: Record,
    /// Nothing fails any more.
    pub(crate) is_calm: bool,
    /// On these hosts what is deployed need not run before it is deployed to them again: since when.
    pub(crate) excused: BTreeMap<Host, Instant>,
    pub(crate) net: Net,
    pub(crate) disk: Disk,
    pub(crate) clients: Clients,
    /// Sensor hosts; the first is host 1.
    pub(crate) sensors: Vec<Sensor>,
    /// Hosts without power.
    dark: BTreeSet<Host>,
    pub(crate) controller: Option<Who>,
    processes: BTreeMap<Who, Seat>,
    /// Nodes that have a Broker endpoint.
    nodes: BTreeMap<Who, (Host, ChildId)>,
    /// The processes of all nodes there ever were.
    pids: BTreeMap<Who, Pid>,
    timers: BTreeSet<(Instant, Who)>,
    due: BTreeMap<(Instant, u64), Event>,
    /// Numbers events.
    count: u64,
    last_who: u32,
    last_pid: u32,
}

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// To a process, on the network.
    Broker(Who, peering::Input),
    /// To a supervisor's children.
    System(Who, HostInput),
    /// To the controller's clients.
    Client(Who, clients::News),
    /// A save ends.
    Saved(Who, Result<(), String>),
    /// A connection is made, or not.
    Connect {
        end: End,
        host: Host,
        port: u16,
        until: Instant,
    },
    /// A link's bytes move on.
    Move(u64, usize),
    /// A link has had its time to close.
    Drained(End),
    /// A system finds out that nobody is at the other end of a link.
    KeepAlive(u64),
    /// A program starts.
    Boot(Host, Kind),
    /// A stem's node, forked as this process, gets as far as its network.
    Birth(Host, ChildId, Pid),
    /// A stem starts its node again.
    Revival(Host, ChildId, u32),
    /// A node dies by itself, if it is still this process.
    Death(Host, ChildId, Pid),
    /// A stem ends, and its node with it.
    End(Host, ChildId, u32),
    /// A host has power again.
    Power(Host),
    /// Bytes get through again.
    Heal(Host, Host),
}

/// What programs of ours there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Controller,
    Agent,
    Supervisor,
}

#[derive(Debug)]
struct Seat {
    host: Host,
    process: Process,
    /// It does nothing until then.
    stalled: Option<Instant>,
    deadline: Option<Instant>,
    /// Links it has accepted.
    accepted: u64,
}

/// How much there is of everything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    /// What the controller knows, in bytes of its description.
    pub controller: usize,
    /// The same of the agent that knows most.
    pub agent: usize,
    /// The same of the supervisor that knows most.
    pub supervisor: usize,
    /// Connections.
    pub links: usize,
    /// What will happen already.
    pub events: usize,
}

impl World {
    /// All hosts have power, and all programs start.
    pub(crate) fn new(header: Header, telling: Telling) -> Self {
        #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
        let start = Instant::now();
        let sensors = header.sensors.iter().map(|_| Sensor::new());
        let record = match header.controller {
            Maker::Ours => Record::new(telling, stock_host::model_of(&header)),
            Maker::Stock => Record::unjudged(telling),
        };
        let mut world = Self {
            now: start,
            start,
            chance: Chance::new(header.seed),
            record,
            is_calm: false,
            excused: BTreeMap::new(),
            net: Net::default(),
            disk: Disk::default(),
            clients: Clients::default(),
            sensors: sensors.collect(),
            dark: BTreeSet::new(),
            controller: None,
            processes: BTreeMap::new(),
            nodes: BTreeMap::new(),
            pids: BTreeMap::new(),
            timers: BTreeSet::new(),
            due: BTreeMap::new(),
            count: 0,
            last_who: 0,
            last_pid: 0,
            header,
        };
        world.boot(Host::CONTROLLER, Kind::Controller);
        for host in world.sensor_hosts() {
            world.boot(host, Kind::Supervisor);
            world.boot(host, Kind::Agent);
        }
        world
    }

    pub(crate) fn sensor_hosts(&self) -> impl Iterator<Item = Host> + use<> {
        (1..=self.sensors.len()).map(Host)
    }

    pub(crate) fn since_start(&self) -> Duration {
        self.now - self.start
    }

    pub(crate) fn see(&mut self, seen: Seen) {
        let at = self.since_start();
        self.record.see(at, seen);
    }

    pub(crate) fn tell(&mut self, what: fmt::Arguments<'_>) {
        let at = self.since_start();
        self.record.tell(at, what);
    }

    pub(crate) fn violate(&mut self, what: String) {
        let at = self.since_start();
        self.record.violate(at, what);
    }

    /// A rule of the model is broken that it does not look after by itself.
    pub(crate) fn object(&mut self, rule: Rule, text: String) {
        let at = self.since_start();
        self.record.object(at, &Violation::new(rule, at, text));
    }

    /// A fault has hit something.
    pub(crate) fn note(&mut self, fault: Fault) {
        self.record.tally.note(fault);
    }

    /// Time goes on until then, or until something is wrong.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.record.violation.is_none() {
            let event = self.due.keys().next().map(|(at, _)| *at);
            let timer = self.timers.first().copied();
            let next = event.into_iter().chain(timer.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            match timer.filter(|(at, _)| event.is_none_or(|event| *at < event)) {
                Some((_, who)) => self.wake(who),
                None => {
                    let ((_, number), event) = self.due.pop_first().unwrap();
                    self.happen(number, event);
                }
            }
        }
    }

    pub(crate) fn later(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.due.insert((at, self.count), event);
    }

    fn happen(&mut self, number: u64, event: Event) {
        if let Event::Broker(who, _) | Event::System(who, _) = &event
            && let Some(until) = self.stalled_until(*who)
        {
            // The number keeps the order of what waits.
            self.due.insert((until, number), event);
            return;
        }
        match event {
            Event::Broker(who, input) => self.tell_broker(who, input),
            Event::System(who, input) => self.tell_system(who, input),
            Event::Client(who, news) => self.on_client_news(who, news),
            Event::Saved(who, result) => self.on_saved(who, result),
            Event::Connect {
                end,
                host,
                port,
                until,
            } => self.on_connect(end, host, port, until),
            Event::Move(link, side) => self.on_move(link, side),
            Event::Drained(end) => self.on_drained(end),
            Event::KeepAlive(link) => self.break_link(link, "connection timed out"),
            Event::Boot(host, kind) => self.boot(host, kind),
            Event::Birth(host, child, pid) => self.birth(host, child, pid),
            Event::Revival(host, child, stem) => self.revive(host, child, stem),
            Event::Death(host, child, pid) => self.on_death(host, child, pid),
            Event::End(host, child, stem) => self.on_end(host, child, stem),
            Event::Power(host) => self.on_power(host),
            Event::Heal(from, to) => self.heal(from, to),
        }
    }

    /// A program of ours starts where it is not yet, with what its disk has kept.
    pub(crate) fn boot(&mut self, host: Host, kind: Kind) {
        if self.is_dark(host) {
            return;
        }
        match kind {
            Kind::Controller => self.boot_controller(),
            Kind::Agent => self.boot_agent(host),
            Kind::Supervisor => self.boot_supervisor(host),
        }
    }

    /// A new process does what it does first.
    pub(crate) fn start(&mut self, host: Host, process: Process) -> Who {
        self.last_who += 1;
        let who = Who(self.last_who);
        let seat = Seat {
            host,
            process,
            stalled: None,
            deadline: None,
            accepted: 0,
        };
        self.processes.insert(who, seat);
        who
    }

    pub(crate) fn next_pid(&mut self) -> Pid {
        self.last_pid += 1;
        Pid(self.last_pid)
    }

    pub(crate) fn ids(&mut self) -> IdGen {
        IdGen::new(self.chance.next())
    }

    /// A process is gone without a word.
    pub(crate) fn kill(&mut self, who: Who, how: Loss) {
        let Some(seat) = self.processes.remove(&who) else {
            return;
        };
        if let Some(at) = seat.deadline {
            self.timers.remove(&(at, who));
        }
        self.nodes.remove(&who);
        self.abandon_all(who, how);
    }

    pub(super) fn host_of(&self, who: Who) -> Option<Host> {
        self.processes.get(&who).map(|seat| seat.host)
    }

    pub(super) fn is_dark(&self, host: Host) -> bool {
        self.dark.contains(&host)
    }

    pub(super) fn is_network_bad(&self) -> bool {
        self.header.chances.network && !self.is_calm
    }

    /// As by SIGSTOP.
    pub(crate) fn stall(&mut self, who: Who, time: Duration) {
        if let Some(seat) = self.processes.get_mut(&who) {
            seat.stalled = Some(self.now + time);
            let fault = match seat.process {
                Process::Agent(_) | Process::Stock(_) => Some(Fault::AgentStopped),
                Process::Supervisor(_) | Process::StockSupervisor(_) => {
                    Some(Fault::SupervisorStopped)
                }
                Process::Node(_) => Some(Fault::NodeStopped),
                Process::Controller(_) | Process::StockController(_) => None,
            };
            let fault = fault.filter(|_| !time.is_zero());
            self.record.tally.note_all(fault);
            self.set_timer(who);
        }
    }

    pub(super) fn stalled_until(&self, who: Who) -> Option<Instant> {
        let stalled = self.processes.get(&who)?.stalled?;
        (stalled > self.now).then_some(stalled)
    }

    pub(super) fn accept(&mut self, who: Who) -> End {
        let seat = self.processes.get_mut(&who).unwrap();
        let link = LinkId::Accepted(seat.accepted);
        seat.accepted += 1;
        End { who, link }
    }

    /// Something happens to a process, if it can still hear of it.
    pub(super) fn tell_broker(&mut self, who: Who, input: peering::Input) {
        if let peering::Input::Opened { link, .. } | peering::Input::Sent { link, .. } = &input
            && !self.is_open(End { who, link: *link })
        {
            return;
        }
        let Some(seat) = self.processes.get_mut(&who) else {
            return;
        };
        match &mut seat.process {
            Process::Controller(it) => it.handle(self.now, ControllerInput::Broker(input)),
            Process::Agent(it) => it.handle(self.now, input),
            Process::Supervisor(it) => it.handle(self.now, SupervisorInput::Peering { input }),
            Process::Node(it) => it.handle(self.now, input),
            Process::Stock(it) => it.handle(self.now, input),
            Process::StockController(it) => it.handle(self.now, input),
            Process::StockSupervisor(it) => it.handle(self.now, input),
        }
        self.obey(who);
    }

    fn tell_system(&mut self, who: Who, input: HostInput) {
        if let Some(seat) = self.processes.get_mut(&who) {
            seat.process.handle_host(self.now, input);
            self.obey(who);
        }
    }

    /// Something that is the controller's alone.
    pub(super) fn tell_controller(&mut self, who: Who, input: ControllerInput) {
        if let Some(seat) = self.processes.get_mut(&who)
            && let Process::Controller(it) = &mut seat.process
        {
            it.handle(self.now, input);
            self.obey(who);
        }
    }

    fn wake(&mut self, who: Who) {
        let Some(seat) = self.processes.get_mut(&who) else {
            return;
        };
        match &mut seat.process {
            Process::Controller(it) => it.handle_timeout(self.now),
            Process::Agent(it) => it.handle_timeout(self.now),
            Process::Supervisor(it) => it.handle_timeout(self.now),
            Process::Node(it) => it.handle_timeout(self.now),
            Process::Stock(it) => it.handle_timeout(self.now),
            Process::StockController(it) => it.handle_timeout(self.now),
            Process::StockSupervisor(it) => it.handle_timeout(self.now),
        }
        let deadline = seat.process.deadline();
        if deadline.is_some_and(|at| at <= self.now) {
            let name = seat.process.name();
            self.violate(format!("{name} has a deadline that does not pass"));
        }
        self.obey(who);
    }

    /// Does what a process wants until it wants nothing more.
    pub(super) fn obey(&mut self, who: Who) {
        while let Some(seat) = self.processes.get_mut(&who)
            && let Some(want) = seat.process.want()
        {
            match want {
                Want::Broker(output) => self.obey_broker(who, output),
                Want::System(order) => self.obey_system(who, order),
                Want::Client(order) => self.obey_hub(order),
                Want::Save(state) => self.save(who, state),
                Want::Keep(config) => self.keep(who, config),
                Want::Later(wait, input) => {
                    self.later(self.now + wait, Event::Broker(who, input));
                }
                Want::Log(line) => self.tell_log(who, &line),
                Want::Stock(want) => self.obey_stock_supervisor(who, want),
                Want::Note(fault) => self.note(fault),
                Want::Nothing => {}
            }
        }
        self.set_timer(who);
    }

    fn set_timer(&mut self, who: Who) {
        let Some(seat) = self.processes.get_mut(&who) else {
            return;
        };
        let deadline = seat.process.deadline();
        let deadline = deadline.map(|at| at.max(seat.stalled.unwrap_or(at)));
        if deadline == seat.deadline {
            return;
        }
        if let Some(at) = std::mem::replace(&mut seat.deadline, deadline) {
            self.timers.remove(&(at, who));
        }
        self.timers.extend(deadline.map(|at| (at, who)));
    }

    fn obey_broker(&mut self, who: Who, output: peering::Output) {
        match output {
            peering::Output::Listen { addr } => self.listen(who, &addr),
            peering::Output::Dial { link, addr } => self.dial(who, link, &addr),
            peering::Output::Send { link, bytes } => self.send(who, link, bytes),
            peering::Output::Close { link } => self.close(who, link),
            peering::Output::Deliver { .. }
            | peering::Output::PeerUp { .. }
            | peering::Output::PeerDown { .. }
            | peering::Output::PeerUnreachable { .. }
            | peering::Output::Misbehaved { .. }
            | peering::Output::Stopped => {}
        }
    }

    fn tell_log(&mut self, who: Who, line: &mgmt::log::Record) {
        if let Some(host) = self.host_of(who) {
            self.tell(format_args!("{host} {}", line.message));
        }
    }

    /// What the agent keeps is there from then on.
    fn keep(&mut self, who: Who, config: Option<mgmt::model::Configuration>) {
        if let Some(host) = self.host_of(who) {
            self.sensor(host).kept = config;
        }
    }

    /// A node said hello, and its agent's program hears it, perhaps after the node's death.
    pub(super) fn hear_hello(&mut self, who: Who) {
        if let Some(pid) = self.pids.get(&who).copied() {
            self.see(Seen::NodeHeard { pid });
        }
    }

    pub(crate) fn program(&self, host: Host, kind: Kind) -> Program {
        match kind {
            Kind::Controller => Program::Controller,
            Kind::Agent => Program::Agent(host.instance()),
            Kind::Supervisor => Program::Supervisor(host.instance()),
        }
    }

    /// How much there is of everything: what each kind of process knows at most, in bytes of its own
    /// description, links, and events to come.
    pub(crate) fn size(&self) -> Size {
        let mut size = Size {
            controller: 0,
            agent: 0,
            supervisor: 0,
            links: self.net.links.len(),
            events: self.due.len(),
        };
        for seat in self.processes.values() {
            let len = |it: &dyn fmt::Debug| format!("{it:?}").len();
            match &seat.process {
                Process::Controller(it) => size.controller = size.controller.max(len(it)),
                Process::Agent(it) => size.agent = size.agent.max(len(it)),
                Process::Supervisor(it) => size.supervisor = size.supervisor.max(len(it)),
                Process::Node(_)
                | Process::Stock(_)
                | Process::StockController(_)
                | Process::StockSupervisor(_) => {}
            }
        }
        size
    }

    pub(crate) fn process_mut(&mut self, who: Who) -> Option<&mut Process> {
        self.processes.get_mut(&who).map(|seat| &mut seat.process)
    }

    pub(crate) fn client_gone(&mut self, client: Client) {
        self.see(Seen::ClientGone { client });
    }
}

/// What our programs do unless told otherwise.
pub(super) fn settings(instance: &str) -> Settings {
    let mut given = Given::new(Sources {
        env: BTreeMap::new(),
        hostname: "simulated".into(),
        prefix: "/opt/zeek".into(),
    });
    given.argument(&format!("Management::Agent::name={instance}"));
    Settings::resolve(&given).unwrap()
}
