//! Device registers: [`Registers`], and the two ways a PC reaches them.
//!
//! A register access is not a memory access: it may have side effects, its width matters, and it must happen
//! exactly once and in order. Registers are therefore reached through pointers held by one type ([`Mmio`]) or by
//! port instructions ([`PortIo`]), never through references, which a compiler may read at any time.
//!
//! The trait is object-safe and small, so that a driver runs on a host against a model of its device:
//!
//! ```
//! use toro_core::io::{ReadOnly, ReadWrite, Reg, Registers};
//! # use core::cell::Cell;
//! # struct Model(Cell<u32>);
//! # impl Registers for Model {
//! #     fn len(&self) -> usize { 8 }
//! #     fn read8(&self, _: usize) -> u8 { 0 }
//! #     fn read16(&self, _: usize) -> u16 { 0 }
//! #     fn read32(&self, at: usize) -> u32 { if at == 0 { 0x7472_6976 } else { self.0.get() } }
//! #     fn write8(&self, _: usize, _: u8) {}
//! #     fn write16(&self, _: usize, _: u16) {}
//! #     fn write32(&self, _: usize, value: u32) { self.0.set(value) }
//! # }
//! const MAGIC: Reg<u32, ReadOnly> = Reg::at(0x0);
//! const STATUS: Reg<u32, ReadWrite> = Reg::at(0x4);
//!
//! fn acknowledge(device: &dyn Registers) -> bool {
//!     STATUS.write(device, 1);
//!     MAGIC.read(device) == 0x7472_6976 && STATUS.read(device) == 1
//! }
//! # assert!(acknowledge(&Model(Cell::new(0))));
//! ```
#![allow(unsafe_code)]

mod mmio;
mod port;
mod reg;
mod window;

pub use mmio::Mmio;
pub use port::PortIo;
pub use reg::{Access, CanRead, CanTake, CanWrite, ReadClears, ReadOnly, ReadWrite, Reg, Word, WriteOnly};
pub use window::Window;

/// A block of device registers.
///
/// Guarantees to the caller:
///
/// 1. Each call is one access of that width to the device, in program order with other accesses to it.
/// 2. Writes to memory made before a register write are visible to the device when it sees the write.
/// 3. An access that does not fit into the block, or is not aligned to its width, does not reach the device: a
///    read gives all ones and a write is dropped, as on a bus where nobody answers.
#[allow(clippy::len_without_is_empty)]
pub trait Registers {
    /// Size of the block in bytes.
    fn len(&self) -> usize;
    /// Reads one byte at `offset`.
    fn read8(&self, offset: usize) -> u8;
    /// Reads a 16-bit register.
    fn read16(&self, offset: usize) -> u16;
    /// Reads a 32-bit register.
    fn read32(&self, offset: usize) -> u32;
    /// Writes one byte.
    fn write8(&self, offset: usize, value: u8);
    /// Writes a 16-bit register.
    fn write16(&self, offset: usize, value: u16);
    /// Writes a 32-bit register.
    fn write32(&self, offset: usize, value: u32);

    /// Reads a 16-bit register once for each pair of bytes, and so moves what a device gives out in words, such as the
    /// sectors of a disk. The bytes of a word come in the order in which memory would have them; of an odd number the last
    /// one stays as it is.
    fn read16s(&self, offset: usize, bytes: &mut [u8]) {
        for pair in bytes.as_chunks_mut::<2>().0 {
            *pair = self.read16(offset).to_ne_bytes();
        }
    }

    /// The same in the other direction: writes a 16-bit register once for each pair of bytes.
    fn write16s(&self, offset: usize, bytes: &[u8]) {
        for pair in bytes.as_chunks::<2>().0 {
            self.write16(offset, u16::from_ne_bytes(*pair));
        }
    }

    /// As [`read16s`](Self::read16s), four bytes at a time: the one to three that are left over stay as they are.
    fn read32s(&self, offset: usize, bytes: &mut [u8]) {
        for four in bytes.as_chunks_mut::<4>().0 {
            *four = self.read32(offset).to_ne_bytes();
        }
    }

    /// As [`write16s`](Self::write16s), four bytes at a time.
    fn write32s(&self, offset: usize, bytes: &[u8]) {
        for four in bytes.as_chunks::<4>().0 {
            self.write32(offset, u32::from_ne_bytes(*four));
        }
    }
}

macro_rules! forward_registers {
    ($($target:ty),*) => {$(
        impl<R: Registers + ?Sized> Registers for $target {
            #[inline]
            fn len(&self) -> usize { (**self).len() }
            #[inline]
            fn read8(&self, offset: usize) -> u8 { (**self).read8(offset) }
            #[inline]
            fn read16(&self, offset: usize) -> u16 { (**self).read16(offset) }
            #[inline]
            fn read32(&self, offset: usize) -> u32 { (**self).read32(offset) }
            #[inline]
            fn write8(&self, offset: usize, value: u8) { (**self).write8(offset, value) }
            #[inline]
            fn write16(&self, offset: usize, value: u16) { (**self).write16(offset, value) }
            #[inline]
            fn write32(&self, offset: usize, value: u32) { (**self).write32(offset, value) }
            #[inline]
            fn read16s(&self, offset: usize, bytes: &mut [u8]) { (**self).read16s(offset, bytes) }
            #[inline]
            fn write16s(&self, offset: usize, bytes: &[u8]) { (**self).write16s(offset, bytes) }
            #[inline]
            fn read32s(&self, offset: usize, bytes: &mut [u8]) { (**self).read32s(offset, bytes) }
            #[inline]
            fn write32s(&self, offset: usize, bytes: &[u8]) { (**self).write32s(offset, bytes) }
        }
    )*};
}

forward_registers!(&R);
#[cfg(feature = "alloc")]
forward_registers!(alloc::boxed::Box<R>);

/// A block of registers in either of the two address spaces of a PC: what a BAR turns out to be.
#[derive(Clone, Debug)]
pub enum IoWindow {
    /// In memory space.
    Mmio(Mmio),
    /// In port space.
    Port(PortIo),
}

macro_rules! either_space {
    ($(fn $name:ident($($arg:ident: $kind:ty),*) $(-> $out:ty)?;)*) => {
        impl Registers for IoWindow {$(
            #[inline]
            fn $name(&self, $($arg: $kind),*) $(-> $out)? {
                match self {
                    Self::Mmio(mmio) => mmio.$name($($arg),*),
                    Self::Port(port) => port.$name($($arg),*),
                }
            }
        )*}
    };
}

either_space! {
    fn len() -> usize;
    fn read8(offset: usize) -> u8;
    fn read16(offset: usize) -> u16;
    fn read32(offset: usize) -> u32;
    fn write8(offset: usize, value: u8);
    fn write16(offset: usize, value: u16);
    fn write32(offset: usize, value: u32);
    fn read16s(offset: usize, bytes: &mut [u8]);
    fn write16s(offset: usize, bytes: &[u8]);
    fn read32s(offset: usize, bytes: &mut [u8]);
    fn write32s(offset: usize, bytes: &[u8]);
}

/// Whether an access of `width` bytes at `offset` is aligned and fits into `len` bytes.
#[inline]
const fn fits(offset: usize, width: usize, len: usize) -> bool {
    offset.is_multiple_of(width) && offset < len && len - offset >= width
}
