//! Phases 1 and 2: from the first frame of a link to an established peering (WIRE §4).

use std::time::Instant;

use bytes::Bytes;
use tracing::{debug, info, warn};

use super::handshake::{Handshake, HandshakeError, Local, Step};
use super::link::{LinkState, Peering, Strikes};
use super::registry::Verdict;
use super::retry::Ended;
use super::{Endpoint, Life, LinkId, Options, Output, network};
use crate::EndpointId;
use crate::codec::handshake::HandshakeMsg;
use crate::topic::Filter;

impl Endpoint {
    pub(super) fn on_frame(&mut self, now: Instant, id: LinkId, frame: Bytes) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        match std::mem::replace(&mut link.state, LinkState::Closing) {
            LinkState::Handshake {
                state,
                announced,
                deadline,
            } => {
                // Failures below find the peer that this handshake had claimed in the registry.
                let claimed = state.peer();
                let me = Local {
                    id: self.id,
                    filter: &self.filter,
                };
                let step = decode(&frame, &self.options).and_then(|msg| state.step(msg, me));
                match step {
                    Ok(step) => self.advance(now, id, step, announced, deadline),
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

    fn advance(
        &mut self,
        now: Instant,
        id: LinkId,
        step: Step,
        announced: Filter,
        deadline: Instant,
    ) {
        match step {
            Step::Next { state, send } => self.proceed(id, state, send, announced, deadline),
            Step::Claim {
                peer,
                role,
                state,
                send,
            } => match self.registry.claim(peer, role, id) {
                Verdict::Go => self.proceed(id, state, send, announced, deadline),
                Verdict::Park => {
                    debug!(%peer, link = %id, "one more link to a connecting peer is on hold");
                    self.set_state(id, LinkState::Parked { peer });
                }
                Verdict::Drop { code, description } => {
                    debug!(%peer, link = %id, "one more link to a known peer is refused");
                    self.send_drop(id, code, description.into());
                    let known = code == 39;
                    let how = if known {
                        Ended::Redundant(peer)
                    } else {
                        Ended::Failed
                    };
                    self.end(now, id, description, how);
                }
            },
            Step::Done { peer, filter, send } => {
                self.set_state(
                    id,
                    LinkState::Peered(Peering {
                        peer,
                        filter,
                        announced,
                        leaving: None,
                        strikes: Strikes::default(),
                    }),
                );
                send.iter().for_each(|msg| self.send(id, msg));
                self.on_peered(now, id, peer);
            }
        }
    }

    fn proceed(
        &mut self,
        id: LinkId,
        state: Handshake,
        send: Vec<HandshakeMsg>,
        announced: Filter,
        deadline: Instant,
    ) {
        let tells_filter = |msg: &HandshakeMsg| {
            matches!(
                msg,
                HandshakeMsg::OriginatorSyn(_) | HandshakeMsg::ResponderSynAck(_)
            )
        };
        let told = send.iter().any(tells_filter);
        let announced = if told { self.filter.clone() } else { announced };
        self.set_state(
            id,
            LinkState::Handshake {
                state,
                announced,
                deadline,
            },
        );
        send.iter().for_each(|msg| self.send(id, msg));
    }

    fn on_peered(&mut self, now: Instant, id: LinkId, peer: EndpointId) {
        for parked in self.registry.peered(peer) {
            self.send_drop(parked, 39, "redundant connection".into());
            self.end(now, parked, "redundant connection", Ended::Redundant(peer));
        }
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let network = network(link);
        info!(%peer, remote = %network.remote, "peered");
        self.out.push_back(Output::PeerUp { id: peer, network });
        if self.life == Life::Running {
            self.announce();
        } else {
            self.say_bye(now, id);
        }
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
        if let Some((code, description)) = error.drop_conn() {
            self.send_drop(id, code, description);
        }
        // `on_frame` has taken the state away, so the claim is released here.
        if let Some(peer) = claimed {
            self.release(now, id, peer);
        }
        self.end(now, id, &error.to_string(), Ended::Failed);
    }
}

fn decode(frame: &Bytes, options: &Options) -> Result<HandshakeMsg, HandshakeError> {
    if frame.is_empty() {
        return Err(HandshakeError::EmptyFrame);
    }
    HandshakeMsg::decode(frame, &options.limits)
        .map_err(|error| HandshakeError::undecodable(frame, error))
}
