//! Configuration fields and generations that change under the drivers for network and file system.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::config_space(data));
