//! Files that a stock controller wrote, files of ours, and files that are neither.

use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use rusqlite::types::Value;

use super::*;

/// The state that Zeek 8.0.10 left (`tests/transcripts`).
const RECORDED: [&str; 2] = ["a2c", "c2a"];

/// A directory that goes with the test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        Self::with_name("")
    }

    /// With this at the end of its name.
    pub(super) fn with_name(end: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("zeek-mgmt-store-{}-{count}{end}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// With this as state file.
    pub(super) fn with(bytes: &[u8]) -> Self {
        let folder = Self::new();
        fs::write(folder.file(), bytes).unwrap();
        folder
    }

    /// With a state file that these statements make.
    pub(super) fn with_sql(sql: &str) -> Self {
        let folder = Self::new();
        folder.connect().execute_batch(sql).unwrap();
        folder
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join(FILE_NAME)
    }

    pub(super) fn connect(&self) -> Connection {
        Connection::open(self.file()).unwrap()
    }

    pub(super) fn open(&self) -> (Store, Saved) {
        Store::open(self.0.clone()).unwrap()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn query(&self, sql: &str) -> Vec<Vec<Value>> {
        let db = self.connect();
        let mut statement = db.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|n| row.get(n)).collect());
        rows.unwrap().map(Result::unwrap).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of a temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_of_ours_is_field_by_field_what_stock_recorded() {
    for name in RECORDED {
        let theirs = Folder::with(&recorded(name));
        let (_, saved) = theirs.open();
        assert!(saved.staged.is_some() && saved.ready.is_some() && saved.deployed.is_some());
        let ours = Folder::new();
        let (store, nothing) = ours.open();
        assert_eq!(nothing, Saved::default());
        store.save(&saved).unwrap();
        drop(store);
        for what in [
            "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY rootpage",
            "SELECT key, typeof(key), value, typeof(value) FROM meta",
            "SELECT key, typeof(key), value, typeof(value), expiry FROM store ORDER BY key",
            "PRAGMA user_version",
            "PRAGMA application_id",
            "PRAGMA page_size",
            "PRAGMA page_count",
            "PRAGMA encoding",
            "PRAGMA auto_vacuum",
            "PRAGMA journal_mode",
            "PRAGMA schema_version",
        ] {
            let (ours, theirs) = (ours.query(what), theirs.query(what));
            assert!(!ours.is_empty(), "{what}");
            assert_eq!(ours, theirs, "{name}: {what}");
        }
        // The header but for counters, and the version of the library that wrote it.
        let head = |folder: &Folder| {
            let bytes = fs::read(folder.file()).unwrap();
            [bytes[..24].to_vec(), bytes[44..92].to_vec()]
        };
        assert_eq!(head(&ours), head(&theirs), "{name}");
        assert_eq!(ours.names(), [FILE_NAME]);
    }
}

#[test]
fn what_is_saved_is_read_again() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    let saved = state("c1");
    store.save(&saved).unwrap();
    let changed = Saved {
        deployed: None,
        ..state("c2")
    };
    store.save(&changed).unwrap();
    drop(store);
    assert_eq!(folder.open().1, changed);
}

#[test]
fn a_file_of_stock_is_changed_in_place() {
    let folder = Folder::with(&recorded("c2a"));
    folder
        .connect()
        .execute_batch("UPDATE meta SET value = '2.9.1'; CREATE TABLE notes(text); VACUUM;")
        .unwrap();
    let (store, mut saved) = folder.open();
    saved.deployed = state("c9").deployed;
    store.save(&saved).unwrap();
    drop(store);
    assert_eq!(folder.open().1, saved);
    let version = folder.query("SELECT value FROM meta");
    assert_eq!(version, [[Value::Text("2.9.1".to_owned())]]);
    assert_eq!(folder.query("SELECT * FROM notes"), [[]; 0]);
}

#[test]
fn a_file_in_wal_mode_is_read_and_written() {
    let folder = Folder::with(&recorded("a2c"));
    let db = folder.connect();
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .unwrap();
    db.execute_batch("DELETE FROM store WHERE rowid = 6")
        .unwrap();
    // As a crash leaves it: with what is in the log only.
    let copy = Folder::with(&fs::read(folder.file()).unwrap());
    let wal = |folder: &Folder| with_suffix(&folder.file(), "-wal");
    fs::copy(wal(&folder), wal(&copy)).unwrap();
    let (store, mut saved) = copy.open();
    assert_eq!(saved.deployed, None);
    assert!(saved.staged.is_some());
    saved.deployed = state("c").deployed;
    store.save(&saved).unwrap();
    drop(store);
    assert_eq!(copy.open().1, saved);
}

#[test]
fn no_file_and_files_that_stock_had_only_begun_are_nothing_kept() {
    let begun = "CREATE TABLE meta(key text primary key, value text);";
    for folder in [Folder::new(), Folder::with(b""), Folder::with_sql(begun)] {
        let (store, saved) = folder.open();
        assert_eq!(saved, Saved::default());
        store.save(&state("c1")).unwrap();
        drop(store);
        assert_eq!(folder.open().1, state("c1"));
        assert_eq!(folder.names(), [FILE_NAME]);
    }
}

#[test]
fn a_damaged_file_is_set_aside_as_it_is() {
    let whole = recorded("c2a");
    let mut flipped = whole.clone();
    // In the middle of the table `store`.
    flipped[3 * 4096..3 * 4096 + 64].fill(0xff);
    let cut = &whole[..2 * 4096];
    for bytes in [b"[this is no SQLite]\n".repeat(100), flipped, cut.to_vec()] {
        let folder = Folder::with(&bytes);
        let (store, saved) = folder.open();
        assert_eq!(saved, Saved::default());
        let aside = format!("{FILE_NAME}.damaged-1");
        assert_eq!(folder.names(), std::slice::from_ref(&aside));
        assert_eq!(fs::read(folder.0.join(aside)).unwrap(), bytes);
        store.save(&state("c1")).unwrap();
        drop(store);
        assert_eq!(folder.open().1, state("c1"));
    }
}

#[test]
fn a_file_cut_anywhere_is_whole_or_set_aside() {
    let whole = recorded("a2c");
    for len in (0..whole.len()).step_by(509) {
        let folder = Folder::with(&whole[..len]);
        let (store, saved) = folder.open();
        assert_eq!(saved, Saved::default(), "{len} bytes");
        store.save(&state("c1")).unwrap();
        drop(store);
        assert_eq!(folder.open().1, state("c1"), "{len} bytes");
    }
}

#[test]
fn what_was_set_aside_before_is_not_overwritten() {
    let folder = Folder::with(b"third");
    let name = |suffix: &str| folder.0.join(format!("{FILE_NAME}{suffix}"));
    fs::write(name(".damaged-1"), b"first").unwrap();
    // A name whose journal's name is taken is taken, too.
    fs::write(name(".damaged-2-journal"), b"second").unwrap();
    fs::write(name("-journal"), b"its journal").unwrap();
    folder.open();
    let read = |suffix: &str| fs::read(name(suffix)).unwrap();
    assert_eq!(read(".damaged-1"), b"first");
    assert_eq!(read(".damaged-2-journal"), b"second");
    assert_eq!(read(".damaged-3"), b"third");
    // It would be played into the next file.
    assert!(!name("-journal").exists());
    assert!(!name("").exists());
}

#[test]
fn a_file_with_rows_that_do_not_read_is_set_aside() {
    let whole = recorded("c2a");
    for sql in [
        "UPDATE store SET value = x'0e0305' WHERE rowid = 2",
        "UPDATE store SET value = x'020000000000000001' WHERE rowid = 1",
        "UPDATE store SET value = 'text' WHERE rowid = 3",
        "UPDATE store SET key = x'ff' WHERE rowid = 3",
        "UPDATE store SET key = NULL WHERE rowid = 3",
        // A table in a table in a table ….
        "UPDATE store SET value = CAST(replace(hex(zeroblob(200)), '00', x'0e01') AS BLOB)",
        "UPDATE store SET value = zeroblob(67108865) WHERE rowid = 1",
    ] {
        let folder = Folder::with(&whole);
        folder.connect().execute_batch(sql).unwrap();
        let (_, saved) = folder.open();
        assert_eq!(saved, Saved::default(), "{sql}");
        let names = folder.names();
        assert!(
            names.iter().all(|name| name.contains(".sqlite.")),
            "{names:?}"
        );
    }
}

#[test]
fn a_foreign_file_is_set_aside_and_says_so() {
    let other = "CREATE TABLE store(key blob primary key, value blob, expiry integer);
        INSERT INTO store VALUES (x'00', x'00', NULL), (x'01', x'00', NULL),
            (x'02', x'00', NULL), (x'03', x'00', NULL);";
    for sql in [
        "CREATE TABLE cookies(name, value);",
        "CREATE TABLE store(name, value);",
        "CREATE TABLE meta(a, b, c);",
        "CREATE VIEW store AS SELECT 1 AS key, 2 AS value, 3 AS expiry;",
        other,
    ] {
        let folder = Folder::with_sql(sql);
        let (store, saved) = folder.open();
        assert_eq!(saved, Saved::default(), "{sql}");
        assert_eq!(folder.names(), [format!("{FILE_NAME}.foreign-1")], "{sql}");
        store.save(&state("c1")).unwrap();
    }
}

#[test]
fn a_file_that_becomes_foreign_is_not_written() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    folder
        .connect()
        .execute_batch("CREATE TABLE cookies(name, value);")
        .unwrap();
    let before = fs::read(folder.file()).unwrap();
    let text = store.save(&state("c1")).unwrap_err().to_string();
    assert!(
        text.ends_with("it has a table cookies and no table store"),
        "{text}"
    );
    // Not even given a log.
    assert_eq!(fs::read(folder.file()).unwrap(), before);
}

#[test]
fn what_a_file_says_is_not_done() {
    let folder = Folder::with(&recorded("c2a"));
    folder
        .connect()
        .execute_batch(
            "CREATE TABLE victim(x);
             CREATE TRIGGER a AFTER UPDATE ON store BEGIN INSERT INTO victim VALUES (1); END;
             CREATE TRIGGER b AFTER INSERT ON store BEGIN INSERT INTO victim VALUES (1); END;",
        )
        .unwrap();
    let (store, _) = folder.open();
    store.save(&state("c1")).unwrap();
    assert_eq!(folder.query("SELECT * FROM victim"), [[]; 0]);
}

#[test]
fn a_second_controller_is_refused_and_changes_nothing() {
    let folder = Folder::with(b"damaged");
    let (first, _) = folder.open();
    fs::write(folder.file(), b"damaged again").unwrap();
    let error = Store::open(folder.0.clone()).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert_eq!(fs::read(folder.file()).unwrap(), b"damaged again");
    drop(first);
    folder.open();
}

#[test]
fn a_file_that_another_program_writes_is_left_alone() {
    let folder = Folder::with(&recorded("a2c"));
    let writer = folder.connect();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = Store::open(folder.0.clone()).unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
    writer.execute_batch("COMMIT").unwrap();
    let (store, saved) = folder.open();
    assert!(saved.deployed.is_some());
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let text = store.save(&state("c1")).unwrap_err().to_string();
    assert!(text.contains("database is locked"), "{text}");
    writer.execute_batch("COMMIT").unwrap();
    store.save(&state("c1")).unwrap();
}

#[test]
fn a_directory_in_the_place_of_the_file_is_refused() {
    let folder = Folder::new();
    fs::create_dir(folder.file()).unwrap();
    let error = Store::open(folder.0.clone()).unwrap_err();
    assert!(matches!(error, OpenError::NotAFile(_)), "{error}");
}

#[test]
fn directories_are_created_when_they_are_missing() {
    let folder = Folder::new();
    let dir = folder.0.join("state/nodes/controller");
    let (store, saved) = Store::open(dir.clone()).unwrap();
    assert_eq!(saved, Saved::default());
    assert!(dir.is_dir());
    // Whoever cleans up behind a running controller loses nothing that it knows.
    fs::remove_dir_all(folder.0.join("state")).unwrap();
    store.save(&state("c1")).unwrap();
    drop(store);
    assert_eq!(Store::open(dir).unwrap().1, state("c1"));
}

#[test]
fn a_file_in_the_place_of_the_directory_fails_saves_until_it_is_gone() {
    let folder = Folder::new();
    let nodes = folder.0.join("nodes");
    fs::write(&nodes, b"").unwrap();
    let dir = nodes.join("controller");
    let (store, saved) = Store::open(dir.clone()).unwrap();
    assert_eq!(saved, Saved::default());
    let text = store.save(&state("c1")).unwrap_err().to_string();
    assert!(text.starts_with("cannot use the directory "), "{text}");
    assert!(text.contains("nodes/controller: "), "{text}");
    fs::remove_file(&nodes).unwrap();
    store.save(&state("c1")).unwrap();
    assert!(matches!(Store::open(dir), Err(OpenError::InUse(_))));
}

/// A configuration of each kind, told apart by their ids.
pub(super) fn state(id: &str) -> Saved {
    let config = |kind: &str| {
        Some(Configuration {
            id: format!("{id} {kind}"),
            instances: std::collections::BTreeSet::new(),
            nodes: std::collections::BTreeSet::new(),
        })
    };
    Saved {
        staged: config("staged"),
        ready: config("ready"),
        deployed: config("deployed"),
    }
}

pub(super) fn recorded(name: &str) -> Vec<u8> {
    let transcripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/transcripts");
    fs::read(transcripts.join(name).join("state").join(FILE_NAME)).unwrap()
}

#[test]
fn sqlite_is_built_without_what_the_state_file_has_no_use_for() {
    let db = Connection::open_in_memory().unwrap();
    let is_built_with = |option: &str| {
        let sql = "SELECT sqlite_compileoption_used(?1)";
        db.query_row(sql, [option], |row| row.get::<_, bool>(0))
            .unwrap()
    };
    for option in [
        "ENABLE_FTS3",
        "ENABLE_FTS3_PARENTHESIS",
        "ENABLE_FTS5",
        "ENABLE_RTREE",
        "ENABLE_DBSTAT_VTAB",
        "ENABLE_STAT4",
        "SOUNDEX",
        "ENABLE_LOAD_EXTENSION",
    ] {
        assert!(
            !is_built_with(option),
            "{option}: .cargo/config.toml not read?"
        );
    }
    assert!(is_built_with("OMIT_LOAD_EXTENSION"));
}
