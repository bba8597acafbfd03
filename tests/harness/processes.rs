//! Which processes belong to a tree, and how much memory they use, from `/proc`.

use std::fs;
use std::time::Duration;

/// The environment variable whose value marks all processes of one tree. It is inherited, whatever
/// a process does about its parent or its group.
pub const MARKER: &str = "ZEEK_MGMT_TREE";

/// One process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its command line, arguments joined by blanks.
    pub command: String,
}

/// Processes that carry the mark, the dead ones left out.
pub fn marked(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARKER}={mark}");
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let marked = pids.filter(|pid| environment(*pid).is_some_and(|env| env.contains(&wanted)));
    marked
        .map(|pid| Process {
            pid,
            command: command(pid),
        })
        .collect()
}

/// The process that has started it, or that has taken its place.
pub fn parent(pid: i32) -> Option<i32> {
    i32::try_from(status(pid, "PPid:")?).ok()
}

/// A process's resident memory in KiB.
pub fn resident_kib(pid: i32) -> Option<u64> {
    status(pid, "VmRSS:")
}

/// The most resident memory that a process ever had, in KiB.
pub fn peak_kib(pid: i32) -> Option<u64> {
    status(pid, "VmHWM:")
}

/// How many descriptors a process has open.
pub fn descriptors(pid: i32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// What a process has used of all cores, in user and kernel mode, to 10 ms.
pub fn processor_time(pid: i32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    // utime and stime, in hundredths of a second (proc_pid_stat(5)).
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks = ticks.map(|n| n.parse::<u64>().ok());
    Some(Duration::from_millis(ticks.sum::<Option<u64>>()? * 10))
}

/// A number that the kernel tells of a process.
fn status(pid: i32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Empty for a process that has ended but was not waited for.
fn environment(pid: i32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.split('\0').map(str::to_owned).collect())
}

fn command(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    text.trim_end().to_owned()
}
