//! A value as an event.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| zeek_mgmt_fuzz::event(input));
