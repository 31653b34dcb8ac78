//! A clock for drivers under test.

use std::sync::OnceLock;
use std::time;

use toro_core::{Clock, Instant};

/// The host's monotonic clock.
#[derive(Debug)]
pub struct StdClock;

/// The one that tests hand to drivers.
pub static CLOCK: StdClock = StdClock;

impl Clock for StdClock {
    fn now(&self) -> Instant {
        static START: OnceLock<time::Instant> = OnceLock::new();
        Instant::from_nanos(START.get_or_init(time::Instant::now).elapsed().as_nanos() as u64)
    }

    fn relax(&self) {
        std::thread::yield_now();
    }
}
