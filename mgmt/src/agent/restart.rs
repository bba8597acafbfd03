//! `restart`: have the supervisor end nodes and start them again, and answer when they said hello or
//! will not (API §5.7, §12.2 D39).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use supervisor::api::SupervisorRequest;

use super::nodes::LocalNode;
use super::watch::{Former, Missed, Watch};
use super::{Agent, NO_SUPERVISOR, TOO_MANY, Waiting};
use crate::api::ApiResult;
use crate::api::agent::AgentResponse;
use crate::settings::StartOrder;

/// Restarts that are not answered.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    open: BTreeMap<u64, Restart>,
    last: u64,
}

/// One request.
#[derive(Debug)]
struct Restart {
    reqid: String,
    results: Vec<ApiResult>,
    watch: Watch,
}

impl Restarts {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.open.values();
        open.filter_map(|restart| restart.watch.deadline()).min()
    }
}

impl Agent {
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
        let mut watch = Watch::new(now, self.settings.request_timeout, StartOrder::Together);
        for (node, _) in &targets {
            watch.add(now, node, Former::Ending);
        }
        self.restarts.last += 1;
        let key = self.restarts.last;
        let restart = Restart {
            reqid,
            results: Vec::new(),
            watch,
        };
        self.restarts.open.insert(key, restart);
        for (node, _) in targets {
            self.change(&node, LocalNode::on_restart);
            let waiting = Waiting::Restart {
                node: node.clone(),
                key,
            };
            let reqid = self.await_answer(now, waiting);
            self.ask_supervisor(SupervisorRequest::Restart { reqid, node });
        }
    }

    /// The supervisor has taken the order, or not.
    pub(super) fn on_restarted(&mut self, id: &str, done: bool) {
        let Some(Waiting::Restart { node, key }) = self.waiting.finish(id) else {
            return;
        };
        self.change(&node, LocalNode::on_restart_answered);
        if done {
            return;
        }
        let msg = format!("failed to restart node {node}");
        self.notify_error(node.clone(), msg);
        self.change(&node, LocalNode::on_missing);
        let why = format!("could not restart node {node}");
        self.settle_restart(key, &node, Err(&why));
    }

    /// Each request that waits for the node has this to say of it.
    pub(super) fn settle_restarts(&mut self, node: &str, outcome: Result<(), &str>) {
        let keys: Vec<u64> = self.restarts.open.keys().copied().collect();
        for key in keys {
            self.settle_restart(key, node, outcome);
        }
    }

    pub(super) fn on_restarting_node_started(&mut self, now: Instant, name: &str) {
        for restart in self.restarts.open.values_mut() {
            restart.watch.on_started(now, name);
        }
    }

    /// Nodes that had their time.
    pub(super) fn expire_restarts(&mut self, now: Instant) {
        let mut late = Vec::new();
        for (key, restart) in &mut self.restarts.open {
            let nodes = restart.watch.take_late(now);
            if !nodes.is_empty() {
                late.push((*key, restart.reqid.clone(), nodes));
            }
        }
        for (key, reqid, nodes) in late {
            self.log_timeout(&reqid);
            for (node, missed) in nodes {
                let why = self.with_doubt(&node, self.why_late(&node, missed));
                tracing::warn!(reqid, node, why, "restart timed out");
                self.add_outcome(key, &node, Err(&why));
            }
            self.answer_restart_if_done(key);
        }
    }

    /// What ends for good is not restarted.
    pub(super) fn drop_restarts(&mut self, why: &str) {
        for (_, restart) in std::mem::take(&mut self.restarts.open) {
            let Restart {
                reqid,
                mut results,
                mut watch,
            } = restart;
            for node in watch.take_all() {
                results.push(self.failed(&reqid, why).on_node(node));
            }
            self.respond(AgentResponse::Restart { reqid, results });
        }
    }

    /// Why a node is not up, after all that time.
    pub(super) fn why_late(&self, node: &str, missed: Missed) -> String {
        let local = self.nodes.get(node);
        match (local.and_then(LocalNode::ending), missed) {
            (Some(ending), _) => format!("cluster node {node} {ending}"),
            (None, Missed::Start) if local.is_some_and(LocalNode::is_doubtful) => {
                format!("cluster node {node} said hello, but its supervisor told of no start")
            }
            (None, Missed::Start) if self.supervisor.is_some() => {
                format!("cluster node {node} was not started in time")
            }
            // Without supervisor nobody knows whether it was started.
            (None, Missed::Start | Missed::Hello) => {
                format!("cluster node {node} did not report in time")
            }
        }
    }

    /// Why a node failed, also if it may have said hello all the same.
    pub(super) fn with_doubt(&self, node: &str, why: String) -> String {
        match self.nodes.get(node) {
            Some(node) if node.is_overheard() => {
                format!("{why}; a hello under its name may have been its own")
            }
            Some(_) | None => why,
        }
    }

    fn settle_restart(&mut self, key: u64, node: &str, outcome: Result<(), &str>) {
        let restart = self.restarts.open.get_mut(&key);
        if restart.is_some_and(|restart| restart.watch.remove(node)) {
            self.add_outcome(key, node, outcome);
            self.answer_restart_if_done(key);
        }
    }

    fn add_outcome(&mut self, key: u64, node: &str, outcome: Result<(), &str>) {
        let instance = &self.settings.name;
        if let Some(restart) = self.restarts.open.get_mut(&key) {
            let result = match outcome {
                Ok(()) => ApiResult::ok(&restart.reqid),
                Err(why) => ApiResult::failed(&restart.reqid, why),
            };
            let result = result.on_instance(instance).on_node(node);
            restart.results.push(result);
        }
    }

    fn answer_restart_if_done(&mut self, key: u64) {
        let restart = self.restarts.open.get(&key);
        if restart.is_some_and(|restart| restart.watch.is_empty())
            && let Some(Restart { reqid, results, .. }) = self.restarts.open.remove(&key)
        {
            self.respond(AgentResponse::Restart { reqid, results });
        }
    }
}
