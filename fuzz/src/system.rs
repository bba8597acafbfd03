//! Whole clusters: what a fuzzer writes is who is there and what happens to them.

use world::Telling;

/// More would take too long each.
const STEPS: usize = 48;

/// Hosts with the production programs on them, clients that ask, and everything that can go wrong
/// with networks, disks, processes and hosts. No operator may ever see what the model of that does
/// not allow, and all must be well some time after nothing goes wrong any more.
pub fn system(input: &[u8]) {
    let script = world::beginning(input, STEPS);
    if let Some(violation) = world::run(script, Telling::Off).violation {
        panic!("{violation}");
    }
}
