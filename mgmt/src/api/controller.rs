//! Client ↔ controller, on [`CONTROLLER_TOPIC`](super::CONTROLLER_TOPIC) (API §2.1).

use std::collections::BTreeSet;

use broker_proto::zeek_events;

use super::ApiResult;
use crate::model::Configuration;

zeek_events! {
    /// What a client may ask. Empty node sets mean all nodes.
    pub enum ControllerRequest("Management::Controller::API::") {
        /// Which agents are connected?
        GetInstances = "get_instances_request" { reqid: String },
        /// Check and keep a configuration.
        StageConfiguration = "stage_configuration_request" { reqid: String, config: Configuration },
        /// Show the staged or the deployed configuration.
        GetConfiguration = "get_configuration_request" { reqid: String, deployed: bool },
        /// Run the staged configuration.
        Deploy = "deploy_request" { reqid: String },
        /// What runs where?
        GetNodes = "get_nodes_request" { reqid: String },
        /// Read a script global.
        GetIdValue = "get_id_value_request" { reqid: String, id: String, nodes: BTreeSet<String> },
        /// Restart nodes.
        Restart = "restart_request" { reqid: String, nodes: BTreeSet<String> },
        /// Do nothing, or let a request time out.
        TestTimeout = "test_timeout_request" { reqid: String, with_state: bool },
    }
}

zeek_events! {
    /// What the controller answers.
    pub enum ControllerResponse("Management::Controller::API::") {
        /// Data: vector of [`Instance`](crate::model::Instance), by name.
        GetInstances = "get_instances_response" { reqid: String, result: ApiResult },
        /// One success with the configuration's id, or only errors.
        StageConfiguration = "stage_configuration_response" { reqid: String, results: Vec<ApiResult> },
        /// Data: the [`Configuration`].
        GetConfiguration = "get_configuration_response" { reqid: String, result: ApiResult },
        /// Nodes and agents, then the configuration's id.
        Deploy = "deploy_response" { reqid: String, results: Vec<ApiResult> },
        /// One per agent; data: vector of [`NodeStatus`](crate::model::NodeStatus).
        GetNodes = "get_nodes_response" { reqid: String, results: Vec<ApiResult> },
        /// One per node; data: JSON text.
        GetIdValue = "get_id_value_response" { reqid: String, results: Vec<ApiResult> },
        /// One per node.
        Restart = "restart_response" { reqid: String, results: Vec<ApiResult> },
        /// Only ever sent by the timeout.
        TestTimeout = "test_timeout_response" { reqid: String, result: ApiResult },
    }
}

impl ControllerRequest {
    /// The id that the client gave it.
    pub fn reqid(&self) -> &str {
        match self {
            Self::GetInstances { reqid }
            | Self::StageConfiguration { reqid, .. }
            | Self::GetConfiguration { reqid, .. }
            | Self::Deploy { reqid }
            | Self::GetNodes { reqid }
            | Self::GetIdValue { reqid, .. }
            | Self::Restart { reqid, .. }
            | Self::TestTimeout { reqid, .. } => reqid,
        }
    }

    /// The same under another id.
    #[must_use]
    pub fn with_reqid(mut self, id: String) -> Self {
        match &mut self {
            Self::GetInstances { reqid }
            | Self::StageConfiguration { reqid, .. }
            | Self::GetConfiguration { reqid, .. }
            | Self::Deploy { reqid }
            | Self::GetNodes { reqid }
            | Self::GetIdValue { reqid, .. }
            | Self::Restart { reqid, .. }
            | Self::TestTimeout { reqid, .. } => *reqid = id,
        }
        self
    }
}

impl ControllerResponse {
    /// The id of the request that it answers.
    pub fn reqid(&self) -> &str {
        match self {
            Self::GetInstances { reqid, .. }
            | Self::StageConfiguration { reqid, .. }
            | Self::GetConfiguration { reqid, .. }
            | Self::Deploy { reqid, .. }
            | Self::GetNodes { reqid, .. }
            | Self::GetIdValue { reqid, .. }
            | Self::Restart { reqid, .. }
            | Self::TestTimeout { reqid, .. } => reqid,
        }
    }

    /// What it is made of.
    pub fn results(&self) -> &[ApiResult] {
        match self {
            Self::GetInstances { result, .. }
            | Self::GetConfiguration { result, .. }
            | Self::TestTimeout { result, .. } => std::slice::from_ref(result),
            Self::StageConfiguration { results, .. }
            | Self::Deploy { results, .. }
            | Self::GetNodes { results, .. }
            | Self::GetIdValue { results, .. }
            | Self::Restart { results, .. } => results,
        }
    }

    /// The configuration that was staged or deployed.
    pub fn configuration(&self) -> Option<String> {
        let results = match self {
            Self::StageConfiguration { results, .. } | Self::Deploy { results, .. } => results,
            Self::GetInstances { .. }
            | Self::GetConfiguration { .. }
            | Self::GetNodes { .. }
            | Self::GetIdValue { .. }
            | Self::Restart { .. }
            | Self::TestTimeout { .. } => return None,
        };
        let is_it = |result: &&ApiResult| {
            result.success && result.node.is_none() && result.instance.is_none()
        };
        let data = results.iter().rfind(is_it)?.data.as_ref()?;
        data.clone().read().ok()
    }

    /// The same under another id, and the results that had the old one, too.
    #[must_use]
    pub fn with_reqid(mut self, id: &str) -> Self {
        let (reqid, results) = match &mut self {
            Self::GetInstances { reqid, result }
            | Self::GetConfiguration { reqid, result }
            | Self::TestTimeout { reqid, result } => (reqid, std::slice::from_mut(result)),
            Self::StageConfiguration { reqid, results }
            | Self::Deploy { reqid, results }
            | Self::GetNodes { reqid, results }
            | Self::GetIdValue { reqid, results }
            | Self::Restart { reqid, results } => (reqid, results.as_mut_slice()),
        };
        let old = std::mem::replace(reqid, id.to_owned());
        for result in results.iter_mut().filter(|result| result.reqid == old) {
            result.reqid = id.to_owned();
        }
        self
    }

    /// The failure that answers a request which did not read, if the event is a request at all.
    pub fn refusal(request: &str, reqid: &str, error: &str) -> Option<Self> {
        let reqid = reqid.to_owned();
        let result = ApiResult::failed(reqid.clone(), error);
        let results = vec![result.clone()];
        let name = request.strip_prefix("Management::Controller::API::")?;
        Some(match name {
            "get_instances_request" => Self::GetInstances { reqid, result },
            "stage_configuration_request" => Self::StageConfiguration { reqid, results },
            "get_configuration_request" => Self::GetConfiguration { reqid, result },
            "deploy_request" => Self::Deploy { reqid, results },
            "get_nodes_request" => Self::GetNodes { reqid, results },
            "get_id_value_request" => Self::GetIdValue { reqid, results },
            "restart_request" => Self::Restart { reqid, results },
            "test_timeout_request" => Self::TestTimeout { reqid, result },
            _ => return None,
        })
    }
}
