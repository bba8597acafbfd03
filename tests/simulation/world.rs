//! Processes, the links between them, and one clock. The same seed has the same course.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use broker_proto::peering::{self, LinkId};
use broker_proto::{EndpointId, IdGen};
use mgmt::agent::process::{AgentProcess, Output as AgentOutput};
use mgmt::settings::{Given, Settings, Sources};
use supervisor::host::{ChildId, HostInput, HostOutput};
use supervisor::process::SupervisorProcess;
use supervisor::process::{Input as SupervisorInput, Output as SupervisorOutput};

use crate::controller::Controller;
use crate::host::Host;
use crate::node::Node;

/// A process, dead or alive.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Who(u32);

pub(crate) const CONTROLLER: Who = Who(0);
pub(crate) const AGENT: Who = Who(1);
pub(crate) const SUPERVISOR: Who = Who(2);

/// The agent's name.
pub(crate) const INSTANCE: &str = "instance-1";

/// How long a frame is on its way at most. Controller and agent hear each other at once: what is
/// measured between them is the agent's.
const LATENCY_MS: u64 = 20;

/// Everything there is.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) draw: Draw,
    pub(crate) host: Host,
    /// What nodes said hello, and when the agent heard it.
    pub(crate) hellos: Vec<Hello>,
    processes: BTreeMap<Who, Process>,
    /// Each node that ever ran: hellos arrive from dead ones, too.
    pub(crate) lives: BTreeMap<Who, Life>,
    listeners: BTreeMap<u16, Who>,
    ends: BTreeMap<(Who, LinkId), End>,
    /// Processes that do nothing until then.
    stalled: BTreeMap<Who, Instant>,
    due: BTreeMap<(Instant, u64), Event>,
    /// Numbers events, accepted links and processes.
    count: u64,
}

/// A hello that reached the agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Hello {
    pub(crate) of: Who,
    pub(crate) node: String,
    /// The configuration its process is of.
    pub(crate) config: String,
    pub(crate) at: Instant,
}

/// A node's process.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) node: String,
    /// The configuration it is of.
    pub(crate) config: String,
    pub(crate) begin: Instant,
    pub(crate) end: Option<Instant>,
}

/// Something that will happen.
pub(crate) enum Event {
    /// To a process, when it is not stalled.
    To(Who, What),
    /// A stem's node begins.
    Birth(ChildId),
    /// A stem starts its node again.
    Revival(ChildId),
    /// A stem ends, and its node with it.
    End(ChildId),
}

/// What can happen to a process.
pub(crate) enum What {
    Broker(peering::Input),
    Host(HostInput),
}

/// What a process wants.
pub(crate) enum Act {
    Broker(peering::Output),
    Host(HostOutput),
    /// To publish something after a while.
    Later(Duration, peering::Input),
}

enum Process {
    Controller(Box<Controller>),
    Agent(Box<AgentProcess>),
    Supervisor(Box<SupervisorProcess>),
    Node(Box<Node>),
}

/// One end of a link.
struct End {
    peer: (Who, LinkId),
    /// When what is sent from here next arrives at the earliest: frames do not overtake.
    free: Instant,
    /// Nothing arrives here any more but the news of the end.
    is_closing: bool,
}

/// Numbers that a seed decides.
pub(crate) struct Draw(IdGen);

impl Draw {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    pub(crate) fn endpoint_id(&mut self) -> EndpointId {
        self.0.endpoint_id()
    }

    pub(crate) fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.below(range.end - range.start))
    }
}

impl World {
    /// Controller, agent and supervisor have just been started.
    pub(crate) fn new(seed: u64) -> Self {
        let now = Instant::now();
        let draw = Draw(IdGen::new(seed));
        let mut ids = IdGen::new(seed ^ 0x5eed);
        let agent = settings().agent;
        let supervisor = supervisor::settings::Settings {
            listen: Some(agent.supervisor.clone()),
            zeek: "zeek".into(),
            args: Vec::new(),
            own: Vec::new(),
            policy: supervisor::settings::Policy::default(),
        };
        let supervisor = SupervisorProcess::new(supervisor, ids.endpoint_id(), ids.clone(), now);
        let agent = AgentProcess::new(agent, ids.endpoint_id(), ids.clone(), now);
        let controller = Controller::new(ids.endpoint_id(), ids.clone(), now);
        let processes = [
            (CONTROLLER, Process::Controller(Box::new(controller))),
            (AGENT, Process::Agent(Box::new(agent))),
            (SUPERVISOR, Process::Supervisor(Box::new(supervisor))),
        ];
        let mut world = Self {
            now,
            draw,
            host: Host::default(),
            hellos: Vec::new(),
            processes: processes.into(),
            lives: BTreeMap::new(),
            listeners: BTreeMap::new(),
            ends: BTreeMap::new(),
            stalled: BTreeMap::new(),
            due: BTreeMap::new(),
            count: 3,
        };
        for who in [SUPERVISOR, CONTROLLER, AGENT] {
            world.obey(who);
        }
        world
    }

    /// The controller, and what it then does.
    pub(crate) fn controller<T>(&mut self, act: impl FnOnce(&mut Controller, Instant) -> T) -> T {
        let Some(Process::Controller(controller)) = self.processes.get_mut(&CONTROLLER) else {
            panic!("there is always a controller");
        };
        let result = act(controller, self.now);
        self.obey(CONTROLLER);
        result
    }

    /// The names of the nodes that run, sorted.
    pub(crate) fn running(&self) -> Vec<&str> {
        let nodes = self.processes.values().filter_map(|process| match process {
            Process::Node(node) => Some(node.name.as_str()),
            Process::Controller(_) | Process::Agent(_) | Process::Supervisor(_) => None,
        });
        let mut names: Vec<_> = nodes.collect();
        names.sort_unstable();
        names
    }

    /// The nodes that run.
    pub(crate) fn nodes(&self) -> Vec<Who> {
        let others = [CONTROLLER, AGENT, SUPERVISOR];
        let all = self.processes.keys().copied();
        all.filter(|who| !others.contains(who)).collect()
    }

    /// A process stops, as by SIGSTOP, and goes on later.
    pub(crate) fn stall(&mut self, who: Who, time: Duration) {
        self.stalled.insert(who, self.now + time);
    }

    /// The network loses all links between two processes, and what is on its way.
    pub(crate) fn cut(&mut self, a: Who, b: Who) {
        let ends = self.ends.iter_mut();
        let lost = ends.filter(|((who, _), end)| [(a, b), (b, a)].contains(&(*who, end.peer.0)));
        let lost = lost.map(|(end, state)| {
            state.is_closing = true;
            *end
        });
        for (who, link) in lost.collect::<Vec<_>>() {
            self.close(who, link, self.now);
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let event = self.due.keys().next().map(|(at, _)| *at);
            let timers = self.processes.iter().filter_map(|(who, process)| {
                let wakes = self.stalled.get(who).copied();
                Some((process.deadline()?.max(wakes.unwrap_or(self.now)), *who))
            });
            let timer = timers.min();
            let next = event.into_iter().chain(timer.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            match timer.filter(|(at, _)| event.is_none_or(|event| *at < event)) {
                Some((_, who)) => self.wake(who),
                None => {
                    let (key, event) = self.due.pop_first().unwrap();
                    self.happen(key.1, event);
                }
            }
        }
    }

    pub(crate) fn later(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.due.insert((at, self.count), event);
    }

    /// A new process.
    pub(crate) fn start(&mut self, node: Node) -> Who {
        self.count += 1;
        let who = Who(u32::try_from(self.count).unwrap());
        let life = Life {
            node: node.name.clone(),
            config: node.config.clone(),
            begin: self.now,
            end: None,
        };
        self.lives.insert(who, life);
        self.processes.insert(who, Process::Node(Box::new(node)));
        self.obey(who);
        who
    }

    /// The end of a process: its links are closed behind what it wrote.
    pub(crate) fn kill(&mut self, who: Who) {
        self.processes.remove(&who);
        if let Some(life) = self.lives.get_mut(&who) {
            life.end = Some(self.now);
        }
        let own = self.ends.iter().filter(|((of, _), _)| *of == who);
        let own: Vec<_> = own.map(|(key, end)| (*key, end.peer, end.free)).collect();
        for (key, (peer, link), free) in own {
            self.ends.remove(&key);
            self.close(peer, link, free);
        }
    }

    fn wake(&mut self, who: Who) {
        let Some(process) = self.processes.get_mut(&who) else {
            return;
        };
        match process {
            Process::Controller(controller) => controller.handle_timeout(self.now),
            Process::Agent(agent) => agent.handle_timeout(self.now),
            Process::Supervisor(supervisor) => supervisor.handle_timeout(self.now),
            Process::Node(node) => node.handle_timeout(self.now),
        }
        let deadline = process.deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "{who:?} is done");
        self.obey(who);
    }

    fn happen(&mut self, number: u64, event: Event) {
        match event {
            Event::To(who, what) => {
                let stalled = self.stalled.get(&who).filter(|until| **until > self.now);
                match stalled {
                    // The number keeps the order of what waits.
                    Some(until) => drop(self.due.insert((*until, number), Event::To(who, what))),
                    None => self.tell(who, what),
                }
            }
            Event::Birth(child) => self.birth(child),
            Event::Revival(child) => self.start_node(child),
            Event::End(child) => self.end(child),
        }
    }

    fn tell(&mut self, who: Who, what: What) {
        if let What::Broker(input) = &what
            && !self.arrives(who, input)
        {
            return;
        }
        match (self.processes.get_mut(&who), what) {
            (Some(Process::Controller(controller)), What::Broker(input)) => {
                controller.handle(self.now, input);
            }
            (Some(Process::Agent(agent)), What::Broker(input)) => agent.handle(self.now, input),
            (Some(Process::Supervisor(supervisor)), What::Broker(input)) => {
                supervisor.handle(self.now, SupervisorInput::Peering { input });
            }
            (Some(Process::Supervisor(supervisor)), What::Host(input)) => {
                supervisor.handle(self.now, SupervisorInput::Host { input });
            }
            (Some(Process::Node(node)), What::Broker(input)) => node.handle(self.now, input),
            (None, _) => return,
            (Some(_), What::Host(input)) => panic!("{who:?} has no children: {input:?}"),
        }
        self.obey(who);
    }

    /// Whether this reaches the process: links may be gone by now.
    fn arrives(&mut self, who: Who, input: &peering::Input) -> bool {
        match input {
            peering::Input::Opened { link, .. } | peering::Input::Bytes { link, .. } => {
                let end = self.ends.get(&(who, *link));
                let Some(end) = end.filter(|end| !end.is_closing) else {
                    return false;
                };
                let from = end.peer.0;
                if let peering::Input::Bytes { chunk, .. } = input {
                    self.note_hello(from, chunk);
                }
                true
            }
            peering::Input::Closed { link, .. } => {
                let is_dial_refused =
                    matches!(link, LinkId::Dialed(_)) && !self.ends.contains_key(&(who, *link));
                self.ends.remove(&(who, *link)).is_some() || is_dial_refused
            }
            peering::Input::Listen { .. }
            | peering::Input::Dial { .. }
            | peering::Input::Sent { .. }
            | peering::Input::Subscribe { .. }
            | peering::Input::Publish { .. }
            | peering::Input::PublishFrame { .. }
            | peering::Input::PublishParts { .. }
            | peering::Input::Unpeer { .. }
            | peering::Input::Restrict { .. }
            | peering::Input::Expel { .. }
            | peering::Input::CheckAlive { .. }
            | peering::Input::Shutdown => true,
        }
    }

    fn note_hello(&mut self, from: Who, chunk: &[u8]) {
        const NAME: &[u8] = b"Management::Node::API::notify_node_hello";
        let Some(Life { node, config, .. }) = self.lives.get(&from).cloned() else {
            return;
        };
        if chunk.windows(NAME.len()).any(|window| window == NAME) {
            let at = self.now;
            self.hellos.push(Hello {
                of: from,
                node,
                config,
                at,
            });
        }
    }

    /// Does what a process wants until it wants nothing more.
    fn obey(&mut self, who: Who) {
        while let Some(act) = self.processes.get_mut(&who).and_then(Process::act) {
            match act {
                Act::Broker(output) => self.obey_broker(who, output),
                Act::Host(order) => self.obey_host(order),
                Act::Later(wait, input) => {
                    self.later(self.now + wait, Event::To(who, What::Broker(input)));
                }
            }
        }
    }

    fn obey_broker(&mut self, who: Who, output: peering::Output) {
        match output {
            peering::Output::Listen { addr } => {
                self.listeners.insert(addr.port, who);
            }
            peering::Output::Dial { link, addr } => self.connect(who, link, addr.port),
            peering::Output::Send { link, bytes } => {
                self.send(who, link, |link| peering::Input::Bytes {
                    link,
                    chunk: bytes,
                });
                let messages = 1;
                self.tell(who, What::Broker(peering::Input::Sent { link, messages }));
            }
            peering::Output::Close { link } => {
                let Some(end) = self.ends.get_mut(&(who, link)) else {
                    return;
                };
                end.is_closing = true;
                let ((peer, other), free) = (end.peer, end.free);
                self.close(who, link, self.now);
                self.close(peer, other, free);
            }
            peering::Output::Deliver { .. }
            | peering::Output::PeerUp { .. }
            | peering::Output::PeerDown { .. }
            | peering::Output::PeerUnreachable { .. }
            | peering::Output::Misbehaved { .. }
            | peering::Output::Stopped => {}
        }
    }

    fn connect(&mut self, who: Who, link: LinkId, port: u16) {
        let to = self.listeners.get(&port).copied();
        let Some(to) = to.filter(|to| self.processes.contains_key(to)) else {
            return self.close(who, link, self.now);
        };
        self.count += 1;
        let other = LinkId::Accepted(self.count);
        let ends = [((who, link), (to, other)), ((to, other), (who, link))];
        for (end, peer) in ends {
            let (free, is_closing) = (self.now, false);
            self.ends.insert(
                end,
                End {
                    peer,
                    free,
                    is_closing,
                },
            );
        }
        let remote = SocketAddr::from(([127, 0, 0, 1], port));
        for (who, link) in [(who, link), (to, other)] {
            self.send(who, link, |link| peering::Input::Opened {
                link,
                remote,
                certificate: None,
            });
        }
    }

    /// Lets something arrive at the other end.
    fn send(&mut self, who: Who, link: LinkId, input: impl FnOnce(LinkId) -> peering::Input) {
        let Some(end) = self.ends.get_mut(&(who, link)) else {
            return;
        };
        let (peer, other) = end.peer;
        let is_measured = [who, peer]
            .iter()
            .all(|end| [CONTROLLER, AGENT].contains(end));
        let latency = match is_measured {
            true => Duration::ZERO,
            false => self.draw.millis(0..LATENCY_MS),
        };
        end.free = end.free.max(self.now + latency);
        let at = end.free;
        self.later(at, Event::To(peer, What::Broker(input(other))));
    }

    fn close(&mut self, who: Who, link: LinkId, at: Instant) {
        let reason = "end of stream".to_owned();
        let input = peering::Input::Closed { link, reason };
        self.later(at.max(self.now), Event::To(who, What::Broker(input)));
    }
}

impl Process {
    fn act(&mut self) -> Option<Act> {
        match self {
            Self::Controller(controller) => controller.poll_output().map(Act::Broker),
            Self::Agent(agent) => loop {
                if let AgentOutput::Broker(output) = agent.poll_output()? {
                    return Some(Act::Broker(output));
                }
            },
            Self::Supervisor(supervisor) => match supervisor.poll_output()? {
                SupervisorOutput::Peering { output } => Some(Act::Broker(output)),
                SupervisorOutput::Host { output } => Some(Act::Host(output)),
                SupervisorOutput::Answer { .. }
                | SupervisorOutput::AnswerLives { .. }
                | SupervisorOutput::Unanswered { .. } => panic!("nobody asked it directly"),
                SupervisorOutput::Stopped => panic!("nobody stopped the supervisor"),
            },
            Self::Node(node) => node.poll_output(),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Controller(controller) => controller.poll_timeout(),
            Self::Agent(agent) => agent.poll_timeout(),
            Self::Supervisor(supervisor) => supervisor.poll_timeout(),
            Self::Node(node) => node.poll_timeout(),
        }
    }
}

/// What our programs do unless told otherwise.
fn settings() -> Settings {
    let mut given = Given::new(Sources {
        env: BTreeMap::new(),
        hostname: "sensor".into(),
        prefix: "/opt/zeek".into(),
    });
    given.argument(&format!("Management::Agent::name={INSTANCE}"));
    Settings::resolve(&given).unwrap()
}
