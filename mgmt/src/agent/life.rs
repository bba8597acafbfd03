//! What happens to the agent's nodes, and telling the controller of it (API §5.4 A12, §12.2 D36,
//! D37).
//!
//! Notices are stock's events: `notify_change` for every change of a state, `notify_error` for what
//! somebody should look at, `notify_log` for the rest. Stock's controller has empty handlers for
//! them.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use broker_proto::EndpointId;
use supervisor::api::{ExitEvent, NodeStatusEvent, Status, SupervisorRequest};

use super::nodes::LocalNode;
use super::{Agent, Waiting};
use crate::api::agent::AgentResponse;
use crate::model::State;

/// After the start of a node whose former process may still say hello: how long the end of that one's
/// peering may take to be noticed. Both are on this host, and that process is gone.
pub(super) const SETTLING: Duration = Duration::from_millis(500);

/// A process that was ordered to end.
#[derive(Clone, Debug, Default)]
pub(super) struct FormerProcess {
    /// Its number, if that is known.
    pub(super) pid: Option<i64>,
    /// Who has said hello as this process; `None` if it may still do so.
    pub(super) peer: Option<EndpointId>,
}

impl Agent {
    pub(super) fn on_node_hello(&mut self, now: Instant, from: EndpointId, name: &str) {
        let Some(is_news) = self.change(name, |node| node.on_hello(from)) else {
            tracing::warn!(name, %from, "hello of a node that is not ours");
            return;
        };
        if is_news {
            tracing::info!(name, %from, "node is running");
            return self.on_node_up(now, name);
        }
        self.ask_if_doubtful(now, name);
    }

    /// Asks for a node that has said hello before the news of its start.
    pub(super) fn ask_if_doubtful(&mut self, now: Instant, name: &str) {
        let node = self.nodes.get_mut(name);
        if node.is_some_and(LocalNode::is_to_be_asked_for) {
            self.ask_if_started(now, name);
        }
    }

    /// A former agent may have had a process of this name ended that is still there, and looks for
    /// its agent. Supervisors of ours start no other one before it is gone.
    fn ask_if_started(&mut self, now: Instant, name: &str) {
        if self.supervisor.is_none() || self.is_full() {
            return self.trust_hello(now, name);
        }
        let (node, round) = (name.to_owned(), self.round);
        let reqid = self.await_answer(now, Waiting::Started { node, round });
        let node = name.to_owned();
        self.ask_supervisor(SupervisorRequest::Status { reqid, node });
    }

    /// The supervisor has not answered the order for a node. Its starts do not count before that, so
    /// its hello has to. Where a former process had its name, both orders may be lost, the one to end
    /// that too, and only the supervisor knows whose hello it is.
    pub(super) fn on_order_unanswered(&mut self, now: Instant, name: &str) {
        let node = self.nodes.get(name);
        if node.is_some_and(LocalNode::may_be_former) {
            self.ask_if_started(now, name);
        } else {
            self.trust_hello(now, name);
        }
    }

    /// Nobody says whether a node has started that has said hello.
    pub(super) fn trust_hello(&mut self, now: Instant, name: &str) {
        if self.change(name, LocalNode::on_unanswered) == Some(true) {
            self.on_node_up(now, name);
        }
    }

    /// The supervisor says whether a node has started that has said hello.
    pub(super) fn on_asked_if_started(&mut self, now: Instant, name: &str, status: &Status) {
        let pid = status.nodes.get(name).map(|found| found.pid);
        let Some((has_started, is_up)) = self.change(name, |node| {
            let before = node.starts();
            let is_up = node.on_asked_for(pid);
            (node.starts() > before, is_up)
        }) else {
            return;
        };
        if has_started {
            self.on_node_started(now, name);
        }
        if is_up {
            tracing::info!(name, "node is running, and has said hello before");
            self.on_node_up(now, name);
        }
    }

    /// Who has said hello as a node that has started is that node by now.
    pub(super) fn expire_settling(&mut self, now: Instant) {
        let settling = self.settling.iter();
        let due = settling.filter(|(_, until)| **until <= now);
        let due: Vec<String> = due.map(|(name, _)| name.clone()).collect();
        for name in due {
            self.settling.remove(&name);
            if self.change(&name, LocalNode::on_settled) == Some(true) {
                tracing::info!(name, "node is running, and has said hello before");
                self.on_node_up(now, &name);
            }
        }
        self.finish_return_if_complete();
    }

    pub(super) fn on_node_status(&mut self, now: Instant, message: &NodeStatusEvent) {
        let NodeStatusEvent::NodeStatus { node: name, pid } = message;
        let ended = self.nodes.get(name).and_then(LocalNode::ending);
        let Some(is_up) = self.change(name, |node| node.on_started(i64::try_from(*pid).ok()))
        else {
            return;
        };
        tracing::info!(name, pid, "node started");
        if ended.is_some() {
            let msg = format!("cluster node {name} was started again");
            self.notify_log(name, msg);
        }
        self.on_node_started(now, name);
        if is_up {
            tracing::info!(name, "node is running, and has said hello before");
            self.on_node_up(now, name);
        }
        self.check_hope(now, name);
    }

    pub(super) fn on_exit(&mut self, now: Instant, message: ExitEvent) {
        let ExitEvent::NotifyNodeExit {
            node: name,
            outputs,
        } = message;
        if self.change(&name, |node| node.on_exit(outputs)) != Some(true) {
            return;
        }
        let node = self.nodes.get(&name);
        if let Some(ending) = node.and_then(LocalNode::ending) {
            let msg = format!("cluster node {name} {ending}");
            self.notify_error(name.clone(), msg);
        }
        self.check_hope(now, &name);
    }

    /// A peer has gone that may have been a node.
    pub(super) fn on_node_lost(&mut self, id: EndpointId) {
        if let Some(name) = self.nodes.of_peer(id) {
            tracing::info!(name, %id, "node is not peered any more");
            self.change(&name, LocalNode::on_lost);
        }
    }

    pub(super) fn on_supervisor_lost(&mut self) {
        let msg = "agent has lost its supervisor".to_owned();
        self.notify_error(String::new(), msg);
        for name in self.nodes.names() {
            self.change(&name, LocalNode::on_supervisor_lost);
        }
    }

    /// Asks a supervisor that was away what has become of the nodes.
    pub(super) fn ask_what_is_left(&mut self, now: Instant, is_same: bool) {
        self.notify_log("", "agent has its supervisor again".to_owned());
        if !self.may_have_left_nodes() || self.is_clearing() {
            return;
        }
        let reqid = self.await_answer(now, Waiting::Return { is_same });
        let node = String::new();
        self.ask_supervisor(SupervisorRequest::Status { reqid, node });
    }

    /// A supervisor that only was not reachable has its nodes. Another one has none, so they are
    /// ordered anew, but for those whose turn in a deployment is still to come.
    pub(super) fn on_returned(&mut self, now: Instant, is_same: bool, status: &Status) {
        if self.is_clearing() {
            return;
        }
        self.end_leftovers(now, status);
        for name in self.nodes.names() {
            if self.nodes.get(&name).is_some_and(LocalNode::is_refused) || self.is_queued(&name) {
                continue;
            }
            let found = status.nodes.get(&name);
            let node = self.nodes.get(&name);
            if is_same && node.is_some_and(|node| node.is_order_lost(found.map(|it| it.pid))) {
                self.order_again(now, &name, found.map(|it| it.pid));
                continue;
            }
            if let Some(found) = found {
                let found = self.change(&name, |node| {
                    let before = node.starts();
                    let is_up = node.on_found(found.pid);
                    (node.starts() > before, is_up)
                });
                if let Some((true, _)) = found {
                    self.on_node_started(now, &name);
                }
                if let Some((_, true)) = found {
                    self.on_node_up(now, &name);
                }
            } else if is_same {
                self.change(&name, LocalNode::on_missing);
            } else {
                self.create_again(now, &name);
            }
        }
    }

    /// What was ordered got lost on the way: a node of that name may have had to end for it.
    fn order_again(&mut self, now: Instant, name: &str, former: Option<Option<i64>>) {
        tracing::warn!(name, "supervisor has not heard of the node; ordered again");
        self.drop_order(name);
        if let Some(pid) = former {
            self.end_node(now, name, pid);
        }
        self.change(name, LocalNode::on_ordered_again);
        if let Some(node) = self.nodes.get(name).map(|node| node.config().clone()) {
            self.create(now, &node);
        }
    }

    /// Nobody will answer the order for a node.
    fn drop_order(&mut self, name: &str) {
        let is_it =
            |waiting: &Waiting| matches!(waiting, Waiting::Create { node, .. } if node == name);
        let orders = self.waiting.iter_mut().filter(|(_, it)| is_it(it));
        let orders: Vec<String> = orders.map(|(id, _)| id.to_owned()).collect();
        for id in orders {
            self.waiting.finish(&id);
        }
        self.late_orders.retain(|_, node| node != name);
    }

    fn create_again(&mut self, now: Instant, name: &str) {
        let Some(node) = self.nodes.get(name).map(|node| node.config().clone()) else {
            return;
        };
        tracing::warn!(
            name,
            "supervisor does not know the node any more; ordered again"
        );
        self.change(name, |node| {
            *node = LocalNode::pending(node.config().clone());
        });
        self.create(now, &node);
    }

    /// Somebody else may have had the supervisor end nodes of ours.
    pub(super) fn note_missing(&mut self, status: &Status) {
        for name in self.nodes.names() {
            if !status.nodes.contains_key(&name) {
                self.change(&name, LocalNode::on_missing);
            }
        }
    }

    /// Does something to a node, and tells if its state has changed; `None` if there is no such
    /// node.
    pub(super) fn change<R>(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut LocalNode) -> R,
    ) -> Option<R> {
        let node = self.nodes.get_mut(name)?;
        let old = node.state();
        let result = act(node);
        let new = node.state();
        if old == new {
            return Some(result);
        }
        let n = node.config().clone();
        let (from, to) = (old.zeek_name(), new.zeek_name());
        tracing::info!(name, from, to, "node changed");
        let instance = self.settings.name.clone();
        self.respond(AgentResponse::Change {
            instance,
            n,
            old,
            new,
        });
        if old == State::Running {
            self.on_node_away(name);
        }
        Some(result)
    }

    /// Something is wrong that somebody should look at (API §5.8).
    pub(super) fn notify_error(&mut self, node: String, msg: String) {
        tracing::error!(node, "{msg}");
        let instance = self.settings.name.clone();
        self.respond(AgentResponse::Error {
            instance,
            msg,
            node,
        });
    }

    fn notify_log(&mut self, node: &str, msg: String) {
        tracing::info!(node, "{msg}");
        let instance = self.settings.name.clone();
        let node = node.to_owned();
        self.respond(AgentResponse::Log {
            instance,
            msg,
            node,
        });
    }

    /// Nobody shall wait for a node that will not come.
    fn check_hope(&mut self, now: Instant, name: &str) {
        let node = self.nodes.get(name);
        if let Some(why) = node.and_then(LocalNode::hopeless) {
            let why = format!("cluster node {name} {why}");
            self.on_node_failed(now, name, &why);
        }
    }
}
