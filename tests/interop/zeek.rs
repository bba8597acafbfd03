//! A live Zeek in the place of the stand-in, and of all of ours, if `ZEEK_BIN` names one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::binaries::live_zeek;
use harness::lone::STATE_FILE;
use harness::tree::{CONTROLLER, INSTANCE, Management, Options, Tree};
use harness::{cluster, wait_until};
use serde_json::{Value, json};

const NODES: [(&str, &str); 3] = [
    ("manager", "manager"),
    ("logger-01", "logger"),
    ("worker-01", "worker"),
];

/// From a start until every node runs.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_cluster_of_a_live_zeek_comes_up_and_answers() {
    let Some(zeek) = live_zeek() else { return };
    // Our node script is to do for every Zeek, also if that brings one along.
    let own: &[&str] = &["--node-script", "own"];
    for flags in [&[], own] {
        let options = Options {
            zeek: Some(zeek.clone()),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            ..Options::default()
        };
        let tree = Tree::start(&options).unwrap();
        deploy(&tree);
        let value = tree.client(&["get-id-value", "bits_per_uid"]).unwrap();
        let value: Value = serde_json::from_str(&value.stdout).unwrap();
        let expected = json!({"manager": 96, "logger-01": 96, "worker-01": 96});
        assert_eq!(value["results"], expected);
        tree.stop().unwrap();
    }
}

// API §4.9.
#[test]
fn a_deployment_moves_from_a_live_zeek_to_ours_and_back() {
    let Some(zeek) = live_zeek() else { return };
    let tree = start(&zeek, Management::Stock, None);
    deploy(&tree);
    let deployed = get_deployed(&tree);
    let mut kept = stop(tree);
    for management in [Management::Ours, Management::Stock] {
        let tree = start(&zeek, management, Some(kept));
        wait_until(LIMIT, || all_run(&tree).then_some(())).expect("it deploys what was deployed");
        assert_eq!(get_deployed(&tree), deployed, "{management:?}");
        kept = stop(tree);
    }
}

fn start(zeek: &Path, management: Management, kept: Option<Vec<u8>>) -> Tree {
    Tree::start(&Options {
        zeek: Some(zeek.to_owned()),
        management,
        kept,
        ..Options::default()
    })
    .unwrap()
}

/// Ends it and returns what its controller kept.
fn stop(tree: Tree) -> Vec<u8> {
    let file = format!("nodes/{CONTROLLER}/{STATE_FILE}");
    let kept = fs::read(tree.state_folder().join(file)).unwrap();
    tree.stop().unwrap();
    kept
}

fn deploy(tree: &Tree) {
    let config = tree.write("cluster.ini", &cluster::ini(&NODES)).unwrap();
    let deployed = tree
        .client(&["deploy-config".as_ref(), config.as_os_str()])
        .unwrap();
    assert_eq!(deployed.code, Some(0), "{deployed:?}");
}

fn get_deployed(tree: &Tree) -> Value {
    let done = tree
        .client(&["get-config", "--deployed", "--as-json"])
        .unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    serde_json::from_str(&done.stdout).unwrap()
}

fn all_run(tree: &Tree) -> bool {
    let done = tree.client(&["get-nodes"]).unwrap();
    let nodes: Value = serde_json::from_str(&done.stdout).unwrap_or_default();
    let nodes = &nodes["results"][INSTANCE];
    NODES
        .iter()
        .all(|(name, _)| nodes[*name]["state"] == "RUNNING")
}
