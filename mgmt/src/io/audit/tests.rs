//! The file, as whoever collects logs finds it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::*;
use crate::audit::{Asked, Outcome};
use crate::policy::Listener;
use crate::policy::audit::Who;

#[test]
fn lines_are_added_to_what_is_there_and_are_nobody_elses_business() {
    let dir = Dir::new("added");
    let path = dir.0.join("sub/audit.log");
    for n in 0..2 {
        let log = AuditLog::start(path.clone()).unwrap();
        log.write(answered(n));
        log.finish();
    }
    assert_eq!(requests(&path), ["0", "1"]);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    // The group's rights depend on the umask of whoever runs this.
    assert_eq!(mode & 0o137, 0);
}

#[test]
fn a_log_that_was_moved_away_goes_on_in_a_new_file_when_told() {
    let dir = Dir::new("moved");
    let (path, old) = (dir.0.join("audit.log"), dir.0.join("audit.log.1"));
    let log = AuditLog::start(path.clone()).unwrap();
    log.write(answered(0));
    // The thread has its own time; what was written before is in the old file in any case.
    fs::rename(&path, &old).unwrap();
    log.reopen();
    log.write(answered(1));
    log.finish();
    assert_eq!(requests(&old), ["0"]);
    assert_eq!(requests(&path), ["1"]);
}

#[test]
fn strangers_without_end_get_few_lines_and_a_count_of_the_others() {
    let dir = Dir::new("strangers");
    let path = dir.0.join("audit.log");
    let log = AuditLog::start(path.clone()).unwrap();
    for _ in 0..1000 {
        log.write(Entry::Stranger {
            listener: "broker",
            remote: "192.0.2.1:1".parse().unwrap(),
            reason: "nothing usable came".to_owned(),
        });
    }
    log.finish();
    let lines = lines(&path);
    let left_out = lines.iter().filter_map(|line| line["left_out"].as_u64());
    let strangers = lines.iter().filter(|line| line["kind"] == "stranger");
    let written = u64::try_from(strangers.count()).unwrap();
    assert_eq!(written + left_out.sum::<u64>(), 1000);
    assert!(written < 100, "{written}");
}

#[test]
fn what_could_not_be_written_is_told() {
    let path = PathBuf::from("/dev/full");
    let file = open(&path).unwrap();
    let mut log = LogFile::new(path, Some(file));
    log.add(now(), &answered(0));
    log.add(now(), &answered(1));
    log.flush();
    assert_eq!(log.lost, 2);
    let dir = Dir::new("told");
    log.path = dir.0.join("audit.log");
    log.file = None;
    log.trouble = log.trouble.map(|trouble| Trouble {
        tried: trouble.tried - RETRY,
        ..trouble
    });
    log.add(now(), &answered(2));
    log.flush();
    let lines = lines(&log.path);
    assert_eq!(lines[0]["kind"], "lost");
    assert_eq!(lines[0]["lost"], 2);
    assert_eq!(lines[1]["request"], "2");
    assert_eq!(log.lost, 0);
}

#[test]
fn a_log_that_cannot_be_had_is_an_error_or_waits_until_it_can() {
    let dir = Dir::new("late");
    let path = dir.0.join("sub/audit.log");
    fs::write(dir.0.join("sub"), "in the way").unwrap();
    assert!(AuditLog::start(path.clone()).is_err());
    let log = AuditLog::start_anyway(path.clone());
    fs::remove_file(dir.0.join("sub")).unwrap();
    log.write(answered(0));
    log.finish();
    assert_eq!(requests(&path), ["0"]);
}

fn answered(n: u64) -> Entry {
    Entry::Request {
        who: Who {
            id: "websocket-1".to_owned(),
            listener: Listener::WebSocket,
            address: None,
            application: None,
            certificate: None,
            roles: String::new(),
        },
        asked: Asked {
            event: "x".to_owned(),
            reqid: n.to_string(),
            config: None,
        },
        outcome: Outcome::Done,
        is_gone: false,
        took: Duration::ZERO,
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn requests(path: &Path) -> Vec<String> {
    let lines = lines(path).into_iter();
    lines
        .map(|line| line["request"].as_str().unwrap().to_owned())
        .collect()
}

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let name = format!("zeek-mgmt-audit-{}-{name}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
