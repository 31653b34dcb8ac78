//! PCI, as far as the driver of one function needs it.
//!
//! Finding functions, assigning addresses and mapping BARs is the bus's work, in the kernel, which has the two usual
//! ways to configuration space ready-made in [`access`]. A driver gets a [`ConfigSpace`] and mapped windows; this
//! module reads what they say and believes none of it: capability lists may loop, BARs may be absent, offsets may
//! point anywhere.
//!
//! ```text
//!   0x00  vendor, device   0x04  command, status   0x08  revision, class   0x0e  header type
//!   0x10 .. 0x27  BAR 0-5                          0x34  first capability
//!   0x40 .. 0xff  capabilities, each: id, next, ...
//! ```

pub mod access;
pub mod bar;
pub mod capability;
pub mod msi;
pub mod msix;

use bitflags::bitflags;

/// The 256 bytes (or more) by which a PCI function describes itself.
///
/// Offsets are in bytes and aligned to the width of the access. A function that is not there, or an offset beyond
/// what the access method reaches, reads as all ones, and writes are dropped.
pub trait ConfigSpace {
    /// Reads an aligned 32-bit word.
    fn read32(&self, offset: u16) -> u32;
    /// Writes an aligned 32-bit word.
    fn write32(&self, offset: u16, value: u32);
    /// Writes an aligned 16-bit word and nothing else: the neighbouring half may clear on write.
    fn write16(&self, offset: u16, value: u16);

    /// Reads an aligned 16-bit word.
    fn read16(&self, offset: u16) -> u16 {
        (self.read32(offset & !3) >> ((offset & 2) * 8)) as u16
    }

    /// Reads one byte.
    fn read8(&self, offset: u16) -> u8 {
        (self.read32(offset & !3) >> ((offset & 3) * 8)) as u8
    }
}

impl<C: ConfigSpace + ?Sized> ConfigSpace for &C {
    fn read32(&self, offset: u16) -> u32 {
        (**self).read32(offset)
    }
    fn write32(&self, offset: u16, value: u32) {
        (**self).write32(offset, value);
    }
    fn write16(&self, offset: u16, value: u16) {
        (**self).write16(offset, value);
    }
}

#[cfg(feature = "alloc")]
impl<C: ConfigSpace + ?Sized> ConfigSpace for alloc::boxed::Box<C> {
    fn read32(&self, offset: u16) -> u32 {
        (**self).read32(offset)
    }
    fn write32(&self, offset: u16, value: u32) {
        (**self).write32(offset, value);
    }
    fn write16(&self, offset: u16, value: u16) {
        (**self).write16(offset, value);
    }
}

/// Offset of the vendor id.
pub const VENDOR_ID: u16 = 0x00;
/// Offset of the device id.
pub const DEVICE_ID: u16 = 0x02;
/// Offset of the command register.
pub const COMMAND: u16 = 0x04;
/// Offset of the status register.
pub const STATUS: u16 = 0x06;
/// Offset of the word with revision (low byte) and class code.
pub const REVISION_AND_CLASS: u16 = 0x08;
/// Offset of the header type; bit 7 says that the device has several functions.
pub const HEADER_TYPE: u16 = 0x0e;
/// Offset of the first base address register.
pub const BAR0: u16 = 0x10;
/// Offset of the pointer to the first capability.
pub const CAPABILITIES_POINTER: u16 = 0x34;
/// Offset of the byte in which the firmware has noted where the interrupt line leads; on a PC, an ISA interrupt.
pub const INTERRUPT_LINE: u16 = 0x3c;
/// Offset of the byte that says which interrupt pin the function has; 0 for none.
pub const INTERRUPT_PIN: u16 = 0x3d;

bitflags! {
    /// The command register (PCI Local Bus 3.0 §6.2.2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Command: u16 {
        /// The function answers port accesses.
        const IO_SPACE = 1 << 0;
        /// The function answers memory accesses.
        const MEMORY_SPACE = 1 << 1;
        /// The function may access memory by itself. Cleared on a live virtio device, it stops the device.
        const BUS_MASTER = 1 << 2;
        /// The function may not raise its interrupt line.
        const INTERRUPT_DISABLE = 1 << 10;
        const _ = !0;
    }
}

/// Reads the command register.
pub fn command(config: &dyn ConfigSpace) -> Command {
    Command::from_bits_retain(config.read16(COMMAND))
}

/// Sets bits of the command register, leaving the others as they are.
pub fn enable(config: &dyn ConfigSpace, bits: Command) {
    config.write16(COMMAND, (command(config) | bits).bits());
}

/// Clears bits of the command register, leaving the others as they are.
pub fn disable(config: &dyn ConfigSpace, bits: Command) {
    config.write16(COMMAND, (command(config) & !bits).bits());
}

#[cfg(test)]
pub(crate) mod testing {
    use core::cell::RefCell;

    use super::ConfigSpace;

    /// 256 bytes; a BAR keeps the bits of a write that are in its mask, and always shows its flags. Everything
    /// else is plain memory.
    pub struct Model {
        pub bytes: RefCell<[u8; 256]>,
        pub masks: [u32; 6],
        pub flags: [u32; 6],
    }

    impl Model {
        pub fn new() -> Self {
            Self { bytes: RefCell::new([0; 256]), masks: [0; 6], flags: [0; 6] }
        }

        pub fn set(&self, offset: usize, bytes: &[u8]) {
            self.bytes.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }

    impl ConfigSpace for Model {
        fn read32(&self, offset: u16) -> u32 {
            let at = usize::from(offset);
            self.bytes
                .borrow()
                .get(at..at + 4)
                .map_or(u32::MAX, |word| u32::from_le_bytes(word.try_into().expect("four bytes")))
        }

        fn write32(&self, offset: u16, value: u32) {
            let at = usize::from(offset);
            let value = match at.wrapping_sub(0x10) / 4 {
                bar @ 0..6 => (value & self.masks[bar]) | self.flags[bar],
                _ => value,
            };
            self.set(at, &value.to_le_bytes());
        }

        fn write16(&self, offset: u16, value: u16) {
            self.set(usize::from(offset), &value.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Model;
    use super::*;

    #[test]
    fn bytes_and_halves_are_cut_out_of_words() {
        let config = Model::new();
        config.set(0x40, &[1, 2, 3, 4]);
        assert_eq!((config.read8(0x42), config.read16(0x42)), (3, 0x0403));
    }

    #[test]
    fn enabling_and_disabling_keep_the_other_bits() {
        let config = Model::new();
        config.write16(COMMAND, 0x0100);
        enable(&config, Command::MEMORY_SPACE | Command::BUS_MASTER);
        assert_eq!(config.read16(COMMAND), 0x0106);
        disable(&config, Command::MEMORY_SPACE | Command::INTERRUPT_DISABLE);
        assert_eq!(config.read16(COMMAND), 0x0104);
    }
}
