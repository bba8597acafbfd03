//! The folder of a run's logs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file that only folders have that were made here.
const MARK: &str = ".zeek-mgmt-chaos";

/// Makes the folder, without anything of an earlier run.
///
/// # Errors
/// If it is there and no run has made it, or the system refuses.
pub(crate) fn anew(out: &Path) -> io::Result<PathBuf> {
    let logs = out.join("logs");
    if logs.join(MARK).is_file() {
        fs::remove_dir_all(&logs)?;
    }
    fs::create_dir_all(out)?;
    fs::create_dir(&logs).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::Error::other(format!(
            "{} was not made by a run, so it is not deleted: take another --out, or remove it",
            logs.display()
        )),
        _ => error,
    })?;
    fs::write(
        logs.join(MARK),
        "The next run of `cargo chaos` deletes this folder.\n",
    )?;
    Ok(logs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_logs_of_a_run_are_deleted() {
        let name = format!("zeek-mgmt-chaos-out-{}", std::process::id());
        let out = std::env::temp_dir().join(name);
        let file = out.join("logs/file");

        fs::create_dir_all(out.join("logs")).unwrap();
        fs::write(&file, "somebody's").unwrap();
        let refused = anew(&out).unwrap_err().to_string();
        assert!(refused.contains("was not made by a run"), "{refused}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "somebody's");

        fs::remove_dir_all(&out).unwrap();
        anew(&out).unwrap();
        fs::write(&file, "a run's").unwrap();
        anew(&out).unwrap();
        assert!(!file.exists());
        fs::remove_dir_all(&out).unwrap();
    }
}
