//! Time: [`Instant`] for measuring, [`SystemTime`] for telling what time it is. Semantics are those of `std::time`.
//!
//! Both count from the same hardware clock, the processor's time-stamp counter. The wall clock is looked at once, when
//! somebody first asks for it; where a machine has none, [`SystemTime::now`] is [`UNIX_EPOCH`] plus the time since boot.

use core::fmt;
use core::ops::{Add, AddAssign, Sub, SubAssign};

pub use core::time::Duration;

/// A point on the monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// Now.
    pub fn now() -> Self {
        Self(nanoseconds_since_boot())
    }

    /// The point `nanoseconds` after the clock's origin.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since the clock's origin, which is the boot of the machine.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn duration_since(&self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }

    /// How long after `earlier` this is, if it is not before it.
    pub fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// How long ago this was.
    pub fn elapsed(&self) -> Duration {
        Self::now().saturating_duration_since(*self)
    }

    /// The point `duration` later, if it can be represented (584 years).
    pub fn checked_add(&self, duration: Duration) -> Option<Self> {
        let nanoseconds = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_add(nanoseconds).map(Self)
    }

    /// The point `duration` earlier, if the clock had begun.
    pub fn checked_sub(&self, duration: Duration) -> Option<Self> {
        let nanoseconds = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_sub(nanoseconds).map(Self)
    }

    /// The point `duration` later, or the last one there is.
    pub fn saturating_add(&self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self(u64::MAX))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// # Panics
    ///
    /// If the sum cannot be represented.
    fn add(self, duration: Duration) -> Self {
        self.checked_add(duration).expect("overflow when adding a duration to an instant")
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// # Panics
    ///
    /// If the difference lies before the clock's origin.
    fn sub(self, duration: Duration) -> Self {
        self.checked_sub(duration).expect("overflow when subtracting a duration from an instant")
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Instant({:?})", Duration::from_nanos(self.0))
    }
}

/// A point on the wall clock, from 1970 on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemTime(Duration);

/// The beginning of 1970, UTC.
pub const UNIX_EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

impl SystemTime {
    /// The beginning of 1970, UTC.
    pub const UNIX_EPOCH: Self = Self(Duration::ZERO);

    /// Now.
    pub fn now() -> Self {
        Self(boot_time().saturating_add(uptime()))
    }

    /// How long after `earlier` this is.
    ///
    /// # Errors
    ///
    /// [`SystemTimeError`] if it is before it; the error says by how much.
    pub fn duration_since(&self, earlier: Self) -> Result<Duration, SystemTimeError> {
        self.0.checked_sub(earlier.0).ok_or_else(|| SystemTimeError(earlier.0.saturating_sub(self.0)))
    }

    /// How long ago this was.
    ///
    /// # Errors
    ///
    /// [`SystemTimeError`] if it is in the future.
    pub fn elapsed(&self) -> Result<Duration, SystemTimeError> {
        Self::now().duration_since(*self)
    }

    /// The point `duration` later, if it can be represented.
    pub fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    /// The point `duration` earlier, if it is not before 1970.
    pub fn checked_sub(&self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(duration).map(Self)
    }
}

impl Add<Duration> for SystemTime {
    type Output = Self;

    /// # Panics
    ///
    /// If the sum cannot be represented.
    fn add(self, duration: Duration) -> Self {
        self.checked_add(duration).expect("overflow when adding a duration to a time")
    }
}

impl Sub<Duration> for SystemTime {
    type Output = Self;

    /// # Panics
    ///
    /// If the difference lies before 1970.
    fn sub(self, duration: Duration) -> Self {
        self.checked_sub(duration).expect("overflow when subtracting a duration from a time")
    }
}

impl fmt::Debug for SystemTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SystemTime({}.{:09})", self.0.as_secs(), self.0.subsec_nanos())
    }
}

/// A time is earlier than the one it was measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemTimeError(Duration);

impl SystemTimeError {
    /// By how much.
    pub fn duration(&self) -> Duration {
        self.0
    }
}

impl fmt::Display for SystemTimeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("second time provided was later than self")
    }
}

impl core::error::Error for SystemTimeError {}

/// Time since the machine booted.
pub fn uptime() -> Duration {
    Duration::from_nanos(nanoseconds_since_boot())
}

/// The drivers' clock, which is this one.
#[derive(Clone, Copy, Debug)]
pub struct KernelClock;

/// The drivers' clock, for [`toro_core::Deadline`].
pub static CLOCK: KernelClock = KernelClock;

impl toro_core::Clock for KernelClock {
    fn now(&self) -> toro_core::Instant {
        toro_core::Instant::from_nanos(nanoseconds_since_boot())
    }
}

impl From<toro_core::Instant> for Instant {
    fn from(instant: toro_core::Instant) -> Self {
        Self(instant.as_nanos())
    }
}

impl From<Instant> for toro_core::Instant {
    fn from(instant: Instant) -> Self {
        Self::from_nanos(instant.0)
    }
}

#[cfg(target_os = "none")]
fn nanoseconds_since_boot() -> u64 {
    crate::arch::clock::nanoseconds()
}

/// Unix time at boot.
#[cfg(target_os = "none")]
fn boot_time() -> Duration {
    static BOOT_TIME: spin::Once<Duration> = spin::Once::new();
    *BOOT_TIME.call_once(|| {
        crate::arch::rtc::unix_time(crate::acpi::cmos()).and_then(|now| now.checked_sub(uptime())).unwrap_or_default()
    })
}

// On a host, where the logic above is tested, the process is the machine.

#[cfg(not(target_os = "none"))]
fn nanoseconds_since_boot() -> u64 {
    static BOOT: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BOOT.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64
}

#[cfg(not(target_os = "none"))]
fn boot_time() -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(uptime())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_behave_as_those_of_std() {
        let start = Instant::from_nanos(1_000);
        let later = start + Duration::from_micros(3);
        assert_eq!(later - start, Duration::from_micros(3));
        assert_eq!(start - later, Duration::ZERO);
        assert_eq!(start.checked_duration_since(later), None);
        assert_eq!(start.checked_sub(Duration::from_secs(1)), None);
        assert_eq!(start.saturating_add(Duration::MAX), Instant::from_nanos(u64::MAX));
    }

    #[test]
    fn system_times_measure_in_both_directions() {
        let later = UNIX_EPOCH + Duration::from_secs(5);
        assert_eq!(later.duration_since(UNIX_EPOCH), Ok(Duration::from_secs(5)));
        assert_eq!(UNIX_EPOCH.duration_since(later).unwrap_err().duration(), Duration::from_secs(5));
    }

    #[test]
    fn now_advances() {
        let (instant, time) = (Instant::now(), SystemTime::now());
        std::thread::sleep(Duration::from_millis(2));
        assert!(instant.elapsed() >= Duration::from_millis(2));
        assert!(time.elapsed().unwrap() >= Duration::from_millis(1));
    }
}
