//! Whole clusters without an operating system: the production programs, their hosts, the network
//! and the clients under one simulated clock, the faults that come between them, and a model of
//! what an operator may see meanwhile.
//!
//! Used by the simulation tests, with scenarios from seeds, and by a fuzz target, with scenarios
//! from the fuzzer's bytes. [`run`] runs one: the bytes say which hosts there are, what goes wrong by
//! chance, and what happens step by step; behind the last step faults stop, and what must then come
//! to be is checked. The same bytes have the same course, to the microsecond.
//!
//! | module | is |
//! | --- | --- |
//! | [`seen`] | what is seen from outside |
//! | [`model`] | what of that may be |
//! | `script`, `scenario` | scenarios as bytes, and what their steps do |
//! | `soak` | a day in which nothing goes wrong |
//! | `budget` | our agent below a stock controller, which waits 9 s and no longer |
//! | `world` | the clock, the hosts and what they keep, all programs |
//! | `world::net` | links that delay, chop, stall and break |
//! | `world::watch` | what goes through them, as the model sees it |
//! | `world::controller`, `world::clients` | the controller's host, and who asks |
//! | `world::sensor`, `node` | hosts of agents: stems, and nodes that come and go |
//! | `world::faults` | what goes wrong |
//! | [`fault`], [`tally`] | the kinds of that, and how often they hit something |
//! | [`stock`], `stock_link` | simulated stock peers of every release, and how the world links them |
//! | `stock_agent`, `stock_controller` | a stock agent on a host of its own; a stock controller beside our agent |
//! | `stock_supervisor`, `stock_stem`, `world::stock_host` | a stock supervisor below our agent, and its nodes |

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not as expected here is a finding"
)]

mod budget;
mod chance;
pub mod fault;
pub mod model;
mod node;
mod record;
mod scenario;
mod script;
pub mod seen;
mod soak;
#[allow(missing_docs, reason = "it is Zeek's, by the sections that are cited")]
pub mod stock;
mod stock_agent;
mod stock_controller;
mod stock_link;
mod stock_stem;
mod stock_supervisor;
pub mod tally;
mod world;

use std::time::Duration;

pub use budget::{Budget, Counts, budget};
pub use record::Telling;
pub use soak::{Soak, soak};
pub use world::Size;

use chance::Chance;
use model::Rule;
use scenario::Scenario;
use seen::Seen;
use tally::Tally;
use world::World;

/// What came of a scenario.
#[derive(Debug)]
pub struct Outcome {
    /// What was seen from outside, and when since the start.
    pub seen: Vec<(Duration, Seen)>,
    /// All that happened, a line each, if that is wanted.
    pub text: Option<String>,
    /// What was wrong first; nothing happens after it.
    pub violation: Option<String>,
    /// The rule that is broken, if it is one of the model.
    pub rule: Option<Rule>,
    /// How often what went wrong, and what became of requests.
    pub tally: Tally,
    /// How long it took in the world.
    pub simulated: Duration,
}

/// Runs a scenario to its end, or until something is wrong.
pub fn run(script: &[u8], telling: Telling) -> Outcome {
    let (header, steps) = script::read(script);
    let mut scenario = Scenario::new(World::new(header, telling));
    for step in steps {
        scenario.step(step);
    }
    scenario.finish();
    let world = scenario.world;
    Outcome {
        simulated: world.since_start(),
        seen: world.record.seen,
        text: world.record.text,
        violation: world.record.violation,
        rule: world.record.rule,
        tally: world.record.tally,
    }
}

/// The scenario of a seed.
pub fn script_of(seed: u64) -> Vec<u8> {
    let mut chance = Chance::new(seed);
    let steps = 20 + usize::try_from(chance.below(40)).unwrap_or_default();
    let mut script = Vec::new();
    while script.len() < script::HEADER + steps * script::STEP {
        script.extend(chance.next().to_be_bytes());
    }
    script
}

/// The script with only so many of its steps.
pub fn beginning(script: &[u8], steps: usize) -> &[u8] {
    script::first_steps(script, steps)
}

/// The shortest beginning of a script that has any violation, if the script has one.
pub fn shrink(script: &[u8]) -> Option<&[u8]> {
    let beginnings = (0..=script::steps(script)).map(|steps| beginning(script, steps));
    let mut failing = beginnings.filter(|script| run(script, Telling::Off).violation.is_some());
    failing.next()
}

#[cfg(test)]
mod tests;
