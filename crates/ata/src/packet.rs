//! Packets: the SCSI commands that a packet device takes (MMC-3, SPC-3), and what it says of those that failed.
//!
//! All numbers are big-endian. A packet device holds media that come and go, and reports every change once, by failing
//! whatever command comes next (UNIT ATTENTION).

/// Bytes in a block of a CD or DVD, and in no others that are read here.
pub(crate) const BLOCK_BYTES: usize = 2048;
/// Bytes of data that REQUEST SENSE gives.
pub(crate) const SENSE_BYTES: usize = 18;
/// Bytes of data that READ CAPACITY gives.
pub(crate) const CAPACITY_BYTES: usize = 8;
/// Blocks in a READ (10).
pub(crate) const MOST_BLOCKS: usize = u16::MAX as usize;
/// The most that comes at a time: even, whole blocks.
pub(crate) const PIECE: u16 = 4 * BLOCK_BYTES as u16;

/// REQUEST SENSE: what was wrong?
pub(crate) const REQUEST_SENSE: [u8; 12] = [0x03, 0, 0, 0, SENSE_BYTES as u8, 0, 0, 0, 0, 0, 0, 0];
/// READ CAPACITY (10).
pub(crate) const READ_CAPACITY: [u8; 12] = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// READ (10).
pub(crate) fn read(block: u32, blocks: u16) -> [u8; 12] {
    let [a, b, c, d] = block.to_be_bytes();
    let [high, low] = blocks.to_be_bytes();
    [0x28, 0, a, b, c, d, 0, high, low, 0, 0, 0]
}

/// The capacity in blocks, from the answer to READ CAPACITY; 0 for what cannot be read here.
pub(crate) fn capacity(answer: &[u8; CAPACITY_BYTES]) -> u64 {
    let [a, b, c, d, e, f, g, h] = *answer;
    let (last, size) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    if size as usize == BLOCK_BYTES { u64::from(last) + 1 } else { 0 }
}

/// Why a packet failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sense {
    /// There is no medium, or it is not ready yet.
    NotReady,
    /// It cannot be read.
    Medium,
    /// The request is not one.
    Illegal,
    /// There is another medium, or a reset has come between: ask again.
    Attention,
    /// Anything else.
    Other,
}

impl Sense {
    /// From the answer to REQUEST SENSE.
    pub(crate) fn of(answer: &[u8; SENSE_BYTES]) -> Self {
        // 0x70 and 0x71, now and before; without them there is nothing in it.
        if answer[0] & 0x7e != 0x70 {
            return Self::Other;
        }
        match answer[2] & 0x0f {
            2 => Self::NotReady,
            3 => Self::Medium,
            5 => Self::Illegal,
            6 => Self::Attention,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_29_numbers_in_packets_are_big_endian() {
        assert_eq!(read(0x0102_0304, 0x0506), [0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0, 0, 0]);
        assert_eq!(capacity(&[0, 0, 1, 0, 0, 0, 8, 0]), 257);
        assert_eq!(capacity(&[0xff, 0xff, 0xff, 0xff, 0, 0, 8, 0]), 1 << 32);
        assert_eq!(capacity(&[0, 0, 1, 0, 0, 0, 2, 0]), 0, "blocks of 512 bytes");
    }

    #[test]
    fn sense_without_a_response_code_says_nothing() {
        let mut answer = [0; SENSE_BYTES];
        answer[2] = 6;
        assert_eq!(Sense::of(&answer), Sense::Other);
        for code in [0x70, 0x71, 0xf0] {
            answer[0] = code;
            assert_eq!(Sense::of(&answer), Sense::Attention);
        }
    }
}
