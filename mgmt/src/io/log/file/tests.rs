//! Files in directories of their own, at times that the tests choose.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;

/// 2026-11-21 19:33:26 UTC.
const START: i64 = 1_795_289_606;
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_record_comes_with_its_header_and_the_end_is_marked() {
    let dir = Dir::new();
    let mut log = dir.log(in_place(), START);
    assert_eq!(dir.names(), [""; 0]);
    log.write(at(START), &Record::info("controller is live"));
    log.write(at(START + 1), &Record::warning("a\tb"));
    log.finish(at(START + 2));
    assert_eq!(
        dir.read("management-c.log"),
        "#separator \\x09\n\
         #set_separator\t,\n\
         #empty_field\t(empty)\n\
         #unset_field\t-\n\
         #path\tmanagement-c\n\
         #open\t2026-11-21-19-33-26\n\
         #fields\tts\tnode\tlevel\trole\tmessage\n\
         #types\ttime\tstring\tstring\tstring\tstring\n\
         1795289606.000000\tc\tINFO\tCONTROLLER\tcontroller is live\n\
         1795289607.000000\tc\tWARNING\tCONTROLLER\ta\\x09b\n\
         #close\t2026-11-21-19-33-28\n"
    );
    assert_eq!(dir.names(), ["management-c.log"]);
}

#[test]
fn json_has_neither_header_nor_end() {
    let dir = Dir::new();
    let settings = LogSettings {
        format: Format::Json,
        ..in_place()
    };
    let mut log = dir.log(settings, START);
    log.write(at(START), &Record::info("hi"));
    log.finish(at(START));
    assert_eq!(
        dir.read("management-c.log"),
        "{\"ts\":1795289606.0,\"node\":\"c\",\"level\":\"INFO\",\"role\":\"CONTROLLER\",\
         \"message\":\"hi\"}\n"
    );
}

#[test]
fn each_full_hour_takes_the_file_away() {
    let dir = Dir::new();
    let mut log = dir.log(hourly(), START);
    log.write(at(START), &Record::info("one"));
    assert_eq!(
        dir.names(),
        [".shadow.management-c.log", "management-c.log"]
    );
    assert_eq!(dir.read(".shadow.management-c.log"), ".log\n\n");
    // 20:00:00.
    let full = 1_795_291_200;
    assert_eq!(log.next_rotation(), Some(at(full)));
    log.rotate_if_due(at(full - 1));
    assert!(dir.has("management-c.log"));
    log.rotate_if_due(at(full));
    assert_eq!(dir.names(), ["queue"]);
    let first = "management-c__2026-11-21-19-33-26__2026-11-21-20-00-00__.log";
    assert!(
        dir.read_rotated(first)
            .contains("\tone\n#close\t2026-11-21-20-00-00\n")
    );
    // Nothing came, so there is nothing to rotate.
    log.rotate_if_due(at(full + 3600));
    assert_eq!(dir.rotated(), [first]);
    // The period of the next file began with the last rotation, the file with its first line.
    log.write(at(full + 3700), &Record::info("two"));
    assert!(
        dir.read("management-c.log")
            .contains("#open\t2026-11-21-21-01-40\n")
    );
    log.finish(at(full + 3800));
    let second = "management-c__2026-11-21-21-00-00__2026-11-21-21-03-20__.log";
    assert_eq!(dir.rotated(), [first, second]);
    assert_eq!(dir.names(), ["queue"]);
}

#[test]
fn what_a_killed_process_left_is_rotated_and_not_overwritten() {
    let dir = Dir::new();
    for (settings, shadow) in [(hourly(), true), (hourly(), false), (in_place(), false)] {
        fs::write(dir.path("management-c.log"), "of yesterday\n").unwrap();
        if shadow {
            fs::write(dir.path(".shadow.management-c.log"), ".log\n\n").unwrap();
        }
        let rotates = settings.rotation.is_some();
        let before = dir.rotated().len();
        let mut log = dir.log(settings, START);
        assert!(!dir.has("management-c.log"));
        assert!(!dir.has(".shadow.management-c.log"));
        log.write(at(START), &Record::info("of today"));
        assert!(!dir.read("management-c.log").contains("yesterday"));
        if rotates {
            assert_eq!(dir.rotated().len(), before + 1, "a name was used twice");
        } else {
            let aside = dir.names();
            let aside = aside.iter().find(|name| name.contains("__")).unwrap();
            assert_eq!(dir.read(aside), "of yesterday\n");
        }
        log.finish(at(START));
        let _ = fs::remove_file(dir.path("management-c.log"));
    }
    let yesterdays = dir.rotated();
    let yesterdays = yesterdays.iter().map(|name| dir.read_rotated(name));
    assert_eq!(
        yesterdays.filter(|text| text == "of yesterday\n").count(),
        2
    );
}

#[test]
fn a_shadow_without_log_is_removed() {
    let dir = Dir::new();
    fs::write(dir.path(".shadow.management-c.log"), ".log\n\n").unwrap();
    dir.log(hourly(), START);
    assert_eq!(dir.names(), [""; 0]);
}

#[test]
fn a_directory_that_takes_no_rotated_files_leaves_them_beside_the_log() {
    let dir = Dir::new();
    fs::write(dir.path("queue"), "in the way").unwrap();
    let mut log = dir.log(hourly(), START);
    log.write(at(START), &Record::info("one"));
    log.finish(at(START + 1));
    let name = "management-c__2026-11-21-19-33-26__2026-11-21-19-33-27__.log";
    assert_eq!(dir.names(), [name, "queue"]);
    assert!(dir.read(name).contains("\tone\n"));
}

/// `/dev/full` refuses every write as a full disk does.
#[test]
fn a_full_disk_costs_the_lines_that_do_not_fit_and_they_are_counted() {
    let dir = Dir::new();
    let mut log = dir.log(in_place(), START);
    symlink("/dev/full", dir.path("management-c.log")).unwrap();
    for second in 0..3 {
        for _ in 0..2 {
            log.write(at(START + second), &Record::info("lost"));
        }
    }
    fs::remove_file(dir.path("management-c.log")).unwrap();
    log.write(
        at(START + 2),
        &Record::info("lost, for it was tried this second"),
    );
    log.add_lost(3);
    log.write(at(START + 3), &Record::info("back"));
    log.finish(at(START + 4));
    let text = dir.read("management-c.log");
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    let lost = "10 messages were lost here: No space left on device (os error 28)";
    assert_eq!(
        lines,
        [
            &format!("1795289609.000000\tc\tWARNING\tCONTROLLER\t{lost}"),
            "1795289609.000000\tc\tINFO\tCONTROLLER\tback"
        ]
    );
}

#[test]
fn a_directory_that_cannot_be_made_costs_the_log_and_nothing_else() {
    let dir = Dir::new();
    fs::write(dir.path("file"), "").unwrap();
    let below = dir.path("file").join("nodes");
    let role = LogRole::Agent;
    let zone = Zone(TimeZone::utc());
    let mut log = LogFile::new(below, "a", role, in_place(), zone, at(START));
    log.write(at(START), &Record::info("lost"));
    log.finish(at(START));
    assert_eq!(dir.names(), ["file"]);
}

#[test]
fn names_and_headers_are_in_local_time() {
    let dir = Dir::new();
    let zone = Zone(TimeZone::from_posix_tz("CET-1CEST,M3.5.0,M10.5.0/3").unwrap());
    let role = LogRole::Controller;
    let mut log = LogFile::new(dir.0.clone(), "c", role, hourly(), zone, at(START));
    log.write(at(START), &Record::info("one"));
    log.finish(at(START));
    let name = "management-c__2026-11-21-20-33-26__2026-11-21-20-33-26__.log";
    assert_eq!(dir.rotated(), [name]);
    assert!(
        dir.read_rotated(name)
            .contains("#open\t2026-11-21-20-33-26\n")
    );
}

#[test]
fn lines_of_a_former_file_of_the_same_second_are_kept() {
    let dir = Dir::new();
    for _ in 0..3 {
        let mut log = dir.log(hourly(), START);
        log.write(at(START), &Record::info("one"));
        log.finish(at(START));
    }
    assert_eq!(dir.rotated().len(), 3);
}

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("zeek-mgmt-log-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn log(&self, settings: LogSettings, now: i64) -> LogFile {
        let role = LogRole::Controller;
        let zone = Zone(TimeZone::utc());
        LogFile::new(self.0.clone(), "c", role, settings, zone, at(now))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        names(&self.0)
    }

    fn rotated(&self) -> Vec<String> {
        names(&self.path("queue"))
    }

    fn read_rotated(&self, name: &str) -> String {
        fs::read_to_string(self.path("queue").join(name)).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn in_place() -> LogSettings {
    LogSettings {
        rotation: None,
        ..LogSettings::default()
    }
}

fn hourly() -> LogSettings {
    LogSettings {
        rotation: Some(HOUR),
        rotation_dir: "queue".into(),
        ..LogSettings::default()
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp(secs * SECOND)
}
