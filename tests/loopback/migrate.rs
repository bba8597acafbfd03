//! `zeek-mgmt migrate` beside a running tree, and on a state that a real Zeek left.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::command::{self, Finished};
use harness::lone::State;
use harness::tree::{CONTROLLER, INSTANCE, Options, Tree};
use harness::{binaries, cluster};
use serde_json::Value;

/// Longer than a look at a state file that is being written, on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_running_tree_is_told_with_its_nodes_and_goes_on_undisturbed() {
    let own = [
        "--limit",
        "clients=9",
        "--keep-unchanged",
        "--stop-grace=20",
    ];
    let options = Options {
        flags: own.map(str::to_owned).into(),
        ..Options::default()
    };
    let tree = Tree::start(&options).unwrap();
    let config = tree.write("deployed.ini", &cluster::small()).unwrap();
    let done = tree.client(&["deploy-config".as_ref(), config.as_os_str()]);
    let done = done.unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    let id = json(&done)["results"]["id"].clone();
    let before = tree.client(&["get-nodes"]).unwrap();

    let pid = tree.pid().to_string();
    let told = migrate(&["--as-json", "--check", "--pid", &pid]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let report = json(&told);
    let found = &report["trees"][0];
    assert_eq!(found["found"]["roles"], "controller, agent");
    let deployed = found["found"]["deployed"].as_str().unwrap();
    assert_eq!(
        deployed,
        format!("{}, 1 instance, 2 nodes", id.as_str().unwrap())
    );
    assert_eq!(found["found"]["options_of_ours"], own.join(" "));
    let state = tree.state_folder().display().to_string();
    assert_eq!(found["found"]["state"], state);
    let back = found["back"].as_array().unwrap();
    // Where these tests run in a service, the steps are those of a unit.
    let mut lines = back
        .iter()
        .flat_map(|step| step["lines"].as_array().unwrap());
    assert!(
        lines.any(|line| line.as_str().unwrap().contains(" -j ")),
        "{back:?}"
    );

    // The client tells the same processes.
    let nodes = json(&before);
    let nodes = nodes["results"][INSTANCE].as_object().unwrap();
    for (name, what) in [
        (CONTROLLER, "controller"),
        (INSTANCE, "agent"),
        ("manager", "node"),
        ("worker-01", "node"),
    ] {
        let processes = found["processes"].as_array().unwrap();
        let process = processes.iter().find(|process| process["name"] == name);
        let process = process.unwrap_or_else(|| panic!("no {name} in {processes:?}"));
        assert_eq!(process["what"], what);
        assert_eq!(process["pid"], nodes[name]["pid"], "{name}");
    }
    let after = tree.client(&["get-nodes"]).unwrap();
    assert_eq!(after.stdout, before.stdout);
    tree.stop().unwrap();
}

#[test]
fn a_stock_state_is_told_and_not_touched() {
    let state = State::with(&recorded()).unwrap();
    let before = everything(state.path());
    let name = format!("Management::Controller::name={CONTROLLER}");
    let standin = binaries::built().unwrap().standin.display().to_string();
    let dir = state.path().display().to_string();
    let script = "policy/frameworks/management/controller";
    let arguments = ["--zeek", &standin, "--state-dir", &dir, script, &name];
    let told = migrate(&[&["--check"], &arguments[..]].concat());
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.stdout.ends_with("Nothing would be lost.\n"),
        "{}",
        told.stdout
    );
    let refused = migrate(&[&["--check"], &arguments[..], &["-i", "eth0"]].concat());
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let text = "Zeek's option -i cannot be used here";
    assert!(refused.stdout.contains(text), "{}", refused.stdout);
    assert_eq!(
        migrate(&[&arguments[..], &["-i", "eth0"]].concat()).code,
        Some(0)
    );
    assert_eq!(everything(state.path()), before);

    // What cannot be looked at is neither lost nor kept.
    fs::remove_file(state.file()).unwrap();
    fs::create_dir(state.file()).unwrap();
    let told = migrate(&arguments);
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(
        told.stdout.contains("it is not a regular file"),
        "{}",
        told.stdout
    );
}

fn migrate(args: &[&str]) -> Finished {
    let mut command = Command::new(binaries::built().unwrap().mgmt);
    command.arg("migrate").args(args);
    command::run(&mut command, LIMIT).unwrap()
}

fn json(done: &Finished) -> Value {
    serde_json::from_str(&done.stdout).unwrap()
}

fn recorded() -> Vec<u8> {
    let file = "___sync_store_Management::Controller::Runtime::g_configs.sqlite";
    let state = harness::folder().join("transcripts/c2a/state");
    fs::read(state.join(file)).unwrap()
}

/// Every file and directory with what is in it and when it was written.
fn everything(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>, i64, i64)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::metadata(&path).unwrap();
            let bytes = meta.is_file().then(|| fs::read(&path).unwrap());
            if meta.is_dir() {
                open.push(path.clone());
            }
            found.push((path, bytes, meta.mtime(), meta.mtime_nsec()));
        }
    }
    found.sort();
    found
}
