//! Shared memory.

use toro_core::pci::{self, Command};

use crate::rig::*;

const BAR: u8 = 2;
const ADDRESS: u64 = 0x8_4000_0000;
const SIZE: u64 = 1 << 30;

/// A function with a large BAR that nobody has mapped, and these regions of it: id, offset, length.
fn with_regions(regions: &[(u8, u64, u64)]) -> Function {
    let function = Function::modern_with(FeatureBits::EMPTY, Vectors::None);
    function.config.set_bar(2, ADDRESS as u32 | 0xc, 0xc000_0000);
    function.config.set_bar(3, (ADDRESS >> 32) as u32, u32::MAX);
    for &(id, offset, len) in regions {
        function.config.add(&shared_memory(BAR, id, offset, len));
    }
    function
}

#[test]
fn regions_of_shared_memory_are_found_by_their_id() {
    let function = with_regions(&[(0, 0, SIZE / 2), (7, SIZE / 2, SIZE / 2), (255, 0x1000, 1)]);
    pci::enable(&function.config, Command::MEMORY_SPACE);
    let transport = function.polled();
    let region = |address, len| Some(SharedMemory { address, len });
    assert_eq!(transport.shared_memory(0), region(ADDRESS, SIZE / 2));
    assert_eq!(transport.shared_memory(7), region(ADDRESS + SIZE / 2, SIZE / 2));
    assert_eq!(transport.shared_memory(255), region(ADDRESS + 0x1000, 1));
    assert_eq!(transport.shared_memory(1), None);
    let negotiated = function.negotiated(transport);
    assert_eq!(negotiated.shared_memory(0), region(ADDRESS, SIZE / 2));
    assert_eq!(negotiated.run().shared_memory(7), region(ADDRESS + SIZE / 2, SIZE / 2));
    let bytes = function.config.bytes();
    assert_eq!(bytes[0x18..0x20], [0x0c, 0, 0, 0x40, 8, 0, 0, 0], "the BAR is where it was");
    function.works();
}

#[test]
fn hd_pci_17_regions_that_cannot_be_are_not_there() {
    for (offset, len) in [
        (0, 0),
        (SIZE, 1),
        (0, SIZE + 1),
        (SIZE - 1, 2),
        (u64::MAX, 1),
        (u64::MAX, u64::MAX),
        (1, u64::MAX),
        (1 << 32, 0x1000),
    ] {
        let function = with_regions(&[(3, offset, len), (4, 0, 0x1000)]);
        let transport = function.polled();
        assert_eq!(transport.shared_memory(3), None, "{offset:#x} + {len:#x}");
        assert!(transport.shared_memory(4).is_some(), "the others are");
        function.works();
    }
    // An id that comes twice, or more often: nobody knows which is meant.
    let function = with_regions(&[(3, 0, 0x1000), (4, 0, 0x1000), (3, 0x1000, 0x1000), (3, 0x2000, 0x1000)]);
    let transport = function.polled();
    assert_eq!((transport.shared_memory(3), transport.shared_memory(4).is_some()), (None, true));
    // In a BAR that nobody placed, that is not there, of ports, or cannot be; too short for 64 bits.
    type Change = fn(&PciConfig, usize);
    let changes: [Change; 5] = [
        |config, _| {
            config.set_bar(2, 0xc, 0xc000_0000);
            config.set_bar(3, 0, u32::MAX);
        },
        |config, at| config.set(at + 4, &[5]),
        |config, at| {
            config.set_bar(0, 0xc001, 0xffff_ff00);
            config.set(at + 4, &[0]);
        },
        |config, at| config.set(at + 4, &[6]),
        |config, at| config.set(at + 2, &[16]),
    ];
    for change in changes {
        let function = with_regions(&[]);
        let at = function.config.add(&shared_memory(BAR, 3, 0, 0x10));
        assert!(function.polled().shared_memory(3).is_some());
        change(&function.config, at);
        pci::disable(&function.config, Command::MEMORY_SPACE | Command::IO_SPACE);
        assert_eq!(function.polled().shared_memory(3), None);
        function.works();
    }
}
