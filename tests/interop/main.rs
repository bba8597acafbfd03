//! Against the real thing: the stock zeek-client, recorded sessions of Zeek 8.0.10, and a Broker
//! endpoint where one is given.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests may unwrap and index, and start their clocks somewhere"
)]

mod broker;
mod events;
mod logs;
mod replay;
mod state;
mod transcripts;
mod unify;
mod zeek;
mod zeek_client;
