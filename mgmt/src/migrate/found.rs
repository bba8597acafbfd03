//! What there is, and what of it carries over as it is.

use broker_proto::peering::PeerAddr;

use super::findings::{Kept, Tree, Zeek, ZeekScripts};
use super::words::shell_line;
use super::{NodeFact, printable};
use crate::controller::configs::rows::Layout;
use crate::model::Configuration;
use crate::plan::role_name;
use crate::settings::{Role, Settings};

/// Labels and values, in the order in which an operator asks for them.
pub(super) fn facts(tree: &Tree, settings: Option<&Settings>) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("zeek", zeek(&tree.zeek)),
        ("prefix", tree.zeek.prefix.display().to_string()),
        ("directory", tree.directory.display().to_string()),
        ("arguments", words(&tree.told.words)),
    ];
    if !tree.told.own.is_empty() {
        facts.push(("options of ours", words(&tree.told.own)));
    }
    let variables = tree.variables.iter().map(|variable| match &variable.value {
        Some(value) => format!("{}={value}", variable.name),
        None => format!("{} (not shown)", variable.name),
    });
    let variables: Vec<String> = variables.collect();
    if !variables.is_empty() {
        facts.push(("environment", variables.join(" ")));
    }
    facts.push(("scripts", listed(&tree.loaded.files)));
    facts.push(("roles", roles(tree)));
    if let Some(settings) = settings {
        put_programs(tree, settings, &mut facts);
    }
    let state = &tree.state;
    let missing = if state.is_there { "" } else { ", not there" };
    facts.push(("state", format!("{}{missing}", state.path.display())));
    if tree.roles.contains(&Role::Controller) {
        facts.push(("state file", kept_at(tree)));
        if let Kept::State { saved, .. } = &state.kept {
            facts.push(("staged", config(saved.staged.as_ref())));
            facts.push(("deployed", config(saved.deployed.as_ref())));
        }
    }
    let names: Vec<String> = state.directories.iter().map(|d| d.name.clone()).collect();
    let more = match state.more {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    facts.push(("directories", format!("{}{more}", listed(&names))));
    facts
}

/// As a shell would have them; each by itself, or a passphrase would hide all that comes behind it.
fn words(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| printable(word)).collect();
    shell_line(words.iter().map(String::as_str))
}

fn zeek(zeek: &Zeek) -> String {
    if !zeek.is_there {
        return format!("{}, not found", zeek.program.display());
    }
    let version = match &zeek.version {
        Some(version) => format!("version {version}"),
        None => "of unknown version".to_owned(),
    };
    let scripts = match zeek.scripts {
        ZeekScripts::Missing => "its scripts were not found",
        ZeekScripts::WithFramework => "with the management framework",
        ZeekScripts::WithoutFramework => "without the management framework",
    };
    format!("{}, {version}, {scripts}", zeek.program.display())
}

fn roles(tree: &Tree) -> String {
    let names = tree.roles.iter().map(|role| match role {
        Role::Controller => "controller",
        Role::Agent => "agent",
    });
    let names: Vec<String> = names.map(str::to_owned).collect();
    listed(&names)
}

fn put_programs(tree: &Tree, settings: &Settings, facts: &mut Vec<(&'static str, String)>) {
    let port = |addr: &Option<PeerAddr>| match addr {
        Some(PeerAddr { host, port }) => format!("{host}:{port}"),
        None => "off".to_owned(),
    };
    if tree.roles.contains(&Role::Controller) {
        let own = &settings.controller;
        let (broker, websocket) = (port(&own.listen), port(&own.listen_websocket));
        let text = format!("{}, Broker {broker}, WebSocket {websocket}", own.name);
        facts.push(("controller", text));
    }
    if tree.roles.contains(&Role::Agent) {
        let own = &settings.agent;
        let controller = match &own.controller {
            Some(PeerAddr { host, port }) => format!("dials the controller at {host}:{port}"),
            None => "waits for the controller to dial".to_owned(),
        };
        let (host, port) = (&own.listen.host, own.listen.port);
        let text = format!("{}, Broker {host}:{port}, {controller}", own.name);
        facts.push(("agent", text));
    }
}

fn kept_at(tree: &Tree) -> String {
    let path = tree.state.file.display();
    match &tree.state.kept {
        Kept::Nothing => format!("{path}, not there"),
        Kept::Unknown => format!("{path}, not looked into"),
        Kept::Flawed(reason) => format!("{path}, not usable: {reason}"),
        Kept::State { layout, .. } => match layout {
            Layout::Current => format!("{path}, as of Zeek 7.0 and later"),
            Layout::Older => format!("{path}, as of Zeek before 7.0"),
        },
    }
}

fn config(config: Option<&Configuration>) -> String {
    let Some(config) = config else {
        return "nothing".to_owned();
    };
    let instances = count(config.instances.len(), "instance");
    let nodes = count(config.nodes.len(), "node");
    format!("{}, {instances}, {nodes}", config.id)
}

/// The configuration that matters to a tree.
pub(super) fn in_force(tree: &Tree) -> Option<&Configuration> {
    match &tree.state.kept {
        Kept::State { saved, .. } => saved.deployed.as_ref().or(saved.staged.as_ref()),
        Kept::Nothing | Kept::Flawed(_) | Kept::Unknown => None,
    }
}

pub(super) fn nodes(tree: &Tree) -> Vec<NodeFact> {
    let nodes = in_force(tree).into_iter().flat_map(|config| &config.nodes);
    nodes
        .map(|node| NodeFact {
            name: node.name.clone(),
            role: role_name(node.role).to_owned(),
            instance: node.instance.clone(),
            port: node.p.map(|port| port.number),
            has_directory: tree.state.directories.iter().any(|d| d.name == node.name),
        })
        .collect()
}

/// What nobody has to think about.
pub(super) fn carries(tree: &Tree, settings: Option<&Settings>) -> Vec<String> {
    let mut carried = Vec::new();
    if let Kept::State { saved, layout } = &tree.state.kept {
        for (what, kept) in [("staged", &saved.staged), ("deployed", &saved.deployed)] {
            if let Some(kept) = kept {
                let nodes = count(kept.nodes.len(), "node");
                carried.push(format!("{what} configuration {} with {nodes}", kept.id));
            }
        }
        if *layout == Layout::Older && !(saved.staged.is_none() && saved.deployed.is_none()) {
            carried.push("state of Zeek before 7.0, which later Zeeks discard".to_owned());
        }
    }
    if let Some(settings) = settings {
        put_settings(tree, settings, &mut carried);
    }
    let words = &tree.told.words;
    if !words.is_empty() {
        let words = count(words.len(), "argument");
        carried.push(format!(
            "{words} for nodes: scripts, options and settings as given"
        ));
    }
    let nodes = nodes(tree).into_iter().filter(|node| node.has_directory);
    let nodes: Vec<String> = nodes.map(|node| node.name).collect();
    if !nodes.is_empty() {
        carried.push(format!(
            "working directories and logs of {}",
            listed(&nodes)
        ));
    }
    carried
}

fn put_settings(tree: &Tree, settings: &Settings, carried: &mut Vec<String>) {
    let programs: Vec<_> = tree.roles.iter().map(|role| role.program()).collect();
    let said = tree
        .given
        .rows(&programs)
        .iter()
        .filter(|row| row.was_said)
        .count();
    if said > 0 {
        carried.push(format!(
            "{} read from where they stand today",
            count(said, "setting")
        ));
    }
    let mut names = Vec::new();
    if tree.roles.contains(&Role::Controller) {
        names.push(format!("controller {}", settings.controller.name));
    }
    if tree.roles.contains(&Role::Agent) {
        names.push(format!("agent {}", settings.agent.name));
    }
    if !names.is_empty() {
        carried.push(format!("names and ports of {}", names.join(" and ")));
    }
    if let (Some(archive), true) = (&settings.archive, tree.roles.contains(&Role::Agent)) {
        let (from, to) = (archive.from.display(), archive.to.display());
        let seconds = archive.interval.as_secs();
        let text = format!(
            "log archival: {} -1 {from} {to}, every {seconds} s",
            archive.command
        );
        carried.push(text);
    }
}

/// As `1 node`, `2 nodes`.
pub(super) fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// The first few names, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 12;
    if names.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", shown.join(", "))
}
