//! The controllers that this driver knows, and in what they differ.

/// Intel, as a vendor of PCI functions.
const INTEL: u16 = 0x8086;

/// A kind of controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Model {
    /// 82544GC, PCI-X, copper.
    I82544Gc,
    /// 82540EM, PCI, copper: what `e1000` is in most emulators.
    I82540Em,
    /// 82545EM, PCI-X, copper.
    I82545Em,
    /// 82574L, PCI Express: what `e1000e` is in most emulators.
    I82574L,
}

impl Model {
    /// The controller with these PCI ids, if it is a known one.
    pub const fn of(vendor: u16, device: u16) -> Option<Self> {
        match (vendor, device) {
            (INTEL, 0x100c | 0x100d) => Some(Self::I82544Gc),
            (INTEL, 0x100e) => Some(Self::I82540Em),
            (INTEL, 0x100f) => Some(Self::I82545Em),
            (INTEL, 0x10d3) => Some(Self::I82574L),
            _ => None,
        }
    }

    /// How words of the EEPROM are asked for.
    #[cfg(feature = "alloc")]
    pub(crate) const fn eeprom_read(self) -> EepromRead {
        match self {
            Self::I82574L => EepromRead { done: 1 << 1, address_shift: 2 },
            _ => EepromRead { done: 1 << 4, address_shift: 8 },
        }
    }

    /// Whether transmit descriptors are only counted when told to.
    #[cfg(feature = "alloc")]
    pub(crate) const fn counts_descriptors_on_demand(self) -> bool {
        matches!(self, Self::I82574L)
    }
}

/// Where things are in the register that reads the EEPROM.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct EepromRead {
    pub(crate) done: u32,
    pub(crate) address_shift: u32,
}
