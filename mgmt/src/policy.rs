//! Who may do what (API §18).
//!
//! A [`Policy`] is a list of rules. Each names certificates, addresses and listeners, and gives
//! [`Role`]s; the first that fits an [`Origin`] counts, and whom none fits is refused. What a role may
//! publish and read is one table, in `table`. A [`Gate`](gate::Gate) holds the policy of one process
//! against everybody who is connected to it.
//!
//! Without a policy file the rules follow from how the ports are protected ([`Policy::of`]): who has
//! a certificate of the CA is a member of the cluster, who is on the same host may do everything, and
//! nobody else is let in. [`Policy::open`] is stock's: everybody may do everything.

pub mod audit;
mod door;
pub mod file;
pub mod gate;
mod names;
mod rule;
mod show;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use broker_proto::PeerCertificate;
use broker_proto::peering::Readable;

pub use rule::{Network, NetworkError, Pattern, Rule};
pub use table::Station;

use table::RIGHTS;

/// What somebody is to the cluster.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// A Zeek process that an agent runs.
    Node,
    /// Speaks for one host at the controller, and orders its supervisor about.
    Agent,
    /// Orders agents about.
    Controller,
    /// Starts and ends an agent's processes.
    Supervisor,
    /// A client that may ask the controller for everything.
    Operator,
    /// A client that may only look.
    Viewer,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Node,
        Self::Agent,
        Self::Controller,
        Self::Supervisor,
        Self::Operator,
        Self::Viewer,
    ];

    /// As policy files have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Agent => "agent",
            Self::Controller => "controller",
            Self::Supervisor => "supervisor",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// The way somebody is connected.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Listener {
    /// A Broker peer that dialed this process.
    Broker,
    /// A Broker peer that this process dialed, where it was told to.
    Dialed,
    /// A client on the WebSocket port.
    WebSocket,
}

impl Listener {
    const ALL: [Self; 3] = [Self::Broker, Self::Dialed, Self::WebSocket];

    /// As policy files have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Dialed => "dialed",
            Self::WebSocket => "websocket",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// What decides which rule fits somebody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Origin<'a> {
    /// The way it is connected.
    pub listener: Listener,
    /// Its end of the socket.
    pub address: IpAddr,
    /// Whose it is, as TLS has verified.
    pub certificate: Option<&'a PeerCertificate>,
}

/// Whether a process's ports have certificates that everybody who connects must match.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Protection {
    /// Broker's, in both directions.
    pub broker: bool,
    /// The WebSocket port.
    pub websocket: bool,
}

/// The rules in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// In order; the first that fits counts.
    pub rules: Vec<Rule>,
    /// Ports without certificates may be reached from other hosts, as with stock.
    pub allow_unauthenticated: bool,
    naming: Naming,
}

/// Whether an agent's name is kept for who has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Naming {
    Kept,
    /// Who says hello last has it, as with stock.
    ForTheTaking,
}

impl Policy {
    /// Stock's: everybody may do everything.
    #[must_use]
    pub fn open() -> Self {
        Self {
            rules: vec![Rule::for_all(Role::ALL)],
            allow_unauthenticated: true,
            naming: Naming::ForTheTaking,
        }
    }

    /// What a file says; where it has no rules, those that follow from how ports are protected.
    #[must_use]
    pub fn of(file: &file::PolicyFile, protection: Protection) -> Self {
        let allow_unauthenticated = file.allow_unauthenticated;
        match &file.rules {
            // As [`Self::open`] is shown.
            Some(rules) if allow_unauthenticated && *rules == Self::open().rules => Self::open(),
            Some(rules) => Self {
                rules: rules.clone(),
                allow_unauthenticated,
                naming: Naming::Kept,
            },
            None if allow_unauthenticated => Self::open(),
            None => Self {
                rules: usual_rules(protection),
                allow_unauthenticated,
                naming: Naming::Kept,
            },
        }
    }

    /// What somebody may do.
    #[must_use]
    pub fn who(&self, origin: &Origin<'_>) -> Grant {
        let rule = self.rules.iter().find(|rule| rule.fits(origin));
        rule.map(Rule::grant).unwrap_or_default()
    }

    fn keeps_names(&self) -> bool {
        self.naming == Naming::Kept
    }
}

/// Who shows a certificate where certificates are needed is a member; elsewhere only this host is,
/// and whoever this process was told to dial.
fn usual_rules(protection: Protection) -> Vec<Rule> {
    let mut rules = Vec::new();
    for listener in Listener::ALL {
        let is_protected = match listener {
            Listener::Broker | Listener::Dialed => protection.broker,
            Listener::WebSocket => protection.websocket,
        };
        let roles: BTreeSet<Role> = match (is_protected, listener) {
            (true, Listener::Broker) => [Role::Node, Role::Agent, Role::Controller].into(),
            // Supervisors dial nobody, and nodes are not dialed.
            (true, Listener::Dialed) => [Role::Agent, Role::Controller, Role::Supervisor].into(),
            (true, Listener::WebSocket) => [Role::Operator].into(),
            (false, Listener::Broker | Listener::Dialed | Listener::WebSocket) => Role::ALL.into(),
        };
        rules.push(Rule {
            listener: Some(listener),
            certificates: match is_protected {
                true => vec![Pattern::anything()],
                false => Vec::new(),
            },
            addresses: match (is_protected, listener) {
                (false, Listener::Broker | Listener::WebSocket) => Network::loopback(),
                (true, _) | (false, Listener::Dialed) => Vec::new(),
            },
            ..Rule::for_all(roles)
        });
    }
    rules
}

/// What one rule gives.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grant {
    /// The roles; none for who is refused.
    pub roles: BTreeSet<Role>,
    /// The only name that an agent may have.
    pub agent: Option<String>,
}

impl Grant {
    /// Whether it gives nothing at all.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.roles.is_empty()
    }

    /// Whether there is nothing it does not give.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.roles.len() == Role::ALL.len()
    }

    /// Whether an event may be published, by its full name. `own` is the name of the agent whose
    /// topic it may be.
    #[must_use]
    pub fn may_publish(&self, at: Station, topic: &str, event: &str, own: Option<&str>) -> bool {
        let mut rights = RIGHTS.iter().filter(|right| right.at == at);
        self.is_full()
            || rights.any(|right| {
                self.roles.contains(&right.role) && right.covers_publication(topic, event, own)
            })
    }

    /// What may be read of what a process publishes; `None` for all of it.
    #[must_use]
    pub fn readable(&self, at: Station, own: Option<&str>) -> Option<Readable> {
        if self.is_full() {
            return None;
        }
        let mut readable = Readable::default();
        for right in RIGHTS.iter().filter(|right| right.at == at) {
            if self.roles.contains(&right.role) {
                right.extend(&mut readable, own);
            }
        }
        Some(readable)
    }
}

/// The roles, for people.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles: Vec<&str> = self.roles.iter().map(|role| role.as_str()).collect();
        match roles.as_slice() {
            [] => f.write_str("no role"),
            [one] => write!(f, "role {one}"),
            several => write!(f, "roles {}", several.join(", ")),
        }
    }
}
