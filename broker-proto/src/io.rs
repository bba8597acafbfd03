//! The only part of this crate that touches the operating system: sockets, TLS, randomness.
//!
//! [`tls`] and [`listen`] know nothing about Broker, so other servers of the same program use them too.

pub mod entropy;
pub mod listen;
pub mod tls;
