//! The peering endpoint: links, handshakes, subscriptions and routing as one state machine
//! (WIRE §4, §6).
//!
//! [`Endpoint`] is fed [`Input`]s and the time and hands out [`Output`]s. It owns no socket: the
//! caller opens, reads and writes links as told. Payloads are opaque bytes here.

mod establish;
mod handshake;
mod interface;
mod link;
mod outbox;
mod registry;
mod retry;
mod router;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use tracing::{info, warn};

pub use interface::{Input, LinkId, Options, Output, PeerAddr, PeerNetwork};

use crate::codec::frame::{FrameDecoder, put_frame};
use crate::codec::handshake::{DropConn, HandshakeMsg};
use crate::topic::Filter;
use crate::{ByteString, EndpointId, IdGen};
use handshake::{Handshake, hello};
use link::{Link, LinkState};
use outbox::Outbox;
use registry::Registry;
use retry::{Dials, Ended, Removed};

#[cfg(test)]
mod tests;

/// One Broker endpoint: all its links, its peers and its subscriptions.
#[derive(Debug)]
pub struct Endpoint {
    id: EndpointId,
    options: Options,
    ids: IdGen,
    filter: Filter,
    links: BTreeMap<LinkId, Link>,
    registry: Registry,
    dials: Dials,
    next_dialed: u64,
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
            links: BTreeMap::new(),
            registry: Registry::default(),
            dials: Dials::default(),
            next_dialed: 0,
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
            Input::Opened { link, remote } => self.on_opened(now, link, remote),
            Input::Bytes { link, chunk } => self.on_bytes(now, link, &chunk),
            Input::Sent { link, messages } => {
                if let Some(known) = self.links.get_mut(&link) {
                    known.outbox.sent(messages);
                    self.flush(link);
                }
            }
            Input::Closed { link, reason } => self.on_closed(now, link, &reason),
            Input::Subscribe { topic } => {
                if self.filter.extend(topic) {
                    self.announce();
                }
            }
            Input::Publish { topic, payload } => self.publish(topic, payload),
            Input::Unpeer { addr } => self.unpeer(now, &addr),
            Input::Shutdown => self.shutdown(now),
        }
        self.check_stopped();
    }

    /// A deadline of [`Self::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |link: &Link| link.deadline().is_some_and(|at| at <= now);
        let links: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| due(link))
            .map(|(id, _)| *id)
            .collect();
        for id in links {
            let Some(link) = self.links.get(&id) else {
                continue;
            };
            if link.peering().is_some() {
                self.end(now, id, "no answer to our goodbye", Ended::Cut);
            } else {
                warn!(peer = %link.label(), "handshake timed out");
                self.end(now, id, "handshake timed out", Ended::Failed);
            }
        }
        self.dial_due(now);
        self.check_stopped();
    }

    /// What the caller must do or know next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.links
            .values()
            .filter_map(Link::deadline)
            .chain(self.dials.next_due())
            .min()
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
        let outbox = Outbox::new(self.options.outbox);
        Link {
            remote,
            dialed,
            decoder: FrameDecoder::default(),
            outbox,
            state,
        }
    }

    fn on_opened(&mut self, now: Instant, id: LinkId, remote: SocketAddr) {
        let dialed = self.links.remove(&id).and_then(|link| link.dialed);
        let first = match (id, &dialed) {
            (LinkId::Dialed(_), None) => return self.out.push_back(Output::Close { link: id }),
            (LinkId::Dialed(_), Some(_)) => hello(self.id),
            (LinkId::Accepted(_), _) => HandshakeMsg::Probe,
        };
        let state = if dialed.is_some() {
            Handshake::Dialed
        } else {
            Handshake::Accepted
        };
        let deadline = now + self.options.handshake_timeout;
        let state = LinkState::Handshake {
            state,
            announced: Filter::default(),
            deadline,
        };
        let link = self.new_link(remote, dialed, state);
        self.links.insert(id, link);
        if self.life != Life::Running {
            return self.end(now, id, "shutting down", Ended::Failed);
        }
        self.send(id, &first);
    }

    fn on_bytes(&mut self, now: Instant, id: LinkId, chunk: &[u8]) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if matches!(link.state, LinkState::Dialing | LinkState::Closing) {
            return;
        }
        link.decoder.push(chunk);
        loop {
            let Some(link) = self.links.get_mut(&id) else {
                return;
            };
            let limit = match link.state {
                LinkState::Handshake { .. } => self.options.limits.handshake_frame,
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
                    let how = link.peering().map_or(Ended::Failed, |_| Ended::Cut);
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
            LinkState::Peered(peering) if peering.leaving.is_some() => Ended::Cut,
            LinkState::Peered(_) => Ended::Lost,
            LinkState::Dialing
            | LinkState::Handshake { .. }
            | LinkState::Parked { .. }
            | LinkState::Closing => Ended::Failed,
        };
        // A dialed link's end is told as `PeerUnreachable`.
        if matches!(
            (id, &link.state),
            (LinkId::Accepted(_), LinkState::Handshake { .. })
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
        if let LinkState::Peered(peering) = state {
            info!(peer = %peering.peer, reason, "peering ended");
            let reason = reason.to_owned();
            self.out.push_back(Output::PeerDown {
                id: peering.peer,
                reason,
            });
        }
        if let Some(peer) = claimed {
            self.release(now, id, peer);
        }
        if let Some(addr) = dialed {
            let wanted = self.dials.ended(now, &addr, id, how);
            if wanted && how == Ended::Failed {
                let reason = reason.to_owned();
                self.out.push_back(Output::PeerUnreachable { addr, reason });
            }
        }
        self.dial_due(now);
    }

    fn release(&mut self, now: Instant, id: LinkId, peer: EndpointId) {
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
            self.dials.uncover(now, peer);
        }
    }

    fn unpeer(&mut self, now: Instant, addr: &PeerAddr) {
        let link = match self.dials.remove(addr) {
            Some(Removed::Link(link)) => Some(link),
            Some(Removed::Peer(peer)) => self.registry.link(peer),
            None => None,
        };
        if let Some(link) = link {
            self.leave(now, link);
        }
    }

    fn shutdown(&mut self, now: Instant) {
        if self.life != Life::Running {
            return;
        }
        self.life = Life::Leaving;
        self.dials.clear();
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        links.into_iter().for_each(|link| self.leave(now, link));
    }

    /// Leaves a peer in good order, or ends what is not yet a peering.
    fn leave(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        match &link.state {
            LinkState::Peered(_) => self.say_bye(now, id),
            LinkState::Handshake { .. } | LinkState::Parked { .. } => {
                self.end(now, id, "shutting down", Ended::Failed);
            }
            LinkState::Dialing | LinkState::Closing => {
                self.out.push_back(Output::Close { link: id });
            }
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
        self.send_frame(id, put_frame(|out| msg.put(out)));
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

    fn send_frame(&mut self, id: LinkId, frame: Bytes) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if let Some(dropped) = link.outbox.push(frame)
            && dropped.is_power_of_two()
        {
            warn!(peer = %link.label(), dropped, "peer does not read; oldest messages dropped");
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
    }
}
