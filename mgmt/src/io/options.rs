//! Scripts with the options of nodes (API §15.1 D27).

use std::io;
use std::path::Path;

use super::replace::{Readers, remove, replace};

/// Writes such a script. A node that starts meanwhile finds it whole, old or new.
///
/// # Errors
/// If it cannot be written. The node must not run with what a former configuration set, so there is
/// no script then, and Zeek says so and ends.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    replace(path, text, Readers::All).inspect_err(|_| {
        // The first error says more.
        let _ = remove(path);
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_script_that_cannot_be_replaced_is_gone() {
        let name = format!("zeek-mgmt-options-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let path = directory.join("w1.zeek");
        write(&path, "redef A = 1\n;\n").unwrap();
        // Where the next text would be written first.
        let new = directory.join(format!(".new.{}", std::process::id()));
        fs::create_dir_all(new.join("in the way")).unwrap();
        assert!(write(&path, "redef A = 2\n;\n").is_err());
        assert!(!path.exists());
        fs::remove_dir_all(&directory).unwrap();
    }
}
