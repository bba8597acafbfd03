//! Some seeds; `SIM_SEED` has one told in full.

use super::*;
use script::{Chances, Header, Maker, SensorPlan};
use world::Host;
use world::net::Loss;

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

#[test]
fn nobody_is_to_blame_for_nodes_that_an_agent_orders_whose_controller_has_forgotten_it() {
    let (mut scenario, [first, second]) = two_dialed_agents();
    let world = &mut scenario.world;
    let agent = world.sensor(first).agent.unwrap();
    world.stall(agent, Duration::from_secs(20));
    world.kill_supervisor(first, Loss::Process, Some(Duration::from_secs(1)));
    world.pass(Duration::from_secs(2));
    scenario.deploy_one_to(&[second]);
    scenario.world.pass(Duration::from_secs(5));
    let world = &mut scenario.world;
    world.cut_power(Host::CONTROLLER, Duration::from_secs(1));
    assert!(world.excused.keys().eq([&first]));

    scenario.finish();

    assert_eq!(scenario.world.record.violation, None);
}

#[test]
fn an_agent_that_has_heard_that_it_is_dropped_has_no_excuse() {
    let (mut scenario, [_, second]) = two_dialed_agents();
    scenario.deploy_one_to(&[second]);
    scenario.world.pass(Duration::from_secs(40));
    let world = &mut scenario.world;
    world.cut_power(Host::CONTROLLER, Duration::from_secs(1));
    assert!(world.excused.is_empty());
}

#[test]
fn what_fails_after_a_deployment_was_asked_for_is_excused_until_the_next_one() {
    let (mut scenario, [first, second]) = two_dialed_agents();
    scenario.deploy_one_to(&[first, second]);
    let world = &mut scenario.world;
    world.pass(Duration::from_millis(1));
    world.excused.insert(first, world.now);
    world.pass(Duration::from_secs(30));
    assert!(world.excused.contains_key(&first));
    scenario.deploy_one_to(&[first, second]);
    scenario.world.pass(Duration::from_secs(30));
    assert!(scenario.world.excused.is_empty());
}

/// On hosts of their own, with a node each.
fn two_dialed_agents() -> (Scenario, [Host; 2]) {
    let sensor = SensorPlan {
        dials: false,
        remembers: false,
        is_stock: false,
        supervisor: Maker::Ours,
    };
    let header = Header {
        sensors: vec![sensor; 2],
        chances: Chances::default(),
        seed: 1,
        controller: Maker::Ours,
    };
    let mut scenario = Scenario::new(World::new(header, Telling::Off));
    scenario.deploy_one_each();
    scenario.world.pass(Duration::from_secs(30));
    (scenario, [Host(1), Host(2)])
}
