//! [`IoSlice`] and [`IoSliceMut`]: the pieces of a read or write that takes several at once.

use core::ops::{Deref, DerefMut};

/// A piece to write from, as `std::io::IoSlice`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoSlice<'a>(&'a [u8]);

impl<'a> IoSlice<'a> {
    /// These bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Shortens the piece from the front.
    ///
    /// # Panics
    ///
    /// If it has fewer than `count` bytes.
    pub fn advance(&mut self, count: usize) {
        self.0 = &self.0[count..];
    }
}

impl Deref for IoSlice<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

/// A piece to read into, as `std::io::IoSliceMut`.
#[derive(Debug, PartialEq, Eq)]
pub struct IoSliceMut<'a>(&'a mut [u8]);

impl<'a> IoSliceMut<'a> {
    /// These bytes.
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    /// Shortens the piece from the front.
    ///
    /// # Panics
    ///
    /// If it has fewer than `count` bytes.
    pub fn advance(&mut self, count: usize) {
        self.0 = &mut core::mem::take(&mut self.0)[count..];
    }
}

impl Deref for IoSliceMut<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl DerefMut for IoSliceMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_shortened_from_the_front() {
        let mut piece = IoSlice::new(b"abc");
        piece.advance(1);
        assert_eq!(&*piece, b"bc");
        let mut bytes = *b"abc";
        let mut piece = IoSliceMut::new(&mut bytes);
        piece.advance(2);
        piece[0] = b'x';
        assert_eq!(&bytes, b"abx");
    }
}
