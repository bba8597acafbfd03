//! Files that others may read while they are written.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Who may read a file, as the system understands it; the umask takes away from it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Readers {
    /// Only its owner.
    Owner,
    /// Everybody.
    All,
}

/// Puts a file in the place of the one that was there, if any, in one piece: whoever opens it finds
/// the old text or the new one. It is not synced. Its directory is made. In a directory only one
/// file may be replaced at a time by one process.
///
/// # Errors
/// If it cannot be written; what was there before still is.
pub(super) fn replace(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    let new = path.with_file_name(format!(".new.{}", std::process::id()));
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let written = write(&new, text, readers).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // It may not be there.
        let _ = fs::remove_file(&new);
    }
    written
}

/// Removes a file, if it is there.
///
/// # Errors
/// If it stays.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn write(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::All => 0o666,
    };
    // Of a process that had the same id and was killed; another mode would stay.
    remove(path)?;
    let mut options = fs::File::options();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    file?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_file_takes_the_place_of_the_former_one() {
        let folder = Folder::new("replace");
        let path = folder.0.join("inner").join("w.1.zeek");
        for text in ["redef A = 1\n;\n", "redef A = 2\n;\n"] {
            replace(&path, text, Readers::All).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(folder.names("inner"), ["w.1.zeek"]);
    }

    #[test]
    fn secrets_are_for_their_owner() {
        let folder = Folder::new("owner");
        let path = folder.0.join("a");
        fs::write(&path, "for all").unwrap();
        replace(&path, "secret", Readers::Owner).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays_and_nothing_is_left_beside_it() {
        let folder = Folder::new("kept");
        fs::create_dir_all(folder.0.join("inner").join("directory")).unwrap();
        let path = folder.0.join("inner").join("directory");
        assert!(replace(&path, "text", Readers::All).is_err());
        assert_eq!(folder.names("inner"), ["directory"]);
    }

    /// A directory that goes with its owner.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("zeek-mgmt-replace-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn names(&self, directory: &str) -> Vec<String> {
            let files = fs::read_dir(self.0.join(directory)).unwrap();
            let name = |file: io::Result<fs::DirEntry>| file.unwrap().file_name();
            files.map(|it| name(it).into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
