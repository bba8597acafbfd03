//! A stock agent as a process of the world: one link to its controller, and stock's defects.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use broker_proto::peering::{Input, Output, PeerAddr};
use broker_proto::{Data, EndpointId};

use crate::fault::Fault;
use crate::seen::CONFIG_VARIABLE;
use crate::stock::agent::Agent;
use crate::stock::peer::{Heard, Peer};
use crate::stock::release::RELEASES;
use crate::stock::shapes::Part;
use crate::stock::{Act, Scripts, text};
use crate::stock_link::StockLink;

/// Between two dials.
const RETRY: Duration = Duration::from_secs(1);

/// When stock's agent gives up on a request (API §3 R5).
const EXPIRY: Duration = Duration::from_millis(4700);

/// It commands nobody.
#[derive(Debug)]
pub(crate) struct StockAgent {
    link: StockLink,
    agent: Agent,
    name: String,
    /// Where it dials; `None` waits to be dialed.
    controller: Option<PeerAddr>,
    /// What is said later.
    later: BTreeMap<(Instant, u64), Act>,
    count: u64,
    redial: Option<Instant>,
    /// Until then a deployment loses its id (API §12.2 D32).
    confused: Option<Instant>,
    /// What its defects have done.
    faults: VecDeque<Fault>,
}

impl StockAgent {
    /// One of this name, of the release that the number says.
    pub(crate) fn new(
        name: &str,
        release: u64,
        id: EndpointId,
        controller: Option<PeerAddr>,
        now: Instant,
    ) -> Self {
        let release = RELEASES[usize::try_from(release).unwrap() % RELEASES.len()];
        let filter = Agent::filter(name);
        let filter = filter.each_ref().map(String::as_str);
        let peer = Peer::new(release, Part::Agent, id, &filter);
        let agent = Agent::new(release, name, &id.to_string(), controller.is_some());
        Self {
            link: StockLink::new(peer, 2151),
            agent,
            name: name.to_owned(),
            redial: controller.as_ref().map(|_| now + RETRY),
            controller,
            later: BTreeMap::new(),
            count: 0,
            confused: None,
            faults: VecDeque::new(),
        }
    }

    /// Whether nodes that are silent hold up what is asked of it (API §12.2 D33).
    pub(crate) fn set_stuck(&mut self, is_stuck: bool) {
        self.agent.stuck = is_stuck.then_some(None);
    }

    /// The nodes it would run, with the configuration they are of, sorted.
    pub(crate) fn nodes(&self) -> Vec<(String, String)> {
        self.agent.nodes_with(CONFIG_VARIABLE)
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        let is_end = matches!(input, Input::Closed { .. });
        self.link.handle(input);
        if is_end && !self.link.is_open() && self.controller.is_some() {
            self.redial = Some(now + RETRY);
        }
        self.settle(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(entry) = self.later.first_entry()
            && entry.key().0 <= now
        {
            let act = entry.remove();
            self.act(now, act.after(Duration::ZERO));
        }
        if self.redial.take_if(|at| *at <= now).is_some()
            && let Some(addr) = self.controller.clone()
        {
            self.link.dial(addr);
        }
        self.settle(now);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.link.poll_output()
    }

    /// What one of its defects has done.
    pub(crate) fn poll_fault(&mut self) -> Option<Fault> {
        self.faults.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let later = self.later.keys().next().map(|(at, _)| *at);
        later.into_iter().chain(self.redial).min()
    }

    /// Until it has nothing more to say at this moment.
    fn settle(&mut self, now: Instant) {
        while let Some(heard) = self.link.hear() {
            match heard {
                Heard::Up => {
                    for act in self.agent.up() {
                        self.act(now, act);
                    }
                }
                Heard::Event { topic, name, args } => self.hear(now, &topic, &name, &args),
                Heard::Lost | Heard::Refused(_) => {}
            }
        }
        self.link.flush();
    }

    fn hear(&mut self, now: Instant, topic: &str, name: &str, args: &[Data]) {
        // It does not look at what lies behind its own name.
        let own = self.topic();
        let is_overheard = topic != own && topic.starts_with(&own);
        if is_overheard {
            self.faults.push_back(Fault::StockOverheard);
        }
        let topic = if is_overheard { &own } else { topic };
        let is_confused = self.confused.is_some_and(|until| now < until);
        if name.ends_with("agent_standby_request") {
            // A deployment of nothing under no id, which nobody finishes (API §12.2 D30).
            self.confused = Some(now + EXPIRY);
            self.faults.push_back(Fault::StockStandby);
            let late = self.timed_out("");
            self.act(now, late.after(EXPIRY));
        } else if name.ends_with("deploy_request") && is_confused {
            // The other one's expiry takes this one's id away (API §12.2 D32).
            self.faults.push_back(Fault::StockIdLost);
            self.agent.hear(topic, name, args);
            let late = self.timed_out(text(&args[0]));
            return self.act(now, late.after(EXPIRY));
        }
        if name.ends_with("get_nodes_request") && self.agent.stuck.is_some() {
            self.faults.push_back(Fault::StockListLost);
        }
        for act in self.agent.hear(topic, name, args) {
            self.act(now, act);
        }
    }

    fn timed_out(&self, reqid: &str) -> Act {
        let result = crate::stock::Outcome::of(reqid, Some(&self.name)).failed("request timed out");
        let results = Data::Vector(vec![result.record()]);
        let args = vec![Data::string(reqid), results];
        Act::say(
            self.topic(),
            "Management::Agent::API::deploy_response",
            args,
        )
    }

    fn topic(&self) -> String {
        format!("zeek/management/agent/{}", self.name)
    }

    fn act(&mut self, now: Instant, act: Act) {
        match act {
            Act::Say {
                after: Duration::ZERO,
                topic,
                name,
                args,
            } => self.link.say(&topic, &name, args),
            Act::Say { after, .. } => {
                self.count += 1;
                self.later.insert((now + after, self.count), act);
            }
            Act::Start(_) | Act::Stop(_) => panic!("only supervisors do that"),
        }
    }
}
