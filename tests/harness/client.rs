//! The stock zeek-client, installed from PyPI, each release into a folder of its own below
//! `target/`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::binaries::BuildDir;
use crate::command::{self, Finished};
use crate::lock::Lock;

/// The release that the recordings were made with, and that the tests use unless they are about
/// another one.
pub const VERSION: &str = "1.5.0";

/// Longer than its own wait for an answer, 20 s.
const RUN_LIMIT: Duration = Duration::from_secs(90);
const SETUP_LIMIT: Duration = Duration::from_secs(300);

/// An installed zeek-client.
#[derive(Clone, Debug)]
pub struct ZeekClient {
    program: PathBuf,
}

impl ZeekClient {
    /// The client that the recordings were made with, as [`Self::release`].
    ///
    /// # Errors
    /// As [`Self::release`].
    pub fn installed() -> io::Result<Self> {
        Self::release(VERSION)
    }

    /// A release of the client below this build's `target/`; installs it if it is not there.
    /// Programs that do this at the same time wait for each other.
    ///
    /// # Errors
    /// If there is no `python3` with `venv`, or PyPI cannot be reached or has no such release.
    pub fn release(version: &str) -> io::Result<Self> {
        let target = BuildDir::current()?.target().to_owned();
        let folder = target.join(format!("zeek-client-{version}"));
        let _lock = Lock::take(&target.join(format!("zeek-client-{version}.lock")))?;
        let program = folder.join("bin/zeek-client");
        let complete = folder.join("complete");
        if !complete.exists() {
            install(&folder, version).map_err(|error| {
                let text = format!("zeek-client {version} cannot be installed: {error}");
                io::Error::new(error.kind(), text)
            })?;
            fs::write(&complete, version)?;
        }
        Ok(Self { program })
    }

    /// Where it is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs one command against the controller on this port of 127.0.0.1. Settings are
    /// further options in front of the command.
    ///
    /// # Errors
    /// If the client cannot be started or does not end.
    pub fn run<S: AsRef<OsStr>>(&self, port: u16, args: &[S]) -> io::Result<Finished> {
        command::run(&mut self.command(port, args), RUN_LIMIT)
    }

    /// What [`Self::run`] runs.
    pub fn command<S: AsRef<OsStr>>(&self, port: u16, args: &[S]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--controller").arg(format!("127.0.0.1:{port}"));
        command.args(args);
        // A proxy would be asked for the controller too (CLIENT §C1).
        for variable in ["http_proxy", "https_proxy", "all_proxy"] {
            command
                .env_remove(variable)
                .env_remove(variable.to_uppercase());
        }
        command.env_remove("ZEEK_CLIENT_CONFIG_FILE");
        command.env_remove("ZEEK_CLIENT_CONFIG_SETTINGS");
        command
    }
}

fn install(folder: &Path, version: &str) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    step(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let package = format!("zeek-client=={version}");
    let quiet = ["install", "--quiet", "--disable-pip-version-check"];
    step(
        Command::new(folder.join("bin/pip"))
            .args(quiet)
            .arg(package),
    )
}

fn step(command: &mut Command) -> io::Result<()> {
    let done = command::run(command, SETUP_LIMIT)?;
    if done.code == Some(0) {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{command:?} failed: {}{}",
        done.stdout, done.stderr
    )))
}
