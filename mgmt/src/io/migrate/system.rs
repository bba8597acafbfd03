//! Processes as `/proc` shows them. Nothing there can be trusted: processes end while they are
//! read, belong to others, and say about themselves what they like.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::migrate::findings::{Manager, Unit, Unseen};
use crate::migrate::processes::Raw;

/// Longest command line, environment or other file there that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Where a system has its processes and users.
#[derive(Clone, Debug)]
pub struct System {
    /// `/proc`
    pub proc: PathBuf,
    /// `/etc/passwd`
    pub passwd: PathBuf,
    /// `/`, for units
    pub root: PathBuf,
}

/// What only the owner of a process may know, and whose it is.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) directory: Option<PathBuf>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) program: Option<PathBuf>,
    /// Whether that file has been removed or replaced.
    pub(super) was_replaced: bool,
    pub(super) user: Option<String>,
    pub(super) unit: Option<Unit>,
    pub(super) unseen: Vec<Unseen>,
}

impl Default for System {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            passwd: "/etc/passwd".into(),
            root: "/".into(),
        }
    }
}

impl System {
    /// All processes that can be seen, in no order.
    ///
    /// # Errors
    /// If there is no list of processes.
    pub(super) fn processes(&self) -> io::Result<Vec<Raw>> {
        let mut processes = Vec::new();
        for entry in fs::read_dir(&self.proc)? {
            let name = entry?.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok());
            // Who is gone is no process any more.
            processes.extend(pid.and_then(|pid| self.process(pid)));
        }
        Ok(processes)
    }

    fn process(&self, pid: u32) -> Option<Raw> {
        let stat = self.read(pid, "stat").ok()?;
        let stat = String::from_utf8_lossy(&stat);
        // The name may hold anything, brackets too (proc_pid_stat(5)).
        let (start, fields) = stat.rsplit_once(')')?;
        let (_, name) = start.split_once('(')?;
        let parent = fields.split_whitespace().nth(1)?.parse().ok()?;
        let command = self.read(pid, "cmdline").ok()?;
        let (words, is_text) = strings(&command);
        Some(Raw {
            pid,
            parent,
            name: name.to_owned(),
            words,
            is_text,
        })
    }

    pub(super) fn details(&self, pid: u32) -> Details {
        let mut found = Details::default();
        let mut note = |what: &str, error: &io::Error| {
            let what = format!("{what} of process {pid}");
            let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
            let hint = if is_denied {
                "; run this as root or as its user"
            } else {
                ""
            };
            let why = format!("{error}{hint}");
            found.unseen.push(Unseen { what, why });
        };
        match self.link(pid, "cwd") {
            Ok(path) => found.directory = Some(path),
            Err(error) => note("the working directory", &error),
        }
        match self.read(pid, "environ") {
            Ok(bytes) => found.env = environment(&bytes),
            Err(error) => note("the environment", &error),
        }
        if self.is_elsewhere(pid) {
            let error = io::Error::other("it has other files than this program, as in a container");
            note("the file system", &error);
        }
        // It is in the command line, too.
        if let Ok(path) = self.link(pid, "exe") {
            let text = path.to_string_lossy();
            let without = text.strip_suffix(" (deleted)").map(PathBuf::from);
            found.was_replaced = without.is_some();
            found.program = Some(without.unwrap_or_else(|| path.clone()));
        }
        found.user = self.user(pid);
        found.unit = self.unit(pid);
        found
    }

    /// The working directory.
    pub(super) fn directory(&self, pid: u32) -> Option<PathBuf> {
        self.link(pid, "cwd").ok()
    }

    /// Whether its root directory is another one than ours, as far as that is known.
    fn is_elsewhere(&self, pid: u32) -> bool {
        let root = self.proc.join(pid.to_string()).join("root/.");
        let id = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
        match (id(&root), id(Path::new("/"))) {
            (Ok(theirs), Ok(ours)) => theirs != ours,
            _ => false,
        }
    }

    fn user(&self, pid: u32) -> Option<String> {
        let status = self.read(pid, "status").ok()?;
        let status = String::from_utf8_lossy(&status);
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        // Real, effective, saved, file system.
        let uid = line.split_whitespace().nth(1)?.to_owned();
        let users = read_file(&self.passwd).unwrap_or_default();
        let users = String::from_utf8_lossy(&users);
        let known = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid).then(|| name.to_owned())
        });
        Some(known.unwrap_or(uid))
    }

    /// The service whose control group it is in.
    pub(super) fn unit(&self, pid: u32) -> Option<Unit> {
        let groups = self.read(pid, "cgroup").ok()?;
        let groups = String::from_utf8_lossy(&groups);
        // Version 2 has one line, version 1 one for systemd among others (cgroups(7)).
        let path = groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            matches!(controllers, "" | "name=systemd").then_some(path)
        })?;
        let is_name = |part: &&str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "@_.:\\-".contains(c);
            part.ends_with(".service") && part.chars().all(plain)
        };
        let mut parts = path.split('/').filter(is_name);
        let name = parts.next_back()?.to_owned();
        let manager = match parts.next() {
            Some(of_user) if of_user.starts_with("user@") => Manager::User,
            _ if name.starts_with("user@") => return None,
            Some(_) | None => Manager::System,
        };
        Some(Unit { name, manager })
    }

    fn link(&self, pid: u32, name: &str) -> io::Result<PathBuf> {
        fs::read_link(self.proc.join(pid.to_string()).join(name))
    }

    fn read(&self, pid: u32, name: &str) -> io::Result<Vec<u8>> {
        read_file(&self.proc.join(pid.to_string()).join(name))
    }
}

/// The start of a file that has no size.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Strings that each end with NUL, and whether all of them are UTF-8.
fn strings(bytes: &[u8]) -> (Vec<String>, bool) {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return (Vec::new(), true);
    }
    let strings = bytes.split(|byte| *byte == 0);
    let strings = strings.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (strings.collect(), std::str::from_utf8(bytes).is_ok())
}

fn environment(bytes: &[u8]) -> BTreeMap<String, String> {
    let (strings, _) = strings(bytes);
    let pairs = strings.iter().filter_map(|text| text.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    // The first one counts, as for getenv(3).
    pairs.rev().collect()
}
