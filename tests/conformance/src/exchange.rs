//! What is said: bytes that look random, and answers that follow from the question.
//!
//! An answer depends on every byte of the request and on how many requests came before it, so a buffer that is mixed
//! up, cut short, repeated, overtaken in the available ring or read too early gives another answer.

/// Numbers that look random and follow from a seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Those of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (splitmix64).
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, which is not zero.
    pub const fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Fills a slice.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    /// That many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes);
        bytes
    }
}

/// What the device writes as the answer to the request that is the `serial`-th of its queue, says `readable`, and has
/// room for `room` bytes. One answer in four leaves room.
pub fn answer(serial: u64, readable: &[u8], room: usize) -> Vec<u8> {
    // FNV-1a, from a start that differs for each request.
    let start = serial.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ readable.len() as u64;
    let digest = readable.iter().fold(start, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut random = Random::new(digest);
    let len = match random.below(4) {
        0 => random.below(room + 1),
        _ => room,
    };
    random.bytes(len)
}
