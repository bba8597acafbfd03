//! Which script makes nodes of this host's Zeek talk to their agent, and putting ours where they
//! find it (API §6).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::{debug, info};

use super::replace::{Readers, replace};
use super::scripts::Scripts;
use super::sources::sources;
use crate::agent::node_script::{DIRECTORY, FILES, LOG_QUEUE_VARIABLE, NodeScript, STOCK};
use crate::settings::Settings;

/// What the Zeek installation of this `zeek` calls for: ours, if Zeek's scripts are there, found as
/// Zeek finds them, and the one for nodes is not among them. Where there are no scripts at all,
/// nothing is known, and Zeek's own is the one to name.
pub fn wanted_by(zeek: &Path) -> NodeScript {
    let scripts = Scripts::new(&sources(zeek));
    if scripts.lacks(STOCK) {
        debug!(zeek = %zeek.display(), "this Zeek has no node script of its own");
        return NodeScript::Own;
    }
    NodeScript::Stock
}

/// Has the agent's nodes load this script.
///
/// # Errors
/// If ours cannot be put into the state directory.
pub(super) fn apply(script: NodeScript, settings: &mut Settings) -> io::Result<()> {
    match script {
        NodeScript::Stock => return Ok(()),
        NodeScript::Own => {}
    }
    // Nodes run in directories of their own.
    let state_dir = std::path::absolute(&settings.state_dir)?;
    let path = install(&state_dir.join(DIRECTORY))?;
    info!(path = %path.display(), "nodes load a node script of ours");
    settings.agent.node_script = path.display().to_string();
    let queue = &settings.log.rotation_dir;
    if !queue.as_os_str().is_empty() {
        let queue = std::path::absolute(queue)?.display().to_string();
        let variable = (LOG_QUEUE_VARIABLE.to_owned(), queue);
        settings.agent.node_env.push(variable);
    }
    Ok(())
}

/// Writes the files that are not there as they should be; returns the one to load. A node that
/// starts meanwhile finds each file whole, in the old version or in this one.
fn install(dir: &Path) -> io::Result<PathBuf> {
    for (name, text) in FILES {
        let path = dir.join(name);
        if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            continue;
        }
        replace(&path, text, Readers::All)?;
    }
    let (first, _) = FILES[0];
    Ok(dir.join(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes with its owner.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let id = std::process::id();
            Self(std::env::temp_dir().join(format!("zeek-mgmt-node-script-{name}-{id}")))
        }

        /// A Zeek installation with these files; returns its `zeek`.
        fn zeek(&self, files: &[&str]) -> PathBuf {
            for file in files.iter().chain(&["bin/zeek"]) {
                let path = self.0.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            self.0.join("bin/zeek")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const BASE: &str = "share/zeek/base/init-bare.zeek";
    const NODE: &str = "share/zeek/policy/frameworks/management/node/__load__.zeek";

    #[test]
    fn a_zeek_that_has_scripts_but_none_for_nodes_wants_ours() {
        let (old, new, bare) = (Folder::new("8"), Folder::new("9"), Folder::new("bare"));
        assert_eq!(wanted_by(&old.zeek(&[BASE, NODE])), NodeScript::Stock);
        assert_eq!(wanted_by(&new.zeek(&[BASE])), NodeScript::Own);
        assert_eq!(wanted_by(&bare.zeek(&[])), NodeScript::Stock);
        assert_eq!(wanted_by(Path::new("/no/bin/zeek")), NodeScript::Stock);
    }

    #[test]
    fn our_script_is_written_whole_and_only_where_it_differs() {
        let folder = Folder::new("install");
        let first = install(&folder.0).unwrap();
        assert_eq!(first, folder.0.join("__load__.zeek"));
        let written = fs::metadata(&first).unwrap().modified().unwrap();
        fs::write(folder.0.join("node.zeek"), "of another version").unwrap();
        install(&folder.0).unwrap();
        assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), written);
        for (name, text) in FILES {
            assert_eq!(fs::read_to_string(folder.0.join(name)).unwrap(), text);
        }
        let files = fs::read_dir(&folder.0).unwrap().count();
        assert_eq!(files, FILES.len(), "nothing else is left there");
    }
}
