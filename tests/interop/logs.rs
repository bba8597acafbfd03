//! The management logs that stock wrote during the recorded sessions, and what ours tells of the
//! same events (API §8.4). Every difference is named.

use std::fs;

use harness::transcript::Transcript;

use crate::replay::Outcome;
use crate::transcripts::{CONTROLLER_PORT, local, replay_agent, replay_controller};

/// What only stock says.
const LATE_ANSWERS: [&str; 2] = [
    // Stock leaves a request open that it has answered (API §12.2 D31).
    "request ID timed out",
    "tx Management::Agent::API::deploy_response error (request timed out)",
];

#[test]
fn controller_tells_what_the_recorded_controller_told_when_it_is_dialed() {
    let outcome = replay_controller(&Transcript::read("a2c"));
    assert_log("a2c", "controller", &outcome, 108, &[]);
}

#[test]
fn controller_tells_what_the_recorded_controller_told_when_it_dials() {
    let outcome = replay_controller(&Transcript::read("c2a"));
    assert_log("c2a", "controller", &outcome, 29, &[]);
}

#[test]
fn agent_tells_what_the_recorded_agent_told_when_it_dials() {
    let outcome = replay_agent(&Transcript::read("a2c"), Some(local(CONTROLLER_PORT)));
    assert_log("a2c", "instance-1", &outcome, 117, &LATE_ANSWERS);
}

#[test]
fn agent_tells_what_the_recorded_agent_told_when_it_is_dialed() {
    let outcome = replay_agent(&Transcript::read("c2a"), None);
    assert_log("c2a", "instance-1", &outcome, 24, &[]);
}

/// Our log has the recorded lines in the recorded order, but for those that are missing.
fn assert_log(session: &str, node: &str, outcome: &Outcome, same: usize, missing: &[&str]) {
    let recorded = recorded(session, node);
    let recorded: Vec<String> = recorded
        .iter()
        .map(|line| canonical(&outcome.ids.translate_line(line)))
        .collect();
    let mut ours: Vec<String> = outcome.log.iter().map(|line| canonical(line)).collect();
    let (mut kept, mut lacks) = (Vec::new(), Vec::new());
    let mut rest = ours.clone();
    for line in &recorded {
        match rest.iter().position(|other| other == line) {
            Some(at) => kept.push(rest.remove(at)),
            None => lacks.push(line.clone()),
        }
    }
    assert_eq!(
        rest, [""; 0],
        "told, not recorded; recorded, not told: {lacks:#?}"
    );
    let lacks: Vec<String> = lacks.iter().map(|line| without_ids(line)).collect();
    assert_eq!(lacks, missing, "recorded, not told");
    assert_eq!(kept.len(), same, "lines that are the same");
    // Stock iterates its tables in no particular order; kinds of lines have one.
    // Our agent answers a restart when the nodes are up, not when it is ordered (API §15.2 D39).
    let kinds = |lines: &[String]| {
        let kinds = lines.iter().map(|line| kind(line));
        kinds
            .filter(|kind| kind != "tx Management::Agent::API::restart_response")
            .collect::<Vec<_>>()
    };
    ours.retain(|line| kept.contains(line));
    assert_eq!(kinds(&ours), kinds(&kept));
}

/// The messages in a recorded file.
fn recorded(session: &str, node: &str) -> Vec<String> {
    let name = format!("transcripts/{session}/state/management-{node}.log");
    let text = fs::read_to_string(harness::folder().join(name)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split('\t').next_back().unwrap().to_owned())
        .collect()
}

/// A line with its results sorted: stock has them in the order of its tables.
fn canonical(line: &str) -> String {
    let starts = ["success (", "error ("];
    let Some(at) = starts.iter().filter_map(|start| line.find(start)).min() else {
        return line.to_owned();
    };
    let (head, results) = line.split_at(at);
    let tail = results.trim_end_matches([')', ']']);
    let mut results: Vec<&str> = tail.split("), ").collect();
    results.sort_unstable();
    format!("{head}{}", results.join("), "))
}

/// A line that names no id.
fn without_ids(line: &str) -> String {
    let line = line.split(" (reqid ").next().unwrap_or_default();
    match line.strip_prefix("request ") {
        Some(rest) => format!("request ID {}", rest.split_once(' ').unwrap().1),
        None => line.to_owned(),
    }
}

/// What the line is about.
fn kind(line: &str) -> String {
    line.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
