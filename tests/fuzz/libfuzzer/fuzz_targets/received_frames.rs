//! Frames of any bytes with any notes, for a network stack in the middle of things.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::received_frames(data));
