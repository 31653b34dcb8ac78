//! What a function is, and where its registers are.

use toro_core::Registers;
use toro_core::pci::ConfigSpace;

use crate::rig::*;

/// Puts capabilities in front of those of a function.
fn with_in_front(bytes: &[&[u8]]) -> Function {
    let function = Function::modern();
    let first = function.config.bytes()[0x34];
    let mut at = 0xa0;
    function.config.set(0x34, &[at as u8]);
    for (i, capability) in bytes.iter().enumerate() {
        let mut capability = capability.to_vec();
        let next = at + capability.len().next_multiple_of(4);
        capability[1] = if i + 1 == bytes.len() { first } else { next as u8 };
        function.config.set(at, &capability);
        at = next;
    }
    function
}

#[test]
fn pci_3_any_revision_and_subsystem_will_do() {
    for function in [Function::modern(), Function::legacy(Vectors::None), Function::transitional()] {
        for revision in [0, 1, 0x42, 0xff] {
            function.config.set(0x08, &[revision]);
            function.config.set(0x2c, &[revision, 0x12, revision, 0x34]);
            function.works();
        }
    }
}

#[test]
fn pci_4_capabilities_come_first_and_without_any_a_function_is_a_legacy_one() {
    let function = Function::transitional();
    let transport = function.polled();
    assert_eq!(transport.interface(), Interface::Modern);
    function.exchange(transport);
    assert!(function.traces[0].take().is_empty(), "its legacy registers are left alone");

    let function = Function::legacy(Vectors::None);
    let transport = function.polled();
    assert!(matches!(transport.interface(), Interface::Legacy { .. }));
    function.exchange(transport);
    let modern_only = PciTransport::new(&function.config, &function.bars, Interrupts::Polled).map(drop);
    assert_eq!(modern_only, Err(TransportError::Missing("common configuration")), "refused without harm");

    // The list is there; whether it is, one bit says.
    let function = Function::transitional();
    function.config.set(0x06, &[0]);
    assert!(matches!(function.polled().interface(), Interface::Legacy { .. }));
}

#[test]
fn pci_5_25_26_capabilities_of_other_kinds_are_passed_over() {
    for kind in [0, 5, 6, 7, 9, 10, 0x7f, 0xff] {
        // Of a length that holds whatever there may be in it.
        let mut bytes = capability(0, kind, 4, 0x3800, 0x38).to_vec();
        bytes.extend([0xff; 4]);
        bytes[2] = 20;
        let function = with_in_front(&[&bytes, &bytes]);
        let before = function.config.bytes();
        function.works();
        assert_eq!(function.config.bytes()[0x40..], before[0x40..], "kind {kind}: not written to");
    }
}

#[test]
fn pci_6_hd_pci_5_capabilities_that_name_no_bar_are_passed_over() {
    for bar in [6, 7, 0x42, 0xff, 0, 5] {
        let bytes = [1, 2, 3, 4].map(|kind| {
            let mut bytes = capability(0, kind, bar, 0, 0x38).to_vec();
            bytes.extend([4, 0, 0, 0]);
            bytes[2] = 20;
            bytes
        });
        with_in_front(&bytes.each_ref().map(|bytes| &bytes[..])).works();
    }
}

#[test]
fn pci_8_capabilities_may_be_longer_than_known() {
    let function = Function::modern();
    for (at, len) in [(0x40, 17), (0x50, 64), (0x60, 0xff), (0x70, 32)] {
        function.config.set(at + 2, &[len]);
    }
    function.works();
}

/// Registers that claim to be huge.
#[derive(Clone)]
struct Huge(PciModel);

macro_rules! forward {
    ($($read:ident, $write:ident, $width:ty;)*) => {$(
        fn $read(&self, offset: usize) -> $width { self.0.$read(offset) }
        fn $write(&self, offset: usize, value: $width) { self.0.$write(offset, value); }
    )*};
}

impl Registers for Huge {
    fn len(&self) -> usize {
        1 << 33
    }
    forward! {
        read8, write8, u8;
        read16, write16, u16;
        read32, write32, u32;
    }
}

#[test]
fn pci_9_hd_pci_8_of_a_block_of_four_gigabytes_only_what_is_needed_is_touched() {
    let device = device(FeatureBits::VERSION_1);
    let (config, bars) = PciModel::new(device.clone());
    for at in [0x40, 0x50, 0x60, 0x70] {
        config.set(at + 12, &u32::MAX.to_le_bytes());
    }
    let function = Function::new((config, bars.clone()), device);
    // The model fails the test on an access behind its registers.
    let transport = PciTransport::new(&function.config, &bars.map(|bar| bar.map(Huge)), Interrupts::Polled);
    function.exchange(Box::new(transport.expect("large is not wrong")));
}

#[test]
fn pci_10_nothing_is_written_to_a_virtio_capability() {
    for count in [0, 3] {
        let function = Function::modern();
        let before = function.config.bytes();
        function.exchange(function.with_messages(count));
        let after = function.config.bytes();
        // The command register, and the control of MSI-X at 0x92.
        let changed: Vec<_> = (0..256).filter(|&at| before[at] != after[at]).collect();
        assert!(changed.iter().all(|at| [4, 5, 0x92, 0x93].contains(at)), "{changed:x?}");
    }
}

#[test]
fn hd_pci_3_4_capabilities_cut_short_are_passed_over() {
    // Too short to say what it is for; and with its end beyond configuration space.
    let mut short = capability(0, 1, 4, 0x3800, 0x38);
    short[2] = 15;
    let function = with_in_front(&[&short]);
    let first = function.config.bytes()[0xa1];
    function.config.set(0xa1, &[0xf4]);
    function.config.set(0xf4, &capability(0, 1, 4, 0x3800, 0x38)[..12]);
    function.config.set(0xf5, &[first]);
    function.works();
    // A notification block needs four bytes more: here they would be behind the end.
    function.config.set(0xa1, &[0xf0]);
    function.config.set(0xf0, &capability(first, 2, 4, 0x3800, 0x38));
    function.config.set(0xf2, &[20]);
    function.works();
}

#[test]
fn hd_pci_10_a_function_with_unusable_virtio_capabilities_is_not_taken_for_a_legacy_one() {
    for (at, missing) in
        [(0x43, "common configuration"), (0x53, "interrupt status register"), (0x73, "notification registers")]
    {
        let function = Function::transitional();
        function.config.set(at, &[7]);
        let refused = function.open(Interrupts::Polled).map(drop);
        assert_eq!(refused, Err(TransportError::Missing(missing)));
        assert!(function.traces.iter().all(|trace| trace.take().is_empty()), "nothing was touched");
        assert_eq!(function.config.read16(4) & 7, 0, "nothing was enabled");
    }
}

#[test]
fn hd_pci_12_duplicates_change_nothing_however_many() {
    let function = Function::modern();
    // As many more as fit, pointing to registers that fail the test, and then a loop.
    for at in (0xa0..0xf0).step_by(16) {
        function.config.set(at, &capability(at as u8 + 16, 1 + (at / 16 % 4) as u8, 4, 0x3800, 0x40));
    }
    function.config.set(0xe1, &[0x40]);
    function.config.set(0x91, &[0xa0]);
    function.works();
    function.exchange(function.with_messages(2));
}
