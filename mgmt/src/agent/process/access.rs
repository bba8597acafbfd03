//! Who may do what at an agent (API §18).

use std::time::Instant;

use broker_proto::peering::{self, PeerNetwork};
use broker_proto::zeek::Event;
use broker_proto::{EndpointId, Topic};
use tracing::info;

use super::{AgentInput, AgentOutput, AgentProcess};
use crate::api::node::NodeResponse;
use crate::policy::Policy;
use crate::policy::audit::{What, Who};
use crate::policy::gate::{Change, Refusal};

impl AgentProcess {
    /// Other rules count from here on, also for who is connected already.
    pub fn replace_policy(&mut self, now: Instant, policy: Policy) {
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
        self.drain(now);
    }

    /// A peer that may do nothing is not heard of any further.
    pub(super) fn on_peer_up(&mut self, now: Instant, id: EndpointId, network: PeerNetwork) {
        match self.gate.arrive(id, &network) {
            Ok(to) => {
                if to.is_some() {
                    let restrict = peering::Input::Restrict { peer: id, to };
                    self.endpoint.handle(now, restrict);
                }
                if network.dialed.as_ref() == Some(&self.supervisor.0) {
                    self.supervisor.1 = Some(id);
                }
                self.agent.handle(now, AgentInput::PeerUp { id, network });
            }
            Err(refusal) => self.expel(now, id, refusal),
        }
    }

    /// One endpoint is one node: who said hello is no other from there on, and does not get what is
    /// for the supervisor. A stock agent's requests go to all its nodes, configurations included,
    /// for every Zeek subscribes to them (WIRE §8.7).
    pub(super) fn identify(&mut self, now: Instant, input: &AgentInput) -> Result<(), Refusal> {
        match input {
            AgentInput::Node {
                from,
                message: NodeResponse::Hello { node },
            } => {
                self.gate.greet_node(*from, node)?;
                let (peer, to) = (*from, self.gate.readable_by(*from));
                let restrict = peering::Input::Restrict { peer, to };
                self.endpoint.handle(now, restrict);
                Ok(())
            }
            AgentInput::Node {
                message: NodeResponse::Dispatch { .. },
                ..
            }
            | AgentInput::Request { .. }
            | AgentInput::Supervisor { .. }
            | AgentInput::Exit { .. }
            | AgentInput::NodeStatus { .. }
            | AgentInput::PeerUp { .. }
            | AgentInput::PeerDown { .. } => Ok(()),
        }
    }

    /// A message comes to nothing; a controller's request is answered.
    pub(super) fn turn_down(
        &mut self,
        now: Instant,
        from: EndpointId,
        topic: &Topic,
        event: &Event,
        refusal: Refusal,
    ) {
        let what = What::Publish {
            topic: topic.to_string(),
            event: event.name.clone(),
        };
        let reason = self.refused(now, self.gate.who(from), what, refusal);
        let reqid = event.args.first().filter(|_| *topic == self.topic);
        let response = reqid.and_then(|id| self.refusal(&event.name, id.clone(), &reason));
        if let Some(response) = response {
            self.on_agent(now, AgentOutput::Respond { response });
        }
    }

    fn expel(&mut self, now: Instant, peer: EndpointId, refusal: Refusal) {
        let reason = self.refused(now, self.gate.who(peer), What::Connect, refusal);
        self.endpoint
            .handle(now, peering::Input::Expel { peer, reason });
    }

    fn refused(&mut self, now: Instant, who: Who, what: What, refusal: Refusal) -> String {
        let audit = self.gate.refuse(now, who, what, refusal);
        audit.reason
    }
}

#[cfg(test)]
mod tests;
