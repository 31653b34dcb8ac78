//! [`Contents`]: where in the archive a file's bytes are.
//!
//! ```text
//!   file     0 ..........|####|........|########|.... length        . zeros that are stored nowhere
//!                        |             |
//!   archive       |header|####|########|                            one piece after the other
//! ```
//!
//! A file is one piece as a rule. In a tar it may be stored without its holes.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use fuse_proto::Errno;

use crate::fs::vfs::SeekTarget;

/// The bytes of a file.
#[derive(Debug)]
pub struct Contents {
    length: u64,
    /// In order; they do not overlap, and end before the file does.
    pieces: Box<[Piece]>,
}

/// Bytes of the archive that are bytes of a file.
#[derive(Debug)]
struct Piece {
    /// Where they begin in the file.
    at: u64,
    /// Where they are in the archive. Invariant: within it.
    bytes: Range<usize>,
}

impl Piece {
    fn end(&self) -> u64 {
        self.at.saturating_add(self.bytes.len() as u64)
    }
}

impl Contents {
    /// All bytes of a range of the archive.
    pub fn whole(bytes: Range<usize>) -> Self {
        let length = bytes.len() as u64;
        let pieces = if bytes.is_empty() { Box::default() } else { Box::from([Piece { at: 0, bytes }]) };
        Self { length, pieces }
    }

    /// A file of this length with data at `places`, offsets and lengths, which is stored one after the other in `bytes`.
    /// `None` if the places are not in order, overlap, lie beyond the end or are more than is stored.
    pub fn sparse(length: u64, places: impl Iterator<Item = (u64, u64)>, bytes: Range<usize>) -> Option<Self> {
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut stored, mut free) = (bytes.start, 0);
        for (at, count) in places {
            let end = at.checked_add(count).filter(|&end| at >= free && end <= length)?;
            let stored_end = stored.checked_add(usize::try_from(count).ok()?).filter(|&end| end <= bytes.end)?;
            if count > 0 {
                pieces.push(Piece { at, bytes: stored..stored_end });
            }
            (stored, free) = (stored_end, end);
        }
        Some(Self { length, pieces: pieces.into() })
    }

    /// Bytes in the file.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Bytes that are stored.
    pub fn stored(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.bytes.len() as u64).sum()
    }

    /// Reads from `offset` on, and returns how many bytes: fewer than there is room for mean the end of the file.
    pub fn read(&self, image: &[u8], buffer: &mut [u8], offset: u64) -> usize {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let Some(buffer) = buffer.get_mut(..room) else { return 0 };
        let end = offset.saturating_add(room as u64);
        let first = self.pieces.partition_point(|piece| piece.end() <= offset);
        let pieces = self.pieces.get(first..).unwrap_or_default();
        let mut done = 0;
        for piece in pieces.iter().take_while(|piece| piece.at < end) {
            let start = piece.at.max(offset);
            let (from, to) = ((start - offset) as usize, (piece.end().min(end) - offset) as usize);
            let source = piece.bytes.start.saturating_add((start - piece.at) as usize);
            let (Some(hole), Some(bytes)) = (buffer.get_mut(done..from), image.get(source..source + (to - from)))
            else {
                return done;
            };
            hole.fill(0);
            if let Some(place) = buffer.get_mut(from..to) {
                place.copy_from_slice(bytes);
            }
            done = to;
        }
        buffer.get_mut(done..).unwrap_or_default().fill(0);
        room
    }

    /// Where the next data or hole begins.
    ///
    /// # Errors
    ///
    /// ENXIO at or behind the end, and for data behind the last.
    pub fn seek(&self, offset: u64, target: SeekTarget) -> Result<u64, Errno> {
        if offset >= self.length {
            return Err(Errno::ENXIO);
        }
        let first = self.pieces.partition_point(|piece| piece.end() <= offset);
        let mut pieces = self.pieces.get(first..).unwrap_or_default().iter();
        match target {
            SeekTarget::Data => pieces.next().map(|piece| piece.at.max(offset)).ok_or(Errno::ENXIO),
            SeekTarget::Hole => {
                let mut hole = offset;
                for piece in pieces {
                    if piece.at > hole {
                        break;
                    }
                    hole = piece.end();
                }
                Ok(hole)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const IMAGE: &[u8] = b"--abcdefgh--";

    fn sparse(length: u64, places: &[(u64, u64)]) -> Option<Contents> {
        Contents::sparse(length, places.iter().copied(), 2..10)
    }

    #[test]
    fn holes_read_as_zeros_wherever_reading_begins() {
        let contents = sparse(16, &[(2, 3), (5, 1), (9, 4)]).expect("in order");
        let expected = b"\0\0abcd\0\0\0efgh\0\0\0";
        for offset in 0..=17 {
            for length in 0..=18 {
                let mut buffer = vec![0xFF; length];
                let count = contents.read(IMAGE, &mut buffer, offset as u64);
                let rest = expected.get(offset..).unwrap_or_default();
                assert_eq!(&buffer[..count], &rest[..length.min(rest.len())], "{offset} {length}");
            }
        }
        assert_eq!((contents.len(), contents.stored()), (16, 8));
    }

    #[test]
    fn data_and_holes_are_found() {
        let contents = sparse(16, &[(2, 3), (5, 1), (9, 4)]).expect("in order");
        let seek = |offset, target| contents.seek(offset, target).ok();
        assert_eq!([0, 2, 5, 6, 12].map(|at| seek(at, SeekTarget::Data)), [2, 2, 5, 9, 12].map(Some));
        assert_eq!(seek(13, SeekTarget::Data), None);
        assert_eq!([0, 2, 5, 6, 12, 15].map(|at| seek(at, SeekTarget::Hole)), [0, 6, 6, 6, 13, 15].map(Some));
        assert_eq!(seek(16, SeekTarget::Hole), None);
        let whole = Contents::whole(2..10);
        assert_eq!((whole.seek(3, SeekTarget::Data), whole.seek(3, SeekTarget::Hole)), (Ok(3), Ok(8)));
    }

    #[test]
    fn places_that_cannot_be_are_refused() {
        for places in [&[(0, 9)][..], &[(0, 2), (1, 2)], &[(4, 2), (0, 2)], &[(15, 2)], &[(u64::MAX, 2)]] {
            assert!(sparse(16, places).is_none(), "{places:?}");
        }
        assert!(sparse(u64::MAX, &[(u64::MAX - 4, 4)]).is_some());
    }
}
