//! Where the bytes of a command go, or come from: [`Memory`], and how far one has got: [`Cursor`].

use toro_core::dma::Segments;

/// The other end of a transfer.
pub(crate) enum Memory<'a> {
    /// What a drive says about itself.
    Own(&'a mut [u8]),
    /// The buffers of a request.
    Request(&'a mut Segments),
}

/// A place in a [`Memory`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Which buffer.
    pub(crate) segment: usize,
    /// Which byte of it.
    pub(crate) offset: usize,
}

impl Memory<'_> {
    /// The buffer with this number.
    fn segment(&mut self, number: usize) -> Option<&mut [u8]> {
        match self {
            Self::Own(bytes) => (number == 0).then_some(&mut **bytes),
            Self::Request(segments) => segments.as_mut_slice().get_mut(number).map(|buffer| &mut **buffer),
        }
    }

    /// The next contiguous bytes, at most `limit`, which the cursor passes over; none at the end.
    pub(crate) fn chunk(&mut self, cursor: &mut Cursor, limit: usize) -> &mut [u8] {
        while self.segment(cursor.segment).is_some_and(|bytes| cursor.offset >= bytes.len()) {
            *cursor = Cursor { segment: cursor.segment + 1, offset: 0 };
        }
        let Some(rest) = self.segment(cursor.segment).and_then(|bytes| bytes.get_mut(cursor.offset..)) else {
            return &mut [];
        };
        let length = rest.len().min(limit);
        cursor.offset += length;
        &mut rest[..length]
    }
}

impl Cursor {
    /// The place `bytes` further on in the buffers of a request.
    pub(crate) fn advanced(mut self, segments: &Segments, mut bytes: usize) -> Self {
        while let Some(buffer) = segments.as_slice().get(self.segment) {
            let rest = buffer.len().saturating_sub(self.offset);
            if bytes < rest {
                self.offset += bytes;
                break;
            }
            bytes -= rest;
            self = Self { segment: self.segment + 1, offset: 0 };
        }
        self
    }
}
