//! Citations such as `WIRE §4.4`, and whether the document has that section.

use std::collections::BTreeSet;
use std::fs;

use crate::source::{self, Source, Violation};

const DOCUMENTS: [(&str, &str); 3] = [
    ("WIRE", "broker-proto/WIRE.md"),
    ("API", "mgmt/API.md"),
    ("CLIENT", "zeek-client-compat/CLIENT.md"),
];

/// The numbered documents.
pub(crate) struct Documents(Vec<Document>);

struct Document {
    name: &'static str,
    path: &'static str,
    exists: bool,
    /// Numbers of headings (`4.4`, `A5`), and ids such as `D31` that the text defines.
    sections: BTreeSet<String>,
}

impl Documents {
    pub(crate) fn read() -> Self {
        let read = DOCUMENTS.iter().map(|&(name, path)| {
            let text = fs::read_to_string(source::root().join(path));
            let sections = text.as_deref().map(sections).unwrap_or_default();
            Document {
                name,
                path,
                exists: text.is_ok(),
                sections,
            }
        });
        Self(read.collect())
    }

    /// The documents that are not there.
    pub(crate) fn missing(&self) -> Vec<Violation> {
        let absent = self.0.iter().filter(|document| !document.exists);
        absent
            .map(|document| Violation::new(document.path, 0, "no such document"))
            .collect()
    }

    fn find(&self, name: &str) -> Option<&Document> {
        self.0.iter().find(|document| document.name == name)
    }
}

/// Citations in a file that lead nowhere.
pub(crate) fn dangling(source: &Source, documents: &Documents) -> Vec<Violation> {
    let mut found = Vec::new();
    for (number, line) in source.lines.iter().enumerate() {
        for (name, section) in cited(line) {
            let Some(document) = documents.find(name) else {
                continue;
            };
            if document.exists && !document.sections.contains(&section) {
                let rule = format!("{} has no §{section}", document.path);
                found.push(source.violation(number, rule));
            }
        }
    }
    found
}

/// Document and section of each citation in a line. In `API §1.3, §1.4` the second one is of the
/// first one's document; in `API §3 R2`, `R2` is cited as well.
fn cited(line: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut document = None;
    let mut rest = line;
    while let Some(at) = rest.find('§') {
        let (before, after) = rest.split_at(at);
        let after = after.trim_start_matches('§');
        let before = before.trim_end();
        let start = before
            .rfind(|c: char| !c.is_ascii_uppercase())
            .map_or(0, |at| at + 1);
        let word = before.get(start..).unwrap_or_default();
        let joined = joins(before);
        if DOCUMENTS.iter().any(|(name, _)| *name == word) {
            document = Some(word);
        } else if !joined {
            document = None;
        }
        let section = reference(after);
        rest = after.get(section.len()..).unwrap_or_default();
        if let Some(name) = document {
            found.push((name, section.trim_end_matches('.').to_owned()));
            let id = reference(rest.trim_start());
            if rest.starts_with(' ') && is_id(id) {
                found.push((name, id.to_owned()));
            }
        }
    }
    found
}

/// Whether the text between two citations keeps the first one's document: `,`, ` R2,`, ` and`.
fn joins(between: &str) -> bool {
    let between = between.trim_start();
    let id = reference(between);
    let rest = if is_id(id) {
        &between[id.len()..]
    } else {
        between
    };
    matches!(rest.trim(), "," | "–" | "and")
}

/// The number, or letter and number, that a text starts with.
fn reference(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

/// One letter and a number, as in `C10` or `D01`.
fn is_id(word: &str) -> bool {
    let digits = word.strip_prefix(|c: char| c.is_ascii_uppercase());
    digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
}

fn sections(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| {
        let title = line
            .strip_prefix("##")?
            .trim_start_matches('#')
            .trim_start();
        Some(
            title
                .split([' ', ':'])
                .next()?
                .trim_end_matches('.')
                .to_owned(),
        )
    });
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let ids = words.filter(|word| is_id(word)).map(str::to_owned);
    headings.chain(ids).collect()
}

#[test]
fn citations_are_found_with_their_document() {
    let line = "/// As in WIRE §4.4 and §4.5 (API §3 R2, §7.1; CLIENT §A5). §9 is nobody's.";
    let pairs = cited(line);
    let expected = [
        ("WIRE", "4.4"),
        ("WIRE", "4.5"),
        ("API", "3"),
        ("API", "R2"),
        ("API", "7.1"),
        ("CLIENT", "A5"),
    ];
    assert_eq!(
        pairs,
        expected.map(|(name, section)| (name, section.to_owned()))
    );
}

#[test]
fn sections_are_headings_and_ids() {
    let found = sections("# T\n## 4. Four\n### 4.4 More\n### A5. Letters\n| D31 | late |\n");
    let expected = ["4", "4.4", "A5", "D31"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(expected));
}
