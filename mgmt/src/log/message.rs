//! The wording of what comes in and goes out (API §8.4), as in stock's `controller/main.zeek`,
//! `agent/main.zeek`, `request.zeek` and `types.zeek`.
//!
//! What stock does not tell is `None`: an agent's own notices are on the wire only.

use std::collections::BTreeSet;

use broker_proto::peering::PeerAddr;
use supervisor::api::{ExitEvent, SupervisorRequest, SupervisorResponse};

use super::Record;
use crate::api::ApiResult;
use crate::api::agent::{AgentRequest, AgentResponse, DEPLOY_REQUEST};
use crate::api::controller::{ControllerRequest, ControllerResponse};
use crate::api::node::{NodeRequest, NodeResponse};

/// Answers without any result say why in stock's log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Asked {
    /// The request was for all nodes.
    #[default]
    All,
    /// The request named nodes.
    Named,
}

/// A controller's first words.
pub fn controller_live(
    id: &impl ToString,
    broker: Option<&PeerAddr>,
    websocket: Option<&PeerAddr>,
) -> String {
    let port = |name: &str, none: &str, addr: Option<&PeerAddr>| match addr {
        Some(PeerAddr { host, port }) => format!("{name} port {host}:{port}/tcp"),
        None => format!("no {none} port"),
    };
    let broker = port("Broker", "Broker", broker);
    let websocket = port("websocket", "Websocket", websocket);
    let id = id.to_string();
    format!("controller is live, Broker ID {id}, {broker}, {websocket}")
}

/// A client's request to the controller.
pub fn from_client(request: &ControllerRequest) -> String {
    let name = request.event_name();
    match request {
        ControllerRequest::GetInstances { reqid }
        | ControllerRequest::StageConfiguration { reqid, .. }
        | ControllerRequest::GetConfiguration { reqid, .. }
        | ControllerRequest::Deploy { reqid }
        | ControllerRequest::GetNodes { reqid } => format!("rx {name} {reqid}"),
        ControllerRequest::GetIdValue { reqid, id, .. } => format!("rx {name} {reqid} {id}"),
        ControllerRequest::Restart { reqid, nodes } => {
            format!("rx {name} {reqid} {}", list(nodes))
        }
        ControllerRequest::TestTimeout { reqid, with_state } => {
            format!("rx {name} {reqid} {}", boolean(*with_state))
        }
    }
}

/// The controller's answer to a client.
pub fn to_client(response: &ControllerResponse) -> String {
    let name = response.event_name();
    let text = match response {
        ControllerResponse::GetInstances { reqid, .. }
        | ControllerResponse::TestTimeout { reqid, .. } => reqid.clone(),
        ControllerResponse::GetConfiguration { result, .. } => one(result),
        // Stock ends the request of a refused configuration before it tells.
        ControllerResponse::StageConfiguration { reqid, results } => match results.as_slice() {
            [result] if result.success => one(result),
            results => request(reqid, "finished", results),
        },
        ControllerResponse::GetNodes { reqid, results }
            if is_only(results, "no instances connected") =>
        {
            reqid.clone()
        }
        ControllerResponse::GetIdValue { reqid, results }
            if is_only(results, "no cluster deployed") =>
        {
            reqid.clone()
        }
        ControllerResponse::Deploy { reqid, results }
        | ControllerResponse::GetNodes { reqid, results }
        | ControllerResponse::GetIdValue { reqid, results }
        | ControllerResponse::Restart { reqid, results } => request(reqid, "pending", results),
    };
    format!("tx {name} {text}")
}

/// The controller's order to an agent.
pub fn to_agent(instance: &str, request: &AgentRequest) -> String {
    let name = request.event_name();
    match request {
        AgentRequest::Standby { .. } => format!("tx {name} to {instance}"),
        AgentRequest::NodeDispatch { reqid, action, .. } => {
            format!("tx {name} {reqid} {} to {instance}", list(action))
        }
        AgentRequest::Welcome { reqid }
        | AgentRequest::Deploy { reqid, .. }
        | AgentRequest::GetNodes { reqid }
        | AgentRequest::Restart { reqid, .. } => format!("tx {name} {reqid} to {instance}"),
    }
}

/// The controller's order to deploy, which is not made for one agent.
pub fn deploy_to_agent(instance: &str, reqid: &str) -> String {
    format!("tx {DEPLOY_REQUEST} {reqid} to {instance}")
}

/// What an agent tells the controller. Stock says nothing of an answered standby and of the last
/// three, which it does not handle at all.
pub fn from_agent(response: &AgentResponse) -> Record {
    let name = response.event_name();
    match response {
        AgentResponse::Hello {
            instance,
            id,
            connecting,
            ..
        } => Record::info(format!(
            "rx {name} {instance} {id} {}",
            boolean(*connecting)
        )),
        AgentResponse::Deploy { reqid, results } => {
            Record::info(format!("rx {name} {reqid} {}", all(results)))
        }
        AgentResponse::Welcome { reqid, .. }
        | AgentResponse::Standby { reqid, .. }
        | AgentResponse::GetNodes { reqid, .. }
        | AgentResponse::NodeDispatch { reqid, .. }
        | AgentResponse::Restart { reqid, .. } => Record::info(format!("rx {name} {reqid}")),
        AgentResponse::Change {
            instance,
            n,
            old,
            new,
        } => {
            let (old, new) = (old.zeek_name(), new.zeek_name());
            Record::info(format!("rx {name} {instance} {} {old} {new}", n.name))
        }
        AgentResponse::Error {
            instance,
            msg,
            node,
        } => Record::warning(format!("rx {name} {instance} {node} {msg}")),
        AgentResponse::Log {
            instance,
            msg,
            node,
        } => Record::info(format!("rx {name} {instance} {node} {msg}")),
    }
}

/// The controller's order, at the agent.
pub fn from_controller(request: &AgentRequest) -> String {
    let name = request.event_name();
    match request {
        AgentRequest::Welcome { reqid }
        | AgentRequest::Standby { reqid }
        | AgentRequest::GetNodes { reqid } => format!("rx {name} {reqid}"),
        AgentRequest::Deploy { reqid, config, .. } => format!("rx {name} {reqid} {}", config.id),
        AgentRequest::NodeDispatch {
            reqid,
            action,
            nodes,
        } => format!("rx {name} {reqid} {} {}", list(action), list(nodes)),
        AgentRequest::Restart { reqid, nodes } => format!("rx {name} {reqid} {}", list(nodes)),
    }
}

/// The agent's answer to the controller. `asked` is about the request it answers.
pub fn to_controller(response: &AgentResponse, asked: Asked) -> Option<Record> {
    let name = response.event_name();
    let text = match response {
        AgentResponse::Welcome { result, .. }
        | AgentResponse::Standby { result, .. }
        | AgentResponse::GetNodes { result, .. } => one(result),
        AgentResponse::Deploy { results, .. } => all(results),
        AgentResponse::NodeDispatch { reqid, results } => {
            let is_none_running = !results.is_empty() && results.iter().all(is_not_running);
            if is_none_running {
                format!("{reqid}, no nodes running")
            } else {
                answered(reqid, results, asked)
            }
        }
        AgentResponse::Restart { reqid, results } => answered(reqid, results, asked),
        AgentResponse::Error { msg, .. } => return Some(Record::error(msg.as_str())),
        AgentResponse::Hello { .. } | AgentResponse::Change { .. } | AgentResponse::Log { .. } => {
            return None;
        }
    };
    Some(Record::info(format!("tx {name} {text}")))
}

/// The agent's order to the supervisor.
pub fn to_supervisor(request: &SupervisorRequest) -> String {
    let name = request.event_name();
    match request {
        SupervisorRequest::Create { reqid, node } => format!("tx {name} {reqid} {}", node.name),
        SupervisorRequest::Status { reqid, node }
        | SupervisorRequest::Restart { reqid, node }
        | SupervisorRequest::Destroy { reqid, node } => {
            let node = if node.is_empty() { "<all>" } else { node };
            format!("tx {name} {reqid} {node}")
        }
        SupervisorRequest::Stop {} => format!("tx {name}"),
    }
}

/// The supervisor's answer.
pub fn from_supervisor(response: &SupervisorResponse) -> String {
    let name = response.event_name();
    match response {
        SupervisorResponse::Create { reqid, result } => format!("rx {name} {reqid} {result}"),
        SupervisorResponse::Status { reqid, .. } => format!("rx {name} {reqid}"),
        SupervisorResponse::Restart { reqid, result }
        | SupervisorResponse::Destroy { reqid, result } => {
            format!("rx {name} {reqid} {}", boolean(*result))
        }
    }
}

/// The supervisor's news of a node's end.
pub fn node_exit(event: &ExitEvent) -> String {
    let ExitEvent::NotifyNodeExit { node, .. } = event;
    format!("rx {} {node}", event.event_name())
}

/// The agent's order to its nodes.
pub fn to_nodes(request: &NodeRequest) -> String {
    let name = request.event_name();
    let NodeRequest::Dispatch { reqid, action, .. } = request;
    format!("tx {name} {reqid} {}", list(action))
}

/// What a node says.
pub fn from_node(response: &NodeResponse) -> String {
    let name = response.event_name();
    match response {
        NodeResponse::Hello { node } => format!("rx {name} {node}"),
        NodeResponse::Dispatch { reqid, result } => {
            let node = result.node.as_deref().unwrap_or("unknown node");
            format!("rx {name} {reqid} from {node}")
        }
    }
}

impl From<&BTreeSet<String>> for Asked {
    fn from(nodes: &BTreeSet<String>) -> Self {
        if nodes.is_empty() {
            Self::All
        } else {
            Self::Named
        }
    }
}

/// `Management::result_to_string`.
pub fn one(result: &ApiResult) -> String {
    let mut text = String::new();
    put_one(result, &mut text);
    text
}

/// `Management::result_vec_to_string`.
fn all(results: &[ApiResult]) -> String {
    let mut text = String::new();
    for (at, result) in results.iter().enumerate() {
        text.push_str(if at > 0 { ", " } else { "" });
        put_one(result, &mut text);
    }
    text
}

fn put_one(result: &ApiResult, text: &mut String) {
    let ApiResult {
        reqid,
        success,
        instance,
        error,
        node,
        data: _,
    } = result;
    match (success, error) {
        (true, _) => text.push_str("success"),
        (false, Some(error)) => text.extend(["error (", error, ")"]),
        (false, None) => text.push_str("error"),
    }
    let details = [
        ("reqid", Some(reqid).filter(|reqid| !reqid.is_empty())),
        ("instance", instance.as_ref()),
        ("node", node.as_ref().filter(|node| !node.is_empty())),
    ];
    let details = details.into_iter();
    let mut details = details.filter_map(|(name, value)| Some((name, value?)));
    let Some((name, value)) = details.next() else {
        return;
    };
    text.extend([" (", name, " ", value]);
    for (name, value) in details {
        text.extend([", ", name, " ", value]);
    }
    text.push(')');
}

/// `Management::Request::to_string`, of a request without a parent.
fn request(reqid: &str, state: &str, results: &[ApiResult]) -> String {
    format!("[request {reqid} {state}, results: {}]", all(results))
}

/// The results of an agent's nodes, or why there is none.
fn answered(reqid: &str, results: &[ApiResult], asked: Asked) -> String {
    match (results.is_empty(), asked) {
        (true, Asked::Named) => format!("{reqid}, no node overlap"),
        (true, Asked::All) => format!("{reqid}, no nodes registered"),
        (false, Asked::All | Asked::Named) => request(reqid, "pending", results),
    }
}

fn is_only(results: &[ApiResult], error: &str) -> bool {
    matches!(results, [result] if result.error.as_deref() == Some(error))
}

fn is_not_running(result: &ApiResult) -> bool {
    let error = result.error.as_deref();
    error.is_some_and(|error| error.ends_with(" not in running state"))
}

/// A vector of strings.
fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    let items: Vec<&str> = items.into_iter().map(String::as_str).collect();
    format!("[{}]", items.join(", "))
}

fn boolean(value: bool) -> &'static str {
    if value { "T" } else { "F" }
}

#[cfg(test)]
mod tests;
