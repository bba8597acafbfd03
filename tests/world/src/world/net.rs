//! The network: like TCP, it loses and reorders nothing within a link, and may do anything else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use broker_proto::peering::{Input, LinkId, PeerAddr};
use bytes::{Bytes, BytesMut};

use super::watch::Mark;
use super::{Event, Host, Who, World};
use crate::fault::Fault;
use crate::script::Maker;

/// How long a dial that nobody answers takes to fail, as ours gives up.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a link that is to close may take to write what it has, as ours gives up.
const DRAIN: Duration = Duration::from_secs(2);

/// After so much silence a link whose other end is gone is found out at the latest.
const KEEPALIVE_MS: u64 = 60_000;

/// What fits between a sender and a receiver that does not read.
const BUFFER: usize = 128 << 10;

/// The same on a bad day.
const SMALL_BUFFER: usize = 2 << 10;

/// All links.
#[derive(Debug, Default)]
pub(crate) struct Net {
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) ends: BTreeMap<End, (u64, usize)>,
    dialing: BTreeSet<End>,
    pub(super) listeners: BTreeMap<(Host, u16), Who>,
    /// From where to where nothing gets through.
    pub(super) blocked: BTreeSet<(Host, Host)>,
    /// The same, if there was something that did not get through.
    pub(super) felt: BTreeSet<(Host, Host)>,
    count: u64,
}

/// A process's end of a link.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct End {
    pub(crate) who: Who,
    pub(crate) link: LinkId,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(super) sides: [Side; 2],
}

#[derive(Debug)]
pub(super) struct Side {
    pub(super) end: End,
    pub(super) host: Host,
    pub(super) state: State,
    /// What goes from here to the other side.
    pub(super) out: Pipe,
}

/// What the process at an end may still hear of the link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Everything.
    Open,
    /// That it is closed.
    Closing,
    /// Nothing.
    Gone,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// What the sender's program has not been able to write.
    held: VecDeque<Bytes>,
    /// What is on its way.
    sent: VecDeque<Bytes>,
    sent_len: usize,
    /// An event will move it on.
    is_moving: bool,
    /// The sender has ended the stream behind all that.
    is_ended: bool,
    /// Nothing moves until then.
    pub(super) stalled: Option<Instant>,
    /// Bytes that were ever written, and that have arrived.
    written: u64,
    arrived: u64,
    /// Where messages end that somebody takes note of when they are read.
    marks: VecDeque<(u64, Mark)>,
}

impl Pipe {
    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.sent.is_empty()
    }
}

impl World {
    pub(super) fn listen(&mut self, who: Who, addr: &PeerAddr) {
        if let Some(host) = self.host_of(who) {
            self.net.listeners.insert((host, addr.port), who);
        }
    }

    pub(super) fn dial(&mut self, who: Who, link: LinkId, addr: &PeerAddr) {
        let Some(own) = self.host_of(who) else {
            return;
        };
        let host = Host::at(&addr.host).unwrap_or(own);
        let end = End { who, link };
        self.net.dialing.insert(end);
        let at = self.now + self.latency(own, host);
        let port = addr.port;
        let until = self.now + CONNECT;
        self.later(
            at,
            Event::Connect {
                end,
                host,
                port,
                until,
            },
        );
    }

    pub(super) fn on_connect(&mut self, end: End, host: Host, port: u16, until: Instant) {
        let Some(own) = self.host_of(end.who) else {
            self.net.dialing.remove(&end);
            return;
        };
        if !self.net.dialing.contains(&end) {
            return;
        }
        if self.feels_block(own, host) || self.feels_block(host, own) || self.is_dark(host) {
            if self.now >= until {
                return self.refuse(end, "no answer within 5s");
            }
            // A lost SYN is repeated.
            let at = self.now + Duration::from_secs(1);
            return self.later(
                at,
                Event::Connect {
                    end,
                    host,
                    port,
                    until,
                },
            );
        }
        let Some(to) = self.net.listeners.get(&(host, port)).copied() else {
            return self.refuse(end, "connection refused");
        };
        self.net.dialing.remove(&end);
        let accepted = self.accept(to);
        let number = self.net.count;
        self.net.count += 1;
        let sides = [(end, own), (accepted, host)].map(|(end, host)| Side {
            end,
            host,
            state: State::Open,
            out: Pipe::default(),
        });
        self.net.ends.insert(end, (number, 0));
        self.net.ends.insert(accepted, (number, 1));
        self.net.links.insert(number, Link { sides });
        self.watch_link(number, [end.who, to]);
        let dialed = SocketAddr::from((host.ip(own), port));
        let source = 32_768 + u16::try_from(number % 20_000).unwrap();
        let source = SocketAddr::from((own.ip(host), source));
        for (end, remote) in [(end, dialed), (accepted, source)] {
            let input = Input::Opened {
                link: end.link,
                remote,
                certificate: None,
            };
            self.later(self.now, Event::Broker(end.who, input));
        }
    }

    fn refuse(&mut self, end: End, reason: &str) {
        self.net.dialing.remove(&end);
        self.say_closed(end, reason);
    }

    /// Writes as far as there is room.
    pub(super) fn send(&mut self, who: Who, link: LinkId, bytes: Bytes) {
        let Some(&(number, index)) = self.net.ends.get(&End { who, link }) else {
            return;
        };
        let mark = self.mark(number, who, &bytes);
        let link = self.net.links.get_mut(&number).unwrap();
        let side = &mut link.sides[index];
        if side.state != State::Open {
            return;
        }
        side.out.written += u64::try_from(bytes.len()).unwrap();
        let end_of_mark = mark.map(|mark| (side.out.written, mark));
        side.out.marks.extend(end_of_mark);
        side.out.held.push_back(bytes.clone());
        let end = side.end;
        self.watch_sent(number, index, bytes);
        self.pump(end);
        if !self.pipe(number, index).held.is_empty() {
            self.note(Fault::BufferFull);
        }
    }

    /// Moves what the program holds to the network, and the network's part on.
    fn pump(&mut self, end: End) {
        let Some(&(number, index)) = self.net.ends.get(&end) else {
            return;
        };
        let is_bad = self.is_link_bad(number);
        let link = self.net.links.get_mut(&number).unwrap();
        let side = &mut link.sides[index];
        let room = if is_bad { SMALL_BUFFER } else { BUFFER };
        let mut frames = 0;
        while side.out.sent_len < room
            && let Some(bytes) = side.out.held.pop_front()
        {
            side.out.sent_len += bytes.len();
            side.out.sent.push_back(bytes);
            frames += 1;
        }
        if frames > 0 && side.state == State::Open {
            let input = Input::Sent {
                link: end.link,
                messages: frames,
            };
            let wait = match is_bad && self.chance.is_one_in(4) {
                true => {
                    self.note(Fault::WriteLate);
                    self.chance.millis(0..400)
                }
                false => Duration::ZERO,
            };
            self.later(self.now + wait, Event::Broker(end.who, input));
        }
        self.keep_moving(number, index);
    }

    fn keep_moving(&mut self, number: u64, index: usize) {
        let Some(link) = self.net.links.get_mut(&number) else {
            return;
        };
        let [from, to] = [index, 1 - index].map(|side| link.sides[side].host);
        let pipe = &mut link.sides[index].out;
        if pipe.is_moving || (pipe.is_empty() && !pipe.is_ended) {
            return;
        }
        pipe.is_moving = true;
        let at = self.now + self.latency(from, to);
        self.later(at, Event::Move(number, index));
    }

    /// Something arrives at the other side, if it can.
    pub(super) fn on_move(&mut self, number: u64, index: usize) {
        let Some(link) = self.net.links.get_mut(&number) else {
            return;
        };
        let [from, to] = [index, 1 - index].map(|side| link.sides[side].host);
        let (reader, state) = (link.sides[1 - index].end, link.sides[1 - index].state);
        let pipe = &mut link.sides[index].out;
        if let Some(until) = pipe.stalled.take_if(|until| *until > self.now) {
            self.note(Fault::LinkStuck);
            return self.later(until, Event::Move(number, index));
        }
        if self.feels_block(from, to) || self.is_dark(to) || self.is_dark(from) {
            return self.set_moving(number, index, false);
        }
        if state == State::Gone {
            return self.break_link(number, "connection reset by peer");
        }
        if let Some(until) = self.stalled_until(reader.who) {
            return self.later(until, Event::Move(number, index));
        }
        let chunk = self.chunk(number, index);
        let pipe = self.pipe(number, index);
        pipe.is_moving = false;
        let is_over = pipe.is_empty() && pipe.is_ended && pipe.sent.is_empty();
        if let Some(chunk) = chunk {
            self.arrive(number, index, chunk);
        }
        if is_over {
            return self.end_of_stream(number, index);
        }
        if let Some(link) = self.net.links.get(&number) {
            let end = link.sides[index].end;
            match self.net.ends.contains_key(&end) {
                true => self.pump(end),
                false => self.keep_moving(number, index),
            }
        }
    }

    fn arrive(&mut self, number: u64, index: usize, chunk: Bytes) {
        let pipe = self.pipe(number, index);
        pipe.arrived += u64::try_from(chunk.len()).unwrap();
        let is_read = |(at, _): &(u64, Mark)| *at <= pipe.arrived;
        let count = pipe.marks.iter().take_while(|it| is_read(it)).count();
        let marks: Vec<_> = pipe.marks.drain(..count).collect();
        let link = &self.net.links[&number];
        let (sender, reader) = (link.sides[index].end, link.sides[1 - index].end);
        if link.sides[1 - index].state != State::Open {
            return;
        }
        for (_, mark) in marks {
            self.on_mark(mark, sender.who, reader.who);
        }
        self.watch_arrived(number, index, chunk.len());
        let link = reader.link;
        self.tell_broker(reader.who, Input::Bytes { link, chunk });
    }

    /// All that is on its way, or a part of it.
    fn chunk(&mut self, number: u64, index: usize) -> Option<Bytes> {
        let is_chopped = self.is_link_bad(number) && self.chance.is_one_in(3);
        let len = self.pipe(number, index).sent_len;
        let len = match is_chopped && len > 1 {
            true => {
                self.note(Fault::BytesChopped);
                1 + usize::try_from(self.chance.below(u64::try_from(len - 1).unwrap())).unwrap()
            }
            false => len,
        };
        let pipe = self.pipe(number, index);
        if len == 0 {
            return None;
        }
        pipe.sent_len -= len;
        let first = pipe.sent.front_mut().unwrap();
        if first.len() > len {
            return Some(first.split_to(len));
        }
        let mut chunk = BytesMut::new();
        while chunk.len() < len {
            let mut next = pipe.sent.pop_front().unwrap();
            if chunk.is_empty() && next.len() == len {
                return Some(next);
            }
            let rest = len - chunk.len();
            if next.len() > rest {
                chunk.extend_from_slice(&next.split_to(rest));
                pipe.sent.push_front(next);
            } else {
                chunk.extend_from_slice(&next);
            }
        }
        Some(chunk.freeze())
    }

    /// The reader hears that nothing more comes, and ends its own side, too.
    fn end_of_stream(&mut self, number: u64, index: usize) {
        let link = self.net.links.get_mut(&number).unwrap();
        let reader = &mut link.sides[1 - index];
        let (end, state) = (reader.end, reader.state);
        reader.state = State::Gone;
        let writer = &mut link.sides[index];
        let (other, other_state) = (writer.end, writer.state);
        writer.state = State::Gone;
        self.forget_link(number);
        if state != State::Gone {
            self.say_closed(end, "end of stream");
        }
        if other_state != State::Gone {
            self.say_closed(other, "closed by this side");
        }
    }

    /// Ends a link for both sides, and what is on its way is lost.
    pub(super) fn break_link(&mut self, number: u64, reason: &str) {
        let Some(link) = self.net.links.get(&number) else {
            return;
        };
        let sides = link.sides.each_ref().map(|side| (side.end, side.state));
        self.forget_link(number);
        for (end, state) in sides {
            if state != State::Gone {
                self.say_closed(end, reason);
            }
        }
    }

    fn forget_link(&mut self, number: u64) {
        self.watch_gone(number);
        if let Some(link) = self.net.links.remove(&number) {
            for side in link.sides {
                self.net.ends.remove(&side.end);
            }
        }
    }

    /// A program wants to close, once all is written.
    pub(super) fn close(&mut self, who: Who, link: LinkId) {
        let end = End { who, link };
        if self.net.dialing.remove(&end) {
            return self.say_closed(end, "closed by this side");
        }
        let Some(&(number, index)) = self.net.ends.get(&end) else {
            return;
        };
        let link = self.net.links.get_mut(&number).unwrap();
        let side = &mut link.sides[index];
        if side.state != State::Open {
            return;
        }
        side.state = State::Closing;
        side.out.is_ended = true;
        self.watch_closed(number, index);
        self.keep_moving(number, index);
        self.later(self.now + DRAIN, Event::Drained(end));
    }

    /// Long enough: what is not written by now is lost.
    pub(super) fn on_drained(&mut self, end: End) {
        let Some(&(number, index)) = self.net.ends.get(&end) else {
            return;
        };
        self.abandon(number, index);
        self.say_closed(end, "closed by this side");
    }

    /// Nobody is at this side any more. The system sends what it has, and the end.
    fn abandon(&mut self, number: u64, index: usize) {
        let link = self.net.links.get_mut(&number).unwrap();
        let side = &mut link.sides[index];
        side.state = State::Gone;
        side.out.held.clear();
        side.out.is_ended = true;
        let end = side.end;
        self.net.ends.remove(&end);
        if link.sides[1 - index].state == State::Gone {
            return self.forget_link(number);
        }
        self.keep_moving(number, index);
    }

    /// A process is gone, and its sockets with it.
    pub(super) fn abandon_all(&mut self, who: Who, how: Loss) {
        self.net.listeners.retain(|_, listener| *listener != who);
        self.net.dialing.retain(|end| end.who != who);
        let own = self.net.ends.iter().filter(|(end, _)| end.who == who);
        let own: Vec<(u64, usize)> = own.map(|(_, place)| *place).collect();
        for (number, index) in own {
            self.watch_closed(number, index);
            match how {
                Loss::Process => self.abandon(number, index),
                Loss::Host => {
                    let link = self.net.links.get_mut(&number).unwrap();
                    let side = &mut link.sides[index];
                    side.state = State::Gone;
                    side.out = Pipe::default();
                    let end = side.end;
                    self.net.ends.remove(&end);
                    if link.sides[1 - index].state == State::Gone {
                        self.forget_link(number);
                    }
                }
            }
        }
    }

    /// What was held up may go on.
    pub(super) fn wake_links(&mut self) {
        let numbers: Vec<u64> = self.net.links.keys().copied().collect();
        for number in numbers {
            for index in [0, 1] {
                self.keep_moving(number, index);
            }
        }
    }

    /// Links that ended with a host's power are found out in time by those at the other ends, even
    /// if they have nothing to say.
    pub(super) fn expect_keepalives(&mut self, host: Host) {
        let links = self.net.links.iter();
        let dead = links.filter(|(_, link)| {
            let mut sides = link.sides.iter();
            sides.any(|side| side.host == host && side.state == State::Gone)
        });
        for number in dead.map(|(number, _)| *number).collect::<Vec<_>>() {
            let wait = self.chance.millis(0..KEEPALIVE_MS);
            self.later(self.now + wait, Event::KeepAlive(number));
        }
    }

    fn say_closed(&mut self, end: End, reason: &str) {
        let input = Input::Closed {
            link: end.link,
            reason: reason.to_owned(),
        };
        self.later(self.now, Event::Broker(end.who, input));
    }

    /// What the network should not have when nobody has anything to do: two links between two
    /// processes, or bytes that do not move.
    pub(crate) fn excess(&self) -> Option<String> {
        let mut pairs = BTreeSet::new();
        for link in self.net.links.values() {
            let [a, b] = &link.sides;
            let is_waiting = |side: &Side| !side.out.is_empty() && side.state == State::Open;
            if is_waiting(a) || is_waiting(b) {
                return Some(format!("bytes wait between {:?} and {:?}", a.end, b.end));
            }
            let is_open = [a, b].iter().all(|side| side.state == State::Open);
            let pair = (a.end.who.min(b.end.who), a.end.who.max(b.end.who));
            if is_open && !pairs.insert(pair) {
                return Some(format!("two links between {:?} and {:?}", a.end, b.end));
            }
        }
        None
    }

    pub(super) fn is_open(&self, end: End) -> bool {
        let Some(&(number, index)) = self.net.ends.get(&end) else {
            return false;
        };
        self.net.links[&number].sides[index].state == State::Open
    }

    /// Whether what goes from here to there does not get through, which counts once each time.
    fn feels_block(&mut self, from: Host, to: Host) -> bool {
        let (there, back) = ((from, to), (to, from));
        if from == to || !self.net.blocked.contains(&there) {
            return false;
        }
        if self.net.felt.insert(there) {
            let fault = match self.net.blocked.contains(&back) {
                true => Fault::CutBothWays,
                false => Fault::CutOneWay,
            };
            if fault == Fault::CutBothWays {
                self.net.felt.insert(back);
            }
            self.note(fault);
        }
        true
    }

    fn is_link_bad(&self, number: u64) -> bool {
        let [a, b] = self.net.links[&number].sides.each_ref().map(|it| it.host);
        self.is_network_bad() && !self.is_at_once(a, b)
    }

    /// A stock controller and its agent hear each other at once: what is measured between them is
    /// the agent's.
    fn is_at_once(&self, a: Host, b: Host) -> bool {
        self.header.controller == Maker::Stock && a != b
    }

    fn latency(&mut self, from: Host, to: Host) -> Duration {
        if self.is_at_once(from, to) {
            return Duration::ZERO;
        }
        let is_bad = self.is_network_bad();
        match (from == to, is_bad) {
            (true, false) => self.chance.micros(20..500),
            (false, false) => self.chance.micros(200..5000),
            (true, true) => self.chance.micros(20..20_000),
            (false, true) => match self.chance.below(20) {
                0 => {
                    self.note(Fault::BytesLate);
                    self.chance.millis(200..3000)
                }
                _ => self.chance.micros(500..200_000),
            },
        }
    }

    fn pipe(&mut self, number: u64, index: usize) -> &mut Pipe {
        &mut self.net.links.get_mut(&number).unwrap().sides[index].out
    }

    fn set_moving(&mut self, number: u64, index: usize, is_moving: bool) {
        self.pipe(number, index).is_moving = is_moving;
    }
}

/// What a process is lost with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Loss {
    /// Itself only: its system tells those at the other ends.
    Process,
    /// Its host: nobody tells anybody.
    Host,
}
