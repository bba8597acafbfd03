//! When a unit stops if the whole tree does (API §12.3 D51).

use crate::api::{ClusterRole, MANAGEMENT_NODE_VARIABLE, NodeConfig};

/// A unit's turn at the end: each writes to those after it, so the lower ones stop first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Rank {
    /// Workers, and nodes without a place in a cluster.
    Worker,
    /// Proxies.
    Proxy,
    /// Managers.
    Manager,
    /// Loggers: they write what all others logged last.
    Logger,
    /// Controller and agent.
    Management,
}

impl Rank {
    /// The one nobody stops after.
    pub(crate) const LAST: Self = Self::Management;

    /// What its configuration makes of a node.
    pub(crate) fn of(config: &NodeConfig) -> Self {
        if config.env.contains_key(MANAGEMENT_NODE_VARIABLE) {
            return Self::Management;
        }
        match config.own_endpoint().map(|own| own.role) {
            Some(ClusterRole::Logger) => Self::Logger,
            Some(ClusterRole::Manager) => Self::Manager,
            Some(ClusterRole::Proxy) => Self::Proxy,
            Some(ClusterRole::Worker | ClusterRole::None) | None => Self::Worker,
        }
    }

    /// For the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Worker => "workers",
            Self::Proxy => "proxies",
            Self::Manager => "managers",
            Self::Logger => "loggers",
            Self::Management => "controller and agent",
        }
    }
}
