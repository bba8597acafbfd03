//! Every mix of our parts with stock's, over real sockets: who is whose, who dials, and how links
//! are protected. Ours are the programs themselves; stock's are simulated, each time of another
//! release. `tests/interop/README.md` shows the cells, and is compared with them.

mod cell;
mod live;
mod ours;
mod process;

use std::fmt::Write as _;
use std::fs;

use crate::stock::release::{RELEASES, Release};

/// Whose a part is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Ours,
    Stock,
}

/// Who opens the connection between agent and controller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dialer {
    Agent,
    Controller,
}

/// How links are protected (WIRE §7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protection {
    Cleartext,
    Anonymous,
    Certificates,
}

/// One mix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    controller: Kind,
    agent: Kind,
    supervisor: Kind,
    dialer: Dialer,
    protection: Protection,
    /// Of its stock parts, nodes below a stock supervisor included.
    release: &'static Release,
}

use Kind::{Ours, Stock};

/// Controller, agent, supervisor. Where all are stock's there is nothing of ours to test.
const PARTS: [[Kind; 3]; 7] = [
    [Ours, Ours, Ours],
    [Ours, Ours, Stock],
    [Ours, Stock, Ours],
    [Ours, Stock, Stock],
    [Stock, Ours, Ours],
    [Stock, Ours, Stock],
    [Stock, Stock, Ours],
];

const WAYS: [(Protection, Dialer); 6] = [
    (Protection::Cleartext, Dialer::Agent),
    (Protection::Cleartext, Dialer::Controller),
    (Protection::Anonymous, Dialer::Agent),
    (Protection::Anonymous, Dialer::Controller),
    (Protection::Certificates, Dialer::Agent),
    (Protection::Certificates, Dialer::Controller),
];

/// All cells. Releases take turns, so that each is met in each column.
fn cells() -> Vec<Cell> {
    let rows = PARTS.iter().zip(0..);
    let cells = rows.flat_map(|([controller, agent, supervisor], row)| {
        WAYS.iter().zip(0..).map(move |(way, column)| Cell {
            controller: *controller,
            agent: *agent,
            supervisor: *supervisor,
            dialer: way.1,
            protection: way.0,
            release: RELEASES[(row * WAYS.len() + column) % RELEASES.len()],
        })
    });
    cells.collect()
}

#[test]
fn every_mix_works_in_cleartext() {
    run_all(Protection::Cleartext);
}

#[test]
fn every_mix_works_with_anonymous_tls() {
    run_all(Protection::Anonymous);
}

#[test]
fn every_mix_works_with_certificates() {
    run_all(Protection::Certificates);
}

/// Cells mostly wait for processes to start, so some go on at a time.
fn run_all(protection: Protection) {
    const AT_A_TIME: usize = 7;
    let cells: Vec<_> = cells()
        .into_iter()
        .filter(|it| it.protection == protection)
        .collect();
    for some in cells.chunks(AT_A_TIME) {
        std::thread::scope(|scope| {
            let running: Vec<_> = some
                .iter()
                .map(|cell| scope.spawn(|| cell::run(cell)))
                .collect();
            for (cell, running) in some.iter().zip(running) {
                assert!(running.join().is_ok(), "{cell:?}");
            }
        });
    }
}

#[test]
fn every_release_is_met_in_the_matrix() {
    for release in RELEASES {
        let is_met = |cell: &Cell| cell.release.name == release.name && cell.has_stock();
        assert!(cells().iter().any(is_met), "Zeek {}", release.name);
    }
}

#[test]
fn the_readme_shows_the_cells() {
    let path = harness::folder().join("interop/README.md");
    let text = fs::read_to_string(&path).unwrap();
    let table = table();
    assert!(
        text.contains(&table),
        "{} is not up to date; this belongs into it:\n{table}",
        path.display()
    );
}

impl Cell {
    fn has_stock(&self) -> bool {
        [self.controller, self.agent, self.supervisor].contains(&Stock)
    }
}

/// In Markdown.
fn table() -> String {
    let mut text = "| controller | agent | supervisor | nodes |".to_owned();
    for (protection, dialer) in WAYS {
        let protection = match protection {
            Protection::Cleartext => "cleartext",
            Protection::Anonymous => "anonymous TLS",
            Protection::Certificates => "certificates",
        };
        let dialer = match dialer {
            Dialer::Agent => "agent",
            Dialer::Controller => "controller",
        };
        write!(text, " {protection}, {dialer} dials |").unwrap();
    }
    text.push('\n');
    text.push_str(&"| --- ".repeat(4 + WAYS.len()));
    text.push_str("|\n");
    let cells = cells();
    for row in cells.chunks(WAYS.len()) {
        let name = |kind| match kind {
            Ours => "ours",
            Stock => "stock",
        };
        let first = &row[0];
        let nodes = match first.supervisor {
            Ours => "stand-ins",
            Stock => "simulated",
        };
        let [controller, agent, supervisor] =
            [first.controller, first.agent, first.supervisor].map(name);
        write!(text, "| {controller} | {agent} | {supervisor} | {nodes} |").unwrap();
        for cell in row {
            match cell.has_stock() {
                true => write!(text, " Zeek {} |", cell.release.name).unwrap(),
                false => text.push_str(" ran |"),
            }
        }
        text.push('\n');
    }
    text
}
