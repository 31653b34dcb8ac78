//! FAT volumes of which any bytes were changed, and every operation on them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::fat(data));
