//! Every kind of fault is in the table, and only what has happened is counted, once.

use std::collections::BTreeMap;

use mgmt::api::ApiResult;

use super::*;
use crate::{Telling, run, script_of};

#[test]
fn whatever_happens_has_a_row_of_its_own() {
    let promised = PROMISES.iter().flat_map(|promise| promise.faults);
    let rows: Vec<Fault> = promised.copied().collect();
    assert!(rows.is_sorted_by(|a, b| a < b), "{rows:?}");
    for seed in 1..=10 {
        let tally = run(&script_of(seed), Telling::Off).tally;
        for fault in tally.faults.keys() {
            assert!(rows.contains(fault), "seed {seed}: {fault:?}");
        }
    }
}

#[test]
fn each_request_is_answered_or_there_is_a_reason() {
    for seed in 1..=10 {
        let it = run(&script_of(seed), Telling::Off).tally.requests;
        let ends = it.answered + it.unanswerable + it.left + it.lost;
        assert_eq!(it.asked, ends, "seed {seed}: {it:?}");
        assert!(it.deployed > 0, "seed {seed}");
    }
}

#[test]
fn faults_that_hit_nothing_are_no_rounds() {
    // One sensor, and nothing goes wrong by chance.
    let begin = [0; 11];
    let tally = |steps: &[[u8; 4]]| {
        let script = [begin.as_slice(), steps.as_flattened()].concat();
        run(&script, Telling::Off).tally.faults
    };
    assert_eq!(tally(&[]), BTreeMap::new());
    // Nothing gets to the controller for no time, and for three seconds, in which an agent answers.
    assert_eq!(tally(&[[24, 0, 0, 0]]), BTreeMap::new());
    assert_eq!(
        tally(&[[24, 0, 30, 0], [13, 0, 0, 255]]),
        BTreeMap::from([(Fault::CutOneWay, 1)])
    );
    // The second time there is no link to be reset, and no controller to be killed.
    let killed = [34, 0, 200, 0];
    let reset = [27, 0, 1, 0];
    assert_eq!(
        tally(&[reset, reset, killed, killed]),
        BTreeMap::from([(Fault::LinkReset, 1), (Fault::ControllerKilled, 1)])
    );
}

#[test]
fn only_who_asked_is_answered() {
    let (one, other) = (Client(1), Client(2));
    let reqid = "r1".to_owned();
    let request = ControllerRequest::Deploy { reqid };
    let results = vec![ApiResult::ok("r1")];
    let reqid = "r1".to_owned();
    let response = ControllerResponse::Deploy { reqid, results };
    let answered = |client| Seen::Answered {
        client,
        response: response.clone(),
    };
    let mut tally = Tally::default();
    let client = one;
    tally.see(&Seen::Asked { client, request });
    tally.see(&answered(other));
    assert_eq!(tally.requests.answered, 0);
    tally.see(&answered(one));
    tally.see(&answered(one));
    let expected = Requests {
        asked: 1,
        answered: 1,
        deployed: 1,
        ..Requests::default()
    };
    assert_eq!(tally.requests, expected);
}

#[test]
fn totals_count_a_violated_world_against_each_fault_in_it() {
    let mut totals = Totals::default();
    let mut tally = Tally::default();
    tally.note_all([Fault::NodeDied; 1234]);
    totals.add(&tally, false);
    tally.note(Fault::Rubbish);
    totals.add(&tally, true);
    let text = totals.to_string();
    let row = |name: &str| text.lines().find(|line| line.contains(name)).unwrap();
    assert!(
        row(Fault::NodeDied.name()).ends_with("| 2,468 | 2 | 1 |"),
        "{text}"
    );
    assert!(
        row(Fault::Rubbish.name()).ends_with("| 1 | 1 | 1 |"),
        "{text}"
    );
    assert!(
        row(Fault::NodeSilent.name()).ends_with("| 0 | 0 | 0 |"),
        "{text}"
    );
    assert!(row("all of it").ends_with("| 2,469 | 2 | 1 |"), "{text}");
}

#[test]
fn the_tests_readme_has_the_table() {
    let readme = include_str!("../../../README.md");
    let table = Totals::default().to_string();
    for row in table.lines().take_while(|line| !line.is_empty()) {
        let words = row.trim_end_matches("| 0 | 0 | 0 |");
        assert!(readme.lines().any(|line| line.starts_with(words)), "{row}");
    }
}
