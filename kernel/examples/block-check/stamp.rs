//! What is in each sector, so that a sector that is not what it should be tells what it is.
//!
//! ```text
//!   word   0       1        2            3      4 .. 59             60       61           62     63
//!          magic   sector   generation   seed   start + i * step    sector   generation   seed   magic, inverted
//! ```
//!
//! All words are little-endian and of 64 bits. `start` is a hash of sector, generation and seed. A sector of which a part
//! is older begins and ends with different generations; one that was written to the wrong place says where it belongs.

use core::fmt;

/// Bytes in a sector.
pub const SECTOR: usize = 512;

const MAGIC: u64 = u64::from_le_bytes(*b"TOROdisk");
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const WORDS: usize = SECTOR / size_of::<u64>();
/// Where the last words begin.
const TAIL: usize = WORDS - 4;

/// What a sector says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its number.
    pub sector: u64,
    /// How often its place has been written, as the writer counts.
    pub generation: u64,
    /// Of which run it is.
    pub seed: u64,
}

/// What is wrong with a sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing but zeros.
    Zeros,
    /// Not a stamp.
    Foreign,
    /// It belongs elsewhere, or to another time.
    Other(Stamp),
    /// It begins as one and ends as another.
    Torn(Stamp, Stamp),
    /// A word between a right beginning and a right end is wrong.
    Word(usize),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zeros => f.write_str("it is all zeros"),
            Self::Foreign => f.write_str("it has no stamp"),
            Self::Other(stamp) => write!(f, "it has {stamp}"),
            Self::Torn(start, end) => write!(f, "it begins with {start} and ends with {end}"),
            Self::Word(number) => write!(f, "word {number} is wrong"),
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sector {}, generation {}, seed {}", self.sector, self.generation, self.seed)
    }
}

impl Stamp {
    /// Fills a sector.
    pub fn write(&self, bytes: &mut [u8]) {
        let Self { sector, generation, seed } = *self;
        let start = self.start();
        for (number, place) in bytes.chunks_exact_mut(8).enumerate() {
            place.copy_from_slice(&(start.wrapping_add(STEP.wrapping_mul(number as u64))).to_le_bytes());
        }
        let mut put = |number: usize, word: u64| {
            if let Some(place) = bytes.get_mut(number * 8..number * 8 + 8) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        };
        for (number, word) in [MAGIC, sector, generation, seed].into_iter().enumerate() {
            put(number, word);
        }
        for (number, word) in [sector, generation, seed, !MAGIC].into_iter().enumerate() {
            put(TAIL + number, word);
        }
    }

    /// Checks a sector.
    ///
    /// # Errors
    ///
    /// What it is instead.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Flaw> {
        let start = self.start();
        let word = |number: usize| {
            let place = bytes.get(number * 8..).and_then(|rest| rest.first_chunk());
            place.map_or(0, |word| u64::from_le_bytes(*word))
        };
        let head = Self { sector: word(1), generation: word(2), seed: word(3) };
        let tail = Self { sector: word(TAIL), generation: word(TAIL + 1), seed: word(TAIL + 2) };
        match (word(0) == MAGIC, word(WORDS - 1) == !MAGIC) {
            (true, true) => {}
            _ if bytes.iter().all(|byte| *byte == 0) => return Err(Flaw::Zeros),
            _ => return Err(Flaw::Foreign),
        }
        if head != tail {
            return Err(Flaw::Torn(head, tail));
        }
        if head != *self {
            return Err(Flaw::Other(head));
        }
        let is_wrong = |number: &usize| word(*number) != start.wrapping_add(STEP.wrapping_mul(*number as u64));
        (4..TAIL).find(is_wrong).map_or(Ok(()), |number| Err(Flaw::Word(number)))
    }

    /// The word that the middle of the sector starts from.
    fn start(&self) -> u64 {
        let numbers = [self.sector, self.generation, self.seed];
        numbers.into_iter().fold(MAGIC, |hash, number| mix(hash ^ number))
    }
}

/// Mixes the bits of a number (the last step of SplitMix64).
pub fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(STEP);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
