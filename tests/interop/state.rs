//! A controller on the state that another one left: stock's, or its own.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use harness::client::ZeekClient;
use harness::lone::{Lone, STATE_FILE, State};
use harness::processes::resident_kib;
use harness::transcript::Transcript;
use harness::tree::{CONTROLLER, Options, Tree};
use harness::{folder, wait_until};
use mgmt::io::store::Store;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::transcripts::replay_controller;

/// From a start until every node runs.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn what_a_stock_controller_kept_is_printed_as_it_printed_it() {
    let recorded = folder().join("transcripts/c2a");
    let kept = fs::read(recorded.join("state").join(STATE_FILE)).unwrap();
    let state = State::with(&kept).unwrap();
    let lone = Lone::start(&state).unwrap();
    let client = ZeekClient::installed().unwrap();
    let printed = fs::read_to_string(recorded.join("client/o.get-config-deployed.json")).unwrap();
    for kind in ["--deployed", "--staged"] {
        let done = client
            .run(lone.websocket, &["get-config", kind, "--as-json"])
            .unwrap();
        assert_eq!(done.code, Some(0), "{done:?}");
        // The client that staged it had left nothing to the controller.
        assert_eq!(done.stdout, printed, "{kind}");
    }
    // Nobody has changed anything.
    assert_eq!(fs::read(state.file()).unwrap(), kept);
}

#[test]
fn what_ours_keeps_of_a_recorded_session_is_what_stock_kept() {
    for session in ["a2c", "c2a"] {
        let file = format!("transcripts/{session}/state/{STATE_FILE}");
        let state = State::with(&fs::read(folder().join(file)).unwrap()).unwrap();
        let (_store, stock) = Store::open(state.controller()).unwrap();
        let outcome = replay_controller(&Transcript::read(session));
        assert_eq!(outcome.kept.unwrap(), stock, "{session}");
    }
}

#[test]
fn a_tree_that_starts_again_deploys_what_was_deployed() {
    let first = Tree::start(&Options::default()).unwrap();
    let config = "[instances]\ninstance-1\n[m]\ninstance = instance-1\nrole = manager\n\
        [w]\ninstance = instance-1\nrole = worker\ninterface = eth0\n";
    let config = first.write("cfg.ini", config).unwrap();
    let done = first
        .client(&["deploy-config".as_ref(), config.as_os_str()])
        .unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    let deployed = get_deployed(&first);
    controller_that_is_killed_leaves_its_nodes_alone(&first, &deployed);
    let file = format!("nodes/{CONTROLLER}/{STATE_FILE}");
    let kept = fs::read(first.state_folder().join(file)).unwrap();
    first.stop().unwrap();
    let second = Tree::start(&Options {
        kept: Some(kept),
        ..Options::default()
    })
    .unwrap();
    wait_until(LIMIT, || running(&second)).expect("both nodes run, and nobody asked");
    assert_eq!(get_deployed(&second), deployed);
    let log = second.lines_of(CONTROLLER, &["deploying persisted configuration"]);
    assert_eq!(log.len(), 1, "{}", second.log_of(CONTROLLER).join("\n"));
    second.stop().unwrap();
}

fn controller_that_is_killed_leaves_its_nodes_alone(tree: &Tree, deployed: &str) {
    let before = running(tree).unwrap();
    let processes = tree.processes();
    let is_it = |command: &str| command.split(' ').nth(1) == Some("controller");
    let controller = processes.iter().find(|p| is_it(&p.command)).unwrap().pid;
    kill_process(Pid::from_raw(controller).unwrap(), Signal::KILL).unwrap();
    let gone = wait_until(LIMIT, || resident_kib(controller).is_none().then_some(()));
    gone.expect("a killed process is gone");
    let again = wait_until(LIMIT, || running(tree));
    assert_eq!(again, Some(before), "the nodes are the same processes");
    assert_eq!(get_deployed(tree), deployed);
}

/// The process ids of the two nodes, if both run.
fn running(tree: &Tree) -> Option<BTreeMap<String, i64>> {
    let done = tree.client(&["get-nodes"]).unwrap();
    let json: Value = serde_json::from_str(&done.stdout).ok()?;
    let pid = |name: &str| {
        let node = &json["results"]["instance-1"][name];
        let pid = node["pid"].as_i64().filter(|_| node["state"] == "RUNNING");
        Some((name.to_owned(), pid?))
    };
    Some(BTreeMap::from([pid("m")?, pid("w")?]))
}

fn get_deployed(tree: &Tree) -> String {
    let done = tree
        .client(&["get-config", "--deployed", "--as-json"])
        .unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    done.stdout
}
