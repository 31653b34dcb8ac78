//! [`Reg`]: a register's name, with its width and what may be done to it.

use core::marker::PhantomData;

use super::Registers;

/// Widths that a register can have: `u8`, `u16` and `u32`.
pub trait Word: Copy {
    /// Reads one register of this width.
    fn read_from<R: Registers + ?Sized>(registers: &R, offset: usize) -> Self;
    /// Writes one register of this width.
    fn write_to<R: Registers + ?Sized>(self, registers: &R, offset: usize);
}

macro_rules! word {
    ($width:ty, $read:ident, $write:ident) => {
        impl Word for $width {
            #[inline]
            fn read_from<R: Registers + ?Sized>(registers: &R, offset: usize) -> Self {
                registers.$read(offset)
            }
            #[inline]
            fn write_to<R: Registers + ?Sized>(self, registers: &R, offset: usize) {
                registers.$write(offset, self)
            }
        }
    };
}
word!(u8, read8, write8);
word!(u16, read16, write16);
word!(u32, read32, write32);

/// What may be done to a register.
pub trait Access {}
/// It may be read without changing the device.
pub trait CanRead: Access {}
/// It may be written.
pub trait CanWrite: Access {}
/// Reading it changes the device.
pub trait CanTake: Access {}

macro_rules! access {
    ($($(#[$doc:meta])* $name:ident: $($trait:ident),*;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}
        impl Access for $name {}
        $(impl $trait for $name {})*
    )*};
}
access! {
    /// Reading has no side effect; writing is an error of the driver.
    ReadOnly: CanRead;
    /// Reading is meaningless.
    WriteOnly: CanWrite;
    /// Both.
    ReadWrite: CanRead, CanWrite;
    /// Reading clears it; [`Reg::take`] says so.
    ReadClears: CanTake;
}

/// The register at an offset, with its width `T` and its kind of access `A`.
#[derive(Debug)]
pub struct Reg<T, A> {
    offset: usize,
    kind: PhantomData<(T, A)>,
}

impl<T, A> Clone for Reg<T, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, A> Copy for Reg<T, A> {}

impl<T: Word, A: Access> Reg<T, A> {
    /// Names the register at `offset` bytes from the start of its block.
    pub const fn at(offset: usize) -> Self {
        Self { offset, kind: PhantomData }
    }

    /// Where it is.
    pub const fn offset(self) -> usize {
        self.offset
    }

    /// Where it ends: what a block must be long enough for.
    pub const fn end(self) -> usize {
        self.offset + size_of::<T>()
    }
}

impl<T: Word, A: CanRead> Reg<T, A> {
    /// Reads it.
    #[inline]
    pub fn read<R: Registers + ?Sized>(self, registers: &R) -> T {
        T::read_from(registers, self.offset)
    }
}

impl<T: Word, A: CanWrite> Reg<T, A> {
    /// Writes it.
    #[inline]
    pub fn write<R: Registers + ?Sized>(self, registers: &R, value: T) {
        value.write_to(registers, self.offset);
    }
}

impl<T: Word, A: CanTake> Reg<T, A> {
    /// Reads it, which clears it in the device.
    #[inline]
    pub fn take<R: Registers + ?Sized>(self, registers: &R) -> T {
        T::read_from(registers, self.offset)
    }
}
