//! [`GuestOrder`]: a legacy device's configuration, whose fields are in the byte order of the guest.

use toro_core::io::Registers;

/// Registers whose bytes are in the order of this machine (VIRTIO 1.3 §2.5.3), where [`Registers`] are little-endian
/// all over. On a little-endian machine it does nothing.
#[derive(Debug)]
pub(super) struct GuestOrder<R>(pub R);

macro_rules! accesses {
    ($($read:ident, $write:ident, $width:ty;)*) => {$(
        fn $read(&self, offset: usize) -> $width {
            <$width>::from_ne_bytes(self.0.$read(offset).to_le_bytes())
        }
        fn $write(&self, offset: usize, value: $width) {
            self.0.$write(offset, <$width>::from_le_bytes(value.to_ne_bytes()));
        }
    )*};
}

impl<R: Registers> Registers for GuestOrder<R> {
    fn len(&self) -> usize {
        self.0.len()
    }

    accesses! {
        read8, write8, u8;
        read16, write16, u16;
        read32, write32, u32;
    }
}
