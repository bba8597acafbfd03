//! A real `zeek-mgmt supervisor` with real processes below it, and this test in the place of its
//! agent: many nodes, floods of output, bad input, the order of the end, and everything killed at
//! random. The nodes are stand-ins; if `ZEEK_BIN` names a real Zeek, [`live`] runs on that, too.
//!
//! `SUPERVISED_NODES=64`, `SUPERVISED_ROUNDS=200` and `SUPERVISED_FLOOD_MS=10000` ask for more than
//! the ordinary run. What was measured is printed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests may unwrap, index and print, and real processes are waited for by the clock"
)]

mod agent;
mod bad_input;
mod deaths;
mod embedded;
mod flood;
mod kills;
mod live;
mod many;
mod order;

use std::time::Duration;

/// A machine that is busy with other tests is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A number from the environment, for a longer run than the ordinary one.
fn asked(variable: &str, ordinary: usize) -> usize {
    let asked = std::env::var(variable).ok();
    asked.map_or(ordinary, |text| text.parse().unwrap())
}

async fn patiently<T>(wait: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(PATIENCE, wait).await;
    answer.expect("it happens within a minute")
}
