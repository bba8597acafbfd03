//! Where settings come from on this host: environment, host name, Zeek installation, and what was
//! said in arguments and scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use tracing::{debug, warn};

use super::scripts::Scripts;
use crate::api::{AGENT_SCRIPT, CONTROLLER_SCRIPT};
use crate::settings::arguments::Arguments;
use crate::settings::script::Skipped;
use crate::settings::{Given, Loaded, Remark, Role, Sources};

/// Stock's default prefix, for hosts without a `zeek` to ask.
const DEFAULT_PREFIX: &str = "/usr/local/zeek";

/// The environment, the host's name and the Zeek installation that `zeek` belongs to.
pub fn sources(zeek: &Path) -> Sources {
    let env = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value)));
    Sources {
        env: env.collect::<BTreeMap<_, _>>(),
        hostname: hostname(),
        prefix: prefix(zeek),
    }
}

/// Bytes that are not UTF-8 make no value of any option; what is put in their place shows it.
fn lossy(text: std::ffi::OsString) -> String {
    text.to_string_lossy().into_owned()
}

/// This host's name, `localhost` if it has none.
pub fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name.to_owned()
    }
}

/// From where a program sees this host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Standpoint {
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Its working directory.
    pub directory: PathBuf,
}

impl Standpoint {
    /// Our own.
    pub fn own() -> Self {
        let env = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value)));
        Self {
            env: env.collect(),
            directory: here(),
        }
    }

    /// The file of a program, as a shell finds it.
    pub fn locate(&self, program: &Path) -> Option<PathBuf> {
        let empty = String::new();
        locate(
            program,
            self.env.get("PATH").unwrap_or(&empty).as_ref(),
            &self.directory,
        )
    }

    /// As [`sources`], for a program at this place.
    pub fn sources(&self, zeek: &Path) -> Sources {
        let found = self.locate(zeek);
        Sources {
            env: self.env.clone(),
            hostname: hostname(),
            prefix: found.map_or_else(|| DEFAULT_PREFIX.into(), |found| prefix_of(&found)),
        }
    }
}

fn locate(program: &Path, path: &OsStr, here: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        let program = here.join(program);
        return program.is_file().then_some(program);
    }
    std::env::split_paths(path)
        .map(|dir| here.join(dir).join(program))
        .find(|path| path.is_file())
}

/// The directory above the `bin` that has `zeek`.
fn prefix(zeek: &Path) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = locate(zeek, &path, Path::new(""));
    found.map_or_else(|| DEFAULT_PREFIX.into(), |found| prefix_of(&found))
}

fn prefix_of(found: &Path) -> PathBuf {
    // What stands in /usr/local/bin is often a link into an installation.
    let real = found.canonicalize().unwrap_or_else(|_| found.to_owned());
    let mut prefixes = [found, &real].into_iter().filter_map(above_bin);
    let first = prefixes.next();
    let installation = first
        .into_iter()
        .chain(prefixes)
        .find(|dir| has_scripts(dir));
    let prefix = installation.or_else(|| above_bin(found));
    prefix.map_or_else(|| DEFAULT_PREFIX.into(), Path::to_owned)
}

fn above_bin(path: &Path) -> Option<&Path> {
    let bin = path.parent().filter(|dir| dir.ends_with("bin"))?;
    bin.parent()
}

fn has_scripts(prefix: &Path) -> bool {
    prefix.join("share/zeek/base").is_dir()
}

/// What the operator said, read from wherever it stands.
#[derive(Debug)]
pub struct Said {
    /// All settings.
    pub given: Given,
    /// What scripts load and what was stepped over in them.
    pub loaded: Loaded,
    reader: Reader,
}

/// Who reads settings, which decides what is worth a warning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reader {
    /// A program that has nobody to hand scripts and arguments on to.
    Alone,
    /// A supervisor, whose nodes read scripts and arguments themselves.
    WithNodes,
}

impl Said {
    /// Reads environment, scripts, arguments and code, in Zeek's order; `--redef` files come after
    /// scripts.
    #[must_use]
    pub fn read(arguments: &Arguments, zeek: &Path, reader: Reader) -> Self {
        let sources = sources(zeek);
        let scripts = Scripts::new(&sources);
        Self::read_with(arguments, sources, scripts, &here(), reader)
    }

    /// The same for what another program was told.
    #[must_use]
    pub fn read_from(place: &Standpoint, arguments: &Arguments, zeek: &Path) -> Self {
        let sources = place.sources(zeek);
        let scripts = Scripts::seen_from(&place.directory, &sources);
        Self::read_with(
            arguments,
            sources,
            scripts,
            &place.directory,
            Reader::WithNodes,
        )
    }

    fn read_with(
        arguments: &Arguments,
        sources: Sources,
        mut scripts: Scripts,
        here: &Path,
        reader: Reader,
    ) -> Self {
        let mut given = Given::new(sources);
        let mut loaded = Loaded::default();
        for name in &arguments.scripts {
            given.load(name, &mut scripts, &mut loaded);
        }
        for file in &arguments.redefs {
            // It is a file and no name to be looked for.
            let path = std::path::absolute(here.join(file)).unwrap_or_else(|_| file.into());
            let relative = path.strip_prefix(here).unwrap_or(&path);
            let name = if relative.is_absolute() {
                relative.display().to_string()
            } else {
                format!("./{}", relative.display())
            };
            given.load(&name, &mut scripts, &mut loaded);
        }
        for setting in &arguments.settings {
            match reader {
                Reader::Alone => given.argument(setting),
                Reader::WithNodes => given.node_argument(setting),
            }
        }
        for code in &arguments.code {
            // As Zeek does, so that a semicolon is not needed.
            let code = format!("{code}\n;\n");
            given.load_code("<command line>", &code, &mut scripts, &mut loaded);
        }
        Self {
            given,
            loaded,
            reader,
        }
    }

    /// What to run below a supervisor: what scripts load, or everything if there is no script.
    #[must_use]
    pub fn roles(&self, has_scripts: bool) -> BTreeSet<Role> {
        if has_scripts || !self.loaded.roles.is_empty() {
            return self.loaded.roles.clone();
        }
        [Role::Controller, Role::Agent].into()
    }

    /// Why there is nothing to run.
    #[must_use]
    pub fn nothing_to_run(&self) -> String {
        let files = listed(self.loaded.files.iter().cloned());
        let files = if files.is_empty() {
            "no file".to_owned()
        } else {
            files
        };
        format!(
            "neither {CONTROLLER_SCRIPT} nor {AGENT_SCRIPT} is loaded, looked at {files}; \
             `zeek-mgmt supervisor` runs a supervisor alone"
        )
    }

    /// Warns about what was said and has no effect.
    pub fn report(&self) {
        let reader = self.reader;
        for remark in self.given.remarks() {
            let Remark {
                option: _,
                origin,
                text,
                is_for_nodes,
            } = remark;
            if *is_for_nodes && reader == Reader::WithNodes {
                debug!(%origin, "{text}");
            } else {
                warn!(%origin, "{text}");
            }
        }
        // What nodes read as well matters only if it could be meant for us.
        let matters = |piece: &Skipped| piece.relevant || reader == Reader::Alone;
        let skipped = self.loaded.skipped.iter();
        let skipped = skipped.filter(|(_, piece)| matters(piece));
        let skipped = skipped.map(|(file, piece)| format!("{file}:{} {}", piece.line, piece.what));
        let skipped = listed(skipped);
        if !skipped.is_empty() {
            warn!("stepped over in scripts, settings in there have no effect: {skipped}");
        }
        let unknown = listed(self.loaded.unknown.iter().cloned());
        if !unknown.is_empty() {
            let text = "scripts not found and taken for Zeek's own, which have no settings for us";
            match reader {
                Reader::Alone => warn!("{text}: {unknown}"),
                Reader::WithNodes => debug!("{text}: {unknown}"),
            }
        }
    }
}

/// The first few, and how many more there are.
fn listed(items: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 20;
    let mut items: Vec<String> = items.collect();
    let more = items.len().saturating_sub(SHOWN);
    items.truncate(SHOWN);
    let text = items.join(", ");
    if more == 0 {
        return text;
    }
    format!("{text}, and {more} more")
}

fn here() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}
