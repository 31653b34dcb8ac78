//! Listings of directories, with and without nodes, cut anywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::fuse_dirents(data));
