//! A tar or cpio file of any bytes, as a file system.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::archive(data));
