//! Time, as far as a driver needs it: every wait is bounded.
//!
//! A device may never answer. So no driver loops "until the bit is set"; it loops until the bit is set or a
//! [`Deadline`] has passed, and a device that lets a deadline pass is an error like any other.
//!
//! ```
//! use core::time::Duration;
//! use toro_core::{Clock, Deadline, Instant};
//!
//! # struct Platform;
//! # impl Clock for Platform {
//! #     fn now(&self) -> Instant { Instant::from_nanos(0) }
//! # }
//! static CLOCK: Platform = Platform;
//!
//! let deadline = Deadline::after(&CLOCK, Duration::from_millis(100));
//! let mut polls = 0;
//! let done = deadline.wait_until(|| { polls += 1; polls == 3 });
//! assert!(done.is_ok());
//! ```

use core::fmt;
use core::time::Duration;

/// A point on a [`Clock`]: nanoseconds since some moment that the clock chose, at the latest its first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Instant(u64);

impl Instant {
    /// A point `nanos` nanoseconds after the clock's origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The point `duration` later; the last representable point where that would overflow (584 years).
    pub const fn saturating_add(self, duration: Duration) -> Self {
        let nanos = duration.as_nanos();
        if nanos > (u64::MAX - self.0) as u128 { Self(u64::MAX) } else { Self(self.0 + nanos as u64) }
    }

    /// How long ago `earlier` was, or zero if it is not earlier.
    pub const fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A clock that never runs backwards.
///
/// Guarantee to the caller: `now` never returns an earlier instant than it did before, and advances with real
/// time while the caller spins.
pub trait Clock: Sync {
    /// The time.
    fn now(&self) -> Instant;

    /// Called between two looks at a device that is being waited for. The default tells the CPU that this is a
    /// spin loop; a kernel may let other threads run.
    fn relax(&self) {
        core::hint::spin_loop();
    }
}

/// The end of somebody's patience.
#[derive(Clone, Copy)]
pub struct Deadline {
    clock: &'static dyn Clock,
    at: Instant,
}

impl Deadline {
    /// A deadline `patience` from now.
    pub fn after(clock: &'static dyn Clock, patience: Duration) -> Self {
        Self { clock, at: clock.now().saturating_add(patience) }
    }

    /// Whether it has passed.
    pub fn is_over(&self) -> bool {
        self.clock.now() >= self.at
    }

    /// How long it is until then; nothing once it has passed.
    pub fn remaining(&self) -> Duration {
        self.at.saturating_since(self.clock.now())
    }

    /// The instant itself.
    pub const fn instant(&self) -> Instant {
        self.at
    }

    /// Calls `condition` until it holds. It is called at least once, also when the deadline has passed already.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] if the deadline passed first.
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) -> Result<(), TimedOut> {
        loop {
            if condition() {
                return Ok(());
            }
            if self.is_over() {
                return Err(TimedOut);
            }
            self.clock.relax();
        }
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deadline").field(&self.at).finish()
    }
}

/// A deadline passed before what was waited for happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the device did not answer in time")
    }
}

impl core::error::Error for TimedOut {}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Each look at this clock costs a millisecond.
    struct Ticking(AtomicU64);

    impl Clock for Ticking {
        fn now(&self) -> Instant {
            Instant::from_nanos(self.0.fetch_add(1_000_000, Ordering::Relaxed))
        }
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        static CLOCK: Ticking = Ticking(AtomicU64::new(0));
        let deadline = Deadline::after(&CLOCK, Duration::from_millis(5));
        let mut looks = 0;
        let result = deadline.wait_until(|| {
            looks += 1;
            false
        });
        assert_eq!(result, Err(TimedOut));
        assert!((1..=6).contains(&looks), "{looks} looks");
    }

    #[test]
    fn a_condition_is_looked_at_even_after_the_deadline() {
        static CLOCK: Ticking = Ticking(AtomicU64::new(0));
        let deadline = Deadline::after(&CLOCK, Duration::ZERO);
        assert_eq!(deadline.wait_until(|| true), Ok(()));
    }

    #[test]
    fn what_remains_of_a_deadline_shrinks_to_nothing() {
        static CLOCK: Ticking = Ticking(AtomicU64::new(0));
        let deadline = Deadline::after(&CLOCK, Duration::from_millis(3));
        let remaining = [(); 4].map(|()| deadline.remaining().as_millis());
        assert_eq!(remaining, [2, 1, 0, 0]);
    }

    #[test]
    fn instants_saturate() {
        let late = Instant::from_nanos(u64::MAX - 1);
        assert_eq!(late.saturating_add(Duration::from_secs(1)).as_nanos(), u64::MAX);
        assert_eq!(Instant::from_nanos(1).saturating_since(late), Duration::ZERO);
    }
}
