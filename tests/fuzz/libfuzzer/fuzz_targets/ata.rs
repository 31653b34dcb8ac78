//! An IDE controller and drives that lie in their registers, under the driver for ATA disks.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::ata(data));
