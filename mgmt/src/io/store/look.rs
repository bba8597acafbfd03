//! Reading a state file that is somebody else's, without a trace: nothing is opened for writing,
//! locked or created, so a controller that has the file does not notice.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::database::{self, LoadError};
use super::{COMPANIONS, Flaw, Trace, is_missing, with_suffix};
use crate::controller::configs::Saved;
use crate::controller::configs::rows::Layout;

/// What is in the place of a state file.
#[derive(Debug)]
pub enum Seen {
    /// Nothing.
    Nothing,
    /// A state file.
    State {
        /// What is in it.
        saved: Saved,
        /// How nodes are laid out there.
        layout: Layout,
    },
    /// Something that a controller of ours would set aside.
    Flawed(Flaw),
}

/// Why it is not known what a state file holds.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It cannot be read.
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    /// It is there, and no file.
    #[error("is not a regular file")]
    NotAFile,
    /// SQLite cannot.
    #[error("cannot be read: {0}")]
    Database(String),
    /// What belongs to it is in another file, and only who opens both for writing can tell.
    #[error("is in the middle of a change, which {} has", .0.display())]
    Unfinished(PathBuf),
    /// It is written again and again.
    #[error("changes while it is read")]
    Changing,
}

/// How often a file is looked at that is being written.
const ATTEMPTS: u32 = 20;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Reads a state file, which may be in use. Blocks for two seconds at most, unless the disk is
/// slower.
///
/// # Errors
/// If it is not known what it holds.
pub fn look(path: &Path) -> Result<Seen, LookError> {
    let mut seen = glance(path);
    for _ in 1..ATTEMPTS {
        match seen {
            Err(LookError::Unfinished(_) | LookError::Changing) => {}
            seen => return seen,
        }
        std::thread::sleep(PAUSE);
        seen = glance(path);
    }
    seen
}

fn glance(path: &Path) -> Result<Seen, LookError> {
    let before = match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(LookError::NotAFile),
        Ok(found) => found,
        Err(error) if is_missing(&error) => return Ok(Seen::Nothing),
        Err(error) => return Err(LookError::Unreadable(error)),
    };
    // SQLite would only say that it cannot open the file.
    fs::File::open(path).map_err(LookError::Unreadable)?;
    for companion in COMPANIONS {
        let companion = with_suffix(path, companion);
        let is_index = companion.as_os_str().as_encoded_bytes().ends_with(b"-shm");
        if !is_index && fs::metadata(&companion).is_ok_and(|found| found.len() > 0) {
            return Err(LookError::Unfinished(companion));
        }
    }
    if let Some(flaw) = database::too_large(before.len()) {
        return Ok(Seen::Flawed(flaw));
    }
    let loaded = database::look(path);
    let after = fs::metadata(path).map_err(LookError::Unreadable)?;
    if Trace::of(&before) != Trace::of(&after) {
        return Err(LookError::Changing);
    }
    match loaded {
        Ok((saved, layout)) => Ok(Seen::State { saved, layout }),
        Err(LoadError::Flaw(flaw)) => Ok(Seen::Flawed(flaw)),
        Err(LoadError::Locked) => Err(LookError::Changing),
        Err(LoadError::Unreadable(error)) => Err(LookError::Database(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
