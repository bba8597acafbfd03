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
    for seed in 1..=std::env::var("SIM_RUNS").map_or(20, |n| n.parse().unwrap()) {
        let outcome = run(&script_of(seed), Telling::Off);
        assert_eq!(outcome.violation, None, "seed {seed}");
    }
}

#[test]
fn nothing_grows_in_a_day_of_fifty_agents() {
    let soak = soak(50, 24);
    assert_eq!(soak.violation, None);
    assert!(soak.answered >= 24 * 6, "{}", soak.answered);
    let (first, last) = (soak.sizes[3], soak.sizes[23]);
    // Counters and names of configurations have more digits at the end. A hundred requests that
    // leave a trace each would show.
    let has_grown = |now: usize, then: usize| now > then + 512;
    assert!(
        !has_grown(last.controller, first.controller),
        "{first:?} {last:?}"
    );
    assert!(!has_grown(last.agent, first.agent), "{first:?} {last:?}");
    assert!(
        !has_grown(last.supervisor, first.supervisor),
        "{first:?} {last:?}"
    );
    assert_eq!(last.links, first.links);
    assert!(last.events <= first.events, "{first:?} {last:?}");
}
