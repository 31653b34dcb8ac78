//! A virtqueue whose device writes what it likes into rings, descriptors and buffers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::used_ring(data));
