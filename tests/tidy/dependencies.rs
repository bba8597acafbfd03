//! Every crate from outside has its reason in `ARCHITECTURE.md`, and no reason outlives its crate.

use std::collections::BTreeSet;

use crate::source::{PACKAGES, root};

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const HEAD: &str = "| dependency | for |";

/// One line for each crate without a row, and for each row without a crate.
pub(crate) fn without_reason() -> Vec<String> {
    let (used, explained) = (used(), explained());
    let missing = used.difference(&explained);
    let stale = explained.difference(&used);
    missing
        .map(|name| format!("{ARCHITECTURE}: no reason is given for {name}"))
        .chain(stale.map(|name| format!("{ARCHITECTURE}: nothing uses {name}")))
        .collect()
}

/// What the workspace names, its own crates aside. Members inherit from there, or name a crate
/// that only they use.
fn used() -> BTreeSet<String> {
    let members = PACKAGES.iter().map(|name| format!("{name}/Cargo.toml"));
    let manifests = std::iter::once("Cargo.toml".to_owned()).chain(members);
    manifests
        .flat_map(|manifest| in_manifest(&manifest))
        .collect()
}

fn in_manifest(manifest: &str) -> Vec<String> {
    let text = read(manifest);
    let mut in_section = false;
    let mut names = Vec::new();
    for line in text.lines() {
        if let Some(section) = line.strip_prefix('[') {
            in_section = section.trim_end_matches(']').ends_with("dependencies");
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        if in_section && !value.contains("path =") && !value.contains("workspace = true") {
            let name = name.trim().trim_end_matches(".workspace");
            names.push(name.to_owned());
        }
    }
    names.retain(|name| !OWN.contains(&name.as_str()));
    names
}

/// Names that a member may write as `name.workspace = true`.
const OWN: [&str; 5] = [
    "broker-proto",
    "supervisor",
    "zeek-client-compat",
    "mgmt",
    "world",
];

/// The first cells of the table, which may name several crates and how they are used.
fn explained() -> BTreeSet<String> {
    let text = read(ARCHITECTURE);
    let rows = text.lines().skip_while(|line| *line != HEAD).skip(2);
    let rows = rows.map_while(|line| line.strip_prefix("| ")?.split(" | ").next());
    let names = rows.flat_map(|cell| cell.split(", "));
    names
        .map(|name| name.trim_start_matches("with ").to_owned())
        .collect()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
