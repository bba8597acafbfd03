use std::os::unix::fs::MetadataExt;

use super::super::Store;
use super::super::tests::{Folder, recorded, state};
use super::*;

/// Every file of a directory: its name, what is in it and when that was written.
fn files(folder: &Folder) -> Vec<(String, Vec<u8>, i64, i64)> {
    let names = folder.names().into_iter();
    let files = names.map(|name| {
        let path = folder.path().join(&name);
        let meta = fs::metadata(&path).unwrap();
        (
            name,
            fs::read(path).unwrap(),
            meta.mtime(),
            meta.mtime_nsec(),
        )
    });
    files.collect()
}

#[test]
fn a_recorded_file_is_read_and_nothing_is_left_behind() {
    for name in ["a2c", "c2a"] {
        let folder = Folder::with(&recorded(name));
        let before = files(&folder);
        let Seen::State { saved, layout } = look(&folder.file()).unwrap() else {
            panic!("{name} has a state");
        };
        assert_eq!(files(&folder), before);
        assert_eq!(layout, Layout::Current);
        assert_eq!(saved, folder.open().1);
        assert!(saved.deployed.is_some());
    }
}

#[test]
fn a_file_is_read_while_a_controller_has_it() {
    let folder = Folder::with_name("odd ?name#%41=ü");
    let (store, _) = Store::open(folder.path().to_owned()).unwrap();
    store.save(&state("c1")).unwrap();
    store.settle().unwrap();
    let before = files(&folder);
    let Seen::State { saved, .. } = look(&folder.file()).unwrap() else {
        panic!("there is a state");
    };
    assert_eq!(saved, state("c1"));
    assert_eq!(files(&folder), before);
}

#[test]
fn a_change_that_is_not_finished_is_told_and_left_alone() {
    let folder = Folder::with(&recorded("a2c"));
    let writer = folder.connect();
    let fill = "PRAGMA cache_size = 1; BEGIN; DELETE FROM store; \
        INSERT INTO store VALUES (zeroblob(100000), x'00', NULL);";
    writer.execute_batch(fill).unwrap();
    let before = files(&folder);
    let error = look(&folder.file()).unwrap_err();
    assert!(matches!(error, LookError::Unfinished(_)), "{error}");
    assert_eq!(files(&folder), before);
    writer.execute_batch("ROLLBACK").unwrap();
    assert!(matches!(look(&folder.file()), Ok(Seen::State { .. })));
}

#[test]
fn what_is_no_state_file_says_so() {
    let folder = Folder::new();
    assert!(matches!(look(&folder.file()), Ok(Seen::Nothing)));
    fs::create_dir(folder.file()).unwrap();
    assert!(matches!(look(&folder.file()), Err(LookError::NotAFile)));
    let damaged = Folder::with(b"no database");
    assert!(matches!(
        look(&damaged.file()),
        Ok(Seen::Flawed(Flaw::Damaged(_)))
    ));
    let foreign = Folder::with_sql("CREATE TABLE other(x)");
    let before = files(&foreign);
    assert!(matches!(
        look(&foreign.file()),
        Ok(Seen::Flawed(Flaw::Foreign(_)))
    ));
    assert_eq!(files(&foreign), before);
    let looping = Folder::new();
    std::os::unix::fs::symlink(looping.file(), looping.file()).unwrap();
    let error = look(&looping.file()).unwrap_err();
    assert!(matches!(error, LookError::Unreadable(_)), "{error}");
}
