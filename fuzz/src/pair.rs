//! Two endpoints that want to be peers, under everything that can come between them.

mod check;
mod world;

use std::time::Duration;

use world::{Side, World};

/// Two endpoints with the faults that the input chooses, one step for each of its bytes and what
/// follows as arguments (WIRE §4, §6). Whatever happened: once the faults stop, both agree on
/// whether they are peers, a shutdown ends, and those that dial become peers and hear each other.
pub fn peers(input: &[u8]) {
    let mut script = Script(input);
    let mut world = World::new(script.byte());
    while !script.0.is_empty() {
        step(&mut world, &mut script);
        world.check();
    }
    world.settle(Duration::from_secs(60));
    if world.misses_the_gone {
        world.check_agreement();
        if !world.peering().is_empty() {
            world.check_flow();
        }
    }
    world.check_reunion();
}

/// Two peers, and a stranger who may claim to be one of them (WIRE §11). The first byte chooses how
/// the stranger got in touch and how its bytes are cut. Its worst does not touch the peering.
pub fn intruder(input: &[u8]) {
    let mut script = Script(input);
    let first = script.byte();
    let mut world = World::new(first);
    world.check_reunion();
    let before = world.peering();
    let stranger = world.meet_stranger(Side::Left, first & 4 != 0);
    let cut = usize::from(first >> 3) * 8 + 1;
    for chunk in script.0.chunks(cut) {
        world.hear_stranger(stranger, chunk);
        world.pump();
        world.check();
    }
    world.settle(Duration::from_secs(60));
    assert_eq!(world.peering(), before, "a stranger broke a peering");
    world.check_flow();
}

/// One thing that happens.
fn step(world: &mut World, script: &mut Script<'_>) {
    let (what, which) = (script.byte(), script.byte());
    let side = if which & 1 == 0 {
        Side::Left
    } else {
        Side::Right
    };
    let which = usize::from(which >> 1);
    match what % 16 {
        0 => world.dial(side, which),
        1 => world.publish(side, which),
        2 => world.subscribe(side, which),
        3 => world.unpeer(side, which),
        4 => world.shut_down(side),
        5 => world.restart(side, which),
        6 => world.open(which, script.byte() & 3 != 3),
        7 | 8 => {
            let count = usize::from(script.byte()) + 1;
            world.deliver(side, which, count);
        }
        9 => world.written(side, which, usize::from(script.byte())),
        10 => {
            let count = usize::from(script.byte());
            world.garble(side, which, script.take(count));
        }
        11 => world.hang_up(side, which),
        12 => world.cut(which, script.byte() & 1 == 0),
        13 => world.pass(Duration::from_millis(1 << (which % 15))),
        14 => world.pump(),
        _ => world.settle(Duration::from_secs(1)),
    }
}

/// The rest of an input, which never ends: it is followed by zeros.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
