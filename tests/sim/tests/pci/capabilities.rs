//! Capabilities that are changed one by one: which functions are refused, and why.

use crate::common::transports::message;
use crate::rig::*;

/// A function whose capabilities a test has changed must not come up, and must not panic.
fn pci_with(change: impl FnOnce(&PciConfig)) -> Result<(), TransportError> {
    let (config, bars) = PciModel::new(device(FeatureBits::VERSION_1));
    change(&config);
    PciTransport::new(&config, &bars, Interrupts::Messages(&[message()])).map(drop)
}

#[test]
fn hd_pci_3_5_6_7_9_unusable_capabilities_are_passed_over() {
    assert_eq!(pci_with(|_| {}), Ok(()));
    let missing = Err(TransportError::Missing("common configuration"));
    assert_eq!(pci_with(|config| config.set(0x42, &[15])), missing, "too short");
    assert_eq!(pci_with(|config| config.set(0x44, &[3])), missing, "a BAR that is not there");
    assert_eq!(pci_with(|config| config.set(0x44, &[6])), missing, "a BAR that cannot be");
    assert_eq!(pci_with(|config| config.set(0x40, &capability(0x50, 1, 4, 0, 0x37))), missing, "registers missing");
    assert_eq!(pci_with(|config| config.set(0x40, &capability(0x50, 1, 4, 0x5000, 0x38))), missing, "beyond the BAR");
    assert_eq!(pci_with(|config| config.set(0x40, &capability(0x50, 1, 4, u32::MAX, u32::MAX))), missing, "overflow");
    assert_eq!(pci_with(|config| config.set(0x40, &capability(0x50, 1, 4, 2, 0x38))), missing, "misaligned");
    assert_eq!(pci_with(|config| config.set(0x40, &capability(0x50, 7, 4, 0, 0x38))), missing, "PCI-5: another kind");
}

#[test]
fn hd_pci_10_missing_blocks_end_it() {
    let isr = Err(TransportError::Missing("interrupt status register"));
    assert_eq!(pci_with(|config| config.set(0x53, &[7])), isr);
    let notify = Err(TransportError::Missing("notification registers"));
    assert_eq!(pci_with(|config| config.set(0x72, &[16])), notify, "HD-PCI-3: without its multiplier");
    assert_eq!(pci_with(|config| config.set(0x80, &3_u32.to_le_bytes())), notify, "an odd multiplier");
    assert_eq!(pci_with(|config| config.set(0x34, &[0])), Err(TransportError::Missing("common configuration")));
}

#[test]
fn pci_7_the_first_usable_capability_counts() {
    // A second common configuration behind the first, pointing to registers that panic when touched.
    let (config, bars) = PciModel::new(device(FeatureBits::VERSION_1));
    config.set(0x90, &capability(0xa0, 1, 4, 0x3800, 0x38));
    config.set(0xa0, &[0x11, 0, 3, 0]);
    config.set(0xa4, &(0x4000_u32 | 4).to_le_bytes());
    let transport = PciTransport::new(&config, &bars, Interrupts::Messages(&[message()])).expect("usable");
    assert!(Reset::new(transport, &HASTE).is_ok());
}

#[test]
fn pci_1_other_functions_are_refused() {
    assert!(matches!(pci_with(|config| config.set(0, &[0x86, 0x80])), Err(TransportError::NotVirtio(_))));
    assert!(matches!(pci_with(|config| config.set(2, &[0, 0x20])), Err(TransportError::NotVirtio(_))));
}
