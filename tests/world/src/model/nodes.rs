//! The nodes' processes: which may be, which must be, and which must not any more.

use std::collections::BTreeMap;
use std::time::Duration;

use mgmt::model::Configuration;

use super::configs::{Configs, mark_of};
use super::{Rule, SETTLED, Violation};
use crate::seen::Pid;

/// How long a node of a former configuration may take to stop: a process that ignores its SIGTERMs
/// is killed after 30 s (API §9.4), and the order may have to find its way first.
const STOPPED: Duration = Duration::from_secs(60);

/// All processes of nodes, for as long as they matter.
#[derive(Debug, Default)]
pub(super) struct Processes {
    all: BTreeMap<Pid, Process>,
    /// What each instance is known to have taken: from when on, and which mark.
    taken: BTreeMap<String, Taken>,
    /// When one that should stop must be gone.
    due: BTreeMap<Duration, Vec<Pid>>,
}

#[derive(Debug)]
struct Process {
    /// Instance, node and the mark of the configuration.
    name: [String; 3],
    born: Duration,
    heard: Option<Duration>,
    died: Option<Duration>,
}

/// An instance has told that all its nodes of a configuration are up.
#[derive(Clone, Debug)]
struct Taken {
    since: Duration,
    mark: String,
}

impl Processes {
    pub(super) fn born(
        &mut self,
        at: Duration,
        pid: Pid,
        name: [&String; 3],
        configs: &Configs,
    ) -> Result<(), Violation> {
        let name = name.map(String::clone);
        let [instance, node, mark] = &name;
        let text = |what: &str| format!("{node} of {mark} starts on {instance}, {what}");
        if !configs.has_ordered(&name) {
            let text = text("where no deployed configuration has it");
            return Err(Violation::new(Rule::NotDeployed, at, text));
        }
        let living = self.all.values().filter(|it| it.died.is_none());
        let mut twins = living.filter(|it| it.name.iter().take(2).eq(name.iter().take(2)));
        if let Some(twin) = twins.next() {
            let text = text(&format!("where one of {} runs", twin.mark()));
            return Err(twin.told(Violation::new(Rule::TwoProcesses, at, text)));
        }
        if let Some(taken) = self.taken.get(instance) {
            let mut deployed = configs.since(taken.since);
            let is_deployed = deployed.any(|kept| kept.deployed.as_deref().is_some_and(of(mark)));
            if taken.mark != *mark && !is_deployed {
                let text = text(&format!("which has taken {} since", taken.mark));
                return Err(Violation::new(Rule::Outdated, at, text));
            }
        }
        let process = Process {
            name,
            born: at,
            heard: None,
            died: None,
        };
        if self.all.insert(pid, process).is_some() {
            return Err(Violation::new(
                Rule::Nonsense,
                at,
                "one process begins twice",
            ));
        }
        Ok(())
    }

    pub(super) fn heard(&mut self, at: Duration, pid: Pid) {
        if let Some(process) = self.all.get_mut(&pid) {
            process.heard.get_or_insert(at);
        }
    }

    pub(super) fn died(&mut self, at: Duration, pid: Pid) {
        if let Some(process) = self.all.get_mut(&pid) {
            process.died = Some(at);
        }
        // No answer takes so long that it could be about these.
        self.all
            .retain(|_, it| it.died.is_none_or(|died| at < died + SETTLED));
    }

    /// Whether a process of this node has said hello by then, and was there at some moment of that
    /// time. Any configuration will do if none is named.
    pub(super) fn was_up(&self, node: &str, of: Of<'_>, from: Duration, to: Duration) -> bool {
        self.named(node, of).any(|it| {
            it.heard.is_some_and(|heard| heard <= to) && it.died.is_none_or(|died| from <= died)
        })
    }

    /// Whether a process of this node has said hello in this time.
    pub(super) fn was_heard(&self, node: &str, of: Of<'_>, from: Duration, to: Duration) -> bool {
        let mut named = self.named(node, of);
        named.any(|it| it.heard.is_some_and(|heard| from <= heard && heard <= to))
    }

    fn named<'a>(&'a self, node: &'a str, of: Of<'a>) -> impl Iterator<Item = &'a Process> {
        self.all.values().filter(move |it| {
            let [on, name, mark] = &it.name;
            name == node
                && of.instance.is_none_or(|instance| instance == on)
                && of.mark.is_none_or(|other| other == mark)
        })
    }

    /// An instance says that all its nodes of a configuration are up, so the others are stopping.
    pub(super) fn take(&mut self, at: Duration, instance: &str, mark: &str) {
        let mark = mark.to_owned();
        let old = self.all.iter().filter(|(_, it)| {
            let [on, _, other] = &it.name;
            it.died.is_none() && on == instance && *other != mark
        });
        let old: Vec<Pid> = old.map(|(pid, _)| *pid).collect();
        self.due.entry(at + STOPPED).or_default().extend(old);
        let taken = Taken { since: at, mark };
        self.taken.insert(instance.to_owned(), taken);
    }

    /// Whether somebody is there who should have gone.
    pub(super) fn check_outdated(&mut self, at: Duration) -> Result<(), Violation> {
        while let Some(entry) = self.due.first_entry().filter(|entry| *entry.key() < at) {
            let (due, pids) = entry.remove_entry();
            let mut pids = pids.iter().filter_map(|pid| self.all.get(pid));
            if let Some(old) = pids.find(|it| it.died.is_none()) {
                let [instance, node, mark] = &old.name;
                let text = format!("{node} of {mark} still runs on {instance}, which took another");
                return Err(old.told(Violation::new(Rule::Outdated, due, text)));
            }
        }
        Ok(())
    }

    /// Whether just what is deployed runs on the instances that are there.
    pub(super) fn check_settled(
        &self,
        at: Duration,
        deployed: Option<&Configuration>,
        is_there: impl Fn(&str) -> bool,
    ) -> Result<(), Violation> {
        let wrong = |text| Violation::new(Rule::NotSettled, at, text);
        let nodes = || deployed.iter().flat_map(|config| &config.nodes);
        for node in nodes().filter(|node| is_there(&node.instance)) {
            let instance = Some(node.instance.as_str());
            let mark = mark_of(node);
            let of = Of { instance, mark };
            let mut running = self.named(&node.name, of);
            if !running.any(|it| it.died.is_none() && it.heard.is_some()) {
                let text = format!("{} does not run on {}", node.name, node.instance);
                return Err(wrong(text));
            }
        }
        for process in self.all.values().filter(|it| it.died.is_none()) {
            let [instance, name, mark] = &process.name;
            let is_it = |it: &str| it == name;
            let mut of_it = nodes().filter(|node| is_it(&node.name) && node.instance == *instance);
            if is_there(instance) && !of_it.any(|node| mark_of(node) == Some(mark)) {
                let text = format!("{name} of {mark} runs on {instance}, and is not deployed");
                return Err(process.told(wrong(text)));
            }
        }
        Ok(())
    }
}

/// Which processes of a node are meant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Of<'a> {
    pub(super) instance: Option<&'a str>,
    pub(super) mark: Option<&'a str>,
}

impl Process {
    fn mark(&self) -> &str {
        let [_, _, mark] = &self.name;
        mark
    }

    fn told(&self, mut violation: Violation) -> Violation {
        let [instance, node, mark] = &self.name;
        let text = format!("{node} of {mark} begins on {instance}");
        violation.about.push((self.born, text));
        violation
    }
}

/// Whether a configuration has this mark.
fn of(mark: &str) -> impl Fn(&Configuration) -> bool {
    move |config| config.nodes.iter().any(|node| mark_of(node) == Some(mark))
}
