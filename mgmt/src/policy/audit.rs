//! Who was refused what, and why: for a log that outlives the moment.

use std::net::SocketAddr;
use std::sync::Arc;

use broker_proto::PeerCertificate;

use super::Listener;

/// One thing that somebody wanted to do and may not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Audit {
    /// Who.
    pub who: Who,
    /// What.
    pub what: What,
    /// Why it came to nothing, for people.
    pub reason: String,
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

/// What somebody wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// To connect.
    Connect,
    /// To have a message read.
    Message,
    /// To publish an event.
    Publish {
        /// Where.
        topic: String,
        /// Its full name.
        event: String,
    },
}
