//! The only part of this crate that touches the operating system: the server's sockets and clock.
//!
//! A program that serves pumps between [`server::Server`] and [`crate::hub`]'s machine: what
//! [`server::Server::next`] yields goes into the machine, what the machine orders goes into
//! [`server::Server::apply`]. A program that only asks something is a [`client::Client`].
#![allow(
    clippy::disallowed_methods,
    reason = "the machines get their time and their tasks from here"
)]

pub mod client;
pub mod server;
