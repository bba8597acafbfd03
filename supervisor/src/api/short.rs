//! The status of all nodes without their cluster as often as there are nodes.
//!
//! In stock's answer each node's configuration has its whole cluster in it: for 64 nodes some
//! 330 KB, of which 5 KB are not said before. An agent of ours says in the metadata of its request
//! that it reads less as well, which stock ignores (WIRE §8.2), and a supervisor of ours then says
//! each cluster once, in an event of another name. Nobody else is ever told that.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use broker_proto::zeek::{ConvertError, Event, EventError};
use broker_proto::{Data, Topic, zeek_events, zeek_record};
use bytes::Bytes;

use super::{Cluster, NodeConfig, NodeStatus, Status, SupervisorResponse, answer_topic};

/// A key that Zeek leaves to others.
const ACCEPTS_SHORT: u64 = 2149;
const SHORT_STATUS: &str = "SupervisorControl::short_status_response";

zeek_record! {
    /// A node's status, but for its cluster.
    struct ShortNode("SupervisorControl::ShortNode") {
        /// As it was created, but outside all clusters.
        node: NodeConfig,
        /// Its last known process id.
        pid: Option<i64>,
        /// The place of its cluster among all; unset outside a cluster.
        cluster: Option<u64>,
    }
}

zeek_events! {
    /// Answered on [`short_topic`].
    enum ShortResponse("SupervisorControl::") {
        /// What runs.
        Status = "short_status_response" {
            reqid: String,
            clusters: Vec<Cluster>,
            nodes: BTreeMap<String, ShortNode>,
        },
    }
}

/// Says in a status request that [`Status::encode_short`] may answer it.
pub fn accept_short(request: &mut Event) {
    let accept = (ACCEPTS_SHORT, Data::Boolean(true));
    request.metadata.get_or_insert_default().push(accept);
}

/// Whether a status request says so.
pub(crate) fn accepts_short(request: &Event) -> bool {
    let accept = (ACCEPTS_SHORT, Data::Boolean(true));
    request.metadata.iter().flatten().any(|it| *it == accept)
}

/// `zeek/supervisor/short_status_response/<reqid>`; plain [`TOPIC`](super::TOPIC) if the id is too
/// long for that.
pub(crate) fn short_topic(reqid: &str) -> Topic {
    answer_topic("short_status", reqid)
}

impl Status {
    /// The payload of the short response with this status, in the youngest layout.
    #[must_use]
    pub fn encode_short(self, reqid: &str) -> Bytes {
        let mut clusters: Vec<Cluster> = Vec::new();
        let nodes = self.nodes.into_iter().map(|(name, status)| {
            let NodeStatus { mut node, pid } = status;
            let cluster = std::mem::take(&mut node.cluster);
            let cluster = place(&mut clusters, cluster);
            (name, ShortNode { node, pid, cluster })
        });
        let nodes = nodes.collect();
        let response = ShortResponse::Status {
            reqid: reqid.to_owned(),
            clusters,
            nodes,
        };
        Event::from(response).encode()
    }
}

/// Where this cluster is among all. Nodes of one cluster are mostly next to each other.
fn place(clusters: &mut Vec<Cluster>, cluster: Cluster) -> Option<u64> {
    if cluster.is_empty() {
        return None;
    }
    let known = clusters.iter().rposition(|it| it.is_one_with(&cluster));
    let place = known.unwrap_or_else(|| {
        clusters.push(cluster);
        clusters.len() - 1
    });
    u64::try_from(place).ok()
}

impl SupervisorResponse {
    /// The same as with [`TryFrom`], also of a short status response.
    ///
    /// # Errors
    /// If the event is no response, or reads as none.
    pub fn of_event(event: Event) -> Result<Self, EventError> {
        if event.name != SHORT_STATUS {
            return Self::try_from(event);
        }
        let ShortResponse::Status {
            reqid,
            clusters,
            nodes,
        } = event.try_into()?;
        let nodes = nodes.into_iter().map(|(name, short)| {
            let ShortNode {
                mut node,
                pid,
                cluster,
            } = short;
            if let Some(cluster) = cluster {
                node.cluster = cluster_at(&clusters, cluster)?;
            }
            Ok((name, NodeStatus { node, pid }))
        });
        let nodes = nodes.collect::<Result<_, _>>();
        let result = nodes.map(|nodes| Status { nodes });
        match result {
            Ok(result) => Ok(Self::Status { reqid, result }),
            Err(error) => Err(EventError::Arg {
                name: SHORT_STATUS.to_owned(),
                arg: "nodes",
                error,
            }),
        }
    }
}

fn cluster_at(clusters: &[Cluster], place: u64) -> Result<Cluster, ConvertError> {
    let found = usize::try_from(place).ok().and_then(|at| clusters.get(at));
    let error = || ConvertError::other(format!("there is no cluster {place}"));
    found.cloned().ok_or_else(error)
}
