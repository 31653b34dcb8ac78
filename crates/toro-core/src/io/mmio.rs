//! Registers in memory space.

use core::fmt;
use core::ptr::NonNull;

use volatile::VolatilePtr;

use super::{Registers, fits};

/// A block of memory-mapped registers.
///
/// Clones name the same registers.
#[derive(Clone)]
pub struct Mmio {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a register access is one volatile access, which any core may make; there is no other state.
unsafe impl Send for Mmio {}
// SAFETY: as above.
unsafe impl Sync for Mmio {}

impl Mmio {
    /// Takes charge of `len` bytes of registers at `base`.
    ///
    /// # Safety
    ///
    /// For as long as this value or a clone of it exists, the bytes are mapped as device memory (uncached), they
    /// are not memory that Rust code uses otherwise, `base` is aligned to 8 bytes, and no access to them breaks
    /// the platform. The driver that gets this value decides what the device is told.
    pub const unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
        Self { base, len }
    }

    #[inline]
    fn register<T>(&self, offset: usize) -> Option<VolatilePtr<'_, T>> {
        if !fits(offset, size_of::<T>(), self.len) {
            return None;
        }
        // SAFETY: inside the block, by the check above.
        let register = unsafe { self.base.add(offset) }.cast::<T>();
        // SAFETY: `new`'s caller promised device registers here, and an aligned base; `fits` checked the offset, so
        // accesses of up to 32 bits are aligned.
        Some(unsafe { VolatilePtr::new(register) })
    }
}

impl Registers for Mmio {
    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn read8(&self, offset: usize) -> u8 {
        self.register::<u8>(offset).map_or(u8::MAX, |register| register.read())
    }

    #[inline]
    fn read16(&self, offset: usize) -> u16 {
        self.register::<u16>(offset).map_or(u16::MAX, |register| register.read())
    }

    #[inline]
    fn read32(&self, offset: usize) -> u32 {
        self.register::<u32>(offset).map_or(u32::MAX, |register| register.read())
    }

    #[inline]
    fn write8(&self, offset: usize, value: u8) {
        if let Some(register) = self.register::<u8>(offset) {
            before_write();
            register.write(value);
        }
    }

    #[inline]
    fn write16(&self, offset: usize, value: u16) {
        if let Some(register) = self.register::<u16>(offset) {
            before_write();
            register.write(value);
        }
    }

    #[inline]
    fn write32(&self, offset: usize, value: u32) {
        if let Some(register) = self.register::<u32>(offset) {
            before_write();
            register.write(value);
        }
    }
}

/// Orders earlier writes to memory before the register write that tells the device about them.
///
/// x86 keeps stores in order, to uncached memory too, so only the compiler has to be held back.
#[inline]
fn before_write() {
    #[cfg(target_arch = "x86_64")]
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
    #[cfg(not(target_arch = "x86_64"))]
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}

impl fmt::Debug for Mmio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mmio({:p}, {:#x} bytes)", self.base, self.len)
    }
}

#[cfg(test)]
mod tests {
    use core::cell::UnsafeCell;

    use super::super::Window;
    use super::*;

    #[repr(align(8))]
    struct Bytes(UnsafeCell<[u8; 16]>);

    fn block(bytes: &Bytes) -> Mmio {
        let base = NonNull::new(bytes.0.get().cast::<u8>()).expect("a reference is not null");
        // SAFETY: the test uses the bytes through this value only, while they live.
        unsafe { Mmio::new(base, 16) }
    }

    #[test]
    fn registers_are_little_pieces_of_one_block() {
        let bytes = Bytes(UnsafeCell::new([0; 16]));
        let mmio = block(&bytes);
        mmio.write32(4, 0x0403_0201);
        assert_eq!((mmio.read8(5), mmio.read16(6)), (2, 0x0403));
        let window = Window::new(&mmio, 4, 8).expect("inside");
        assert_eq!(window.read32(0), 0x0403_0201);
    }

    #[test]
    fn accesses_outside_or_askew_do_not_reach_the_device() {
        let bytes = Bytes(UnsafeCell::new([0; 16]));
        let mmio = block(&bytes);
        assert_eq!(mmio.read32(16), u32::MAX);
        assert_eq!(mmio.read32(13), u32::MAX);
        assert_eq!(mmio.read16(1), u16::MAX);
        assert_eq!(mmio.read8(usize::MAX), u8::MAX);
        mmio.write32(14, 7);
        mmio.write16(15, 7);
        assert!((0..16).all(|i| mmio.read8(i) == 0));
        assert!(Window::new(&mmio, 8, 9).is_none());
        assert!(Window::new(&mmio, usize::MAX, 1).is_none());
        let window = Window::new(&mmio, 4, 4).expect("inside");
        assert_eq!(window.read32(4), u32::MAX);
    }
}
