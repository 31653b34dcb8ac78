//! The stamps of `block-check`, as its documentation describes them.
//!
//! ```text
//!   bytes  0       8        16           24     32 ...                480      488          496    504
//!          magic   sector   generation   seed   60 - 4 hashed words   sector   generation   seed   not magic
//! ```

use std::io::Read;
use std::ops::RangeInclusive;

/// Bytes in a sector.
pub const SECTOR: usize = 512;
/// How many wrong sectors are listed.
const LISTED: usize = 10;

/// What a sector holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing was ever written.
    Zeros,
    /// A stamp, whole.
    Stamp {
        /// The sector that it is for.
        sector: u64,
        /// Its generation.
        generation: u64,
        /// Its seed.
        seed: u64,
    },
    /// Anything else, such as parts of two stamps.
    Broken,
}

/// The words of a stamp.
fn words(sector: u64, generation: u64, seed: u64) -> [u64; SECTOR / 8] {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let magic = u64::from_le_bytes(*b"TOROdisk");
    let hash = [sector, generation, seed].iter().fold(magic, |hash, number| {
        let mut z = (hash ^ number).wrapping_add(GOLDEN);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    });
    let mut word = hash;
    let mut words = [0; SECTOR / 8];
    for place in &mut words {
        *place = word;
        word = word.wrapping_add(GOLDEN);
    }
    words[..4].copy_from_slice(&[magic, sector, generation, seed]);
    words[60..].copy_from_slice(&[sector, generation, seed, !magic]);
    words
}

impl Content {
    /// What these bytes are.
    pub fn of(bytes: &[u8; SECTOR]) -> Self {
        if bytes.iter().all(|&byte| byte == 0) {
            return Self::Zeros;
        }
        let mut found = [0; SECTOR / 8];
        for (word, bytes) in found.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        }
        let [_, sector, generation, seed, ..] = found;
        if found == words(sector, generation, seed) { Self::Stamp { sector, generation, seed } } else { Self::Broken }
    }
}

/// Checks the first `sectors` sectors of an image: each has to be stamped for its place, with this seed and a generation
/// that `generations` allows; nothing but zeros is generation 0.
///
/// # Errors
///
/// The first wrong sectors, and how many there are.
pub fn check(
    mut image: impl Read,
    sectors: u64,
    seed: u64,
    generations: impl Fn(u64) -> RangeInclusive<u64>,
) -> Result<(), String> {
    let (mut wrong, mut listed) = (0_u64, Vec::new());
    let mut bytes = [0; SECTOR];
    for place in 0..sectors {
        image.read_exact(&mut bytes).map_err(|error| format!("sector {place} of the image: {error}"))?;
        let allowed = generations(place);
        let content = Content::of(&bytes);
        let is_right = match content {
            Content::Zeros => allowed.contains(&0),
            Content::Stamp { sector, generation, seed: found } => {
                sector == place && found == seed && allowed.contains(&generation)
            }
            Content::Broken => false,
        };
        if !is_right {
            wrong += 1;
            if listed.len() < LISTED {
                listed.push(format!("sector {place}: {content:?} instead of generations {allowed:?} of seed {seed}"));
            }
        }
    }
    if wrong == 0 { Ok(()) } else { Err(format!("{wrong} sectors are wrong:\n{}", listed.join("\n"))) }
}

/// What the guest writes.
#[cfg(test)]
#[path = "../../../../kernel/examples/block-check/stamp.rs"]
pub(crate) mod guest;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sector: u64, generation: u64, seed: u64) -> [u8; SECTOR] {
        let mut bytes = [0xff; SECTOR];
        guest::Stamp { sector, generation, seed }.write(&mut bytes);
        bytes
    }

    #[test]
    fn stamps_of_the_guest_are_what_its_documentation_says() {
        for (sector, generation, seed) in [(0, 0, 0), (1, 2, 3), (u64::MAX, 1 << 40, 0x0123_4567_89ab_cdef)] {
            let content = Content::of(&written(sector, generation, seed));
            assert_eq!(content, Content::Stamp { sector, generation, seed });
        }
    }

    #[test]
    fn the_guest_explains_what_is_wrong() {
        use guest::{Flaw, Stamp};
        let right = Stamp { sector: 5, generation: 7, seed: 1 };
        let stamp = |sector, generation| Stamp { sector, generation, seed: 1 };
        assert_eq!(right.check(&written(5, 7, 1)), Ok(()));
        assert_eq!(right.check(&[0; SECTOR]), Err(Flaw::Zeros));
        assert_eq!(right.check(&[1; SECTOR]), Err(Flaw::Foreign));
        assert_eq!(right.check(&written(6, 7, 1)), Err(Flaw::Other(stamp(6, 7))));
        assert_eq!(right.check(&written(5, 6, 1)), Err(Flaw::Other(stamp(5, 6))));
        let mut torn = written(5, 7, 1);
        torn[200..].copy_from_slice(&written(5, 6, 1)[200..]);
        assert_eq!(right.check(&torn), Err(Flaw::Torn(stamp(5, 7), stamp(5, 6))));
        let mut spoilt = written(5, 7, 1);
        spoilt[100] ^= 1;
        assert_eq!(right.check(&spoilt), Err(Flaw::Word(12)));
    }

    #[test]
    fn every_wrong_sector_is_found() {
        let image = |sectors: &[[u8; SECTOR]]| sectors.concat();
        let old = |_| 1..=2;
        assert_eq!(check(&image(&[written(0, 1, 9), written(1, 2, 9)])[..], 2, 9, old), Ok(()));
        assert_eq!(check(&image(&[written(0, 1, 9), [0; SECTOR]])[..], 2, 9, |_| 0..=1), Ok(()));
        let mut spoilt = written(1, 1, 9);
        spoilt[300] ^= 0x80;
        for second in [written(1, 3, 9), written(1, 1, 8), written(2, 1, 9), spoilt, [0; SECTOR]] {
            let wrong = check(&image(&[written(0, 1, 9), second])[..], 2, 9, old).unwrap_err();
            assert!(wrong.starts_with("1 sectors are wrong:\nsector 1: "), "{wrong}");
        }
        assert!(check(&image(&[written(0, 1, 9)])[..], 2, 9, old).is_err());
    }
}
