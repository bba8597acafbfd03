//! Kill storms: random deaths, slow and stubborn stops, creates, restarts and destroys of the same
//! few names, drawn from a seed. `STORM_SEEDS=10000` at compile time asks for more seeds.

mod world;

use super::*;
use world::World;

const SEEDS: u64 = 300;

/// Random steps of one seed.
const STEPS: usize = 300;

#[test]
fn no_storm_makes_two_processes_of_one_name_or_leaves_a_unit_stuck() {
    let seeds = option_env!("STORM_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let mut totals = world::Totals::default();
    for seed in 1..=seeds {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.calm_down();
        world.end();
        totals.add(world.totals());
    }
    // A storm in which nothing happens shows nothing.
    assert!(totals.deaths > seeds * 5, "{totals:?}");
    assert!(totals.kills > seeds / 10, "{totals:?}");
    assert!(totals.nodes > seeds * 10, "{totals:?}");
    println!("{seeds} seeds: {totals:?}");
}
