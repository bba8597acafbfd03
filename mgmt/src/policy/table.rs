//! What each role may publish and read, at whose port (API §18.3).
//!
//! This is all of it: who publishes an event that is named here and has no right to it is refused,
//! and who has no right to read a topic does not get what is published there. Events that are not
//! named here do nothing at that port, whoever sends them.

use broker_proto::Topic;
use broker_proto::peering::Readable;
use supervisor::api::{EXIT_TOPIC, TOPIC as SUPERVISOR_TOPIC};

use super::Role;
use crate::api::{AGENT_TOPIC_PREFIX, CONTROLLER_TOPIC, NODE_TOPIC, agent_topic};

/// The process at whose ports, or at the end of whose dialed links, somebody is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Station {
    /// A controller.
    Controller,
    /// An agent.
    Agent,
    /// A supervisor.
    Supervisor,
}

/// One thing that one role may do.
#[derive(Debug)]
pub(super) struct Right {
    pub(super) at: Station,
    pub(super) role: Role,
    to: To,
    topic: Scope,
}

#[derive(Debug)]
enum To {
    /// Publish these events; a `*` stands for any text.
    Publish(&'static [&'static str]),
    Read,
}

#[derive(Debug)]
enum Scope {
    Exactly(Topic),
    Below(Topic),
    /// The topic of the agent that somebody is, or is at.
    OwnAgent,
}

use Scope::{Below, Exactly, OwnAgent};
use To::{Publish, Read};

#[rustfmt::skip]
pub(super) static RIGHTS: [Right; 19] = [
    right(Station::Controller, Role::Operator, Publish(&["Management::Controller::API::*_request"]), Below(CONTROLLER_TOPIC)),
    right(Station::Controller, Role::Operator, Read, Below(CONTROLLER_TOPIC)),
    right(Station::Controller, Role::Viewer, Publish(LOOKS), Below(CONTROLLER_TOPIC)),
    right(Station::Controller, Role::Viewer, Read, Below(CONTROLLER_TOPIC)),
    right(Station::Controller, Role::Agent, Publish(&["Management::Agent::API::*_response", "Management::Agent::API::notify_*"]), OwnAgent),
    right(Station::Controller, Role::Agent, Read, OwnAgent),
    right(Station::Agent, Role::Controller, Publish(&["Management::Agent::API::*_request"]), OwnAgent),
    right(Station::Agent, Role::Controller, Read, OwnAgent),
    right(Station::Agent, Role::Node, Publish(&["Management::Node::API::*_response", "Management::Node::API::notify_*"]), Exactly(NODE_TOPIC)),
    right(Station::Agent, Role::Node, Read, Exactly(NODE_TOPIC)),
    right(Station::Agent, Role::Supervisor, Publish(&["SupervisorControl::*_response", "SupervisorControl::node_status"]), Below(SUPERVISOR_TOPIC)),
    right(Station::Agent, Role::Supervisor, Publish(&["Management::Supervisor::API::notify_*"]), Exactly(EXIT_TOPIC)),
    right(Station::Agent, Role::Supervisor, Read, Below(SUPERVISOR_TOPIC)),
    right(Station::Supervisor, Role::Agent, Publish(&["SupervisorControl::*_request"]), Below(SUPERVISOR_TOPIC)),
    right(Station::Supervisor, Role::Agent, Read, Below(SUPERVISOR_TOPIC)),
    right(Station::Supervisor, Role::Agent, Read, Exactly(EXIT_TOPIC)),
    right(Station::Supervisor, Role::Controller, Publish(&["SupervisorControl::*_request"]), Below(SUPERVISOR_TOPIC)),
    right(Station::Supervisor, Role::Controller, Read, Below(SUPERVISOR_TOPIC)),
    right(Station::Supervisor, Role::Controller, Read, Exactly(EXIT_TOPIC)),
];

/// The requests that change nothing.
const LOOKS: &[&str] = &[
    "Management::Controller::API::get_configuration_request",
    "Management::Controller::API::get_id_value_request",
    "Management::Controller::API::get_instances_request",
    "Management::Controller::API::get_nodes_request",
    "Management::Controller::API::test_timeout_request",
];

const fn right(at: Station, role: Role, to: To, topic: Scope) -> Right {
    Right {
        at,
        role,
        to,
        topic,
    }
}

/// Whether somebody needs a right to publish this event there.
pub(super) fn is_ruled(at: Station, event: &str) -> bool {
    let mut rights = RIGHTS.iter().filter(|right| right.at == at);
    rights.any(|right| right.names(event))
}

impl Right {
    pub(super) fn covers_publication(&self, topic: &str, event: &str, own: Option<&str>) -> bool {
        let topic = topic.as_bytes();
        let by_topic = match &self.topic {
            Exactly(only) => topic == only.as_bytes(),
            Below(prefix) => topic.starts_with(prefix.as_bytes()),
            OwnAgent => own.is_some_and(|own| {
                let name = topic.strip_prefix(AGENT_TOPIC_PREFIX.as_bytes());
                name.and_then(|name| name.strip_prefix(b"/")) == Some(own.as_bytes())
            }),
        };
        by_topic && self.names(event)
    }

    pub(super) fn extend(&self, readable: &mut Readable, own: Option<&str>) {
        match (&self.to, &self.topic) {
            (Publish(_), Exactly(_) | Below(_) | OwnAgent) => {}
            (Read, Exactly(topic)) => readable.exactly.push(topic.clone()),
            (Read, Below(topic)) => {
                readable.below.extend(topic.clone());
            }
            (Read, OwnAgent) => {
                let topic = own.and_then(|own| agent_topic(own).ok());
                readable.exactly.extend(topic);
            }
        }
    }

    fn names(&self, event: &str) -> bool {
        let fits = |pattern: &&str| match pattern.split_once('*') {
            Some((start, end)) => {
                let rest = event.strip_prefix(start);
                rest.is_some_and(|rest| rest.ends_with(end))
            }
            None => *pattern == event,
        };
        match self.to {
            Publish(events) => events.iter().any(fits),
            Read => false,
        }
    }
}
