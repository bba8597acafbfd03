//! Ours beside stock: every release of Zeek there was, and every mix of the parts.
//!
//! | module | is |
//! | --- | --- |
//! | [`::world::stock`] | simulated peers of each release |
//! | [`world`] | one program of ours, whole, among such peers, in simulated time |
//! | [`versions`] | what ours must do for peers of each release |
//! | [`matrix`] | every mix of ours and stock, over real sockets |

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests may unwrap, index and print, and start their clocks somewhere"
)]

mod matrix;
mod versions;
mod world;

use ::world::stock;
