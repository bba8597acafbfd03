//! A client's deployment (API §4.4), in four steps: wait for the agents, with nothing touched; store
//! the configuration as deployed; rearrange the instances and send it out; collect the answers.
//!
//! The first step ends when all agents are ready or, after the request timeout, with those that are
//! (API §12.1 D03). From the second step on the configuration is the one in force, whatever becomes
//! of it: agents that took it are not put back to an older one (D10). Sending is in `rollout`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use broker_proto::zeek::ToData;
use broker_proto::{ByteString, Data};
use tracing::{info, warn};

use super::configs::{Asker, Change, SLOW_DISK};
use super::deadlines::Deadlines;
use super::weight::Allowance;
use super::{Controller, TIMED_OUT};
use crate::api::ApiResult;
use crate::api::controller::ControllerResponse;
use crate::log::Record;
use crate::model::diff::InstanceDiff;
use crate::model::{Configuration, NodeOutputs};

/// What an agent has to take the configuration, at least: a stock agent gives up on its nodes after
/// up to 7 s (API §3), ours after 8.5 s. With the request timeout of 10 s to wait for agents, an
/// answer comes within the 20 s of zeek-client (API §12.1 D13).
pub(super) const LAUNCH: Duration = Duration::from_secs(9);

/// The deployment in progress.
#[derive(Debug)]
pub(super) struct Deployment {
    reqid: String,
    config: Configuration,
    /// The instances that count.
    awaited: BTreeSet<String>,
    started: Instant,
    phase: Phase,
    results: Vec<ApiResult>,
    /// For the results of agents.
    allowance: Allowance,
    /// Agents that were asked with this id how the nodes are.
    checks: BTreeMap<String, Check>,
    has_timed_out: bool,
}

/// An agent that runs the configuration already, or was sent it before the client asked for that.
#[derive(Debug)]
struct Check {
    instance: String,
    /// What it has said of its nodes, if it did.
    results: Vec<ApiResult>,
}

/// What a deployment is doing.
#[derive(Debug)]
enum Phase {
    /// It waits for agents. Nothing is touched.
    Gathering { until: Instant },
    /// The configuration is being stored as deployed.
    Storing { until: Instant },
    /// It is stored.
    Stored,
    /// It is out, and these have to answer until then.
    Launching { awaited: Deadlines },
}

impl Deployment {
    /// When something is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Gathering { until } | Phase::Storing { until } => Some(*until),
            Phase::Stored => None,
            Phase::Launching { awaited } => awaited.next(),
        }
    }

    /// Whether agents may be sent configurations meanwhile.
    pub(super) fn is_launching(&self) -> bool {
        matches!(self.phase, Phase::Launching { .. })
    }

    /// An agent was sent the configuration, perhaps again: it has its time from here on.
    pub(super) fn on_sent(&mut self, now: Instant, name: &str, budget: Duration) {
        if let Phase::Launching { awaited } = &mut self.phase
            && awaited.contains(name)
        {
            let until = launch_deadline(self.started, now, budget);
            awaited.set(name.to_owned(), until);
        }
        self.drop_checks(name);
    }

    /// What an agent said to run is gone, or to be taken anew.
    pub(super) fn drop_checks(&mut self, name: &str) {
        self.checks.retain(|_, check| check.instance != name);
    }

    pub(super) fn is_awaited(&self, name: &str) -> bool {
        match &self.phase {
            Phase::Launching { awaited } => awaited.contains(name),
            Phase::Gathering { .. } | Phase::Storing { .. } | Phase::Stored => false,
        }
    }

    /// An agent is asked with this id how its nodes are, of which it has said this.
    pub(super) fn on_check(&mut self, child: String, name: &str, results: Vec<ApiResult>) {
        let instance = name.to_owned();
        self.checks.insert(child, Check { instance, results });
    }

    /// What the agent had said of its nodes before it answers such a question; `None` if this is no
    /// answer to one.
    pub(super) fn end_check(&mut self, child: &str, name: &str) -> Option<Vec<ApiResult>> {
        let check = self.checks.get(child)?;
        if check.instance != name {
            return None;
        }
        self.checks.remove(child).map(|check| check.results)
    }

    /// Whether what is out was asked for only when an agent had been sent it already.
    pub(super) fn is_later_than(&self, sent: Instant) -> bool {
        sent < self.started
    }

    /// An agent answered; `false` if nobody waits for that.
    pub(super) fn on_answer(&mut self, name: &str, results: &[ApiResult]) -> bool {
        let Phase::Launching { awaited } = &mut self.phase else {
            return false;
        };
        let is_awaited = awaited.remove(name);
        if is_awaited {
            self.admit(name, results.to_vec());
        }
        is_awaited
    }

    fn admit(&mut self, name: &str, results: Vec<ApiResult>) {
        let reqid = &self.reqid;
        let admitted = self.allowance.admit(name, results);
        self.results.extend(admitted.unwrap_or_else(|problem| {
            let failure = ApiResult::failed(reqid, format!("instance {name} {problem}"));
            vec![failure.on_instance(name)]
        }));
    }

    /// Ends the wait for agents that had their time. Who was asked how its nodes are has taken the
    /// configuration, whatever becomes of these: only what it has said to have failed is told. The
    /// others are left in `silent`.
    fn end_checks(&mut self, silent: &mut Vec<String>) {
        let checks = self.checks.values_mut();
        let mut checked: BTreeMap<String, Vec<ApiResult>> = checks
            .map(|check| (check.instance.clone(), std::mem::take(&mut check.results)))
            .filter(|(name, _)| silent.contains(name))
            .collect();
        silent.retain(|name| !checked.contains_key(name));
        for (name, results) in &mut checked {
            results.retain(|result| !result.success);
            self.admit(name, std::mem::take(results));
        }
    }
}

/// By when an agent has to answer: at least [`LAUNCH`] after it was sent the configuration, within
/// the request timeout in any case, and never later than both together.
fn launch_deadline(started: Instant, sent: Instant, request_timeout: Duration) -> Instant {
    let usual = started + request_timeout;
    usual.max(sent + LAUNCH).min(usual + LAUNCH)
}

/// The instances whose readiness and answers a deployment waits for. One without nodes gets the
/// configuration, so that it drops old ones, but a stock agent may answer it only by timeout
/// (API §12.1 D02).
fn awaited_instances(config: &Configuration) -> BTreeSet<String> {
    let with_nodes: BTreeSet<&String> = config.nodes.iter().map(|node| &node.instance).collect();
    let names = config.instances.iter().map(|i| &i.name);
    let names = names.filter(|name| with_nodes.is_empty() || with_nodes.contains(name));
    names.cloned().collect()
}

impl Controller {
    pub(super) fn on_stage_configuration(
        &mut self,
        asked: Instant,
        reqid: String,
        config: Configuration,
    ) {
        let mut config = config.without_null_ports();
        let problems = config.refusals(&self.settings);
        if !problems.is_empty() {
            warn!(reqid, config = %config.id, ?problems, "refused a configuration");
            let problems = problems.into_iter();
            let results = problems.map(|text| ApiResult::failed(&reqid, text));
            let results = results.collect();
            self.respond(ControllerResponse::StageConfiguration { reqid, results });
            return;
        }
        if config.id.is_empty() {
            config.id = self.ids.unique_id();
        }
        let ready = self.prepared(config.clone());
        for warning in ready.warnings().into_iter().chain(ready.unreachable()) {
            warn!(config = %config.id, "staged configuration: {warning}");
            let text = format!("staged configuration {}: {warning}", config.id);
            self.log(Record::warning(text));
        }
        let deadline = asked + self.settings.request_timeout;
        self.change(Change::Staged {
            asker: Some(Asker { reqid, deadline }),
            ready,
            staged: config,
        });
    }

    pub(super) fn on_deploy(&mut self, now: Instant, asked: Instant, reqid: String) {
        let Some(config) = self.configs.to_deploy().cloned() else {
            self.refuse_deployment(reqid, "no configuration available to deploy");
            return;
        };
        if let Some(earlier) = &self.deployment {
            let error = format!("earlier deployment {} still pending", earlier.reqid);
            self.refuse_deployment(reqid, &error);
            return;
        }
        info!(reqid, config = %config.id, "deploying");
        self.gather(now, &config);
        self.deployment = Some(Deployment {
            reqid,
            awaited: awaited_instances(&config),
            config,
            started: asked,
            phase: Phase::Gathering {
                until: asked + self.settings.request_timeout,
            },
            results: Vec::new(),
            allowance: Allowance::default(),
            checks: BTreeMap::new(),
            has_timed_out: false,
        });
        self.advance(now);
    }

    /// Takes the deployment as far as it can go, and sends out what is due.
    pub(super) fn advance(&mut self, now: Instant) {
        let Some(deployment) = self.deployment.take() else {
            self.adopt_stored(now);
            return self.deliver_due(now);
        };
        match &deployment.phase {
            Phase::Gathering { until } => {
                let mut awaited = deployment.awaited.iter();
                if awaited.all(|name| self.instances.is_settled(name)) || *until <= now {
                    return self.commit(now, deployment);
                }
            }
            Phase::Storing { until } if *until <= now => {
                return self.give_up_on_disk(now, deployment);
            }
            Phase::Storing { .. } => {}
            Phase::Stored => return self.rearrange(now, deployment),
            Phase::Launching { .. } => {
                self.deployment = Some(deployment);
                self.deliver_due(now);
                return self.finish_launch(now);
            }
        }
        self.deployment = Some(deployment);
    }

    /// The end of waiting: with the agents that are ready, or not at all if there is none or their
    /// addresses cannot work.
    fn commit(&mut self, now: Instant, mut deployment: Deployment) {
        let awaited = deployment.awaited.clone();
        let is_ready = |name: &String| self.instances.is_ready(name);
        if !awaited.is_empty() && !awaited.iter().any(is_ready) {
            for name in &awaited {
                self.report_missing(&mut deployment, name);
            }
            deployment.has_timed_out = awaited.iter().any(|name| !self.instances.is_settled(name));
            return self.abort(now, deployment);
        }
        if awaited.iter().all(is_ready) {
            self.log_all_ready(&deployment.config);
        }
        // All hosts of those are known, which they need not have been at staging (API §12.1 D06).
        deployment.config = self.prepared(deployment.config);
        let mut problems = deployment.config.unreachable();
        problems.extend(deployment.config.metrics_conflicts());
        if !problems.is_empty() {
            let problems = problems.into_iter();
            let problems = problems.map(|text| ApiResult::failed(&deployment.reqid, text));
            deployment.results.extend(problems);
            return self.abort(now, deployment);
        }
        let change = Change::Deployed {
            reqid: deployment.reqid.clone(),
            config: deployment.config.clone(),
        };
        // What the disk takes longer, agents have less.
        let until = launch_deadline(deployment.started, now, self.settings.request_timeout);
        deployment.phase = Phase::Storing { until };
        self.deployment = Some(deployment);
        self.change(change);
        if self.configs.is_saving() {
            return;
        }
        self.advance(now);
    }

    /// An event that stock's controller sends to itself; the colon is stock's.
    fn log_all_ready(&mut self, config: &Configuration) {
        let names: Vec<&str> = config.instances.iter().map(|i| i.name.as_str()).collect();
        let event = "Management::Controller::API:notify_agents_ready";
        self.log(Record::info(format!("rx {event} {}", names.join(", "))));
    }

    /// A deployment's configuration is stored, or cannot be. What else was stored under another id
    /// is news of the controller's own.
    pub(super) fn on_deployment_stored(&mut self, reqid: &str, result: Result<(), String>) {
        if let Err(reason) = &result {
            warn!(reqid, reason, "cannot store what is deployed");
        }
        let is_it =
            |d: &mut Deployment| matches!(d.phase, Phase::Storing { .. }) && d.reqid == reqid;
        let Some(mut deployment) = self.deployment.take_if(is_it) else {
            return;
        };
        match result {
            Ok(()) => {
                deployment.phase = Phase::Stored;
                self.deployment = Some(deployment);
            }
            Err(reason) => {
                let failure = ApiResult::failed(reqid, not_stored(&reason));
                deployment.results.push(failure);
                self.answer(deployment, None);
            }
        }
    }

    /// Nothing is sent out that might not be stored. If it is stored after all, it is in force, and
    /// all agents that are ready get it at once.
    fn give_up_on_disk(&mut self, now: Instant, mut deployment: Deployment) {
        let failure = ApiResult::failed(&deployment.reqid, not_stored(SLOW_DISK));
        deployment.results.push(failure);
        deployment.has_timed_out = true;
        self.answer(deployment, None);
        self.deliver_due(now);
    }

    /// Makes the configuration's instances the wanted ones (API §4.4 C13).
    fn rearrange(&mut self, now: Instant, mut deployment: Deployment) {
        let config = deployment.config.clone();
        let diff = InstanceDiff::new(self.instances.wanted(), &config.instances);
        let moved: BTreeSet<&String> = diff.reconnect.iter().map(|r| &r.to.name).collect();
        let awaited = &deployment.awaited;
        let is_missing = |name: &&String| !self.instances.is_ready(name) && !moved.contains(name);
        let missing: BTreeSet<String> = awaited.iter().filter(is_missing).cloned().collect();
        let awaited = awaited.difference(&missing).cloned().collect();
        self.report_silent(&mut deployment, &Vec::from_iter(missing));
        self.put_in_force(now, &diff, config);
        self.launch(now, deployment, awaited);
    }

    fn launch(&mut self, now: Instant, mut deployment: Deployment, awaited: BTreeSet<String>) {
        let until = launch_deadline(deployment.started, now, self.settings.request_timeout);
        let awaited = Deadlines::all_at(awaited, until);
        deployment.phase = Phase::Launching { awaited };
        self.deployment = Some(deployment);
        self.deliver_due(now);
        self.finish_launch(now);
    }

    /// Answers once everybody has answered or had their time. Failures do not prevent adoption
    /// (API §12.1 D09).
    fn finish_launch(&mut self, now: Instant) {
        let Some(mut deployment) = self.deployment.take() else {
            return;
        };
        if let Phase::Launching { awaited } = &mut deployment.phase {
            let mut silent = awaited.take_due(now);
            let is_done = awaited.is_empty();
            if !silent.is_empty() {
                deployment.end_checks(&mut silent);
                deployment.has_timed_out |= !silent.is_empty();
                self.report_silent(&mut deployment, &silent);
            }
            if is_done {
                let id = deployment.config.id.clone();
                info!(reqid = %deployment.reqid, config = %id, "deployed");
                let success = ApiResult::ok(&deployment.reqid).with_data(Data::string(id));
                self.answer(deployment, Some(success));
                return self.deliver_due(now);
            }
        }
        self.deployment = Some(deployment);
    }

    /// Hosts and ports as far as they can be told (API §4.3 C10).
    fn prepared(&self, mut config: Configuration) -> Configuration {
        self.instances.fill_hosts(&mut config);
        config.assign_ports(&self.settings);
        config
    }

    /// A failed result for an instance that does not take part, with the reason.
    fn report_missing(&self, deployment: &mut Deployment, name: &str) {
        let problem = self.instances.problem(name);
        warn!(reqid = %deployment.reqid, instance = %name, problem, "not deployed to");
        let error = format!("instance {name} {problem}");
        let result = ApiResult::failed(&deployment.reqid, error).on_instance(name);
        deployment.results.push(result);
    }

    /// The same for these, in the order of their names, and one for each of their nodes.
    fn report_silent(&self, deployment: &mut Deployment, names: &[String]) {
        let mut nodes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for node in deployment.config.nodes.iter().filter(|_| !names.is_empty()) {
            if names.binary_search(&node.instance).is_ok() {
                let known = nodes.entry(&node.instance).or_default();
                known.push(node.name.clone());
            }
        }
        let nodes = names.iter().map(|name| nodes.remove(name.as_str()));
        let nodes: Vec<Vec<String>> = nodes.map(Option::unwrap_or_default).collect();
        for (name, nodes) in names.iter().zip(nodes) {
            self.report_missing(deployment, name);
            self.report_nodes(deployment, name, &nodes);
        }
    }

    /// Clients show no other text of nodes than output (CLIENT §C7), so what the agent said of them
    /// last goes there, too.
    fn report_nodes(&self, deployment: &mut Deployment, name: &str, nodes: &[String]) {
        let text = format!("instance {name} {}", self.instances.problem(name));
        let results = nodes.iter().map(|node| {
            let notice = self.notices.reason(name, node);
            let stderr = match notice {
                Some(notice) => format!("{text}\n{notice}"),
                None => text.clone(),
            };
            let outputs = NodeOutputs {
                stdout: ByteString::from(""),
                stderr: ByteString::from(stderr.as_str()),
            };
            let result = ApiResult::failed(&deployment.reqid, text.as_str());
            let result = result.on_instance(name).on_node(node);
            result.with_data(outputs.into_data())
        });
        deployment.results.extend(results);
    }

    /// Ends a deployment that has touched nothing.
    fn abort(&mut self, now: Instant, deployment: Deployment) {
        self.answer(deployment, None);
        self.deliver_due(now);
    }

    fn refuse_deployment(&mut self, reqid: String, error: &str) {
        warn!(reqid, error, "refused a deployment");
        let results = vec![ApiResult::failed(&reqid, error)];
        self.respond(ControllerResponse::Deploy { reqid, results });
    }

    fn answer(&mut self, deployment: Deployment, success: Option<ApiResult>) {
        let reqid = deployment.reqid;
        if deployment.has_timed_out {
            self.log(Record::info(format!("request {reqid} timed out")));
        }
        let timeout = deployment
            .has_timed_out
            .then(|| ApiResult::failed(&reqid, TIMED_OUT));
        let mut results = deployment.results;
        results.extend(timeout.into_iter().chain(success));
        self.dismiss_returned();
        self.respond(ControllerResponse::Deploy { reqid, results });
    }
}

fn not_stored(reason: &str) -> String {
    format!("cannot store the deployed configuration: {reason}")
}
