//! What a process is, asked from inside it: `Supervisor::is_supervisor`, `is_supervised`, `node`
//! and `__stem_pid` (API §9.1).
//!
//! A Zeek node is forked by its stem and simply remembers. A program that is executed as a node,
//! such as those of [`Settings::own`](crate::Settings::own), finds its configuration in the
//! variable [`NODE_VARIABLE`]. The value names the process that started it, too: what a node starts
//! itself inherits the variable, but is no node (with stock's `ZEEK_STEM` it would take itself for
//! one, API §12.3 D67).
//!
//! ```
//! use supervisor::standing::{self, Standing};
//! use supervisor::api::NodeConfig;
//!
//! // As whoever starts the node writes it; it is process 71 here.
//! let told = standing::told(71, &NodeConfig::named("worker-1"));
//!
//! // As the node reads it. With feature `io` this is `io::standing()`.
//! let standing = Standing::read(Some(&told), 71)?;
//! assert!(standing.is_supervised() && !standing.is_supervisor());
//! assert_eq!(standing.node()?.name, "worker-1");
//!
//! // As a program reads it that the node has started.
//! let standing = Standing::read(Some(&told), 72)?;
//! assert!(!standing.is_supervised() && standing.node().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::api::NodeConfig;
use crate::stem::{self, ConfigError};

/// The environment variable that tells a program that it is a node, and which: the process id of
/// its starter, a comma, and the JSON that stems are told (API §10.3). Linux has room for 128 KiB,
/// a cluster of about 900 nodes; beyond that the program cannot be started.
pub const NODE_VARIABLE: &str = "ZEEK_SUPERVISED_NODE";

/// What a process is to a supervisor.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Standing {
    /// It supervises.
    Supervisor,
    /// It is supervised.
    Node {
        /// As it was created.
        config: Box<NodeConfig>,
        /// The process that started it: its stem, or the supervisor itself.
        stem: u32,
    },
    /// Neither.
    #[default]
    Alone,
}

/// Why a process cannot tell what it is.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StandingError {
    /// There is no process id in front.
    #[error("{NODE_VARIABLE} does not begin with a process id")]
    Starter,
    /// The rest is no configuration.
    #[error("{NODE_VARIABLE} holds no configuration")]
    Config(#[source] ConfigError),
}

/// A process that is no node has no configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a supervised process")]
pub struct NotSupervised;

/// The value of [`NODE_VARIABLE`] for a node that `starter` is about to start.
#[must_use]
pub fn told(starter: u32, node: &NodeConfig) -> String {
    told_json(starter, &stem::write_json(node))
}

/// The same for a configuration as a stem was told it.
#[must_use]
pub fn told_json(starter: u32, json: &str) -> String {
    format!("{starter},{json}")
}

impl Standing {
    /// Of a process whose [`NODE_VARIABLE`] is this, and that `parent` started. A process that
    /// supervises knows that itself; here it is as much of a node as it says.
    ///
    /// # Errors
    /// If the variable holds something else than [`told`] makes.
    pub fn read(variable: Option<&str>, parent: u32) -> Result<Self, StandingError> {
        let Some(variable) = variable else {
            return Ok(Self::Alone);
        };
        let (starter, json) = variable.split_once(',').ok_or(StandingError::Starter)?;
        let stem: u32 = starter.parse().map_err(|_| StandingError::Starter)?;
        if stem != parent {
            return Ok(Self::Alone);
        }
        let config = stem::read_json(json).map_err(StandingError::Config)?;
        let config = Box::new(config);
        Ok(Self::Node { config, stem })
    }

    /// `Supervisor::is_supervisor()`.
    #[must_use]
    pub fn is_supervisor(&self) -> bool {
        matches!(self, Self::Supervisor)
    }

    /// `Supervisor::is_supervised()`.
    #[must_use]
    pub fn is_supervised(&self) -> bool {
        matches!(self, Self::Node { .. })
    }

    /// `Supervisor::node()`: how the process was created.
    ///
    /// # Errors
    /// If it is no node. Stock reports a script error, and a node named `<invalid>`.
    pub fn node(&self) -> Result<&NodeConfig, NotSupervised> {
        match self {
            Self::Node { config, .. } => Ok(config),
            Self::Supervisor | Self::Alone => Err(NotSupervised),
        }
    }

    /// `Supervisor::__stem_pid()` in a node: the process that started it. `None` elsewhere: a
    /// supervisor has a stem for each node, of which no single one is its own.
    #[must_use]
    pub fn stem_pid(&self) -> Option<u32> {
        match self {
            Self::Node { stem, .. } => Some(*stem),
            Self::Supervisor | Self::Alone => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_knows_its_configuration_and_its_stem() {
        let variable = r#"71,{"name":"w,1","env":{},"cluster":{}}"#;
        let standing = Standing::read(Some(variable), 71).unwrap();
        assert!(standing.is_supervised());
        assert!(!standing.is_supervisor());
        assert_eq!(standing.node(), Ok(&NodeConfig::named("w,1")));
        assert_eq!(standing.stem_pid(), Some(71));
    }

    #[test]
    fn what_a_node_starts_is_no_node() {
        let variable = told(71, &NodeConfig::named("w"));
        assert_eq!(Standing::read(Some(&variable), 72), Ok(Standing::Alone));
        assert_eq!(Standing::read(None, 71), Ok(Standing::Alone));
    }

    #[test]
    fn who_is_no_node_has_no_configuration() {
        for standing in [Standing::Supervisor, Standing::Alone] {
            assert!(!standing.is_supervised());
            assert_eq!(standing.node(), Err(NotSupervised));
            assert_eq!(standing.stem_pid(), None);
        }
        assert!(Standing::Supervisor.is_supervisor());
        assert!(!Standing::Alone.is_supervisor());
    }

    #[test]
    fn nonsense_in_the_variable_is_an_error() {
        for variable in ["", "71", "x,{}", "-1,{}", "99999999999,{}"] {
            let read = Standing::read(Some(variable), 71);
            assert_eq!(read, Err(StandingError::Starter), "{variable}");
        }
        let read = Standing::read(Some("71,{"), 71);
        assert!(matches!(read, Err(StandingError::Config(_))));
    }
}
