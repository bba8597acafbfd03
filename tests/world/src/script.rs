//! A scenario as bytes: a header that says who is there and what may go wrong, then steps of
//! [`STEP`] bytes. A shorter string is the same scenario, ended earlier.

use std::time::Duration;

/// Bytes of a step.
pub(crate) const STEP: usize = 4;

/// Bytes of a header.
pub(crate) const HEADER: usize = 11;

/// Most sensors.
const SENSORS: u8 = 4;

/// Who is there, and what may go wrong.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// One for each sensor.
    pub(crate) sensors: Vec<SensorPlan>,
    /// What may go wrong by chance.
    pub(crate) chances: Chances,
    /// Decides everything that the steps leave open.
    pub(crate) seed: u64,
    pub(crate) controller: Maker,
}

/// Whose a program is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Maker {
    Ours,
    Stock,
}

/// What a sensor host has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SensorPlan {
    /// The agent dials the controller, or waits to be dialed.
    pub(crate) dials: bool,
    /// The agent goes on with the nodes of a former life.
    pub(crate) remembers: bool,
    /// The agent is a stock one, and its supervisor and nodes are in its imagination.
    pub(crate) is_stock: bool,
    /// Whose supervisor an agent of ours has.
    pub(crate) supervisor: Maker,
}

/// What may go wrong by chance.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chances {
    /// Bytes come late and chopped, `Sent` comes late, buffers are small.
    pub(crate) network: bool,
    /// The controller's disk is slow and full now and then.
    pub(crate) disk: bool,
    /// Nodes start slowly or never, are silent, ignore signals, die young.
    pub(crate) nodes: bool,
    /// Processes cannot be started, directories not made.
    pub(crate) system: bool,
}

/// Something is asked or goes wrong, and a while passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) what: u8,
    pub(crate) a: u8,
    pub(crate) b: u8,
    pub(crate) pause: Duration,
}

/// The scenario in a string of bytes. What is missing of the header is zero.
pub(crate) fn read(script: &[u8]) -> (Header, Vec<Step>) {
    let (head, steps) = script.split_at(script.len().min(HEADER));
    let mut header = [0; HEADER];
    header[..head.len()].copy_from_slice(head);
    let [count, agents, chances, seed @ ..] = header;
    let has = |bits: u8, n: u8| bits & (1 << n) != 0;
    let sensors = (0..1 + count % SENSORS).map(|n| SensorPlan {
        dials: !has(agents, n),
        remembers: has(agents, 4 + n),
        is_stock: count >= 192 && has(chances, 4 + n),
        supervisor: match count {
            128..192 if has(chances, 4 + n) => Maker::Stock,
            _ => Maker::Ours,
        },
    });
    let header = Header {
        sensors: sensors.collect(),
        chances: Chances {
            network: has(chances, 0),
            disk: has(chances, 1),
            nodes: has(chances, 2),
            system: has(chances, 3),
        },
        seed: u64::from_be_bytes(seed),
        controller: Maker::Ours,
    };
    let steps = steps.chunks_exact(STEP).map(|step| Step {
        what: step[0],
        a: step[1],
        b: step[2],
        pause: pause(step[3]),
    });
    (header, steps.collect())
}

/// How many steps a script has.
pub(crate) fn steps(script: &[u8]) -> usize {
    script.len().saturating_sub(HEADER) / STEP
}

/// The script with only so many steps.
pub(crate) fn first_steps(script: &[u8], steps: usize) -> &[u8] {
    &script[..script.len().min(HEADER + steps * STEP)]
}

/// Half of the time hardly any, sometimes longer than requests last.
fn pause(byte: u8) -> Duration {
    let byte = u64::from(byte);
    Duration::from_millis(match byte {
        0..128 => byte * 4,
        128..224 => (byte - 127) * 50,
        _ => (byte - 213) * 500,
    })
}
