//! The only part of this crate that touches the operating system: sockets, TLS, randomness.
//!
//! A program pumps between [`transport::Transport`] and [`crate::peering`]'s machine: what
//! [`transport::Transport::next`] yields goes into the machine, what the machine orders goes into
//! [`transport::Transport::apply`]. [`tls`] and [`listen`] know nothing about Broker, so other
//! servers of the same program use them too.

pub mod entropy;
pub mod listen;
pub mod tls;
pub mod transport;
