//! A Zeek installation: its program, version and scripts.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::api::AGENT_SCRIPT;
use crate::io::scripts::Scripts;
use crate::io::sources::Standpoint;
use crate::migrate::findings::{Zeek, ZeekScripts};

/// How much of a file, or of what a program says, is read.
const MAX_TEXT: u64 = 64 << 10;

/// How long `zeek --version` may take.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

pub(super) fn look(place: &Standpoint, program: &Path) -> Zeek {
    let found = place
        .locate(program)
        .or_else(|| Standpoint::own().locate(program));
    let sources = place.sources(found.as_deref().unwrap_or(program));
    let scripts = Scripts::seen_from(&place.directory, &sources);
    let scripts = match (scripts.has_stock(), scripts.lacks(AGENT_SCRIPT)) {
        (false, _) => ZeekScripts::Missing,
        (true, false) => ZeekScripts::WithFramework,
        (true, true) => ZeekScripts::WithoutFramework,
    };
    let version = found
        .as_deref()
        .and_then(|program| version(&sources.prefix, program));
    Zeek {
        is_there: found.is_some(),
        program: found.unwrap_or_else(|| program.to_owned()),
        was_replaced: false,
        prefix: sources.prefix,
        version,
        scripts,
    }
}

/// Whether the program that a shell command starts with is there, if that is easily told.
pub(super) fn is_there(base: &Path, command: &str) -> Option<bool> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    let is_path = command.contains('/') && command.chars().all(plain);
    is_path.then(|| base.join(command).is_file())
}

/// As the installation's `zeek-config` says, or `zeek` itself.
fn version(prefix: &Path, program: &Path) -> Option<String> {
    said_by_config(&prefix.join("bin/zeek-config")).or_else(|| said_by_program(program))
}

fn said_by_config(path: &Path) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let text = text(File::open(path).ok()?)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("version="))?;
    plausible(line.trim_matches('"'))
}

/// Runs only what nobody else could have put there: who looks may be root, and whose processes
/// are looked at anybody.
fn said_by_program(program: &Path) -> Option<String> {
    let real = program.canonicalize().ok()?;
    // A stranger's link may lead to anything of root's.
    if real.file_name() != Some(OsStr::new("zeek")) || !is_trusted(&real) {
        return None;
    }
    let mut command = Command::new(&real);
    command.arg("--version").env_clear().current_dir("/");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let ended = await_end(&mut child);
    if !ended {
        // It may have ended just now.
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let text = text(child.stdout.take()?)?;
    plausible(text.trim().rsplit(' ').next()?)
}

/// What it prints fits into the pipe, so that it need not be read meanwhile.
fn await_end(child: &mut Child) -> bool {
    let start = Instant::now();
    while start.elapsed() < VERSION_LIMIT {
        match child.try_wait() {
            Ok(Some(_)) => return true,
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => return false,
        }
    }
    false
}

/// Whether only root and we could have changed the file.
fn is_trusted(real: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let mut parts = real
        .ancestors()
        .map(Path::to_owned)
        .collect::<Vec<PathBuf>>()
        .into_iter();
    parts.all(|part| {
        let Ok(found) = fs::symlink_metadata(&part) else {
            return false;
        };
        let is_owned = found.uid() == 0 || found.uid() == own;
        // In a sticky directory nobody can replace what is another's.
        let is_sticky = found.is_dir() && found.mode() & 0o1000 != 0;
        is_owned && (is_sticky || found.mode() & 0o022 == 0)
    })
}

fn text(file: impl Read) -> Option<String> {
    let mut bytes = Vec::new();
    file.take(MAX_TEXT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// As `8.0.10` or `9.1.0-dev.12-debug`.
fn plausible(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
    let is_version = text.starts_with(|c: char| c.is_ascii_digit())
        && text.len() <= 64
        && text.chars().all(plain);
    is_version.then(|| text.to_owned())
}
