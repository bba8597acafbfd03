//! Programs of this workspace, built as the running one was.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::command;

/// Where Cargo put the running program, and so will put the others.
#[derive(Clone, Debug)]
pub struct BuildDir {
    target: PathBuf,
    profile: String,
    running: Running,
}

/// What the running program is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Running {
    /// A test: Cargo has built this package's programs for it.
    Test,
    /// A program: Cargo was only asked for that one.
    Program,
}

/// Built programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `zeek-mgmt`, by the name that it has in this package.
    pub mgmt: PathBuf,
    /// `zeek-standin`.
    pub standin: PathBuf,
    /// `broker-cat`, by the name that it has in this package. Built for tests only.
    pub broker_cat: PathBuf,
}

const MGMT: &str = "zeek-mgmt-tested";
const STANDIN: &str = "zeek-standin";
const BROKER_CAT: &str = "broker-cat-tested";

/// A release build on a slow machine.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);

impl BuildDir {
    /// From the path of the running program.
    ///
    /// # Errors
    /// If it is not in a folder such as Cargo uses.
    pub fn current() -> io::Result<Self> {
        let program = env::current_exe()?;
        let mut folders = program.ancestors().skip(1).peekable();
        let test = folders.next_if(|folder| folder.ends_with("deps"));
        let profile = folders.next().and_then(Path::file_name);
        let (Some(profile), Some(target)) = (profile, folders.next()) else {
            let text = format!("{} is not in a build directory", program.display());
            return Err(io::Error::other(text));
        };
        Ok(Self {
            target: target.to_owned(),
            profile: profile.to_string_lossy().into_owned(),
            running: test.map_or(Running::Program, |_| Running::Test),
        })
    }

    /// Cargo's `target` directory.
    pub fn target(&self) -> &Path {
        &self.target
    }

    fn binaries(&self) -> Binaries {
        let folder = self.target.join(&self.profile);
        Binaries {
            mgmt: folder.join(MGMT),
            standin: folder.join(STANDIN),
            broker_cat: folder.join(BROKER_CAT),
        }
    }

    /// Builds the programs of this package; everything below them is there.
    fn build(&self) -> io::Result<()> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME")]);
        build.args(["--bin", MGMT, "--bin", STANDIN]);
        build.arg("--target-dir").arg(&self.target);
        match self.profile.as_str() {
            "debug" => {}
            profile => _ = build.args(["--profile", profile]),
        }
        // What Cargo says of the running program would count as a change of environment: ring's
        // build script watches these variables, and everything above ring would be built again.
        let told = env::vars_os().map(|(name, _)| name);
        let told = told.filter(|name| is_about_a_package(&name.to_string_lossy()));
        told.for_each(|name| _ = build.env_remove(name));
        build.current_dir(crate::folder());
        let built = command::run(&mut build, BUILD_LIMIT)?;
        if built.code == Some(0) {
            return Ok(());
        }
        Err(io::Error::other(built.stderr))
    }
}

fn is_about_a_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
}

/// The programs, built with the profile of the running one.
///
/// # Errors
/// If the build fails; the text is Cargo's.
pub fn built() -> io::Result<Binaries> {
    let dir = BuildDir::current()?;
    match dir.running {
        Running::Test => Ok(dir.binaries()),
        Running::Program => up_to_date(),
    }
}

/// The programs, for tests and benchmarks of other packages, for which Cargo does not build them.
///
/// # Errors
/// As [`built`].
pub fn up_to_date() -> io::Result<Binaries> {
    static BUILT: OnceLock<Result<Binaries, String>> = OnceLock::new();
    let build = || {
        let dir = BuildDir::current()?;
        dir.build()?;
        Ok(dir.binaries())
    };
    let built = BUILT.get_or_init(|| build().map_err(|error: io::Error| error.to_string()));
    built.clone().map_err(io::Error::other)
}

/// The real Zeek that `ZEEK_BIN` names, for what wants one. Without it, says so.
#[allow(
    clippy::print_stderr,
    reason = "a test that did nothing must not look like one that passed"
)]
pub fn live_zeek() -> Option<PathBuf> {
    let zeek = env::var_os("ZEEK_BIN").map(PathBuf::from);
    if zeek.is_none() {
        eprintln!("ZEEK_BIN names no zeek: what needs one does not run");
    }
    zeek
}
