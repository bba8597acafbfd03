//! Whole clusters in simulated worlds, and that the model of what operators may observe would notice
//! if something was wrong: `tests/README.md` has the figures, and how to replay a seed.
//!
//! | module | is |
//! | --- | --- |
//! | [`seeds`] | worlds by seed, none of which may violate the model |
//! | [`budget`] | our agent below a controller that is as patient as stock's |
//! | [`mutants`] | the same on programs with bugs planted, each of which must |

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may unwrap and index"
)]

mod budget;
mod mutants;
mod seeds;
