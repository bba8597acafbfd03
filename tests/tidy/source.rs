//! A source file, as the rules look at it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::paths::{self, UsedPath};

/// The workspace's packages.
pub(crate) const PACKAGES: [&str; 7] = [
    "broker-proto",
    "supervisor",
    "zeek-client-compat",
    "mgmt",
    "tests",
    "fuzz",
    "benches",
];

/// What kind of code a file holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// Code that must not touch the operating system.
    Pure,
    /// A module called `io`, or below one.
    Io,
    /// A program in `src/bin`, or what Cargo runs to build one.
    Program,
    /// A package that exists for testing.
    Testing,
}

/// One `.rs` file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the workspace.
    pub(crate) path: String,
    pub(crate) place: Place,
    /// As written.
    pub(crate) lines: Vec<String>,
    /// The same lines with comments and the contents of literals blanked.
    pub(crate) code: Vec<String>,
    /// Every path the code names, in order.
    pub(crate) paths: Vec<UsedPath>,
    in_test: Vec<bool>,
}

/// One broken rule.
#[derive(Debug)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line + 1, self.rule)
    }
}

impl Violation {
    /// A rule broken at a line, counted from 0.
    pub(crate) fn new(path: &str, line: usize, rule: impl Into<String>) -> Self {
        let (path, rule) = (path.to_owned(), rule.into());
        Self { path, line, rule }
    }
}

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let code = blank(text);
        let paths = paths::used(&code);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let in_test = if is_test_file(path) {
            vec![true; lines.len()]
        } else {
            test_regions(&code)
        };
        Self {
            path: path.to_owned(),
            place: place(path),
            lines,
            code: code.lines().map(str::to_owned).collect(),
            paths,
            in_test,
        }
    }

    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The package's directory.
    pub(crate) fn package(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The path below `src`, without `.rs`; empty for `lib.rs`.
    pub(crate) fn module(&self) -> &str {
        let below = self.path.split_once("/src/").map_or("", |(_, below)| below);
        let module = below.strip_suffix(".rs").unwrap_or(below);
        if module == "lib" { "" } else { module }
    }

    /// Whether a line, counted from 0, is compiled for tests only.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.in_test.get(line).copied().unwrap_or_default()
    }

    pub(crate) fn violation(&self, line: usize, rule: impl Into<String>) -> Violation {
        Violation::new(&self.path, line, rule)
    }
}

/// The workspace's directory.
pub(crate) fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the tests are a folder of the workspace")
}

/// Every source file of the workspace.
pub(crate) fn all() -> Vec<Source> {
    let mut files = Vec::new();
    for package in PACKAGES {
        collect(&root().join(package), &mut files);
    }
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("the tree is readable").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
}

fn read(file: &Path) -> Source {
    let text = fs::read_to_string(file).expect("a source file is text");
    let path = file
        .strip_prefix(root())
        .expect("found below the workspace");
    Source::parse(&path.to_string_lossy(), &text)
}

fn place(path: &str) -> Place {
    let package = path.split('/').next().unwrap_or_default();
    let mut parts = path.split('/');
    if matches!(package, "tests" | "fuzz" | "benches") {
        return Place::Testing;
    }
    if path.contains("/src/bin/") || path.ends_with("/build.rs") {
        return Place::Program;
    }
    if parts.any(|part| part == "io" || part == "io.rs") {
        return Place::Io;
    }
    Place::Pure
}

fn is_test_file(path: &str) -> bool {
    let harness = [
        "tests/harness/",
        "tests/demo/",
        "tests/standin/",
        "tests/chaos/",
    ];
    let testing = place(path) == Place::Testing && !harness.iter().any(|h| path.starts_with(h));
    testing
        || path
            .split('/')
            .skip(1)
            .any(|part| part == "tests" || part == "tests.rs")
}

/// Which lines belong to an item under `#[cfg(test)]`.
fn test_regions(code: &str) -> Vec<bool> {
    let mut marks = vec![false; code.lines().count()];
    for (start, _) in code.match_indices("#[cfg(test)]") {
        let end = item_end(code, start);
        let first = code.get(..start).unwrap_or_default().matches('\n').count();
        let last = code.get(..end).unwrap_or_default().matches('\n').count();
        for mark in marks.iter_mut().take(last + 1).skip(first) {
            *mark = true;
        }
    }
    marks
}

/// Where the item that follows ends: at its closing brace, or at a semicolon before any brace.
pub(crate) fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at,
            b'}' => depth -= 1,
            b';' if depth == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

/// Blanks comments and the contents of string and character literals; lines stay where they are.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let after_word = at > 0 && is_word(bytes[at - 1]);
        let len = match rest[0] {
            b'/' if rest.starts_with(b"//") => line_comment(rest),
            b'/' if rest.starts_with(b"/*") => block_comment(rest),
            b'"' => quoted(rest, b'"'),
            b'r' | b'b' if !after_word => raw_string(rest).unwrap_or(0),
            b'\'' => character(rest).unwrap_or(0),
            _ => 0,
        };
        if len == 0 {
            out.push(if rest[0].is_ascii() {
                char::from(rest[0])
            } else {
                ' '
            });
            at += 1;
            continue;
        }
        let skipped = &rest[..len.min(rest.len())];
        out.extend(skipped.iter().map(|&b| if b == b'\n' { '\n' } else { ' ' }));
        at += skipped.len();
    }
    out
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn line_comment(rest: &[u8]) -> usize {
    rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`: the length, if the text here is one.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = rest
        .iter()
        .take(2)
        .take_while(|b| matches!(b, b'b' | b'r'))
        .count();
    let hashes = rest[prefix..].iter().take_while(|&&b| b == b'#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    if !rest[..prefix].contains(&b'r') {
        return (hashes == 0).then(|| prefix + quoted(&rest[prefix..], b'"'));
    }
    let close: Vec<u8> = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let body = &rest[open + 1..];
    let end = body
        .windows(close.len())
        .position(|window| window == close)?;
    Some(open + 1 + end + close.len())
}

/// A character literal; a lifetime is none.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return Some(quoted(rest, b'\''));
    }
    let end = rest.iter().skip(1).take(5).position(|&b| b == b'\'')? + 1;
    let body = std::str::from_utf8(&rest[1..end]).ok()?;
    (body.chars().count() == 1).then_some(end + 1)
}
