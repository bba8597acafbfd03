//! Bugs planted into copies of the programs, each of which the model has to notice.
//!
//! All are planted at once, each behind a switch that is set at run time by the variable `MUTANT`, so
//! that one build is enough. The copies are below the target directory; what is built of them has no
//! sockets.

mod table;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::command;
use table::{MUTANTS, Mutant};
use world::model::Rule;

/// What the simulated worlds are made of.
const PACKAGES: [&str; 5] = [
    "broker-proto",
    "supervisor",
    "zeek-client-compat",
    "mgmt",
    "tests/world",
];

/// Seeds that are tried if the recorded one does not show a bug any more, because scenarios have
/// changed since.
const OTHERS: u64 = 60;

/// A seed takes a fraction of a second; with a bug it may never end.
const SEED_LIMIT: Duration = Duration::from_secs(300);

#[test]
fn every_planted_bug_is_noticed_by_the_rule_that_forbids_it() {
    let program = build(&plant());
    let mut unnoticed = Vec::new();
    for mutant in MUTANTS {
        match seed_of(&program, mutant) {
            Some(seed) => {
                println!("{}: {} by seed {seed}", mutant.name, mutant.rule);
                let healthy = violation(&program, None, seed, seed);
                assert_eq!(healthy, None, "without a bug");
            }
            None => unnoticed.push(mutant.name),
        }
    }
    assert_eq!(unnoticed, [""; 0], "bugs that no seed shows");
}

#[test]
fn every_rule_has_a_bug_that_breaks_it() {
    let is_broken = |rule: &Rule| MUTANTS.iter().any(|it| it.rule == rule.to_string());
    let kept: Vec<Rule> = Rule::ALL.into_iter().filter(|it| !is_broken(it)).collect();
    assert_eq!(kept, [], "rules that no planted bug breaks");
}

#[test]
fn a_copy_has_the_sources_and_the_versions_of_its_original_only() {
    let folder = target().join("mutants-copied");
    // Of a test that was interrupted.
    let _ = fs::remove_dir_all(&folder);
    let (from, to) = (folder.join("from"), folder.join("to"));
    write(&from.join("package/gone/module.rs"), "");
    write(&from.join("package/gone.rs"), "");
    write(&from.join("package/kept.rs"), "// Kept.");
    write(&from.join("Cargo.lock"), "first");
    copy_all(&from, &to, Path::new("package"));
    copy_lock(&from, &to);
    fs::remove_dir_all(from.join("package/gone")).unwrap();
    fs::remove_file(from.join("package/gone.rs")).unwrap();
    write(&to.join("Cargo.lock"), "first, cleaned");

    copy_all(&from, &to, Path::new("package"));
    copy_lock(&from, &to);
    let entries = fs::read_dir(to.join("package")).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["kept.rs"]);
    let lock = |text: &str| assert_eq!(fs::read_to_string(to.join("Cargo.lock")).unwrap(), text);
    lock("first, cleaned");

    write(&from.join("Cargo.lock"), "second");
    copy_lock(&from, &to);
    lock("second");
    fs::remove_dir_all(folder).unwrap();
}

/// The seed that shows a bug by its rule.
fn seed_of(program: &Path, mutant: &Mutant) -> Option<u64> {
    let is_it = |violation: &str| violation.contains(&format!(" s: {}: ", mutant.rule));
    let shows = |seed: &u64| {
        let violation = violation(program, Some(mutant.name), *seed, *seed);
        violation.is_some_and(|violation| is_it(&violation))
    };
    [mutant.seed].into_iter().chain(1..=OTHERS).find(shows)
}

/// What is wrong first in these seeds.
fn violation(program: &Path, mutant: Option<&str>, first: u64, last: u64) -> Option<String> {
    let mut command = Command::new(program);
    command.args([&first.to_string(), &last.to_string(), "first"]);
    command.env_remove("MUTANT");
    if let Some(mutant) = mutant {
        command.env("MUTANT", mutant);
    }
    let done = command::run(&mut command, SEED_LIMIT).unwrap();
    match done.code {
        Some(0) => None,
        Some(1) => done.stdout.lines().next().map(str::to_owned),
        // A panic is noticed by whoever runs it.
        _ => Some(done.stderr),
    }
}

/// Copies the packages with all bugs, and returns where they are.
fn plant() -> PathBuf {
    let copy = target().join("mutants");
    for package in PACKAGES {
        copy_all(&workspace(), &copy, Path::new(package));
    }
    write(&copy.join("Cargo.toml"), &manifest());
    copy_lock(&workspace(), &copy);
    copy
}

/// Cargo takes out of the copy what is not needed there, so whether the original has changed is told by
/// another copy.
fn copy_lock(from: &Path, to: &Path) {
    let lock = fs::read_to_string(from.join("Cargo.lock")).unwrap();
    let original = to.join("Cargo.lock.original");
    if fs::read_to_string(&original).is_ok_and(|old| old == lock) && to.join("Cargo.lock").exists()
    {
        return;
    }
    write(&to.join("Cargo.lock"), &lock);
    write(&original, &lock);
}

/// The workspace's own, with only these packages.
fn manifest() -> String {
    let text = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let lines = text
        .lines()
        .map(|line| match line.starts_with("members = ") {
            true => format!("members = {PACKAGES:?}\n"),
            false => format!("{line}\n"),
        });
    lines.collect()
}

/// Copies a folder, and removes what is there no more.
fn copy_all(from: &Path, to: &Path, path: &Path) {
    for entry in fs::read_dir(to.join(path)).into_iter().flatten() {
        let entry = entry.unwrap();
        if from.join(path).join(entry.file_name()).exists() {
            continue;
        }
        match entry.file_type().unwrap().is_dir() {
            true => fs::remove_dir_all(entry.path()).unwrap(),
            false => fs::remove_file(entry.path()).unwrap(),
        }
    }
    for entry in fs::read_dir(from.join(path)).unwrap() {
        let entry = entry.unwrap();
        let path = path.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if entry.file_name() != "target" {
                copy_all(from, to, &path);
            }
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            write(&to.join(&path), &with_bugs(text, path.to_str().unwrap()));
        }
    }
}

fn with_bugs(mut text: String, path: &str) -> String {
    for mutant in MUTANTS {
        for edit in mutant.edits.iter().filter(|edit| edit.file == path) {
            let found = text.matches(edit.old).count();
            let (name, old) = (mutant.name, edit.old);
            assert_eq!(found, 1, "{name}: this is not once in {path}: {old}");
            let switch = format!("std::env::var_os(\"MUTANT\").is_some_and(|it| it == {name:?})");
            let new = edit.new.replace("MUTATED", &format!("({switch})"));
            text = text.replace(edit.old, &new);
        }
    }
    text
}

/// What has not changed keeps its time, so that it need not be built again.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Dependencies are those of this build, in the same place.
fn build(copy: &Path) -> PathBuf {
    let name = "world-seeds";
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--offline",
        "--quiet",
        "--package",
        "world",
        "--bin",
        name,
    ]);
    cargo
        .arg("--target-dir")
        .arg(target().join("mutants/target"));
    let output = cargo.current_dir(copy).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "with all bugs: {said}");
    target().join("mutants/target/debug").join(name)
}

fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

/// Where this test was built: `target/debug/deps/worlds-…`.
fn target() -> PathBuf {
    let program = env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().to_owned()
}
