//! Two peers and a stranger.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| zeek_mgmt_fuzz::intruder(input));
