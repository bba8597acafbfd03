//! The events that client, controller, agents and nodes exchange (API §2).

pub mod agent;
pub mod controller;
pub mod node;

use broker_proto::topic::TopicLengthError;
use broker_proto::zeek::Any;
use broker_proto::{Topic, zeek_record};

/// Travels in an agent's hello; 1 in every release.
pub const API_VERSION: u64 = 1;

/// What the framework's own topics begin with.
pub const MANAGEMENT_TOPIC: Topic = Topic::from_static("zeek/management");

/// Client ↔ controller.
pub const CONTROLLER_TOPIC: Topic = Topic::from_static("zeek/management/controller");

/// Controller ↔ agent, followed by a slash and the agent's name.
pub const AGENT_TOPIC_PREFIX: Topic = Topic::from_static("zeek/management/agent");

/// Agent ↔ nodes.
pub const NODE_TOPIC: Topic = Topic::from_static("zeek/management/node");

/// The script whose presence makes a stock process tree run a controller.
pub const CONTROLLER_SCRIPT: &str = "policy/frameworks/management/controller";

/// The script whose presence makes a stock process tree run an agent.
pub const AGENT_SCRIPT: &str = "policy/frameworks/management/agent";

/// The topic of one agent.
///
/// # Errors
/// If the name makes the topic too long.
pub fn agent_topic(name: &str) -> Result<Topic, TopicLengthError> {
    Topic::new(format!("{AGENT_TOPIC_PREFIX}/{name}"))
}

zeek_record! {
    /// One part of an answer.
    pub struct ApiResult("Management::Result") {
        /// The request answered, by the id that the answering side knows.
        pub reqid: String,
        /// Whether it worked.
        pub success: bool = true,
        /// The instance it is about.
        pub instance: Option<String>,
        /// What was asked for; the request decides the type.
        pub data: Option<Any>,
        /// What went wrong.
        pub error: Option<String>,
        /// The node it is about.
        pub node: Option<String>,
    }
}

impl ApiResult {
    /// Success about nothing in particular.
    pub fn ok(reqid: impl Into<String>) -> Self {
        Self {
            reqid: reqid.into(),
            success: true,
            instance: None,
            data: None,
            error: None,
            node: None,
        }
    }

    /// Failure with its reason.
    pub fn failed(reqid: impl Into<String>, error: impl Into<String>) -> Self {
        Self {
            success: false,
            error: Some(error.into()),
            ..Self::ok(reqid)
        }
    }

    /// The same, about this instance.
    #[must_use]
    pub fn on_instance(self, instance: impl Into<String>) -> Self {
        Self {
            instance: Some(instance.into()),
            ..self
        }
    }

    /// The same, about this node.
    #[must_use]
    pub fn on_node(self, node: impl Into<String>) -> Self {
        Self {
            node: Some(node.into()),
            ..self
        }
    }

    /// The same, with this data.
    #[must_use]
    pub fn with_data(self, data: impl Into<Any>) -> Self {
        Self {
            data: Some(data.into()),
            ..self
        }
    }
}
