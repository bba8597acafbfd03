//! A stock controller waits 9 s at least. Whatever the supervisor, the nodes, the system and the
//! network below it do, our agent has answered by then: once, and with what is true (API §5, §15.2).

use std::env;

use world::{Counts, Telling, budget};

/// `BUDGET_SEEDS` asks for another number.
const SEEDS: u64 = 100;

/// `BUDGET_SEED=7` has seed 7 told in full.
#[test]
fn a_stock_controller_hears_from_our_agent_within_its_patience() {
    if let Some(seed) = number("BUDGET_SEED") {
        let run = budget(seed, Telling::On);
        println!("{}", run.text.unwrap_or_default());
        assert_eq!(run.violation, None, "seed {seed}");
        return;
    }
    let seeds = number("BUDGET_SEEDS").unwrap_or(SEEDS);
    let mut totals = Counts::default();
    let mut violated = Vec::new();
    for seed in 1..=seeds {
        let run = budget(seed, Telling::Off);
        totals += run.totals;
        violated.extend(run.violation.map(|it| format!("seed {seed}: {it}")));
    }
    println!("{seeds} seeds: {totals:?}");
    assert_eq!(violated, [""; 0]);
    // A run in which nothing goes wrong shows nothing.
    assert!(totals.deployments > seeds * 5, "{totals:?}");
    assert!(totals.came_up > seeds * 5, "{totals:?}");
    assert!(totals.failed > seeds, "{totals:?}");
    assert!(totals.listed > seeds, "{totals:?}");
    assert!(totals.slow > seeds, "{totals:?}");
}

#[test]
fn the_same_seed_has_the_same_course() {
    let course = |seed| budget(seed, Telling::Off).answers;
    assert_eq!(course(7), course(7));
    assert_ne!(course(7), course(8));
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap())
}
