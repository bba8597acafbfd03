//! The policy of one process against everybody who is connected to it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_proto::peering::{PeerNetwork, Readable};
use broker_proto::source::Source;
use broker_proto::{EndpointId, PeerCertificate};
use tracing::{info, warn};
use zeek_client_compat::hub::{self, ClientId};

use super::audit::{Audit, What, Who};
use super::names::{Claim, Names, Title};
use super::table::{Station, is_ruled};
use super::{Grant, Listener, Origin, Policy};
use crate::api::{CONTROLLER_TOPIC, MANAGEMENT_TOPIC};
use crate::audit::cut;

/// Lets peers in or not, and knows what each of them may do.
///
/// Peers that it was not told of count as arrived without a certificate from nowhere: only a policy
/// that asks for neither lets them do anything.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    station: Station,
    /// The name of the agent whose gate this is.
    own: Option<String>,
    guests: BTreeMap<EndpointId, Guest>,
    names: Names,
    /// Who would have a name if its holder were gone.
    rivals: BTreeMap<String, EndpointId>,
    /// Who had a name until another peer took it, with the right to, and is still there.
    displaced: BTreeMap<EndpointId, String>,
    quiet: BTreeMap<Stranger, Quiet>,
    counters: Refusals,
}

/// How often somebody was refused something. Nothing is ever reset.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Refusals {
    /// Connections that no rule lets in.
    pub connections: u64,
    /// Events that their publisher's roles do not allow.
    pub events: u64,
    /// Messages in the name of somebody else.
    pub names: u64,
}

/// Why something is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// No rule fits, or the one that does gives no role that is of use there.
    Connection,
    /// The roles do not allow it.
    Event(String),
    /// It is in the name of somebody else.
    Name {
        /// Why, for people.
        reason: String,
        /// The peer that has the name, if it may be dead and this one its successor.
        holder: Option<EndpointId>,
    },
}

/// Somebody who is let in.
#[derive(Debug)]
struct Guest {
    network: PeerNetwork,
    grant: Grant,
    /// The agent or node it is.
    name: Option<String>,
}

/// Whose refusals are logged together.
type Stranger = (Source, Option<[u8; 32]>);

#[derive(Debug)]
struct Quiet {
    until: Instant,
    left_out: u64,
}

/// What a changed policy means for a peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// It may read this from now on; `None` for everything.
    Restrict(Option<Readable>),
    /// It has to go, for this reason.
    Expel(Refusal),
}

impl Gate {
    /// A gate where nobody is yet. `own` is the name of the agent whose gate it is.
    pub fn new(policy: Policy, station: Station, own: Option<String>) -> Self {
        Self {
            policy,
            station,
            own,
            guests: BTreeMap::new(),
            names: Names::default(),
            rivals: BTreeMap::new(),
            displaced: BTreeMap::new(),
            quiet: BTreeMap::new(),
            counters: Refusals::default(),
        }
    }

    /// The rules in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How often it refused something.
    pub fn counters(&self) -> Refusals {
        self.counters
    }

    /// A peer is connected; returns what it may read.
    ///
    /// # Errors
    /// If it has to go.
    pub fn arrive(
        &mut self,
        id: EndpointId,
        network: &PeerNetwork,
    ) -> Result<Option<Readable>, Refusal> {
        let grant = self.policy.who(&origin(network));
        let guest = Guest {
            network: network.clone(),
            grant,
            name: None,
        };
        let (is_refused, readable) = (guest.grant.is_refusal(), self.readable(&guest));
        self.guests.insert(id, guest);
        if is_refused {
            return Err(Refusal::Connection);
        }
        Ok(readable)
    }

    /// A peer is gone; returns who may try again to have its name. Whoever had it before has it again,
    /// unless the rules have changed.
    pub fn leave(&mut self, id: EndpointId) -> Vec<EndpointId> {
        self.guests.remove(&id);
        self.displaced.remove(&id);
        self.rivals.retain(|_, rival| *rival != id);
        let freed = self.names.release(id);
        for name in &freed {
            let mut displaced = self.displaced.iter().filter(|(_, had)| *had == name);
            if let Some(former) = displaced.next().map(|(former, _)| *former)
                && let Err(refusal) = self.greet(former, name)
            {
                info!(agent = %name, peer = %former, ?refusal, "may not have its name again");
            }
        }
        let rivals = freed.iter().filter_map(|name| self.rivals.remove(name));
        rivals.collect()
    }

    /// Whether a peer may publish this.
    ///
    /// # Errors
    /// If its roles do not allow it.
    pub fn check(&self, id: EndpointId, topic: &str, event: &str) -> Result<(), Refusal> {
        let guest = self.guests.get(&id);
        let nobodys;
        let grant = match guest {
            Some(guest) => &guest.grant,
            None => {
                nobodys = self.policy.rules_for_nobody();
                &nobodys
            }
        };
        if grant.is_full() {
            return Ok(());
        }
        // Which agent somebody is, is for `speak` to say.
        let own = match self.station {
            Station::Controller => topic.strip_prefix("zeek/management/agent/"),
            Station::Agent | Station::Supervisor => self.own.as_deref(),
        };
        let is_allowed =
            !is_ruled(self.station, event) || grant.may_publish(self.station, topic, event, own);
        if is_allowed {
            return Ok(());
        }
        Err(Refusal::Event(forbidden(
            &self.who_is(id).to_string(),
            event,
            grant,
        )))
    }

    /// The same for a client.
    ///
    /// # Errors
    /// If its roles do not allow it.
    pub fn check_client(
        &self,
        client: ClientId,
        from: &hub::Origin,
        topic: &str,
        event: &str,
    ) -> Result<(), Refusal> {
        let grant = self.client(from);
        if !is_ruled(self.station, event) || grant.may_publish(self.station, topic, event, None) {
            return Ok(());
        }
        let who = match (&from.certificate, &from.application) {
            (Some(certificate), _) => certificate.to_string(),
            (None, Some(application)) => {
                let application = cut(application).escape_debug();
                format!("{client} ({application}, {})", from.remote)
            }
            (None, None) => format!("{client} ({})", from.remote),
        };
        Err(Refusal::Event(forbidden(&who, event, &grant)))
    }

    /// What a client may do.
    pub fn client(&self, from: &hub::Origin) -> Grant {
        self.policy.who(&Origin {
            listener: Listener::WebSocket,
            address: from.remote.ip(),
            certificate: from.certificate.as_deref(),
        })
    }

    /// Whether a client is let in: only if it may read what the hub gives to everybody.
    pub fn admits_client(&self, from: &hub::Origin) -> bool {
        let readable = self.client(from).readable(self.station, None);
        readable.is_none_or(|readable| readable.has(&CONTROLLER_TOPIC))
    }

    /// A peer says hello as this agent; returns what it may read from now on.
    ///
    /// # Errors
    /// If the name belongs to somebody else.
    pub fn greet(&mut self, id: EndpointId, name: &str) -> Result<Option<Readable>, Refusal> {
        let Some(guest) = self.guests.get(&id) else {
            return Ok(None);
        };
        let title = match &guest.grant.agent {
            Some(only) if only != name => return Err(self.misnamed(id, only, name)),
            Some(_) => Title::ByRule,
            None if self.policy.keeps_names() => Title::FirstCome,
            // Should names be kept one day, it is known whose they are.
            None => Title::ByRule,
        };
        let certificate = guest.network.certificate.clone();
        let former = guest.name.clone().filter(|former| former != name);
        if former.is_some() {
            self.names.release(id);
        }
        match self.names.claim(name, id, certificate.as_ref(), title) {
            Claim::Granted => {}
            Claim::Taken(holder) => {
                info!(agent = %name, peer = %id, former = %holder, "agent is back on another link");
                if let Some(guest) = self.guests.get_mut(&holder) {
                    guest.name = None;
                    self.displaced.insert(holder, name.to_owned());
                }
            }
            Claim::Refused(holder) => {
                self.rivals.insert(name.to_owned(), id);
                let (who, has) = (self.who_is(id), self.who_is(holder));
                return Err(Refusal::Name {
                    reason: format!("{who} says it is agent {name}, which is {has}"),
                    holder: Some(holder),
                });
            }
        }
        let Some(guest) = self.guests.get_mut(&id) else {
            return Ok(None);
        };
        guest.name = Some(name.to_owned());
        self.displaced.remove(&id);
        let guest = self.guests.get(&id);
        Ok(guest.and_then(|guest| self.readable(guest)))
    }

    /// Whether a peer may speak for this agent.
    ///
    /// # Errors
    /// If it is not that agent.
    pub fn speak(&self, id: EndpointId, name: &str) -> Result<(), Refusal> {
        let Some(guest) = self.guests.get(&id) else {
            return Ok(());
        };
        if let Some(only) = guest.grant.agent.as_ref().filter(|only| *only != name) {
            return Err(self.misnamed(id, only, name));
        }
        if !self.policy.keeps_names() || self.names.holder(name) == Some(id) {
            return Ok(());
        }
        let who = self.who_is(id);
        let reason = match self.names.holder(name) {
            Some(holder) => {
                format!(
                    "{who} speaks for agent {name}, which is {}",
                    self.who_is(holder)
                )
            }
            None => format!("{who} speaks for agent {name} and never said hello as it"),
        };
        Err(Refusal::Name {
            reason,
            holder: None,
        })
    }

    /// A peer says hello as this node.
    ///
    /// # Errors
    /// If it is another node.
    pub fn greet_node(&mut self, id: EndpointId, name: &str) -> Result<(), Refusal> {
        let keeps = self.policy.keeps_names();
        let Some(guest) = self.guests.get_mut(&id) else {
            return Ok(());
        };
        let known = guest.name.get_or_insert_with(|| name.to_owned());
        if !keeps || known == name {
            return Ok(());
        }
        let known = known.clone();
        Err(Refusal::Name {
            reason: format!("{} is node {known} and says it is {name}", self.who_is(id)),
            holder: None,
        })
    }

    /// What somebody may read by now; `None` for everything.
    pub fn readable_by(&self, id: EndpointId) -> Option<Readable> {
        self.guests.get(&id).and_then(|guest| self.readable(guest))
    }

    /// Other rules are in force; returns what changes for whom.
    pub fn replace(&mut self, policy: Policy) -> Vec<(EndpointId, Change)> {
        self.policy = policy;
        for guest in self.guests.values_mut() {
            guest.grant = self.policy.who(&origin(&guest.network));
        }
        let guests = self.guests.iter();
        guests
            .map(|(id, guest)| (*id, self.change(*id, guest)))
            .collect()
    }

    fn change(&self, id: EndpointId, guest: &Guest) -> Change {
        if guest.grant.is_refusal() {
            return Change::Expel(Refusal::Connection);
        }
        // Others may be waiting for a name that is not its own any more.
        if self.station == Station::Controller
            && let (Some(only), Some(name)) = (&guest.grant.agent, &guest.name)
            && only != name
        {
            return Change::Expel(self.misnamed(id, only, name));
        }
        Change::Restrict(self.readable(guest))
    }

    /// Who a peer is, for the audit log.
    pub fn who(&self, id: EndpointId) -> Who {
        let guest = self.guests.get(&id);
        let network = guest.map(|guest| &guest.network);
        Who {
            id: id.to_string(),
            listener: network.map_or(Listener::Broker, listener),
            address: network.map(|network| network.remote),
            application: None,
            certificate: network.and_then(|network| network.certificate.clone()),
            roles: guest.map_or_else(String::new, |guest| guest.grant.to_string()),
        }
    }

    /// The same for a client.
    pub fn who_client(&self, client: ClientId, from: &hub::Origin) -> Who {
        Who {
            id: client.to_string(),
            listener: Listener::WebSocket,
            address: Some(from.remote),
            application: from.application.clone(),
            certificate: from.certificate.clone(),
            roles: self.client(from).to_string(),
        }
    }

    /// Counts and logs a refusal; at most one line per stranger in a while, and what was left out is
    /// in the next one.
    pub fn refuse(&mut self, now: Instant, who: Who, what: What, refusal: Refusal) -> Audit {
        let (counter, reason) = match refusal {
            Refusal::Connection => (
                &mut self.counters.connections,
                "no rule of the policy lets it in".to_owned(),
            ),
            Refusal::Event(reason) => (&mut self.counters.events, reason),
            Refusal::Name { reason, .. } => (&mut self.counters.names, cut(&reason).to_owned()),
        };
        *counter += 1;
        let total = *counter;
        if let Some(left_out) = self.may_log(now, who.address, who.certificate.as_ref()) {
            let address = who.address.map(|address| address.to_string());
            let address = address.unwrap_or_default();
            let certificate = who.certificate.as_ref().map(ToString::to_string);
            let certificate = certificate.unwrap_or_default();
            warn!(
                who = %who.id, address, certificate, total, left_out, "refused: {reason}"
            );
        }
        Audit { who, what, reason }
    }

    fn may_log(
        &mut self,
        now: Instant,
        address: Option<SocketAddr>,
        certificate: Option<&Arc<PeerCertificate>>,
    ) -> Option<u64> {
        let address = address.map_or_else(|| Ipv4Addr::UNSPECIFIED.into(), |address| address.ip());
        let key = (Source::of(address), certificate.map(|it| it.fingerprint));
        if self.quiet.len() >= MOST_STRANGERS && !self.quiet.contains_key(&key) {
            self.quiet.retain(|_, quiet| quiet.until > now);
            if self.quiet.len() >= MOST_STRANGERS {
                self.quiet.clear();
            }
        }
        let quiet = self.quiet.entry(key).or_insert(Quiet {
            until: now,
            left_out: 0,
        });
        if now < quiet.until {
            quiet.left_out += 1;
            return None;
        }
        quiet.until = now + BETWEEN_LINES;
        Some(std::mem::take(&mut quiet.left_out))
    }

    fn readable(&self, guest: &Guest) -> Option<Readable> {
        let own = match self.station {
            Station::Controller => guest.name.as_deref(),
            Station::Agent | Station::Supervisor => self.own.as_deref(),
        };
        let readable = guest.grant.readable(self.station, own);
        // What the supervisor is asked concerns no node, but every Zeek subscribes to it.
        let is_node = self.station == Station::Agent && guest.name.is_some();
        readable.or_else(|| is_node.then(all_but_the_supervisors))
    }

    fn misnamed(&self, id: EndpointId, only: &str, name: &str) -> Refusal {
        Refusal::Name {
            reason: format!(
                "{} may be agent {only} and says it is {name}",
                self.who_is(id)
            ),
            holder: None,
        }
    }

    /// For texts that name a peer.
    fn who_is(&self, id: EndpointId) -> String {
        let Some(guest) = self.guests.get(&id) else {
            return format!("peer {id}");
        };
        let remote = guest.network.remote;
        match &guest.network.certificate {
            Some(certificate) => format!("peer {certificate} at {remote}"),
            None => format!("peer {id} at {remote}"),
        }
    }
}

impl Policy {
    /// What those get that nothing is known of.
    fn rules_for_nobody(&self) -> Grant {
        let rule = self.rules.iter().find(|rule| {
            rule.certificates.is_empty() && rule.addresses.is_empty() && rule.listener.is_none()
        });
        rule.map(super::Rule::grant).unwrap_or_default()
    }
}

/// What a process of the framework says to whoever it is not a supervisor's business of.
fn all_but_the_supervisors() -> Readable {
    let mut readable = Readable::default();
    readable.below.extend(MANAGEMENT_TOPIC);
    readable
}

fn forbidden(who: &str, event: &str, grant: &Grant) -> String {
    let short = event.rsplit("::").next().unwrap_or(event);
    let short = cut(short.strip_suffix("_request").unwrap_or(short));
    format!("client {who} may not {short}: {grant}")
}

pub(super) fn origin(network: &PeerNetwork) -> Origin<'_> {
    Origin {
        listener: listener(network),
        address: network.remote.ip(),
        certificate: network.certificate.as_deref(),
    }
}

fn listener(network: &PeerNetwork) -> Listener {
    match network.dialed {
        Some(_) => Listener::Dialed,
        None => Listener::Broker,
    }
}

/// Between two lines about the same stranger.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Whose refusals are told apart.
const MOST_STRANGERS: usize = 1024;

#[cfg(test)]
mod tests;
