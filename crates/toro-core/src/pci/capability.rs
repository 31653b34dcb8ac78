//! Walking the capability list (PCI Local Bus 3.0 §6.7), with a bound.
//!
//! The list is a chain of one-byte offsets written by the device. It may point back, below the header, between
//! words or nowhere; the walk visits at most as many places as there is room for.

use super::{CAPABILITIES_POINTER, ConfigSpace, STATUS};

/// Capability id of MSI.
pub const MSI: u8 = 0x05;
/// Capability id of MSI-X.
pub const MSI_X: u8 = 0x11;
/// Capability id of vendor-specific capabilities; virtio's are of this kind.
pub const VENDOR_SPECIFIC: u8 = 0x09;

/// Capabilities start behind the header and are word-aligned, so there is room for (256 - 64) / 4 of them.
const MOST: u8 = 48;

/// A capability: where it is and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its offset in configuration space, 0x40 to 0xfc, word-aligned.
    pub offset: u16,
    /// Its kind.
    pub id: u8,
}

/// The capabilities of a function, in list order.
pub fn capabilities(config: &dyn ConfigSpace) -> Capabilities<'_> {
    const HAS_LIST: u16 = 1 << 4;
    let status = config.read16(STATUS);
    let has_list = status != u16::MAX && status & HAS_LIST != 0;
    Capabilities { config, next: if has_list { config.read8(CAPABILITIES_POINTER) } else { 0 }, left: MOST }
}

/// See [`capabilities`].
pub struct Capabilities<'a> {
    config: &'a dyn ConfigSpace,
    next: u8,
    left: u8,
}

impl Iterator for Capabilities<'_> {
    type Item = Capability;

    fn next(&mut self) -> Option<Capability> {
        // The low two bits are reserved; all ones is what a missing function reads as.
        let offset = self.next & !3;
        if self.next == 0xff || offset < 0x40 || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let head = self.config.read16(u16::from(offset));
        self.next = (head >> 8) as u8;
        Some(Capability { offset: u16::from(offset), id: head as u8 })
    }
}

impl core::fmt::Debug for Capabilities<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Capabilities(next at {:#x})", self.next)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::testing::Model;
    use super::*;

    fn with_list(first: u8) -> Model {
        let config = Model::new();
        config.set(usize::from(STATUS), &[0x10, 0]);
        config.set(usize::from(CAPABILITIES_POINTER), &[first]);
        config
    }

    #[test]
    fn the_list_is_walked_in_order() {
        let config = with_list(0x50);
        config.set(0x50, &[0x09, 0x40]);
        config.set(0x40, &[0x11, 0]);
        let found: Vec<_> = capabilities(&config).map(|c| (c.offset, c.id)).collect();
        assert_eq!(found, [(0x50, 0x09), (0x40, 0x11)]);
    }

    #[test]
    fn hd_pci_1_a_loop_ends() {
        let config = with_list(0x40);
        config.set(0x40, &[0x09, 0x44]);
        config.set(0x44, &[0x09, 0x40]);
        assert_eq!(capabilities(&config).count(), usize::from(MOST));
    }

    #[test]
    fn hd_pci_2_pointers_outside_the_list_end_it() {
        for next in [0x00, 0x04, 0x3f, 0xff] {
            let config = with_list(0x40);
            config.set(0x40, &[0x09, next]);
            assert_eq!(capabilities(&config).count(), 1, "next = {next:#x}");
        }
        let config = with_list(0x43);
        assert_eq!(capabilities(&config).next().map(|c| c.offset), Some(0x40));
    }

    #[test]
    fn a_function_without_a_list_or_without_a_device_has_none() {
        let config = Model::new();
        config.set(usize::from(CAPABILITIES_POINTER), &[0x40]);
        assert_eq!(capabilities(&config).count(), 0);
        config.bytes.borrow_mut().fill(0xff);
        assert_eq!(capabilities(&config).count(), 0);
    }
}
