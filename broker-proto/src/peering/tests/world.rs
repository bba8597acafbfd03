//! Endpoints connected by pipes, where a test chooses what arrives first.

use std::collections::BTreeMap;

use super::*;

/// Which end of which connection: even the dialer's, odd the acceptor's.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct End(usize);

impl End {
    fn other(self) -> Self {
        Self(self.0 ^ 1)
    }
}

/// What has not yet reached the endpoint at the end of a pipe.
#[derive(Debug)]
enum News {
    Opened,
    Bytes(Bytes),
    Closed,
}

#[derive(Debug)]
struct Pipe {
    node: usize,
    link: LinkId,
    inbox: VecDeque<News>,
    is_open: bool,
}

/// One endpoint and what it told its owner.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) endpoint: Endpoint,
    pub(super) up: Vec<EndpointId>,
    pub(super) delivered: Vec<(Topic, Bytes, EndpointId)>,
    accepted: u64,
}

/// All endpoints, all pipes, and the time.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pipes: Vec<Pipe>,
}

impl World {
    pub(super) fn new(ids: &[[u8; 16]], options: &Options) -> Self {
        let node = |own: &[u8; 16]| Node {
            endpoint: Endpoint::new(id(*own), options.clone(), IdGen::new(1)),
            up: Vec::new(),
            delivered: Vec::new(),
            accepted: 0,
        };
        Self {
            now: start(),
            nodes: ids.iter().map(node).collect(),
            pipes: Vec::new(),
        }
    }

    /// The address of a node; every port leads to it.
    pub(super) fn addr(node: usize, port: u16) -> PeerAddr {
        let host = node.to_string();
        PeerAddr { host, port }
    }

    pub(super) fn dial(&mut self, from: usize, addr: PeerAddr) {
        let retry = Some(Duration::from_secs(1));
        self.handle(from, Input::Dial { addr, retry });
    }

    pub(super) fn handle(&mut self, node: usize, input: Input) {
        self.nodes[node].endpoint.handle(self.now, input);
        self.settle(node);
    }

    /// The pipe ends where something may arrive next.
    pub(super) fn choices(&self) -> Vec<End> {
        let ends = self.pipes.iter().enumerate();
        let ends = ends.filter(|(_, pipe)| !pipe.inbox.is_empty());
        ends.map(|(at, _)| End(at)).collect()
    }

    /// Lets one thing arrive.
    pub(super) fn deliver(&mut self, end: End) {
        let pipe = &mut self.pipes[end.0];
        let (node, link) = (pipe.node, pipe.link);
        let Some(news) = pipe.inbox.pop_front() else {
            return;
        };
        let input = match news {
            News::Opened => Input::Opened {
                link,
                remote: remote(),
                certificate: None,
            },
            News::Bytes(chunk) => Input::Bytes { link, chunk },
            News::Closed => {
                pipe.is_open = false;
                let reason = "end of stream".into();
                Input::Closed { link, reason }
            }
        };
        self.handle(node, input);
    }

    /// The network loses a connection; what was on its way is gone.
    pub(super) fn cut(&mut self, end: End) {
        for end in [end, end.other()] {
            let pipe = &mut self.pipes[end.0];
            if pipe.is_open {
                pipe.inbox.clear();
                pipe.inbox.push_back(News::Closed);
            }
        }
    }

    /// The connections that are open at both ends.
    pub(super) fn connections(&self) -> Vec<End> {
        let dialers = (0..self.pipes.len()).step_by(2);
        let open = dialers.filter(|at| self.pipes[*at].is_open && self.pipes[at + 1].is_open);
        open.map(End).collect()
    }

    /// Lets everything arrive in the order that `choose` says, and time pass whenever nothing is on
    /// its way, until nobody waits for anything.
    pub(super) fn run(&mut self, mut choose: impl FnMut(&[End]) -> usize) {
        for _ in 0..10_000 {
            let choices = self.choices();
            if !choices.is_empty() {
                self.deliver(choices[choose(&choices)]);
                continue;
            }
            let nodes = self.nodes.iter();
            let Some(due) = nodes.filter_map(|node| node.endpoint.poll_timeout()).min() else {
                return;
            };
            assert!(due >= self.now, "a deadline that passed is still due");
            self.now = due;
            for node in 0..self.nodes.len() {
                self.nodes[node].endpoint.handle_timeout(due);
                self.settle(node);
            }
        }
        panic!("the world does not come to rest: {self:#?}");
    }

    fn settle(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].endpoint.poll_output() {
            self.apply(node, output);
        }
    }

    fn apply(&mut self, node: usize, output: Output) {
        match output {
            Output::Dial { link, addr } => self.connect(node, link, addr.host.parse().unwrap()),
            Output::Send { link, bytes } => {
                let end = self.end(node, link);
                let sender = &self.pipes[end.0];
                assert!(sender.is_open, "a frame for a link that is closed");
                let receiver = &mut self.pipes[end.other().0];
                if receiver.is_open {
                    receiver.inbox.push_back(News::Bytes(bytes));
                }
                self.nodes[node]
                    .endpoint
                    .handle(self.now, Input::Sent { link, messages: 1 });
            }
            Output::Close { link } => {
                let end = self.end(node, link);
                let own = &mut self.pipes[end.0];
                if !own.is_open {
                    return;
                }
                own.inbox.clear();
                own.inbox.push_back(News::Closed);
                let other = &mut self.pipes[end.other().0];
                if other.is_open {
                    other.inbox.push_back(News::Closed);
                }
            }
            Output::PeerUp { id, .. } => {
                assert!(!self.nodes[node].up.contains(&id), "up twice");
                self.nodes[node].up.push(id);
            }
            Output::PeerDown { id, .. } => {
                assert!(self.nodes[node].up.contains(&id), "down, but never up");
                self.nodes[node].up.retain(|up| *up != id);
            }
            Output::Deliver {
                topic,
                payload,
                from,
            } => {
                self.nodes[node].delivered.push((topic, payload, from));
            }
            Output::Listen { .. }
            | Output::PeerUnreachable { .. }
            | Output::Misbehaved { .. }
            | Output::Stopped => {}
        }
    }

    fn connect(&mut self, from: usize, link: LinkId, to: usize) {
        let accepted = LinkId::Accepted(self.nodes[to].accepted);
        self.nodes[to].accepted += 1;
        for (node, link) in [(from, link), (to, accepted)] {
            let inbox = VecDeque::from([News::Opened]);
            self.pipes.push(Pipe {
                node,
                link,
                inbox,
                is_open: true,
            });
        }
    }

    /// Closed pipes are found too: links are closed twice when both sides do.
    fn end(&self, node: usize, link: LinkId) -> End {
        let mut pipes = self.pipes.iter();
        let found = pipes.position(|pipe| pipe.node == node && pipe.link == link);
        End(found.unwrap())
    }

    /// Checks that these two have exactly one link, the same one, and nothing else open or waiting.
    pub(super) fn assert_one_link(&self, a: usize, b: usize) {
        let links = |from: usize, to: usize| -> Vec<LinkId> {
            let peer = self.nodes[to].endpoint.id();
            let links = self.nodes[from].endpoint.links.iter();
            let claimed = links.filter(|(_, link)| link.claimed() == Some(peer));
            claimed.map(|(id, _)| *id).collect()
        };
        let (of_a, of_b) = (links(a, b), links(b, a));
        assert_eq!((of_a.len(), of_b.len()), (1, 1), "{self:#?}");
        assert_eq!(self.end(a, of_a[0]).other(), self.end(b, of_b[0]));
        for (from, to) in [(a, b), (b, a)] {
            assert!(self.nodes[from].up.contains(&self.nodes[to].endpoint.id()));
        }
    }

    /// Checks that nobody keeps a link that is no peering, and that every address is served.
    pub(super) fn assert_settled(&self) {
        for node in &self.nodes {
            let endpoint = &node.endpoint;
            let peered = endpoint.links.values().all(|link| link.peering().is_some());
            assert!(peered, "{endpoint:#?}");
            assert_eq!(endpoint.links.len(), node.up.len());
            assert_eq!(endpoint.poll_timeout(), None);
        }
    }
}

/// Runs `scenario` under every order of the first `depth` arrivals; what follows comes in the order
/// of the pipes.
pub(super) fn every_order(depth: usize, mut scenario: impl FnMut(&mut dyn FnMut(&[End]) -> usize)) {
    let mut chosen: Vec<usize> = Vec::new();
    loop {
        let mut widths = Vec::new();
        scenario(&mut |choices| {
            let at = widths.len();
            if at >= depth {
                return 0;
            }
            widths.push(choices.len());
            chosen.get(at).copied().unwrap_or(0)
        });
        chosen.resize(widths.len(), 0);
        // The next sequence of choices, as an odometer counts.
        while let Some((last, width)) = chosen.last_mut().zip(widths.pop()) {
            *last += 1;
            if *last < width {
                break;
            }
            chosen.pop();
        }
        if chosen.is_empty() {
            return;
        }
    }
}

/// Runs `scenario` under so many orders drawn from a seed.
pub(super) fn many_orders(count: u64, mut scenario: impl FnMut(&mut Draw)) {
    for seed in 0..count {
        scenario(&mut Draw(IdGen::new(seed)));
    }
}

/// Numbers that a seed decides.
pub(super) struct Draw(IdGen);

impl Draw {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(self.0.next_u64() % bound).unwrap()
    }
}

/// Who serves the addresses that an endpoint dials, for assertions.
pub(super) fn served(endpoint: &Endpoint) -> BTreeMap<PeerAddr, EndpointId> {
    let links = endpoint.links.values().filter_map(Link::peering);
    let peers: Vec<EndpointId> = links.map(|peering| peering.peer).collect();
    let dialed = endpoint
        .peers()
        .filter_map(|(id, network)| Some((network.dialed?, id)));
    let dialed: BTreeMap<PeerAddr, EndpointId> = dialed.collect();
    assert!(dialed.values().all(|id| peers.contains(id)));
    dialed
}
