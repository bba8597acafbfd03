//! What ours does not do as stock does, and what to do about it.

mod config;
mod ports;

use super::findings::{Directory, Kept, Place, Tree, ZeekScripts};
use super::found::{count, listed};
use super::words::is_secret;
use super::{Change, TreeReport, Weight};
use crate::api::{AGENT_SCRIPT, CONTROLLER_SCRIPT};
use crate::controller::configs::rows::Layout;
use crate::settings::script::Skipped;
use crate::settings::{Remark, Role, Settings, is_of_framework};

/// Questions that a script may ask anywhere without doing anything.
const HARMLESS: [&str; 4] = [
    "Supervisor::is_supervised",
    "Supervisor::is_supervisor",
    "Supervisor::node",
    "Supervisor::__stem_pid",
];

/// Settings without effect here that have none in stock either, or none that anybody sees.
const IDLE: [&str; 6] = [
    "Management::Agent::stderr_file",
    "Management::Agent::stdout_file",
    "Management::Controller::stderr_file",
    "Management::Controller::stdout_file",
    "Management::role",
    "table_expire_interval",
];

pub(super) fn lost(what: impl Into<String>, todo: impl Into<String>) -> Change {
    Change {
        weight: Weight::Lost,
        what: what.into(),
        todo: todo.into(),
    }
}

pub(super) fn differs(what: impl Into<String>, todo: impl Into<String>) -> Change {
    Change {
        weight: Weight::Differs,
        ..lost(what, todo)
    }
}

/// Everything about one tree, what would be lost first.
pub(super) fn changes(tree: &Tree, settings: Option<&Settings>) -> Vec<Change> {
    let mut found = Vec::new();
    if tree.place.is_ours() {
        of_return(tree, &mut found);
        return found;
    }
    of_arguments(tree, &mut found);
    of_zeek(tree, &mut found);
    of_settings(tree, &mut found);
    of_scripts(tree, &mut found);
    of_state(tree, &mut found);
    if let Some(settings) = settings {
        ports::changes(tree, settings, &mut found);
        config::changes(tree, settings, &mut found);
        of_archive(tree, settings, &mut found);
    }
    of_life(tree, &mut found);
    found.sort_by_key(|change| change.weight == Weight::Differs);
    found
}

fn of_arguments(tree: &Tree, found: &mut Vec<Change>) {
    for problem in &tree.told.refused {
        let todo =
            "leave it out; interfaces belong into the configuration, `interface = …` of a node";
        found.push(lost(problem, todo));
    }
    if !tree.told.is_text {
        let what = "arguments that are not UTF-8, which ours does not take";
        found.push(lost(what, "rename what they name"));
    }
    let secret = tree.told.words.iter().find(|word| is_secret(word));
    if secret.is_some() {
        let what = "a passphrase among the arguments: every user of the host can see it, and it is \
                    not printed here";
        let todo =
            "set it with redef in a script that only the service can read, and name that script";
        found.push(differs(what, todo));
    }
    let roles_missing = tree.roles.is_empty();
    if roles_missing {
        let what = "scripts that load neither controller nor agent: `zeek-mgmt run` refuses them";
        let todo = "`zeek-mgmt supervisor` runs a supervisor alone, for an agent that is elsewhere";
        found.push(lost(what, todo));
    }
}

fn of_zeek(tree: &Tree, found: &mut Vec<Change>) {
    let zeek = &tree.zeek;
    let program = zeek.program.display();
    if !zeek.is_there {
        let what = format!("{program} is not there, so no node would start");
        found.push(lost(what, "name the Zeek to run nodes with: --zeek PATH"));
    }
    if zeek.was_replaced {
        let what = format!("{program} has been replaced since it was started");
        let todo = "nodes will be of the new one; deploy under it once before moving, to tell \
                    one change from the other";
        found.push(differs(what, todo));
    }
    let named = tree.told.scripts.iter().any(|name| is_of_framework(name));
    match zeek.scripts {
        ZeekScripts::WithFramework => {}
        ZeekScripts::WithoutFramework if named => {
            let what = "this Zeek has no management framework any more: its nodes would not find \
                        the scripts for controller and agent";
            let todo = "nothing: the commands below name them to zeek-mgmt only, and nodes load a \
                        node script of ours";
            found.push(differs(what, todo));
        }
        ZeekScripts::WithoutFramework if !tree.roles.is_empty() => {
            let what = "a script of yours loads the management framework, which this Zeek does not \
                        have any more: nodes would not start";
            let todo = "take the @load out, and name the script with `@load` lines for \
                        zeek-mgmt only, by --redef";
            found.push(lost(what, todo));
        }
        ZeekScripts::Missing if !tree.loaded.files.is_empty() => {
            let what = "Zeek's own scripts were not found, so those that yours load were not read";
            found.push(differs(
                what,
                "name the Zeek that nodes run with: --zeek PATH",
            ));
        }
        ZeekScripts::WithoutFramework | ZeekScripts::Missing => {}
    }
}

fn of_settings(tree: &Tree, found: &mut Vec<Change>) {
    for error in tree.given.errors() {
        let todo = "mend it, or set the option as NAME=VALUE among the arguments: ours does not \
                    start with it";
        found.push(lost(error.to_string(), todo));
    }
    for remark in tree.given.remarks().iter().filter(|it| !it.is_for_nodes) {
        let Remark {
            option,
            origin,
            text,
            ..
        } = remark;
        let what = format!("{origin}: {text}");
        let todo = match *option {
            option if IDLE.contains(&option) => {
                found.push(differs(what, ""));
                continue;
            }
            option if option.ends_with("topic") || option.ends_with("topic_prefix") => {
                "set every peer back to stock's topics"
            }
            _ => "do without, or stay with stock",
        };
        found.push(lost(what, todo));
    }
}

/// Scripts are read for settings here and run by nodes only.
fn of_scripts(tree: &Tree, found: &mut Vec<Change>) {
    let mut harmless = Vec::new();
    for (file, piece) in &tree.loaded.skipped {
        let Skipped {
            line, what, names, ..
        } = piece;
        let is_directive = what.starts_with('@');
        let place = format!("{file}:{line} {what}");
        let acting: Vec<String> = names
            .iter()
            .filter(|name| acts(name, is_directive))
            .cloned()
            .collect();
        if acting.is_empty() {
            if what.starts_with("event ") || what.starts_with("hook ") {
                harmless.push(place);
            }
            continue;
        }
        let acting = listed(&acting);
        if is_directive {
            let what =
                format!("{place}: settings and @load lines in there do not count ({acting})");
            let todo = "set what holds on this host with NAME=VALUE arguments or a --redef file; \
                        nodes read the block as ever";
            found.push(lost(what, todo));
        } else {
            let what = format!(
                "{place}: it does not happen in supervisor, controller and agent ({acting})"
            );
            let todo =
                "nodes run it as ever; if it is meant for the others, find another way first";
            found.push(lost(what, todo));
        }
    }
    if !harmless.is_empty() {
        let what = format!(
            "{} in nodes only, no longer in supervisor, controller and agent: {}",
            count(harmless.len(), "handler"),
            listed(&harmless)
        );
        found.push(differs(what, ""));
    }
    if !tree.loaded.unknown.is_empty() {
        let names: Vec<String> = tree.loaded.unknown.iter().cloned().collect();
        let what = format!(
            "scripts not found and taken for Zeek's own: {}",
            listed(&names)
        );
        let todo = "run this where Zeek's scripts are, or name the Zeek with --zeek";
        found.push(differs(what, todo));
    }
}

/// Whether a name in what is stepped over means that something of the framework's is done there.
fn acts(name: &str, is_directive: bool) -> bool {
    if HARMLESS.contains(&name) {
        return false;
    }
    let is_broker = name.starts_with("Broker::");
    // Nodes have handlers that use Broker, and constants of the table are no calls.
    if is_broker && !is_directive {
        return false;
    }
    true
}

fn of_state(tree: &Tree, found: &mut Vec<Change>) {
    let file = tree.state.file.display();
    match &tree.state.kept {
        Kept::Flawed(reason) => {
            let what = format!("the state file is not usable ({reason}): ours would set it aside");
            let todo = format!(
                "get the configuration from the running controller first: `zeek-client get-config \
                 --deployed --filename deployed.ini`, and deploy it afterwards; the file is {file}"
            );
            found.push(lost(what, todo));
        }
        Kept::State { layout, .. } => {
            if *layout == Layout::Older {
                let what = "ours writes the state as Zeek 7.0 and later do";
                let todo = "keep the copy of it that the commands below make, to move back with";
                found.push(differs(what, todo));
            }
        }
        Kept::Nothing | Kept::Unknown => {}
    }
    let with_output = tree.state.directories.iter().filter(|d| d.has_output);
    let names: Vec<String> = with_output
        .map(|Directory { name, .. }| name.clone())
        .collect();
    if !names.is_empty() {
        let what = format!(
            "`stdout` and `stderr` of {} are put aside as `stdout.1` and so on, not overwritten",
            listed(&names)
        );
        found.push(differs(what, ""));
    }
}

fn of_archive(tree: &Tree, settings: &Settings, found: &mut Vec<Change>) {
    let Some(archive) = settings.archive.as_ref() else {
        return;
    };
    if tree.roles.contains(&Role::Agent) && tree.has_archiver == Some(false) {
        let what = format!(
            "{} is not there: logs stay in {}, as with stock; ours says so whenever it tries",
            archive.command,
            archive.from.display()
        );
        let todo = "install it, or set Management::Agent::archive_cmd or archive_logs=F";
        found.push(differs(what, todo));
    }
}

fn of_life(tree: &Tree, found: &mut Vec<Change>) {
    if matches!(tree.place, Place::Running { .. }) {
        let what = "nodes end with the old tree and start under the new one: they are away as \
                    long as Zeek takes to stop (26 s for a node that does not heed SIGTERM) and to \
                    start, once";
        found.push(differs(what, "choose the time"));
    }
}

/// What moving back to stock means.
fn of_return(tree: &Tree, found: &mut Vec<Change>) {
    of_life(tree, found);
    let own = tree.told.own.iter().map(String::as_str);
    // The one that makes ours do as stock does.
    let own: Vec<&str> = own.filter(|it| *it != "--allow-unauthenticated").collect();
    if !own.is_empty() {
        let options = own.join(" ");
        let what = format!("back under stock, nothing does what these options do: {options}");
        found.push(differs(what, ""));
    }
    if !tree.told.redefs.is_empty() {
        let files = listed(&tree.told.redefs);
        let what = format!("back under stock, nodes get these files as scripts, too: {files}");
        found.push(differs(what, ""));
    }
    let what = "back under stock, whoever reaches its ports may do everything, unless they have \
                certificates";
    found.push(differs(
        what,
        "keep its ports on loopback or on a network that you trust",
    ));
}

/// What several trees on one host mean for each other.
pub(super) fn neighbours(trees: &[Tree], reports: &mut [TreeReport]) {
    let has_controller = |tree: &&Tree| tree.roles.contains(&Role::Controller);
    let controllers = trees.iter().filter(has_controller).count();
    for (index, (tree, report)) in trees.iter().zip(reports.iter_mut()).enumerate() {
        let mut others = trees.iter().enumerate().filter(|(at, _)| *at != index);
        let same = |other: &Tree| has_controller(&other) && other.state.file == tree.state.file;
        if has_controller(&tree) && others.any(|(_, other)| same(other)) {
            let file = tree.state.file.display();
            let what = format!("two controllers on this host keep their state in {file}");
            let todo = "give each a state directory of its own: the second of ours does not start";
            report.changes.insert(0, lost(what, todo));
        }
        if controllers > 1 && has_controller(&tree) {
            let what = format!("{controllers} controllers run on this host");
            let todo = "move one tree after the other; zeek-client needs `--controller HOST:PORT`";
            report.changes.push(differs(what, todo));
        }
    }
}

/// The scripts for the roles of a tree.
pub(super) fn role_scripts(tree: &Tree) -> Vec<&'static str> {
    let scripts = tree.roles.iter().map(|role| match role {
        Role::Controller => CONTROLLER_SCRIPT,
        Role::Agent => AGENT_SCRIPT,
    });
    scripts.collect()
}
