//! A PCI function whose configuration space, BARs and MSI-X table claim anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::pci_capabilities(data));
