//! Bad input over real sockets, and programs that fail, against a running `zeek-mgmt`: each gets
//! its answer and one line in the log of the process concerned, and nobody else notices.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests may unwrap and index, and real sockets have real deadlines"
)]

mod adoption;
mod archival;
mod broker;
mod certificates;
mod load;
mod log;
mod migrate;
mod node_script;
mod nodes;
mod peer;
mod plan;
mod policy;
mod refusals;
mod settings;
mod state;
mod states;
mod strangers;
mod websocket;

use harness::tree::{CONTROLLER, INSTANCE, Tree};

/// The controller still answers, and knows the agent that it always knew.
fn assert_nobody_noticed(tree: &Tree) {
    let done = tree.client(&["get-instances"]).unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains(INSTANCE), "{}", done.stdout);
    // The supervisor writes the log, so a line may come after what it tells of is seen.
    let came = tree.lines_of(CONTROLLER, &["agent is there"]);
    let log = tree.log_of(CONTROLLER);
    assert_eq!(came.len(), 1, "the agent came again:\n{}", log.join("\n"));
    let went = log.iter().filter(|line| line.contains("lost agent"));
    assert_eq!(went.count(), 0, "the agent went:\n{}", log.join("\n"));
}

/// The controller wrote exactly one line with all of these.
fn assert_logged_once(tree: &Tree, parts: &[&str]) {
    let lines = tree.lines_of(CONTROLLER, parts);
    let log = || tree.log_of(CONTROLLER).join("\n");
    assert_eq!(lines.len(), 1, "{parts:?} in\n{}", log());
}
