//! A clock that makes every patience end soon.
//!
//! Each look at it costs a second of its own time, so that a wait of five seconds is over after six looks. Looks are
//! counted: an input that makes a driver look more often than any sum of its waits can take has found a wait that
//! does not end.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use toro_core::{Clock, Instant};

/// Looks at the clock that one input may cause: some hundred waits.
const MOST_LOOKS: u32 = 4096;

/// The clock of all targets.
pub static CLOCK: HastyClock = HastyClock;

thread_local! {
    static LOOKS: Cell<u32> = const { Cell::new(0) };
}

/// See the [module](self).
#[derive(Debug)]
pub struct HastyClock;

impl HastyClock {
    /// Forgets the looks of the last input.
    pub fn rewind(&self) {
        LOOKS.set(0);
    }
}

impl Clock for HastyClock {
    fn now(&self) -> Instant {
        static SECONDS: AtomicU64 = AtomicU64::new(0);
        let looks = LOOKS.get() + 1;
        LOOKS.set(looks);
        assert!(looks <= MOST_LOOKS, "a wait that does not end");
        Instant::from_nanos(SECONDS.fetch_add(1, Ordering::Relaxed) * 1_000_000_000)
    }

    fn relax(&self) {}
}
