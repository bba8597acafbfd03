//! How fast the codecs are: `cargo bench -p zeek-mgmt-benches`.

pub mod asked;
