//! Whole programs under one simulated clock: our agent on our supervisor, with stand-ins for
//! controller, nodes and operating system that are slow, stuck and cut off as a seed decides.
//!
//! | module | is |
//! | --- | --- |
//! | [`world`] | the clock, the links, and everything that will happen |
//! | [`host`] | the operating system below the supervisor: stems, and nodes that come and go |
//! | [`controller`] | a controller that behaves and waits as stock's |
//! | [`node`] | a cluster node as its agent sees it |
//! | [`budget`] | the tests |

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests may unwrap and index, and start their clocks somewhere"
)]

mod budget;
mod controller;
mod host;
mod node;
mod world;
