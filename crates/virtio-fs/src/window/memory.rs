//! [`WindowMemory`]: how a platform lets the window's bytes be copied.

use toro_core::Registers;

/// The pages are not there: the host has taken them away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vanished;

/// The memory of a window, as a platform has mapped it.
///
/// Duties of an implementer: bytes are copied with accesses that the compiler neither invents nor repeats nor assumes
/// anything about, as others change them meanwhile; an access to a page that is not there any more is survived and
/// reported (HD-FS-45).
#[allow(clippy::len_without_is_empty)]
pub trait WindowMemory {
    /// Its length in bytes, as the device's description of it was read when it was mapped. Always the same.
    fn len(&self) -> u64;

    /// Copies from `offset` on into `out`. It is all within [`len`](Self::len).
    ///
    /// # Errors
    ///
    /// A page is not there.
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Vanished>;

    /// Copies `bytes` to `offset`. It is all within [`len`](Self::len).
    ///
    /// # Errors
    ///
    /// A page is not there.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Vanished>;
}

impl<M: WindowMemory + ?Sized> WindowMemory for &M {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Vanished> {
        (**self).read(offset, out)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Vanished> {
        (**self).write(offset, bytes)
    }
}

/// A window that is reached like registers, word by word, by accesses that always succeed.
///
/// It is for hosts that take no page away: who cut off no file that is mapped, or answer for pages that are gone as a bus
/// answers where nobody is. What else happens at such a page is between host and platform.
#[derive(Clone, Copy, Debug)]
pub struct RegisterMemory<R>(pub R);

impl<R: Registers> WindowMemory for RegisterMemory<R> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Vanished> {
        let mut at = usize::try_from(offset).map_err(|_| Vanished)?;
        let (head, words) = split_mut(at, out);
        for byte in head {
            *byte = self.0.read8(at);
            at += 1;
        }
        let (words, tail) = words.as_chunks_mut::<4>();
        for word in words {
            *word = self.0.read32(at).to_le_bytes();
            at += 4;
        }
        for byte in tail {
            *byte = self.0.read8(at);
            at += 1;
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Vanished> {
        let mut at = usize::try_from(offset).map_err(|_| Vanished)?;
        let (head, words) = bytes.split_at(head_len(at, bytes.len()));
        for &byte in head {
            self.0.write8(at, byte);
            at += 1;
        }
        let (words, tail) = words.as_chunks::<4>();
        for &word in words {
            self.0.write32(at, u32::from_le_bytes(word));
            at += 4;
        }
        for &byte in tail {
            self.0.write8(at, byte);
            at += 1;
        }
        Ok(())
    }
}

/// How many bytes there are before the first whole word.
fn head_len(at: usize, len: usize) -> usize {
    (at.wrapping_neg() % 4).min(len)
}

fn split_mut(at: usize, bytes: &mut [u8]) -> (&mut [u8], &mut [u8]) {
    bytes.split_at_mut(head_len(at, bytes.len()))
}
