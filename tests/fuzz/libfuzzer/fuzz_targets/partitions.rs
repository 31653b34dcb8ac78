//! Partition tables of any bytes, with right checksums if the input wants them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::partitions(data));
