//! What the tests across crates and the demo share: recorded sessions and vectors as types, the
//! stock client, and a whole process tree that is guaranteed to be gone afterwards.
//!
//! | module | gives |
//! | --- | --- |
//! | [`transcript`], [`recorded`], [`vector`], [`typed`] | the recorded files, read into types |
//! | [`normal`] | outputs and events without what differs from run to run |
//! | [`cluster`] | configurations as zeek-client reads them |
//! | [`client`] | the stock zeek-client, installed below `target/` |
//! | [`certificates`] | a CA and what it issues |
//! | [`binaries`], [`ports`], [`command`], [`lock`] | programs of this workspace, and how to run them |
//! | [`tree`], [`processes`] | a running `zeek-mgmt`, and a look at what it left behind |
//! | [`lone`] | a controller alone, to be killed and started again on what it kept |
//! | [`namespace`] | hosts inside this machine, with networks of their own |
//! | [`websocket`] | a client of the WebSocket port that may misbehave |
//!
//! Everything here blocks and reads clocks: real processes are waited for in loops that have a
//! deadline ([`wait_until`]), never by sleeping for a fixed time.

#![allow(
    clippy::disallowed_methods,
    reason = "real processes are waited for by the clock"
)]

pub mod binaries;
pub mod certificates;
pub mod client;
pub mod cluster;
pub mod command;
pub mod lock;
pub mod lone;
pub mod namespace;
pub mod normal;
pub mod ports;
pub mod processes;
pub mod recorded;
pub mod transcript;
pub mod tree;
pub mod typed;
pub mod vector;
pub mod websocket;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The folder of this package, with `vectors/` and `transcripts/`.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Asks `ready` again and again until it gives a value or the time is up.
pub fn wait_until<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    const PAUSE: Duration = Duration::from_millis(2);
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = ready() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(PAUSE);
    }
}
