//! Which configurations were staged and deployed when, and which may become so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use broker_proto::Port;
use mgmt::api::controller::ControllerRequest;
use mgmt::model::{ClusterRole, Configuration, Instance, Node};

use super::requests::{Answer, Fate, Request, Requests};
use super::{Rule, Violation};
use crate::seen::CONFIG_VARIABLE;

/// What becomes of what the disk was asked for by now is not known (API §15.1 P1).
const LATE: &str = "the disk has not answered in time";

/// What was asked for and nobody waits for any more comes to be within this time, if at all: the
/// longest deployment, behind a save that the disk is slow with, and saved as slowly.
const OVER: Duration = Duration::from_secs(120);

/// From the moment in which the disk has taken something to a controller that knows.
const LEARNED: Duration = Duration::from_secs(1);

/// What the controller's disk holds, and held.
#[derive(Debug)]
pub(super) struct Configs {
    history: Vec<Kept>,
    /// Every node of every configuration that ever was the deployed one: instance, name, and the
    /// configuration's mark.
    ordered: BTreeSet<[String; 3]>,
    /// Requests to stage and to deploy that may still come to be.
    pending: Vec<Pending>,
}

/// What the disk holds from one time on.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    pub(super) since: Duration,
    pub(super) staged: Option<Arc<Configuration>>,
    pub(super) deployed: Option<Arc<Configuration>>,
}

#[derive(Debug)]
struct Pending {
    request: Arc<Request>,
    /// Whether the disk took it.
    is_stored: bool,
    /// Whether it was answered, before the disk was.
    is_late: bool,
}

impl Default for Configs {
    fn default() -> Self {
        Self {
            history: vec![Kept::default()],
            ordered: BTreeSet::new(),
            pending: Vec::new(),
        }
    }
}

impl Configs {
    /// What is deployed.
    pub(super) fn deployed(&self) -> Option<&Arc<Configuration>> {
        self.history.last()?.deployed.as_ref()
    }

    /// What the disk has held at some moment since then, the latest first.
    pub(super) fn since(&self, from: Duration) -> impl Iterator<Item = &Kept> {
        let later = self.history.iter().rev();
        let n = later.take_while(|kept| kept.since > from).count();
        self.history.iter().rev().take(n + 1)
    }

    /// The same, and what the controller, which learns of a save a little later, may still go by.
    pub(super) fn around(&self, from: Duration) -> impl Iterator<Item = &Kept> {
        self.since(from.saturating_sub(LEARNED))
    }

    /// Whether a node was ever ordered by the configuration of this mark.
    pub(super) fn has_ordered(&self, process: &[String; 3]) -> bool {
        self.ordered.contains(process)
    }

    /// Somebody asks for a change, or for something else.
    pub(super) fn ask(&mut self, request: &Arc<Request>) {
        match &request.request {
            ControllerRequest::StageConfiguration { .. } | ControllerRequest::Deploy { .. } => {
                let request = Arc::clone(request);
                self.pending.push(Pending {
                    request,
                    is_stored: false,
                    is_late: false,
                });
            }
            ControllerRequest::GetInstances { .. }
            | ControllerRequest::GetConfiguration { .. }
            | ControllerRequest::GetNodes { .. }
            | ControllerRequest::GetIdValue { .. }
            | ControllerRequest::Restart { .. }
            | ControllerRequest::TestTimeout { .. } => {}
        }
    }

    /// A request to change something is answered: with success it has come to be; without, it never
    /// will, unless the disk has only not said so yet.
    pub(super) fn conclude(&mut self, answer: &Answer<'_>) -> Result<(), Violation> {
        let is_it = |it: &Pending| it.request.reqid() == answer.request.reqid();
        let Some(at) = self.pending.iter().position(is_it) else {
            return Ok(());
        };
        let has_failed = answer.results.last().is_none_or(|last| !last.success);
        let is_late = has_failed && answer.refusals().any(|error| error.ends_with(LATE));
        if is_late {
            if let Some(pending) = self.pending.get_mut(at) {
                pending.is_late = true;
            }
            return Ok(());
        }
        let pending = self.pending.remove(at);
        if has_failed && pending.is_stored {
            return Err(answer.wrong(Rule::NotStored, "told to have failed, though it is stored"));
        }
        Ok(())
    }

    /// Whoever had something pending is gone.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// Nothing comes of what was asked for long ago by somebody who has left, or was told that the
    /// disk is late.
    fn drop_over(&mut self, at: Duration, requests: &Requests) {
        self.pending.retain(|it| {
            let is_open = matches!(requests.fate(it.request.reqid()), Some(Fate::Open));
            is_open || at <= it.request.asked + OVER
        });
    }

    /// The disk has taken a save.
    pub(super) fn store(
        &mut self,
        at: Duration,
        requests: &Requests,
        deployed: Option<&Configuration>,
        staged: Option<&Configuration>,
    ) -> Result<(), Violation> {
        self.drop_over(at, requests);
        let now = self.history.last().cloned().unwrap_or_default();
        let mut next = Kept {
            since: at,
            ..now.clone()
        };
        if staged != now.staged.as_deref() {
            self.explain_staged(at, requests, staged)?;
            next.staged = staged.cloned().map(Arc::new);
        }
        if deployed != now.deployed.as_deref() {
            self.explain_deployed(at, requests, deployed)?;
            next.deployed = deployed.cloned().map(Arc::new);
        }
        for config in next.deployed.iter() {
            let nodes = config.nodes.iter();
            let nodes = nodes.filter_map(|node| {
                let mark = mark_of(node)?.to_owned();
                Some([node.instance.clone(), node.name.clone(), mark])
            });
            self.ordered.extend(nodes);
        }
        self.history.push(next);
        Ok(())
    }

    /// Only a client stages something, and each request does it once.
    fn explain_staged(
        &mut self,
        at: Duration,
        requests: &Requests,
        staged: Option<&Configuration>,
    ) -> Result<(), Violation> {
        let is_it = |it: &&mut Pending| match (&it.request.request, staged) {
            (ControllerRequest::StageConfiguration { config, .. }, Some(staged)) => {
                !it.is_stored && it.may_come_to_be(requests) && is_staged_as(config, staged)
            }
            (_, _) => false,
        };
        match self.pending.iter_mut().find(is_it) {
            Some(pending) => pending.is_stored = true,
            None => {
                let id = staged.map(|config| config.id.as_str());
                let text = format!("the disk has {id:?} for staged, which nobody stages");
                return Err(Violation::new(Rule::NotAskedFor, at, text));
            }
        }
        Ok(())
    }

    /// Only a client deploys something: what was staged at some moment since it asked. Addresses
    /// that were not known then may be filled in later.
    fn explain_deployed(
        &mut self,
        at: Duration,
        requests: &Requests,
        deployed: Option<&Configuration>,
    ) -> Result<(), Violation> {
        let id = deployed.map(|config| config.id.as_str());
        let wrong = |text| Err(Violation::new(Rule::NotAskedFor, at, text));
        let Some(deployed) = deployed else {
            return wrong("the disk has lost what was deployed".to_owned());
        };
        if let Some(text) = ports_missing(deployed) {
            return wrong(text);
        }
        // Whoever has asked to deploy it again meanwhile has another one still to come.
        let now = self.deployed();
        if now.is_some_and(|now| is_prepared_from(now, deployed)) {
            return Ok(());
        }
        let could_deploy = |it: &Pending| {
            let is_deployment = matches!(it.request.request, ControllerRequest::Deploy { .. });
            let mut staged = self
                .since(it.request.asked)
                .filter_map(|k| k.staged.as_ref());
            is_deployment
                && !it.is_stored
                && it.may_come_to_be(requests)
                && staged.any(|staged| is_prepared_from(staged, deployed))
        };
        if let Some(n) = self.pending.iter().position(could_deploy) {
            if let Some(pending) = self.pending.get_mut(n) {
                pending.is_stored = true;
            }
            return Ok(());
        }
        wrong(format!(
            "the disk has {id:?} for deployed, which nobody deploys"
        ))
    }
}

impl Pending {
    fn may_come_to_be(&self, requests: &Requests) -> bool {
        match requests.fate(self.request.reqid()) {
            Some(Fate::Open | Fate::Left | Fate::Lost) => true,
            Some(Fate::Answered(_)) => self.is_late,
            None => false,
        }
    }
}

/// What tells the configuration of a node.
pub(super) fn mark_of(node: &Node) -> Option<&str> {
    node.env.get(CONFIG_VARIABLE).map(String::as_str)
}

/// Whether one is the other as a client staged it; the id may be left to the controller (API §4.3).
pub(super) fn is_staged_as(sent: &Configuration, staged: &Configuration) -> bool {
    let is_id = sent.id == staged.id || (sent.id.is_empty() && !staged.id.is_empty());
    is_id && sent.instances == staged.instances && sent.nodes == staged.nodes
}

/// Whether one is the other but for hosts and ports that it lacked (API §4.3 C10, §7.2, §7.3).
fn is_prepared_from(from: &Configuration, to: &Configuration) -> bool {
    let instances = || from.instances.iter().zip(&to.instances);
    let nodes = || from.nodes.iter().zip(&to.nodes);
    let is_same_size =
        from.instances.len() == to.instances.len() && from.nodes.len() == to.nodes.len();
    from.id == to.id
        && is_same_size
        && instances().all(|(from, to)| {
            let may_learn = from.host.is_unspecified() && from.listen_port.is_none();
            let host = if may_learn { to.host } else { from.host };
            Instance {
                host,
                ..from.clone()
            } == *to
        })
        && nodes().all(|(from, to)| {
            Node {
                p: from.p.or_else(|| to.p.filter(|_| needs_port(to))),
                metrics_port: from.metrics_port.or(to.metrics_port),
                ..from.clone()
            } == *to
        })
}

/// Every node that others dial has a Broker port, every node a metrics port, and no two of one
/// instance the same.
fn ports_missing(config: &Configuration) -> Option<String> {
    for node in &config.nodes {
        let has_all = (node.p.is_some() || !needs_port(node)) && node.metrics_port.is_some();
        if !has_all {
            return Some(format!("{} is deployed without a port", node.name));
        }
    }
    let ports = config.nodes.iter().flat_map(|node| {
        let ports = [node.p, node.metrics_port].into_iter().flatten();
        ports.map(|port: Port| (&node.instance, port.number))
    });
    let mut taken = BTreeSet::new();
    for port in ports {
        if !taken.insert(port) {
            return Some(format!("port {} is deployed twice on {}", port.1, port.0));
        }
    }
    None
}

fn needs_port(node: &Node) -> bool {
    match node.role {
        ClusterRole::Manager | ClusterRole::Logger | ClusterRole::Proxy => true,
        ClusterRole::Worker | ClusterRole::None => false,
    }
}
