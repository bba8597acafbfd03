//! Sockets, files, clocks and signals: the only module that may touch the operating system.
#![allow(clippy::disallowed_methods, reason = "clocks and tasks belong here")]

mod archiver;
pub mod audit;
pub mod certificates;
mod descriptors;
pub mod guard;
mod kept;
pub mod keyring;
pub mod log;
pub mod migrate;
pub mod node_script;
mod options;
pub mod plan;
mod replace;
pub mod rules;
pub mod run;
mod scripts;
pub mod sources;
pub mod store;
mod writer;
