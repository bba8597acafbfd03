//! Clocks that can be stepped, one for each host.
//!
//! Nobody may step the kernel's clock for one program only, and time namespaces have no time of day.
//! So a small library, built here with the C compiler that the workspace needs anyway, comes between
//! our programs and the C library and shifts the time of day that they read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::command;

/// The library.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    library: PathBuf,
}

/// The clock of one host.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
    ahead_secs: i64,
}

const BUILD_LIMIT: Duration = Duration::from_secs(120);

impl Clocks {
    /// Builds the library in this folder, and tries it.
    ///
    /// # Errors
    /// If there is no C compiler, or the library does not do what it should.
    pub(crate) fn build(folder: &Path) -> io::Result<Self> {
        let library = folder.join("clock.so");
        let source = harness::folder().join("chaos/clock.c");
        let mut build = Command::new("cc");
        build.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library);
        build.arg(source).arg("-ldl");
        said(&mut build)?;
        let clocks = Self { library };
        let mut clock = clocks.clock(&folder.join("clock-tried"))?;
        clock.step(10 * YEAR)?;
        let shifted = seconds(&said(Command::new("date").arg("+%s").envs(clock.env()))?)?;
        let really = seconds(&said(Command::new("date").arg("+%s"))?)?;
        if (shifted - really - 10 * YEAR).abs() < 600 {
            return Ok(clocks);
        }
        Err(io::Error::other("programs do not see the shifted clock"))
    }

    /// A clock that goes right, kept in this file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn clock(&self, file: &Path) -> io::Result<Clock> {
        let mut clock = Clock {
            library: self.library.clone(),
            file: file.to_owned(),
            ahead_secs: 0,
        };
        clock.step(0)?;
        Ok(clock)
    }
}

impl Clock {
    /// Steps it; programs see that at once.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn step(&mut self, secs: i64) -> io::Result<()> {
        self.ahead_secs += secs;
        // Never shorter than it was: programs have it mapped.
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false);
        file.open(&self.file)?
            .write_all_at(&self.ahead_secs.to_ne_bytes(), 0)
    }

    /// What has a program read this clock.
    pub(crate) fn env(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("CHAOS_CLOCK", &self.file)]
    }
}

fn said(command: &mut Command) -> io::Result<String> {
    let done = command::run(command, BUILD_LIMIT)?;
    if done.code == Some(0) {
        return Ok(done.stdout);
    }
    Err(io::Error::other(format!("{command:?}: {}", done.stderr)))
}

fn seconds(text: &str) -> io::Result<i64> {
    text.trim().parse().map_err(io::Error::other)
}

const YEAR: i64 = 365 * 24 * 3600;
