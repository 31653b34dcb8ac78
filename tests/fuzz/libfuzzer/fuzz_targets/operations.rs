//! Sequences of everything a driver can do with a queue, beside a device that obeys or lies step by step.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::operations(data));
