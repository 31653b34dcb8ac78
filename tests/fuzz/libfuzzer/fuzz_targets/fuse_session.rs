//! A FUSE session in which anything may not be implemented, and notifications of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::fuse_session(data));
