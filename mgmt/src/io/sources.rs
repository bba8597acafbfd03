//! Where settings come from on this host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::settings::Sources;

/// Stock's default prefix, for hosts without a `zeek` to ask.
const DEFAULT_PREFIX: &str = "/usr/local/zeek";

/// The environment, the host's name and the Zeek installation, beside these assignments.
pub fn sources(assignments: BTreeMap<String, String>, zeek: &Path) -> Sources {
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Sources {
        assignments,
        env: env.collect(),
        hostname: hostname(),
        prefix: prefix(zeek),
    }
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name.to_owned()
    }
}

/// The directory above the `bin` that has `zeek`.
fn prefix(zeek: &Path) -> PathBuf {
    let found = if zeek.components().count() > 1 {
        zeek.is_file().then(|| zeek.to_owned())
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .map(|dir| dir.join(zeek))
            .find(|path| path.is_file())
    };
    let above = found
        .as_deref()
        .and_then(Path::parent)
        .filter(|dir| dir.ends_with("bin"));
    above
        .and_then(Path::parent)
        .map_or_else(|| DEFAULT_PREFIX.into(), Path::to_owned)
}
