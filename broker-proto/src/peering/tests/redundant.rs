//! More than one link to the same peer (WIRE §4.4), in whatever order things arrive.

use super::world::{End, World, every_order, many_orders, served};
use super::*;

#[test]
fn two_that_dial_each_other_at_once_end_up_with_one_link() {
    let mut orders = 0;
    every_order(7, |choose| {
        orders += 1;
        let mut world = both_dial(&Options::default());
        world.run(choose);
        world.assert_one_link(0, 1);
        world.assert_settled();
        // Each knows the other by the address it dialed, whoever's link it is.
        for (node, other) in [(0, 1), (1, 0)] {
            let expected = [(World::addr(other, 1), world.nodes[other].endpoint.id())];
            assert_eq!(served(&world.nodes[node].endpoint), expected.into());
        }
    });
    assert!(orders > 1_000, "only {orders} orders were tried");
}

#[test]
fn after_a_loss_they_end_up_with_one_link_again() {
    every_order(6, |choose| {
        let mut world = both_dial(&Options::default());
        world.run(|_| 0);
        let [link] = world.connections().try_into().unwrap();
        world.cut(link);
        world.run(choose);
        world.assert_one_link(0, 1);
        world.assert_settled();
    });
}

#[test]
fn losses_at_any_time_leave_one_link_in_the_end() {
    many_orders(2_000, |draw| {
        let mut world = both_dial(&Options::default());
        for _ in 0..4 {
            for _ in 0..draw.below(12) {
                let choices = world.choices();
                if choices.is_empty() {
                    break;
                }
                world.deliver(choices[draw.below(choices.len())]);
            }
            let open = world.connections();
            if !open.is_empty() {
                world.cut(open[draw.below(open.len())]);
            }
        }
        world.run(|choices| draw.below(choices.len()));
        world.assert_one_link(0, 1);
        world.assert_settled();
    });
}

#[test]
fn three_that_all_dial_each_other_are_each_connected_once() {
    many_orders(500, |draw| {
        let mut world = World::new(&[MIDDLE, HIGH, LOW], &Options::default());
        let pairs = [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)];
        for (from, to) in pairs {
            world.dial(from, World::addr(to, 1));
        }
        world.run(|choices| draw.below(choices.len()));
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            world.assert_one_link(a, b);
        }
        world.assert_settled();
    });
}

#[test]
fn two_addresses_of_one_peer_share_a_link() {
    for ids in [[LOW, HIGH], [HIGH, LOW]] {
        every_order(6, |choose| {
            let mut world = World::new(&ids, &Options::default());
            world.dial(0, World::addr(1, 1));
            world.dial(0, World::addr(1, 2));
            world.run(&mut *choose);
            world.assert_one_link(0, 1);
            world.assert_settled();
        });
    }
}

#[test]
fn a_covered_address_is_dialed_when_the_link_that_covered_it_is_lost() {
    let mut world = two_addresses();
    let served_by = served(&world.nodes[0].endpoint).into_keys().next().unwrap();
    let other = World::addr(1, 3 - served_by.port);
    let addr = served_by.clone();
    world.handle(0, Input::Unpeer { addr });
    world.run(|_| 0);
    world.assert_one_link(0, 1);
    let expected = [(other, id(LOW))];
    assert_eq!(
        served(&world.nodes[0].endpoint),
        expected.into(),
        "{served_by}"
    );
}

#[test]
fn unpeering_a_covered_address_leaves_the_peering_of_the_other_one() {
    let mut world = two_addresses();
    let before = served(&world.nodes[0].endpoint);
    let served_by = before.keys().next().unwrap();
    let addr = World::addr(1, 3 - served_by.port);
    world.handle(0, Input::Unpeer { addr });
    assert_eq!(world.choices(), []);
    assert_eq!(served(&world.nodes[0].endpoint), before);
    world.cut(world.connections()[0]);
    world.run(|_| 0);
    assert_eq!(
        served(&world.nodes[0].endpoint),
        before,
        "only this one is dialed again"
    );
}

#[test]
fn unpeering_an_address_that_the_peers_own_link_serves_ends_that_link() {
    every_order(4, |choose| {
        let mut world = both_dial(&Options::default());
        world.run(&mut *choose);
        // Both unpeer, or the other one's dial would bring the peering back.
        for (node, other) in [(0, 1), (1, 0)] {
            let addr = World::addr(other, 1);
            world.handle(node, Input::Unpeer { addr });
        }
        world.run(&mut *choose);
        assert_eq!(world.connections(), []);
        world.assert_settled();
        assert!(world.nodes.iter().all(|node| node.up.is_empty()));
    });
}

#[test]
fn a_dial_without_retry_that_was_redundant_is_not_repeated_after_a_loss() {
    let mut world = World::new(&[LOW, HIGH], &Options::default());
    world.dial(1, World::addr(0, 1));
    world.run(|_| 0);
    let (addr, retry) = (World::addr(1, 1), None);
    world.handle(0, Input::Dial { addr, retry });
    world.run(|_| 0);
    world.assert_settled();
    let addr = World::addr(0, 1);
    world.handle(1, Input::Unpeer { addr });
    world.run(|_| 0);
    assert_eq!(world.connections(), []);
    world.assert_settled();
}

#[test]
fn shutdown_in_the_middle_of_two_handshakes_leaves_nothing_open() {
    many_orders(500, |draw| {
        let mut world = both_dial(&Options::default());
        for _ in 0..draw.below(16) {
            let choices = world.choices();
            if !choices.is_empty() {
                world.deliver(choices[draw.below(choices.len())]);
            }
        }
        for node in 0..2 {
            world.handle(node, Input::Shutdown);
        }
        let mut order = |choices: &[End]| draw.below(choices.len());
        world.run(&mut order);
        assert_eq!(world.connections(), []);
        for node in &world.nodes {
            assert_eq!(node.endpoint.life, Life::Stopped);
            assert!(node.up.is_empty() && node.endpoint.links.is_empty());
        }
    });
}

fn both_dial(options: &Options) -> World {
    let mut world = World::new(&[LOW, HIGH], options);
    world.dial(0, World::addr(1, 1));
    world.dial(1, World::addr(0, 1));
    world
}

/// HIGH has dialed two addresses of LOW, and is connected by one of them.
fn two_addresses() -> World {
    let mut world = World::new(&[HIGH, LOW], &Options::default());
    world.dial(0, World::addr(1, 1));
    world.dial(0, World::addr(1, 2));
    world.run(|_| 0);
    world.assert_one_link(0, 1);
    world
}
