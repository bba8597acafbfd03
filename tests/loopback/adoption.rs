//! An agent that is killed and goes on with its nodes (API §12.2 D43).

use std::collections::BTreeMap;
use std::time::Duration;

use harness::cluster;
use harness::tree::{INSTANCE, Options, Tree};
use harness::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// As long as it takes; the machine may be slow.
const PATIENCE: Duration = Duration::from_secs(120);

const NODES: [(&str, &str); 3] = [
    ("logger", "logger"),
    ("manager", "manager"),
    ("worker-01", "worker"),
];

#[test]
fn nodes_run_on_when_their_agent_is_killed_and_comes_back() {
    let tree = Tree::start(&Options {
        flags: vec!["--adopt-nodes".to_owned()],
        // Nodes connect anew within seconds, but not on every machine.
        args: vec!["Management::Request::timeout_interval=30secs".to_owned()],
        ..Options::default()
    })
    .unwrap();
    let config = tree.write("cluster.ini", &cluster::ini(&NODES)).unwrap();
    let done = tree
        .client(&["deploy-config".as_ref(), config.as_os_str()])
        .unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    let before = running(&tree).expect("all nodes run, for the deployment was answered");
    let folder = tree.state_folder().join("nodes").join(INSTANCE);
    let kept = folder.join("agent-configuration.json");
    wait_until(PATIENCE, || kept.exists().then_some(())).expect("the configuration is kept");

    for life in 1..=2 {
        let agent = tree.agent_pid().unwrap();
        kill_process(Pid::from_raw(agent).unwrap(), Signal::KILL).unwrap();
        let is_back = || tree.agent_pid().filter(|pid| *pid != agent);
        wait_until(PATIENCE, is_back).expect("the agent is started again");
        await_line(&tree, "nodes of a former life adopted");
        // The controller has it deploy what it has, which runs already (API §5.3 A6).
        await_line(&tree, "already running");
        let after = wait_until(PATIENCE, || running(&tree));
        assert_eq!(after.as_ref(), Some(&before), "life {life}");
    }
    tree.stop().unwrap();
}

/// Waits for a line of the agent's present life with this text.
fn await_line(tree: &Tree, part: &str) {
    let log = || tree.log_of(INSTANCE);
    let has_line = || log().iter().any(|line| line.contains(part)).then_some(());
    let found = wait_until(PATIENCE, has_line);
    let log = log().join("\n");
    assert!(found.is_some(), "no line with '{part}':\n{log}");
}

/// The pids of the nodes, if get-nodes has them all as RUNNING.
fn running(tree: &Tree) -> Option<BTreeMap<String, u64>> {
    let done = tree.client(&["get-nodes"]).unwrap();
    let answer: Value = serde_json::from_str(&done.stdout).ok()?;
    let nodes = answer["results"][INSTANCE].as_object()?;
    let pids = NODES.map(|(name, _)| {
        let node = nodes.get(name)?;
        let pid = node["pid"].as_u64()?;
        (node["state"] == "RUNNING").then(|| (name.to_owned(), pid))
    });
    pids.into_iter().collect()
}
