//! One program of ours and stock peers around it, all links between them, and one clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use broker_proto::peering::{self, LinkId};
use broker_proto::{Data, EndpointId, IdGen};
use mgmt::settings::{Given, Settings, Sources};

use crate::stock::agent::Agent;
use crate::stock::controller::Controller;
use crate::stock::node::Node;
use crate::stock::peer::{Heard, Peer, Side};
use crate::stock::release::Release;
use crate::stock::shapes::Part;
use crate::stock::supervisor::Supervisor;
use crate::stock::{Act, NodeOrder, Scripts};

pub(crate) const INSTANCE: &str = "instance-1";

/// From an order to a node's first dial.
const BOOT: Duration = Duration::from_millis(100);

/// Outputs at one moment.
const PATIENCE: usize = 100_000;

/// A program of ours without its sockets.
pub(crate) trait Ours {
    fn broker(&mut self, now: Instant, input: peering::Input);
    fn timeout(&mut self, now: Instant);
    fn deadline(&self) -> Option<Instant>;
    /// What it wants of the network; everything else is done.
    fn poll(&mut self, now: Instant) -> Option<peering::Output>;
}

/// Everything there is.
pub(crate) struct World<O> {
    pub(crate) now: Instant,
    pub(crate) ours: O,
    pub(crate) seats: Vec<Seat>,
    ids: IdGen,
    accepted: u64,
    due: BTreeMap<(Instant, u64), Due>,
    count: u64,
}

/// A stock process and its link to ours.
pub(crate) struct Seat {
    pub(crate) peer: Peer,
    pub(crate) scripts: Role,
    /// The events that it heard, and their arguments.
    pub(crate) heard: Vec<(String, Vec<Data>)>,
    /// The handshake was refused with these codes.
    pub(crate) refused: Vec<u8>,
    /// How often it had a peering and lost it to the other side.
    pub(crate) losses: usize,
    link: Option<LinkId>,
    /// Where it listens.
    port: Option<u16>,
}

/// What it runs.
pub(crate) enum Role {
    Agent(Agent),
    Controller(Controller),
    Node(Node, String),
    Supervisor(Supervisor),
}

enum Due {
    Say(usize, String, String, Vec<Data>),
    Dial(usize),
}

impl Role {
    fn scripts(&mut self) -> &mut dyn Scripts {
        match self {
            Self::Agent(agent) => agent,
            Self::Controller(controller) => controller,
            Self::Node(node, _) => node,
            Self::Supervisor(supervisor) => supervisor,
        }
    }
}

impl Seat {
    pub(crate) fn controller(&mut self) -> &mut Controller {
        match &mut self.scripts {
            Role::Controller(controller) => controller,
            Role::Agent(_) | Role::Node(..) | Role::Supervisor(_) => panic!("no controller"),
        }
    }

    pub(crate) fn agent(&mut self) -> &mut Agent {
        match &mut self.scripts {
            Role::Agent(agent) => agent,
            Role::Controller(_) | Role::Node(..) | Role::Supervisor(_) => panic!("no agent"),
        }
    }

    pub(crate) fn supervisor(&mut self) -> &mut Supervisor {
        match &mut self.scripts {
            Role::Supervisor(supervisor) => supervisor,
            Role::Controller(_) | Role::Node(..) | Role::Agent(_) => panic!("no supervisor"),
        }
    }

    /// The arguments of the events of this name that it heard.
    pub(crate) fn heard(&self, name: &str) -> Vec<&[Data]> {
        let heard = self.heard.iter().filter(|(it, _)| it.ends_with(name));
        heard.map(|(_, args)| args.as_slice()).collect()
    }

    pub(crate) fn is_linked(&self) -> bool {
        self.link.is_some()
    }
}

impl<O: Ours> World<O> {
    /// Ours has just been started at this time.
    pub(crate) fn new(ours: O, now: Instant) -> Self {
        Self {
            now,
            ours,
            seats: Vec::new(),
            ids: IdGen::new(0xbeef),
            accepted: 0,
            due: BTreeMap::new(),
            count: 0,
        }
    }

    /// A stock controller; it listens at this port if one is given.
    pub(crate) fn controller(&mut self, release: &'static Release, port: Option<u16>) -> usize {
        let role = Role::Controller(Controller::new(release, INSTANCE));
        let id = self.ids.endpoint_id();
        let peer = Peer::new(release, Part::Controller, id, &Controller::FILTER);
        self.seat(peer, role, port)
    }

    /// A stock agent; it listens at this port, or dials.
    pub(crate) fn agent(&mut self, release: &'static Release, port: Option<u16>) -> usize {
        let id = self.ids.endpoint_id();
        let agent = Agent::new(release, INSTANCE, &id.to_string(), port.is_none());
        let filter = Agent::filter(INSTANCE);
        let filter = filter.each_ref().map(String::as_str);
        let peer = Peer::new(release, Part::Agent, id, &filter);
        self.seat(peer, Role::Agent(agent), port)
    }

    /// A stock supervisor at this port.
    pub(crate) fn supervisor(&mut self, release: &'static Release, port: u16) -> usize {
        let id = self.ids.endpoint_id();
        let peer = Peer::new(release, Part::Supervisor, id, &Supervisor::FILTER);
        let role = Role::Supervisor(Supervisor::new(release));
        self.seat(peer, role, Some(port))
    }

    /// A stock node.
    pub(crate) fn node(&mut self, release: &'static Release, name: &str) -> usize {
        let id = self.ids.endpoint_id();
        let filter = Node::filter(name);
        let filter = filter.each_ref().map(String::as_str);
        let peer = Peer::new(release, Part::Node, id, &filter);
        self.seat(peer, Role::Node(Node::new(name), name.to_owned()), None)
    }

    fn seat(&mut self, peer: Peer, scripts: Role, port: Option<u16>) -> usize {
        self.seats.push(Seat {
            peer,
            scripts,
            heard: Vec::new(),
            refused: Vec::new(),
            losses: 0,
            link: None,
            port,
        });
        self.seats.len() - 1
    }

    /// A stock process dials ours.
    pub(crate) fn dial(&mut self, seat: usize) {
        let link = LinkId::Accepted(self.accepted);
        self.accepted += 1;
        let port = 40_000 + u16::try_from(self.accepted).unwrap();
        self.open(seat, link, Side::Dialer, port);
        self.settle();
    }

    /// Stock processes do something of their own accord.
    pub(crate) fn act(&mut self, seat: usize, acts: Vec<Act>) {
        for act in acts {
            self.obey(seat, act);
        }
        self.settle();
    }

    /// A stock process leaves in the way of its release.
    pub(crate) fn leave(&mut self, seat: usize) {
        self.seats[seat].peer.leave();
        self.settle();
    }

    /// The network loses a link.
    pub(crate) fn cut(&mut self, seat: usize) {
        self.seats[seat].peer.lost();
        self.drop_link(seat);
        self.settle();
    }

    /// A stock supervisor is killed; nodes do not outlive it.
    pub(crate) fn end(&mut self, supervisor: usize) {
        self.seats[supervisor].port = None;
        let nodes = 0..self.seats.len();
        let nodes = nodes.filter(|seat| matches!(self.seats[*seat].scripts, Role::Node(..)));
        let ended: Vec<_> = std::iter::once(supervisor).chain(nodes).collect();
        for seat in ended {
            self.cut(seat);
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        self.settle();
        loop {
            let event = self.due.keys().next().map(|(at, _)| *at);
            let next = event.into_iter().chain(self.ours.deadline()).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            if event.is_some_and(|event| event <= self.now) {
                let (_, due) = self.due.pop_first().unwrap();
                self.happen(due);
            } else {
                self.ours.timeout(self.now);
                let deadline = self.ours.deadline();
                assert!(deadline.is_none_or(|at| at > self.now), "timers are done");
            }
            self.settle();
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Say(seat, topic, name, args) => self.seats[seat].peer.publish(&topic, &name, args),
            Due::Dial(seat) => self.dial(seat),
        }
    }

    fn later(&mut self, wait: Duration, due: Due) {
        self.count += 1;
        self.due.insert((self.now + wait, self.count), due);
    }

    fn open(&mut self, seat: usize, link: LinkId, side: Side, port: u16) {
        self.seats[seat].peer.open(side);
        self.seats[seat].link = Some(link);
        let remote = SocketAddr::from(([127, 0, 0, 1], port));
        let input = peering::Input::Opened {
            link,
            remote,
            certificate: None,
        };
        self.ours.broker(self.now, input);
    }

    /// Until nobody has anything to say at this moment.
    pub(crate) fn settle(&mut self) {
        for _ in 0..PATIENCE {
            if let Some(output) = self.ours.poll(self.now) {
                self.on_output(output);
                continue;
            }
            let seats = 0..self.seats.len();
            let moved: Vec<bool> = seats.map(|seat| self.pump(seat)).collect();
            if !moved.contains(&true) {
                return;
            }
        }
        panic!("they talk for ever");
    }

    fn on_output(&mut self, output: peering::Output) {
        match output {
            peering::Output::Dial { link, addr } => {
                let mut seats = self.seats.iter();
                let seat = seats.position(|it| it.port == Some(addr.port) && it.link.is_none());
                match seat {
                    Some(seat) => self.open(seat, link, Side::Acceptor, addr.port),
                    None => self.closed(link),
                }
            }
            peering::Output::Send { link, bytes } => {
                if let Some(seat) = self.at(link) {
                    self.seats[seat].peer.feed(&bytes);
                }
                let input = peering::Input::Sent { link, messages: 1 };
                self.ours.broker(self.now, input);
            }
            peering::Output::Close { link } => {
                if let Some(seat) = self.at(link) {
                    self.seats[seat].peer.lost();
                    self.seats[seat].link = None;
                }
                self.closed(link);
            }
            peering::Output::Listen { .. }
            | peering::Output::Deliver { .. }
            | peering::Output::PeerUp { .. }
            | peering::Output::PeerDown { .. }
            | peering::Output::PeerUnreachable { .. }
            | peering::Output::Misbehaved { .. }
            | peering::Output::Stopped => {}
        }
    }

    fn at(&self, link: LinkId) -> Option<usize> {
        self.seats.iter().position(|seat| seat.link == Some(link))
    }

    fn closed(&mut self, link: LinkId) {
        let reason = "connection closed".to_owned();
        let input = peering::Input::Closed { link, reason };
        self.ours.broker(self.now, input);
    }

    fn drop_link(&mut self, seat: usize) {
        if let Some(link) = self.seats[seat].link.take() {
            self.closed(link);
        }
    }

    /// Whether the process did anything.
    fn pump(&mut self, seat: usize) -> bool {
        let (frames, is_closed) = self.seats[seat].peer.take_out();
        let mut moved = !frames.is_empty() || is_closed;
        if let Some(link) = self.seats[seat].link
            && !frames.is_empty()
        {
            let chunk = frames.concat().into();
            let input = peering::Input::Bytes { link, chunk };
            self.ours.broker(self.now, input);
        }
        if is_closed {
            self.drop_link(seat);
        }
        while let Some(heard) = self.seats[seat].peer.heard.pop_front() {
            moved = true;
            let place = &mut self.seats[seat];
            let acts = match heard {
                Heard::Up => place.scripts.scripts().up(),
                Heard::Event { topic, name, args } => {
                    place.heard.push((name.clone(), args.clone()));
                    place.scripts.scripts().hear(&topic, &name, &args)
                }
                Heard::Lost => {
                    place.losses += 1;
                    vec![]
                }
                Heard::Refused(code) => {
                    place.refused.push(code);
                    vec![]
                }
            };
            acts.into_iter().for_each(|act| self.obey(seat, act));
        }
        moved
    }

    fn obey(&mut self, seat: usize, act: Act) {
        match act {
            Act::Say {
                after,
                topic,
                name,
                args,
            } => match after {
                Duration::ZERO => self.seats[seat].peer.publish(&topic, &name, args),
                wait => self.later(wait, Due::Say(seat, topic, name, args)),
            },
            Act::Start(NodeOrder { name, .. }) => {
                let release = self.seats[seat].peer.release;
                let node = self.node(release, &name);
                self.later(BOOT, Due::Dial(node));
            }
            Act::Stop(name) => {
                let is_it =
                    |seat: &&mut Seat| matches!(&seat.scripts, Role::Node(_, own) if *own == name);
                let nodes = self.seats.iter_mut().filter(is_it);
                nodes
                    .filter(|node| node.peer.is_up())
                    .for_each(|node| node.peer.leave());
            }
        }
    }
}

/// Settings of ours as an operator who says this sets them.
pub(crate) fn settings(arguments: &[&str]) -> Settings {
    let mut given = Given::new(Sources {
        env: BTreeMap::new(),
        hostname: "sensor".into(),
        prefix: "/opt/zeek".into(),
    });
    for argument in arguments {
        given.argument(argument);
    }
    Settings::resolve(&given).unwrap()
}

/// For our program: between, below or above those of its peers.
pub(crate) fn own_id(first_byte: u8) -> EndpointId {
    let mut bytes = [0x55; 16];
    bytes[0] = first_byte;
    EndpointId::from_bytes(bytes)
}
