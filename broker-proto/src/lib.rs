//! Zeek's Broker protocol: values, frames, handshake, peering.

pub mod codec;
pub mod data;
pub mod endpoint_id;
pub mod id_gen;
#[cfg(feature = "io")]
pub mod io;
pub mod peering;
pub mod tls;
pub mod topic;
pub mod zeek;

pub use data::{Address, ByteString, Data, Port, Protocol, Subnet, Timespan, Timestamp};
pub use endpoint_id::EndpointId;
pub use id_gen::IdGen;
pub use topic::{Filter, Topic};
