//! The peering endpoint: links, handshakes, subscriptions and routing as one state machine
//! (WIRE §4, §6).
//!
//! [`Endpoint`] is fed [`Input`]s and the time and hands out [`Output`]s. It owns no socket: the
//! caller opens, reads and writes links as told. Payloads are opaque bytes here.

mod counters;
mod establish;
mod handshake;
mod interest;
mod interface;
mod leave;
mod link;
mod outbox;
mod pending;
mod registry;
mod retry;
mod router;
mod routes;
mod timers;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tracing::{info, warn};

pub use counters::{Counters, Cut, PeerCounters, Refused};
pub use interface::{
    EmptyPrefix, Forwarding, Input, LinkId, Options, Output, OverflowPolicy, PeerAddr, PeerNetwork,
    Readable,
};

use crate::codec::frame::{FrameDecoder, put_frame};
use crate::codec::handshake::{DropConn, HandshakeMsg};
use crate::topic::{Filter, Topic};
use crate::{ByteString, EndpointId, IdGen, PeerCertificate};
use handshake::{Handshake, hello};
use link::{Establishing, Generation, Link, LinkState, Question};
use outbox::{Frame, Outbox, Pushed};
use registry::Registry;
use retry::{Dials, Ended};
use routes::Routes;
use timers::Timers;

#[cfg(test)]
mod tests;

/// A hello, and a filter of a few topics.
const HANDSHAKE_LEN: usize = 120;

/// Outputs that memory is kept for when all is done.
const CALM: usize = 256;

/// One Broker endpoint: all its links, its peers and its subscriptions.
#[derive(Debug)]
pub struct Endpoint {
    id: EndpointId,
    options: Options,
    ids: IdGen,
    filter: Filter,
    generation: Generation,
    links: BTreeMap<LinkId, Link>,
    registry: Registry,
    routes: Routes,
    dials: Dials,
    next_dialed: u64,
    timers: Timers,
    /// What is over; [`Self::counters`] adds the peers of the moment.
    counters: Counters,
    life: Life,
    out: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    Running,
    Leaving,
    Stopped,
}

impl Endpoint {
    /// An endpoint with this id and no links. `ids` names its goodbyes.
    pub fn new(id: EndpointId, options: Options, ids: IdGen) -> Self {
        Self {
            id,
            options,
            ids,
            filter: Filter::default(),
            generation: Generation::default(),
            links: BTreeMap::new(),
            registry: Registry::default(),
            routes: Routes::default(),
            dials: Dials::default(),
            next_dialed: 0,
            timers: Timers::default(),
            counters: Counters::default(),
            life: Life::Running,
            out: VecDeque::new(),
        }
    }

    /// This endpoint's id.
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// The established peers and how they are reached.
    pub fn peers(&self) -> impl Iterator<Item = (EndpointId, PeerNetwork)> {
        self.links.values().filter_map(|link| {
            let peering = link.peering()?;
            Some((peering.peer, network(link)))
        })
    }

    /// What happened since the endpoint was made, all peers together.
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters;
        for peering in self.links.values().filter_map(Link::peering) {
            counters.messages += peering.counters;
        }
        counters
    }

    /// What came from and went to one peer since it is established.
    pub fn peer_counters(&self, peer: EndpointId) -> Option<PeerCounters> {
        let link = self.links.get(&self.registry.link(peer)?)?;
        link.peering().map(|peering| peering.counters)
    }

    /// How many messages wait in the queue of the peer that is furthest behind, not counting those
    /// that the caller was told to send.
    pub fn backlog(&self) -> usize {
        let waiting = self.links.values().map(|link| link.outbox.len());
        waiting.max().unwrap_or(0)
    }

    /// Whether a peer wants this topic. If not, publishing on it does nothing, and the caller need
    /// not even write the message.
    pub fn is_wanted(&mut self, topic: &Topic) -> bool {
        !self.routes.matching(topic).is_empty()
    }

    /// One thing happened. `now` never goes back.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Listen { addr } => self.out.push_back(Output::Listen { addr }),
            Input::Dial { addr, retry } => {
                if self.life == Life::Running {
                    self.dials.add(now, addr, retry);
                    self.dial_due(now);
                }
            }
            Input::Opened {
                link,
                remote,
                certificate,
            } => self.on_opened(now, link, remote, certificate),
            Input::Bytes { link, chunk } => self.on_bytes(now, link, chunk),
            Input::Sent { link, messages } => {
                if let Some(known) = self.links.get_mut(&link)
                    && !matches!(known.state, LinkState::Closing)
                {
                    known.outbox.sent(messages);
                    self.flush(link);
                }
            }
            Input::Closed { link, reason } => self.on_closed(now, link, &reason),
            Input::Subscribe { topic } => {
                if self.filter.extend(topic) {
                    self.generation.advance();
                    self.announce();
                }
            }
            Input::Publish { topic, payload } => self.publish(now, topic, payload),
            Input::PublishFrame { topic, frame } => self.publish_frame(now, &topic, frame),
            Input::PublishParts { topic, parts } => self.publish_parts(now, &topic, parts),
            Input::Unpeer { addr } => self.unpeer(now, &addr),
            Input::Restrict { peer, to } => self.restrict(peer, to),
            Input::Expel { peer, reason } => self.expel(now, peer, &reason),
            Input::CheckAlive { peer } => self.check_alive(now, peer),
            Input::Shutdown => self.shutdown(now),
        }
        self.check_stopped();
    }

    /// A deadline of [`Self::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(link) = self.timers.pop_due(now) {
            self.on_deadline(now, link);
        }
        self.dial_due(now);
        self.check_stopped();
    }

    /// What the caller must do or know next.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.out.pop_front();
        if output.is_none() {
            // A hundred messages for as many peers were ten thousand outputs.
            self.out.shrink_to(CALM);
        }
        output
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = self.timers.next().into_iter();
        deadlines.chain(self.dials.next_due()).min()
    }

    fn on_deadline(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        match &link.state {
            LinkState::Handshake(_) => {
                warn!(peer = %link.label(), "handshake timed out");
                self.counters.refused.timed_out += 1;
                self.end(now, id, "handshake timed out", Ended::Failed);
            }
            LinkState::Peered(peering) => match &peering.question {
                Question::Bye(_) => self.end(now, id, "no answer to our goodbye", Ended::Cut),
                Question::Alive(_) => {
                    warn!(peer = %link.label(), "dead link, its peer connects anew");
                    self.counters.cut.replaced += 1;
                    self.end(now, id, "no answer to our ping", Ended::Lost);
                }
                Question::None => {}
            },
            LinkState::Dialing | LinkState::Parked { .. } | LinkState::Closing => {}
        }
    }

    fn dial_due(&mut self, now: Instant) {
        let mut link = LinkId::Dialed(self.next_dialed);
        while let Some(addr) = self.dials.pop_due(now, link) {
            self.out.push_back(Output::Dial {
                link,
                addr: addr.clone(),
            });
            let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
            self.links
                .insert(link, self.new_link(nowhere, Some(addr), LinkState::Dialing));
            self.next_dialed += 1;
            link = LinkId::Dialed(self.next_dialed);
        }
    }

    fn new_link(&self, remote: SocketAddr, dialed: Option<PeerAddr>, state: LinkState) -> Link {
        let outbox = Outbox::new(&self.options);
        Link {
            remote,
            dialed,
            certificate: None,
            decoder: FrameDecoder::default(),
            outbox,
            state,
        }
    }

    fn on_opened(
        &mut self,
        now: Instant,
        id: LinkId,
        remote: SocketAddr,
        certificate: Option<Arc<PeerCertificate>>,
    ) {
        let dialed = match (id, self.links.get_mut(&id)) {
            (LinkId::Dialed(_), None) => return self.out.push_back(Output::Close { link: id }),
            (LinkId::Accepted(_), None) => None,
            (_, Some(link)) if matches!(link.state, LinkState::Dialing) => link.dialed.take(),
            // Told to close in the meantime.
            (_, Some(_)) => return,
        };
        let (state, first) = if dialed.is_some() {
            (Handshake::Dialed, hello(self.id))
        } else {
            (Handshake::Accepted, HandshakeMsg::Probe)
        };
        let announced = Generation::default();
        let state = LinkState::Handshake(Establishing { state, announced });
        if dialed.is_none() && self.life == Life::Running {
            self.make_room(now, remote);
        }
        let link = Link {
            certificate,
            ..self.new_link(remote, dialed, state)
        };
        self.links.insert(id, link);
        if self.life != Life::Running {
            return self.turn_away(now, id);
        }
        self.timers.set(id, now + self.options.handshake_timeout);
        self.send(id, &first);
    }

    fn on_bytes(&mut self, now: Instant, id: LinkId, chunk: Bytes) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if matches!(link.state, LinkState::Dialing | LinkState::Closing) {
            return;
        }
        link.decoder.push_bytes(chunk);
        loop {
            let Some(link) = self.links.get_mut(&id) else {
                return;
            };
            let limit = match link.state {
                LinkState::Handshake(_) => self.options.limits.handshake_frame,
                LinkState::Peered(_) => self.options.limits.frame,
                // What a parked peer says is kept unread; it has nothing to say but drop_conn.
                LinkState::Dialing | LinkState::Parked { .. } | LinkState::Closing => {
                    return self.check_parked(now, id);
                }
            };
            match link.decoder.next_frame(limit) {
                Ok(None) => return,
                Ok(Some(frame)) => self.on_frame(now, id, frame),
                Err(error) => {
                    warn!(peer = %link.label(), %error, "closing the link");
                    let how = if link.peering().is_some() {
                        self.counters.cut.oversized += 1;
                        Ended::Cut
                    } else {
                        self.counters.refused.oversized += 1;
                        Ended::Failed
                    };
                    return self.end(now, id, &error.to_string(), how);
                }
            }
        }
    }

    /// A parked link may not make us hold more than one handshake frame.
    fn check_parked(&mut self, now: Instant, id: LinkId) {
        let limit = self.options.limits.handshake_frame;
        let Some(link) = self.links.get(&id) else {
            return;
        };
        if matches!(link.state, LinkState::Parked { .. }) && link.decoder.pending().len() > limit {
            self.counters.refused.oversized += 1;
            self.end(
                now,
                id,
                "sends while its handshake is on hold",
                Ended::Failed,
            );
        }
    }

    fn on_closed(&mut self, now: Instant, id: LinkId, reason: &str) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let how = match &link.state {
            LinkState::Peered(peering) if peering.is_leaving() => Ended::Cut,
            LinkState::Peered(_) => Ended::Lost,
            LinkState::Dialing
            | LinkState::Handshake(_)
            | LinkState::Parked { .. }
            | LinkState::Closing => Ended::Failed,
        };
        // A dialed link's end is told as `PeerUnreachable`.
        if matches!(
            (id, &link.state),
            (LinkId::Accepted(_), LinkState::Handshake(_))
        ) {
            info!(peer = %link.label(), reason, "link closed during the handshake");
        }
        self.teardown(now, id, reason, how);
        self.links.remove(&id);
    }

    /// Ends a link for whatever it was until now and has the caller close it.
    fn end(&mut self, now: Instant, id: LinkId, reason: &str, how: Ended) {
        self.out.push_back(Output::Close { link: id });
        self.teardown(now, id, reason, how);
    }

    fn teardown(&mut self, now: Instant, id: LinkId, reason: &str, how: Ended) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let claimed = link.claimed();
        let state = std::mem::replace(&mut link.state, LinkState::Closing);
        let dialed = link.dialed.take();
        self.timers.clear(id);
        if let LinkState::Peered(peering) = state {
            self.counters.messages += peering.counters;
            self.routes.remove(id, &peering.wants);
            info!(peer = %peering.peer, reason, "peering ended");
            let reason = reason.to_owned();
            self.out.push_back(Output::PeerDown {
                id: peering.peer,
                reason,
            });
        }
        if let Some(peer) = claimed {
            self.release(now, id, peer, how);
        }
        if let Some(addr) = dialed
            && self.dials.ended(now, &addr, id, how)
        {
            self.on_dial_ended(addr, reason, how);
        }
        self.dial_due(now);
    }

    fn on_dial_ended(&mut self, addr: PeerAddr, reason: &str, how: Ended) {
        match how {
            Ended::Failed => {
                let reason = reason.to_owned();
                self.out.push_back(Output::PeerUnreachable { addr, reason });
            }
            Ended::Redundant(peer) => {
                info!(%addr, %peer, "the peer at this address is connected already");
                self.adopt(addr, peer);
            }
            Ended::Lost | Ended::Cut | Ended::Overflow => {}
        }
    }

    /// A link that serves no address takes over one whose own link was redundant, so that its loss
    /// leads to a redial (WIRE §4.4).
    fn adopt(&mut self, addr: PeerAddr, peer: EndpointId) {
        let Some(id) = self.registry.link(peer) else {
            return;
        };
        if let Some(link) = self.links.get_mut(&id)
            && link.dialed.is_none()
        {
            self.dials.serve(&addr, id);
            link.dialed = Some(addr);
        }
    }

    fn release(&mut self, now: Instant, id: LinkId, peer: EndpointId, how: Ended) {
        for parked in self.registry.release(peer, id) {
            self.send_drop(parked, 40, "the handshake it waited for failed".into());
            self.end(
                now,
                parked,
                "the handshake it waited for failed",
                Ended::Failed,
            );
        }
        if self.registry.link(peer).is_none() {
            self.dials.uncover(now, peer, how);
        }
    }

    fn check_stopped(&mut self) {
        if self.life == Life::Leaving && self.links.is_empty() {
            self.life = Life::Stopped;
            self.out.push_back(Output::Stopped);
        }
    }

    fn set_state(&mut self, id: LinkId, state: LinkState) {
        if let Some(link) = self.links.get_mut(&id) {
            link.state = state;
        }
    }

    fn send(&mut self, id: LinkId, msg: &HandshakeMsg) {
        if let Some(link) = self.links.get_mut(&id) {
            link.outbox
                .push_kept(put_frame(HANDSHAKE_LEN, |out| msg.put(out)));
        }
        self.flush(id);
    }

    fn send_drop(&mut self, id: LinkId, code: u8, description: ByteString) {
        let sender = self.id;
        self.send(
            id,
            &HandshakeMsg::DropConn(DropConn {
                sender,
                code,
                description,
            }),
        );
    }

    /// Queues a message for a peer, within the limits of its outbox.
    fn send_message(&mut self, now: Instant, id: LinkId, frame: Frame) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let pushed = link.outbox.push(frame);
        let Some(peering) = link.peering_mut() else {
            return;
        };
        peering.counters.sent += 1;
        match pushed {
            Pushed::Queued => {}
            Pushed::Dropped(count) => {
                let before = peering.counters.overflowed;
                peering.counters.overflowed += count;
                let (peer, dropped) = (peering.peer, peering.counters.overflowed);
                if before.checked_ilog2() != dropped.checked_ilog2() {
                    warn!(%peer, dropped, "peer does not read, messages for it are dropped");
                }
            }
            Pushed::Full => {
                warn!(peer = %peering.peer, "peer does not read, its link is cut");
                peering.counters.overflowed += 1;
                self.counters.cut.overflow += 1;
                return self.end(now, id, "peer does not read", Ended::Overflow);
            }
        }
        self.flush(id);
    }

    fn flush(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        while let Some(bytes) = link.outbox.pop() {
            self.out.push_back(Output::Send { link: id, bytes });
        }
    }
}

fn network(link: &Link) -> PeerNetwork {
    PeerNetwork {
        remote: link.remote,
        dialed: link.dialed.clone(),
        certificate: link.certificate.clone(),
    }
}
