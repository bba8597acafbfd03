//! What a stock controller may rely on, and whether it could (API §5, §15.2).

use std::collections::{BTreeMap, BTreeSet};
use std::slice;
use std::time::{Duration, Instant};

use broker_proto::zeek::Any;
use mgmt::api::ApiResult;
use mgmt::api::agent::{AgentRequest, AgentResponse};
use mgmt::model::{Configuration, NodeStatus, Role, State};

use super::{CALM, Counts, Run, SENSOR};
use crate::seen::{Pid, Seen};
use crate::stock_controller::Answer;

/// Most answers come at once.
const SLOW: Duration = Duration::from_secs(4);

/// From a node's end to an agent that knows of it: the way of a frame, and then some.
const SOON: Duration = Duration::from_millis(100);

/// Said of a node that may be a former process of its name, or not (API §15.2 D35).
const DOUBTFUL: [&str; 2] = [
    "said hello, but its supervisor told of no start",
    "; a hello under its name may have been its own",
];

/// What was seen of the nodes from outside.
#[derive(Default)]
struct Nodes {
    lives: BTreeMap<Pid, Life>,
    /// What reached the agent, of whom, and when.
    hellos: Vec<(Pid, Instant)>,
}

/// A node's process.
struct Life {
    node: String,
    /// The configuration it is of.
    config: String,
    begin: Instant,
    end: Option<Instant>,
}

impl Run {
    /// The last deployment has succeeded, and just its nodes run.
    pub(super) fn check_calm(&mut self, names: [&str; 2]) -> Result<(), String> {
        let answers = self.world.stock_controller(|it, _| it.answers.clone());
        let [.., deployed, listed] = answers.as_slice() else {
            return Err(format!("in calm, there are no answers: {answers:?}"));
        };
        let up = results(deployed).iter().filter(|result| result.success);
        let up = up.filter_map(|result| result.node.as_deref());
        ensure(up.eq(names), || {
            format!("in calm, this is deployed: {deployed:?}")
        })?;
        ensure(running_in(listed)? == names, || {
            format!("in calm, this is listed: {listed:?}")
        })?;
        let living = self.world.sensor(SENSOR).living();
        let living = living.iter().map(|(name, _)| name.as_str());
        ensure(living.clone().eq(names), || {
            format!("in calm, these run: {:?}", living.collect::<Vec<_>>())
        })
    }

    /// Everything was answered in time, once, and with what is true.
    pub(super) fn judge(&mut self, totals: &mut Counts) -> Result<(), String> {
        let (answers, timeouts, strays) = self
            .world
            .stock_controller(|it, _| (it.answers.clone(), it.timeouts.clone(), it.strays.clone()));
        ensure(timeouts.is_empty(), || {
            format!("no answer in time: {timeouts:?}")
        })?;
        ensure(strays.is_empty(), || {
            format!("answers that nobody waits for: {strays:?}")
        })?;
        let nodes = self.nodes();
        let first = self.world.stock_controller(|it, _| it.first.clone());
        for answer in &answers {
            self.judge_one(&nodes, answer, &first, totals)
                .map_err(|text| format!("{text}: {answer:?}"))?;
        }
        Ok(())
    }

    fn judge_one(
        &self,
        nodes: &Nodes,
        answer: &Answer,
        first: &BTreeMap<String, String>,
        totals: &mut Counts,
    ) -> Result<(), String> {
        totals.answers += 1;
        totals.slow += u64::from(answer.at - answer.asked > SLOW);
        let named = results(answer).iter().filter_map(|it| it.node.as_deref());
        let names: BTreeSet<&str> = named.clone().collect();
        ensure(named.count() == names.len(), || {
            "a node has two results".to_owned()
        })?;
        match &answer.request {
            AgentRequest::Deploy { reqid, config, .. } => {
                totals.deployments += 1;
                ensure(names.is_empty() || names == local(config), || {
                    "not all nodes have a result".to_owned()
                })?;
                let is_first = first.get(&config.id) == Some(reqid);
                let own = is_first.then_some(config.id.as_str());
                self.check_deployment(nodes, answer, own, totals)
            }
            AgentRequest::Restart { .. } => check_restart(nodes, answer),
            AgentRequest::GetNodes { .. } => check_running(nodes, answer, totals),
            AgentRequest::Welcome { .. }
            | AgentRequest::Standby { .. }
            | AgentRequest::NodeDispatch { .. } => Ok(()),
        }
    }

    /// A node that came up has said hello by then, and one that did not has not, but for processes
    /// that were on their way out, and those that the agent cannot tell from such, which it says. Who
    /// has said hello for a configuration that is deployed again cannot be told from outside.
    fn check_deployment(
        &self,
        nodes: &Nodes,
        answer: &Answer,
        own: Option<&str>,
        totals: &mut Counts,
    ) -> Result<(), String> {
        let mut named = results(answer).iter().filter(|it| it.node.is_some());
        let are_all_up = named.clone().next().is_some() && named.all(|node| node.success);
        let is_success = results(answer).iter().all(|result| result.success);
        ensure(!are_all_up || is_success, || {
            "all nodes are up, and yet it fails".to_owned()
        })?;
        for result in results(answer) {
            let Some(node) = &result.node else {
                continue;
            };
            let mut heard = nodes.hellos_between(answer, node);
            if result.success {
                totals.came_up += 1;
                ensure(heard.next().is_some(), || {
                    format!("{node} has not said hello")
                })?;
                continue;
            }
            totals.failed += 1;
            let error = result.error.as_deref().unwrap_or_default();
            if DOUBTFUL.iter().any(|doubt| error.ends_with(doubt)) {
                ensure(heard.next().is_some(), || {
                    format!("{node} has not said hello")
                })?;
                continue;
            }
            let mut heard = heard.filter(|(life, at)| {
                own == Some(life.config.as_str())
                    && *at < answer.at
                    && !self.is_leaving(life, *at, answer)
            });
            ensure(heard.next().is_none(), || format!("{node} has said hello"))?;
        }
        Ok(())
    }

    /// Whether who said hello at that time had been ordered to restart before, and ended of that. If
    /// the supervisor could not tell meanwhile whose hello it was, an order before the answer will do.
    fn is_leaving(&self, life: &Life, hello: Instant, answer: &Answer) -> bool {
        let mut deaf = self.deaf.iter();
        let is_deaf = deaf.any(|(from, to)| *from <= answer.at && hello <= *to);
        let until = if is_deaf { answer.at } else { hello };
        self.restarts.iter().any(|(at, nodes)| {
            let is_meant = nodes.is_empty() || nodes.contains(&life.node);
            let is_over = life.end.is_some_and(|end| end <= *at + CALM);
            is_meant && (answer.asked..=until).contains(at) && is_over
        })
    }

    fn nodes(&self) -> Nodes {
        let start = self.world.now - self.world.since_start();
        let mut nodes = Nodes::default();
        for (at, seen) in &self.world.record.seen {
            let at = start + *at;
            match seen {
                Seen::NodeBorn {
                    pid, node, config, ..
                } => {
                    let life = Life {
                        node: node.clone(),
                        config: config.clone(),
                        begin: at,
                        end: None,
                    };
                    nodes.lives.insert(*pid, life);
                }
                Seen::NodeHeard { pid } => nodes.hellos.push((*pid, at)),
                Seen::NodeDied { pid } => nodes.lives.get_mut(pid).unwrap().end = Some(at),
                Seen::Asked { .. }
                | Seen::Answered { .. }
                | Seen::ClientGone { .. }
                | Seen::Started { .. }
                | Seen::Killed { .. }
                | Seen::Stored { .. }
                | Seen::Calm => {}
            }
        }
        nodes
    }
}

impl Nodes {
    /// The hellos of a node from a request to its answer.
    fn hellos_between<'a>(
        &'a self,
        answer: &'a Answer,
        node: &'a str,
    ) -> impl Iterator<Item = (&'a Life, Instant)> {
        let hellos = self.hellos.iter();
        let hellos = hellos.map(|(pid, at)| (&self.lives[pid], *at));
        hellos
            .filter(move |(life, _)| life.node == node)
            .filter(move |(_, at)| answer.asked <= *at && *at <= answer.at)
    }
}

/// A node that is restarted has said hello again by then (API §15.2 D39).
fn check_restart(nodes: &Nodes, answer: &Answer) -> Result<(), String> {
    let restarted = results(answer).iter().filter(|result| result.success);
    for node in restarted.filter_map(|result| result.node.as_ref()) {
        let mut heard = nodes.hellos_between(answer, node);
        ensure(heard.next().is_some(), || {
            format!("{node} has not said hello again")
        })?;
    }
    Ok(())
}

/// A node that is listed as running runs, or ended just now (API §15.2 D36).
fn check_running(nodes: &Nodes, answer: &Answer, totals: &mut Counts) -> Result<(), String> {
    for node in running_in(answer)? {
        totals.listed += 1;
        let mut lives = nodes.lives.values().filter(|life| life.node == node);
        let runs = lives.any(|life| {
            let end = life.end.map(|end| end + SOON);
            life.begin <= answer.at && end.is_none_or(|end| answer.at <= end)
        });
        ensure(runs, || format!("{node} is dead"))?;
    }
    Ok(())
}

fn ensure(is_so: bool, text: impl FnOnce() -> String) -> Result<(), String> {
    match is_so {
        true => Ok(()),
        false => Err(text()),
    }
}

fn local(config: &Configuration) -> BTreeSet<&str> {
    let instance = SENSOR.instance();
    let nodes = config.nodes.iter();
    let local = nodes.filter(|node| node.instance == instance);
    local.map(|node| node.name.as_str()).collect()
}

fn results(answer: &Answer) -> &[ApiResult] {
    match &answer.response {
        AgentResponse::Deploy { results, .. }
        | AgentResponse::NodeDispatch { results, .. }
        | AgentResponse::Restart { results, .. } => results,
        AgentResponse::GetNodes { result, .. }
        | AgentResponse::Welcome { result, .. }
        | AgentResponse::Standby { result, .. } => slice::from_ref(result),
        AgentResponse::Hello { .. }
        | AgentResponse::Change { .. }
        | AgentResponse::Error { .. }
        | AgentResponse::Log { .. } => &[],
    }
}

/// The cluster nodes that are listed as running.
fn running_in(answer: &Answer) -> Result<Vec<String>, String> {
    let [result] = results(answer) else {
        return Err("not one list".to_owned());
    };
    let rows = result.data.clone().map(Any::read::<Vec<NodeStatus>>);
    let Some(Ok(rows)) = rows else {
        return Err("there is no list in it".to_owned());
    };
    let nodes = rows.into_iter().filter(|row| row.mgmt_role == Role::None);
    let running = nodes.filter(|row| row.state == State::Running);
    Ok(running.map(|row| row.node).collect())
}
