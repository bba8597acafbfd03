//! The machine over all units: SupervisorControl requests in, orders to the system out (API §9).

mod refusal;
mod shutdown;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use tracing::{debug, info, warn};

use crate::api::{
    Cluster, ExitEvent, LivesRequest, LivesResponse, NodeConfig, NodeStatusEvent, Status,
    SupervisorRequest, SupervisorResponse,
};
use crate::host::{ChildId, HostInput, HostOutput};
use crate::settings::Settings;
use crate::unit::{Ended, Unit};
use shutdown::Descent;

/// Requests kept while a directory is being made.
const MAX_WAITING: usize = 4096;

/// What happened, or what somebody asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "handled at once, never kept")]
pub enum Input {
    /// A peer asks.
    Request {
        /// For what.
        request: SupervisorRequest,
    },
    /// A peer asks how nodes fare. Answered at once, whatever else waits.
    Lives {
        /// For which.
        request: LivesRequest,
    },
    /// The operating system reports.
    Host {
        /// What.
        input: HostInput,
    },
    /// Log how every unit is.
    LogStatus,
    /// Have our own programs read again what can change while they run.
    Reload,
    /// Stop all units, then report [`Output::Stopped`].
    Shutdown,
}

/// What the caller must do, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Publish on [`SupervisorResponse::topic`].
    Respond {
        /// The answer.
        response: SupervisorResponse,
    },
    /// Publish on [`LivesResponse::topic`].
    Lives {
        /// The answer.
        response: LivesResponse,
    },
    /// Publish on [`NODE_STATUS_TOPIC`](crate::api::NODE_STATUS_TOPIC).
    NodeStatus {
        /// The news.
        event: NodeStatusEvent,
    },
    /// Publish on [`EXIT_TOPIC`](crate::api::EXIT_TOPIC).
    NodeExit {
        /// The news.
        event: ExitEvent,
    },
    /// Have the operating system do something.
    Host {
        /// What.
        output: HostOutput,
    },
    /// After [`Input::Shutdown`] or a stop request: no process is left.
    Stopped,
}

/// All units of one supervisor.
#[derive(Debug)]
pub struct Supervisor {
    settings: Settings,
    /// All units that have or may get a process, by id. A forgotten one stays until it is gone.
    units: BTreeMap<u64, Unit>,
    /// The units peers know of, by name.
    listed: BTreeMap<String, u64>,
    last_unit: u64,
    /// That of the node whose creation was asked for last.
    last_cluster: Cluster,
    intake: Intake,
    out: VecDeque<Output>,
}

/// What happens to requests.
#[derive(Debug)]
enum Intake {
    Open,
    /// A create waits for its directory; later requests wait for its answer, as stock handles one
    /// request after the other.
    Preparing {
        reqid: String,
        node: Box<NodeConfig>,
        waiting: VecDeque<SupervisorRequest>,
    },
    /// No more requests: all units stop, in order.
    Stopping(Descent),
    Stopped,
}

impl Supervisor {
    /// A supervisor that starts its own units at once.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let mut supervisor = Self {
            settings,
            units: BTreeMap::new(),
            listed: BTreeMap::new(),
            last_unit: 0,
            last_cluster: Cluster::default(),
            intake: Intake::Open,
            out: VecDeque::new(),
        };
        for own in supervisor.settings.own.clone() {
            let id = supervisor.next_unit();
            let unit = Unit::own(id, &own, &supervisor.settings);
            supervisor.add(now, id, unit);
        }
        supervisor
    }

    /// One thing happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Request { mut request } => {
                self.unify_cluster(&mut request);
                self.on_request(now, request);
            }
            Input::Lives { request } => self.on_lives(now, request),
            Input::Host { input } => self.on_host(now, input),
            Input::LogStatus => self.units.values().for_each(|unit| unit.log_status(now)),
            Input::Reload => {
                let units = self.units.values();
                units.for_each(|unit| unit.reload(&mut self.out));
            }
            Input::Shutdown => self.on_shutdown(now),
        }
        self.settle(now);
    }

    /// A deadline passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = self.units.iter_mut();
        let due = due.filter(|(_, unit)| unit.deadline().is_some_and(|at| at <= now));
        let mut due: Vec<(&u64, &mut Unit)> = due.collect();
        // What starts together starts in the order opposite to that of the end.
        due.sort_by_key(|(id, unit)| (Reverse(unit.rank()), **id));
        for (_, unit) in due {
            unit.on_due(now, &mut self.out);
        }
        self.settle(now);
    }

    /// What the caller must do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`Supervisor::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let stage = match &self.intake {
            Intake::Stopping(descent) => descent.deadline(),
            Intake::Open | Intake::Preparing { .. } | Intake::Stopped => None,
        };
        let units = self.units.values().filter_map(Unit::deadline);
        units.chain(stage).min()
    }

    /// Whether a request is answered now or later: not while all units stop, and not if too many
    /// wait for a directory.
    pub(crate) fn takes_requests(&self) -> bool {
        match &self.intake {
            Intake::Open => true,
            Intake::Preparing { waiting, .. } => waiting.len() < MAX_WAITING,
            Intake::Stopping(_) | Intake::Stopped => false,
        }
    }

    fn on_lives(&mut self, now: Instant, request: LivesRequest) {
        let LivesRequest::Lives { reqid, node } = request;
        let units = self.ids(&node).into_iter();
        let units = units.filter_map(|id| self.units.get(&id));
        let lives = units.map(|unit| (unit.name().to_owned(), unit.life(now)));
        let lives = lives.collect();
        let response = LivesResponse::Lives { reqid, lives };
        self.out.push_back(Output::Lives { response });
    }

    /// Nodes of one cluster come one after the other, and may have to wait for each other.
    fn unify_cluster(&mut self, request: &mut SupervisorRequest) {
        if let SupervisorRequest::Create { node, .. } = request
            && !node.cluster.unify(&self.last_cluster)
        {
            self.last_cluster = node.cluster.clone();
        }
    }

    fn on_request(&mut self, now: Instant, request: SupervisorRequest) {
        match &mut self.intake {
            Intake::Open => self.serve(now, request),
            Intake::Preparing { waiting, .. } if waiting.len() < MAX_WAITING => {
                waiting.push_back(request);
            }
            Intake::Preparing { .. } => {
                let event = request.event_name();
                warn!(
                    event,
                    "too many requests wait for a directory; one is dropped"
                );
            }
            Intake::Stopping(_) | Intake::Stopped => {
                let event = request.event_name();
                debug!(event, "request ignored while stopping");
            }
        }
    }

    fn serve(&mut self, now: Instant, request: SupervisorRequest) {
        match request {
            SupervisorRequest::Create { reqid, node } => self.on_create(now, reqid, node),
            SupervisorRequest::Status { reqid, node } => {
                let result = self.status(&node);
                self.respond(SupervisorResponse::Status { reqid, result });
            }
            SupervisorRequest::Restart { reqid, node } => {
                let result = self.restart(now, &node);
                self.respond(SupervisorResponse::Restart { reqid, result });
            }
            SupervisorRequest::Destroy { reqid, node } => {
                let result = self.destroy(now, &node);
                self.respond(SupervisorResponse::Destroy { reqid, result });
            }
            SupervisorRequest::Stop {} => self.on_shutdown(now),
        }
    }

    fn on_create(&mut self, now: Instant, reqid: String, node: NodeConfig) {
        let is_known = self.listed.contains_key(&node.name);
        let refusal = refusal::by_stock(&node, is_known).or_else(|| refusal::by_us(&node));
        if let Some(result) = refusal {
            info!(node = node.name, reason = result, "create refused");
            self.respond(SupervisorResponse::Create { reqid, result });
            return;
        }
        let Some(path) = node.directory.clone() else {
            self.accept(now, reqid, node);
            return;
        };
        self.intake = Intake::Preparing {
            reqid,
            node: Box::new(node),
            waiting: VecDeque::new(),
        };
        let output = HostOutput::MakeDirectory { path };
        self.out.push_back(Output::Host { output });
    }

    fn on_directory_made(&mut self, now: Instant, result: Result<(), String>) {
        let intake = std::mem::replace(&mut self.intake, Intake::Open);
        let Intake::Preparing {
            reqid,
            node,
            waiting,
        } = intake
        else {
            self.intake = intake;
            return;
        };
        match result {
            Ok(()) => self.accept(now, reqid, *node),
            Err(reason) => {
                let path = node.directory.unwrap_or_default();
                warn!(
                    node = node.name,
                    path, reason, "directory cannot be created"
                );
                let result = format!("failed to create working directory {path}\n");
                self.respond(SupervisorResponse::Create { reqid, result });
            }
        }
        for request in waiting {
            self.on_request(now, request);
        }
    }

    fn accept(&mut self, now: Instant, reqid: String, node: NodeConfig) {
        info!(node = node.name, "node created");
        let id = self.next_unit();
        let unit = Unit::stem(id, node, &self.settings);
        let result = String::new();
        self.respond(SupervisorResponse::Create { reqid, result });
        self.add(now, id, unit);
    }

    fn status(&self, node: &str) -> Status {
        let known = self.listed.iter();
        let nodes = known
            .filter(|(name, _)| node.is_empty() || *name == node)
            .filter_map(|(name, id)| Some((name.clone(), self.units.get(id)?.status())))
            .collect();
        Status { nodes }
    }

    fn restart(&mut self, now: Instant, node: &str) -> bool {
        let ids = self.ids(node);
        for id in &ids {
            if let Some(unit) = self.units.get_mut(id) {
                info!(node = unit.name(), "restart asked for");
                unit.on_restart(now, &mut self.out);
            }
        }
        node.is_empty() || !ids.is_empty()
    }

    fn destroy(&mut self, now: Instant, node: &str) -> bool {
        let ids = self.ids(node);
        for id in &ids {
            if let Some(unit) = self.units.get_mut(id) {
                info!(node = unit.name(), "destroy asked for");
                self.listed.remove(unit.name());
                unit.on_stop(now, &mut self.out);
            }
        }
        node.is_empty() || !ids.is_empty()
    }

    fn on_host(&mut self, now: Instant, input: HostInput) {
        match input {
            HostInput::DirectoryMade { result } => self.on_directory_made(now, result),
            HostInput::Spawned { child, pid } => {
                self.with(child, |unit, out| unit.on_spawned(now, pid, out));
            }
            HostInput::SpawnFailed { child, reason } => {
                self.with(child, |unit, out| unit.on_spawn_failed(now, reason, out));
            }
            HostInput::Message { child, chunk } => {
                self.with(child, |unit, out| unit.on_message(now, &chunk, out));
            }
            HostInput::Printed {
                child,
                stream,
                chunk,
            } => self.with(child, |unit, out| unit.on_printed(stream, &chunk, out)),
            HostInput::Exited {
                child,
                pid,
                ending,
                group,
            } => {
                let end = Ended { pid, ending, group };
                self.with(child, |unit, out| unit.on_exited(now, end, out));
            }
        }
    }

    /// Acts on the unit whose living child this is. Reports about others are old news.
    fn with(&mut self, child: ChildId, act: impl FnOnce(&mut Unit, &mut VecDeque<Output>)) {
        match self.units.get_mut(&child.unit) {
            Some(unit) if unit.child() == child => act(unit, &mut self.out),
            _ => debug!(%child, "report about a child that is gone"),
        }
    }

    fn add(&mut self, now: Instant, id: u64, mut unit: Unit) {
        if self.is_free(unit.name()) {
            unit.on_name_free(now, &mut self.out);
        }
        self.listed.insert(unit.name().to_owned(), id);
        self.units.insert(id, unit);
    }

    fn is_free(&self, name: &str) -> bool {
        self.units.values().all(|unit| unit.name() != name)
    }

    /// Forgets what is gone until nothing follows from that any more.
    fn settle(&mut self, now: Instant) {
        self.drop_gone(now);
        while self.descend(now) {
            self.drop_gone(now);
        }
        self.end_if_empty();
    }

    /// Forgets units without a future, and starts those that waited for their names.
    fn drop_gone(&mut self, now: Instant) {
        let gone = self.units.iter().filter(|(_, unit)| unit.is_gone());
        let gone: Vec<u64> = gone.map(|(id, _)| *id).collect();
        for id in gone {
            let Some(unit) = self.units.remove(&id) else {
                continue;
            };
            if self.listed.get(unit.name()) == Some(&id) {
                self.listed.remove(unit.name());
            }
            let mut same_name = self.units.values_mut().filter(|u| u.name() == unit.name());
            if let Some(heir) = same_name.next() {
                heir.on_name_free(now, &mut self.out);
            }
        }
    }

    /// The units a request means; an empty name means all.
    fn ids(&self, node: &str) -> Vec<u64> {
        if node.is_empty() {
            return self.listed.values().copied().collect();
        }
        self.listed.get(node).copied().into_iter().collect()
    }

    fn next_unit(&mut self) -> u64 {
        self.last_unit += 1;
        self.last_unit
    }

    fn respond(&mut self, response: SupervisorResponse) {
        self.out.push_back(Output::Respond { response });
    }
}
