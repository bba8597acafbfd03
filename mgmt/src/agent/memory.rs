//! Going on with a cluster that outlived its agent, if the operator wants that (API §12.2 D43).
//!
//! A stock agent forgets: its nodes run on, and the controller, which sees a new agent, has them
//! all replaced. An agent with a memory has its configuration kept, and the next one of its name
//! takes it up again: it asks the supervisor whether all nodes are still there, waits for their
//! hellos, which they say to every agent they connect to, and only then offers itself to the
//! controller. That deploys the same configuration, and is told that it runs already.

#[cfg(test)]
mod tests;

use std::mem;
use std::time::Instant;

use supervisor::api::{Status, SupervisorRequest};

use super::deploy::plan::{self, Plan};
use super::nodes::{LocalNode, Nodes};
use super::{Agent, Output, Waiting};
use crate::model::{Configuration, Node, State};

/// What an agent makes of a former life.
#[derive(Debug, Default)]
pub(super) enum Memory {
    /// Nothing is kept, as in stock.
    #[default]
    Off,
    /// Configurations are kept, and there is none from before to look after.
    On,
    /// The nodes of a former life are in the table. The supervisor is to be asked about them.
    AwaitSupervisor,
    /// It is asked, with this id.
    AwaitStatus { reqid: String },
    /// It runs them all; they have until then to say hello.
    AwaitHellos { deadline: Instant },
}

impl Memory {
    /// Whether it is too early to say hello to the controller.
    pub(super) fn is_returning(&self) -> bool {
        match self {
            Self::Off | Self::On => false,
            Self::AwaitSupervisor | Self::AwaitStatus { .. } | Self::AwaitHellos { .. } => true,
        }
    }

    /// Whether the supervisor has yet to say what has become of the nodes.
    pub(super) fn is_to_be_checked(&self) -> bool {
        match self {
            Self::AwaitSupervisor | Self::AwaitStatus { .. } => true,
            Self::Off | Self::On | Self::AwaitHellos { .. } => false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::AwaitHellos { deadline } => Some(*deadline),
            Self::Off | Self::On | Self::AwaitSupervisor | Self::AwaitStatus { .. } => None,
        }
    }
}

impl Agent {
    /// The same agent, with a memory: it says what to keep ([`Output::Keep`]), and goes on with
    /// what was kept last.
    ///
    /// To be called before anything happens.
    #[must_use]
    pub fn with_memory(mut self, kept: Option<Configuration>) -> Self {
        self.memory = Memory::On;
        if let Some(config) = kept {
            let plan = Plan::new(config, &self.settings.name);
            let nodes = plan.local.into_iter().map(former_node).collect();
            self.nodes = Nodes::new(nodes, plan.cluster);
            self.current = Some(plan.id);
            self.memory = Memory::AwaitSupervisor;
        }
        self
    }

    /// From here on this configuration's nodes are ordered, or none.
    pub(super) fn keep(&mut self, config: Option<&Configuration>) {
        match self.memory {
            Memory::Off => return,
            Memory::On => {}
            // Whatever ran before ends.
            Memory::AwaitSupervisor | Memory::AwaitStatus { .. } | Memory::AwaitHellos { .. } => {
                self.finish_return();
            }
        }
        let config = config.cloned();
        self.outputs.push_back(Output::Keep { config });
    }

    /// Asks the supervisor that is there about the nodes of the former life.
    pub(super) fn ask_for_former_nodes(&mut self, now: Instant) {
        let reqid = match &self.memory {
            Memory::AwaitSupervisor => self.await_answer(now, Waiting::FormerNodes),
            // It was away when it was asked.
            Memory::AwaitStatus { reqid } => reqid.clone(),
            Memory::Off | Memory::On | Memory::AwaitHellos { .. } => return,
        };
        self.memory = Memory::AwaitStatus {
            reqid: reqid.clone(),
        };
        let node = String::new();
        self.ask_supervisor(SupervisorRequest::Status { reqid, node });
    }

    /// The supervisor's answer. Nodes that are gone are left to the controller, which deploys
    /// again if not all of them run.
    pub(super) fn on_former_nodes(&mut self, now: Instant, status: &Status) {
        let Memory::AwaitStatus { .. } = self.memory else {
            return;
        };
        // A name may have gone to a node of another configuration: the agent may have died between
        // one and the next.
        let is_there = |name: &String| {
            let known = self.nodes.get(name).zip(status.nodes.get(name));
            known.is_some_and(|(node, found)| {
                let order = plan::order(&self.settings, node.config(), self.nodes.cluster());
                plan::is_as_ordered(&found.node, &order)
            })
        };
        let names = self.nodes.names().into_iter();
        let (there, missing): (Vec<_>, Vec<_>) = names.partition(is_there);
        if there.is_empty() && !missing.is_empty() {
            tracing::warn!("all nodes of a former life are gone");
            return self.forget_former_nodes();
        }
        for name in &there {
            let pid = status.nodes.get(name).and_then(|found| found.pid);
            self.change(name, |node| node.on_outlived(pid));
            self.ask_if_doubtful(now, name);
        }
        for name in &missing {
            tracing::warn!(name, "node of a former life is gone, or is another one");
            self.change(name, LocalNode::on_missing);
        }
        let deadline = now + self.settings.request_timeout;
        self.memory = Memory::AwaitHellos { deadline };
        self.finish_return_if_complete();
    }

    /// The supervisor did not answer.
    pub(super) fn forget_former_nodes(&mut self) {
        self.current = None;
        self.nodes = Nodes::default();
        self.keep(None);
    }

    /// Offers the agent as soon as it is known how each node is doing. To be called after whatever
    /// happens.
    pub(super) fn finish_return_if_complete(&mut self) {
        if self.memory.deadline().is_none() || !self.pending_nodes().is_empty() {
            return;
        }
        let nodes = self.nodes.iter().count();
        let config = self.current.as_deref();
        tracing::info!(config, nodes, "nodes of a former life adopted");
        self.finish_return();
    }

    /// Offers the agent with the nodes that came. The controller will deploy and so mend the rest.
    pub(super) fn expire_return(&mut self, now: Instant) {
        if self.memory.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let silent = self.pending_nodes().join(", ");
        tracing::warn!(silent, "not all nodes of a former life have said hello");
        self.finish_return();
    }

    fn pending_nodes(&self) -> Vec<&str> {
        let nodes = self.nodes.iter();
        let pending = nodes.filter(|(_, node)| node.state() == State::Pending);
        pending.map(|(name, _)| name).collect()
    }

    fn finish_return(&mut self) {
        if mem::replace(&mut self.memory, Memory::On).is_returning() {
            self.say_hello();
        }
    }
}

/// As it was before the agent went.
fn former_node(config: Node) -> LocalNode {
    if plan::refusal(&config).is_none() {
        return LocalNode::returning(config);
    }
    let mut node = LocalNode::pending(config);
    node.on_refused();
    node
}
