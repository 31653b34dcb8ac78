//! Registers in x86 port space.

use super::Registers;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
use super::fits;

/// A block of port-mapped registers. On processors without port space every access misses.
#[derive(Clone, Debug)]
pub struct PortIo {
    base: u16,
    len: u16,
}

impl PortIo {
    /// Takes charge of `len` ports from `base`.
    ///
    /// # Safety
    ///
    /// The code runs where port instructions are allowed, and no access to these ports makes the platform unsafe
    /// for Rust code (as reprogramming an interrupt or DMA controller would).
    pub const unsafe fn new(base: u16, len: u16) -> Self {
        Self { base, len }
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
macro_rules! port_access {
    ($read:ident, $write:ident, $width:ty, $register:tt) => {
        #[inline]
        fn $read(&self, offset: usize) -> $width {
            if !fits(offset, size_of::<$width>(), usize::from(self.len)) {
                return <$width>::MAX;
            }
            let port = self.base.wrapping_add(offset as u16);
            let value: $width;
            // SAFETY: the port is one of the block, which `new`'s caller vouched for; the instruction touches no
            // memory of Rust's.
            unsafe { core::arch::asm!(concat!("in ", $register, ", dx"), in("dx") port, out($register) value, options(nostack, preserves_flags)) };
            value
        }

        #[inline]
        fn $write(&self, offset: usize, value: $width) {
            if !fits(offset, size_of::<$width>(), usize::from(self.len)) {
                return;
            }
            let port = self.base.wrapping_add(offset as u16);
            // SAFETY: as for the read; not marked `nomem`, so writes to memory stay before it.
            unsafe { core::arch::asm!(concat!("out dx, ", $register), in("dx") port, in($register) value, options(nostack, preserves_flags)) };
        }
    };
}

// One instruction, for which a virtual machine leaves its guest once a page and not once a word.
#[cfg(target_arch = "x86_64")]
macro_rules! string_access {
    ($read:ident, $write:ident, $width:ty, $suffix:tt) => {
        fn $read(&self, offset: usize, bytes: &mut [u8]) {
            const WIDTH: usize = size_of::<$width>();
            let words = bytes.len() / WIDTH;
            if !fits(offset, WIDTH, usize::from(self.len)) {
                bytes[..WIDTH * words].fill(u8::MAX);
                return;
            }
            let port = self.base.wrapping_add(offset as u16);
            // SAFETY: the port is one of the block, which `new`'s caller vouched for; the instruction writes
            // `WIDTH * words` bytes, which the slice has, upwards, as the direction flag is clear.
            unsafe {
                core::arch::asm!(
                    concat!("rep ins", $suffix),
                    in("dx") port,
                    inout("rdi") bytes.as_mut_ptr() => _,
                    inout("rcx") words => _,
                    options(nostack, preserves_flags)
                );
            }
        }

        fn $write(&self, offset: usize, bytes: &[u8]) {
            const WIDTH: usize = size_of::<$width>();
            if !fits(offset, WIDTH, usize::from(self.len)) {
                return;
            }
            let (port, words) = (self.base.wrapping_add(offset as u16), bytes.len() / WIDTH);
            // SAFETY: as for the read; the instruction reads `WIDTH * words` bytes, which the slice has. Not marked
            // `nomem`, so writes to memory stay before it.
            unsafe {
                core::arch::asm!(
                    concat!("rep outs", $suffix),
                    in("dx") port,
                    inout("rsi") bytes.as_ptr() => _,
                    inout("rcx") words => _,
                    options(nostack, preserves_flags)
                );
            }
        }
    };
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
impl Registers for PortIo {
    fn len(&self) -> usize {
        usize::from(self.len)
    }
    port_access!(read8, write8, u8, "al");
    port_access!(read16, write16, u16, "ax");
    port_access!(read32, write32, u32, "eax");

    #[cfg(target_arch = "x86_64")]
    string_access!(read16s, write16s, u16, "w");
    #[cfg(target_arch = "x86_64")]
    string_access!(read32s, write32s, u32, "d");
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
impl Registers for PortIo {
    fn len(&self) -> usize {
        usize::from(self.len)
    }
    fn read8(&self, _: usize) -> u8 {
        u8::MAX
    }
    fn read16(&self, _: usize) -> u16 {
        u16::MAX
    }
    fn read32(&self, _: usize) -> u32 {
        u32::MAX
    }
    fn write8(&self, _: usize, _: u8) {}
    fn write16(&self, _: usize, _: u16) {}
    fn write32(&self, _: usize, _: u32) {}
}

#[cfg(test)]
mod tests {
    use super::super::Window;
    use super::*;

    #[test]
    fn accesses_outside_the_block_touch_no_port() {
        // SAFETY: no access below reaches a port.
        let ports = unsafe { PortIo::new(0x1000, 8) };
        assert_eq!(ports.read32(8), u32::MAX);
        assert_eq!(ports.read16(7), u16::MAX);
        assert_eq!(ports.read8(70_000), u8::MAX);
        ports.write32(6, 0);
        let mut bytes = [0; 5];
        ports.read16s(7, &mut bytes);
        assert_eq!(bytes, [u8::MAX, u8::MAX, u8::MAX, u8::MAX, 0]);
        ports.write16s(8, &bytes);
        let mut bytes = [0; 7];
        ports.read32s(6, &mut bytes);
        assert_eq!(bytes, [u8::MAX, u8::MAX, u8::MAX, u8::MAX, 0, 0, 0]);
        ports.write32s(8, &bytes);
        assert!(Window::new(&ports, 4, 5).is_none());
        let window = Window::new(&ports, 4, 4).expect("inside");
        assert_eq!((window.len(), window.read32(4), window.read16(3)), (4, u32::MAX, u16::MAX));
    }
}
