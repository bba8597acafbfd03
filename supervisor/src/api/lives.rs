//! How nodes have fared: restarts and uptime, which stock does not tell (API §15.3).
//!
//! Stock's status record has no room for that, and its bytes are compared. So there is a request
//! beside it, on the same topic; a stock supervisor ignores it.

use std::collections::BTreeMap;

use broker_proto::{Timespan, Topic, zeek_events, zeek_record};

use super::answer_topic;

zeek_record! {
    /// How one node fares.
    pub struct NodeLife("SupervisorControl::NodeLife") {
        /// What it does in a tree that ends: `workers`, `loggers`.
        pub role: String,
        /// In words: `runs`, `waits after a failure`, `failed`.
        pub state: String,
        /// Its last known process id; unset before the first start.
        pub pid: Option<i64>,
        /// For how long it has run; unset if it does not.
        pub uptime: Option<Timespan>,
        /// How often it was started again since it was created.
        pub restarts: u64,
    }
}

zeek_events! {
    /// Asked of a supervisor of ours, on [`TOPIC`](super::TOPIC).
    pub enum LivesRequest("SupervisorControl::") {
        /// How a node fares, or all, if the name is empty.
        Lives = "lives_request" { reqid: String, node: String },
    }
}

zeek_events! {
    /// Answered by it, on [`LivesResponse::topic`].
    pub enum LivesResponse("SupervisorControl::") {
        /// By name; empty if no such node is listed.
        Lives = "lives_response" { reqid: String, lives: BTreeMap<String, NodeLife> },
    }
}

impl LivesRequest {
    /// The name of the only event.
    pub(crate) const EVENT: &str = "SupervisorControl::lives_request";
}

impl LivesResponse {
    /// `zeek/supervisor/lives_response/<reqid>`; plain [`TOPIC`](super::TOPIC) if the id is too long
    /// for that.
    pub fn topic(&self) -> Topic {
        answer_topic("lives", self.reqid())
    }

    /// The request's id.
    pub fn reqid(&self) -> &str {
        let Self::Lives { reqid, .. } = self;
        reqid
    }
}
