//! A whole cluster, and whatever can happen to it.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| zeek_mgmt_fuzz::system(input));
