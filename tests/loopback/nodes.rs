//! Configurations that cannot be, and programs in the place of `zeek` that fail.

use std::path::PathBuf;
use std::time::Duration;

use harness::cluster;
use harness::command::Finished;
use harness::tree::{Options, Tree};
use serde_json::{Value, json};

use crate::assert_nobody_noticed;

/// What the log says goes another way than the client's answer.
const LIMIT: Duration = Duration::from_secs(60);

/// Every kind of mistake that zeek-client lets through.
const IMPOSSIBLE: &str = "\
[instances]
instance-1

[instance-2]
instance = nowhere
role = manager

[worker-01]
instance = instance-1
role = worker
port = 5000

[worker-02]
instance = instance-1
role = worker
port = 5000
";

#[test]
fn an_impossible_configuration_is_refused_with_all_its_mistakes() {
    let tree = Tree::start(&Options::default()).unwrap();
    let done = deploy(&tree, IMPOSSIBLE);
    let answer = answer(&done);
    assert_eq!(done.code, Some(1));
    let errors: Vec<&str> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(text_of)
        .collect();
    // Sorted by text (API §7.1).
    let expected = [
        "multiple nodes on instance 'instance-1' using port 5000/tcp",
        "node 'instance-2' has undeclared instance name 'nowhere'",
    ];
    assert_eq!(errors, expected);
    assert_nobody_noticed(&tree);
    tree.stop().unwrap();
}

#[test]
fn a_node_that_dies_at_once_is_reported_with_its_last_words() {
    let fails = "worker-01:3".to_owned();
    let env = vec![
        ("ZEEK_STANDIN_FAIL".to_owned(), fails),
        (
            "ZEEK_STANDIN_FAIL_TEXT".to_owned(),
            "fatal error: no such interface".to_owned(),
        ),
    ];
    let tree = Tree::start(&Options {
        env,
        ..Options::default()
    })
    .unwrap();
    let done = deploy(&tree, &cluster::small());
    assert_eq!(done.code, Some(1), "{done:?}");
    let answer = answer(&done);
    let nodes = &answer["results"]["nodes"];
    assert_eq!(nodes["manager"]["success"], json!(true), "{answer}");
    assert_eq!(nodes["worker-01"]["success"], json!(false), "{answer}");
    let stderr = text_of(&nodes["worker-01"]["stderr"]);
    assert!(
        stderr.contains("fatal error: no such interface"),
        "{answer}"
    );
    let named = tree.log().wait_for(LIMIT, &["worker-01", "WARN"]);
    assert!(named.is_some(), "{}", tree.log().text());
    assert_nobody_noticed(&tree);
    tree.stop().unwrap();
}

#[test]
fn a_missing_zeek_is_reported_for_every_node() {
    let missing = "/nonexistent/zeek";
    let told = "cannot run /nonexistent/zeek: No such file";
    nodes_that_cannot_run_are_reported(missing, &[missing, "No such file"], told);
}

#[test]
fn a_zeek_that_exits_at_once_is_reported_for_every_node() {
    let told = "zeek ended before it started the node: status 1";
    nodes_that_cannot_run_are_reported("/bin/false", &["worker-01", "status 1"], told);
}

/// Deploys with another program as `zeek`; the client is told why, and the log has a line with these
/// parts.
fn nodes_that_cannot_run_are_reported(zeek: &str, parts: &[&str], told: &str) {
    let zeek = Some(PathBuf::from(zeek));
    let tree = Tree::start(&Options {
        zeek,
        ..Options::default()
    })
    .unwrap();
    let done = deploy(&tree, &cluster::small());
    assert_eq!(done.code, Some(1), "{done:?}");
    let answer = answer(&done);
    let nodes = &answer["results"]["nodes"];
    for node in ["manager", "worker-01"] {
        assert_eq!(nodes[node]["success"], json!(false), "{answer}");
        let stderr = nodes[node]["stderr"].as_str().unwrap_or_default();
        assert!(stderr.contains(told), "{answer}");
    }
    let found = tree.log().wait_for(LIMIT, parts);
    assert!(found.is_some(), "{parts:?} in\n{}", tree.log().text());
    assert_nobody_noticed(&tree);
    tree.stop().unwrap();
}

fn deploy(tree: &Tree, config: &str) -> Finished {
    let path = tree.write("cluster.ini", config).unwrap();
    tree.client(&["deploy-config".as_ref(), path.as_os_str()])
        .unwrap()
}

fn answer(done: &Finished) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("no JSON: {done:?}"))
}

fn text_of(json: &Value) -> &str {
    json.as_str().unwrap_or_default()
}
