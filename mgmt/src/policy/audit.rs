//! Who did what, and whether it was allowed: for a log that outlives the moment.

use std::net::SocketAddr;
use std::sync::Arc;

use broker_proto::PeerCertificate;

use super::Listener;

/// One thing that somebody did or wanted to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Audit {
    /// Who.
    pub who: Who,
    /// What.
    pub what: What,
    /// What came of it.
    pub outcome: Outcome,
}

/// Somebody at the other end of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Who {
    /// The connection's name, as in the log: an endpoint id or `websocket-3`.
    pub id: String,
    /// The way it is connected.
    pub listener: Listener,
    /// Its end of the socket; `None` if it is gone.
    pub address: Option<SocketAddr>,
    /// What a client calls itself.
    pub application: Option<String>,
    /// Whose it is, as TLS has verified.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// Its roles, as in `role operator`.
    pub roles: String,
}

/// What somebody did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// Connected.
    Connect,
    /// Sent a message that was not read any further.
    Message,
    /// Published an event.
    Publish {
        /// Where.
        topic: String,
        /// Its full name.
        event: String,
    },
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It was let through.
    Allowed,
    /// It came to nothing.
    Refused {
        /// Why, for people.
        reason: String,
    },
}

impl Audit {
    /// Why it was refused; empty if it was not.
    #[must_use]
    pub fn reason(&self) -> &str {
        match &self.outcome {
            Outcome::Allowed => "",
            Outcome::Refused { reason } => reason,
        }
    }
}
