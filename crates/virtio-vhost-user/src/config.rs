//! The device configuration, as registers.
//!
//! Registers are read one by one, the device gives the configuration as a whole: so there is a copy, and the question
//! for the generation (VIRTIO 1.3 §2.5.1) makes a new one. Between two equal generations a driver then sees one state of
//! the configuration, at the price of two questions. Of a daemon that has no configuration, the copy is all there is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use toro_core::Registers;

use crate::connection::{Connection, Failure};
use crate::wire::{Message, Request};

/// Offset, length, flags: what comes before the bytes of the configuration.
const PREFIX: usize = 12;

/// The configuration space of a device.
#[derive(Debug)]
pub struct ConfigSpace {
    /// Whom to ask; `None` if the copy is what the caller supplied.
    source: Option<Arc<Connection>>,
    patience: Duration,
    len: usize,
    copy: Mutex<Copied>,
}

#[derive(Debug)]
struct Copied {
    bytes: Vec<u8>,
    generation: u32,
}

impl ConfigSpace {
    /// What a caller says that the configuration is.
    pub fn given(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self { source: None, patience: Duration::ZERO, len, copy: Mutex::new(Copied { bytes, generation: 0 }) }
    }

    /// The first `len` bytes of the device's configuration.
    pub fn of_device(source: Arc<Connection>, len: usize, patience: Duration) -> Result<Self, Failure> {
        let bytes = fetch(&source, len, Instant::now() + patience)?;
        Ok(Self { source: Some(source), patience, len, copy: Mutex::new(Copied { bytes, generation: 0 }) })
    }

    /// A number that changes with the configuration. Makes a new copy.
    pub fn generation(&self) -> u32 {
        let fetched = self.source.as_ref().map(|source| fetch(source, self.len, Instant::now() + self.patience));
        let mut copy = self.copy();
        match fetched {
            Some(Ok(bytes)) if bytes != copy.bytes => {
                copy.bytes = bytes;
                copy.generation = copy.generation.wrapping_add(1);
            }
            // A bus on which nobody answers any more.
            Some(Err(_)) => copy.bytes.fill(0xff),
            _ => {}
        }
        copy.generation
    }

    /// Makes a new copy, of a device that may be another one than before.
    pub fn renew(&self) -> Result<(), Failure> {
        let Some(source) = &self.source else { return Ok(()) };
        let bytes = fetch(source, self.len, Instant::now() + self.patience)?;
        let mut copy = self.copy();
        copy.bytes = bytes;
        copy.generation = copy.generation.wrapping_add(1);
        Ok(())
    }

    fn copy(&self) -> MutexGuard<'_, Copied> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<const N: usize>(&self, offset: usize) -> [u8; N] {
        let copy = self.copy();
        let bytes = copy.bytes.get(offset..).and_then(|rest| rest.first_chunk::<N>()).copied();
        bytes.filter(|_| offset.is_multiple_of(N)).unwrap_or([0xff; N])
    }

    fn write<const N: usize>(&self, offset: usize, bytes: [u8; N]) {
        let mut copy = self.copy();
        let place = copy.bytes.get_mut(offset..).and_then(|rest| rest.first_chunk_mut::<N>());
        let (Some(place), true, Some(source)) = (place, offset.is_multiple_of(N), &self.source) else { return };
        let message = Message::new(Request::SetConfig).word(offset as u32).word(N as u32).word(0).bytes(&bytes);
        // What a device does with a register is its own affair; one that is gone is noticed elsewhere.
        if source.tell(&message, Instant::now() + self.patience).is_ok() {
            *place = bytes;
        }
    }
}

/// Asks for the first `len` bytes.
fn fetch(source: &Connection, len: usize, until: Instant) -> Result<Vec<u8>, Failure> {
    let message = Message::new(Request::GetConfig).word(0).word(len as u32).word(0).bytes(&vec![0; len]);
    let mut answer = source.ask(&message, until)?;
    // An answer of another length is how a device says that it does not have so much.
    if answer.len() != PREFIX + len {
        return Err(Failure::Refused);
    }
    Ok(answer.split_off(PREFIX))
}

impl Registers for ConfigSpace {
    fn len(&self) -> usize {
        self.len
    }

    fn read8(&self, offset: usize) -> u8 {
        u8::from_le_bytes(self.read(offset))
    }

    fn read16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.read(offset))
    }

    fn read32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.read(offset))
    }

    fn write8(&self, offset: usize, value: u8) {
        self.write(offset, value.to_le_bytes());
    }

    fn write16(&self, offset: usize, value: u16) {
        self.write(offset, value.to_le_bytes());
    }

    fn write32(&self, offset: usize, value: u32) {
        self.write(offset, value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_that_are_not_there_read_as_all_ones() {
        let config = ConfigSpace::given(vec![1, 2, 3, 4, 5, 6]);
        assert_eq!((config.read8(5), config.read16(4), config.read32(0)), (6, 0x0605, 0x0403_0201));
        assert_eq!((config.read8(6), config.read16(5), config.read32(4)), (0xff, 0xffff, u32::MAX));
        assert_eq!((config.read16(1), config.read32(usize::MAX)), (0xffff, u32::MAX));
        config.write8(0, 9);
        assert_eq!((config.read8(0), config.generation(), config.len()), (1, 0, 6));
    }
}
