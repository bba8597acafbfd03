//! Some seeds; `SIM_SEED` has one told in full.

use super::*;

#[test]
fn the_same_script_has_the_same_course() {
    let text = |seed| run(&script_of(seed), Telling::On).text.unwrap();
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

#[test]
fn whatever_goes_wrong_all_is_well_afterwards() {
    if let Ok(seed) = std::env::var("SIM_SEED") {
        let outcome = run(&script_of(seed.parse().unwrap()), Telling::On);
        println!("{}", outcome.text.unwrap());
        assert_eq!(outcome.violation, None, "seed {seed}");
        return;
    }
    for seed in 1..=20 {
        let outcome = run(&script_of(seed), Telling::Off);
        assert_eq!(outcome.violation, None, "seed {seed}");
    }
}
