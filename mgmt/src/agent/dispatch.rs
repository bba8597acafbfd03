//! Requests about some or all nodes: `node_dispatch` asks the nodes, `restart` the supervisor. Both
//! collect what comes and answer once (API §5.6, §5.7).

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Instant;

use supervisor::api::SupervisorRequest;

use super::{Agent, NO_SUPERVISOR, Output, TIMED_OUT, TOO_MANY, Waiting};
use crate::api::ApiResult;
use crate::api::agent::AgentResponse;
use crate::api::node::NodeRequest;
use crate::model::State;

/// Nodes were asked to do something.
#[derive(Debug)]
pub(super) struct Dispatch {
    reqid: String,
    results: Vec<ApiResult>,
    /// Nodes that have not answered.
    awaited: BTreeSet<String>,
}

/// The supervisor was asked to restart nodes.
#[derive(Debug)]
pub(super) struct Restart {
    reqid: String,
    results: Vec<ApiResult>,
    /// Answers that are missing.
    awaited: usize,
}

impl Agent {
    pub(super) fn on_dispatch(
        &mut self,
        now: Instant,
        reqid: String,
        action: Vec<String>,
        nodes: BTreeSet<String>,
    ) {
        let targets = self.nodes.targets(&nodes);
        let is_running = |(_, state): &(String, State)| *state == State::Running;
        let (running, other): (Vec<_>, Vec<_>) = targets.into_iter().partition(is_running);
        let other = other.into_iter().map(|(node, _)| {
            let error = format!("cluster node {node} not in running state");
            self.failed(&reqid, error).on_node(node)
        });
        let mut results: Vec<_> = other.collect();
        if !running.is_empty() && self.is_full() {
            results.push(self.failed(&reqid, TOO_MANY));
            return self.respond(AgentResponse::NodeDispatch { reqid, results });
        }
        if running.is_empty() {
            return self.respond(AgentResponse::NodeDispatch { reqid, results });
        }
        let dispatch = Dispatch {
            reqid,
            results,
            awaited: running.into_iter().map(|(node, _)| node).collect(),
        };
        let reqid = self.await_answer(now, Waiting::Dispatch(dispatch));
        self.outputs.push_back(Output::ToNodes {
            request: NodeRequest::Dispatch {
                reqid,
                action,
                nodes,
            },
        });
    }

    /// The result stays as the node made it, with the id the node was asked with, as stock.
    pub(super) fn on_dispatched(&mut self, id: &str, result: ApiResult) {
        let Some(Waiting::Dispatch(dispatch)) = self.waiting.get_mut(id) else {
            return;
        };
        let is_awaited = result.node.as_ref();
        if !is_awaited.is_some_and(|node| dispatch.awaited.remove(node)) {
            return;
        }
        let result = result.on_instance(&self.settings.name);
        dispatch.results.push(result);
        if !dispatch.awaited.is_empty() {
            return;
        }
        if let Some(Waiting::Dispatch(dispatch)) = self.waiting.finish(id) {
            self.answer_dispatch(dispatch);
        }
    }

    /// Stock stays silent then, and what the other nodes said is lost (API §12.2 D33).
    pub(super) fn on_dispatch_expired(&mut self, mut dispatch: Dispatch) {
        self.log_timeout(&dispatch.reqid);
        for node in std::mem::take(&mut dispatch.awaited) {
            let result = self.failed(&dispatch.reqid, TIMED_OUT).on_node(node);
            dispatch.results.push(result);
        }
        self.answer_dispatch(dispatch);
    }

    fn answer_dispatch(&mut self, dispatch: Dispatch) {
        let Dispatch { reqid, results, .. } = dispatch;
        self.respond(AgentResponse::NodeDispatch { reqid, results });
    }

    pub(super) fn on_restart(&mut self, now: Instant, reqid: String, nodes: &BTreeSet<String>) {
        let targets = self.nodes.targets(nodes);
        if targets.is_empty() {
            let results = Vec::new();
            return self.respond(AgentResponse::Restart { reqid, results });
        }
        let problem = if self.supervisor.is_none() {
            Some(NO_SUPERVISOR)
        } else {
            self.is_full().then_some(TOO_MANY)
        };
        if let Some(problem) = problem {
            let results = vec![self.failed(&reqid, problem)];
            return self.respond(AgentResponse::Restart { reqid, results });
        }
        tracing::info!(reqid, count = targets.len(), "restarting nodes");
        let key = self.ids.unique_id();
        let restart = Restart {
            reqid,
            results: Vec::new(),
            awaited: targets.len(),
        };
        let deadline = now + self.settings.request_timeout;
        if let Err(restart) = self.restarts.open(&key, deadline, restart) {
            tracing::warn!(?restart, "id is in use; a restart request is lost");
        }
        for (node, _) in targets {
            if let Some(node) = self.nodes.get_mut(&node) {
                node.state = State::Pending;
            }
            let waiting = Waiting::Restart {
                node: node.clone(),
                key: key.clone(),
            };
            let reqid = self.await_answer(now, waiting);
            self.ask_supervisor(SupervisorRequest::Restart { reqid, node });
        }
    }

    pub(super) fn on_restarted(&mut self, id: &str, done: bool) {
        let Some(Waiting::Restart { node, key }) = self.waiting.finish(id) else {
            return;
        };
        if !done {
            let msg = format!("failed to restart node {node}");
            self.notify_error(node.clone(), msg);
        }
        let instance = &self.settings.name;
        let Some(restart) = self.restarts.get_mut(&key) else {
            return;
        };
        let reqid = &restart.reqid;
        let result = if done {
            ApiResult::ok(reqid)
        } else {
            ApiResult::failed(reqid, format!("could not restart node {node}"))
        };
        restart
            .results
            .push(result.on_instance(instance).on_node(node));
        restart.awaited = restart.awaited.saturating_sub(1);
        if restart.awaited > 0 {
            return;
        }
        if let Some(Restart { reqid, results, .. }) = self.restarts.finish(&key) {
            self.respond(AgentResponse::Restart { reqid, results });
        }
    }

    /// What came, then the timeout (API §5.7 A24).
    pub(super) fn on_restart_expired(&mut self, restart: Restart) {
        let Restart {
            reqid, mut results, ..
        } = restart;
        self.log_timeout(&reqid);
        results.push(self.failed(&reqid, TIMED_OUT));
        self.respond(AgentResponse::Restart { reqid, results });
    }
}
