//! `world-seeds FROM TO`: runs the scenarios of these seeds, both ends included, on all processors,
//! and tells each that is violated: its seed, the rule if it is one of the model's, what was seen,
//! and the shortest beginning that shows it. Ends with the table of faults as `tests/README.md` has
//! it, the number of seeds, what it simulated, and status 1 if anything was wrong.
//!
//! `world-seeds FROM TO first` stops at the first violation and does not shorten it.
//! `world-seeds FROM TO digest` ends with a number for all that happens in these seeds, which is the
//! same in every process and on every machine. `world-seeds FROM TO text` tells it, and nothing else.
//! `world-seeds FROM TO budget` runs the lives below a stock controller of these seeds instead.
//! `SIM_SEED=N cargo test -p world` tells one seed in full.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program that tells how it went"
)]

use std::num::NonZero;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use world::tally::Totals;
use world::{Telling, budget, run, script_of, shrink};

/// What is wanted of the seeds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    /// All violations.
    All,
    /// The first violation.
    First,
    /// The same as [`Mode::All`], and a digest.
    Digest,
    /// What happens, in their order.
    Text,
    /// The violations of lives below a stock controller.
    Budget,
}

impl Mode {
    fn named(name: Option<&str>) -> Option<Self> {
        Some(match name {
            None => Self::All,
            Some("first") => Self::First,
            Some("digest") => Self::Digest,
            Some("text") => Self::Text,
            Some("budget") => Self::Budget,
            Some(_) => return None,
        })
    }

    fn telling(self) -> Telling {
        match self {
            Self::All | Self::First | Self::Budget => Telling::Off,
            Self::Digest | Self::Text => Telling::On,
        }
    }

    fn threads(self) -> usize {
        match self {
            Self::All | Self::First | Self::Digest | Self::Budget => {
                thread::available_parallelism().map_or(1, NonZero::get)
            }
            Self::Text => 1,
        }
    }
}

/// What all threads work on.
struct Work {
    next: AtomicU64,
    last: u64,
    mode: Mode,
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
    /// Of all texts, whichever thread was first.
    digest: u64,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let seed = |n: usize| args.get(n).and_then(|arg| arg.parse::<u64>().ok());
    let mode = Mode::named(args.get(2).map(String::as_str));
    let (Some(first), Some(last), Some(mode)) = (seed(0), seed(1), mode) else {
        eprintln!("world-seeds FROM TO [first|digest|text|budget]");
        return ExitCode::from(2);
    };
    let work = Work {
        next: AtomicU64::new(first),
        last,
        mode,
        is_over: AtomicBool::new(false),
        sums: Mutex::default(),
    };
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..mode.threads() {
            scope.spawn(|| work.go());
        }
    });
    let sums = work.sums.into_inner().unwrap_or_default();
    let status = ExitCode::from(u8::from(sums.violations > 0));
    if mode == Mode::Text {
        return status;
    }
    if mode != Mode::Budget {
        println!("{}", sums.totals);
    }
    if mode == Mode::Digest {
        println!("digest of seeds {first} to {last}: {:016x}", sums.digest);
    }
    println!(
        "{} seeds, {} violations, {:.1} h simulated, {} things seen, in {:.0} s",
        sums.seeds,
        sums.violations,
        sums.simulated.as_secs_f64() / 3600.0,
        sums.seen,
        begin.elapsed().as_secs_f64(),
    );
    status
}

impl Work {
    fn go(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed > self.last {
                return;
            }
            match self.mode {
                Mode::Budget => self.one_budget(seed),
                Mode::All | Mode::First | Mode::Digest | Mode::Text => self.one(seed),
            }
        }
    }

    fn one(&self, seed: u64) {
        let script = script_of(seed);
        let Ok(outcome) = catch_unwind(|| run(&script, self.mode.telling())) else {
            return self.on_panic(seed);
        };
        let text = outcome.text.unwrap_or_default();
        let digest = digest(seed, &text);
        if self.mode == Mode::Text {
            print!("seed {seed}\n{text}");
        }
        let Ok(mut sums) = self.sums.lock() else {
            return;
        };
        sums.seeds += 1;
        sums.digest = sums.digest.wrapping_add(digest);
        sums.simulated += outcome.simulated;
        sums.seen += outcome.seen.len();
        sums.totals.add(&outcome.tally, outcome.violation.is_some());
        let Some(violation) = outcome.violation else {
            return;
        };
        sums.violations += 1;
        drop(sums);
        match self.mode {
            Mode::All | Mode::Digest | Mode::Budget => {}
            Mode::First => {
                self.is_over.store(true, Ordering::Relaxed);
                return println!("seed {seed}: {violation}");
            }
            Mode::Text => return,
        }
        let shortest = shrink(&script).map(<[u8]>::len);
        let (all, shortest) = (script.len(), shortest.unwrap_or(script.len()));
        println!("seed {seed} ({shortest} of its {all} bytes are enough): {violation}");
    }

    /// What it says is on stderr already; the other seeds go on.
    fn on_panic(&self, seed: u64) {
        println!("seed {seed}: panics");
        if let Ok(mut sums) = self.sums.lock() {
            sums.seeds += 1;
            sums.violations += 1;
        }
    }

    fn one_budget(&self, seed: u64) {
        let outcome = budget(seed, Telling::Off);
        let Ok(mut sums) = self.sums.lock() else {
            return;
        };
        sums.seeds += 1;
        sums.simulated += outcome.simulated;
        sums.seen += outcome.answers.len();
        if let Some(violation) = outcome.violation {
            sums.violations += 1;
            println!("seed {seed}: {violation}");
        }
    }
}

/// FNV-1a of the number and the text: nothing of a process or a machine is in it.
fn digest(seed: u64, text: &str) -> u64 {
    let seed = seed.to_be_bytes();
    let bytes = seed.iter().chain(text.as_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
