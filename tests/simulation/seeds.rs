//! Worlds by seed.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use world::{Telling, run, script_of};

/// `SIM_RUNS` asks for another number.
const SEEDS: u64 = 500;

/// At a time.
const THREADS: usize = 2;

/// `SIM_SEED=7` has seed 7 told in full.
#[test]
fn whatever_goes_wrong_clients_are_told_the_truth_and_all_is_well_in_the_end() {
    if let Some(seed) = number("SIM_SEED") {
        let outcome = run(&script_of(seed), Telling::On);
        println!("{}", outcome.text.unwrap_or_default());
        assert_eq!(outcome.violation, None, "seed {seed}");
        return;
    }
    let last = number("SIM_RUNS").unwrap_or(SEEDS);
    let next = AtomicU64::new(1);
    let violated: Vec<String> = thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| scope.spawn(|| violations(&next, last)));
        let all = threads.into_iter().flat_map(|it| it.join().unwrap());
        all.collect()
    });
    assert_eq!(violated, [""; 0]);
}

/// What is wrong in the seeds that this thread takes.
fn violations(next: &AtomicU64, last: u64) -> Vec<String> {
    let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
    let seeds = seeds.take_while(|seed| *seed <= last);
    let violations = seeds.filter_map(|seed| {
        let violation = run(&script_of(seed), Telling::Off).violation?;
        Some(format!("seed {seed}: {violation}"))
    });
    violations.collect()
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap())
}
