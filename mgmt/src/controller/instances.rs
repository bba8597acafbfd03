//! Which agents are there, which ones belong to the configuration, which of those are ready
//! (API §4.2, §4.5, §4.6).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use broker_proto::peering::{PeerAddr, PeerNetwork};
use broker_proto::zeek::ToData;
use broker_proto::{Address, EndpointId, Port};
use tracing::{debug, info, warn};

use super::{Controller, Output, Sender};
use crate::api::agent::AgentRequest;
use crate::api::controller::ControllerResponse;
use crate::api::{API_VERSION, ApiResult};
use crate::model::{Configuration, Instance};

/// Between two welcomes. Stock never repeats one (API §12.1 D12).
const WELCOME_RETRY: Duration = Duration::from_secs(2);

/// All that is known about agents. A peer is at most one instance.
#[derive(Debug, Default)]
pub(super) struct Instances {
    peers: BTreeMap<EndpointId, PeerNetwork>,
    known: BTreeMap<String, Known>,
    wanted: BTreeMap<String, Instance>,
    ready: BTreeMap<String, EndpointId>,
    welcomes: BTreeMap<String, Welcome>,
}

/// An agent that said hello and is still connected.
#[derive(Debug)]
struct Known {
    id: EndpointId,
    host: Address,
    listen_port: Option<Port>,
}

/// A welcome that is not answered.
#[derive(Debug)]
struct Welcome {
    reqid: String,
    repeat_at: Instant,
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

    /// Those of the configuration in force that answered their welcome, by name.
    pub(super) fn ready(&self) -> impl Iterator<Item = &str> {
        self.ready.keys().map(String::as_str)
    }

    pub(super) fn is_known(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    pub(super) fn is_ready(&self, name: &str) -> bool {
        self.ready.contains_key(name)
    }

    /// Whether every wanted instance is ready; not if none is wanted, where stock starts a second
    /// deployment (API §12.1 D20).
    pub(super) fn are_all_ready(&self) -> bool {
        !self.wanted.is_empty() && self.wanted.keys().eq(self.ready.keys())
    }

    /// Whether this sender is the agent whose topic it used.
    pub(super) fn is_genuine(&self, sender: &Sender) -> bool {
        self.endpoint_of(&sender.instance) == Some(sender.from)
    }

    fn endpoint_of(&self, name: &str) -> Option<EndpointId> {
        let known = self.known.get(name).map(|known| known.id);
        self.ready.get(name).copied().or(known)
    }

    /// When to repeat the next welcome.
    pub(super) fn next_welcome(&self) -> Option<Instant> {
        let due = self.welcomes.iter();
        due.filter(|(name, _)| self.is_known(name))
            .map(|(_, welcome)| welcome.repeat_at)
            .min()
    }

    /// Gives instances without host the address of their agent, as far as agents are there.
    pub(super) fn fill_hosts(&self, config: &mut Configuration) {
        let instances = std::mem::take(&mut config.instances).into_iter();
        config.instances = instances.map(|i| self.with_known_host(i)).collect();
    }

    fn with_known_host(&self, mut instance: Instance) -> Instance {
        if let Some(known) = self.known.get(&instance.name)
            && instance.host.is_unspecified()
        {
            instance.host = known.host;
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
        self.instances.peers.insert(id, network);
    }

    pub(super) fn on_peer_down(&mut self, id: EndpointId, reason: &str) {
        self.instances.peers.remove(&id);
        for name in self.instances.names_of(id) {
            info!(instance = %name, %id, reason, "lost agent");
            self.forget(&name);
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
            self.refuse_version(&sender.instance, api_version);
            return;
        }
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
            None => warn!(instance = %sender.instance, id, "hello from an unknown endpoint"),
        }
        let name = &sender.instance;
        if self.instances.wanted.contains_key(name) && !self.instances.is_ready(name) {
            self.welcome(now, name);
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
        let is_awaited = welcome.is_some_and(|welcome| welcome.reqid == reqid);
        // An agent that could not be recorded is welcomed, too, and speaks for itself.
        let endpoint = self.instances.endpoint_of(name);
        if !is_awaited || endpoint.is_some_and(|id| id != sender.from) {
            debug!(instance = name, reqid, "ignored a welcome's answer");
            return;
        }
        self.instances.welcomes.remove(name);
        if !result.success {
            warn!(instance = name, error = ?result.error, "agent refused the welcome");
            self.stand_by(name);
            return;
        }
        info!(instance = name, "agent is ready");
        self.instances.ready.insert(name.to_owned(), sender.from);
        self.check_ready(now);
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
        let due = self.instances.welcomes.iter();
        let due: Vec<String> = due
            .filter(|(name, welcome)| self.instances.is_known(name) && welcome.repeat_at <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            debug!(instance = %name, "welcomed again");
            self.welcome(now, &name);
        }
    }

    /// Makes an instance one of the configuration in force (API §4.6).
    pub(super) fn add_instance(&mut self, now: Instant, instance: Instance) {
        let name = instance.name.clone();
        if let Some(addr) = agent_addr(&instance) {
            self.outputs.push_back(Output::Peer {
                addr,
                retry: self.settings.connect_retry,
            });
        }
        let instance = if instance.listen_port.is_none() {
            self.instances.with_known_host(instance)
        } else {
            instance
        };
        self.instances.wanted.insert(name.clone(), instance);
        if self.instances.is_known(&name) {
            self.welcome(now, &name);
        }
    }

    /// Takes an instance out of the configuration in force (API §4.5), and ends the peering if the
    /// controller dialed it, which stock forgets (API §12.1 D15).
    pub(super) fn drop_instance(&mut self, name: &str) {
        self.stand_by(name);
        self.instances.ready.remove(name);
        self.instances.welcomes.remove(name);
        let Some(addr) = self
            .instances
            .wanted
            .remove(name)
            .as_ref()
            .and_then(agent_addr)
        else {
            return;
        };
        let mut others = self.instances.wanted.values().filter_map(agent_addr);
        if !others.any(|other| other == addr) {
            self.outputs.push_back(Output::Unpeer { addr });
        }
    }

    /// Drops an instance that will be added again at another address. The agent at the old one has
    /// no say any more, though its peering may take a moment to end.
    pub(super) fn drop_moved_instance(&mut self, name: &str) {
        self.drop_instance(name);
        let known = self.instances.known.get(name);
        if known.is_some_and(|known| known.listen_port.is_some()) {
            self.forget(name);
        }
    }

    /// Learns a host from a configuration that keeps the instance.
    pub(super) fn keep_instance(&mut self, instance: Instance) {
        if !instance.host.is_unspecified() {
            let name = instance.name.clone();
            self.instances.wanted.insert(name, instance);
        }
    }

    fn record(&mut self, name: &str, known: Known) {
        let former = self.instances.known.get(name).map(|known| known.id);
        if former.is_some_and(|id| id != known.id) {
            info!(instance = name, "agent came back as another endpoint");
            self.forget(name);
        }
        for other in self.instances.names_of(known.id) {
            if other != name {
                warn!(former = %other, instance = name, "agent changed its name");
                self.forget(&other);
            }
        }
        if former != Some(known.id) {
            info!(instance = name, id = %known.id, host = %known.host, "agent is there");
        }
        self.instances.known.insert(name.to_owned(), known);
    }

    /// The agent is gone, and with it what it was told.
    fn forget(&mut self, name: &str) {
        self.instances.known.remove(name);
        self.instances.ready.remove(name);
        self.instances.welcomes.remove(name);
        if let Some(deployment) = &mut self.deployment {
            deployment.ask_again(name);
        }
    }

    fn refuse_version(&mut self, name: &str, api_version: u64) {
        warn!(
            instance = name,
            api_version, "agent speaks another API version"
        );
        if self.instances.wanted.contains_key(name) {
            self.drop_instance(name);
        }
        self.forget(name);
        let problem =
            format!("instance {name} has API version {api_version}, the controller {API_VERSION}");
        self.fail_instance(name, &problem);
    }

    fn welcome(&mut self, now: Instant, name: &str) {
        let former = self.instances.welcomes.remove(name);
        let reqid = former.map_or_else(|| self.ids.unique_id(), |welcome| welcome.reqid);
        let welcome = Welcome {
            reqid: reqid.clone(),
            repeat_at: now + WELCOME_RETRY,
        };
        self.instances.welcomes.insert(name.to_owned(), welcome);
        self.tell(name, AgentRequest::Welcome { reqid });
    }

    fn stand_by(&mut self, name: &str) {
        let reqid = String::new();
        self.tell(name, AgentRequest::Standby { reqid });
    }
}

/// Where the controller dials the agent, if it does.
fn agent_addr(instance: &Instance) -> Option<PeerAddr> {
    instance.listen_port.map(|port| PeerAddr {
        host: instance.host.to_string(),
        port: port.number,
    })
}
