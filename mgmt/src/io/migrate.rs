//! Looks at a stock installation for `migrate`: processes, settings, Zeek, state. It opens nothing
//! for writing, signals nobody and connects to nobody.

mod installation;
mod state;
mod system;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::sources::{Said, Standpoint};
use crate::migrate::Findings;
use crate::migrate::findings::{Kept, Place, StateDir, Told, Tree, Unseen, Variable};
use crate::migrate::processes::{self, Kind, Member, Part, Root};
use crate::settings::arguments::{self, Arguments};
use crate::settings::{Role, Settings};
use system::Details;
pub use system::System;

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only the tree of this supervisor.
    pub pid: Option<u32>,
    /// The Zeek, if it is another one than processes and arguments say.
    pub zeek: Option<PathBuf>,
    /// The state directory, if it is another one than settings say.
    pub state_dir: Option<PathBuf>,
    /// What stands behind `zeek -j`; whatever runs is looked at if there is nothing.
    pub arguments: Vec<String>,
}

/// Variables that are no secret and that commands have to repeat.
const KNOWN: [&str; 19] = [
    "ZEEKPATH",
    "ZEEK_AGENT_ADDR",
    "ZEEK_AGENT_NAME",
    "ZEEK_AGENT_PORT",
    "ZEEK_CONTROLLER_ADDR",
    "ZEEK_CONTROLLER_NAME",
    "ZEEK_CONTROLLER_PORT",
    "ZEEK_CONTROLLER_WEBSOCKET_ADDR",
    "ZEEK_CONTROLLER_WEBSOCKET_PORT",
    "ZEEK_DEFAULT_CONNECT_RETRY",
    "ZEEK_DEFAULT_LISTEN_ADDRESS",
    "ZEEK_DEFAULT_LISTEN_RETRY",
    "ZEEK_DNS_RESOLVER",
    "ZEEK_MANAGEMENT_SPOOL_DIR",
    "ZEEK_MANAGEMENT_STATE_DIR",
    "ZEEK_MANAGEMENT_TESTING",
    "ZEEK_PLUGIN_ACTIVATE",
    "ZEEK_PLUGIN_PATH",
    "ZEEK_SUPERVISOR_NO_SIGKILL",
];

/// Options of `zeek-mgmt run` that take a value, besides those that may stand anywhere.
const OWN_WITH_VALUE: [&str; 5] = [
    "--give-up",
    "--node-script",
    "--policy",
    "--stop-grace",
    "--zeek-version",
];

/// Those that take none.
const OWN_FLAGS: [&str; 4] = [
    "--adopt-nodes",
    "--allow-unauthenticated",
    "--keep-unchanged",
    "--start-by-role",
];

/// Looks at what is wanted. What could not be looked at is part of the findings.
#[must_use]
pub fn look(system: &System, wanted: &Wanted, program: &str) -> Findings {
    let mut findings = Findings {
        program: program.to_owned(),
        ..Findings::default()
    };
    let all = match system.processes() {
        Ok(all) => all,
        Err(error) => {
            findings.unseen.push(Unseen {
                what: format!("processes in {}", system.proc.display()),
                why: error.to_string(),
            });
            Vec::new()
        }
    };
    if !wanted.arguments.is_empty() {
        findings.trees.push(named(wanted));
        return findings;
    }
    findings.lone = processes::lone(&all);
    let roots = processes::trees(&all).into_iter();
    let mut roots = roots
        .filter(|root| wanted.pid.is_none_or(|pid| pid == root.pid))
        .peekable();
    if roots.peek().is_none() {
        let what = match wanted.pid {
            Some(pid) => format!("process {pid}"),
            None => "a running `zeek -j`".to_owned(),
        };
        let why = "there is none that this user can see".to_owned();
        findings.unseen.push(Unseen { what, why });
    }
    findings
        .trees
        .extend(roots.map(|root| running(system, wanted, root)));
    findings
}

/// What was given behind `zeek -j` in our own surroundings.
fn named(wanted: &Wanted) -> Tree {
    let place = Standpoint::own();
    let program = wanted.zeek.clone().unwrap_or_else(|| "zeek".into());
    let seen = Seen {
        place: Place::Named,
        arguments: wanted.arguments.clone(),
        own: Vec::new(),
        is_text: true,
        standpoint: place,
        program,
        was_replaced: false,
        members: Vec::new(),
        unseen: Vec::new(),
    };
    tree(wanted, seen)
}

fn running(system: &System, wanted: &Wanted, root: Root) -> Tree {
    let Root {
        pid,
        kind,
        program,
        arguments,
        is_text,
        members,
    } = root;
    let Details {
        directory,
        env,
        program: exe,
        was_replaced,
        user,
        unit,
        unseen,
    } = system.details(pid);
    let standpoint = Standpoint {
        env,
        directory: directory.unwrap_or_else(|| "/".into()),
    };
    let (own, arguments) = match kind {
        Kind::Stock => (Vec::new(), arguments),
        Kind::Ours => own_options(arguments),
    };
    let named = match kind {
        Kind::Stock => standpoint.locate(Path::new(&program)).or(exe),
        Kind::Ours => None,
    };
    let fallback = match kind {
        Kind::Stock => program.into(),
        Kind::Ours => "zeek".into(),
    };
    let seen = Seen {
        place: Place::Running {
            pid,
            kind,
            user,
            unit,
        },
        arguments,
        own,
        is_text,
        standpoint,
        program: wanted.zeek.clone().or(named).unwrap_or(fallback),
        was_replaced: was_replaced && kind == Kind::Stock,
        members: members
            .into_iter()
            .map(|it| full_name(system, it))
            .collect(),
        unseen,
    };
    tree(wanted, seen)
}

/// A tree before its settings are read.
struct Seen {
    place: Place,
    arguments: Vec<String>,
    own: Vec<String>,
    is_text: bool,
    standpoint: Standpoint,
    program: PathBuf,
    was_replaced: bool,
    members: Vec<Member>,
    unseen: Vec<Unseen>,
}

fn tree(wanted: &Wanted, seen: Seen) -> Tree {
    let Seen {
        place,
        mut arguments,
        own,
        is_text,
        standpoint,
        program,
        was_replaced,
        members,
        mut unseen,
    } = seen;
    if let Some(dir) = &wanted.state_dir {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        arguments.push(format!("Management::state_dir={}", dir.display()));
    }
    let (parsed, refused) = arguments::parse_partly(arguments);
    let program = match (&parsed.zeek, &wanted.zeek) {
        (Some(zeek), None) => zeek.into(),
        _ => program,
    };
    let said = Said::read_from(&standpoint, &parsed, &program);
    let mut zeek = installation::look(&standpoint, &program);
    zeek.was_replaced = was_replaced;
    let has_scripts = !parsed.scripts.is_empty() || !parsed.code.is_empty();
    let roles = match place {
        // Without scripts, `zeek -j` is a supervisor alone.
        Place::Running {
            kind: Kind::Stock, ..
        } => said.loaded.roles.clone(),
        Place::Running { .. } | Place::Named => said.roles(has_scripts),
    };
    let settings = Settings::regardless(&said.given);
    let state = settings
        .as_ref()
        .map(|settings| state::look(&standpoint.directory, settings, &roles, &mut unseen));
    let state = state.unwrap_or_default();
    let is_ours = matches!(
        place,
        Place::Running {
            kind: Kind::Ours,
            ..
        }
    );
    if !is_ours {
        unseen.extend(missing(&state, &roles));
    }
    let errors = said.given.errors().iter();
    let unreadable = errors.filter(|error| error.problem.starts_with("cannot read script "));
    unseen.extend(unreadable.map(|error| Unseen {
        what: error.origin.to_string(),
        why: error.problem.clone(),
    }));
    let archive = settings
        .as_ref()
        .and_then(|settings| settings.archive.as_ref());
    Tree {
        place,
        told: told(parsed, own, refused, is_text),
        variables: variables(&standpoint),
        zeek,
        has_archiver: archive
            .and_then(|it| installation::is_there(&standpoint.directory, &it.command)),
        directory: standpoint.directory,
        given: said.given,
        loaded: said.loaded,
        roles,
        state,
        members,
        unseen,
    }
}

/// A stock tree has made its directories when it started, and its controller the file.
fn missing(state: &StateDir, roles: &BTreeSet<Role>) -> Option<Unseen> {
    let has_controller = roles.contains(&Role::Controller);
    let what = match state.kept {
        _ if roles.is_empty() => return None,
        _ if !state.is_there => &state.path,
        Kept::Nothing if has_controller => &state.file,
        Kept::Nothing | Kept::State { .. } | Kept::Flawed(_) | Kept::Unknown => return None,
    };
    Some(Unseen {
        what: what.display().to_string(),
        why: "it is not there; if the state is elsewhere, say where with --state-dir".to_owned(),
    })
}

fn told(parsed: Arguments, own: Vec<String>, refused: Vec<String>, is_text: bool) -> Told {
    Told {
        words: parsed.nodes,
        scripts: parsed.scripts,
        own,
        redefs: parsed.redefs,
        refused,
        is_text,
    }
}

/// Those that Zeek or we may look at; the values of the others may be secrets.
fn variables(standpoint: &Standpoint) -> Vec<Variable> {
    let set = standpoint.env.iter().filter(|(name, value)| {
        let is_zeeks = name.starts_with("ZEEK") || name.starts_with("BROKER_");
        is_zeeks && !value.is_empty()
    });
    set.map(|(name, value)| Variable {
        name: name.clone(),
        value: KNOWN.contains(&name.as_str()).then(|| value.clone()),
    })
    .collect()
}

/// Options of `zeek-mgmt run` that come before what nodes get, and the rest.
fn own_options(arguments: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut own, mut rest) = (Vec::new(), Vec::new());
    let mut words = arguments.into_iter();
    while let Some(word) = words.next() {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        if OWN_FLAGS.contains(&name) {
            own.push(word);
        } else if OWN_WITH_VALUE.contains(&name) {
            let has_value = word.contains('=');
            own.push(word);
            if !has_value {
                own.extend(words.next());
            }
        } else {
            rest.push(word);
        }
    }
    (own, rest)
}

/// The name of a node, which the system cuts: processes run in directories named after them.
fn full_name(system: &System, member: Member) -> Member {
    let Member { pid, part } = member;
    let part = match part {
        Part::Node(start) => {
            let directory = system.directory(pid);
            let name = directory.as_deref().and_then(Path::file_name);
            let name = name.and_then(|name| name.to_str());
            let full = name
                .filter(|name| name.starts_with(&start))
                .map(str::to_owned);
            Part::Node(full.unwrap_or(start))
        }
        Part::Stem | Part::Other(_) => part,
    };
    Member { pid, part }
}
