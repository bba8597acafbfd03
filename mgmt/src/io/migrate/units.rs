//! Files of systemd's units on this host.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::migrate::unit_file::{self, UnitFile};

/// Where systemd looks for units, the strongest first (systemd.unit(5)).
const PLACES: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// More additions than any unit has.
const MAX_ADDITIONS: usize = 100;

/// The unit of this name, with its `.service`.
///
/// # Errors
/// If its file cannot be found or read.
pub(super) fn read(root: &Path, name: &str) -> io::Result<UnitFile> {
    let places = PLACES.map(|place| root.join(place));
    let mut texts = Vec::new();
    // An instance has its template's file, unless it has one of its own (systemd.unit(5)).
    let template = name
        .split_once('@')
        .map(|(start, _)| format!("{start}@.service"));
    let names = std::iter::once(name).chain(template.as_deref());
    let files = names.flat_map(|name| places.iter().map(move |place| place.join(name)));
    for file in files {
        match text(&file) {
            Ok(text) => {
                texts.push(text);
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if texts.is_empty() {
        return Err(io::Error::other("systemd has no unit of this name here"));
    }
    for file in additions(&places, name)? {
        texts.push(text(&file)?);
    }
    let mut environment = |path: &str| {
        let path = root.join(path.trim_start_matches('/'));
        text(&path).map_err(|error| error.to_string())
    };
    Ok(unit_file::read(&texts, &mut environment))
}

/// By name, wherever they are; the strongest place counts for those of one name.
fn additions(places: &[PathBuf], name: &str) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = Vec::new();
    for place in places {
        let entries = match fs::read_dir(place.join(format!("{name}.d"))) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries.take(MAX_ADDITIONS) {
            let path = entry?.path();
            let is_new = !found
                .iter()
                .any(|known| known.file_name() == path.file_name());
            if is_new && path.extension().is_some_and(|ending| ending == "conf") {
                found.push(path);
            }
        }
    }
    found.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    Ok(found)
}

fn text(path: &Path) -> io::Result<String> {
    // A link to /dev/null means that there is nothing.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
