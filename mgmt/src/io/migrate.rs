//! Looks at a stock installation for `migrate`: processes, settings, Zeek, state. It opens nothing
//! for writing, signals nobody and connects to nobody.

mod installation;
mod state;
mod system;
#[cfg(test)]
mod tests;
mod units;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::sources::{Said, Standpoint};
use crate::migrate::Findings;
use crate::migrate::findings::{
    Kept, Manager, Place, StateDir, Told, Tree, Unit, Unseen, Variable,
};
use crate::migrate::processes::{self, Kind, Member, Part, Root};
use crate::settings::arguments::{self, Arguments};
use crate::settings::{Role, Settings, Unauthenticated};
use system::Details;
pub use system::System;

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only the tree of this supervisor.
    pub pid: Option<u32>,
    /// Only the tree of this unit of systemd, running or not.
    pub unit: Option<String>,
    /// The Zeek, if it is another one than processes and arguments say.
    pub zeek: Option<PathBuf>,
    /// Whether ours shall open ports without certificates to other hosts, as stock does.
    pub unauthenticated: Unauthenticated,
    /// The state directory, if it is another one than settings say.
    pub state_dir: Option<PathBuf>,
    /// The options of `zeek-mgmt run`, to know them in a command line.
    pub own: OwnOptions,
    /// What stands behind `zeek -j`; whatever runs is looked at if there is nothing.
    pub arguments: Vec<String>,
}

/// Options of `zeek-mgmt run`, those aside that may stand anywhere among the arguments and say what
/// Zeek to run and which files to read.
#[derive(Clone, Debug, Default)]
pub struct OwnOptions {
    /// As `--keep-unchanged`.
    pub flags: Vec<String>,
    /// As `--stop-grace SECONDS`.
    pub with_value: Vec<String>,
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

/// The `PATH` of a service that has no other (systemd.exec(5)).
const SYSTEMD_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
    let mut trees: Vec<Tree> = processes::trees(&all)
        .into_iter()
        .filter(|root| wanted.pid.is_none_or(|pid| pid == root.pid))
        .map(|root| running(system, wanted, root, &all))
        .collect();
    if let Some(name) = &wanted.unit {
        let name = match name.ends_with(".service") {
            true => name.clone(),
            false => format!("{name}.service"),
        };
        trees.retain(|tree| tree.place.unit().is_some_and(|unit| unit.name == name));
        if trees.is_empty() {
            trees.extend(stopped(system, wanted, name, &mut findings.unseen));
        }
    } else if trees.is_empty() {
        let what = match wanted.pid {
            Some(pid) => format!("process {pid}"),
            None => "a running `zeek -j`".to_owned(),
        };
        let why = "there is none that this user can see".to_owned();
        findings.unseen.push(Unseen { what, why });
    }
    findings.trees = trees;
    findings
}

/// What a unit of the host's systemd would run.
fn stopped(
    system: &System,
    wanted: &Wanted,
    name: String,
    unseen: &mut Vec<Unseen>,
) -> Option<Tree> {
    let mut note = |why: String| {
        let what = name.clone();
        unseen.push(Unseen { what, why });
    };
    let is_name = !name.contains('/') && !name.contains(char::is_control);
    let file = match units::read(&system.root, &name) {
        _ if !is_name => return note_none(note, "it is no name of a unit"),
        Err(error) => return note_none(note, &error.to_string()),
        Ok(file) => file,
    };
    file.problems
        .iter()
        .for_each(|problem| note(problem.clone()));
    let command = processes::Raw {
        pid: 1,
        words: file.command,
        is_text: true,
        ..processes::Raw::default()
    };
    let Some(root) = processes::trees(&[command]).pop() else {
        let why = "it does not start `zeek -j` itself; start it and run this again, or say what \
                   stands behind `zeek -j`";
        return note_none(note, why);
    };
    let mut env = file.env;
    env.entry("PATH".to_owned())
        .or_insert_with(|| SYSTEMD_PATH.to_owned());
    let standpoint = Standpoint {
        env,
        directory: file.directory.unwrap_or_else(|| "/".to_owned()).into(),
    };
    let unit = Unit {
        name,
        manager: Manager::System,
    };
    let (kind, user) = (root.kind, file.user);
    let place = Place::Stopped { kind, user, unit };
    Some(tree(wanted, seen(wanted, place, standpoint, root, None)))
}

fn note_none(mut note: impl FnMut(String), why: &str) -> Option<Tree> {
    note(why.to_owned());
    None
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

/// Whether a tree, with a script that may have started it, has its service for itself. What cron or
/// a terminal has started is in theirs, which has to go on.
fn has_for_itself(system: &System, unit: &Unit, root: &Root, all: &[processes::Raw]) -> bool {
    let own = all.iter().find(|raw| raw.pid == root.pid);
    let parent = own.map(|raw| raw.parent);
    let is_own = |pid: u32| {
        pid == root.pid || Some(pid) == parent || root.members.iter().any(|it| it.pid == pid)
    };
    let mut others = all.iter().filter(|raw| !is_own(raw.pid));
    !others.any(|raw| system.unit(raw.pid).as_ref() == Some(unit))
}

fn running(system: &System, wanted: &Wanted, root: Root, all: &[processes::Raw]) -> Tree {
    let Details {
        directory,
        env,
        program: exe,
        was_replaced,
        user,
        unit,
        unseen,
    } = system.details(root.pid);
    let unit = unit.filter(|unit| has_for_itself(system, unit, &root, all));
    let standpoint = Standpoint {
        env,
        directory: directory.unwrap_or_else(|| "/".into()),
    };
    let place = Place::Running {
        pid: root.pid,
        kind: root.kind,
        user,
        unit,
    };
    let is_stock = root.kind == Kind::Stock;
    let members = root.members.iter().cloned();
    let members = members.map(|it| full_name(system, it)).collect();
    let seen = Seen {
        was_replaced: was_replaced && is_stock,
        members,
        unseen,
        ..seen(wanted, place, standpoint, root, exe)
    };
    tree(wanted, seen)
}

/// What a supervisor's command line says; `exe` is what it runs, if that is known.
fn seen(
    wanted: &Wanted,
    place: Place,
    standpoint: Standpoint,
    root: Root,
    exe: Option<PathBuf>,
) -> Seen {
    let (own, arguments, program) = match root.kind {
        Kind::Stock => {
            let program = PathBuf::from(root.program);
            let found = standpoint.locate(&program).or(exe).unwrap_or(program);
            (Vec::new(), root.arguments, found)
        }
        Kind::Ours => {
            let (own, arguments) = wanted.own.split(root.arguments);
            (own, arguments, "zeek".into())
        }
    };
    Seen {
        place,
        arguments,
        own,
        is_text: root.is_text,
        standpoint,
        program: wanted.zeek.clone().unwrap_or(program),
        was_replaced: false,
        members: Vec::new(),
        unseen: Vec::new(),
    }
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
    let unauthenticated = match parsed.allow_unauthenticated {
        true => Unauthenticated::Allowed,
        false => wanted.unauthenticated,
    };
    let said = Said::read_from(&standpoint, &parsed, &program);
    let mut zeek = installation::look(&standpoint, &program);
    zeek.was_replaced = was_replaced;
    let has_scripts = !parsed.scripts.is_empty() || !parsed.code.is_empty();
    let roles = match place {
        // Without scripts, `zeek -j` is a supervisor alone.
        Place::Running { kind, .. } | Place::Stopped { kind, .. } if kind == Kind::Stock => {
            said.loaded.roles.clone()
        }
        Place::Running { .. } | Place::Stopped { .. } | Place::Named => said.roles(has_scripts),
    };
    let settings = Settings::regardless(&said.given);
    let state = settings
        .as_ref()
        .map(|settings| state::look(&standpoint.directory, settings, &roles, &mut unseen));
    let state = state.unwrap_or_default();
    if !place.is_ours() {
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
        unauthenticated,
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

impl OwnOptions {
    /// These with their values, and the rest.
    fn split(&self, arguments: Vec<String>) -> (Vec<String>, Vec<String>) {
        let (mut own, mut rest) = (Vec::new(), Vec::new());
        let mut words = arguments.into_iter();
        while let Some(word) = words.next() {
            let (name, has_value) = match word.split_once('=') {
                Some((name, _)) => (name, true),
                None => (word.as_str(), false),
            };
            let is = |options: &[String]| options.iter().any(|option| option == name);
            if is(&self.with_value) {
                own.push(word);
                if !has_value {
                    own.extend(words.next());
                }
            } else if is(&self.flags) {
                own.push(word);
            } else {
                rest.push(word);
            }
        }
        (own, rest)
    }
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
