//! The only part of this crate that touches the operating system: sockets, TLS, randomness.
//!
//! [`handle`] is the whole of it: an endpoint in a task of its own. A program with a machine of its
//! own pumps between [`transport::Transport`] and [`crate::peering`]'s machine instead: what
//! [`transport::Transport::next`] yields goes into the machine, what the machine orders goes into
//! [`transport::Transport::apply`]. [`tls`], [`gate`] and [`listen`] know nothing about Broker, so other
//! servers of the same program use them too.

pub mod entropy;
pub mod gate;
pub mod handle;
mod keepalive;
pub mod listen;
pub mod tls;
pub mod transport;
