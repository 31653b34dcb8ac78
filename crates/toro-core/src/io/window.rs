//! [`Window`]: a part of a register block.

use super::Registers;

/// The part of a block of registers from some offset on. Accesses beyond it do not reach the device, even where
/// the block underneath goes on.
#[derive(Clone, Debug)]
pub struct Window<R> {
    registers: R,
    offset: usize,
    len: usize,
}

impl<R: Registers> Window<R> {
    /// The `len` bytes from `offset`; `None` if they do not lie inside the block, or do not start on a 32-bit
    /// boundary.
    pub fn new(registers: R, offset: usize, len: usize) -> Option<Self> {
        let end = offset.checked_add(len)?;
        (end <= registers.len() && offset.is_multiple_of(4)).then_some(Self { registers, offset, len })
    }

    /// Whether `width` bytes at `offset` lie inside.
    #[inline]
    fn has(&self, offset: usize, width: usize) -> bool {
        super::fits(offset, width, self.len)
    }
}

macro_rules! accesses {
    ($($read:ident, $write:ident, $width:ty;)*) => {$(
        #[inline]
        fn $read(&self, offset: usize) -> $width {
            if self.has(offset, size_of::<$width>()) { self.registers.$read(self.offset + offset) } else { <$width>::MAX }
        }
        #[inline]
        fn $write(&self, offset: usize, value: $width) {
            if self.has(offset, size_of::<$width>()) {
                self.registers.$write(self.offset + offset, value);
            }
        }
    )*};
}

impl<R: Registers> Registers for Window<R> {
    fn len(&self) -> usize {
        self.len
    }
    accesses! {
        read8, write8, u8;
        read16, write16, u16;
        read32, write32, u32;
    }
}
