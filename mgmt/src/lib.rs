//! Controller and agent of Zeek's Management framework.

pub mod agent;
pub mod api;
pub mod audit;
pub mod certificate;
pub mod controller;
#[cfg(feature = "io")]
pub mod io;
pub mod limits;
pub mod log;
pub mod migrate;
pub mod model;
pub mod plan;
pub mod policy;
pub mod quota;
pub mod request;
pub mod settings;
