//! One host: its programs, its disk, its clock, and what can be done to them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use harness::processes::{self, Process};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::Clock;
use crate::network::HostId;
use crate::program::Program;

/// A kind of process.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    Controller,
    Agent,
    Supervisor,
    /// The process between a supervisor and a node.
    Stem,
    Node,
}

/// A process of a host.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    /// `None` for the moment in which one becomes the other.
    pub(crate) kind: Option<Kind>,
    /// The name of a node.
    pub(crate) node: Option<String>,
}

/// A host and what runs on it.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: HostId,
    /// What marks its processes.
    pub(crate) mark: String,
    pub(crate) programs: Vec<Program>,
    pub(crate) clock: Option<Clock>,
    /// Its disk, as we find it; `None` if it shares ours.
    pub(crate) disk: Option<PathBuf>,
    /// Where its state is, as we find it.
    pub(crate) state: PathBuf,
    frozen: Vec<i32>,
}

const FILLER: &str = "filler";

impl Host {
    pub(crate) fn new(id: HostId, mark: String, state: PathBuf) -> Self {
        Self {
            id,
            mark,
            programs: Vec::new(),
            clock: None,
            disk: None,
            state,
            frozen: Vec::new(),
        }
    }

    /// Everything of ours that runs here.
    pub(crate) fn running(&self) -> Vec<Running> {
        let marked = processes::marked(&self.mark).into_iter();
        marked.map(|process| describe(&process)).collect()
    }

    /// The processes of this kind.
    pub(crate) fn of(&self, kind: Kind) -> Vec<i32> {
        let running = self.running().into_iter();
        let fitting = running.filter(|process| process.kind == Some(kind));
        fitting.map(|process| process.pid).collect()
    }

    /// Kills one process of this kind; programs of their own start again at that time, what is
    /// below a supervisor when that has seen it. Says whether there was one.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn kill(&mut self, kind: Kind, which: usize, until: Instant) -> io::Result<bool> {
        let candidates = self.of(kind);
        let Some(pid) = pick(&candidates, which) else {
            return Ok(false);
        };
        for program in &mut self.programs {
            if program.pid() == Some(pid) {
                program.kill(until)?;
                return Ok(true);
            }
        }
        signal(pid, Signal::KILL);
        Ok(true)
    }

    /// Everything ends at once.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn power_off(&mut self, until: Instant) -> io::Result<()> {
        for program in &mut self.programs {
            program.kill(until)?;
        }
        let mut left = processes::marked(&self.mark);
        while !left.is_empty() {
            left.iter().for_each(|it| signal(it.pid, Signal::KILL));
            left = processes::marked(&self.mark);
        }
        Ok(())
    }

    /// Stops one process of this kind for a while. Says whether there was one.
    pub(crate) fn freeze_one(&mut self, kind: Kind, which: usize) -> bool {
        let candidates = self.of(kind);
        let Some(pid) = pick(&candidates, which) else {
            return false;
        };
        self.freeze(&[pid]);
        true
    }

    /// Stops everything for a while.
    pub(crate) fn freeze_all(&mut self) {
        let pids: Vec<i32> = self.running().iter().map(|process| process.pid).collect();
        self.freeze(&pids);
    }

    fn freeze(&mut self, pids: &[i32]) {
        for &pid in pids {
            signal(pid, Signal::STOP);
            self.frozen.push(pid);
        }
    }

    /// Whatever was stopped goes on.
    pub(crate) fn thaw(&mut self) {
        // An id that went to somebody else is left alone.
        let ours: Vec<i32> = self.running().iter().map(|process| process.pid).collect();
        for pid in self.frozen.drain(..) {
            if ours.contains(&pid) {
                signal(pid, Signal::CONT);
            }
        }
    }

    /// Takes all the space that is left on its disk.
    ///
    /// # Errors
    /// If that fails otherwise than by a full disk, or the disk takes more than it has.
    pub(crate) fn fill_disk(&self) -> io::Result<()> {
        const PIECE: [u8; 4096] = [0; 4096];
        /// Of what is a little more than the disk.
        const PIECES: usize = 20 * 1024 * 1024 / PIECE.len();
        let Some(disk) = &self.disk else {
            return Ok(());
        };
        let mut filler = File::create(disk.join(FILLER))?;
        for _ in 0..PIECES {
            match filler.write_all(&PIECE) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.free_disk()?;
        let text = format!("{} is not the small disk of a host", disk.display());
        Err(io::Error::other(text))
    }

    /// Gives it back.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub(crate) fn free_disk(&self) -> io::Result<()> {
        match &self.disk {
            Some(disk) => fs::remove_file(disk.join(FILLER)),
            None => Ok(()),
        }
    }

    /// What its programs have said, each with where.
    pub(crate) fn logs(&self) -> Vec<(PathBuf, String)> {
        let nodes = self.state.join("nodes");
        let own = self.programs.iter().map(|program| program.log().clone());
        let below = folders(&nodes)
            .into_iter()
            .flat_map(|folder| files(&folder));
        let below = below.filter(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("stderr") || name.starts_with("stdout")
        });
        let paths = own.chain(below);
        paths
            .map(|path| {
                let bytes = fs::read(&path).unwrap_or_default();
                (path, String::from_utf8_lossy(&bytes).into_owned())
            })
            .collect()
    }
}

fn pick(from: &[i32], which: usize) -> Option<i32> {
    let at = which.checked_rem(from.len())?;
    from.get(at).copied()
}

fn describe(process: &Process) -> Running {
    let name = fs::read_to_string(format!("/proc/{}/comm", process.pid)).unwrap_or_default();
    // An agent below a supervisor is called as if it were a node.
    let (kind, node) = match (
        program(&process.command),
        name.trim_end().strip_prefix("zeek."),
    ) {
        (Some(program), _) => (Some(program), None),
        (None, Some("stem")) => (Some(Kind::Stem), None),
        (None, Some(node)) => (Some(Kind::Node), Some(node.to_owned())),
        (None, None) => (None, None),
    };
    Running {
        pid: process.pid,
        kind,
        node,
    }
}

/// By the subcommand of `zeek-mgmt`.
fn program(command: &str) -> Option<Kind> {
    let mut words = command.split(' ');
    let program = Path::new(words.next()?).file_name()?;
    if !program.to_string_lossy().starts_with("zeek-mgmt") {
        return None;
    }
    match words.next()? {
        "controller" => Some(Kind::Controller),
        "agent" => Some(Kind::Agent),
        "run" | "supervisor" => Some(Kind::Supervisor),
        _ => None,
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    folders(folder)
        .into_iter()
        .filter(|path| path.is_file())
        .collect()
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may be gone already.
        let _ = kill_process(pid, signal);
    }
}
