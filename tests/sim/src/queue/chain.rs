//! Chains as the device finds them: descriptors, in the ring's table or in one of their own.

/// A descriptor as it lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawDescriptor {
    /// Bus address of the buffer, or of a table.
    pub address: u64,
    /// Its length in bytes.
    pub len: u32,
    /// [`NEXT`](Self::NEXT), [`WRITE`](Self::WRITE), [`INDIRECT`](Self::INDIRECT).
    pub flags: u16,
    /// Where the chain goes on, if it does.
    pub next: u16,
}

impl RawDescriptor {
    /// The chain goes on.
    pub const NEXT: u16 = 1;
    /// The device writes this buffer.
    pub const WRITE: u16 = 2;
    /// The buffer is a table of descriptors.
    pub const INDIRECT: u16 = 4;

    /// Whether a flag is set.
    pub const fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// A chain that the driver made available.
#[derive(Debug, Clone, Default)]
pub struct PoppedChain {
    /// Its head.
    pub head: u16,
    /// Address and length of what the device reads.
    pub readable: Vec<(u64, u32)>,
    /// Address and length of what the device writes.
    pub writable: Vec<(u64, u32)>,
    /// Address and length of the indirect table, if it has one.
    pub table: Option<(u64, u32)>,
}

impl PoppedChain {
    /// How many bytes the device can read.
    pub fn readable_len(&self) -> u32 {
        self.readable.iter().map(|(_, len)| len).sum()
    }

    /// How many bytes the device can write.
    pub fn writable_len(&self) -> u32 {
        self.writable.iter().map(|(_, len)| len).sum()
    }

    /// How many buffers it has.
    pub fn len(&self) -> usize {
        self.readable.len() + self.writable.len()
    }

    /// Whether it has none, which no driver may make.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the buffer of a descriptor in.
    ///
    /// # Panics
    ///
    /// If no driver may make such a chain.
    pub(super) fn add(&mut self, descriptor: RawDescriptor, size: u16) {
        assert!(descriptor.len > 0, "zero-sized buffers are not allowed");
        if descriptor.is(RawDescriptor::WRITE) {
            self.writable.push((descriptor.address, descriptor.len));
        } else {
            assert!(self.writable.is_empty(), "VQ-5: readable after writable");
            self.readable.push((descriptor.address, descriptor.len));
        }
        assert!(self.len() <= usize::from(size), "VQ-7, VQ-8: more descriptors than the queue has");
        let bytes: u64 = self.readable.iter().chain(&self.writable).map(|&(_, len)| u64::from(len)).sum();
        assert!(bytes <= 1 << 32, "VQ-7: {bytes} bytes");
    }
}
