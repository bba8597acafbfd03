//! A state directory, of which nothing is opened but the state file.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

use crate::io::store::FILE_NAME;
use crate::io::store::look::{self, Seen};
use crate::migrate::findings::{Directory, Kept, StateDir, Unseen};
use crate::settings::{Role, Settings};

/// More working directories than this are only counted.
const MAX_DIRECTORIES: usize = 1000;

/// More entries than this are not even counted.
const MAX_ENTRIES: usize = 100_000;

pub(super) fn look(
    base: &Path,
    settings: &Settings,
    roles: &BTreeSet<Role>,
    unseen: &mut Vec<Unseen>,
) -> StateDir {
    let path = base.join(&settings.state_dir);
    let file = base.join(&settings.store_dir).join(FILE_NAME);
    let mut found = StateDir {
        is_there: path.is_dir(),
        path,
        file,
        ..StateDir::default()
    };
    if roles.contains(&Role::Controller) {
        found.kept = kept(&found.file, unseen);
    }
    let nodes = found.path.join("nodes");
    let entries = match fs::read_dir(&nodes) {
        Ok(entries) => entries,
        Err(error) => {
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            if !is_missing {
                unseen.push(Unseen {
                    what: nodes.display().to_string(),
                    why: error.to_string(),
                });
            }
            return found;
        }
    };
    let outputs = &settings.supervisor.outputs;
    let outputs = [&outputs.stdout_file, &outputs.stderr_file];
    // What cannot be listed to its end is listed as far as it goes.
    for entry in entries.take(MAX_ENTRIES).flatten() {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        if found.directories.len() >= MAX_DIRECTORIES {
            found.more += 1;
            continue;
        }
        let has_output = outputs.iter().any(|file| {
            let file = file.as_ref().map(|file| path.join(file));
            file.is_some_and(|file| fs::metadata(file).is_ok_and(|it| it.is_file() && it.len() > 0))
        });
        found.directories.push(Directory {
            name: entry.file_name().to_string_lossy().into_owned(),
            has_output,
        });
    }
    found.directories.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn kept(file: &Path, unseen: &mut Vec<Unseen>) -> Kept {
    match look::look(file) {
        Ok(Seen::Nothing) => Kept::Nothing,
        Ok(Seen::State { saved, layout }) => Kept::State { saved, layout },
        Ok(Seen::Flawed(flaw)) => Kept::Flawed(flaw.to_string()),
        Err(error) => {
            let source = error.source().map(|source| format!(": {source}"));
            unseen.push(Unseen {
                what: file.display().to_string(),
                why: format!("it {error}{}", source.unwrap_or_default()),
            });
            Kept::Unknown
        }
    }
}
