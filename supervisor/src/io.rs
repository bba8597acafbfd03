//! The only part of this crate that touches the operating system: child processes, their pipes and
//! signals, directories, the nodes' output files, the clock.
//!
//! [`run::run`] is the program, [`handle`] a supervisor to embed; [`Host`] does what
//! [`crate::host::HostOutput`] orders.

mod cgroup;
mod child;
mod files;
pub mod handle;
mod notify;
mod pump;
pub mod run;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::PathBuf;

use crate::host::{HostInput, HostOutput};
use cgroup::Cgroups;
use child::Children;
use files::Files;

use crate::settings::Outputs;
use crate::standing::{NODE_VARIABLE, Standing, StandingError};

/// What this process is, if it does not supervise ([`Standing::read`]). A program of one's own that
/// a supervisor starts asks so for its configuration.
///
/// # Errors
/// If its environment has a configuration that makes no sense.
pub fn standing() -> Result<Standing, StandingError> {
    let variable = std::env::var_os(NODE_VARIABLE);
    let variable = variable.as_ref().map(|value| value.to_string_lossy());
    Standing::read(variable.as_deref(), std::os::unix::process::parent_id())
}

/// The operating system as the supervisor sees it.
///
/// Dropping it kills all children; what was printed is written by then.
#[derive(Debug)]
pub struct Host {
    children: Children,
    files: Files,
    /// What is known without waiting.
    ready: VecDeque<HostInput>,
}

impl Host {
    /// A host without children, which keeps what they print as stock does.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Outputs::default())
    }

    /// The same with other ideas of what to do with what they print.
    #[must_use]
    pub fn with(outputs: Outputs) -> Self {
        Self::with_cgroups(Cgroups::delegated(), outputs)
    }

    fn with_cgroups(cgroups: Cgroups, outputs: Outputs) -> Self {
        Self {
            children: Children::new(cgroups),
            files: Files::new(outputs),
            ready: VecDeque::new(),
        }
    }

    /// Does what the supervisor ordered. Must be called within a tokio runtime.
    pub fn apply(&mut self, output: HostOutput) {
        match output {
            HostOutput::MakeDirectory { path } => {
                let made = std::fs::create_dir_all(PathBuf::from(path));
                let result = made.map_err(|error| error.to_string());
                self.ready.push_back(HostInput::DirectoryMade { result });
            }
            HostOutput::Spawn { child, launch } => {
                let input = self.children.spawn(child, &launch);
                self.ready.push_back(input);
            }
            HostOutput::Tell { child, message } => self.children.tell(child, message),
            HostOutput::Signal {
                child,
                pid,
                target,
                signal,
            } => self.children.signal(child, pid, target, signal),
            HostOutput::OpenFiles { node, directory } => {
                self.files.open(node, directory.as_deref());
            }
            HostOutput::WriteLine { node, stream, line } => self.files.write(&node, stream, &line),
            HostOutput::CloseFiles { node } => self.files.close(&node),
        }
    }

    /// Waits for what happens next, with everything written that was ordered before. Cancel safe.
    pub async fn next(&mut self) -> HostInput {
        self.files.flush();
        match self.ready.pop_front() {
            Some(input) => input,
            None => self.children.next().await,
        }
    }
}

#[cfg(test)]
impl Host {
    /// As at the next start of a child.
    fn tidy_up(&mut self) {
        self.children.tidy_up();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.files.flush();
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}
