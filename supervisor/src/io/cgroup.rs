//! Control groups of version 2, where ours is delegated to us: whatever a node starts dies with it,
//! even in a session of its own (API §12.3 D69).

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, getxattr};
use rustix::process::{Pid, Signal, getuid, kill_process};
use tracing::{debug, info};

use crate::host::ChildId;

/// Where the hierarchy is mounted; the second beside one of version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Set by systemd on what it delegates.
const MARKS: [&str; 2] = ["trusted.delegate", "user.delegate"];

/// Where the groups of children are made.
#[derive(Debug, Default)]
pub(super) struct Cgroups {
    root: Option<PathBuf>,
    /// Groups that had members when they should have gone.
    left: Vec<PathBuf>,
}

/// The group of one child and of all it starts.
#[derive(Clone, Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroups {
    /// In our own group, if that is ours to divide.
    pub(super) fn delegated() -> Self {
        let found = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = MOUNTS.iter().map(Path::new);
        let root = mounts.filter_map(|mount| own_group(mount, &found)).next();
        let root = root.filter(|root| is_delegated(root));
        if let Some(root) = &root {
            info!(root = %root.display(), "nodes get control groups");
        }
        Self::at(root)
    }

    pub(super) fn at(root: Option<PathBuf>) -> Self {
        let left = Vec::new();
        Self { root, left }
    }

    /// Moves a child that has started nothing yet into a group of its own.
    pub(super) fn add(&mut self, child: ChildId, pid: u32) -> Option<Cgroup> {
        self.tidy_up();
        let own = std::process::id();
        let path = self.root.as_ref()?.join(format!("zeek-mgmt-{own}-{child}"));
        let made = fs::create_dir(&path);
        let moved = made.and_then(|()| fs::write(path.join("cgroup.procs"), pid.to_string()));
        if let Err(error) = moved {
            debug!(path = %path.display(), %error, "no control group");
            let _ = fs::remove_dir(&path);
            return None;
        }
        Some(Cgroup { path })
    }

    /// Removes what could not be removed before.
    pub(super) fn tidy_up(&mut self) {
        self.left.retain(|path| fs::remove_dir(path).is_err());
    }

    /// Removes a group when its members are gone.
    pub(super) fn remove(&mut self, group: Cgroup) {
        if fs::remove_dir(&group.path).is_err() {
            self.left.push(group.path);
        }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        self.tidy_up();
    }
}

impl Cgroup {
    pub(super) fn has_members(&self) -> bool {
        let events = fs::read_to_string(self.path.join("cgroup.events"));
        events.is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// SIGTERM to every member.
    pub(super) fn terminate(&self) {
        let members = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        let members = members.lines().filter_map(|line| line.parse().ok());
        for pid in members.filter_map(Pid::from_raw) {
            // It may be gone already.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// SIGKILL to every member, those just being started included.
    pub(super) fn kill(&self) {
        if let Err(error) = fs::write(self.path.join("cgroup.kill"), "1") {
            debug!(path = %self.path.display(), %error, "control group cannot be killed");
        }
    }
}

/// Our own group below a mount, from `/proc/self/cgroup`.
fn own_group(mount: &Path, found: &str) -> Option<PathBuf> {
    let path = found.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let is_version_2 = mount.join("cgroup.controllers").exists();
    is_version_2.then(|| mount.join(path))
}

/// Root may write everywhere, so it needs to be told.
fn is_delegated(root: &Path) -> bool {
    let is_marked = MARKS.iter().any(|mark| {
        let mut value = [0_u8; 8];
        getxattr(root, *mark, &mut value[..]).is_ok_and(|len| value.get(..len) == Some(b"1"))
    });
    let is_writable = || {
        let places = [root.to_owned(), root.join("cgroup.procs")];
        let may_write = |place: &PathBuf| access(place, Access::WRITE_OK).is_ok();
        !getuid().is_root() && places.iter().all(may_write)
    };
    is_marked || is_writable()
}

/// Reads the state of a group that was never made as empty.
pub(super) fn has_members(group: Option<&Cgroup>) -> bool {
    group.is_some_and(Cgroup::has_members)
}
