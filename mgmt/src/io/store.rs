//! The file in which a controller keeps its configurations: the one that a stock controller has
//! (API §4.9), so that state moves from there to here and back.
//!
//! Between saves the file is whole, as the tools of an operator expect, and when the controller ends
//! it is alone. The directory is locked as long as the controller runs. What is damaged or belongs to
//! something else is set aside under a new name at start, never overwritten. What cannot be read
//! for another reason keeps the controller from starting: it must not forget a deployment because of
//! a permission. A directory that cannot be written keeps nobody from starting, but from staging.

mod database;
pub mod look;
pub(super) mod saving;
mod writing;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::{Access, FlockOperation, access, flock};
use rustix::io::Errno;
use tracing::{debug, error, info, warn};

use crate::controller::configs::Saved;
use crate::controller::configs::rows::{Layout, TooLarge};
use crate::model::Configuration;
pub use database::Flaw;
use database::LoadError;
use writing::Writing;

/// The file's name: Broker's for the store of Zeek's table of configurations.
pub const FILE_NAME: &str = "___sync_store_Management::Controller::Runtime::g_configs.sqlite";

/// What SQLite may have left beside the file; it belongs to it.
const COMPANIONS: [&str; 3] = ["-journal", "-wal", "-shm"];

/// A controller's state file, and the lock on its directory.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    path: PathBuf,
    /// From the first save on. Closed before the lock is given back.
    writing: Mutex<Option<Writing>>,
    lock: OnceLock<File>,
}

/// What another file, or the same after a write, has differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Trace {
    inode: u64,
    device: u64,
    len: u64,
    mtime: (i64, i64),
}

impl Trace {
    fn of(file: &fs::Metadata) -> Self {
        Self {
            inode: file.ino(),
            device: file.dev(),
            len: file.len(),
            mtime: (file.mtime(), file.mtime_nsec()),
        }
    }
}

/// Why a controller does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another controller has it.
    #[error("the state in {0} is in use by another controller")]
    InUse(PathBuf),
    /// Somebody else is in the middle of writing it.
    #[error("the state file {0} is locked by another program")]
    Locked(PathBuf),
    /// The file is there, and no file.
    #[error("the state file {0} is not a regular file")]
    NotAFile(PathBuf),
    /// It may not be read, or the disk has failed.
    #[error("cannot read the state file {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is damaged or foreign, and stays where it is.
    #[error("cannot set the state file {path} aside, whose fault is: {flaw}")]
    NotSetAside {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        flaw: Flaw,
        /// Why it stays.
        #[source]
        source: io::Error,
    },
}

/// Why state was not kept; what was kept before still is.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The directory is not to be had.
    #[error("cannot use the directory {dir}: {source}")]
    Directory {
        /// Which.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another controller has it.
    #[error("the state in {0} is in use by another controller")]
    InUse(PathBuf),
    /// A configuration is too large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The file is not one of ours, or cannot be written.
    #[error("cannot write {path}: {reason}")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Store {
    /// Locks the directory, creates it if it is not there, and reads what an earlier controller, or
    /// a stock one, left there.
    ///
    /// # Errors
    /// If another controller has the directory, or there is a file that can be neither read nor set
    /// aside.
    pub fn open(dir: PathBuf) -> Result<(Self, Saved), OpenError> {
        let path = dir.join(FILE_NAME);
        let store = Self {
            dir,
            path,
            writing: Mutex::default(),
            lock: OnceLock::new(),
        };
        match store.prepare() {
            Ok(()) => {}
            Err(SaveError::InUse(dir)) => return Err(OpenError::InUse(dir)),
            Err(error) => {
                warn!(%error, "no configuration can be kept until this is mended");
            }
        }
        let saved = store.load()?;
        store.warn_if_read_only();
        Ok((store, saved))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces what is kept. Once this returns, it survives a crash of the machine. Blocks until
    /// then.
    ///
    /// # Errors
    /// If that was not possible. Then what was kept before still is.
    pub fn save(&self, state: &Saved) -> Result<(), SaveError> {
        let rows = state.to_rows()?;
        self.prepare()?;
        let mut writing = self.writing();
        // What is not used again is closed before the file is opened anew.
        let open = writing.take().filter(Writing::is_current);
        let open = open.map_or_else(|| Writing::open(&self.path), Ok);
        let saved = open.and_then(|mut open| {
            open.save(&rows)?;
            *writing = Some(open);
            Ok(())
        });
        saved.map_err(|reason| SaveError::Database {
            path: self.path.clone(),
            reason,
        })
    }

    /// Makes the file whole by itself: until then, what was saved may be in SQLite's log beside it.
    /// Tells whether that is done; it is not as long as somebody reads the file. Blocks for the disk.
    ///
    /// # Errors
    /// If that was not possible. What was saved stays in the log.
    pub fn settle(&self) -> Result<bool, SaveError> {
        let mut writing = self.writing();
        let open = writing.as_mut().filter(|open| open.is_current());
        let settled = open.map_or(Ok(true), Writing::settle);
        settled.map_err(|reason| SaveError::Database {
            path: self.path.clone(),
            reason,
        })
    }

    fn writing(&self) -> MutexGuard<'_, Option<Writing>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directory is there and locked.
    fn prepare(&self) -> Result<(), SaveError> {
        let failed = |source| SaveError::Directory {
            dir: self.dir.clone(),
            source,
        };
        create_dirs(&self.dir).map_err(failed)?;
        if self.lock.get().is_some() {
            return Ok(());
        }
        let dir = File::open(&self.dir).map_err(failed)?;
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(SaveError::InUse(self.dir.clone())),
            // Some network file systems have no locks.
            Err(error) => warn!(dir = %self.dir.display(), %error, "cannot lock the directory"),
        }
        // Only one caller gets here: a second lock would have failed.
        let _ = self.lock.set(dir);
        Ok(())
    }

    fn load(&self) -> Result<Saved, OpenError> {
        let unreadable = |source| OpenError::Unreadable {
            path: self.path.clone(),
            source,
        };
        match fs::metadata(&self.path) {
            Ok(found) if !found.is_file() => return Err(OpenError::NotAFile(self.path.clone())),
            Ok(_) => {}
            Err(error) if is_missing(&error) => {
                debug!(path = %self.path.display(), "no state file yet");
                return Ok(Saved::default());
            }
            Err(error) => return Err(unreadable(error.into())),
        }
        // SQLite would only say that it cannot open the file.
        File::open(&self.path).map_err(|error| unreadable(error.into()))?;
        let (saved, layout) = match database::load(&self.path) {
            Ok(loaded) => loaded,
            Err(LoadError::Locked) => return Err(OpenError::Locked(self.path.clone())),
            Err(LoadError::Unreadable(error)) => return Err(unreadable(error.into())),
            Err(LoadError::Flaw(flaw)) => {
                self.set_aside(flaw)?;
                return Ok(Saved::default());
            }
        };
        if layout == Layout::Older {
            warn!("the state is of Zeek before 7.0, which later ones discard; it is taken over");
        }
        self.report(&saved);
        Ok(saved)
    }

    fn report(&self, saved: &Saved) {
        let id = |config: &Option<Configuration>| config.as_ref().map(|c| c.id.clone());
        let (staged, deployed) = (id(&saved.staged), id(&saved.deployed));
        info!(path = %self.path.display(), staged, deployed, "state read");
    }

    fn set_aside(&self, flaw: Flaw) -> Result<(), OpenError> {
        let new = set_aside(&self.path, flaw.kind());
        match new.and_then(|new| sync_dir(&self.dir).map(|()| new)) {
            Ok(new) => {
                let (path, new) = (self.path.display(), new.display());
                error!(%path, reason = %flaw, set_aside_as = %new, "state file not usable, starting without");
                Ok(())
            }
            Err(source) => Err(OpenError::NotSetAside {
                path: self.path.clone(),
                flaw,
                source,
            }),
        }
    }

    /// Better known at start than when somebody stages something.
    fn warn_if_read_only(&self) {
        if self.lock.get().is_none() {
            return;
        }
        for path in [&self.dir, &self.path] {
            match access(path, Access::WRITE_OK) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => {
                    let path = path.display();
                    warn!(%path, %error, "no configuration can be kept until this can be written");
                }
            }
        }
    }
}

/// Renames the file and what SQLite left beside it to the first free name; returns that.
pub(super) fn set_aside(path: &Path, kind: &str) -> io::Result<PathBuf> {
    let is_free = |path: &Path| match fs::symlink_metadata(path) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    };
    for n in 1_u32.. {
        let new = with_suffix(path, &format!(".{kind}-{n}"));
        let companions = COMPANIONS.map(|c| (with_suffix(path, c), with_suffix(&new, c)));
        let mut is_usable = is_free(&new)?;
        for (_, to) in &companions {
            is_usable &= is_free(to)?;
        }
        if !is_usable {
            continue;
        }
        // The journal first: left behind, it would be played into the next file of that name.
        for (from, to) in &companions {
            if !is_free(from)? {
                fs::rename(from, to)?;
            }
        }
        fs::rename(path, &new)?;
        return Ok(new);
    }
    Err(io::Error::other("too many files were set aside"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// As stock's supervisor does for its nodes: with all parents, mode 0777 less the umask (API §8.3).
/// What is new is synced into its parent.
fn create_dirs(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let missing = dir
        .ancestors()
        .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists());
    let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    DirBuilder::new().recursive(true).mode(0o777).create(dir)?;
    for new in missing {
        match new.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent)?,
            Some(_) | None => sync_dir(Path::new("."))?,
        }
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Whether there is no such file, nor can there be: a directory of its path may be missing or a
/// file.
fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

#[cfg(test)]
mod tests;
