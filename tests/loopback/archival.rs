//! Bringing rotated logs to the archive (API §5.9), with a shell script in the archiver's place.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::tree::{INSTANCE, Options, Tree};
use harness::wait_until;

/// As long as it takes; the machine may be slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Called as `ARCHIVER -1 FROM TO`. Fails the first time, and whenever two of it are at work.
const ARCHIVER: &str = r#"#!/bin/sh
test "$#" = 3 && test "$1" = -1 || { echo "called with $*"; exit 64; }
mkdir "$3/at-work" || { echo overlap >> "$3/overlaps"; exit 65; }
if ! test -e "$3/tried"
then
    touch "$3/tried"
    echo "reading $2"
    echo "the disk is on fire" >&2
    rmdir "$3/at-work"
    exit 7
fi
for log in "$2"/conn*.log
do
    if test -e "$log"; then mv "$log" "$3"; fi
done
rmdir "$3/at-work"
"#;

/// A program and an archive that outlive the tree.
struct Archive(PathBuf);

impl Archive {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("zeek-mgmt-archive-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("logs")).unwrap();
        fs::write(folder.join("archiver"), ARCHIVER).unwrap();
        Self(folder)
    }

    fn options(&self, interval: &str) -> Options {
        let folder = self.0.display();
        let args = vec![
            format!("Management::Agent::archive_cmd=sh {folder}/archiver"),
            format!("Management::Agent::archive_dir={folder}/logs"),
            format!("Management::Agent::archive_interval={interval}"),
        ];
        Options {
            args,
            ..Options::default()
        }
    }

    fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        // What is left of a temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn rotated_logs_are_archived_though_the_archiver_fails_at_first() {
    let archive = Archive::new("fails");
    let tree = Tree::start(&archive.options("1sec")).unwrap();
    leave_log(&tree, "conn__1.log");
    await_file(&tree, &archive.logs().join("conn__1.log"));
    leave_log(&tree, "conn__2.log");
    await_file(&tree, &archive.logs().join("conn__2.log"));

    let queue = tree.state_folder().join("log-queue");
    let folder = archive.0.display();
    let told = format!(
        "triggering log archival via 'sh {folder}/archiver -1 {} {folder}/logs'",
        queue.display()
    );
    let words = format!(
        "log archival failed: exit code 7, it said: reading {} | the disk is on fire",
        queue.display()
    );
    await_line(&tree, "log archival works again, failed runs before: 1");
    let log = tree.log_of(INSTANCE);
    let failed = |line: &&String| line.contains("log archival failed");
    let failed: Vec<&String> = log.iter().filter(failed).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].contains(&words), "{failed:?}");
    assert!(log.iter().any(|line| line.contains(&told)), "{told}");
    tree.stop().unwrap();
    assert!(!archive.logs().join("overlaps").exists());
}

#[test]
fn an_agent_that_is_stopped_archives_what_is_there() {
    let archive = Archive::new("stopped");
    fs::write(archive.logs().join("tried"), "").unwrap();
    let tree = Tree::start(&archive.options("1day")).unwrap();
    leave_log(&tree, "conn__1.log");
    tree.stop().unwrap();
    assert!(archive.logs().join("conn__1.log").exists());
}

/// As a logger does.
fn leave_log(tree: &Tree, name: &str) {
    let queue = tree.state_folder().join("log-queue");
    fs::create_dir_all(&queue).unwrap();
    fs::write(queue.join(name), "#fields\tts\n").unwrap();
}

fn await_file(tree: &Tree, path: &Path) {
    let found = wait_until(PATIENCE, || path.exists().then_some(()));
    let log = || tree.log_of(INSTANCE).join("\n");
    assert!(found.is_some(), "no {}:\n{}", path.display(), log());
}

fn await_line(tree: &Tree, part: &str) {
    let has_line = || tree.log_of(INSTANCE).iter().any(|line| line.contains(part));
    let found = wait_until(PATIENCE, || has_line().then_some(()));
    assert!(found.is_some(), "{}", tree.log_of(INSTANCE).join("\n"));
}
