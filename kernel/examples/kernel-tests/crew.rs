//! Threads on all cores that do the same thing: what most tests of several cores begin with.

use alloc::vec::Vec;

use toro::core::{self as cores, CoreId};
use toro::thread;

/// Runs `body` in `per_core` threads on every core, all at once; each gets its number, from 0. Gives what they return, by
/// number. Threads with neighbouring numbers are on neighbouring cores.
pub fn crew<T: Send>(per_core: usize, body: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let body = &body;
    thread::scope(|scope| {
        let start = |(number, core)| scope.spawn_on(core, move || body(number)).expect("memory for a crew");
        let members: Vec<_> = (0..per_core * cores::count()).zip(cores::all().cycle()).map(start).collect();
        members.into_iter().map(|member| member.join().unwrap()).collect()
    })
}

/// The core with the greatest number.
pub fn last_core() -> CoreId {
    cores::all().last().expect("there is at least one core")
}

/// All pairs of cores of which the second comes after the first, around the circle. With one core, that one twice.
pub fn neighbours() -> impl Iterator<Item = (CoreId, CoreId)> {
    cores::all().zip(cores::all().cycle().skip(1))
}

/// A number from the command line, as `word=NUMBER`, or `default`.
pub fn count(word: &str, default: u64) -> u64 {
    match toro::env::option(word) {
        None => default,
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{word}={text} is no number")),
    }
}

/// Numbers without an obvious order, the same in every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// The next number, below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
