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

macro_rules! string_accesses {
    ($($read:ident, $write:ident, $width:ty;)*) => {$(
        fn $read(&self, offset: usize, bytes: &mut [u8]) {
            const WIDTH: usize = size_of::<$width>();
            match self.has(offset, WIDTH) {
                true => self.registers.$read(self.offset + offset, bytes),
                false => bytes.as_chunks_mut::<WIDTH>().0.fill([u8::MAX; WIDTH]),
            }
        }

        fn $write(&self, offset: usize, bytes: &[u8]) {
            if self.has(offset, size_of::<$width>()) {
                self.registers.$write(self.offset + offset, bytes);
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

    string_accesses! {
        read16s, write16s, u16;
        read32s, write32s, u32;
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    /// Registers that remember where they were last reached.
    struct Recorder(Cell<Option<usize>>);

    impl Registers for Recorder {
        fn len(&self) -> usize {
            8
        }
        fn read8(&self, offset: usize) -> u8 {
            self.0.set(Some(offset));
            0
        }
        fn read16(&self, offset: usize) -> u16 {
            self.read8(offset).into()
        }
        fn read32(&self, offset: usize) -> u32 {
            self.read8(offset).into()
        }
        fn write8(&self, offset: usize, _: u8) {
            self.0.set(Some(offset));
        }
        fn write16(&self, offset: usize, _: u16) {
            self.0.set(Some(offset));
        }
        fn write32(&self, offset: usize, _: u32) {
            self.0.set(Some(offset));
        }
    }

    #[test]
    fn a_window_starts_at_its_offset_and_ends_with_its_length() {
        let registers = Recorder(Cell::new(None));
        assert!(Window::new(&registers, 4, 5).is_none());
        assert!(Window::new(&registers, 2, 4).is_none(), "not on a 32-bit boundary");
        let window = Window::new(&registers, 4, 2).expect("inside");
        window.write8(1, 0);
        assert_eq!(registers.0.take(), Some(5));
        assert_eq!((window.read16(0), registers.0.take()), (0, Some(4)));
        // The block goes on behind it.
        assert_eq!((window.read16(2), window.read32(0)), (u16::MAX, u32::MAX));
        window.write16(2, 0);
        assert_eq!(registers.0.take(), None);
    }

    #[test]
    fn words_are_moved_inside_the_window_only() {
        let registers = Recorder(Cell::new(None));
        let window = Window::new(&registers, 4, 2).expect("inside");
        let mut bytes = [1; 5];
        window.read16s(0, &mut bytes);
        assert_eq!((bytes, registers.0.take()), ([0, 0, 0, 0, 1], Some(4)));
        window.read16s(2, &mut bytes);
        assert_eq!(bytes, [u8::MAX, u8::MAX, u8::MAX, u8::MAX, 1]);
        window.write16s(2, &bytes);
        assert_eq!(registers.0.take(), None);
        window.write16s(0, &bytes);
        assert_eq!(registers.0.take(), Some(4));
        // Two bytes of it have no room for four.
        let mut bytes = [1; 7];
        window.read32s(0, &mut bytes);
        assert_eq!(bytes, [u8::MAX, u8::MAX, u8::MAX, u8::MAX, 1, 1, 1]);
        window.write32s(0, &bytes);
        assert_eq!(registers.0.take(), None);
        let window = Window::new(&registers, 4, 4).expect("inside");
        window.read32s(0, &mut bytes);
        assert_eq!((bytes, registers.0.take()), ([0, 0, 0, 0, 1, 1, 1], Some(4)));
        window.write32s(0, &bytes);
        assert_eq!(registers.0.take(), Some(4));
    }
}
