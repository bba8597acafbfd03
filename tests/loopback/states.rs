//! What zeek-client shows of nodes that are not well (API §15.2 D36).

use std::fs;
use std::time::Duration;

use broker_proto::Address;
use harness::cluster;
use harness::command::Finished;
use harness::tree::{INSTANCE, Options, Tree};
use harness::wait_until;
use harness::websocket::WebSocket;
use mgmt::api::controller::ControllerRequest;
use mgmt::model::{ClusterRole, Configuration, Instance, Node, NodeOption};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::assert_nobody_noticed;

/// From an event to what a client is shown of it.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_node_that_exits_at_start_is_reported_with_its_stderr_and_a_reason() {
    let text = "fatal error: no such interface";
    let tree = tree(&[("FAIL", "worker-01:3"), ("FAIL_TEXT", text)], &[]);
    let done = deploy(&tree);
    assert_eq!(done.code, Some(1), "{done:?}");
    let answer = json(&done);
    let worker = &answer["results"]["nodes"]["worker-01"];
    assert_eq!(worker["success"], json!(false), "{answer}");
    assert!(worker["stderr"].to_string().contains(text), "{answer}");
    let errors = answer["errors"].as_array().unwrap().iter();
    let reason = "cluster node worker-01 died with status 3 after ";
    let errors: Vec<String> = errors.map(Value::to_string).collect();
    assert!(
        errors.iter().any(|error| error.contains(reason)),
        "{answer}"
    );
    let manager = &answer["results"]["nodes"]["manager"];
    assert_eq!(manager["success"], json!(true), "{answer}");
    assert_nobody_noticed(&tree);
    tree.stop().unwrap();
}

/// It says hello, dies a little later, and again after each revival, for which it waits longer and
/// longer.
#[test]
fn a_node_that_dies_later_is_crashed_and_has_no_pid() {
    let tree = tree(
        &[("FAIL", "worker-01:3"), ("FAIL_AFTER", "worker-01:300")],
        &[],
    );
    deploy(&tree);
    let row = row_in_state(&tree, "worker-01", "CRASHED");
    assert_eq!(row["pid"], Value::Null, "{row}");
    let row = row_in_state(&tree, "manager", "RUNNING");
    assert!(row["pid"].is_number(), "{row}");
    assert_nobody_noticed(&tree);
    tree.stop().unwrap();
}

#[test]
fn a_node_that_is_given_up_is_failed_and_has_no_pid() {
    let tree = tree(&[("FAIL", "worker-01:3")], &["--give-up", "2/600"]);
    let done = deploy(&tree);
    assert_eq!(done.code, Some(1), "{done:?}");
    let row = row_in_state(&tree, "worker-01", "FAILED");
    assert_eq!(row["pid"], Value::Null, "{row}");
    assert_nobody_noticed(&tree);
    tree.stop().unwrap();
}

#[test]
fn an_agent_that_is_cut_off_is_an_error_that_names_it_and_its_nodes_are_unknown() {
    // With the usual timeout, because the client waits no longer than 20 s.
    let tree = Tree::start(&Options::default()).unwrap();
    deploy(&tree);
    row_in_state(&tree, "worker-01", "RUNNING");
    let agent = Pid::from_raw(tree.agent_pid().unwrap()).unwrap();
    kill_process(agent, Signal::STOP).unwrap();
    let done = tree.client(&["get-nodes"]).unwrap();
    kill_process(agent, Signal::CONT).unwrap();
    assert_eq!(done.code, Some(1), "{done:?}");
    let answer = json(&done);
    let error = json!({
        "source": INSTANCE,
        "error": format!("instance {INSTANCE} did not answer"),
    });
    let errors = answer["errors"].as_array().unwrap();
    assert!(errors.contains(&error), "{answer}");
    for node in ["manager", "worker-01"] {
        let row = &answer["results"][INSTANCE][node];
        assert_eq!(row["state"], "UNKNOWN", "{answer}");
        assert_eq!(row["pid"], Value::Null, "{answer}");
    }
    row_in_state(&tree, "manager", "RUNNING");
    tree.stop().unwrap();
}

#[test]
fn unchanged_nodes_keep_their_processes_if_asked_for() {
    let tree = tree(&[], &["--keep-unchanged"]);
    assert_eq!(deploy(&tree).code, Some(0));
    let pid = |node| row_in_state(&tree, node, "RUNNING")["pid"].clone();
    let before = ["manager", "worker-01"].map(pid);
    assert_eq!(deploy(&tree).code, Some(0));
    assert_eq!(["manager", "worker-01"].map(pid), before);
    assert_nobody_noticed(&tree);
    tree.stop().unwrap();
}

#[test]
fn options_of_a_node_are_a_script_that_it_loads() {
    let tree = tree(&[], &[]);
    let name = "worker-01";
    let mut worker = Node::new(INSTANCE, name, ClusterRole::Worker);
    let option = NodeOption {
        name: "Foo::bar".to_owned(),
        value: "T".to_owned(),
    };
    worker.options = Some([option].into());
    let instance = Instance {
        name: INSTANCE.to_owned(),
        host: Address::UNSPECIFIED,
        listen_port: None,
    };
    let config = Configuration {
        id: "with-options".to_owned(),
        instances: [instance].into(),
        nodes: [worker].into(),
    };
    let mut client = WebSocket::subscribed(tree.ports.websocket).unwrap();
    let reqid = "stage".to_owned();
    let stage = ControllerRequest::StageConfiguration { reqid, config };
    client.answer(&stage).unwrap();
    let reqid = "deploy".to_owned();
    client.answer(&ControllerRequest::Deploy { reqid }).unwrap();
    row_in_state(&tree, name, "RUNNING");
    let script = tree.state_folder().join("zeek-mgmt/options/worker-01.zeek");
    let text = fs::read_to_string(script).unwrap();
    assert_eq!(text, "redef Foo::bar = T\n;\n");
    tree.stop().unwrap();
}

/// A tree whose nodes behave so, and whose agent has time on a slow machine.
fn tree(behaviour: &[(&str, &str)], flags: &[&str]) -> Tree {
    let variable = |(what, how): &(&str, &str)| (format!("ZEEK_STANDIN_{what}"), (*how).to_owned());
    Tree::start(&Options {
        env: behaviour.iter().map(variable).collect(),
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        args: vec!["Management::Request::timeout_interval=15secs".to_owned()],
        ..Options::default()
    })
    .unwrap()
}

fn deploy(tree: &Tree) -> Finished {
    let path = tree.write("cluster.ini", &cluster::small()).unwrap();
    tree.client(&["deploy-config".as_ref(), path.as_os_str()])
        .unwrap()
}

/// Waits until get-nodes shows a node in this state, and returns all it says of the node.
fn row_in_state(tree: &Tree, node: &str, state: &str) -> Value {
    let mut last = Value::Null;
    let found = wait_until(LIMIT, || {
        last = json(&tree.client(&["get-nodes"]).unwrap());
        let row = &last["results"][INSTANCE][node];
        (row["state"] == state).then(|| row.clone())
    });
    found.unwrap_or_else(|| panic!("{node} is not {state}: {last}\n{}", tree.log().text()))
}

fn json(done: &Finished) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("no JSON: {done:?}"))
}
