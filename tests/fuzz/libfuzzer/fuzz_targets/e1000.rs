//! A gigabit controller that lies in its registers and descriptors, under its driver.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::e1000(data));
