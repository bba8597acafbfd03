//! Whole clusters without an operating system: the production programs, their hosts, the network
//! and the clients under one simulated clock, the faults that come between them, and a model of
//! what an operator may see meanwhile.
//!
//! Used by the simulation tests, with scenarios from seeds, and by a fuzz target, with scenarios
//! from the fuzzer's bytes.

pub mod seen;
