//! A file system device whose configuration, rings, replies and messages are anything, at any time, through resets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::virtio_fs(data));
