//! What a boot loader says, by any of the three protocols.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::boot_information(data));
