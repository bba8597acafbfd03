//! What ours does for peers of every release (API §14, WIRE §10).

mod agent;
mod controller;
mod supervisor;

use crate::stock::release::{RELEASES, Release};

/// Runs a test for every release, and says for which it failed.
fn for_each_release(test: impl Fn(&'static Release)) {
    for release in RELEASES {
        eprintln!("Zeek {}", release.name);
        test(release);
    }
}

/// What a stock endpoint may send that is no event for us: goodbyes that are answered, pings of
/// every kind, envelopes that we drop, topics that grow, logs. The link stays (WIRE §5, §6).
fn say_everything<O: crate::world::Ours>(
    release: &'static Release,
    world: &mut crate::world::World<O>,
    seat: usize,
) {
    use crate::stock::wire;
    use std::time::Duration;

    world.pass(Duration::from_secs(1));
    let peer = &mut world.seats[seat].peer;
    assert!(peer.is_up(), "Zeek {}", release.name);
    // Since 6.2 an empty topic is accepted, so a peer may send one (WIRE §5.2).
    if release.empty == crate::stock::release::Input::Taken {
        peer.envelope(wire::DATA, [0; 16], "", vec![0]);
    }
    // A store's command (WIRE §9), an event that nobody knows, a log write (WIRE §8.4).
    peer.address(wire::COMMAND, vec![0]);
    peer.publish_payload("zeek/supervisor", crate::stock::peer::message(3, vec![]));
    peer.publish("zeek/supervisor", "Some::event", vec![]);
    peer.publish("zeek/management/agent/instance-1", "Some::event", vec![]);
    // Nobody sends an unknown type yet; one that a later release might send is dropped.
    peer.address(9, vec![1, 2, 3]);
    // Less than a header, which takes the link down in no release that reads it as we do.
    peer.raw(b"short");
    // Version 2 of Zeek's messages, and bytes behind a value.
    let value = [0x0e, 1, 2, 0, 0, 0, 0, 0, 0, 0, 2];
    peer.publish_payload("zeek/management/node", value.to_vec());
    peer.publish_payload("zeek/management/node", [&value[..], &[0xff]].concat());
    // It reads no pongs up to 6.1, so it sends no ping but its goodbye.
    if release.pong_input == crate::stock::release::Input::Taken {
        peer.ping(b"anything");
    }
    world.pass(Duration::from_secs(1));
    let seat = &world.seats[seat];
    assert_eq!(seat.peer.unanswered(), 0, "Zeek {}", release.name);
    assert!(
        seat.is_linked() && seat.losses == 0,
        "Zeek {}",
        release.name
    );
}
