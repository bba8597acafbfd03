//! What may be in answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker_proto::zeek::{Any, FromData};
use mgmt::api::ApiResult;
use mgmt::api::controller::ControllerRequest;
use mgmt::model::{ClusterRole, Configuration, Instance, NodeStatus, Role, State};

use super::configs::{is_staged_as, mark_of};
use super::nodes::Of;
use super::requests::{Answer, MANY, PATIENCE, is_about_number};
use super::{DEAD_LINK, Model, Presence, Rule, Violation};

/// From a node's end to an agent that knows of it: the way of a frame, and then some (API §15.2 D36).
const SOON: Duration = Duration::from_secs(1);

/// Said of whatever takes too long.
const TIMED_OUT: &str = "request timed out";

impl Model {
    /// Whether an answer may be what it is.
    pub(super) fn check(&mut self, answer: &Answer<'_>) -> Result<(), Violation> {
        self.check_haste(answer)?;
        self.configs.conclude(answer)?;
        if self.check_overload(answer)? {
            return Ok(());
        }
        match &answer.request.request {
            ControllerRequest::GetInstances { .. } => self.check_instances(answer),
            ControllerRequest::StageConfiguration { config, .. } => {
                self.check_staged(answer, config)
            }
            ControllerRequest::GetConfiguration { deployed, .. } => {
                self.check_configuration(answer, *deployed)
            }
            ControllerRequest::Deploy { .. } => self.check_deployment(answer),
            ControllerRequest::GetNodes { .. } => self.check_nodes(answer),
            ControllerRequest::GetIdValue { nodes, .. } => {
                self.check_names(answer, nodes)?;
                self.check_values(answer)
            }
            ControllerRequest::Restart { nodes, .. } => {
                self.check_names(answer, nodes)?;
                self.check_restarts(answer)
            }
            ControllerRequest::TestTimeout { .. } => {
                if answer.refusals().eq([TIMED_OUT]) {
                    return Ok(());
                }
                Err(answer.wrong(Rule::WrongAnswer, "it is no timeout"))
            }
        }
    }

    /// The controller's own timeouts have no instance; agents are less patient.
    fn check_haste(&self, answer: &Answer<'_>) -> Result<(), Violation> {
        let has_timed_out = answer.refusals().any(|error| error == TIMED_OUT);
        if has_timed_out && answer.took() < PATIENCE {
            return Err(answer.wrong(Rule::HastyTimeout, "told to have timed out early"));
        }
        Ok(())
    }

    /// Whether it was refused because of too many others, which there must be.
    fn check_overload(&self, answer: &Answer<'_>) -> Result<bool, Violation> {
        let mut refusals = answer.refusals();
        let Some(error) = refusals.find(|error| is_about_number(error)) else {
            return Ok(false);
        };
        let open = match error.starts_with("too many open requests of this client") {
            true => self.requests.open_of(answer.request.client),
            false => self.requests.open(),
        };
        if open < MANY {
            let text = format!("refused with {error:?}, and {open} are open");
            return Err(answer.wrong(Rule::WrongRefusal, text));
        }
        Ok(true)
    }

    fn check_instances(&self, answer: &Answer<'_>) -> Result<(), Violation> {
        let rows = one_list::<Instance>(answer)?;
        if !rows.is_sorted_by(|a, b| a.name < b.name) {
            return Err(answer.wrong(Rule::WrongAnswer, "instances are not in order"));
        }
        for Instance { name, .. } in &rows {
            let was_there = match self.agents.get(name) {
                Some(Presence::Here) => true,
                Some(Presence::GoneSince(gone)) => answer.from <= *gone + DEAD_LINK,
                None => false,
            };
            if !was_there {
                let text = format!("{name} is listed, but not there");
                return Err(answer.wrong(Rule::UnknownInstance, text));
            }
        }
        let names: BTreeSet<&String> = rows.iter().map(|row| &row.name).collect();
        let deployed = self
            .configs
            .deployed()
            .filter(|_| self.is_settled(answer.from));
        let mut missing = deployed.iter().flat_map(|config| &config.instances);
        match missing.find(|it| self.is_there(&it.name) && !names.contains(&it.name)) {
            Some(instance) => {
                let text = format!("{} is not listed, but there", instance.name);
                Err(answer.wrong(Rule::NotSettled, text))
            }
            None => Ok(()),
        }
    }

    fn check_staged(&self, answer: &Answer<'_>, config: &Configuration) -> Result<(), Violation> {
        let Some(id) = adopted(answer) else {
            return self.check_not_staged(answer, config);
        };
        if answer.results.len() != 1 {
            return Err(answer.wrong(Rule::WrongAnswer, "success is not the only Result"));
        }
        if !is_coherent(config) {
            return Err(answer.wrong(Rule::WrongRefusal, "staged, though it is wrong"));
        }
        let mut staged = self
            .configs
            .since(answer.from)
            .filter_map(|k| k.staged.as_ref());
        if staged.any(|staged| staged.id == id && is_staged_as(config, staged)) {
            return Ok(());
        }
        Err(answer.wrong(Rule::NotStored, "told to be staged, and not on disk"))
    }

    fn check_not_staged(
        &self,
        answer: &Answer<'_>,
        config: &Configuration,
    ) -> Result<(), Violation> {
        if answer.results.is_empty() || answer.results.iter().any(|result| result.success) {
            return Err(answer.wrong(Rule::WrongAnswer, "neither success nor failure"));
        }
        let is_storage = |error: &str| {
            error == TIMED_OUT || error.starts_with("cannot store the staged configuration: ")
        };
        if is_plain(config) && !answer.refusals().all(is_storage) {
            return Err(answer.wrong(Rule::WrongRefusal, "refused, though it is right"));
        }
        Ok(())
    }

    fn check_configuration(&self, answer: &Answer<'_>, deployed: bool) -> Result<(), Violation> {
        let [result] = answer.results else {
            return Err(answer.wrong(Rule::WrongAnswer, "not one Result"));
        };
        let kept = self.configs.since(answer.from);
        let mut kept = kept.map(|kept| {
            if deployed {
                &kept.deployed
            } else {
                &kept.staged
            }
        });
        let error = result.error.as_deref().unwrap_or_default();
        if !result.success {
            let is_none = error.ends_with("configuration available") && kept.any(Option::is_none);
            if is_none || error == TIMED_OUT {
                return Ok(());
            }
            let text = format!("refused with {error:?}");
            return Err(answer.wrong(Rule::WrongRefusal, text));
        }
        let data = result.data.clone();
        let Some(Ok(config)) = data.map(Any::read::<Configuration>) else {
            return Err(answer.wrong(Rule::WrongAnswer, "there is no configuration in it"));
        };
        if kept.any(|kept| kept.as_deref() == Some(&config)) {
            return Ok(());
        }
        let text = format!("{} is shown, which it was not", config.id);
        Err(answer.wrong(Rule::StaleConfiguration, text))
    }

    fn check_deployment(&mut self, answer: &Answer<'_>) -> Result<(), Violation> {
        let Some(id) = adopted(answer) else {
            return self.check_not_deployed(answer);
        };
        let deployed = self.configs.deployed().filter(|config| config.id == id);
        let staged = self.configs.since(answer.from).map(|kept| &kept.staged);
        let was_staged = staged.flatten().any(|staged| staged.id == id);
        let Some(config) = deployed.cloned().filter(|_| was_staged) else {
            let text = format!("told that {id} is deployed, and not on disk");
            return Err(answer.wrong(Rule::NotStored, text));
        };
        self.check_deployed_nodes(answer, &config)?;
        self.check_all_answer(answer)?;
        if !is_success(answer) && answer.request.is_settled && self.is_all_there(&config) {
            return Err(answer.wrong(Rule::NotSettled, "a deployment fails"));
        }
        for Instance { name, .. } in &config.instances {
            let mut nodes = config.nodes.iter().filter(|node| node.instance == *name);
            let mark = nodes.clone().find_map(mark_of);
            let is_up = |node: &str| named(answer, node).any(|result| result.success);
            let are_up = nodes.all(|node| is_up(&node.name));
            let is_exempt = self.stock.contains(name) || self.late.contains(name);
            let Some(mark) = mark.filter(|_| are_up && !is_exempt) else {
                continue;
            };
            self.processes.take(answer.at, name, mark);
        }
        Ok(())
    }

    /// Each node has one Result, or its instance has none but failed ones. Within the first 10 s
    /// nobody is given up, and later only by an answer that is not all success.
    fn check_deployed_nodes(
        &self,
        answer: &Answer<'_>,
        config: &Configuration,
    ) -> Result<(), Violation> {
        let nodes: BTreeMap<&str, &str> = config
            .nodes
            .iter()
            .map(|node| (node.name.as_str(), node.instance.as_str()))
            .collect();
        for result in answer.results {
            let Some(node) = result.node.as_deref() else {
                continue;
            };
            let instance = nodes.get(node).copied();
            if instance.is_none() || result.instance.as_deref() != instance {
                let text = format!("a Result for {node}, which is not deployed there");
                return Err(answer.wrong(Rule::OtherResults, text));
            }
            self.check_once(answer, node)?;
            let is_exempt = instance.is_some_and(|name| self.stock.contains(name));
            if !result.success || is_exempt {
                continue;
            }
            let mut own = config.nodes.iter().filter(|it| it.name == *node);
            let is_late = instance.is_some_and(|name| self.late.contains(name));
            let mark = own.find_map(mark_of).filter(|_| !is_late);
            let of = Of { instance, mark };
            if !self
                .processes
                .was_up(node, of, answer.from.saturating_sub(SOON), answer.at)
            {
                let text = format!("told that {node} is up, which has not said hello");
                return Err(answer.wrong(Rule::NotUp, text));
            }
        }
        let has_failed = |instance: &str| {
            let mut own = answer.results.iter().filter(|it| it.node.is_none());
            own.any(|it| !it.success && it.instance.as_deref() == Some(instance))
        };
        let is_silent = |(node, instance): (&&str, &&str)| {
            named(answer, node).next().is_none()
                && !has_failed(instance)
                && !self.stock.contains(*instance)
        };
        let mut silent = nodes.iter().filter(|entry| is_silent(*entry));
        // Agents that run it already and do not tell how the nodes are (API §15.1, A6).
        match silent.next().filter(|_| answer.took() < PATIENCE) {
            Some((node, _)) => {
                let text = format!("nothing is said of {node}");
                Err(answer.wrong(Rule::OtherResults, text))
            }
            None => Ok(()),
        }
    }

    /// In the end all agents answer, stock's as well.
    fn check_all_answer(&self, answer: &Answer<'_>) -> Result<(), Violation> {
        let is_missing = |it: &&ApiResult| {
            let name = it.instance.as_deref().filter(|name| self.is_there(name));
            let words = ["did not answer", "is not connected"];
            let texts = name.map(|name| words.map(|words| format!("instance {name} {words}")));
            let error = it.error.as_deref().unwrap_or_default();
            texts.is_some_and(|texts| texts.iter().any(|text| error.starts_with(text)))
        };
        match answer.results.iter().find(is_missing) {
            Some(result) if answer.request.is_settled => {
                let text = format!("an agent is not reached: {:?}", result.error);
                Err(answer.wrong(Rule::NotSettled, text))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_not_deployed(&self, answer: &Answer<'_>) -> Result<(), Violation> {
        self.check_all_answer(answer)?;
        if answer.results.is_empty() || is_success(answer) {
            return Err(answer.wrong(Rule::WrongAnswer, "neither success nor failure"));
        }
        if let Some(result) = answer.results.iter().find(|result| result.success) {
            let text = format!("{result:?} has come up without being deployed");
            return Err(answer.wrong(Rule::OtherResults, text));
        }
        for error in answer.refusals() {
            let pending = error.strip_prefix("earlier deployment ");
            let pending = pending.and_then(|rest| rest.strip_suffix(" still pending"));
            let is_true = match pending {
                Some(other) => {
                    other != answer.request.reqid()
                        && self.requests.was_open_since(other, answer.from)
                }
                None if error == "no configuration available to deploy" => {
                    let mut kept = self.configs.since(answer.from);
                    kept.any(|kept| kept.staged.is_none())
                }
                None => {
                    error == TIMED_OUT
                        || error.starts_with("cannot store the deployed configuration: ")
                }
            };
            if !is_true {
                let text = format!("refused with {error:?}, which is not so");
                return Err(answer.wrong(Rule::WrongRefusal, text));
            }
        }
        let mut staged = self.configs.since(answer.from).map(|kept| &kept.staged);
        let should_work =
            staged.all(|it| it.as_ref().is_some_and(|config| self.is_all_there(config)));
        let is_busy = answer
            .refusals()
            .any(|error| error.ends_with("still pending"));
        if answer.request.is_settled && should_work && !is_busy {
            return Err(answer.wrong(Rule::NotSettled, "a deployment fails"));
        }
        Ok(())
    }

    fn check_nodes(&self, answer: &Answer<'_>) -> Result<(), Violation> {
        let mut listed = BTreeMap::new();
        for result in answer.results.iter().filter(|result| result.success) {
            let instance = result.instance.as_deref();
            let Some((instance, rows)) = instance.zip(rows::<NodeStatus>(result)) else {
                return Err(answer.wrong(Rule::WrongAnswer, "a list of nodes is none"));
            };
            let rows = rows.into_iter().filter(|row| row.mgmt_role == Role::None);
            for row in rows {
                let name = (instance, row.node.clone());
                if listed.insert(name, row.state).is_some() {
                    let text = format!("{} is listed twice", row.node);
                    return Err(answer.wrong(Rule::OtherResults, text));
                }
            }
        }
        for ((name, node), state) in &listed {
            let instance = Some(*name);
            let of = Of {
                instance,
                mark: None,
            };
            let is_exempt = *state != State::Running || self.stock.contains(*name);
            // What it knows without its supervisor it has from the nodes' links (API §15.1 D36).
            let mut failed = answer.results.iter().filter(|it| !it.success);
            let age = match failed.any(|it| it.instance.as_deref() == instance) {
                true => DEAD_LINK,
                false => SOON,
            };
            let from = answer.from.saturating_sub(age);
            if !is_exempt && !self.processes.was_up(node, of, from, answer.at) {
                let text = format!("{node} is listed as running, and is dead");
                return Err(answer.wrong(Rule::NotUp, text));
            }
        }
        let deployed = self
            .configs
            .deployed()
            .filter(|_| self.is_settled(answer.from));
        let nodes = deployed.iter().flat_map(|config| &config.nodes);
        let mut nodes = nodes.filter(|node| self.is_there(&node.instance));
        let is_running = |instance: &str, node: &str| {
            listed.get(&(instance, node.to_owned())) == Some(&State::Running)
        };
        match nodes.find(|node| !is_running(&node.instance, &node.name)) {
            Some(node) => {
                let text = format!("{} is not listed as running", node.name);
                Err(answer.wrong(Rule::NotSettled, text))
            }
            None => Ok(()),
        }
    }

    /// Results are about nodes that were asked for and are deployed: none twice, and all of them,
    /// unless the whole is refused.
    fn check_names(&self, answer: &Answer<'_>, asked: &BTreeSet<String>) -> Result<(), Violation> {
        let deployed: Vec<Option<&Configuration>> = self
            .configs
            .around(answer.from)
            .map(|kept| kept.deployed.as_deref())
            .collect();
        let has = |config: &Option<&Configuration>, name: &str| {
            config.is_some_and(|config| config.nodes.iter().any(|node| node.name == name))
        };
        for result in answer.results {
            let Some(name) = result.node.as_deref() else {
                continue;
            };
            self.check_once(answer, name)?;
            let is_unknown = result.error.as_deref() == Some("unknown cluster node");
            let is_true = match is_unknown {
                true => !deployed.iter().all(|config| has(config, name)),
                false => deployed.iter().any(|config| has(config, name)),
            };
            if !is_true || !(asked.is_empty() || asked.contains(name)) {
                let text = format!("a Result for {name}: {result:?}");
                return Err(answer.wrong(Rule::OtherResults, text));
            }
        }
        self.check_refusals(answer, &deployed)?;
        self.check_all_named(answer, asked, &deployed)
    }

    /// Each node that is asked for, which are all that are deployed if none is named, has a Result,
    /// or a failed one says why there is none. In the end all of them have succeeded.
    fn check_all_named(
        &self,
        answer: &Answer<'_>,
        asked: &BTreeSet<String>,
        deployed: &[Option<&Configuration>],
    ) -> Result<(), Violation> {
        let latest = deployed.first().copied().flatten();
        let latest = || latest.iter().flat_map(|config| &config.nodes);
        // What is asked for changed meanwhile if something did.
        let is_settled = answer.request.is_settled && self.changed <= answer.from;
        let is_asked = |name: &String| asked.is_empty() || asked.contains(name);
        let mut there =
            latest().filter(|node| is_asked(&node.name) && self.is_there(&node.instance));
        let is_up = |name: &str| named(answer, name).any(|result| result.success);
        if let Some(node) = there.find(|node| is_settled && !is_up(&node.name)) {
            let text = format!("nothing good is said of {}", node.name);
            return Err(answer.wrong(Rule::NotSettled, text));
        }
        let mut unnamed = answer.results.iter().filter(|it| it.node.is_none());
        if unnamed.any(|result| !result.success) {
            return Ok(());
        }
        let all = latest().filter(|node| {
            asked.is_empty()
                && !self.stock.contains(&node.instance)
                && deployed.iter().flatten().count() == deployed.len()
                && deployed.iter().flatten().all(|config| {
                    let mut others = config.nodes.iter();
                    others.any(|it| (&it.name, &it.instance) == (&node.name, &node.instance))
                })
        });
        let mut silent = asked.iter().chain(all.map(|node| &node.name));
        match silent.find(|name| named(answer, name).next().is_none()) {
            Some(name) => {
                let text = format!("nothing is said of {name}");
                Err(answer.wrong(Rule::OtherResults, text))
            }
            None => Ok(()),
        }
    }

    fn check_refusals(
        &self,
        answer: &Answer<'_>,
        deployed: &[Option<&Configuration>],
    ) -> Result<(), Violation> {
        let is_empty = |config: &Option<&Configuration>| {
            config.is_none_or(|config| config.instances.is_empty())
        };
        let has_some = !deployed.iter().any(is_empty);
        for error in answer.refusals() {
            let is_true = match error {
                "no cluster deployed" | "no active cluster deployment" => !has_some,
                "no instances connected" => !has_some || !self.is_settled(answer.from),
                // What an agent said of itself.
                _ => error == TIMED_OUT || error.starts_with("instance "),
            };
            if !is_true {
                let text = format!("refused with {error:?}, which is not so");
                return Err(answer.wrong(Rule::WrongRefusal, text));
            }
        }
        Ok(())
    }

    /// Values come from nodes that live.
    fn check_values(&self, answer: &Answer<'_>) -> Result<(), Violation> {
        let values = answer.results.iter().filter(|result| result.success);
        for (result, node) in values.filter_map(|it| Some((it, it.node.as_deref()?))) {
            let instance = result.instance.as_deref();
            let of = Of {
                instance,
                mark: None,
            };
            let is_exempt = instance.is_some_and(|name| self.stock.contains(name));
            if !is_exempt && !self.processes.was_up(node, of, answer.from, answer.at) {
                let text = format!("{node} has a value, and is dead");
                return Err(answer.wrong(Rule::NotUp, text));
            }
        }
        Ok(())
    }

    fn check_restarts(&self, answer: &Answer<'_>) -> Result<(), Violation> {
        let restarted = answer.results.iter().filter(|result| result.success);
        for (result, node) in restarted.filter_map(|it| Some((it, it.node.as_deref()?))) {
            let instance = result.instance.as_deref();
            let of = Of {
                instance,
                mark: None,
            };
            let is_exempt = instance.is_some_and(|name| self.stock.contains(name));
            if !is_exempt && !self.processes.was_heard(node, of, answer.from, answer.at) {
                let text = format!("told that {node} is restarted, which has not said hello");
                return Err(answer.wrong(Rule::NotRestarted, text));
            }
        }
        Ok(())
    }

    fn check_once(&self, answer: &Answer<'_>, node: &str) -> Result<(), Violation> {
        if named(answer, node).count() > 1 {
            let text = format!("two Results for {node}");
            return Err(answer.wrong(Rule::OtherResults, text));
        }
        Ok(())
    }

    /// Whether all instances with nodes are there, and none of them is stock's.
    fn is_all_there(&self, config: &Configuration) -> bool {
        let mut nodes = config.nodes.iter();
        nodes.all(|node| self.is_there(&node.instance) && !self.stock.contains(&node.instance))
    }
}

/// The id of the configuration that was staged or deployed.
fn adopted(answer: &Answer<'_>) -> Option<String> {
    let last = answer.results.last()?;
    let is_own = last.success && last.node.is_none() && last.instance.is_none();
    last.data.clone().filter(|_| is_own)?.read().ok()
}

fn is_success(answer: &Answer<'_>) -> bool {
    answer.results.iter().all(|result| result.success)
}

/// The Results about a node.
fn named<'a>(answer: &'a Answer<'_>, node: &'a str) -> impl Iterator<Item = &'a ApiResult> {
    let results = answer.results.iter();
    results.filter(move |result| result.node.as_deref() == Some(node))
}

fn one_list<T: FromData>(answer: &Answer<'_>) -> Result<Vec<T>, Violation> {
    match answer.results {
        [result] if result.success => rows(result),
        _ => None,
    }
    .ok_or_else(|| answer.wrong(Rule::WrongAnswer, "there is no list in it"))
}

fn rows<T: FromData>(result: &ApiResult) -> Option<Vec<T>> {
    result.data.clone()?.read().ok()
}

/// Whether names are all different, and nodes on declared instances (API §7.1 V1 – V4).
fn is_coherent(config: &Configuration) -> bool {
    let instances: BTreeSet<&str> = config.instances.iter().map(|i| i.name.as_str()).collect();
    let nodes: BTreeSet<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
    let mut homes = config.nodes.iter().map(|node| node.instance.as_str());
    instances.len() == config.instances.len()
        && nodes.len() == config.nodes.len()
        && instances.is_disjoint(&nodes)
        && homes.all(|home| instances.contains(home))
}

/// Whether nothing can be wrong with a configuration: it is coherent, has no ports of its own, and
/// ordinary names and roles.
fn is_plain(config: &Configuration) -> bool {
    let is_plain = |name: &str| {
        let mut chars = name.chars();
        !name.is_empty() && chars.all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let mut instances = config.instances.iter();
    is_coherent(config)
        && instances.all(|instance| is_plain(&instance.name))
        && config.nodes.iter().all(|node| {
            let has_port = node.p.is_some() || node.metrics_port.is_some();
            is_plain(&node.name) && node.role != ClusterRole::None && !has_port
        })
}
