//! A message of Zeek's, or the record of a log.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| zeek_mgmt_fuzz::zeek(input));
