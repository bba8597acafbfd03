//! Which agents are there, which ones belong to the configuration, which of those are ready
//! (API §4.2, §4.5, §4.6).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use broker_proto::peering::{PeerAddr, PeerNetwork};
use broker_proto::zeek::ToData;
use broker_proto::{Address, EndpointId, Port};
use tracing::{debug, info, warn};

use super::deadlines::Deadlines;
use super::deploy::Deployment;
use super::rollout::Rollout;
use super::{Controller, Output, Sender};
use crate::api::agent::AgentRequest;
use crate::api::controller::ControllerResponse;
use crate::api::{API_VERSION, ApiResult};
use crate::log::Record;
use crate::model::diff::{InstanceDiff, Reconnect};
use crate::model::{Configuration, Instance};

/// Between two welcomes. Stock never repeats one (API §12.1 D12).
const WELCOME_RETRY: Duration = Duration::from_secs(2);

/// Most instances remembered that have not said that they stand by, and most that cannot join.
const MAX_NOTED: usize = 1024;

/// All that is known about agents. A peer is at most one instance.
#[derive(Debug, Default)]
pub(super) struct Instances {
    peers: BTreeMap<EndpointId, PeerNetwork>,
    known: BTreeMap<String, Known>,
    wanted: BTreeMap<String, Instance>,
    /// What the deployment in progress, or the last one that came to nothing, wants besides.
    candidates: BTreeMap<String, Instance>,
    /// Where peerings are kept up, and why there is none the last time that failed.
    dialed: BTreeMap<PeerAddr, Option<String>>,
    /// Dropped, and have not said that they stand by. Those that are away are told when they return,
    /// and are dialed for that if they do not dial themselves.
    dropped: BTreeMap<String, Dropped>,
    /// Why agents that are connected cannot be ready.
    troubles: BTreeMap<String, Trouble>,
    ready: BTreeMap<String, EndpointId>,
    /// Those who said hello before another peer did under the same name, and are still connected.
    displaced: BTreeMap<EndpointId, (String, Known)>,
    /// Welcomes that are not answered, by their ids.
    welcomes: BTreeMap<String, String>,
    /// When those of agents that are connected are repeated.
    repeats: Deadlines,
}

/// An agent that said hello and is still connected.
#[derive(Debug)]
struct Known {
    id: EndpointId,
    host: Address,
    listen_port: Option<Port>,
}

/// An instance that is in force no more.
#[derive(Debug)]
struct Dropped {
    /// As it was.
    instance: Instance,
    /// Who was told to stand by, as long as it is connected: what it was told may be lost with it.
    told: Option<EndpointId>,
}

#[derive(Debug)]
struct Trouble {
    id: EndpointId,
    /// In words that follow the instance's name.
    text: String,
}

impl Instances {
    /// Those connected, by name.
    pub(super) fn known(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// Those of the configuration in force, by name.
    pub(super) fn wanted(&self) -> &BTreeMap<String, Instance> {
        &self.wanted
    }

    pub(super) fn is_known(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    pub(super) fn is_ready(&self, name: &str) -> bool {
        self.ready.contains_key(name)
    }

    /// Whether it is ready, or cannot be.
    pub(super) fn is_settled(&self, name: &str) -> bool {
        self.is_ready(name) || self.troubles.contains_key(name)
    }

    /// Why an instance does not do what it should, in words that follow its name.
    pub(super) fn problem(&self, name: &str) -> String {
        if let Some(trouble) = self.troubles.get(name) {
            return trouble.text.clone();
        }
        if self.is_known(name) {
            return "did not answer".to_owned();
        }
        let instance = self.candidates.get(name).or_else(|| self.wanted.get(name));
        let addr = instance.and_then(agent_addr);
        let reason = addr.and_then(|addr| Some((self.dialed.get(&addr)?.as_ref()?, addr)));
        match reason {
            Some((reason, addr)) => format!("is not connected: {addr}: {reason}"),
            None => "is not connected".to_owned(),
        }
    }

    /// Where its agent is seen.
    pub(super) fn host_of(&self, name: &str) -> Option<Address> {
        self.known.get(name).map(|known| known.host)
    }

    fn is_expected(&self, name: &str) -> bool {
        self.wanted.contains_key(name) || self.candidates.contains_key(name)
    }

    /// Whether the agent is connected just as this instance is configured.
    fn is_at(&self, name: &str, instance: &Instance) -> bool {
        let known = self.known.get(name);
        known.is_some_and(|k| k.host == instance.host && k.listen_port == instance.listen_port)
    }

    /// Whether this sender is the agent whose topic it used.
    pub(super) fn is_genuine(&self, sender: &Sender) -> bool {
        self.endpoint_of(&sender.instance) == Some(sender.from)
    }

    pub(super) fn endpoint_of(&self, name: &str) -> Option<EndpointId> {
        let known = || self.known.get(name).map(|known| known.id);
        self.ready.get(name).copied().or_else(known)
    }

    /// When to repeat the next welcome.
    pub(super) fn next_welcome(&self) -> Option<Instant> {
        self.repeats.next()
    }

    /// Nobody waits for the answer to a welcome any more. Returns its id.
    fn end_welcome(&mut self, name: &str) -> Option<String> {
        self.repeats.remove(name);
        self.welcomes.remove(name)
    }

    /// Gives instances without host the address of their agent, or the one it had.
    pub(super) fn fill_hosts(&self, config: &mut Configuration) {
        let instances = std::mem::take(&mut config.instances).into_iter();
        config.instances = instances.map(|i| self.with_known_host(i)).collect();
    }

    fn with_known_host(&self, mut instance: Instance) -> Instance {
        if instance.host.is_unspecified() && instance.listen_port.is_none() {
            let wanted = self.wanted.get(&instance.name).map(|wanted| wanted.host);
            let host = self.host_of(&instance.name).or(wanted);
            instance.host = host.unwrap_or(Address::UNSPECIFIED);
        }
        instance
    }

    /// The names an endpoint goes by.
    fn names_of(&self, id: EndpointId) -> Vec<String> {
        let known = self.known.iter().map(|(name, known)| (name, known.id));
        let ready = self.ready.iter().map(|(name, id)| (name, *id));
        let mut names: Vec<String> = known
            .chain(ready)
            .filter(|(_, other)| *other == id)
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Controller {
    pub(super) fn on_peer_up(&mut self, id: EndpointId, network: PeerNetwork) {
        debug!(%id, remote = %network.remote, "peer is there");
        let dialed = network.dialed.as_ref();
        if let Some(failure) = dialed.and_then(|addr| self.instances.dialed.get_mut(addr)) {
            *failure = None;
        }
        self.instances.peers.insert(id, network);
    }

    pub(super) fn on_peer_down(&mut self, now: Instant, id: EndpointId, reason: &str) {
        self.instances.peers.remove(&id);
        self.instances.displaced.remove(&id);
        self.instances
            .troubles
            .retain(|_, trouble| trouble.id != id);
        for name in self.instances.names_of(id) {
            info!(instance = %name, %id, reason, "lost agent");
            self.forget(&name);
            self.log(Record::info(format!("dropped state for instance {name}")));
            self.reinstate(now, &name);
        }
    }

    /// The last words of an agent's former process may come behind the first ones of the next, on a
    /// connection that ends with them. The other one said hello once and for all.
    fn reinstate(&mut self, now: Instant, name: &str) {
        let displaced = &mut self.instances.displaced;
        let mut of_name = displaced.iter().filter(|(_, (other, _))| other == name);
        let id = of_name.next().map(|(id, _)| *id);
        if let Some((_, known)) = id.and_then(|id| displaced.remove(&id)) {
            info!(instance = name, "who said hello before is the agent again");
            self.record(name, known);
            self.call_on(now, name);
        }
    }

    /// Only addresses of agents count, and only the last reason.
    pub(super) fn on_peer_unreachable(&mut self, addr: PeerAddr, reason: String) {
        if let Some(failure) = self.instances.dialed.get_mut(&addr) {
            *failure = Some(reason);
        }
    }

    /// A hello comes with every peering an agent gains, so most of them are no news (API §4.2 C4).
    pub(super) fn on_hello(
        &mut self,
        now: Instant,
        sender: &Sender,
        id: &str,
        connecting: bool,
        api_version: u64,
    ) {
        if api_version != API_VERSION {
            self.refuse_version(now, sender, id, api_version);
            return;
        }
        self.instances.troubles.remove(&sender.instance);
        let is_sender = id.parse() == Ok(sender.from);
        let network = self.instances.peers.get(&sender.from);
        match network.filter(|_| is_sender) {
            Some(network) => {
                let dialed = network.dialed.as_ref().filter(|_| !connecting);
                let known = Known {
                    id: sender.from,
                    host: Address::from(network.remote.ip()),
                    listen_port: dialed.map(|addr| Port::tcp(addr.port)),
                };
                self.record(&sender.instance, known);
            }
            None => {
                let name = &sender.instance;
                warn!(instance = %name, id, "hello from an unknown endpoint");
                let hello = "notify_agent_hello";
                let text = format!("{hello} from {name} with unknown Broker ID {id}");
                self.log(Record::warning(text));
            }
        }
        self.call_on(now, &sender.instance);
    }

    /// An agent is there: it is told to stand by if it was dropped, and welcomed if it is expected.
    fn call_on(&mut self, now: Instant, name: &str) {
        let deployment = self.deployment.as_ref();
        if deployment.is_none_or(Deployment::is_launching) {
            self.dismiss_returned();
            self.rollout.heed_standbys(now);
        }
        if self.instances.is_expected(name) && !self.instances.is_ready(name) {
            self.welcome(now, name);
        }
    }

    /// Agents that were dropped while they were away, and are there, stand by. Not as long as a
    /// deployment under way may want them; if it comes to nothing, they run what they ran before.
    pub(super) fn dismiss_returned(&mut self) {
        let Instances { known, dropped, .. } = &mut self.instances;
        let mut returned = Vec::new();
        for (name, dropped) in dropped.iter_mut().filter(|(_, it)| it.told.is_none()) {
            if let Some(known) = known.get(name) {
                dropped.told = Some(known.id);
                returned.push(name.clone());
            }
        }
        for name in &returned {
            info!(instance = %name, "agent was dropped while it was away");
            self.stand_by(name);
            self.rollout.on_standby(name);
        }
    }

    /// An agent has heard that it was dropped. Until then it may go, be restarted, and have its nodes
    /// again from memory (API §12.1 D15).
    pub(super) fn on_standby(&mut self, sender: &Sender, result: &ApiResult) {
        let name = sender.instance.as_str();
        let error = result.error.as_deref();
        debug!(instance = name, error, "agent stands by");
        let dropped = self.instances.dropped.get(name);
        let is_told = dropped.is_some_and(|dropped| dropped.told == Some(sender.from));
        if is_told && result.success {
            self.instances.dropped.remove(name);
            self.redial();
        }
    }

    pub(super) fn on_welcome(
        &mut self,
        now: Instant,
        sender: &Sender,
        reqid: &str,
        result: &ApiResult,
    ) {
        let name = sender.instance.as_str();
        let welcome = self.instances.welcomes.get(name);
        let is_awaited = welcome.is_some_and(|welcome| welcome == reqid);
        // An agent that could not be recorded is welcomed, too, and speaks for itself.
        let endpoint = self.instances.endpoint_of(name);
        if !is_awaited || endpoint.is_some_and(|id| id != sender.from) {
            debug!(instance = name, reqid, "ignored a welcome's answer");
            return;
        }
        self.instances.end_welcome(name);
        if !result.success {
            let error = result.error.as_deref().unwrap_or("no reason given");
            warn!(instance = name, error, "agent refused the welcome");
            self.note_trouble(sender, format!("refused to join: {error}"));
            self.stand_by(name);
            self.rollout.on_standby(name);
            return self.advance(now);
        }
        info!(instance = name, "agent is ready");
        self.log(Record::info(format!("instance {name} ready")));
        self.instances.ready.insert(name.to_owned(), sender.from);
        self.rollout.on_ready(name);
        self.advance(now);
    }

    pub(super) fn on_get_instances(&mut self, reqid: String) {
        let known = self.instances.known.iter();
        let known = known.map(|(name, known)| Instance {
            name: name.clone(),
            host: known.host,
            listen_port: known.listen_port,
        });
        let data = Vec::from_iter(known).into_data();
        let result = ApiResult::ok(&reqid).with_data(data);
        self.respond(ControllerResponse::GetInstances { reqid, result });
    }

    /// Asks an instance again to join until it answers or goes.
    pub(super) fn repeat_welcomes(&mut self, now: Instant) {
        for name in self.instances.repeats.take_due(now) {
            debug!(instance = %name, "welcomed again");
            self.welcome(now, &name);
        }
    }

    /// Wants the instances of a configuration that was stored (API §4.1 C3).
    pub(super) fn restore(&mut self) {
        let Some(config) = self.configs.deployed().cloned() else {
            return;
        };
        info!(config = %config.id, "deploying persisted configuration");
        let text = format!("deploying persisted configuration {}", config.id);
        self.log(Record::info(text));
        self.instances.wanted = by_name(config.instances.iter());
        self.rollout = Rollout::restored(config);
        self.redial();
    }

    /// Has agents ready that a configuration needs, without a change to what is in force. An agent
    /// that is connected, but shall be reached in another way, is as ready as it can be.
    pub(super) fn gather(&mut self, now: Instant, config: &Configuration) {
        let diff = InstanceDiff::new(&self.instances.wanted, &config.instances);
        let moved = diff.reconnect.iter().map(|moved| &moved.to);
        let moved = moved.filter(|instance| !self.instances.is_known(&instance.name));
        self.instances.candidates = by_name(diff.add.iter().chain(moved));
        self.settle_expected(now);
    }

    /// Makes the instances of a configuration those in force (API §4.4 C13).
    pub(super) fn want(&mut self, now: Instant, diff: &InstanceDiff, config: &Configuration) {
        for instance in &diff.drop {
            self.drop_instance(instance);
        }
        for moved in &diff.reconnect {
            self.drop_moved_instance(moved);
        }
        self.instances.wanted = by_name(config.instances.iter());
        self.instances.candidates.clear();
        self.settle_expected(now);
    }

    /// Dials those expected, welcomes those that are there, and lets go of the others.
    fn settle_expected(&mut self, now: Instant) {
        let Instances {
            wanted, candidates, ..
        } = &self.instances;
        let expected: BTreeSet<String> = wanted.keys().chain(candidates.keys()).cloned().collect();
        let instances = &mut self.instances;
        instances.ready.retain(|name, _| expected.contains(name));
        let welcomes = instances.welcomes.keys();
        let ended = welcomes.filter(|name| !expected.contains(*name));
        for name in ended.cloned().collect::<Vec<_>>() {
            instances.end_welcome(&name);
        }
        let wanted = &instances.wanted;
        instances
            .dropped
            .retain(|name, _| !wanted.contains_key(name));
        self.redial();
        for name in expected {
            let instances = &self.instances;
            let is_asked = instances.is_ready(&name) || instances.welcomes.contains_key(&name);
            if instances.is_known(&name) && !is_asked {
                self.welcome(now, &name);
            }
        }
    }

    /// Keeps up the peerings that the expected instances need and those that have yet to hear that
    /// they are dropped, and no others: stock never ends one (API §12.1 D15).
    fn redial(&mut self) {
        let instances = &mut self.instances;
        let expected = instances.wanted.values();
        let expected = expected.chain(instances.candidates.values());
        let dropped = instances.dropped.values();
        let expected = expected.chain(dropped.map(|dropped| &dropped.instance));
        let needed: BTreeSet<PeerAddr> = expected.filter_map(agent_addr).collect();
        let mut former = std::mem::take(&mut instances.dialed);
        let (mut kept, mut added) = (BTreeMap::new(), Vec::new());
        for addr in needed {
            let failure = former.remove(&addr).unwrap_or_else(|| {
                added.push(addr.clone());
                None
            });
            kept.insert(addr, failure);
        }
        instances.dialed = kept;
        for addr in former.into_keys() {
            self.outputs.push_back(Output::Unpeer { addr });
        }
        let retry = self.settings.connect_retry;
        for addr in added {
            self.outputs.push_back(Output::Peer { addr, retry });
        }
    }

    /// Takes an instance out of the configuration in force (API §4.5). One that is away, or goes
    /// before it has answered, is told when it returns.
    fn drop_instance(&mut self, instance: &Instance) {
        let name = instance.name.as_str();
        info!(instance = name, "dropped instance");
        let told = self.instances.known.get(name).map(|known| known.id);
        if told.is_some() {
            self.stand_by(name);
        }
        let dropped = &mut self.instances.dropped;
        if dropped.len() < MAX_NOTED {
            let instance = instance.clone();
            dropped.insert(name.to_owned(), Dropped { instance, told });
        }
        self.instances.ready.remove(name);
        self.instances.end_welcome(name);
        self.log(Record::info(format!("dropped instance {name}")));
    }

    /// Prepares an instance to be reached in another way. An agent that was dialed at the old address
    /// stands by and has no say any more, though its peering may take a moment to end.
    fn drop_moved_instance(&mut self, moved: &Reconnect) {
        let name = moved.to.name.as_str();
        let is_dialed = moved.from.listen_port.is_some();
        if is_dialed && self.instances.is_known(name) && !self.instances.is_at(name, &moved.to) {
            self.drop_instance(&moved.from);
            self.forget(name);
        }
    }

    fn record(&mut self, name: &str, known: Known) {
        let former = self.instances.known.remove(name);
        let is_same = former.as_ref().is_some_and(|former| former.id == known.id);
        if let Some(former) = former.filter(|_| !is_same) {
            info!(instance = name, "agent came back as another endpoint");
            self.forget(name);
            let displaced = (name.to_owned(), former);
            self.instances.displaced.insert(displaced.1.id, displaced);
        }
        self.instances.displaced.remove(&known.id);
        for other in self.instances.names_of(known.id) {
            if other != name {
                warn!(former = %other, instance = name, "agent changed its name");
                self.forget(&other);
            }
        }
        if !is_same {
            info!(instance = name, id = %known.id, host = %known.host, "agent is there");
        }
        self.instances.known.insert(name.to_owned(), known);
    }

    /// The agent is gone, and with it what it was told.
    fn forget(&mut self, name: &str) {
        self.instances.known.remove(name);
        self.instances.ready.remove(name);
        self.instances.end_welcome(name);
        if let Some(dropped) = self.instances.dropped.get_mut(name) {
            dropped.told = None;
        }
        self.rollout.on_lost(name);
        if let Some(deployment) = &mut self.deployment {
            deployment.drop_checks(name);
        }
        self.give_up_on(name);
    }

    /// An agent of another version stands by, as in stock, but stays wanted: it may be replaced.
    fn refuse_version(&mut self, now: Instant, sender: &Sender, id: &str, api_version: u64) {
        let name = sender.instance.as_str();
        warn!(
            instance = name,
            api_version, "agent speaks another API version"
        );
        let text = "has checked in with incompatible API version";
        let text = format!("instance {name}/{id} {text} {api_version}");
        self.log(Record::warning(text));
        self.forget(name);
        let text = format!("has API version {api_version}, the controller {API_VERSION}");
        if self.note_trouble(sender, text) && self.instances.is_expected(name) {
            self.stand_by(name);
            self.rollout.on_standby(name);
            self.advance(now);
        }
    }

    /// Notes why an agent cannot be ready; `false` if that is known.
    fn note_trouble(&mut self, sender: &Sender, text: String) -> bool {
        let troubles = &mut self.instances.troubles;
        let former = troubles.get(&sender.instance);
        if former.is_some_and(|former| former.id == sender.from && former.text == text) {
            return false;
        }
        if troubles.len() < MAX_NOTED {
            let id = sender.from;
            troubles.insert(sender.instance.clone(), Trouble { id, text });
        }
        true
    }

    fn welcome(&mut self, now: Instant, name: &str) {
        let former = self.instances.end_welcome(name);
        let reqid = former.unwrap_or_else(|| self.ids.unique_id());
        let instances = &mut self.instances;
        instances.welcomes.insert(name.to_owned(), reqid.clone());
        if instances.is_known(name) {
            instances.repeats.set(name.to_owned(), now + WELCOME_RETRY);
        }
        self.tell(name, AgentRequest::Welcome { reqid });
    }

    fn stand_by(&mut self, name: &str) {
        let reqid = String::new();
        self.tell(name, AgentRequest::Standby { reqid });
    }
}

fn by_name<'a>(instances: impl Iterator<Item = &'a Instance>) -> BTreeMap<String, Instance> {
    instances.map(|i| (i.name.clone(), i.clone())).collect()
}

/// Where the controller dials the agent, if it does.
fn agent_addr(instance: &Instance) -> Option<PeerAddr> {
    instance.listen_port.map(|port| PeerAddr {
        host: instance.host.to_string(),
        port: port.number,
    })
}
