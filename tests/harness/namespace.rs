//! Hosts inside this machine: namespaces of network and files, made without privileges.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::command;

/// What sets a namespace up is done within a moment.
const SCRIPT_LIMIT: Duration = Duration::from_secs(60);

/// What a namespace has of its own, besides its users.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Own {
    /// Network devices, addresses, routes.
    Network,
    /// The same, and what is mounted where.
    NetworkAndMounts,
}

/// Namespaces that exist until this is dropped: whoever holds them ends with its standard input.
#[derive(Debug)]
pub struct Namespace {
    own: Own,
    holder: Child,
}

impl Namespace {
    /// In a user namespace of its own, in which whoever runs this program is root.
    ///
    /// # Errors
    /// If the system has no such namespaces for unprivileged users, or lacks `unshare`.
    pub fn new(own: Own) -> io::Result<Self> {
        let mut unshare = Command::new("unshare");
        unshare.args(["-U", "-r"]);
        Self::hold(own, unshare)
    }

    /// Another one of the same kind with the same users, so that cables can be laid between them.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn sibling(&self) -> io::Result<Self> {
        Self::hold(self.own, self.program("unshare"))
    }

    fn hold(own: Own, mut unshare: Command) -> io::Result<Self> {
        unshare.arg("-n");
        if own == Own::NetworkAndMounts {
            unshare.arg("-m");
        }
        unshare.args(["sh", "-c", "echo there; exec cat"]);
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = unshare.stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line == "there\n" {
            return Ok(Self { own, holder });
        }
        let status = holder.wait()?;
        Err(io::Error::other(format!("{unshare:?} ended with {status}")))
    }

    /// The process that others name the namespaces by.
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// A path of these namespaces, as everybody outside finds it.
    pub fn seen_from_outside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A program to be run inside. With mounts of its own it starts at their root.
    pub fn program(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let holder = self.pid().to_string();
        command.args(["--target", &holder, "--user", "--net"]);
        if self.own == Own::NetworkAndMounts {
            command.arg("--mount");
        }
        command.args(["--preserve-credentials", "--", program]);
        command
    }

    /// The same program with the same arguments, environment and directory, but inside. The process
    /// is the program's own, so signals reach it.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = self.program("sh");
        let directory = command.get_current_dir();
        let directory = directory.unwrap_or_else(|| Path::new("/"));
        inside
            .args(["-c", "cd \"$0\" && exec \"$@\""])
            .arg(directory);
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Has a shell do this inside.
    ///
    /// # Errors
    /// If it fails; the text is what it said.
    pub fn run(&self, script: &str) -> io::Result<()> {
        let done = command::run(self.program("sh").args(["-c", script]), SCRIPT_LIMIT)?;
        if done.code == Some(0) {
            return Ok(());
        }
        Err(io::Error::other(format!("{script}: {}", done.stderr)))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
