//! Requests that agents answer: split the targets into known and unknown, ask, collect, answer once
//! (API §4.7).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use broker_proto::Data;
use broker_proto::zeek::Any;
use tracing::{debug, info, warn};

use super::weight::Allowance;
use super::{Controller, Sender, TIMED_OUT};
use crate::api::ApiResult;
use crate::api::agent::AgentRequest;
use crate::api::controller::ControllerResponse;
use crate::audit::cut;
use crate::log::Record;
use crate::model::{NodeStatus, Role, State};
use crate::request::Requests;

/// Requests open at a time; each is gone after the request timeout at the latest.
const MAX_OPEN: usize = 1024;

/// Why a request beyond those failed.
const TOO_MANY: &str = "too many open requests";

/// Requests that are not answered. Clients choose their ids freely, so requests go by ids of the
/// controller's own here: two clients with one id are both answered.
pub(super) type Fanouts = Requests<Open>;

#[derive(Debug)]
pub(super) enum Open {
    /// Agents were asked.
    Fanout(Fanout),
    /// Nobody was; it shall expire.
    TestTimeout { reqid: String },
}

#[derive(Debug)]
pub(super) struct Fanout {
    query: Query,
    reqid: String,
    /// Whose answers are missing, by the question's number.
    asked: Vec<Option<Asked>>,
    /// How many these are.
    missing: usize,
    results: Vec<ApiResult>,
    /// For the results of agents.
    allowance: Allowance,
}

/// An instance, and the nodes it was asked about; none if it was asked about itself.
#[derive(Clone, Debug)]
struct Asked {
    instance: String,
    nodes: BTreeSet<String>,
}

/// The id of one of the questions that a request consists of: its number behind the request's id.
fn question(key: &str, number: usize) -> String {
    format!("{key}-{number}")
}

/// The request and the number that are in such an id.
fn parts(question: &str) -> Option<(&str, usize)> {
    let (key, number) = question.rsplit_once('-')?;
    Some((key, number.parse().ok()?))
}

impl Fanout {
    /// What a question was, if this instance has it still to answer.
    fn close(&mut self, number: usize, query: Query, instance: &str) -> Option<Asked> {
        let asked = self.asked.get_mut(number)?;
        asked
            .as_ref()
            .filter(|it| it.instance == instance && self.query == query)?;
        self.missing -= 1;
        asked.take()
    }

    /// An agent's answer.
    fn take(&mut self, mut asked: Asked, results: Vec<ApiResult>) {
        let query = self.query;
        // One that lacks the deployed configuration may have nodes that others were asked for.
        let is_its = |it: &ApiResult| {
            let node = it.node.as_ref().filter(|_| query != Query::GetNodes);
            node.is_none_or(|node| asked.nodes.contains(node))
        };
        let results: Vec<ApiResult> = results.into_iter().filter(is_its).collect();
        let named: BTreeSet<&String> = results.iter().filter_map(|it| it.node.as_ref()).collect();
        asked.nodes.retain(|node| !named.contains(node));
        let unnamed = if results.iter().all(|it| it.node.is_some()) {
            query.failures(&self.reqid, &asked, "does not run it")
        } else {
            Vec::new()
        };
        let instance = asked.instance.as_str();
        let results = in_own_name(results, instance).into_iter();
        let results = results.flat_map(|result| match query {
            Query::GetNodes => with_its_list(result),
            Query::GetIdValue | Query::Restart => vec![result],
        });
        let results = results.map(|result| query.checked(result, instance));
        self.results.extend(results);
        self.results.extend(unnamed);
    }
}

impl Asked {
    /// What the agent is told of the names that the client gave: all, as stock does, unless these
    /// are so many that each agent had better be told of its own only.
    fn among(&self, names: &BTreeSet<String>) -> BTreeSet<String> {
        let told = if names.len() > MANY {
            &self.nodes
        } else {
            names
        };
        told.clone()
    }
}

/// So many names are too many to tell every agent all of them.
const MANY: usize = 64;

/// What agents can be asked on a client's behalf.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Query {
    GetNodes,
    GetIdValue,
    Restart,
}

impl Query {
    fn response(self, reqid: String, results: Vec<ApiResult>) -> ControllerResponse {
        match self {
            Self::GetNodes => ControllerResponse::GetNodes { reqid, results },
            Self::GetIdValue => ControllerResponse::GetIdValue { reqid, results },
            Self::Restart => ControllerResponse::Restart { reqid, results },
        }
    }

    /// Failed results about an instance, in the form that stock's client shows best: of the answers
    /// per node it prints the instance nowhere, and a restart's failure only without (CLIENT §C7).
    fn failures(self, reqid: &str, asked: &Asked, problem: &str) -> Vec<ApiResult> {
        let instance = &asked.instance;
        let result = ApiResult::failed(reqid, format!("instance {instance} {problem}"));
        match self {
            Self::GetNodes => vec![result.on_instance(instance)],
            Self::GetIdValue | Self::Restart => {
                let nodes = asked.nodes.iter();
                nodes.map(|node| result.clone().on_node(node)).collect()
            }
        }
    }

    /// What an agent said, in the form that stock's client can read.
    fn checked(self, result: ApiResult, instance: &str) -> ApiResult {
        let result = ApiResult {
            instance: result.instance.or_else(|| Some(instance.to_owned())),
            ..result
        };
        match self {
            Self::GetNodes if result.success => with_status_list(result, instance),
            Self::Restart if !result.success => {
                let error = result.error.as_deref().unwrap_or("no reason given");
                ApiResult {
                    instance: None,
                    error: Some(format!("instance {instance}: {error}")),
                    ..result
                }
            }
            Self::GetNodes | Self::GetIdValue | Self::Restart => result,
        }
    }
}

impl Controller {
    pub(super) fn on_get_nodes(&mut self, now: Instant, reqid: String) {
        let query = Query::GetNodes;
        let itself = |name: &str| Asked {
            instance: name.to_owned(),
            nodes: BTreeSet::new(),
        };
        let targets: Vec<Asked> = self.instances.known().map(itself).collect();
        if targets.is_empty() {
            self.refuse(query, reqid, "no instances connected");
            return;
        }
        let wanted = self.instances.wanted().keys();
        let missing = wanted.filter(|name| !self.instances.is_known(name));
        let missing: BTreeSet<&str> = missing.map(String::as_str).collect();
        let mut unknown = self.unknown_nodes(&reqid, &missing);
        let missing = missing.iter().flat_map(|name| {
            let problem = self.instances.problem(name);
            let failures = query.failures(&reqid, &itself(name), &problem);
            unknown.remove(*name).into_iter().chain(failures)
        });
        let missing = missing.collect();
        let request = |reqid, _: &Asked| AgentRequest::GetNodes { reqid };
        self.ask(now, query, reqid, missing, targets, request);
    }

    pub(super) fn on_get_id_value(
        &mut self,
        now: Instant,
        reqid: String,
        id: String,
        nodes: &BTreeSet<String>,
    ) {
        let is_deployed = self.configs.deployed().is_some();
        // Stock's guard lets names pass before there is anything to look them up in (API §12.1 D16).
        if self.instances.wanted().is_empty() || (!nodes.is_empty() && !is_deployed) {
            self.refuse(Query::GetIdValue, reqid, "no cluster deployed");
            return;
        }
        let (valid, unknown) = self.split_nodes(&reqid, nodes);
        let request = |reqid, asked: &Asked| AgentRequest::NodeDispatch {
            reqid,
            action: vec!["get_id_value".to_owned(), id.clone()],
            nodes: asked.among(&valid),
        };
        if valid.is_empty() && !nodes.is_empty() {
            self.respond(Query::GetIdValue.response(reqid, unknown));
            return;
        }
        self.ask_owners(now, Query::GetIdValue, reqid, unknown, &valid, request);
    }

    pub(super) fn on_restart(&mut self, now: Instant, reqid: String, nodes: &BTreeSet<String>) {
        if self.instances.known().next().is_none() {
            self.refuse(Query::Restart, reqid, "no instances connected");
            return;
        }
        if self.configs.deployed().is_none() || self.instances.wanted().is_empty() {
            self.refuse(Query::Restart, reqid, "no active cluster deployment");
            return;
        }
        let (valid, unknown) = self.split_nodes(&reqid, nodes);
        if valid.is_empty() && !nodes.is_empty() {
            self.respond(Query::Restart.response(reqid, unknown));
            return;
        }
        // Stock sends the names it knows to be unknown, too; agents pick theirs.
        let request = |reqid, asked: &Asked| AgentRequest::Restart {
            reqid,
            nodes: asked.among(nodes),
        };
        self.ask_owners(now, Query::Restart, reqid, unknown, &valid, request);
    }

    pub(super) fn on_test_timeout(&mut self, now: Instant, reqid: String, with_state: bool) {
        info!(reqid, with_state, "test of the timeout");
        if !with_state {
            return;
        }
        if self.fanouts.len() >= MAX_OPEN {
            let result = ApiResult::failed(&reqid, TOO_MANY);
            self.respond(ControllerResponse::TestTimeout { reqid, result });
            return;
        }
        let (key, deadline) = (self.ids.unique_id(), now + self.settings.request_timeout);
        if let Err(open) = self
            .fanouts
            .open(&key, deadline, Open::TestTimeout { reqid })
        {
            warn!(?open, "own request id came twice");
        }
    }

    /// An agent answers. Late answers and those of other agents do not count.
    pub(super) fn on_answer(
        &mut self,
        sender: &Sender,
        query: Query,
        child: &str,
        results: Vec<ApiResult>,
    ) {
        let instance = sender.instance.as_str();
        let genuine = parts(child).filter(|_| self.instances.is_genuine(sender));
        let open = genuine.and_then(|(key, number)| {
            let Open::Fanout(fanout) = self.fanouts.get_mut(key)? else {
                return None;
            };
            let asked = fanout.close(number, query, instance)?;
            Some((key, fanout, asked))
        });
        let Some((key, fanout, asked)) = open else {
            debug!(instance, reqid = child, "ignored an answer");
            return;
        };
        match fanout.allowance.admit(instance, results) {
            Ok(results) => fanout.take(asked, results),
            Err(problem) => {
                let failures = query.failures(&fanout.reqid, &asked, &problem);
                fanout.results.extend(failures);
            }
        }
        if fanout.missing == 0
            && let Some(Open::Fanout(fanout)) = self.fanouts.finish(key)
        {
            self.respond(query.response(fanout.reqid, fanout.results));
        }
    }

    /// Answers what ran out of time, with the results that came and the names of the silent.
    pub(super) fn expire_fanouts(&mut self, now: Instant) {
        while let Some((_, open)) = self.fanouts.pop_expired(now) {
            let mut fanout = match open {
                Open::Fanout(fanout) => fanout,
                Open::TestTimeout { reqid } => {
                    self.log(Record::info(format!("request {reqid} timed out")));
                    let result = ApiResult::failed(&reqid, TIMED_OUT);
                    self.respond(ControllerResponse::TestTimeout { reqid, result });
                    continue;
                }
            };
            let silent = fanout.asked.iter().flatten();
            let instances: Vec<&String> = silent.clone().map(|asked| &asked.instance).collect();
            warn!(reqid = %fanout.reqid, query = ?fanout.query, silent = ?instances, "request timed out");
            self.log(Record::info(format!("request {} timed out", fanout.reqid)));
            let query = fanout.query;
            let mut unknown = match query {
                Query::GetNodes => {
                    let names = instances.iter().map(|name| name.as_str()).collect();
                    self.unknown_nodes(&fanout.reqid, &names)
                }
                Query::GetIdValue | Query::Restart => BTreeMap::new(),
            };
            let silent = silent.flat_map(|asked| {
                let failures = query.failures(&fanout.reqid, asked, "did not answer");
                unknown.remove(&asked.instance).into_iter().chain(failures)
            });
            fanout.results.extend(silent);
            let timeout = ApiResult::failed(&fanout.reqid, TIMED_OUT);
            fanout.results.push(timeout);
            self.respond(fanout.query.response(fanout.reqid, fanout.results));
        }
    }

    /// The deployed nodes of instances that say nothing of them (API §12.2 D36).
    fn unknown_nodes(&self, reqid: &str, names: &BTreeSet<&str>) -> BTreeMap<String, ApiResult> {
        let mut rows = BTreeMap::<&str, Vec<NodeStatus>>::new();
        let deployed = self.configs.deployed().filter(|_| !names.is_empty());
        let nodes = deployed.into_iter().flat_map(|config| &config.nodes);
        for node in nodes.filter(|node| names.contains(node.instance.as_str())) {
            let rows = rows.entry(&node.instance).or_default();
            rows.push(NodeStatus {
                node: node.name.clone(),
                state: State::Unknown,
                mgmt_role: Role::None,
                cluster_role: node.role,
                pid: None,
                p: node.p,
                metrics_port: node.metrics_port,
            });
        }
        let results = rows.into_iter().map(|(instance, rows)| {
            let result = ApiResult::ok(reqid).on_instance(instance);
            (instance.to_owned(), result.with_data(Any::packed(rows)))
        });
        results.collect()
    }

    /// The names that are nodes of the deployed cluster, and results for the others.
    fn split_nodes(
        &self,
        reqid: &str,
        names: &BTreeSet<String>,
    ) -> (BTreeSet<String>, Vec<ApiResult>) {
        let deployed = self.configs.deployed();
        let is_node = |name: &String| deployed.is_some_and(|c| c.node(name).is_some());
        let names = names.iter().cloned();
        let (valid, unknown): (BTreeSet<String>, BTreeSet<String>) = names.partition(is_node);
        let unknown = unknown
            .into_iter()
            .map(|name| ApiResult::failed(reqid, "unknown cluster node").on_node(name))
            .collect();
        (valid, unknown)
    }

    /// Asks the instances that have these nodes, or all that have nodes if none is named. Those that
    /// are not ready fail at once, where stock forgets them or, if there is no other, waits for nobody
    /// (API §12.1 D17). Stock also asks those that have none of the nodes.
    fn ask_owners(
        &mut self,
        now: Instant,
        query: Query,
        reqid: String,
        mut results: Vec<ApiResult>,
        names: &BTreeSet<String>,
        request: impl Fn(String, &Asked) -> AgentRequest,
    ) {
        let mut owners: BTreeMap<&String, BTreeSet<String>> = BTreeMap::new();
        if let Some(config) = self.configs.deployed() {
            let named = names.iter().filter_map(|name| config.node(name));
            let all = config.nodes.iter().filter(|_| names.is_empty());
            for node in named.chain(all) {
                let nodes = owners.entry(&node.instance).or_default();
                nodes.insert(node.name.clone());
            }
        }
        let mut targets = Vec::new();
        for (instance, nodes) in owners {
            let instance = instance.clone();
            let asked = Asked { instance, nodes };
            if self.instances.is_ready(&asked.instance) {
                targets.push(asked);
            } else {
                let problem = self.instances.problem(&asked.instance);
                results.extend(query.failures(&reqid, &asked, &problem));
            }
        }
        if targets.is_empty() {
            self.respond(query.response(reqid, results));
            return;
        }
        self.ask(now, query, reqid, results, targets, request);
    }

    /// An agent has gone, and with it what it was asked.
    pub(super) fn give_up_on(&mut self, name: &str) {
        if self.fanouts.is_empty() {
            return;
        }
        let unknown = self.unknown_nodes("", &[name].into()).remove(name);
        let mut done = Vec::new();
        for (key, open) in self.fanouts.iter_mut() {
            let Open::Fanout(fanout) = open else { continue };
            let lost = fanout.asked.iter().position(|asked| {
                let asked = asked.as_ref();
                asked.is_some_and(|asked| asked.instance == name)
            });
            let Some(asked) = lost.and_then(|n| fanout.close(n, fanout.query, name)) else {
                continue;
            };
            if fanout.query == Query::GetNodes {
                let unknown = unknown.clone();
                fanout.results.extend(unknown.map(|result| ApiResult {
                    reqid: fanout.reqid.clone(),
                    ..result
                }));
            }
            let problem = "left before it answered";
            let failures = fanout.query.failures(&fanout.reqid, &asked, problem);
            fanout.results.extend(failures);
            if fanout.missing == 0 {
                done.push(key.to_owned());
            }
        }
        for key in done {
            if let Some(Open::Fanout(fanout)) = self.fanouts.finish(&key) {
                self.respond(fanout.query.response(fanout.reqid, fanout.results));
            }
        }
    }

    fn ask(
        &mut self,
        now: Instant,
        query: Query,
        reqid: String,
        results: Vec<ApiResult>,
        targets: Vec<Asked>,
        request: impl Fn(String, &Asked) -> AgentRequest,
    ) {
        if self.fanouts.len() >= MAX_OPEN {
            self.refuse(query, reqid, TOO_MANY);
            return;
        }
        let (key, deadline) = (self.ids.unique_id(), now + self.settings.request_timeout);
        for (number, asked) in targets.iter().enumerate() {
            let order = request(question(&key, number), asked);
            self.tell(asked.instance.as_str(), order);
        }
        let fanout = Open::Fanout(Fanout {
            query,
            reqid,
            missing: targets.len(),
            asked: targets.into_iter().map(Some).collect(),
            results,
            allowance: Allowance::default(),
        });
        if let Err(open) = self.fanouts.open(&key, deadline, fanout) {
            warn!(?open, "own request id came twice");
        }
    }

    fn refuse(&mut self, query: Query, reqid: String, error: &str) {
        warn!(reqid, ?query, error, "refused");
        let results = vec![ApiResult::failed(&reqid, error)];
        self.respond(query.response(reqid, results));
    }
}

/// An agent answers for itself, whomever its Results name.
pub(super) fn in_own_name(results: Vec<ApiResult>, instance: &str) -> Vec<ApiResult> {
    let mut names = results.iter().filter_map(|it| it.instance.as_deref());
    if let Some(other) = names.find(|name| *name != instance) {
        let other = cut(other);
        warn!(instance, other, "agent answered in the name of another");
    }
    let results = results.into_iter();
    let results = results.map(|result| ApiResult {
        instance: result.instance.map(|_| instance.to_owned()),
        ..result
    });
    results.collect()
}

/// Of a failed result clients show no data, so what our agents know all the same is one of its own.
fn with_its_list(result: ApiResult) -> Vec<ApiResult> {
    let is_list = |data: &Any| matches!(data.to_data(), Data::Vector(rows) if !rows.is_empty());
    if result.success || !result.data.as_ref().is_some_and(is_list) {
        return vec![result];
    }
    let list = ApiResult {
        success: true,
        error: None,
        ..result.clone()
    };
    let failure = ApiResult {
        data: None,
        ..result
    };
    vec![list, failure]
}

/// Reads the list, so that what is passed on is one that clients can read. Stock's handler aborts if there is none
/// (API §12.1 D18).
fn with_status_list(mut result: ApiResult, instance: &str) -> ApiResult {
    match result.data.take().map(Any::read::<Vec<NodeStatus>>) {
        Some(Ok(list)) => {
            let list = list.into_iter().map(NodeStatus::without_null_ports);
            result.with_data(Any::packed(Vec::from_iter(list)))
        }
        Some(Err(error)) => {
            warn!(instance, %error, "agent's list of nodes is not one");
            without_list(result, instance)
        }
        None => without_list(result, instance),
    }
}

fn without_list(result: ApiResult, instance: &str) -> ApiResult {
    let error = format!("instance {instance} sent no list of nodes");
    ApiResult {
        data: None,
        ..ApiResult::failed(result.reqid, error).on_instance(instance)
    }
}
