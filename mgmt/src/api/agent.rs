//! Controller ↔ agent, on the agent's topic (API §2.2).

use std::collections::BTreeSet;

use broker_proto::{Data, zeek_events};

use super::ApiResult;
use crate::model::{Configuration, Node, State};

zeek_events! {
    /// What a controller may ask an agent. Empty node sets mean all of the agent's nodes.
    pub enum AgentRequest("Management::Agent::API::") {
        /// You belong to the configuration.
        Welcome = "agent_welcome_request" { reqid: String },
        /// You do not belong to it any more: stop your nodes.
        Standby = "agent_standby_request" { reqid: String },
        /// Run your part of this.
        Deploy = "deploy_request" { reqid: String, config: Configuration, force: bool },
        /// What runs?
        GetNodes = "get_nodes_request" { reqid: String },
        /// Have nodes do something; the first element names it.
        NodeDispatch = "node_dispatch_request" { reqid: String, action: Vec<String>, nodes: BTreeSet<String> },
        /// Restart nodes.
        Restart = "restart_request" { reqid: String, nodes: BTreeSet<String> },
    }
}

zeek_events! {
    /// What an agent answers, and what it tells unasked.
    pub enum AgentResponse("Management::Agent::API::") {
        /// I am here. `id` is the agent's endpoint id, `connecting` whether it dials the controller.
        Hello = "notify_agent_hello" { instance: String, id: String, connecting: bool, api_version: u64 },
        /// Answers a welcome.
        Welcome = "agent_welcome_response" { reqid: String, result: ApiResult },
        /// Answers a standby.
        Standby = "agent_standby_response" { reqid: String, result: ApiResult },
        /// One per node, with [`NodeOutputs`](crate::model::NodeOutputs) of those that failed.
        Deploy = "deploy_response" { reqid: String, results: Vec<ApiResult> },
        /// Data: vector of [`NodeStatus`](crate::model::NodeStatus).
        GetNodes = "get_nodes_response" { reqid: String, result: ApiResult },
        /// One per node; the action decides the data.
        NodeDispatch = "node_dispatch_response" { reqid: String, results: Vec<ApiResult> },
        /// One per node.
        Restart = "restart_response" { reqid: String, results: Vec<ApiResult> },
        /// A node changed its state.
        Change = "notify_change" { instance: String, n: Node, old: State, new: State },
        /// Something failed.
        Error = "notify_error" { instance: String, msg: String, node: String },
        /// Something to log.
        Log = "notify_log" { instance: String, msg: String, node: String },
    }
}

/// The name of [`AgentRequest::Deploy`], for whom that is too large to be made for each agent.
pub(crate) const DEPLOY_REQUEST: &str = "Management::Agent::API::deploy_request";

impl AgentResponse {
    /// The failure that answers a request which did not read, if the event is a request at all.
    pub fn refusal(request: &str, reqid: &str, instance: &str, error: &str) -> Option<Self> {
        let reqid = reqid.to_owned();
        let result = ApiResult::failed(reqid.clone(), error).on_instance(instance);
        let results = vec![result.clone()];
        let name = request.strip_prefix("Management::Agent::API::")?;
        Some(match name {
            "agent_welcome_request" => Self::Welcome { reqid, result },
            "agent_standby_request" => Self::Standby { reqid, result },
            "deploy_request" => Self::Deploy { reqid, results },
            "get_nodes_request" => {
                // Without data a stock controller's handler would abort (API §12.1 D18).
                let result = result.with_data(Data::Vector(Vec::new()));
                Self::GetNodes { reqid, result }
            }
            "node_dispatch_request" => Self::NodeDispatch { reqid, results },
            "restart_request" => Self::Restart { reqid, results },
            _ => return None,
        })
    }
}
