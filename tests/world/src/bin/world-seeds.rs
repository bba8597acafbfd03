//! `world-seeds FROM TO`: runs the scenarios of these seeds, both ends included, on all processors,
//! and tells each that is violated: its seed, the rule if it is one of the model's, what was seen,
//! and the shortest beginning that shows it. Ends with the table of faults as `tests/README.md` has
//! it, the number of seeds, what it simulated, and status 1 if anything was wrong.
//!
//! `world-seeds FROM TO first` stops at the first violation and does not shorten it.
//! `SIM_SEED=N cargo test -p world` tells one seed in full.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program that tells how it went"
)]

use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use world::tally::Totals;
use world::{Telling, run, script_of, shrink};

/// What all threads work on.
struct Work {
    next: AtomicU64,
    last: u64,
    until_first: bool,
    is_over: AtomicBool,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    seeds: u64,
    violations: u64,
    simulated: Duration,
    seen: usize,
    totals: Totals,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let seed = |n: usize| args.get(n).and_then(|arg| arg.parse::<u64>().ok());
    let (Some(first), Some(last)) = (seed(0), seed(1)) else {
        eprintln!("world-seeds FROM TO [first]");
        return ExitCode::from(2);
    };
    let work = Work {
        next: AtomicU64::new(first),
        last,
        until_first: args.get(2).is_some_and(|arg| arg == "first"),
        is_over: AtomicBool::new(false),
        sums: Mutex::default(),
    };
    let begin = Instant::now();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work.go());
        }
    });
    let sums = work.sums.into_inner().unwrap_or_default();
    println!("{}", sums.totals);
    println!(
        "{} seeds, {} violations, {:.1} h simulated, {} things seen, in {:.0} s",
        sums.seeds,
        sums.violations,
        sums.simulated.as_secs_f64() / 3600.0,
        sums.seen,
        begin.elapsed().as_secs_f64(),
    );
    ExitCode::from(u8::from(sums.violations > 0))
}

impl Work {
    fn go(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed > self.last {
                return;
            }
            self.one(seed);
        }
    }

    fn one(&self, seed: u64) {
        let script = script_of(seed);
        let outcome = run(&script, Telling::Off);
        let Ok(mut sums) = self.sums.lock() else {
            return;
        };
        sums.seeds += 1;
        sums.simulated += outcome.simulated;
        sums.seen += outcome.seen.len();
        sums.totals.add(&outcome.tally, outcome.violation.is_some());
        let Some(violation) = outcome.violation else {
            return;
        };
        sums.violations += 1;
        drop(sums);
        if self.until_first {
            self.is_over.store(true, Ordering::Relaxed);
            println!("seed {seed}: {violation}");
            return;
        }
        let shortest = shrink(&script).map(<[u8]>::len);
        let (all, shortest) = (script.len(), shortest.unwrap_or(script.len()));
        println!("seed {seed} ({shortest} of its {all} bytes are enough): {violation}");
    }
}
