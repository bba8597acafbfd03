//! A configuration on its way: staged, made ready, deployed (API §4.3, §4.4).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use broker_proto::zeek::{FromData, ToData};
use broker_proto::{Data, Port};
use tracing::{debug, info, warn};

use super::configs::{Asker, Change, SLOW_DISK};
use super::{Controller, Sender, TIMED_OUT};
use crate::api::ApiResult;
use crate::api::agent::AgentRequest;
use crate::api::controller::ControllerResponse;
use crate::model::diff::InstanceDiff;
use crate::model::validate::Rules;
use crate::model::{Configuration, NodeOutputs};
use crate::settings::AutoAssign;

/// How long a deployment waits for a standby to have its effect at an agent that it was not meant
/// for: a stock agent acts on it if its name is a prefix, after a deployment that came right behind
/// it (API §12.1 D01, §13.1).
const STANDBY_PAUSE: Duration = Duration::from_secs(1);

/// Who wants a deployment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    /// A client, who wants an answer.
    Client,
    /// The controller, because agents returned.
    Controller,
}

/// The deployment in progress.
#[derive(Debug)]
pub(super) struct Deployment {
    reqid: String,
    origin: Origin,
    config: Configuration,
    deadline: Instant,
    phase: Phase,
    asks: BTreeMap<String, Ask>,
    results: Vec<ApiResult>,
}

/// What a deployment is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// It lets a standby have its effect first.
    Paused { until: Instant },
    /// It waits for agents, and for their answers.
    Asking,
    /// All have answered; the configuration is being stored as deployed.
    Storing,
}

/// Where one instance of the configuration stands.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Ask {
    /// It does not have the configuration, or lost it.
    Unsent,
    /// It was sent the configuration with this id.
    Sent { child: String },
    /// It has answered.
    Answered,
}

impl Deployment {
    /// When something is due.
    pub(super) fn next_deadline(&self) -> Instant {
        match self.phase {
            Phase::Paused { until } => until.min(self.deadline),
            Phase::Asking | Phase::Storing => self.deadline,
        }
    }

    /// An agent that went may come back without its nodes.
    pub(super) fn ask_again(&mut self, name: &str) {
        if let Some(ask) = self.asks.get_mut(name) {
            *ask = Ask::Unsent;
        }
    }

    /// Whether the answer of this instance decides. An instance without nodes gets the
    /// configuration, so that it drops old ones, but a stock agent may answer it only by timeout
    /// (API §12.1 D02).
    fn is_awaited(&self, name: &str) -> bool {
        let nodes = &self.config.nodes;
        nodes.is_empty() || nodes.iter().any(|node| node.instance == name)
    }

    fn is_complete(&self) -> bool {
        let mut asks = self.asks.iter();
        asks.all(|(name, ask)| *ask == Ask::Answered || !self.is_awaited(name))
    }

    fn is_sent(&self) -> bool {
        self.asks.values().any(|ask| *ask != Ask::Unsent)
    }
}

impl Controller {
    pub(super) fn on_stage_configuration(
        &mut self,
        now: Instant,
        reqid: String,
        mut config: Configuration,
    ) {
        let listen = self.settings.listen.as_ref();
        let problems = config.problems(Rules {
            controller_port: listen.map(|addr| Port::tcp(addr.port)),
            broker_ports: self.settings.broker_ports,
        });
        if !problems.is_empty() {
            let problems = problems.into_iter();
            let results = problems.map(|text| ApiResult::failed(&reqid, text));
            let results = results.collect();
            self.respond(ControllerResponse::StageConfiguration { reqid, results });
            return;
        }
        if config.id.is_empty() {
            config.id = self.ids.unique_id();
        }
        let deadline = now + self.settings.request_timeout;
        self.change(Change::Staged {
            asker: Some(Asker { reqid, deadline }),
            ready: self.prepared(config.clone()),
            staged: config,
        });
    }

    /// Starts again what ran before the controller was restarted (API §4.1 C3).
    pub(super) fn deploy_persisted(&mut self, now: Instant) {
        if let Some(config) = self.configs.deployed().cloned() {
            info!(config = %config.id, "deploying persisted configuration");
            let reqid = self.ids.unique_id();
            self.deploy(now, Origin::Controller, reqid, config);
        }
    }

    pub(super) fn on_deploy(&mut self, now: Instant, reqid: String) {
        let Some(config) = self.configs.to_deploy().cloned() else {
            self.refuse_deployment(reqid, "no configuration available to deploy");
            return;
        };
        if let Some(earlier) = &self.deployment {
            let error = format!("earlier deployment {} still pending", earlier.reqid);
            self.refuse_deployment(reqid, &error);
            return;
        }
        self.deploy(now, Origin::Client, reqid, config);
        self.check_ready(now);
    }

    /// Answers of agents that were not asked, or not any more, are common: stock agents answer some
    /// requests twice (API §12.2 D30, D31).
    pub(super) fn on_deploy_response(
        &mut self,
        sender: &Sender,
        reqid: &str,
        results: Vec<ApiResult>,
    ) {
        let name = sender.instance.as_str();
        let is_genuine = self.instances.is_genuine(sender);
        let awaited = Ask::Sent {
            child: reqid.to_owned(),
        };
        let deployment = self.deployment.as_mut().filter(|_| is_genuine);
        let Some(deployment) = deployment.filter(|d| d.asks.get(name) == Some(&awaited)) else {
            debug!(instance = name, reqid, "ignored a deployment's answer");
            return;
        };
        deployment.asks.insert(name.to_owned(), Ask::Answered);
        let results = results.into_iter();
        let results = results.map(|result| with_printable_outputs(result, name));
        deployment.results.extend(results);
        self.finish_if_complete();
    }

    /// Starts or continues whatever waits for all instances to be ready (API §4.2 C6, §4.4 C14).
    pub(super) fn check_ready(&mut self, now: Instant) {
        if !self.instances.are_all_ready() {
            return;
        }
        let is_open = |d: &Deployment| d.phase != Phase::Storing;
        if self.configs.is_saving() && !self.deployment.as_ref().is_some_and(is_open) {
            self.configs.check_later();
            return;
        }
        if self.deployment.is_none()
            && let Some(config) = self.configs.deployed().cloned()
        {
            info!(config = %config.id, "agents returned, deploying again");
            let reqid = self.ids.unique_id();
            self.deploy(now, Origin::Controller, reqid, config);
        }
        self.send_deployment();
    }

    /// Ends a pause.
    pub(super) fn resume_deployment(&mut self, now: Instant) {
        if let Some(deployment) = &mut self.deployment
            && let Phase::Paused { until } = deployment.phase
            && until <= now
        {
            deployment.phase = Phase::Asking;
            self.send_deployment();
        }
    }

    pub(super) fn expire_deployment(&mut self, now: Instant) {
        let Some(mut deployment) = self.deployment.take_if(|d| d.deadline <= now) else {
            return;
        };
        let reqid = deployment.reqid.clone();
        warn!(reqid, config = %deployment.config.id, "deployment timed out");
        let mut silent = Vec::new();
        for (name, ask) in &deployment.asks {
            let is_silent = matches!(ask, Ask::Sent { .. }) && deployment.is_awaited(name);
            // A ready one that was not asked waited for the others.
            let is_ready = self.instances.is_ready(name);
            let problem = if !is_ready && !self.instances.is_known(name) {
                "is not connected"
            } else if !is_ready || is_silent {
                "did not answer"
            } else {
                continue;
            };
            let error = format!("instance {name} {problem}");
            silent.push(ApiResult::failed(&reqid, error).on_instance(name));
        }
        if deployment.phase == Phase::Storing {
            silent.push(ApiResult::failed(&reqid, not_stored(SLOW_DISK)));
        }
        deployment.results.extend(silent);
        let timeout = ApiResult::failed(&reqid, TIMED_OUT);
        self.answer(deployment, timeout);
    }

    /// One instance cannot take part in the deployment in progress, so it does not hold up others.
    pub(super) fn fail_instance(&mut self, name: &str, problem: &str) {
        let Some(deployment) = &mut self.deployment else {
            return;
        };
        let Some(ask) = deployment.asks.get_mut(name) else {
            return;
        };
        *ask = Ask::Answered;
        let result = ApiResult::failed(&deployment.reqid, problem).on_instance(name);
        deployment.results.push(result);
        self.finish_if_complete();
        self.send_deployment();
    }

    /// Hosts and ports as far as they can be told (API §4.3 C10).
    fn prepared(&self, mut config: Configuration) -> Configuration {
        self.instances.fill_hosts(&mut config);
        let own = [&self.settings.listen, &self.settings.listen_websocket];
        let own: BTreeSet<u16> = own.into_iter().flatten().map(|addr| addr.port).collect();
        if let AutoAssign::From(start) = self.settings.broker_ports {
            config.assign_broker_ports(start, &own);
        }
        if let AutoAssign::From(start) = self.settings.metrics_ports {
            config.assign_metrics_ports(start);
        }
        config
    }

    /// Rearranges the instances and opens the deployment (API §4.4 C13).
    fn deploy(&mut self, now: Instant, origin: Origin, reqid: String, mut config: Configuration) {
        self.instances.fill_hosts(&mut config);
        info!(reqid, config = %config.id, ?origin, "deploying");
        let diff = InstanceDiff::new(self.instances.wanted(), &config.instances);
        let moved = diff.reconnect.iter().map(|r| &r.from);
        let stopped = diff.drop.iter().chain(moved).map(|i| i.name.as_str());
        let is_overheard = stopped.into_iter().any(|name| {
            let mut names = config.instances.iter().map(|i| i.name.as_str());
            names.any(|other| name.starts_with(other) && name != other)
        });
        for instance in &diff.drop {
            self.drop_instance(&instance.name);
        }
        for moved in &diff.reconnect {
            self.drop_moved_instance(&moved.from.name);
        }
        for instance in diff.keep {
            self.keep_instance(instance);
        }
        let moved = diff.reconnect.into_iter().map(|r| r.to);
        for instance in moved.chain(diff.add) {
            self.add_instance(now, instance);
        }
        let phase = if is_overheard {
            let until = now + STANDBY_PAUSE;
            Phase::Paused { until }
        } else {
            Phase::Asking
        };
        let asks = config.instances.iter();
        self.deployment = Some(Deployment {
            reqid,
            origin,
            deadline: now + self.settings.request_timeout,
            phase,
            asks: asks.map(|i| (i.name.clone(), Ask::Unsent)).collect(),
            results: Vec::new(),
            config,
        });
        self.finish_if_complete();
    }

    /// Sends the configuration to all who lack it, once every instance is ready. Then all hosts are
    /// known, which they need not have been at staging (API §12.1 D06).
    fn send_deployment(&mut self) {
        let deployment = self.deployment.take_if(|d| d.phase == Phase::Asking);
        let Some(mut deployment) = deployment else {
            return;
        };
        if self.instances.are_all_ready() {
            if !deployment.is_sent() {
                deployment.config = self.prepared(deployment.config);
            }
            for (name, ask) in &mut deployment.asks {
                if *ask == Ask::Unsent && self.instances.is_ready(name) {
                    let child = self.ids.unique_id();
                    let request = AgentRequest::Deploy {
                        reqid: child.clone(),
                        config: deployment.config.clone(),
                        force: false,
                    };
                    self.tell(name, request);
                    *ask = Ask::Sent { child };
                }
            }
        }
        self.deployment = Some(deployment);
    }

    /// Node failures do not prevent adoption (API §12.1 D09).
    fn finish_if_complete(&mut self) {
        let deployment = self.deployment.as_mut();
        let open = deployment.filter(|d| d.phase != Phase::Storing && d.is_complete());
        if let Some(deployment) = open {
            deployment.phase = Phase::Storing;
            let change = Change::Deployed {
                reqid: deployment.reqid.clone(),
                config: deployment.config.clone(),
            };
            self.change(change);
        }
    }

    /// The end of a deployment, unless it has timed out before.
    pub(super) fn on_deployment_stored(&mut self, reqid: &str, result: Result<(), String>) {
        let is_it = |d: &mut Deployment| d.phase == Phase::Storing && d.reqid == reqid;
        let deployment = self.deployment.take_if(is_it);
        let config = deployment.as_ref().map(|d| d.config.id.clone());
        match &result {
            Ok(()) => info!(reqid, config, "deployed"),
            Err(reason) => warn!(reqid, config, reason, "cannot store what is deployed"),
        }
        let Some(deployment) = deployment else {
            return;
        };
        let last = match result {
            Ok(()) => ApiResult::ok(reqid).with_data(Data::string(deployment.config.id.clone())),
            Err(reason) => ApiResult::failed(reqid, not_stored(&reason)),
        };
        self.answer(deployment, last);
    }

    fn refuse_deployment(&mut self, reqid: String, error: &str) {
        warn!(reqid, error, "refused a deployment");
        let results = vec![ApiResult::failed(&reqid, error)];
        self.respond(ControllerResponse::Deploy { reqid, results });
    }

    fn answer(&mut self, deployment: Deployment, last: ApiResult) {
        if deployment.origin == Origin::Controller {
            return;
        }
        let mut results = deployment.results;
        results.push(last);
        let reqid = deployment.reqid;
        self.respond(ControllerResponse::Deploy { reqid, results });
    }
}

fn not_stored(reason: &str) -> String {
    format!("cannot store the deployed configuration: {reason}")
}

/// Data other than a node's output would break stock's client (CLIENT §C7).
fn with_printable_outputs(result: ApiResult, instance: &str) -> ApiResult {
    let outputs = result.data.map(NodeOutputs::from_data);
    let outputs = outputs.and_then(Result::ok);
    ApiResult {
        data: outputs.map(ToData::into_data),
        instance: result.instance.or_else(|| Some(instance.to_owned())),
        ..result
    }
}
