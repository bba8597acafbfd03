//! The status of all nodes, as bytes and back.
//!
//! Each node's configuration has its whole cluster in it: for 64 nodes an answer takes some 330 KB,
//! nearly all of them the same table 64 times. So that is written once and copied, and read once
//! and recognized.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use broker_proto::Data;
use broker_proto::codec::Limits;
use broker_proto::codec::data::pieces::{self, Part, Pieces};
use broker_proto::codec::data::{encode, encode_into};
use broker_proto::zeek::{Event, FromData, ToData};
use bytes::Bytes;

use super::{Cluster, Layout, NodeConfig, NodeStatus, Status, SupervisorResponse};

const EVENT: &str = "SupervisorControl::status_response";

/// What a node takes beside its cluster, about, in bytes.
const NODE_SIZE: usize = 256;

impl Status {
    /// The payload of the response with this status, as a peer of this layout reads it.
    #[must_use]
    pub fn encode_response(&self, reqid: &str, layout: Layout) -> Bytes {
        Event::encode_with(EVENT, 2, |out| {
            encode_into(&Data::string(reqid), out);
            pieces::put_vector(1, out);
            self.put_nodes(layout, out);
        })
    }

    fn put_nodes(&self, layout: Layout, out: &mut Vec<u8>) {
        let clusters = self.encoded_clusters(layout);
        let sizes = clusters.iter().map(|cluster| cluster.len() + NODE_SIZE);
        out.reserve(sizes.sum());
        pieces::put_table(self.nodes.len(), out);
        for ((name, NodeStatus { node, pid }), cluster) in self.nodes.iter().zip(&clusters) {
            encode_into(&Data::string(name.as_str()), out);
            pieces::put_vector(2, out);
            node.put(layout, cluster, out);
            encode_into(&pid.into_data(), out);
        }
    }

    /// One for each node; the same one as long as the next node is of the same cluster.
    fn encoded_clusters(&self, layout: Layout) -> Vec<Bytes> {
        let mut last: Option<(&Cluster, Bytes)> = None;
        let nodes = self.nodes.values().map(|status| &status.node.cluster);
        let encoded = nodes.map(|cluster| {
            let known = last.take_if(|(known, _)| known.is_one_with(cluster));
            let known = known.unwrap_or_else(|| (cluster, encode(&cluster.to_data_as(layout))));
            last.insert(known).1.clone()
        });
        encoded.collect()
    }
}

impl SupervisorResponse {
    /// Reads the payload of a status response in far less time and memory than by way of [`Event`],
    /// if it is one as supervisors write them: in order, without surplus fields. `None` means
    /// nothing: by way of [`Event`] everything can be read, and gets its error.
    #[must_use]
    pub fn decode_status(payload: &[u8], limits: &Limits) -> Option<Self> {
        Event::decode_with(payload, limits, (EVENT, 2), |args| {
            let reqid = String::from_data(args.take()?).ok()?;
            args.take_vector().filter(|fields| *fields == 1)?;
            let result = Status {
                nodes: take_nodes(args)?,
            };
            Some(Self::Status { reqid, result })
        })
    }
}

fn take_nodes(rest: &mut Pieces<'_>) -> Option<BTreeMap<String, NodeStatus>> {
    let mut nodes = BTreeMap::new();
    let mut last = None;
    for _ in 0..rest.take_table()? {
        let name = String::from_data(rest.take()?).ok()?;
        let is_next = nodes.last_key_value().is_none_or(|(last, _)| *last < name);
        rest.take_vector()
            .filter(|fields| is_next && *fields == 2)?;
        let node = take_config(rest, &mut last)?;
        let pid = Option::from_data(rest.take()?).ok()?;
        nodes.insert(name, NodeStatus { node, pid });
    }
    Some(nodes)
}

fn take_config<'a>(
    rest: &mut Pieces<'a>,
    last: &mut Option<(Cluster, Part<'a>)>,
) -> Option<NodeConfig> {
    let fields = rest.take_vector()?;
    let mut values = Vec::new();
    for _ in 1..fields {
        values.push(rest.take()?);
    }
    let known = last.take_if(|(_, part)| rest.take_again(part));
    let (cluster, _) = last.insert(match known {
        Some(known) => known,
        None => rest.take_part(|rest| Cluster::from_data(rest.take()?).ok())?,
    });
    NodeConfig::of_values(values, cluster)
}
