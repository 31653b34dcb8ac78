//! [`Function`]: the configuration space of a PCI function, in memory, and what it says in an honest device.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use toro_core::pci::ConfigSpace;
use toro_core::pci::msix::MsiMessage;

/// Accesses that one input may cause.
const MOST_ACCESSES: u32 = 20_000;

/// The capabilities of an honest modern function, from 0x40 on: registers in BAR 4 as
/// [`Layout::Bar`](crate::chip::Layout::Bar) has them, and MSI-X with four vectors.
pub const CAPABILITIES: [u8; 0x5c] = {
    let mut bytes = [0; 0x5c];
    let blocks = [(0x00, 0x50, 16, 1, 0x00, 0x40), (0x10, 0x60, 16, 3, 0x10, 0x01), (0x20, 0x70, 16, 4, 0x20, 0)];
    let mut i = 0;
    while i < blocks.len() {
        let (at, next, len, kind, page, size) = blocks[i];
        (bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3], bytes[at + 4]) = (0x09, next, len, kind, 4);
        bytes[at + 9] = page;
        bytes[at + 12] = size;
        i += 1;
    }
    // The device configuration and the doorbells are a page each.
    bytes[0x2d] = 0x10;
    (bytes[0x30], bytes[0x31], bytes[0x32], bytes[0x33], bytes[0x34]) = (0x09, 0x90, 20, 2, 4);
    (bytes[0x39], bytes[0x3d], bytes[0x40]) = (0x30, 0x10, 4);
    (bytes[0x50], bytes[0x51], bytes[0x52]) = (0x11, 0x00, 3);
    (bytes[0x54], bytes[0x55]) = (4, 0x40);
    bytes
};

/// A change of one byte, made by the device before an access.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Before which access, counted from 0.
    pub access: u16,
    /// Which byte.
    pub offset: u8,
    /// What it becomes.
    pub value: u8,
}

#[derive(Debug)]
struct State {
    bytes: [u8; 256],
    /// Which bits of the BARs can be written.
    masks: [u32; 6],
    changes: Vec<Change>,
    accesses: u32,
}

/// Configuration space; clones are the same function.
#[derive(Debug, Clone)]
pub struct Function {
    state: Arc<Mutex<State>>,
}

impl Function {
    /// With these bytes; BARs are as large as `masks` say, and bytes change by themselves.
    pub fn new(bytes: [u8; 256], masks: [u32; 6], changes: Vec<Change>) -> Self {
        Self { state: Arc::new(Mutex::new(State { bytes, masks, changes, accesses: 0 })) }
    }

    /// An honest one with a device id: modern, or legacy without any capability but MSI-X.
    pub fn honest(device: u16) -> Self {
        let mut bytes = [0; 256];
        bytes[..2].copy_from_slice(&0x1af4_u16.to_le_bytes());
        bytes[2..4].copy_from_slice(&device.to_le_bytes());
        bytes[0x06] = 0x10;
        bytes[0x34] = if device >= 0x1040 { 0x40 } else { 0x90 };
        bytes[0x40..0x40 + CAPABILITIES.len()].copy_from_slice(&CAPABILITIES);
        // BAR 0 are ports, BAR 4 is memory.
        bytes[0x10] = 1;
        Self::new(bytes, [0xffff_ff00, 0, 0, 0, 0xffff_8000, 0], Vec::new())
    }

    /// The bytes as they are now.
    pub fn bytes(&self) -> [u8; 256] {
        self.state().bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state at an access.
    fn access(&self, offset: u16, width: u16) -> MutexGuard<'_, State> {
        assert!(offset.is_multiple_of(width), "an unaligned access to {offset:#x} of configuration space");
        let mut state = self.state();
        for i in 0..state.changes.len() {
            let Change { access, offset, value } = state.changes[i];
            if u32::from(access) == state.accesses {
                state.bytes[usize::from(offset)] = value;
            }
        }
        state.accesses += 1;
        assert!(state.accesses <= MOST_ACCESSES, "configuration space is accessed without end");
        state
    }

    fn write(&self, offset: u16, bytes: &[u8]) {
        let mut state = self.access(offset, bytes.len() as u16);
        let at = usize::from(offset);
        let Some(place) = state.bytes.get(at..at + bytes.len()).map(<[u8]>::to_vec) else { return };
        let bar = at.checked_sub(0x10).map(|distance| distance / 4).filter(|bar| *bar < 6);
        for (i, byte) in bytes.iter().enumerate() {
            let mask = bar.map_or(0xff, |bar| (state.masks[bar] >> (8 * (at + i) % 32)) as u8);
            state.bytes[at + i] = place[i] & !mask | byte & mask;
        }
    }
}

impl ConfigSpace for Function {
    fn read32(&self, offset: u16) -> u32 {
        let state = self.access(offset, 4);
        let at = usize::from(offset);
        let word = state.bytes.get(at..at + 4);
        // Extended configuration space, which has nothing in it.
        word.map_or(0, |word| u32::from_le_bytes(word.try_into().expect("four bytes")))
    }

    fn write32(&self, offset: u16, value: u32) {
        self.write(offset, &value.to_le_bytes());
    }

    fn write16(&self, offset: u16, value: u16) {
        self.write(offset, &value.to_le_bytes());
    }
}

/// Messages for MSI-X.
pub fn messages() -> [MsiMessage; 3] {
    // SAFETY: nothing writes them anywhere.
    [0x41, 0x42, 0x43].map(|data| unsafe { MsiMessage::new(0xfee0_0000, data) })
}
