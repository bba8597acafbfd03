//! Scripts and what they load, in Zeek's order.

use std::collections::BTreeSet;

use super::given::{Given, INTEREST, Origin};
use super::options::Program;
use super::script::{self, Skipped, Statement};

/// Where scripts are.
pub trait Library {
    /// Looks for a script and reads it. `from` is the directory of the file that loads it; without,
    /// it is an argument.
    fn find(&mut self, name: &str, from: Option<&str>) -> Found;
}

/// What a [`Library`] has to say about a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found {
    /// A script.
    File {
        /// Its one true name, to know it again.
        key: String,
        /// Its name for messages.
        path: String,
        /// The directory it is in, absolute.
        directory: String,
        /// Whether it belongs to Zeek itself, so that nobody need hear what is in it.
        is_stock: bool,
        /// What is in it.
        text: String,
    },
    /// Zeek's own, and of no interest.
    Irrelevant,
    /// It is not there, and that is a mistake.
    Missing {
        /// Where it was looked for.
        places: String,
    },
    /// It is not there, but it may be Zeek's own, and Zeek's own scripts are not on this host or
    /// not where they were looked for.
    Unknown,
    /// It is there and cannot be read.
    Unreadable {
        /// Why not.
        reason: String,
    },
}

/// What scripts start when Zeek loads them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// `policy/frameworks/management/controller`
    Controller,
    /// `policy/frameworks/management/agent`
    Agent,
}

impl Role {
    /// The program that has this role here.
    #[must_use]
    pub fn program(self) -> Program {
        match self {
            Self::Controller => Program::Controller,
            Self::Agent => Program::Agent,
        }
    }
}

/// What was found while loading, settings aside.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Loaded {
    /// What is to be started.
    pub roles: BTreeSet<Role>,
    /// The files that were read, Zeek's own aside.
    pub files: Vec<String>,
    /// What was stepped over, and in which file.
    pub skipped: Vec<(String, Skipped)>,
    /// Names that were not found and may be Zeek's own.
    pub unknown: BTreeSet<String>,
    seen: BTreeSet<String>,
    bytes: usize,
}

/// More files than any deployment has.
const MAX_FILES: usize = 5000;

/// More text than any deployment has, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// Files that load files.
const MAX_DEPTH: usize = 100;

/// A file that is being read.
struct Open {
    path: String,
    directory: String,
    statements: std::vec::IntoIter<Statement>,
}

impl Given {
    /// Reads a script and all that it loads.
    pub fn load(&mut self, name: &str, library: &mut dyn Library, loaded: &mut Loaded) {
        let mut stack = Vec::new();
        stack.extend(self.open(name, None, Origin::Argument, library, loaded));
        self.read_all(stack, library, loaded);
    }

    /// Reads code as a script that is not in a file.
    pub fn load_code(
        &mut self,
        name: &str,
        code: &str,
        library: &mut dyn Library,
        loaded: &mut Loaded,
    ) {
        let open = self.take_in(name.to_owned(), ".".to_owned(), false, code, loaded);
        self.read_all(vec![open], library, loaded);
    }

    fn read_all(&mut self, mut stack: Vec<Open>, library: &mut dyn Library, loaded: &mut Loaded) {
        while let Some(top) = stack.last_mut() {
            let (path, directory) = (top.path.clone(), top.directory.clone());
            match top.statements.next() {
                None => {
                    stack.pop();
                }
                Some(Statement::Redef {
                    option,
                    operator,
                    value,
                    line,
                }) => self.redef(
                    &option,
                    operator,
                    value,
                    Origin::Script { file: path, line },
                ),
                Some(Statement::Load { what, line }) => {
                    let origin = Origin::Script { file: path, line };
                    if stack.len() >= MAX_DEPTH {
                        self.error(origin, "too many files that load files".to_owned());
                        continue;
                    }
                    stack.extend(self.open(&what, Some(&directory), origin, library, loaded));
                }
            }
        }
    }

    /// The file of this name, unless it is read already or need not be.
    fn open(
        &mut self,
        name: &str,
        from: Option<&str>,
        origin: Origin,
        library: &mut dyn Library,
        loaded: &mut Loaded,
    ) -> Option<Open> {
        if let Some(part) = management_part(name) {
            loaded.roles.extend(role(part));
            return None;
        }
        match library.find(name, from) {
            Found::Irrelevant => None,
            Found::Unknown => {
                loaded.unknown.insert(name.to_owned());
                None
            }
            Found::Missing { places } => {
                let problem = format!("there is no script {name}, looked in {places}");
                self.error(origin, problem);
                None
            }
            Found::Unreadable { reason } => {
                self.error(origin, format!("cannot read script {name}: {reason}"));
                None
            }
            Found::File {
                key,
                path,
                directory,
                is_stock,
                text,
            } => {
                if !loaded.seen.insert(key) {
                    return None;
                }
                loaded.bytes = loaded.bytes.saturating_add(text.len());
                if loaded.seen.len() > MAX_FILES || loaded.bytes > MAX_BYTES {
                    self.error(origin, "too many files are loaded".to_owned());
                    return None;
                }
                Some(self.take_in(path, directory, is_stock, &text, loaded))
            }
        }
    }

    fn take_in(
        &mut self,
        path: String,
        directory: String,
        is_stock: bool,
        text: &str,
        loaded: &mut Loaded,
    ) -> Open {
        let script = script::read(text, &directory, INTEREST);
        if !is_stock {
            for error in script.errors {
                let origin = Origin::Script {
                    file: path.clone(),
                    line: error.line,
                };
                self.error(origin, error.problem);
            }
            let skipped = script.skipped.into_iter();
            loaded
                .skipped
                .extend(skipped.map(|skipped| (path.clone(), skipped)));
            loaded.files.push(path.clone());
        }
        Open {
            path,
            directory,
            statements: script.statements.into_iter(),
        }
    }
}

/// Whether a name means scripts of the Management framework, which nobody has to read.
pub(crate) fn is_of_framework(name: &str) -> bool {
    management_part(name).is_some()
}

/// What of the Management framework a name means, as ZEEKPATH allows to write it.
fn management_part(name: &str) -> Option<&str> {
    const FRAMEWORK: &str = "frameworks/management";
    let name = name.strip_suffix(".zeek").unwrap_or(name);
    let name = name.strip_suffix("/__load__").unwrap_or(name);
    let name = name.trim_end_matches('/');
    let rest = name.strip_prefix("policy/").unwrap_or(name);
    let rest = match rest.strip_prefix(FRAMEWORK) {
        Some(rest) => rest,
        None if name.starts_with('/') => {
            let (_, rest) = name.rsplit_once("/policy/frameworks/management")?;
            rest
        }
        None => return None,
    };
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix('/')
}

fn role(part: &str) -> Option<Role> {
    match part {
        "controller" | "controller/boot" => Some(Role::Controller),
        "agent" | "agent/boot" => Some(Role::Agent),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
