//! Who may do what at a controller (API §18).

use std::time::Instant;

use broker_proto::peering::{self, PeerNetwork};
use broker_proto::zeek::Event;
use broker_proto::{EndpointId, Topic};
use bytes::Bytes;
use tracing::{debug, info};
use zeek_client_compat::hub::{self, ClientId};

use super::{ControllerInput, ControllerProcess, Output};
use crate::api::CONTROLLER_TOPIC;
use crate::api::agent::AgentResponse;
use crate::audit::cut;
use crate::controller::ledger::Asker;
use crate::policy::Policy;
use crate::policy::audit::{What, Who};
use crate::policy::gate::{Change, Refusal};

impl ControllerProcess {
    /// A peer that may do nothing is not heard of any further.
    pub(super) fn on_peer_up(&mut self, now: Instant, id: EndpointId, network: PeerNetwork) {
        match self.gate.arrive(id, &network) {
            Ok(to) => {
                if to.is_some() {
                    let restrict = peering::Input::Restrict { peer: id, to };
                    self.endpoint.handle(now, restrict);
                }
                let input = ControllerInput::PeerUp { id, network };
                self.controller.handle(now, input);
            }
            Err(refusal) => self.expel(now, id, refusal),
        }
    }

    /// Who was told that a name is another's may have it once that one is gone.
    pub(super) fn on_peer_down(&mut self, now: Instant, id: EndpointId, reason: String) {
        self.put_off.remove(&id);
        let rivals = self.gate.leave(id);
        let input = ControllerInput::PeerDown { id, reason };
        self.controller.handle(now, input);
        for rival in rivals {
            if let Some((topic, payload)) = self.put_off.remove(&rival) {
                debug!(peer = %rival, %topic, "the name is free, its hello counts after all");
                self.on_message(now, &topic, &payload, rival);
            }
        }
    }

    /// Whether a message is in its sender's own name, which a hello may give it.
    pub(super) fn identify(
        &mut self,
        now: Instant,
        from: EndpointId,
        instance: &str,
        message: &AgentResponse,
    ) -> Result<(), Refusal> {
        let AgentResponse::Hello { .. } = message else {
            return self.gate.speak(from, instance);
        };
        let to = self.gate.greet(from, instance)?;
        if to.is_some() {
            let restrict = peering::Input::Restrict { peer: from, to };
            self.endpoint.handle(now, restrict);
        }
        Ok(())
    }

    /// A message in another's name comes to nothing; a hello may count later.
    pub(super) fn silence(
        &mut self,
        now: Instant,
        from: EndpointId,
        topic: &Topic,
        event: &str,
        payload: &[u8],
        refusal: Refusal,
    ) {
        if let Refusal::Name {
            holder: Some(holder),
            ..
        } = &refusal
        {
            let peer = *holder;
            let payload = Bytes::copy_from_slice(payload);
            self.put_off.insert(from, (topic.clone(), payload));
            self.endpoint
                .handle(now, peering::Input::CheckAlive { peer });
        }
        let who = self.gate.who(from);
        self.refused(now, who, published(topic, event), refusal);
    }

    /// A peer's message comes to nothing; a request is answered.
    pub(super) fn turn_down(
        &mut self,
        now: Instant,
        from: EndpointId,
        topic: &Topic,
        event: &Event,
        refusal: Refusal,
    ) {
        let who = self.gate.who(from);
        let reason = self.refused(now, who, published(topic, &event.name), refusal);
        if CONTROLLER_TOPIC.is_prefix_of(topic) {
            self.decline(now, Asker::Peer(from), event, reason);
        }
    }

    /// The same for a client's.
    pub(super) fn turn_down_client(
        &mut self,
        now: Instant,
        client: ClientId,
        who: Who,
        topic: &Topic,
        event: &Event,
        why: Refusal,
    ) {
        let reason = self.refused(now, who, published(topic, &event.name), why);
        self.decline(now, Asker::Client(client), event, reason);
    }

    /// A client that may not even look is let go as soon as it comes.
    pub(super) fn on_websocket(&mut self, now: Instant, input: hub::Input) {
        let opened = match &input {
            hub::Input::Opened { client, .. } => Some(*client),
            hub::Input::Text { .. }
            | hub::Input::TooLong { .. }
            | hub::Input::Unsent { .. }
            | hub::Input::Closed { .. }
            | hub::Input::Publish { .. }
            | hub::Input::Reject { .. }
            | hub::Input::Expel { .. }
            | hub::Input::Tell { .. }
            | hub::Input::Shutdown => None,
        };
        self.hub.handle(now, input);
        if let Some(client) = opened {
            self.look_at(now, client);
        }
    }

    fn look_at(&mut self, now: Instant, client: ClientId) {
        let Some(from) = self.hub.client(client).cloned() else {
            return;
        };
        if !self.gate.admits_client(&from) {
            let who = self.gate.who_client(client, &from);
            let reason = self.refused(now, who, What::Connect, Refusal::Connection);
            self.hub.handle(now, hub::Input::Expel { client, reason });
        }
    }

    /// A client wanted to publish where none may, and was told so.
    pub(super) fn on_refused(
        &mut self,
        now: Instant,
        topic: &Topic,
        event: Option<String>,
        reason: String,
        client: ClientId,
    ) {
        if let Some(from) = self.hub.client(client) {
            let who = self.gate.who_client(client, from);
            let what = What::Publish {
                topic: cut(&topic.to_string()).to_owned(),
                event: cut(&event.unwrap_or_default()).to_owned(),
            };
            self.refused(now, who, what, Refusal::Event(cut(&reason).to_owned()));
        }
    }

    /// A peer's envelope was dropped before anybody read what is in it.
    pub(super) fn on_misbehaved(&mut self, now: Instant, id: EndpointId, reason: String) {
        let who = self.gate.who(id);
        self.refused(now, who, What::Message, Refusal::Event(reason));
    }

    /// Other rules count from here on, also for who is connected already.
    pub(super) fn on_policy(&mut self, now: Instant, policy: Policy) {
        info!(rules = policy.rules.len(), "other rules are in force");
        for (peer, change) in self.gate.replace(policy) {
            match change {
                Change::Restrict(to) => {
                    let restrict = peering::Input::Restrict { peer, to };
                    self.endpoint.handle(now, restrict);
                }
                Change::Expel(refusal) => self.expel(now, peer, refusal),
            }
        }
        let clients: Vec<ClientId> = self.hub.ids().collect();
        for client in clients {
            self.look_at(now, client);
        }
    }

    fn expel(&mut self, now: Instant, peer: EndpointId, refusal: Refusal) {
        let who = self.gate.who(peer);
        let reason = self.refused(now, who, What::Connect, refusal);
        self.endpoint
            .handle(now, peering::Input::Expel { peer, reason });
    }

    /// Tells of a refusal wherever it is told; returns the reason.
    fn refused(&mut self, now: Instant, who: Who, what: What, refusal: Refusal) -> String {
        let audit = self.gate.refuse(now, who, what, refusal);
        let reason = audit.reason.clone();
        self.outputs.push_back(Output::Audit(audit));
        reason
    }
}

fn published(topic: &Topic, event: &str) -> What {
    What::Publish {
        topic: cut(&topic.to_string()).to_owned(),
        event: cut(event).to_owned(),
    }
}

#[cfg(test)]
mod tests;
