//! The report for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::findings::Unseen;
use super::{Change, NodeFact, Report, Step, TreeReport, Weight, printable};
use crate::plan::show::put_table;

/// The report as text, ending with what comes of it.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    for tree in &report.trees {
        put_tree(&mut out, tree);
    }
    if report.trees.is_empty() {
        let text = "No `zeek -j` was found. Say what stands behind it in your unit file: \
                    zeek-mgmt migrate [--zeek PATH] ARGUMENTS\n";
        out.push_str(text);
    }
    put_list(&mut out, "also", &report.notes);
    put_unseen(&mut out, &report.unseen);
    let losses = report.losses();
    let verdict = match losses {
        0 if report.trees.is_empty() => return out,
        0 if report.is_complete() => "Nothing would be lost.".to_owned(),
        0 => "Nothing that could be looked at would be lost, but not everything could.".to_owned(),
        1 => "1 thing would be lost.".to_owned(),
        losses => format!("{losses} things would be lost."),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{verdict}");
    out
}

fn put_tree(out: &mut String, tree: &TreeReport) {
    let _ = writeln!(out, "=== {}\n", printable(&tree.title));
    let facts: Vec<[String; 2]> = tree
        .facts
        .iter()
        .map(|(label, value)| [(*label).to_owned(), printable(value)])
        .collect();
    put_rows(out, "found", &facts);
    let nodes: Vec<[String; 5]> = tree.nodes.iter().map(node_row).collect();
    put_rows(out, "nodes", &nodes);
    let processes = tree.processes.iter();
    let processes: Vec<[String; 3]> = processes
        .map(|(pid, what, name)| [pid.to_string(), (*what).to_owned(), printable(name)])
        .collect();
    put_rows(out, "processes", &processes);
    let said = tree.settings.iter().filter(|row| row.was_said);
    let rows: Vec<[String; 3]> = said
        .map(|row| {
            let value = printable(&row.value);
            [
                row.name.to_owned(),
                format!("= {value}"),
                format!("# {}", printable(&row.origin)),
            ]
        })
        .collect();
    let title = format!(
        "settings ({} more have their defaults)",
        tree.settings.len() - rows.len()
    );
    put_rows(out, &title, &rows);
    let carries: Vec<String> = tree.carries.iter().map(|text| printable(text)).collect();
    put_list(out, "carries over as it is", &carries);
    put_changes(out, &tree.changes);
    put_unseen(out, &tree.unseen);
    put_steps(out, "to move", &tree.forward);
    put_steps(out, "to move back", &tree.back);
}

fn node_row(node: &NodeFact) -> [String; 5] {
    let port = node
        .port
        .map_or_else(String::new, |port| format!("port {port}"));
    let directory = if node.has_directory {
        ""
    } else {
        "no directory here"
    };
    [
        printable(&node.name),
        node.role.clone(),
        format!("on {}", printable(&node.instance)),
        port,
        directory.to_owned(),
    ]
}

fn put_changes(out: &mut String, changes: &[Change]) {
    let lists = [
        ("would be lost", Weight::Lost),
        ("will be different", Weight::Differs),
    ];
    for (title, weight) in lists {
        let lines: Vec<String> = changes
            .iter()
            .filter(|change| change.weight == weight)
            .map(|Change { what, todo, .. }| match todo.as_str() {
                "" => printable(what),
                todo => format!("{}\n    -> {}", printable(what), printable(todo)),
            })
            .collect();
        put_list(out, title, &lines);
    }
}

fn put_unseen(out: &mut String, unseen: &[Unseen]) {
    let lines: Vec<String> = unseen
        .iter()
        .map(|Unseen { what, why }| printable(&format!("{what}: {why}")))
        .collect();
    put_list(out, "could not be looked at", &lines);
}

/// Comments for people between lines for a shell, so that all of it can be pasted.
fn put_steps(out: &mut String, title: &str, steps: &[Step]) {
    if steps.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}:\n");
    for Step { why, lines } in steps {
        let _ = writeln!(out, "# {why}");
        for line in lines {
            let _ = writeln!(out, "{line}");
        }
    }
    out.push('\n');
}

fn put_list(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}:");
    for line in lines {
        let _ = writeln!(out, "  - {line}");
    }
    out.push('\n');
}

/// Rows under a title, in columns, and a gap; nothing if there are none.
fn put_rows<const N: usize>(out: &mut String, title: &str, rows: &[[String; N]]) {
    put_table(out, title, rows);
    if !rows.is_empty() {
        out.push('\n');
    }
}

/// The report as one JSON object.
#[must_use]
pub fn json(report: &Report) -> Value {
    let trees: Vec<Value> = report.trees.iter().map(tree).collect();
    json!({
        "losses": report.losses(),
        "complete": report.is_complete(),
        "trees": trees,
        "notes": report.notes,
        "unseen": report.unseen.iter().map(unseen).collect::<Vec<Value>>(),
    })
}

fn tree(tree: &TreeReport) -> Value {
    let found = tree.facts.iter();
    let found: serde_json::Map<String, Value> = found
        .map(|(label, value)| ((*label).replace(' ', "_"), json!(printable(value))))
        .collect();
    let processes = tree.processes.iter();
    let processes = processes
        .map(|(pid, what, name)| json!({"pid": pid, "what": what, "name": printable(name)}));
    let nodes = tree.nodes.iter().map(|node| {
        json!({
            "name": node.name,
            "role": node.role,
            "instance": node.instance,
            "port": node.port,
            "has_directory": node.has_directory,
        })
    });
    let settings = tree.settings.iter().map(|row| {
        json!({"name": row.name, "value": row.value, "origin": row.origin, "said": row.was_said})
    });
    let changes = tree.changes.iter().map(|change| {
        json!({
            "lost": change.weight == Weight::Lost,
            "what": printable(&change.what),
            "todo": change.todo,
        })
    });
    json!({
        "title": printable(&tree.title),
        "found": found,
        "processes": processes.collect::<Vec<Value>>(),
        "nodes": nodes.collect::<Vec<Value>>(),
        "settings": settings.collect::<Vec<Value>>(),
        "carries": tree.carries.iter().map(|text| printable(text)).collect::<Vec<String>>(),
        "changes": changes.collect::<Vec<Value>>(),
        "unseen": tree.unseen.iter().map(unseen).collect::<Vec<Value>>(),
        "move": tree.forward.iter().map(step).collect::<Vec<Value>>(),
        "back": tree.back.iter().map(step).collect::<Vec<Value>>(),
    })
}

fn step(step: &Step) -> Value {
    json!({"why": step.why, "lines": step.lines})
}

fn unseen(unseen: &Unseen) -> Value {
    json!({"what": printable(&unseen.what), "why": printable(&unseen.why)})
}
