//! A network card whose configuration, rings, headers and answers are anything, at any time.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::virtio_net(data));
