//! A device that answers register reads with lies while it is set up, used and reset, over MMIO and PCI.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::registers(data));
