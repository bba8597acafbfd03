//! Who has the configuration in force, and sending it to those who do not.
//!
//! Every agent that becomes ready is sent the configuration in force, because it may have lost its
//! nodes; agents that run it say so at once. The others are left alone (API §4.4 C16, §12.1 D03).
//! An agent that refuses it as a whole, because it has no supervisor or a silent one, has done nothing
//! about it, and is asked again after a while: it may not have left when its supervisor is back.
//! An agent is told to take it in any case (`force`) if it may have it without all of its nodes
//! running: stock agents take the id for the thing (API §5.3 A6, §12.1 D08).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_proto::zeek::{Any, ToData};
use broker_proto::{Address, ByteString};
use tracing::{debug, info, warn};

use super::configs::Change;
use super::deadlines::Deadlines;
use super::deploy::LAUNCH;
use super::fanout::in_own_name;
use super::{Controller, Output, Sender, TIMED_OUT};
use crate::api::ApiResult;
use crate::api::agent::AgentRequest;
use crate::audit::cut;
use crate::log::Record;
use crate::model::diff::InstanceDiff;
use crate::model::ports::needs_broker_port;
use crate::model::{Configuration, NodeOutputs, NodeStatus, State};

/// The configuration in force and where each of its instances stands.
#[derive(Debug, Default)]
pub(super) struct Rollout {
    /// Shared with the orders to agents, of which there may be thousands at a time.
    config: Option<Arc<Configuration>>,
    /// The names of its nodes, by instance.
    nodes: BTreeMap<String, Vec<String>>,
    stages: BTreeMap<String, Stage>,
    /// Those that are due and not known to be away: became due, or ready, since it was looked last.
    deliverable: BTreeSet<String>,
    /// The instances without a host.
    homeless: BTreeSet<String>,
    /// When those that have refused are asked again.
    repeats: Deadlines,
    /// Those who may have overheard a standby just now.
    overheard: BTreeSet<String>,
    /// How long they were waited for the last time.
    pauses: BTreeMap<String, Duration>,
}

/// Where one instance stands.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Stage {
    /// It shall get the configuration as soon as it is ready.
    Due { force: bool },
    /// It was sent the configuration with this id, at that time.
    Sent { child: String, at: Instant },
    /// It has answered that all is well.
    Taken,
    /// It has answered that not all is well.
    Failed,
    /// It has answered that it does nothing about it, or may have overheard a standby, and is sent it
    /// again after a while.
    Refused { force: bool },
}

/// How long behind a standby an agent is sent the configuration that may have overheard it: a stock
/// agent whose name is a prefix acts on it, after a deployment that came right behind it (API §12.1
/// D01, §13.1).
const STANDBY_PAUSE: Duration = Duration::from_secs(1);

/// Before an agent that has refused is asked again: the first time, and at most.
const PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

impl Stage {
    fn is_due(&self) -> bool {
        match self {
            Self::Due { .. } => true,
            Self::Sent { .. } | Self::Taken | Self::Failed | Self::Refused { .. } => false,
        }
    }
}

impl Rollout {
    /// Everybody gets the configuration of a controller that was restarted.
    pub(super) fn restored(config: Configuration) -> Self {
        let names = config.instances.iter().map(|i| i.name.clone());
        let due = Stage::Due { force: false };
        let stages = names.map(|name| (name, due.clone())).collect();
        Self::of(config, stages)
    }

    fn of(config: Configuration, stages: BTreeMap<String, Stage>) -> Self {
        let mut nodes = BTreeMap::<String, Vec<String>>::new();
        for node in &config.nodes {
            let names = nodes.entry(node.instance.clone()).or_default();
            names.push(node.name.clone());
        }
        let instances = config.instances.iter();
        let homeless = instances.filter(|i| i.host.is_unspecified() && i.listen_port.is_none());
        let homeless = homeless.map(|i| i.name.clone()).collect();
        let due = stages.iter().filter(|(_, stage)| stage.is_due());
        let deliverable = due.map(|(name, _)| name.clone()).collect();
        Self {
            config: Some(Arc::new(config)),
            nodes,
            stages,
            deliverable,
            homeless,
            repeats: Deadlines::default(),
            pauses: BTreeMap::new(),
            overheard: BTreeSet::new(),
        }
    }

    /// An agent can be sent what is due.
    pub(super) fn on_ready(&mut self, name: &str) {
        if self.stages.get(name).is_some_and(Stage::is_due) {
            self.deliverable.insert(name.to_owned());
        }
    }

    /// The names of an instance's nodes.
    fn nodes_of(&self, name: &str) -> &[String] {
        self.nodes.get(name).map_or(&[], Vec::as_slice)
    }

    /// An agent that went may come back without its nodes. One that went in the middle may also
    /// come back with the configuration, but not with all of its nodes.
    pub(super) fn on_lost(&mut self, name: &str) {
        if let Some(stage) = self.stages.get_mut(name) {
            let force = match stage {
                Stage::Due { force } | Stage::Refused { force } => *force,
                Stage::Sent { .. } => true,
                Stage::Taken | Stage::Failed => false,
            };
            *stage = Stage::Due { force };
            self.repeats.remove(name);
            self.pauses.remove(name);
            self.deliverable.insert(name.to_owned());
        }
    }

    /// Another agent is told to stand by. If the name of one is a prefix of that one's, a stock agent
    /// overhears it, ends its nodes and forgets the configuration, also after one that comes right
    /// behind (API §12.1 D01). So it gets it anew when that is over.
    pub(super) fn on_standby(&mut self, told: &str) {
        let shorter = (0..told.len()).filter_map(|len| told.get(..len));
        let stages = &self.stages;
        let overheard = shorter.filter(|name| stages.contains_key(*name));
        self.overheard.extend(overheard.map(str::to_owned));
    }

    /// Puts off those that are having their nodes ended by mistake.
    pub(super) fn heed_standbys(&mut self, now: Instant) {
        for name in std::mem::take(&mut self.overheard) {
            let Some(stage) = self.stages.get_mut(&name) else {
                continue;
            };
            let force = match stage {
                Stage::Due { force } | Stage::Refused { force } => *force,
                Stage::Sent { .. } => true,
                Stage::Taken | Stage::Failed => false,
            };
            *stage = Stage::Refused { force };
            self.deliverable.remove(&name);
            self.repeats.set(name, now + STANDBY_PAUSE);
        }
    }

    /// An agent has answered.
    fn on_answer(&mut self, now: Instant, name: &str, stage: Stage) {
        if let Stage::Refused { .. } = stage {
            let twice = self.pauses.get(name).map(|pause| *pause * 2);
            let pause = twice.unwrap_or(PAUSE).min(LONGEST_PAUSE);
            self.repeats.set(name.to_owned(), now + pause);
            self.pauses.insert(name.to_owned(), pause);
        } else {
            self.pauses.remove(name);
        }
        self.stages.insert(name.to_owned(), stage);
    }

    /// What a new configuration means for its instances. If it is the same one again, what agents
    /// are doing with it counts, and what failed is tried again.
    fn successor(&self, now: Instant, config: Configuration) -> Self {
        let current = self.config.as_deref();
        let current = current.filter(|current| current.id == config.id);
        let is_same = current == Some(&config);
        let stage = |name: &String| {
            let former = self.stages.get(name).filter(|_| current.is_some());
            match former {
                None => Stage::Due { force: false },
                Some(Stage::Due { force } | Stage::Refused { force }) => {
                    Stage::Due { force: *force }
                }
                Some(Stage::Taken) => Stage::Due { force: !is_same },
                Some(Stage::Failed) => Stage::Due { force: true },
                Some(Stage::Sent { child, at }) if is_same && now < *at + LAUNCH => Stage::Sent {
                    child: child.clone(),
                    at: *at,
                },
                Some(Stage::Sent { .. }) => Stage::Due { force: true },
            }
        };
        let names = config.instances.iter().map(|i| i.name.clone());
        let stages = names.map(|name| (name.clone(), stage(&name)));
        let stages = stages.collect();
        Self::of(config, stages)
    }

    /// Notes the host of an instance that was away when the configuration was deployed. If others
    /// dial its nodes, everybody needs the configuration again.
    fn learn_host(&mut self, name: &str, host: Address) {
        let Some(config) = &mut self.config else {
            return;
        };
        let config = Arc::make_mut(config);
        self.homeless.remove(name);
        config.learn_hosts(&BTreeMap::from([(name.to_owned(), host)]));
        let mut nodes = config.nodes.iter().filter(|node| node.instance == name);
        let is_dialed = nodes.any(|node| needs_broker_port(node.role));
        if is_dialed {
            let others = self.stages.iter_mut().filter(|(other, _)| *other != name);
            for (other, stage) in others {
                *stage = Stage::Due { force: true };
                self.repeats.remove(other);
                self.deliverable.insert(other.clone());
            }
        }
    }
}

impl Controller {
    /// Puts in force what was stored after its deployment had given up on the disk.
    pub(super) fn adopt_stored(&mut self, now: Instant) {
        let current = self.rollout.config.as_ref().map(|config| &config.id);
        let Some(config) = self.configs.deployed() else {
            return;
        };
        if self.configs.is_saving() || current == Some(&config.id) {
            return;
        }
        let config = config.clone();
        let diff = InstanceDiff::new(self.instances.wanted(), &config.instances);
        self.put_in_force(now, &diff, config);
    }

    /// Makes a configuration the one that agents have to have, and its instances the wanted ones,
    /// which differ so from those before.
    pub(super) fn put_in_force(
        &mut self,
        now: Instant,
        diff: &InstanceDiff,
        config: Configuration,
    ) {
        self.want(now, diff, &config);
        self.rollout = self.rollout.successor(now, config);
        let moved = diff.reconnect.iter().map(|moved| &moved.to);
        for instance in diff.drop.iter().chain(moved) {
            self.rollout.on_standby(&instance.name);
        }
    }

    /// Sends the configuration in force to agents that are ready and lack it, unless a deployment is
    /// about to put another one in force.
    pub(super) fn deliver_due(&mut self, now: Instant) {
        self.rollout.heed_standbys(now);
        if self.is_about_to_deploy() {
            return;
        }
        self.learn_hosts();
        for name in self.rollout.repeats.take_due(now) {
            if let Some(stage) = self.rollout.stages.get_mut(&name)
                && let Stage::Refused { force } = *stage
            {
                *stage = Stage::Due { force };
                self.rollout.deliverable.insert(name);
            }
        }
        let deliverable = std::mem::take(&mut self.rollout.deliverable).into_iter();
        let due: Vec<(String, bool)> = deliverable
            .filter(|name| self.instances.is_ready(name))
            .filter_map(|name| match self.rollout.stages.get(&name) {
                Some(Stage::Due { force }) => Some((name, *force)),
                Some(Stage::Sent { .. } | Stage::Taken | Stage::Failed | Stage::Refused { .. })
                | None => None,
            })
            .collect();
        let config = self.rollout.config.clone().filter(|_| !due.is_empty());
        let Some(config) = config else {
            return;
        };
        for (name, force) in due {
            let child = self.ids.unique_id();
            info!(instance = %name, config = %config.id, force, "sending the configuration");
            self.warn_of_address(&config, &name);
            self.notices.forget(&name);
            if self.deployment.is_none() {
                let text = "no deployment in progress, triggering via";
                self.log(Record::info(format!("{text} {child}")));
            }
            self.outputs.push_back(Output::Deploy {
                instance: name.clone(),
                reqid: child.clone(),
                config: Arc::clone(&config),
                force,
            });
            if let Some(deployment) = &mut self.deployment {
                deployment.on_sent(now, &name, self.settings.request_timeout);
            }
            self.rollout
                .stages
                .insert(name, Stage::Sent { child, at: now });
        }
    }

    /// When an agent that has refused is asked again.
    pub(super) fn next_repetition(&self) -> Option<Instant> {
        let next = self.rollout.repeats.next();
        next.filter(|_| !self.is_about_to_deploy())
    }

    fn is_about_to_deploy(&self) -> bool {
        self.deployment.as_ref().is_some_and(|d| !d.is_launching())
    }

    /// Agents that were away when the configuration was deployed are there for the first time.
    fn learn_hosts(&mut self) {
        let homeless = self.rollout.homeless.iter();
        let hosts: BTreeMap<String, Address> = homeless
            .filter_map(|name| Some((name.clone(), self.instances.host_of(name)?)))
            .collect();
        for (name, host) in &hosts {
            info!(instance = %name, %host, "learned the host of an instance");
            self.rollout.learn_host(name, *host);
        }
        if !hosts.is_empty() {
            self.change(Change::Learned { hosts });
        }
    }

    /// Other nodes are told of another address only by the next deployment, because that restarts
    /// them.
    fn warn_of_address(&self, config: &Configuration, name: &str) {
        let mut instances = config.instances.iter();
        let deployed = instances.find(|i| i.name == name && i.listen_port.is_none());
        if let (Some(deployed), Some(host)) = (deployed, self.instances.host_of(name))
            && deployed.host != host
        {
            let deployed = deployed.host;
            warn!(instance = name, %host, %deployed, "instance has another address than deployed");
        }
    }

    /// Answers of agents that were not asked, or not any more, are common: stock agents answer some
    /// requests twice (API §12.2 D30, D31). One that comes after the deployment has ended counts for
    /// what the agent has.
    pub(super) fn on_deploy_response(
        &mut self,
        now: Instant,
        sender: &Sender,
        reqid: &str,
        results: Vec<ApiResult>,
    ) {
        let name = sender.instance.as_str();
        let is_genuine = self.instances.is_genuine(sender);
        let sent = match self.rollout.stages.get(name) {
            Some(Stage::Sent { child, at }) => Some(*at).filter(|_| child == reqid),
            Some(Stage::Due { .. } | Stage::Taken | Stage::Failed | Stage::Refused { .. })
            | None => None,
        };
        let Some(sent) = sent.filter(|_| is_genuine) else {
            debug!(instance = name, reqid, "ignored a deployment's answer");
            return;
        };
        let results: Vec<ApiResult> = in_own_name(results, name)
            .into_iter()
            .map(|result| self.with_printable_outputs(result, name))
            .collect();
        // Without nodes, a stock agent fails by timeout (API §12.1 D02).
        let has_nodes = !self.rollout.nodes_of(name).is_empty();
        let mut failures = results.iter().filter(|result| !result.success);
        let is_well = match has_nodes {
            true => failures.next().is_none(),
            false => failures.all(|failure| failure.error.as_deref() == Some(TIMED_OUT)),
        };
        let is_about_nodes = results.iter().any(|result| result.node.is_some());
        // A stock agent that has ended its nodes, but not ordered new ones, takes it for running.
        let mut errors = results.iter().filter_map(|result| result.error.as_deref());
        let force = has_nodes && errors.any(|error| error == TIMED_OUT);
        let stage = match is_well {
            true => Stage::Taken,
            false if is_about_nodes => Stage::Failed,
            false => Stage::Refused { force },
        };
        let is_refused = matches!(stage, Stage::Refused { .. });
        self.rollout.on_answer(now, name, stage);
        let is_running = is_well && has_nodes && results.iter().any(|r| r.node.is_none());
        let deployment = self.deployment.as_ref().filter(|d| d.is_awaited(name));
        // Nodes that were up before the client asked may not be any more.
        let is_old = deployment.is_some_and(|d| d.is_later_than(sent))
            && results.iter().any(|r| r.success && r.node.is_some());
        if deployment.is_some() && (is_running || is_old) {
            return self.ask_how_nodes_are(name, results);
        }
        let deployment = self.deployment.as_mut();
        if deployment.is_some_and(|d| d.on_answer(name, &results)) {
            return self.advance(now);
        }
        let config = self
            .rollout
            .config
            .as_ref()
            .map(|config| config.id.as_str());
        if is_well {
            info!(instance = name, config, "agent has the configuration");
            return;
        }
        let failures = results.iter().filter(|result| !result.success);
        let error = failures.clone().find_map(|result| result.error.as_deref());
        let (failures, error) = (failures.count(), error.map(cut));
        if is_refused {
            warn!(
                instance = name,
                config, error, "agent did not take the configuration"
            );
        } else {
            warn!(
                instance = name,
                config, failures, error, "agent has failed nodes"
            );
        }
    }

    /// An agent that runs the configuration already says nothing about its nodes (API §5.3 A6). The
    /// client is told how they are all the same.
    fn ask_how_nodes_are(&mut self, name: &str, mut results: Vec<ApiResult>) {
        let child = self.ids.unique_id();
        results.retain(|result| result.node.is_some() || !result.success);
        if let Some(deployment) = &mut self.deployment {
            deployment.on_check(child.clone(), name, results);
        }
        self.tell(name, AgentRequest::GetNodes { reqid: child });
    }

    /// An agent says how its nodes are; `false` if it was not asked. What it has said of nodes that
    /// failed remains. With a failure of its own it tells what it has from the nodes' links, which
    /// may be dead for a while.
    pub(super) fn on_check_answer(
        &mut self,
        now: Instant,
        sender: &Sender,
        child: &str,
        result: &ApiResult,
    ) -> bool {
        let name = sender.instance.as_str();
        let is_genuine = self.instances.is_genuine(sender);
        let deployment = self.deployment.as_mut().filter(|_| is_genuine);
        let Some(deployment) = deployment.filter(|d| d.is_awaited(name)) else {
            return false;
        };
        let Some(mut results) = deployment.end_check(child, name) else {
            return false;
        };
        results.retain(|result| !result.success);
        let doubt = result.error.as_deref().unwrap_or_default();
        let doubt = Some(doubt).filter(|_| !result.success);
        let list = result.data.clone().map(Any::read::<Vec<NodeStatus>>);
        if let Some(Ok(list)) = list {
            let has_failed = |node: &str| results.iter().any(|it| it.node.as_deref() == Some(node));
            let nodes = self.rollout.nodes_of(name).iter();
            let nodes: Vec<&String> = nodes.filter(|node| !has_failed(node)).collect();
            let mut is_complete = true;
            for node in nodes {
                let status = list.iter().find(|status| status.node == *node);
                is_complete &= status.is_some();
                results.push(node_result(node, status, name, doubt));
            }
            // It has taken the configuration for running, and would again.
            if let Some(stage @ Stage::Taken) = self.rollout.stages.get_mut(name)
                && !is_complete
            {
                *stage = Stage::Failed;
            }
        }
        deployment.on_answer(name, &results);
        self.advance(now);
        true
    }

    /// Data other than a node's output would break stock's client, and of a failed node it shows only
    /// that (CLIENT §C7). So what its agent said about the node goes there if there is nothing else.
    fn with_printable_outputs(&self, result: ApiResult, instance: &str) -> ApiResult {
        let outputs = result.data.map(Any::read::<NodeOutputs>);
        let outputs = outputs.and_then(Result::ok);
        let reason = result.node.as_ref().filter(|_| !result.success);
        let reason = reason.and_then(|node| self.notices.reason(instance, node));
        let is_silent = |outputs: &NodeOutputs| {
            outputs.stdout.as_bytes().is_empty() && outputs.stderr.as_bytes().is_empty()
        };
        let outputs = match reason {
            Some(reason) if outputs.as_ref().is_none_or(is_silent) => Some(NodeOutputs {
                stdout: ByteString::from(""),
                stderr: ByteString::from(reason),
            }),
            Some(_) | None => outputs,
        };
        ApiResult {
            data: outputs.map(Any::packed),
            instance: result.instance.or_else(|| Some(instance.to_owned())),
            ..result
        }
    }
}

/// How a node of a configuration that runs already is, as the answer to its deployment; `None` if
/// its agent does not list it. With a doubt the agent does not know for sure.
fn node_result(
    node: &str,
    status: Option<&NodeStatus>,
    instance: &str,
    doubt: Option<&str>,
) -> ApiResult {
    let result = ApiResult::ok("").on_instance(instance).on_node(node);
    let problem = match status.map(|status| (status.state, doubt)) {
        Some((State::Running, None)) => return result,
        Some((State::Running, Some(doubt))) => {
            format!("node is RUNNING as far as its link tells: {}", cut(doubt))
        }
        Some((state, _)) => {
            let state = state.zeek_name().trim_start_matches("Management::");
            format!("node is {state}")
        }
        None => "node is missing: its agent does not list it".to_owned(),
    };
    let outputs = NodeOutputs {
        stdout: ByteString::from(""),
        stderr: ByteString::from(problem.as_str()),
    };
    ApiResult {
        success: false,
        ..result.with_data(outputs.into_data())
    }
}
