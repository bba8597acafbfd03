//! Scripts with the options of nodes (API §15.1 D27).

use std::fs;
use std::io;
use std::path::Path;

/// Writes such a script. A node that starts meanwhile finds it whole, old or new.
///
/// # Errors
/// If it cannot be written; what was there before still is.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_takes_the_place_of_the_former_one() {
        let name = format!("zeek-mgmt-options-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let path = directory.join("options").join("w.1.zeek");
        for text in ["redef A = 1\n;\n", "redef A = 2\n;\n"] {
            write(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let files = fs::read_dir(directory.join("options")).unwrap();
        assert_eq!(files.count(), 1);
        fs::remove_dir_all(&directory).unwrap();
    }
}
