//! The time of an ordinary process.

use std::sync::OnceLock;
use std::time;

use toro_core::{Clock, Instant};

/// The host's monotonic clock, from its first use on.
#[derive(Debug)]
pub struct HostClock;

/// The one that drivers are given.
pub static CLOCK: HostClock = HostClock;

impl Clock for HostClock {
    fn now(&self) -> Instant {
        static START: OnceLock<time::Instant> = OnceLock::new();
        let nanos = START.get_or_init(time::Instant::now).elapsed().as_nanos();
        // 584 years.
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn relax(&self) {
        std::thread::yield_now();
    }
}
