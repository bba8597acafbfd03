//! `node_dispatch` asks some or all nodes, collects what they say, and answers once (API §5.6).

#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeSet;
use std::time::Instant;

use super::{Agent, Output, TIMED_OUT, TOO_MANY, Waiting};
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
        let node = result.node.as_deref().unwrap_or_default();
        let Some(Waiting::Dispatch(dispatch)) = self.waiting.get_mut(id) else {
            tracing::warn!(id, node, "answer to a dispatch that nobody waits for");
            return;
        };
        if !dispatch.awaited.remove(node) {
            tracing::warn!(id, node, "answer of a node that was not asked");
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

    /// A node cannot answer any more what it was asked.
    pub(super) fn on_node_away(&mut self, name: &str) {
        let instance = &self.settings.name;
        let mut done = Vec::new();
        for (id, waiting) in self.waiting.iter_mut() {
            if let Waiting::Dispatch(dispatch) = waiting
                && dispatch.awaited.remove(name)
            {
                let error = format!("cluster node {name} left before it answered");
                let result = ApiResult::failed(&dispatch.reqid, error);
                let result = result.on_instance(instance).on_node(name);
                dispatch.results.push(result);
                if dispatch.awaited.is_empty() {
                    done.push(id.to_owned());
                }
            }
        }
        for id in done {
            if let Some(Waiting::Dispatch(dispatch)) = self.waiting.finish(&id) {
                self.answer_dispatch(dispatch);
            }
        }
    }
}
