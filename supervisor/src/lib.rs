//! Starts, watches, restarts and stops Zeek nodes, as Zeek's Supervisor does.

pub mod api;
