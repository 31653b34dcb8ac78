//! [`Script`]: an input as the stream of decisions that it is read for.
//!
//! Reads at the end of the input give zeros, which every target takes for "nothing more happens" or "no lie": a short
//! input is a short and obedient story, so that libFuzzer can cut inputs down from behind.

use std::cell::Cell;

/// A cursor in an input. Shared by whoever makes decisions, hence the cell.
#[derive(Debug)]
pub struct Script<'a> {
    rest: Cell<&'a [u8]>,
}

impl<'a> Script<'a> {
    /// At the start of an input.
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: Cell::new(input) }
    }

    /// Whether everything has been read.
    pub fn is_over(&self) -> bool {
        self.rest.get().is_empty()
    }

    /// The next bytes, zeros behind the end.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        let rest = self.rest.get();
        let count = N.min(rest.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        self.rest.set(&rest[count..]);
        bytes
    }

    /// The next bytes, as many as there are up to `most`.
    pub fn take(&self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.get().split_at(most.min(self.rest.get().len()));
        self.rest.set(rest);
        taken
    }

    /// The next byte.
    pub fn byte(&self) -> u8 {
        u8::from_le_bytes(self.bytes())
    }

    /// The next two bytes.
    pub fn word(&self) -> u16 {
        u16::from_le_bytes(self.bytes())
    }

    /// The next four bytes.
    pub fn long(&self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    /// A number below `bound`, from one byte.
    pub fn below(&self, bound: u8) -> u8 {
        self.byte() % bound.max(1)
    }
}
