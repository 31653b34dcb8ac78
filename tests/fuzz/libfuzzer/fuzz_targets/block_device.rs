//! A disk whose configuration, rings, statuses and data are anything, at any time.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::block_device(data));
