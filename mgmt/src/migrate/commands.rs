//! The commands for moving a tree, and for moving it back.

use std::path::PathBuf;

use broker_proto::peering::PeerAddr;

use super::Step;
use super::findings::{Kept, Manager, Place, Tree, Unit, ZeekScripts};
use super::judge::role_scripts;
use super::words::{is_secret, shell, shell_line, systemd, systemd_line};
use crate::controller::configs::rows::Layout;
use crate::settings::{Role, Settings, Unauthenticated, is_of_framework};

/// What the copy of the state file is called.
const COPY: &str = "before-zeek-mgmt";

/// Beside a unit, in the folder of its additions.
const DROP_IN: &str = "zeek-mgmt.conf";

/// Five roles that each take the whole grace, and something for the rest.
const STOP_SECS: u32 = 180;

/// What runs a tree, and where its unit or shell has to say so.
struct Start {
    words: Vec<String>,
    /// What was left out because nobody shall see it.
    has_secret: bool,
}

pub(super) fn forward(tree: &Tree, settings: Option<&Settings>, program: &str) -> Vec<Step> {
    if tree.place.is_ours() || tree.roles.is_empty() {
        return Vec::new();
    }
    let mut steps = Vec::new();
    steps.extend(stop(tree, "stop the old tree; its nodes stop with it"));
    if matches!(tree.state.kept, Kept::State { .. }) {
        let file = &tree.state.file.display().to_string();
        let copy = format!("{file}.{COPY}");
        let line = shell_line(["cp", "-a", file, &copy]);
        steps.push(step("keep a copy of the state", vec![line]));
    }
    steps.extend(roles_file(tree));
    let start = ours(tree, program);
    steps.extend(run(tree, &start, "start the new one in its place"));
    steps.push(check(tree, settings));
    steps
}

pub(super) fn back(tree: &Tree) -> Vec<Step> {
    if tree.roles.is_empty() {
        return Vec::new();
    }
    let is_ours = tree.place.is_ours();
    let mut steps = Vec::new();
    let unit = tree.place.unit();
    if is_ours || unit.is_some() {
        steps.extend(stop(tree, "stop ours; its nodes stop with it"));
    } else {
        let why = "stop ours with SIGTERM, or Ctrl-C where it runs; its nodes stop with it";
        steps.push(step(why, Vec::new()));
    }
    if let Kept::State {
        layout: Layout::Older,
        ..
    } = tree.state.kept
    {
        let file = &tree.state.file.display().to_string();
        let copy = format!("{file}.{COPY}");
        let line = shell_line(["cp", "-a", &copy, file]);
        let why = "bring the state back in the old layout; what was deployed since is lost";
        steps.push(step(why, vec![line]));
    }
    match unit {
        Some(unit) if !is_ours => steps.push(step(
            "start the old one as its unit says",
            vec![
                format!("rm {}/{DROP_IN}", shell_folder(unit)),
                format!("{} daemon-reload", systemctl(unit)),
                format!("{} start {}", systemctl(unit), shell(&unit.name)),
            ],
        )),
        Some(_) | None => steps.extend(run(tree, &stock(tree), "start `zeek -j` in its place")),
    }
    steps
}

fn step(why: &str, lines: Vec<String>) -> Step {
    Step {
        why: why.to_owned(),
        lines,
    }
}

fn systemctl(unit: &Unit) -> &'static str {
    match unit.manager {
        Manager::System => "systemctl",
        Manager::User => "systemctl --user",
    }
}

/// Where additions to a unit are, as a shell has it.
fn shell_folder(unit: &Unit) -> String {
    let name = shell(&format!("{}.d", unit.name));
    match unit.manager {
        Manager::System => format!("/etc/systemd/system/{name}"),
        // Only outside of quotes is ~ the user's directory.
        Manager::User => format!("~/.config/systemd/user/{name}"),
    }
}

fn stop(tree: &Tree, why: &str) -> Option<Step> {
    let lines = match (&tree.place, tree.place.unit()) {
        (_, Some(unit)) => vec![format!("{} stop {}", systemctl(unit), shell(&unit.name))],
        (Place::Running { pid, .. }, None) => vec![
            format!("kill -TERM {pid}"),
            format!("while kill -0 {pid} 2>/dev/null; do sleep 1; done"),
        ],
        (Place::Stopped { .. } | Place::Named, None) => return None,
    };
    Some(step(why, lines))
}

/// Where the roles stand if nodes must not be given the scripts that say them.
fn roles_path(tree: &Tree) -> PathBuf {
    tree.state.path.join("zeek-mgmt-roles.zeek")
}

/// Whether nodes must not be given the scripts for controller and agent.
fn names_missing_scripts(tree: &Tree) -> bool {
    let named = tree.told.scripts.iter().any(|name| is_of_framework(name));
    named && tree.zeek.scripts == ZeekScripts::WithoutFramework
}

fn roles_file(tree: &Tree) -> Option<Step> {
    if !names_missing_scripts(tree) {
        return None;
    }
    let path = shell(&roles_path(tree).display().to_string());
    let mut words = vec!["printf", r"@load %s\n"];
    words.extend(role_scripts(tree));
    let line = format!("{} > {path}", shell_line(words));
    Some(step(
        "say what to run where nodes do not read it",
        vec![line],
    ))
}

/// `zeek-mgmt run` with what `zeek -j` was given.
fn ours(tree: &Tree, program: &str) -> Start {
    let zeek = tree.zeek.program.display().to_string();
    let mut words = vec![
        program.to_owned(),
        "run".to_owned(),
        "--zeek".to_owned(),
        zeek,
    ];
    match tree.unauthenticated {
        Unauthenticated::Allowed => words.push("--allow-unauthenticated".to_owned()),
        Unauthenticated::Refused => {}
    }
    let leave_out = names_missing_scripts(tree);
    if leave_out {
        words.push("--redef".to_owned());
        words.push(roles_path(tree).display().to_string());
    }
    with_arguments(tree, words, |word| !(leave_out && is_of_framework(word)))
}

/// `zeek -j` with what `zeek-mgmt run` was given.
fn stock(tree: &Tree) -> Start {
    let zeek = tree.zeek.program.display().to_string();
    let mut words = vec![zeek, "-j".to_owned()];
    // Without any script, ours runs both.
    if tree.told.scripts.is_empty() {
        words.extend(role_scripts(tree).into_iter().map(str::to_owned));
    }
    let mut start = with_arguments(tree, words, |_| true);
    start.words.extend(tree.told.redefs.iter().cloned());
    start
}

fn with_arguments(tree: &Tree, mut words: Vec<String>, wanted: impl Fn(&str) -> bool) -> Start {
    let mut has_secret = false;
    for word in tree.told.words.iter().filter(|word| wanted(word)) {
        if is_secret(word) {
            has_secret = true;
            // A value of -e goes with its option.
            words.pop_if(|last| last.as_str() == "-e");
        } else {
            words.push(word.clone());
        }
    }
    Start { words, has_secret }
}

const SECRET: &str = "# add what sets Broker::ssl_passphrase, which is not printed";

fn run(tree: &Tree, start: &Start, why: &str) -> Vec<Step> {
    let words = start.words.iter().map(String::as_str);
    let known = tree.variables.iter();
    let known = known.filter_map(|it| Some((it.name.as_str(), it.value.as_deref()?)));
    let directory = tree.directory.display().to_string();
    let secret = start.has_secret.then(|| SECRET.to_owned());
    let Some(unit) = tree.place.unit() else {
        let variables = known.map(|(name, value)| format!("{name}={} ", shell(value)));
        let variables: String = variables.collect();
        let mut lines = vec![format!("cd {}", shell(&directory))];
        lines.extend(secret);
        lines.push(format!("{variables}{}", shell_line(words)));
        let why = match &tree.place {
            Place::Running {
                user: Some(user), ..
            } => format!("{why}, as user {}", super::printable(user)),
            Place::Running { user: None, .. } | Place::Stopped { .. } | Place::Named => {
                why.to_owned()
            }
        };
        return vec![step(&why, lines)];
    };
    let folder = shell_folder(unit);
    let mut lines = vec![
        format!("mkdir -p {folder}"),
        format!("cat > {folder}/{DROP_IN} <<'EOF'"),
        "[Service]".to_owned(),
    ];
    lines.extend(secret);
    lines.push("ExecStart=".to_owned());
    lines.push(format!("ExecStart={}", systemd_line(words)));
    // A wrapper may have set them that runs no more.
    if !directory.contains(char::is_control) {
        lines.push(format!("WorkingDirectory={}", directory.replace('%', "%%")));
    }
    let known =
        known.map(|(name, value)| format!("Environment={}", systemd(&format!("{name}={value}"))));
    lines.extend(known);
    // Otherwise systemd signals all processes at once, and kills them before their time.
    lines.push("KillMode=mixed".to_owned());
    lines.push(format!("TimeoutStopSec={STOP_SECS}"));
    lines.push("EOF".to_owned());
    let systemctl = systemctl(unit);
    let restart = vec![
        format!("{systemctl} daemon-reload"),
        format!("{systemctl} start {}", shell(&unit.name)),
    ];
    vec![
        step("put the program into the unit", lines),
        step(why, restart),
    ]
}

fn check(tree: &Tree, settings: Option<&Settings>) -> Step {
    let listen = settings.and_then(|settings| settings.controller.listen_websocket.as_ref());
    let controller = match listen {
        _ if !tree.roles.contains(&Role::Controller) => {
            let why = "see, where the controller is, that the instance and its nodes are back";
            return step(why, queries(""));
        }
        Some(PeerAddr { port: 2149, host }) if reaches_loopback(host) => String::new(),
        Some(PeerAddr { host, port }) => {
            let host = if reaches_loopback(host) {
                "127.0.0.1"
            } else {
                host
            };
            format!("--controller {} ", shell(&format!("{host}:{port}")))
        }
        None => {
            let why = "see in the log that nodes are back: the port for zeek-client is off";
            return step(why, Vec::new());
        }
    };
    step(
        "see that instances and nodes are back, each node RUNNING",
        queries(&controller),
    )
}

fn queries(controller: &str) -> Vec<String> {
    let queries = ["get-instances", "get-nodes"];
    queries
        .map(|query| format!("zeek-client {controller}{query}"))
        .into()
}

fn reaches_loopback(host: &str) -> bool {
    ["0.0.0.0", "::", "127.0.0.1", "localhost"].contains(&host)
}
