//! MSI-X (PCI Local Bus 3.0 §6.8.2): interrupts as memory writes, one vector per entry of a table in a BAR.
//!
//! ```text
//!   capability: [0] id, next, message control   [4] table offset | BAR   [8] pending bits offset | BAR
//!   table entry: [0] address low  [4] address high  [8] data  [12] control (bit 0 masks)
//! ```

use core::fmt;

use super::ConfigSpace;
use super::capability::{Capability, MSI_X, capabilities};
use crate::io::{IoWindow, Registers, Window};

/// What a device writes, and where, to interrupt a core. Chosen by the platform.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MsiMessage {
    address: u64,
    data: u32,
}

impl MsiMessage {
    /// A message.
    ///
    /// # Safety
    ///
    /// A device that writes `data` to `address` raises an interrupt that the platform handles, and does nothing
    /// else.
    #[allow(unsafe_code)]
    pub const unsafe fn new(address: u64, data: u32) -> Self {
        Self { address, data }
    }

    /// Where the device writes.
    pub const fn address(self) -> u64 {
        self.address
    }

    /// What it writes.
    pub const fn data(self) -> u32 {
        self.data
    }
}

impl fmt::Debug for MsiMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MsiMessage({:#x} <- {:#x})", self.address, self.data)
    }
}

/// The MSI-X table of a function, with interrupts enabled.
pub struct MsiX<R = IoWindow> {
    table: Window<R>,
    vectors: u16,
    control_offset: u16,
}

const ENABLE: u16 = 1 << 15;
const MASK_ALL: u16 = 1 << 14;

impl<R: Registers + Clone> MsiX<R> {
    /// Finds the table, masks every vector, enables MSI-X. `None` if the function has no usable one.
    pub fn enable(config: &dyn ConfigSpace, bars: &[Option<R>; 6]) -> Option<Self> {
        let Capability { offset, .. } = capabilities(config).find(|c| c.id == MSI_X && c.offset <= 0xf4)?;
        let control = config.read16(offset + 2);
        let vectors = (control & 0x7ff) + 1;
        let place = config.read32(offset + 4);
        let bar = bars.get((place & 7) as usize)?.as_ref()?;
        let table = Window::new(bar.clone(), (place & !7) as usize, usize::from(vectors) * 16)?;
        // Masked as a whole until each entry is: what an entry holds before is anybody's guess.
        config.write16(offset + 2, control | ENABLE | MASK_ALL);
        for vector in 0..usize::from(vectors) {
            table.write32(vector * 16 + 12, 1);
        }
        config.write16(offset + 2, (control | ENABLE) & !MASK_ALL);
        Some(Self { table, vectors, control_offset: offset + 2 })
    }

    /// How many vectors the function has: 1 to 2,048.
    pub fn vectors(&self) -> u16 {
        self.vectors
    }

    /// Lets a vector send this message. `None`, and no change, if the function has no such vector.
    pub fn set(&mut self, vector: u16, message: MsiMessage) -> Option<()> {
        if vector >= self.vectors {
            return None;
        }
        let entry = usize::from(vector) * 16;
        self.table.write32(entry + 12, 1);
        self.table.write32(entry, message.address as u32);
        self.table.write32(entry + 4, (message.address >> 32) as u32);
        self.table.write32(entry + 8, message.data);
        self.table.write32(entry + 12, 0);
        Some(())
    }

    /// Switches MSI-X off again; for a device that goes out of service.
    pub fn disable(self, config: &dyn ConfigSpace) {
        let control = config.read16(self.control_offset);
        config.write16(self.control_offset, control & !ENABLE);
    }
}

/// Switches MSI-X off, if the function has it and whoever had the function before left it on.
pub fn disable(config: &dyn ConfigSpace) {
    for Capability { offset, .. } in capabilities(config).filter(|c| c.id == MSI_X) {
        let control = config.read16(offset + 2);
        if control & ENABLE != 0 {
            config.write16(offset + 2, control & !ENABLE);
        }
    }
}

impl<R> fmt::Debug for MsiX<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MsiX({} vectors)", self.vectors)
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use core::cell::UnsafeCell;
    use core::ptr::NonNull;

    use super::super::testing::Model;
    use super::super::{CAPABILITIES_POINTER, STATUS};
    use super::*;
    use crate::io::Mmio;

    #[repr(align(16))]
    struct Bytes(UnsafeCell<[u8; 4096]>);

    fn bars(bytes: &Bytes) -> [Option<IoWindow>; 6] {
        let base = NonNull::new(bytes.0.get().cast::<u8>()).expect("a reference is not null");
        // SAFETY: used through this value only, while the bytes live.
        let mmio = unsafe { Mmio::new(base, 4096) };
        [None, Some(IoWindow::Mmio(mmio)), None, None, None, None]
    }

    fn function(control: u16, table: u32) -> Model {
        let config = Model::new();
        config.set(usize::from(STATUS), &[0x10, 0]);
        config.set(usize::from(CAPABILITIES_POINTER), &[0x98]);
        config.set(0x98, &[MSI_X, 0]);
        config.set(0x9a, &control.to_le_bytes());
        config.set(0x9c, &table.to_le_bytes());
        config
    }

    #[test]
    fn vectors_are_masked_until_set() {
        let bytes = Bytes(UnsafeCell::new([0; 4096]));
        let bars = bars(&bytes);
        let config = function(2, 0x801);
        let mut msix = MsiX::enable(&config, &bars).expect("a sound capability");
        assert_eq!(msix.vectors(), 3);
        assert_eq!(config.read16(0x9a), ENABLE | 2);
        // SAFETY: nothing is written anywhere.
        let message = unsafe { MsiMessage::new(0xfee0_1000, 0x4031) };
        msix.set(1, message).expect("there are three");
        assert_eq!(msix.set(3, message), None);
        let table = bars[1].as_ref().expect("BAR 1 is there");
        let word = |at: usize| table.read32(0x800 + at);
        assert_eq!((word(12), word(28), word(44)), (1, 0, 1));
        assert_eq!((word(16), word(20), word(24)), (0xfee0_1000, 0, 0x4031));
        msix.disable(&config);
        assert_eq!(config.read16(0x9a) & ENABLE, 0);
        config.write16(0x9a, ENABLE | 2);
        disable(&config);
        assert_eq!(config.read16(0x9a), 2);
    }

    #[test]
    fn pci_17_any_table_size_works_if_its_bar_holds_it() {
        let bytes = Bytes(UnsafeCell::new([0; 4096]));
        let bars = bars(&bytes);
        assert_eq!(MsiX::enable(&function(0, 0x1), &bars).map(|m| m.vectors()), Some(1));
        assert_eq!(MsiX::enable(&function(255, 0x1), &bars).map(|m| m.vectors()), Some(256));
        assert!(MsiX::enable(&function(256, 0x1), &bars).is_none(), "257 entries do not fit");
        assert!(MsiX::enable(&function(0x7ff, 0x1), &bars).is_none());
        assert!(MsiX::enable(&function(0, 0x1000 | 1), &bars).is_none(), "beyond the BAR");
        assert!(MsiX::enable(&function(0, 0), &bars).is_none(), "no such BAR");
        assert!(MsiX::enable(&function(0, 7), &bars).is_none(), "BAR 7 does not exist");
    }
}
