//! The payload of a frame between peers.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| zeek_mgmt_fuzz::envelope(input));
