//! Files that are there whole or not at all, and keys that nobody else could ever read.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::CertificateError;

/// Who may read a file; the umask takes away from it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Readers {
    Owner,
    All,
}

/// What to do about a file that is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Writing {
    /// Fail.
    Create,
    /// Put this in its place.
    Replace,
}

/// Writes beside the place, syncs, renames, and syncs the directory.
pub(super) fn write(
    path: &Path,
    bytes: &[u8],
    readers: Readers,
    writing: Writing,
) -> Result<(), CertificateError> {
    let aside = path.with_file_name(format!(".new.{}", std::process::id()));
    let written = write_aside(&aside, bytes, readers)
        .and_then(|()| put(&aside, path, writing))
        .and_then(|()| sync_parent(path));
    if written.is_err() {
        // It may not be there.
        let _ = fs::remove_file(&aside);
    }
    written.map_err(|source| CertificateError::Write {
        path: path.to_owned(),
        source,
    })
}

fn write_aside(aside: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::All => 0o644,
    };
    // Of a process that had the same id and was killed; another mode would stay.
    match fs::remove_file(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = fs::File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(aside)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn put(aside: &Path, path: &Path, writing: Writing) -> io::Result<()> {
    match writing {
        Writing::Create => Ok(renameat_with(
            CWD,
            aside,
            CWD,
            path,
            RenameFlags::NOREPLACE,
        )?),
        Writing::Replace => fs::rename(aside, path),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// # Errors
/// If it is there.
pub(super) fn absent(path: &Path, hint: &'static str) -> Result<(), CertificateError> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(CertificateError::Exists {
        path: path.to_owned(),
        hint,
    })
}

/// Made if it is not there, for its owner alone.
pub(super) fn private_directory(dir: &Path) -> Result<PathBuf, CertificateError> {
    make_directory(dir, 0o700)
}

/// Made if it is not there.
pub(super) fn directory(dir: &Path) -> Result<PathBuf, CertificateError> {
    make_directory(dir, 0o755)
}

fn make_directory(dir: &Path, mode: u32) -> Result<PathBuf, CertificateError> {
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(mode).create(dir);
    made.map_err(|source| CertificateError::Write {
        path: dir.to_owned(),
        source,
    })?;
    absolute(dir)
}

pub(super) fn absolute(dir: &Path) -> Result<PathBuf, CertificateError> {
    std::path::absolute(dir).map_err(|source| CertificateError::Read {
        path: dir.to_owned(),
        source,
    })
}

/// Whether both names are those of one directory that is there.
pub(super) fn is_same(one: &Path, other: &Path) -> Result<bool, CertificateError> {
    let real = |dir: &Path| {
        fs::canonicalize(dir).map_err(|source| CertificateError::Read {
            path: dir.to_owned(),
            source,
        })
    };
    Ok(real(one)? == real(other)?)
}

/// At most a megabyte, which no certificate has.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |source| CertificateError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > LIMIT) {
        return Err(failed(io::Error::other("longer than a megabyte")));
    }
    Ok(bytes)
}

const LIMIT: u64 = 1024 * 1024;
