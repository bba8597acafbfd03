//! Two endpoints and all that can come between them.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| zeek_mgmt_fuzz::peers(input));
