//! Waiting for the moment at which the other side does its half of a race.

use std::hint::black_box;

/// How long to wait: a little longer after each time that was early, a little shorter after each that was late, and
/// never quite the same.
pub struct Aim {
    delay: u32,
    random: u32,
}

/// Longest delay, in turns of an empty loop.
const MOST: u32 = 1 << 12;

impl Aim {
    pub fn new(seed: u32) -> Self {
        Self { delay: 0, random: seed }
    }

    /// A number below 16.
    pub fn dither(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random >> 28
    }

    /// Waits.
    pub fn wait(&mut self) {
        for turn in 0..self.delay + self.dither() {
            black_box(turn);
        }
    }

    /// The other side had not come so far.
    pub fn was_early(&mut self) {
        self.delay = (self.delay + self.dither()).min(MOST);
    }

    /// It was further already.
    pub fn was_late(&mut self) {
        self.delay = self.delay.saturating_sub(self.dither());
    }
}
