//! `zeek-mgmt plan` against a running tree.

use std::process::Command;
use std::time::Duration;

use harness::binaries;
use harness::cluster;
use harness::command::{self, Finished};
use harness::tree::{Options, Tree};
use serde_json::{Value, json};

/// Longer than the client waits for an answer.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_plan_says_what_deployments_then_do_and_touches_nothing() {
    let tree = Tree::start(&Options::default()).unwrap();
    let first = json_plan(&tree, &cluster::small(), 0);
    let port = tree.ports.first_node;
    assert_eq!(
        first["nodes"],
        json!([
            node("manager", "MANAGER", "start", json!(port), json!([])),
            node("worker-01", "WORKER", "start", Value::Null, json!([])),
        ])
    );
    assert_eq!(first["instances"][0]["action"], "add");
    assert_eq!(first["instances"][0]["host"], "127.0.0.1");
    let staged = tree.client(&["get-config"]).unwrap();
    assert_eq!(staged.code, Some(1), "something was staged: {staged:?}");

    // What was planned is what comes.
    deploy(&tree, &cluster::small());
    let deployed = tree.client(&["get-config", "--as-json", "--deployed"]);
    let deployed: Value = serde_json::from_str(&deployed.unwrap().stdout).unwrap();
    assert_eq!(deployed["nodes"][0]["port"], json!(port));

    let before = tree.client(&["get-nodes"]).unwrap().stdout;
    let changed = cluster::small()
        .replace("= lo", "= eth0")
        .replace("manager]", "boss]");
    let second = json_plan(&tree, &changed, 0);
    let changes = json!(["interface lo -> eth0"]);
    assert_eq!(
        second["nodes"],
        json!([
            node("manager", "MANAGER", "stop", json!(port), json!([])),
            node("boss", "MANAGER", "start", json!(port), json!([])),
            node("worker-01", "WORKER", "restart", Value::Null, changes),
        ])
    );
    assert_eq!(second["instances"][0]["action"], "keep");
    let text = plan(&tree, &changed, &[]).stdout;
    assert_eq!(plan_over_tls(&tree, &changed).stdout, text);
    let last = "This can be deployed: 1 to start, 1 to restart, 1 to stop, 0 later.\n";
    assert!(text.ends_with(last), "{text}");
    assert_eq!(tree.client(&["get-nodes"]).unwrap().stdout, before);

    refusals_and_missing_agents_fail(&tree);
    tree.stop().unwrap();
}

fn refusals_and_missing_agents_fail(tree: &Tree) {
    let away = cluster::small().replace("1\n\n[manager]", "1\ninstance-2\n\n[manager]");
    let away = away + "[worker-02]\ninstance = instance-2\nrole = worker\n";
    let planned = json_plan(tree, &away, 1);
    assert_eq!(
        planned["missing"],
        json!(["instance instance-2 is not connected"])
    );
    assert_eq!(planned["nodes"][2]["action"], "later");

    let undeclared = cluster::small().replace("[instances]\ninstance-1", "[instances]\nother");
    let planned = json_plan(tree, &undeclared, 1);
    let staged = tree.write("undeclared.ini", &undeclared).unwrap();
    let refused = tree.client(&["stage-config".as_ref(), staged.as_os_str()]);
    let refused: Value = serde_json::from_str(&refused.unwrap().stdout).unwrap();
    assert_eq!(planned["refusals"], refused["errors"]);

    let broken = plan(tree, "[manager]\nrole = boss\n", &[]);
    assert_eq!(broken.code, Some(1));
    let text = "zeek-mgmt: invalid node \"manager\" configuration: role \"boss\" is invalid\n";
    assert!(broken.stderr.ends_with(text), "{}", broken.stderr);
    let nobody = plan(tree, &cluster::small(), &["--controller", "127.0.0.1:1"]);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("cannot connect to 127.0.0.1:1"));
}

fn node(name: &str, role: &str, action: &str, port: Value, changes: Value) -> Value {
    json!({
        "name": name, "instance": "instance-1", "role": role, "action": action,
        "port": port, "metrics_port": null, "changes": changes,
    })
}

fn deploy(tree: &Tree, config: &str) {
    let path = tree.write("deployed.ini", config).unwrap();
    let done = tree.client(&["deploy-config".as_ref(), path.as_os_str()]);
    assert_eq!(done.as_ref().unwrap().code, Some(0), "{done:?}");
}

fn json_plan(tree: &Tree, config: &str, code: i32) -> Value {
    let done = plan(tree, config, &["--as-json"]);
    assert_eq!(done.code, Some(code), "{done:?}");
    serde_json::from_str(&done.stdout).unwrap()
}

fn plan(tree: &Tree, config: &str, args: &[&str]) -> Finished {
    plan_with(tree, config, args, "ssl.enable=false")
}

/// The port takes both, as long as it has no certificate of an operator's.
fn plan_over_tls(tree: &Tree, config: &str) -> Finished {
    plan_with(tree, config, &[], "ssl.enable=true")
}

/// Runs the program with the settings that the tree's controller has.
fn plan_with(tree: &Tree, config: &str, args: &[&str], ssl: &str) -> Finished {
    let path = tree.write("plan.ini", config).unwrap();
    let port = tree.ports.websocket;
    let first = tree.ports.first_node;
    let mut command = Command::new(binaries::built().unwrap().mgmt);
    command
        .arg("plan")
        .args(args)
        .arg(path)
        .arg(format!(
            "Management::Controller::auto_assign_broker_start_port={first}/tcp"
        ))
        .arg("Management::Controller::auto_assign_metrics_ports=F")
        .env(
            "ZEEK_CLIENT_CONFIG_SETTINGS",
            format!("controller.port={port} {ssl}"),
        );
    command::run(&mut command, LIMIT).unwrap()
}
