//! Configuration space.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use toro_core::pci::ConfigSpace;

use super::Vectors;

/// The function's configuration space: 256 bytes that a test may set, and BARs that can be sized.
#[derive(Debug, Clone)]
pub struct PciConfig {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    bytes: [u8; 256],
    /// Which bits of each BAR a write changes.
    masks: [u32; 6],
    /// Behind the last capability.
    end: usize,
    /// Where the pointer to the next capability goes.
    link: usize,
}

impl PciConfig {
    /// A function of the virtio vendor without capabilities.
    pub(super) fn new(id: u16) -> Self {
        let inner = Inner { bytes: [0; 256], masks: [0; 6], end: 0x40, link: 0x34 };
        let config = Self { inner: Arc::new(Mutex::new(inner)) };
        config.set(0x00, &0x1af4_u16.to_le_bytes());
        config.set(0x02, &id.to_le_bytes());
        config
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Overwrites some bytes.
    pub fn set(&self, offset: usize, bytes: &[u8]) {
        self.inner().bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// The bytes as they are.
    pub fn bytes(&self) -> [u8; 256] {
        self.inner().bytes
    }

    /// Makes a BAR: its value, flags included, and which bits can be written.
    pub fn set_bar(&self, index: usize, value: u32, mask: u32) {
        self.inner().masks[index] = mask;
        self.set(0x10 + 4 * index, &value.to_le_bytes());
    }

    /// Puts a capability behind the others; its pointer to the next is filled in. Gives its offset.
    pub fn add(&self, bytes: &[u8]) -> usize {
        let mut inner = self.inner();
        let (at, link) = (inner.end, inner.link);
        inner.bytes[6] |= 0x10;
        inner.bytes[link] = at as u8;
        inner.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        inner.bytes[at + 1] = 0;
        inner.link = at + 1;
        inner.end = (at + bytes.len()).next_multiple_of(4);
        at
    }

    pub(super) fn add_modern(&self, vectors: Vectors, multiplier: u32) {
        self.set_bar(4, 0xfe00_0000, 0xffff_0000);
        self.add(&capability(0, 1, 4, 0, 0x40));
        self.add(&capability(0, 3, 4, 0x1000, 1));
        self.add(&capability(0, 4, 4, 0x2000, 0x1000));
        let mut notify = capability(0, 2, 4, 0x3000, 0x1000).to_vec();
        notify[2] = 20;
        notify.extend(multiplier.to_le_bytes());
        self.add(&notify);
        // Tests count on MSI-X here.
        self.inner().end = 0x90;
        self.add_msix(vectors, 0x4000 | 4);
    }

    pub(super) fn add_legacy(&self, vectors: Vectors) {
        self.set_bar(0, 0xc001, 0xffff_ff80);
        self.set_bar(1, 0xfe00_0000, 0xffff_f000);
        self.add_msix(vectors, 1);
    }

    fn add_msix(&self, vectors: Vectors, place: u32) {
        let Vectors::Some(vectors) = vectors else { return };
        let mut bytes = vec![0x11, 0];
        bytes.extend((vectors - 1).to_le_bytes());
        bytes.extend(place.to_le_bytes());
        bytes.extend([0; 4]);
        self.add(&bytes);
    }

    /// Where MSI-X is controlled.
    fn msix_control(&self) -> Option<usize> {
        let inner = self.inner();
        let mut at = usize::from(inner.bytes[0x34]);
        for _ in 0..48 {
            match at {
                0x40..0xfc if inner.bytes[at] == 0x11 => return Some(at + 2),
                0x40..0xfc => at = usize::from(inner.bytes[at + 1]),
                _ => break,
            }
        }
        None
    }

    /// Whether MSI-X is on.
    pub fn has_msix(&self) -> bool {
        self.msix_control().is_some_and(|at| self.inner().bytes[at + 1] & 0x80 != 0)
    }
}

impl ConfigSpace for PciConfig {
    fn read32(&self, offset: u16) -> u32 {
        let at = usize::from(offset);
        let inner = self.inner();
        // The extended space behind it is there, and empty.
        inner.bytes.get(at..at + 4).map_or(0, |word| u32::from_le_bytes(word.try_into().expect("four bytes")))
    }

    fn write32(&self, offset: u16, value: u32) {
        let at = usize::from(offset);
        let index = at.wrapping_sub(0x10) / 4;
        assert!(index < 6, "PCI-10: a 32-bit write at {offset:#x}");
        assert_eq!(self.read16(4) & 3, 0, "a BAR is written while it is decoded");
        let mask = self.inner().masks[index];
        let kept = self.read32(offset) & !mask;
        self.set(at, &(value & mask | kept).to_le_bytes());
    }

    fn write16(&self, offset: u16, value: u16) {
        let at = usize::from(offset);
        if at == 4 {
            return self.set(at, &value.to_le_bytes());
        }
        assert_eq!(Some(at), self.msix_control(), "PCI-10: a 16-bit write at {offset:#x}");
        // The size of the table is not the driver's to say.
        let kept = self.read16(offset) & 0x7ff;
        self.set(at, &(value & 0xc000 | kept).to_le_bytes());
    }
}

/// The bytes of a vendor capability.
pub fn capability(next: u8, kind: u8, bar: u8, offset: u32, len: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..5].copy_from_slice(&[0x09, next, 16, kind, bar]);
    bytes[8..12].copy_from_slice(&offset.to_le_bytes());
    bytes[12..].copy_from_slice(&len.to_le_bytes());
    bytes
}

/// The bytes of a capability for shared memory.
pub fn shared_memory(bar: u8, id: u8, offset: u64, len: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&capability(0, 8, bar, offset as u32, len as u32));
    (bytes[2], bytes[5]) = (24, id);
    bytes[16..20].copy_from_slice(&((offset >> 32) as u32).to_le_bytes());
    bytes[20..].copy_from_slice(&((len >> 32) as u32).to_le_bytes());
    bytes
}
