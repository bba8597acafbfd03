//! The repository's rules, checked against its own sources.
//!
//! Each test reads the tree, collects every place that breaks its rule, and fails with one line
//! each: `file:line: rule`. Comments and string contents do not count as code; `use` trees are
//! expanded, so `use std::{fs, io}` is seen as `std::fs` and `std::io`.

#![allow(clippy::indexing_slicing, reason = "tests may index")]

#[path = "tidy/citations.rs"]
mod citations;
#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/machines.rs"]
mod machines;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/table.rs"]
mod table;

use source::{Place, Source, Violation};

/// No file is longer, tests included.
const MAX_LINES: usize = 600;

/// File names that say nothing about what is in them.
const VAGUE_NAMES: [&str; 5] = [
    "mod.rs",
    "utils.rs",
    "common.rs",
    "helpers.rs",
    "manager.rs",
];

#[test]
fn files_are_short_and_well_named() {
    check(|source, found| {
        if source.lines.len() > MAX_LINES {
            let rule = format!("{} lines, more than {MAX_LINES}", source.lines.len());
            found.push(source.violation(MAX_LINES, rule));
        }
        if VAGUE_NAMES.contains(&source.file_name()) {
            found.push(source.violation(0, format!("no file is called {}", source.file_name())));
        }
    });
}

#[test]
fn nothing_is_ignored_or_left_open() {
    const BANNED: [(&str, &str); 5] = [
        ("#[ignore", "no test is ignored"),
        ("should_panic", "no test counts a panic as success"),
        ("todo!", "nothing is left to do"),
        ("unimplemented!", "nothing is left unimplemented"),
        ("dbg!", "no debugging output"),
    ];
    check(|source, found| {
        for (number, line) in source.code.iter().enumerate() {
            for (token, rule) in BANNED {
                if line.contains(token) {
                    found.push(source.violation(number, rule));
                }
            }
        }
    });
}

#[test]
fn only_tests_unwrap() {
    check(|source, found| {
        for (number, line) in source.code.iter().enumerate() {
            if line.contains(".unwrap()") && !source.is_test(number) {
                found.push(source.violation(number, "`unwrap` outside a test"));
            }
        }
    });
}

#[test]
fn no_test_waits_by_sleeping() {
    check(|source, found| {
        for path in &source.paths {
            let sleeps = path.text.ends_with("::sleep");
            if sleeps && source.is_test(path.line) {
                found.push(source.violation(path.line, "a test sleeps"));
            }
        }
    });
}

#[test]
fn only_io_and_programs_touch_the_operating_system() {
    check(|source, found| {
        if source.place != Place::Pure {
            return;
        }
        for path in &source.paths {
            if let Some(what) = table::system_access(&path.text, source.is_test(path.line)) {
                let rule = format!("`{}`: {what} outside `io`", path.text);
                found.push(source.violation(path.line, rule));
            }
        }
    });
}

#[test]
fn crates_and_modules_use_only_what_the_table_allows() {
    check(|source, found| {
        for path in &source.paths {
            if let Some(rule) = table::forbidden_use(source, &path.text) {
                found.push(source.violation(path.line, format!("`{}`: {rule}", path.text)));
            }
        }
    });
}

#[test]
fn cited_sections_exist() {
    let documents = citations::Documents::read();
    let mut found = documents.missing();
    for source in source::all() {
        found.extend(citations::dangling(&source, &documents));
    }
    report(found);
}

#[test]
fn every_dependency_has_its_reason() {
    let found = dependencies::without_reason();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_machine_has_its_four_methods() {
    report(machines::incomplete(&source::all()));
}

#[test]
fn the_rules_find_what_they_are_made_for() {
    let text = "//! tokio::spawn\nuse std::{fs, net::{IpAddr, TcpStream}};\nfn f() { \
                let s = \"x.unwrap()\"; x.unwrap(); Instant::now(); }\n#[cfg(test)]\nmod tests \
                {\n    fn g() { x.unwrap(); }\n}\n";
    let source = Source::parse("mgmt/src/sample.rs", text);
    let seen: Vec<_> = source.paths.iter().map(|path| path.text.as_str()).collect();
    let used = [
        "std::fs",
        "std::net::IpAddr",
        "std::net::TcpStream",
        "Instant::now",
    ];
    assert_eq!(seen, used);
    let banned = source.paths.iter();
    let banned = banned.filter(|path| table::system_access(&path.text, false).is_some());
    assert_eq!(banned.count(), 3);
    assert_eq!(source.code[2].matches(".unwrap()").count(), 1);
    assert_eq!((source.is_test(2), source.is_test(5)), (false, true));
}

fn check(rule: impl Fn(&Source, &mut Vec<Violation>)) {
    let mut found = Vec::new();
    for source in source::all() {
        rule(&source, &mut found);
    }
    report(found);
}

fn report(found: Vec<Violation>) {
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}
