//! A Zeek whose scripts are there without the one for nodes, as from 9.1 on (API §6).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use harness::binaries;
use harness::cluster;
use harness::tree::{INSTANCE, Options, Tree};

/// A Zeek installation that goes with its owner.
struct Installation(PathBuf);

impl Installation {
    fn without_node_script() -> Self {
        let id = std::process::id();
        let folder = std::env::temp_dir().join(format!("zeek-mgmt-installation-{id}"));
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::create_dir_all(folder.join("share/zeek/base")).unwrap();
        fs::write(folder.join("share/zeek/base/init-bare.zeek"), "").unwrap();
        symlink(binaries::built().unwrap().standin, folder.join("bin/zeek")).unwrap();
        Self(folder)
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // What is left of a temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn nodes_of_a_zeek_without_a_node_script_load_ours() {
    let zeek = Installation::without_node_script();
    let tree = Tree::start(&Options {
        zeek: Some(zeek.0.join("bin/zeek")),
        ..Options::default()
    })
    .unwrap();
    let script = "zeek-mgmt/frameworks/management/node/__load__.zeek";
    assert!(tree.state_folder().join(script).is_file());
    // The stand-in says hello only if it is told to load a node script that is there.
    let config = tree.write("cluster.ini", &cluster::small()).unwrap();
    let done = tree
        .client(&["deploy-config".as_ref(), config.as_os_str()])
        .unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    let told = tree.lines_of(INSTANCE, &["nodes load a node script of ours"]);
    assert_eq!(told.len(), 1, "{:?}", tree.log_of(INSTANCE));
    tree.stop().unwrap();
}
