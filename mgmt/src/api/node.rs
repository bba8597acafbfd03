//! Agent ↔ nodes, on [`NODE_TOPIC`](super::NODE_TOPIC) (API §2.3).

use std::collections::BTreeSet;

use broker_proto::zeek_events;

use super::ApiResult;

zeek_events! {
    /// What an agent asks its nodes.
    pub enum NodeRequest("Management::Node::API::") {
        /// Do something; a non-empty set names those who shall.
        Dispatch = "node_dispatch_request" { reqid: String, action: Vec<String>, nodes: BTreeSet<String> },
    }
}

zeek_events! {
    /// What a node tells its agent.
    pub enum NodeResponse("Management::Node::API::") {
        /// Answers a dispatch; the result names the node.
        Dispatch = "node_dispatch_response" { reqid: String, result: ApiResult },
        /// I see you.
        Hello = "notify_node_hello" { node: String },
    }
}
