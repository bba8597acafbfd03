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
}

/// Built programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `zeek-mgmt`.
    pub mgmt: PathBuf,
    /// `zeek-standin`.
    pub standin: PathBuf,
}

impl BuildDir {
    /// From the path of the running program.
    ///
    /// # Errors
    /// If it is not in a folder such as Cargo uses.
    pub fn current() -> io::Result<Self> {
        let program = env::current_exe()?;
        let folders = program.ancestors().skip(1);
        let mut folders = folders.skip_while(|folder| folder.ends_with("deps"));
        let profile = folders.next().and_then(Path::file_name);
        let (Some(profile), Some(target)) = (profile, folders.next()) else {
            let text = format!("{} is not in a build directory", program.display());
            return Err(io::Error::other(text));
        };
        Ok(Self {
            target: target.to_owned(),
            profile: profile.to_string_lossy().into_owned(),
        })
    }

    /// Cargo's `target` directory.
    pub fn target(&self) -> &Path {
        &self.target
    }

    fn build(&self) -> io::Result<Binaries> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--workspace"]);
        build.args(["--bin", "zeek-mgmt", "--bin", "zeek-standin"]);
        build.arg("--target-dir").arg(&self.target);
        match self.profile.as_str() {
            "debug" => {}
            profile => _ = build.args(["--profile", profile]),
        }
        build.current_dir(crate::folder());
        let built = command::run(&mut build, Duration::from_secs(1800))?;
        if built.code != Some(0) {
            return Err(io::Error::other(built.stderr));
        }
        let folder = self.target.join(&self.profile);
        Ok(Binaries {
            mgmt: folder.join("zeek-mgmt"),
            standin: folder.join("zeek-standin"),
        })
    }
}

/// The programs, built once in a process and with the profile of the running program.
///
/// # Errors
/// If the build fails; the text is Cargo's.
pub fn built() -> io::Result<Binaries> {
    static BUILT: OnceLock<Result<Binaries, String>> = OnceLock::new();
    let build = || BuildDir::current().and_then(|dir| dir.build());
    let built = BUILT.get_or_init(|| build().map_err(|error| error.to_string()));
    built.clone().map_err(io::Error::other)
}
