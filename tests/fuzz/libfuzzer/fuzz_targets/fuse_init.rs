//! Any answer to any offer of a FUSE session.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::fuse_init(data));
