//! Phases 1 and 2: from the first frame of a link to an established peering (WIRE §4).

use std::time::Instant;

use bytes::Bytes;
use tracing::{debug, info, warn};

use super::handshake::{Handshake, HandshakeError, Local, Step};
use super::interest::{self, Interest};
use super::link::{Establishing, Generation, LinkState, Peering, Question, Strikes};
use super::registry::Verdict;
use super::retry::Ended;
use super::{Endpoint, LinkId, Options, Output, PeerCounters, network};
use crate::EndpointId;
use crate::codec::handshake::HandshakeMsg;
use crate::topic::Filter;

impl Endpoint {
    pub(super) fn on_frame(&mut self, now: Instant, id: LinkId, frame: Bytes) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        match std::mem::replace(&mut link.state, LinkState::Closing) {
            LinkState::Handshake(Establishing { state, announced }) => {
                // Failures below find the peer that this handshake had claimed in the registry.
                let claimed = state.peer();
                let me = Local {
                    id: self.id,
                    filter: &self.filter,
                };
                let step = decode(&frame, &self.options).and_then(|msg| state.step(msg, me));
                match step {
                    Ok(step) => self.advance(now, id, step, announced),
                    Err(error) => self.fail(now, id, claimed, &error),
                }
            }
            LinkState::Peered(peering) => {
                link.state = LinkState::Peered(peering);
                if !frame.is_empty() {
                    self.on_envelope(now, id, &frame);
                }
            }
            state @ (LinkState::Dialing | LinkState::Parked { .. } | LinkState::Closing) => {
                link.state = state;
            }
        }
    }

    fn advance(&mut self, now: Instant, id: LinkId, step: Step, announced: Generation) {
        match step {
            Step::Next { state, send } => self.proceed(id, state, &send, announced),
            Step::Claim {
                peer,
                role,
                state,
                send,
            } => match self.registry.claim(peer, role, id) {
                Verdict::Go => self.proceed(id, state, &send, announced),
                Verdict::Park => {
                    debug!(%peer, link = %id, "one more link to a connecting peer is on hold");
                    self.timers.clear(id);
                    self.set_state(id, LinkState::Parked { peer });
                }
                Verdict::Drop { code, description } => {
                    self.refuse(now, id, peer, code, description);
                    self.check_alive(now, peer);
                }
            },
            Step::Done { peer, filter, send } => {
                self.establish(id, peer, filter, announced);
                send.iter().for_each(|msg| self.send(id, msg));
                self.on_peered(now, id, peer);
            }
        }
    }

    fn proceed(
        &mut self,
        id: LinkId,
        state: Handshake,
        send: &[HandshakeMsg],
        announced: Generation,
    ) {
        let tells_filter = |msg: &HandshakeMsg| {
            matches!(
                msg,
                HandshakeMsg::OriginatorSyn(_) | HandshakeMsg::ResponderSynAck(_)
            )
        };
        let announced = if send.iter().any(tells_filter) {
            self.generation
        } else {
            announced
        };
        let running = Establishing { state, announced };
        self.set_state(id, LinkState::Handshake(running));
        send.iter().for_each(|msg| self.send(id, msg));
    }

    /// Turns down one more link to a peer that is connecting or connected (WIRE §4.4).
    fn refuse(
        &mut self,
        now: Instant,
        id: LinkId,
        peer: EndpointId,
        code: u8,
        description: &'static str,
    ) {
        debug!(%peer, link = %id, code, "one more link to a known peer is refused");
        self.counters.refused.redundant += 1;
        self.send_drop(id, code, description.into());
        // The responder's refusal counts as failure: the originator does not know of a link.
        let how = if code == 39 {
            Ended::Redundant(peer)
        } else {
            Ended::Failed
        };
        self.end(now, id, description, how);
    }

    fn establish(&mut self, id: LinkId, peer: EndpointId, filter: Filter, announced: Generation) {
        self.timers.clear(id);
        let peering = Peering {
            peer,
            wants: Interest::from(filter),
            readable: None,
            announced,
            question: Question::None,
            strikes: Strikes::default(),
            counters: PeerCounters::default(),
        };
        self.routes.add(id, &peering.wants);
        self.set_state(id, LinkState::Peered(peering));
    }

    fn on_peered(&mut self, now: Instant, id: LinkId, peer: EndpointId) {
        for parked in self.registry.peered(peer) {
            self.refuse(now, parked, peer, 39, "redundant connection");
        }
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let network = network(link);
        info!(%peer, remote = %network.remote, "peered");
        self.out.push_back(Output::PeerUp { id: peer, network });
        self.announce_to(id);
    }

    fn fail(
        &mut self,
        now: Instant,
        id: LinkId,
        claimed: Option<EndpointId>,
        error: &HandshakeError,
    ) {
        if let HandshakeError::Dropped(drop) = error {
            let known = self
                .registry
                .link(drop.sender)
                .is_some_and(|link| link != id);
            if drop.code == 39 && known {
                self.counters.refused.by_peer += 1;
                return self.end(
                    now,
                    id,
                    "redundant connection",
                    Ended::Redundant(drop.sender),
                );
            }
        }
        if let Some(link) = self.links.get(&id) {
            warn!(peer = %link.label(), %error, "handshake failed");
        }
        *error.counter(&mut self.counters.refused) += 1;
        if let Some((code, description)) = error.drop_conn() {
            self.send_drop(id, code, description);
        }
        // `on_frame` has taken the state away, so the claim is released here.
        if let Some(peer) = claimed {
            self.release(now, id, peer, Ended::Failed);
        }
        self.end(now, id, &error.to_string(), Ended::Failed);
    }
}

fn decode(frame: &Bytes, options: &Options) -> Result<HandshakeMsg, HandshakeError> {
    if frame.is_empty() {
        return Err(HandshakeError::EmptyFrame);
    }
    let msg = HandshakeMsg::decode(frame, &options.limits)
        .map_err(|error| HandshakeError::undecodable(frame, error))?;
    if let HandshakeMsg::OriginatorSyn(filter) | HandshakeMsg::ResponderSynAck(filter) = &msg {
        interest::admit(filter, options)?;
    }
    Ok(msg)
}
