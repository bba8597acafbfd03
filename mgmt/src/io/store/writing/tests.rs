//! The file and its log: what a crash leaves, what a copy holds, who else has the file.

use std::fs;
use std::path::PathBuf;

use super::super::tests::{Folder, recorded, state};
use super::super::{FILE_NAME, with_suffix};

/// The file and its log as a crash leaves them.
fn crash(folder: &Folder) -> Folder {
    let left = Folder::with(&fs::read(folder.file()).unwrap());
    fs::copy(log(folder), log(&left)).unwrap();
    left
}

fn log(folder: &Folder) -> PathBuf {
    with_suffix(&folder.file(), "-wal")
}

fn journal(folder: &Folder) -> String {
    let db = folder.connect();
    db.query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn what_is_saved_outlives_a_crash_at_once() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    for n in 0..20 {
        let saved = state(&format!("c{n}"));
        store.save(&saved).unwrap();
        let left = crash(&folder);
        assert_eq!(left.open().1, saved);
        let (again, _) = left.open();
        again.save(&state("c")).unwrap();
        drop(again);
        assert_eq!(left.names(), [FILE_NAME]);
        assert_eq!(left.open().1, state("c"));
    }
}

#[test]
fn a_log_cut_anywhere_holds_the_state_before_or_after() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    store.save(&state("c1")).unwrap();
    store.settle().unwrap();
    store.save(&state("c2")).unwrap();
    let whole = fs::read(log(&folder)).unwrap();
    assert!(whole.len() > 4096);
    for len in (0..whole.len()).step_by(509) {
        let left = crash(&folder);
        fs::write(log(&left), &whole[..len]).unwrap();
        assert_eq!(left.open().1, state("c1"), "{len} of {}", whole.len());
    }
    assert_eq!(crash(&folder).open().1, state("c2"));
}

#[test]
fn between_saves_a_copy_of_the_file_is_whole() {
    let folder = Folder::with(&recorded("c2a"));
    let (store, _) = folder.open();
    for id in ["c1", "c2"] {
        store.save(&state(id)).unwrap();
        assert!(store.settle().unwrap());
        let copy = Folder::with(&fs::read(folder.file()).unwrap());
        assert_eq!(copy.open().1, state(id));
        assert_eq!(fs::metadata(log(&folder)).unwrap().len(), 0);
    }
}

#[test]
fn at_the_end_the_file_is_alone_as_stock_leaves_it() {
    let folder = Folder::with(&recorded("c2a"));
    let (store, _) = folder.open();
    store.save(&state("c1")).unwrap();
    assert_eq!(journal(&folder), "wal");
    drop(store);
    assert_eq!(folder.names(), [FILE_NAME]);
    assert_eq!(journal(&folder), "delete");
    assert_eq!(folder.open().1, state("c1"));
}

#[test]
fn who_reads_the_file_holds_up_no_save() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    store.save(&state("c1")).unwrap();
    let reader = folder.connect();
    reader.execute_batch("BEGIN; SELECT * FROM store;").unwrap();
    store.save(&state("c2")).unwrap();
    assert!(!store.settle().unwrap());
    store.save(&state("c3")).unwrap();
    reader.execute_batch("COMMIT").unwrap();
    assert!(store.settle().unwrap());
    let copy = Folder::with(&fs::read(folder.file()).unwrap());
    assert_eq!(copy.open().1, state("c3"));
}

#[test]
fn a_file_that_was_put_there_meanwhile_is_written_and_stays_whole() {
    let old = recorded("a2c");
    let by_rename = |folder: &Folder| {
        let other = with_suffix(&folder.file(), ".new");
        fs::write(&other, &old).unwrap();
        fs::rename(other, folder.file()).unwrap();
    };
    let in_place = |folder: &Folder| fs::write(folder.file(), &old).unwrap();
    let removed = |folder: &Folder| fs::remove_file(folder.file()).unwrap();
    let all: [&dyn Fn(&Folder); 3] = [&by_rename, &in_place, &removed];
    for (n, replace) in all.into_iter().enumerate() {
        let folder = Folder::new();
        let (store, _) = folder.open();
        store.save(&state("c1")).unwrap();
        store.settle().unwrap();
        replace(&folder);
        store.save(&state("c2")).unwrap();
        assert_eq!(crash(&folder).open().1, state("c2"), "{n}");
        drop(store);
        assert_eq!(folder.open().1, state("c2"), "{n}");
        assert_eq!(folder.names(), [FILE_NAME], "{n}");
    }
}

#[test]
fn what_was_put_there_before_the_end_is_left_as_it_is() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    store.save(&state("c1")).unwrap();
    store.settle().unwrap();
    let old = recorded("a2c");
    fs::write(folder.file(), &old).unwrap();
    drop(store);
    assert_eq!(fs::read(folder.file()).unwrap(), old);
    assert_eq!(folder.names(), [FILE_NAME]);
}

#[test]
fn without_a_log_the_rollback_journal_does() {
    let folder = Folder::new();
    // As where the memory that a log needs cannot be shared.
    let no_index = with_suffix(&folder.file(), "-shm");
    fs::create_dir(&no_index).unwrap();
    let (store, _) = folder.open();
    for id in ["c1", "c2"] {
        store.save(&state(id)).unwrap();
        assert!(store.settle().unwrap());
        assert!(!log(&folder).exists());
        assert_eq!(journal(&folder), "delete");
        let copy = Folder::with(&fs::read(folder.file()).unwrap());
        assert_eq!(copy.open().1, state(id));
    }
}
