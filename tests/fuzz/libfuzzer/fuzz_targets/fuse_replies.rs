//! Any reply to any operation of FUSE, against a second reading of the protocol.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::fuse_replies(data));
