//! Two endpoints and the sockets between them: what the caller of a machine does, under test.

#![allow(
    clippy::indexing_slicing,
    reason = "a target's panic is what tells of a mistake"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::ops::{Index, IndexMut};
use std::time::{Duration, Instant};

use broker_proto::codec::frame::FrameDecoder;
use broker_proto::peering::{Endpoint, Input, LinkId, Options, Output, OverflowPolicy, PeerAddr};
use broker_proto::{EndpointId, IdGen, Topic};
use bytes::{Bytes, BytesMut};

use crate::machines::start;

/// Topics to publish on; one covers another. All but the last are subscribed to by steps.
const TOPICS: [&str; 4] = ["a", "a/b", "c", "last"];

/// The host name of an address where nobody is, or a stranger.
const NOWHERE: &str = "nowhere";

/// A payload that fills what a caller may hold at a time in a few messages.
pub(super) static BULK: [u8; 200_000] = [0; 200_000];

/// How many messages wait for a peer at most, and how much.
pub(super) const OUTBOX: usize = 4;

/// Which of the two.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Side {
    Left,
    Right,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Left, Self::Right];

    pub(super) fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// Everything there is.
pub(super) struct World {
    now: Instant,
    options: Options,
    pub(super) hosts: [Host; 2],
    /// Those that somebody still holds.
    pub(super) pipes: Vec<Pipe>,
    next_pipe: u16,
    /// Whether somebody who is gone is missed in the end, as by keep-alives; else never.
    pub(super) misses_the_gone: bool,
}

/// One endpoint and what its caller knows of it.
pub(super) struct Host {
    pub(super) endpoint: Endpoint,
    pub(super) accepted: u64,
    pub(super) up: BTreeSet<EndpointId>,
    pub(super) wants: BTreeSet<&'static str>,
    pub(super) heard: BTreeMap<EndpointId, usize>,
    pub(super) leaving: bool,
    pub(super) stopped: bool,
    pub(super) restarts: u64,
}

/// One connection. What goes to an end waits in it.
pub(super) struct Pipe {
    pub(super) name: SocketAddr,
    /// The one who dialed, and the one who was dialed.
    pub(super) ends: [End; 2],
    /// The dialer is still waiting.
    pub(super) opening: bool,
    /// Nobody is at the address.
    pub(super) nowhere: bool,
    /// Bytes came out of it that nobody sent.
    pub(super) garbled: bool,
}

/// One end of a connection.
#[derive(Default)]
pub(super) struct End {
    /// Whose it is; nobody's at a stranger's end, and after a restart.
    pub(super) owner: Option<(Side, LinkId)>,
    pub(super) inbox: BytesMut,
    /// Sizes of what its owner sent and was not told to be written.
    pub(super) unwritten: VecDeque<usize>,
    /// No byte goes out any more, and the other end is told once it has read everything.
    pub(super) shut: bool,
    /// It is shut, but nobody tells the other end: its host is gone.
    pub(super) silent: bool,
}

impl Index<Side> for World {
    type Output = Host;

    fn index(&self, side: Side) -> &Host {
        &self.hosts[side as usize]
    }
}

impl IndexMut<Side> for World {
    fn index_mut(&mut self, side: Side) -> &mut Host {
        &mut self.hosts[side as usize]
    }
}

impl World {
    /// Two that know nothing of each other. `choice` says whose id is smaller, what becomes of
    /// messages that nobody reads, and whether those who are gone are missed.
    pub(super) fn new(choice: u8) -> Self {
        let overflow = match choice >> 1 & 3 {
            0 => OverflowPolicy::DropNewest,
            1 => OverflowPolicy::Disconnect,
            _ => OverflowPolicy::DropOldest,
        };
        let options = Options {
            overflow,
            outbox: OUTBOX,
            pending_links: 8,
            ..Options::default()
        };
        let host = |id: u8| Host {
            endpoint: Endpoint::new(
                EndpointId::from_bytes([id; 16]),
                options.clone(),
                IdGen::new(u64::from(id)),
            ),
            accepted: 0,
            up: BTreeSet::new(),
            wants: BTreeSet::new(),
            heard: BTreeMap::new(),
            leaving: false,
            stopped: false,
            restarts: 0,
        };
        let (left, right) = (0x10 + (choice & 1), 0x11 - (choice & 1));
        Self {
            now: start(),
            hosts: [host(left), host(right)],
            options,
            pipes: Vec::new(),
            next_pipe: 0,
            misses_the_gone: choice & 8 == 0,
        }
    }

    // Steps. Those that name a link take the one that is so many away from the newest.

    pub(super) fn dial(&mut self, side: Side, which: usize) {
        let retry = [None, Some(1), Some(7), Some(30)][which / 4 % 4].map(Duration::from_secs);
        let addr = addr(which % 4 == 3);
        self.tell(side, Input::Dial { addr, retry });
    }

    pub(super) fn publish(&mut self, side: Side, which: usize) {
        let topic = Topic::from_static(TOPICS[which % TOPICS.len()]);
        let payload = if which & 32 == 0 {
            Bytes::from_static(&BULK[..2])
        } else {
            Bytes::from_static(&BULK)
        };
        self.tell(side, Input::Publish { topic, payload });
    }

    pub(super) fn subscribe(&mut self, side: Side, which: usize) {
        self.want(side, TOPICS[which % 3]);
    }

    pub(super) fn unpeer(&mut self, side: Side, which: usize) {
        let addr = addr(which % 4 == 3);
        self.tell(side, Input::Unpeer { addr });
    }

    pub(super) fn shut_down(&mut self, side: Side) {
        self[side].leaving = true;
        self.tell(side, Input::Shutdown);
    }

    /// The host loses power and comes back, under the same id or another. Its links stay open on
    /// the other side, which hears nothing.
    pub(super) fn restart(&mut self, side: Side, which: usize) {
        let options = self.options.clone();
        let host = &mut self[side];
        host.restarts += 1;
        let id = if which & 1 == 0 {
            host.endpoint.id()
        } else {
            let mut bytes = *host.endpoint.id().as_bytes();
            bytes[15] = bytes[15].wrapping_add(1);
            bytes[14] ^= 0x40;
            EndpointId::from_bytes(bytes)
        };
        host.endpoint = Endpoint::new(id, options, IdGen::new(host.restarts << 8));
        host.up.clear();
        host.wants.clear();
        host.heard.clear();
        (host.leaving, host.stopped) = (false, false);
        for pipe in &mut self.pipes {
            for end in &mut pipe.ends {
                if end.owner.is_some_and(|(owner, _)| owner == side) {
                    *end = End {
                        shut: true,
                        silent: true,
                        ..End::default()
                    };
                }
            }
        }
    }

    /// A dial is answered, by a connection or by a refusal.
    pub(super) fn open(&mut self, which: usize, accept: bool) {
        let opening: Vec<usize> = (0..self.pipes.len())
            .filter(|at| self.pipes[*at].opening)
            .collect();
        if let Some(at) = newest(&opening, which) {
            self.answer(at, accept);
        }
    }

    fn answer(&mut self, at: usize, accept: bool) {
        let pipe = &mut self.pipes[at];
        pipe.opening = false;
        let Some((dialer, link)) = pipe.ends[0].owner else {
            // Its host is gone.
            return;
        };
        let listener = dialer.other();
        if !accept || pipe.nowhere || self[listener].stopped {
            return self.closed(at, 0);
        }
        let remote = self.pipes[at].name;
        let accepted = LinkId::Accepted(self[listener].accepted);
        self[listener].accepted += 1;
        self.pipes[at].ends[1].owner = Some((listener, accepted));
        self.tell(dialer, opened(link, remote));
        let link = accepted;
        self.tell(listener, opened(link, remote));
    }

    /// Some bytes arrive, or that no more will.
    pub(super) fn deliver(&mut self, side: Side, which: usize, count: usize) {
        if let Some((at, end)) = self.find(side, which) {
            self.arrive(at, end, count);
        }
    }

    /// The operating system took what was sent.
    pub(super) fn written(&mut self, side: Side, which: usize, count: usize) {
        if let Some((at, end)) = self.find(side, which) {
            self.acknowledge(at, end, count);
        }
    }

    /// Bytes appear that nobody sent.
    pub(super) fn garble(&mut self, side: Side, which: usize, bytes: &[u8]) {
        let Some((at, end)) = self.find(side, which) else {
            return;
        };
        let pipe = &mut self.pipes[at];
        if !pipe.opening && !bytes.is_empty() {
            pipe.ends[end].inbox.extend_from_slice(bytes);
            pipe.garbled = true;
        }
    }

    /// The operating system closes one end; what was sent before still arrives.
    pub(super) fn hang_up(&mut self, side: Side, which: usize) {
        if let Some((at, end)) = self.find(side, which) {
            self.pipes[at].opening = false;
            self.closed(at, end);
        }
    }

    /// The connection breaks, with or without what is under way.
    pub(super) fn cut(&mut self, which: usize, lossy: bool) {
        let open: Vec<usize> = (0..self.pipes.len())
            .filter(|at| self.pipes[*at].ends.iter().any(|end| end.owner.is_some()))
            .collect();
        if let Some(at) = newest(&open, which) {
            self.break_pipe(at, lossy);
        }
    }

    /// Time passes, whether or not somebody waits for it.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.wake();
    }

    /// Everything arrives and every dial is answered until nothing is left to do at this time.
    pub(super) fn pump(&mut self) {
        for _ in 0..1000 {
            let mut quiet = true;
            let held = |pipe: &Pipe| pipe.ends.iter().any(|end| end.owner.is_some());
            self.pipes.retain(held);
            for at in 0..self.pipes.len() {
                if self.pipes[at].opening {
                    self.answer(at, true);
                    quiet = false;
                }
                for end in [0, 1] {
                    quiet &= !self.acknowledge(at, end, usize::MAX);
                    quiet &= !self.arrive(at, end, usize::MAX);
                }
            }
            if quiet {
                return;
            }
        }
        panic!("the two never come to rest");
    }

    /// The same while time passes.
    pub(super) fn settle(&mut self, time: Duration) {
        for at in 0..self.pipes.len() {
            let pipe = &self.pipes[at];
            let is_silent = pipe.ends.iter().any(|end| end.silent);
            if pipe.garbled || is_silent && self.misses_the_gone {
                self.break_pipe(at, true);
            }
        }
        let end = self.now + time;
        for _ in 0..2000 {
            self.pump();
            let due = Side::BOTH.map(|side| self[side].endpoint.poll_timeout());
            let next = due.into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return self.wake();
            };
            self.now = self.now.max(next);
            self.wake();
        }
        panic!("the two are never done");
    }

    // Strangers.

    /// Somebody connects, or is dialed once; returns what the connection is called.
    pub(super) fn meet_stranger(&mut self, side: Side, dialed: bool) -> SocketAddr {
        if dialed {
            let (addr, retry) = (addr(true), None);
            self.tell(side, Input::Dial { addr, retry });
        } else {
            let link = LinkId::Accepted(self[side].accepted);
            self[side].accepted += 1;
            self.add_pipe([None, Some((side, link))], false);
        }
        let pipe = self.pipes.last_mut().expect("the stranger's");
        pipe.opening = false;
        let remote = pipe.name;
        let owner = pipe.ends.iter().find_map(|end| end.owner);
        let (side, link) = owner.expect("one end is ours");
        self.tell(side, opened(link, remote));
        remote
    }

    /// What a stranger says, if anybody still listens.
    pub(super) fn hear_stranger(&mut self, name: SocketAddr, bytes: &[u8]) {
        let pipe = self.pipes.iter_mut().find(|pipe| pipe.name == name);
        let ends = pipe.into_iter().flat_map(|pipe| &mut pipe.ends);
        for end in ends.filter(|end| end.owner.is_some()) {
            end.inbox.extend_from_slice(bytes);
        }
    }

    // What a caller does.

    pub(super) fn want(&mut self, side: Side, topic: &'static str) {
        self[side].wants.insert(topic);
        let topic = Topic::from_static(topic);
        self.tell(side, Input::Subscribe { topic });
    }

    fn wake(&mut self) {
        let now = self.now;
        for side in Side::BOTH {
            self[side].endpoint.handle_timeout(now);
            let due = self[side].endpoint.poll_timeout();
            assert!(due.is_none_or(|at| at > now), "what was due is still due");
            self.drain(side, 0);
        }
    }

    pub(super) fn tell(&mut self, side: Side, input: Input) {
        let size = match &input {
            Input::Bytes { chunk, .. } => chunk.len(),
            Input::Sent { messages, .. } => *messages,
            Input::Listen { .. }
            | Input::Dial { .. }
            | Input::Opened { .. }
            | Input::Closed { .. }
            | Input::Subscribe { .. }
            | Input::Publish { .. }
            | Input::PublishFrame { .. }
            | Input::PublishParts { .. }
            | Input::Unpeer { .. }
            | Input::Restrict { .. }
            | Input::Expel { .. }
            | Input::CheckAlive { .. }
            | Input::Shutdown => 0,
        };
        let now = self.now;
        self[side].endpoint.handle(now, input);
        self.drain(side, size);
    }

    fn drain(&mut self, side: Side, received: usize) {
        let limit = received.min(1 << 20) + 8 * (self.pipes.len() + 32);
        for _ in 0..limit {
            let Some(output) = self[side].endpoint.poll_output() else {
                return;
            };
            self.obey(side, output);
        }
        panic!("more outputs than the input explains");
    }

    fn obey(&mut self, side: Side, output: Output) {
        match output {
            Output::Listen { .. } => panic!("nobody asked to listen"),
            Output::Dial { link, addr } => {
                let nowhere = addr.host == NOWHERE;
                self.add_pipe([Some((side, link)), None], nowhere);
            }
            Output::Send { link, bytes } => self.send(side, link, &bytes),
            Output::Close { link } => {
                let (at, end) = self.end_of(side, link);
                let end = &mut self.pipes[at].ends[end];
                assert!(!end.shut, "a link is closed twice");
                end.shut = true;
            }
            Output::Deliver { topic, from, .. } => {
                let host = &mut self[side];
                let wanted = |want: &&str| topic.as_bytes().starts_with(want.as_bytes());
                assert!(host.wants.iter().any(wanted), "{topic} is not subscribed");
                assert!(host.up.contains(&from), "a message from no peer");
                *host.heard.entry(from).or_default() += 1;
            }
            Output::PeerUp { id, .. } => assert!(self[side].up.insert(id), "up twice"),
            Output::PeerDown { id, .. } => assert!(self[side].up.remove(&id), "down twice"),
            Output::PeerUnreachable { .. } | Output::Misbehaved { .. } => {}
            Output::Stopped => {
                let host = &mut self[side];
                assert!(host.leaving && !host.stopped, "stopped unasked or twice");
                host.stopped = true;
            }
        }
    }

    fn send(&mut self, side: Side, link: LinkId, bytes: &Bytes) {
        let mut decoder = FrameDecoder::default();
        decoder.push(bytes);
        let frame = decoder.next_frame(bytes.len());
        assert!(matches!(frame, Ok(Some(_))), "what is sent is no frame");
        assert!(decoder.is_empty(), "what is sent is more than a frame");
        let (at, end) = self.end_of(side, link);
        let pipe = &mut self.pipes[at];
        assert!(!pipe.opening, "sent before the link is open");
        assert!(!pipe.ends[end].shut, "sent after the link was closed");
        pipe.ends[end].unwritten.push_back(bytes.len());
        let other = &mut pipe.ends[1 - end];
        if other.owner.is_some() {
            other.inbox.extend_from_slice(bytes);
        }
    }

    fn add_pipe(&mut self, owners: [Option<(Side, LinkId)>; 2], nowhere: bool) {
        // Both ends call a connection by the same name.
        let name = SocketAddr::from(([127, 0, 0, 1], self.next_pipe));
        self.next_pipe = self.next_pipe.wrapping_add(1);
        let ends = owners.map(|owner| End {
            owner,
            ..End::default()
        });
        self.pipes.push(Pipe {
            name,
            ends,
            opening: true,
            nowhere,
            garbled: false,
        });
    }

    /// Hands an end what is under way to it; returns whether there was anything.
    fn arrive(&mut self, at: usize, end: usize, count: usize) -> bool {
        let pipe = &mut self.pipes[at];
        let Some((side, link)) = pipe.ends[end].owner.filter(|_| !pipe.opening) else {
            return false;
        };
        if pipe.ends[end].shut {
            self.closed(at, end);
            return true;
        }
        let inbox = &mut pipe.ends[end].inbox;
        let count = count.min(inbox.len());
        if count > 0 {
            let chunk = inbox.split_to(count).freeze();
            self.tell(side, Input::Bytes { link, chunk });
            return true;
        }
        let other = &pipe.ends[1 - end];
        let over = other.shut && !other.silent;
        if over {
            self.closed(at, end);
        }
        over
    }

    fn acknowledge(&mut self, at: usize, end: usize, count: usize) -> bool {
        let end = &mut self.pipes[at].ends[end];
        let Some((side, link)) = end.owner else {
            return false;
        };
        let messages = count.min(end.unwritten.len());
        end.unwritten.drain(..messages);
        if messages > 0 {
            self.tell(side, Input::Sent { link, messages });
        }
        messages > 0
    }

    /// Tells an end's owner that it is gone.
    fn closed(&mut self, at: usize, end: usize) {
        let end = &mut self.pipes[at].ends[end];
        end.shut = true;
        end.inbox.clear();
        end.unwritten.clear();
        if let Some((side, link)) = end.owner.take() {
            let reason = "closed".into();
            self.tell(side, Input::Closed { link, reason });
        }
    }

    fn break_pipe(&mut self, at: usize, lossy: bool) {
        let pipe = &mut self.pipes[at];
        pipe.opening = false;
        for end in &mut pipe.ends {
            end.silent = false;
            if lossy {
                end.inbox.clear();
            }
        }
        for end in [0, 1] {
            if !lossy && !self.pipes[at].ends[end].shut {
                self.arrive(at, end, usize::MAX);
            }
            self.closed(at, end);
        }
    }

    fn end_of(&self, side: Side, link: LinkId) -> (usize, usize) {
        let ends = self.ends();
        let mut ends = ends.filter(|(_, _, owner)| *owner == Some((side, link)));
        let found = ends.next_back().expect("the link is open");
        (found.0, found.1)
    }

    fn find(&self, side: Side, which: usize) -> Option<(usize, usize)> {
        let ends = self.ends();
        let ends = ends.filter(|(_, _, owner)| owner.is_some_and(|(owner, _)| owner == side));
        let ends: Vec<_> = ends.map(|(at, end, _)| (at, end)).collect();
        newest(&ends, which)
    }

    fn ends(&self) -> impl DoubleEndedIterator<Item = (usize, usize, Option<(Side, LinkId)>)> + '_ {
        self.pipes
            .iter()
            .enumerate()
            .flat_map(|(at, pipe)| [0, 1].map(|end| (at, end, pipe.ends[end].owner)))
    }
}

/// The other one's address, or one where nobody is.
pub(super) fn addr(nowhere: bool) -> PeerAddr {
    let host = if nowhere { NOWHERE } else { "other" }.into();
    PeerAddr { host, port: 9999 }
}

fn newest<T: Copy>(all: &[T], which: usize) -> Option<T> {
    all.iter().rev().nth(which % all.len().max(1)).copied()
}

fn opened(link: LinkId, remote: SocketAddr) -> Input {
    Input::Opened {
        link,
        remote,
        certificate: None,
    }
}
