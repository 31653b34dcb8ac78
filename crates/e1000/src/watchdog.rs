//! [`Watchdog`]: whether the device still sends (manual §3.4: a hung transmitter is freed by a reset alone).
//!
//! ```text
//!   look      look      look      look           once a second at most, whenever the driver is called
//!   12 left   7 left    7 left .. 7 left         with the link up, and nothing taken back for PATIENCE: hung
//! ```
//!
//! There is no timer: nobody who waits for a frame to be sent does so without calling the driver, as retransmissions do. And
//! a driver that nobody calls has nobody to whom the hang matters.

use core::time::Duration;

use toro_core::Instant;

/// Between looks, which cost register accesses.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a descriptor may stay with the device. At ten megabits a full ring of frames takes a third of a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// Watches one ring.
#[derive(Debug)]
pub(crate) struct Watchdog {
    next_look: Instant,
    /// Progress at the last look, and since when it has been that.
    stuck: Option<(u32, Instant)>,
}

/// What a look finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// The device has had frames for longer than it may.
    Hung,
}

impl Watchdog {
    pub(crate) fn new(now: Instant) -> Self {
        Self { next_look: now.saturating_add(INTERVAL), stuck: None }
    }

    /// Whether it is time for a look.
    #[inline]
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.next_look
    }

    /// A look, after what was sent has been taken back.
    pub(crate) fn look(&mut self, now: Instant, in_flight: usize, progress: u32) -> Verdict {
        self.next_look = now.saturating_add(INTERVAL);
        match self.stuck {
            _ if in_flight == 0 => self.stuck = None,
            Some((before, since)) if before == progress => {
                if now.saturating_since(since) >= PATIENCE {
                    return Verdict::Hung;
                }
            }
            _ => self.stuck = Some((progress, now)),
        }
        Verdict::Fine
    }

    /// Frames cannot be sent now, and it is not the device's fault.
    pub(crate) fn excuse(&mut self) {
        self.stuck = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Instant {
        Instant::from_nanos(n * 1_000_000_000)
    }

    #[test]
    fn only_standing_still_with_frames_is_a_hang() {
        let mut dog = Watchdog::new(second(0));
        assert!(!dog.is_due(second(0)));
        for (at, in_flight, progress) in
            [(1, 3, 7), (2, 3, 7), (3, 3, 8), (4, 3, 8), (5, 0, 11), (6, 3, 11), (8, 3, 11)]
        {
            assert!(dog.is_due(second(at)));
            assert_eq!(dog.look(second(at), in_flight, progress), Verdict::Fine, "at {at}");
        }
        assert_eq!(dog.look(second(9), 3, 11), Verdict::Hung);
    }

    #[test]
    fn an_excuse_starts_the_wait_anew() {
        let mut dog = Watchdog::new(second(0));
        assert_eq!(dog.look(second(1), 3, 7), Verdict::Fine);
        dog.excuse();
        assert_eq!(dog.look(second(9), 3, 7), Verdict::Fine);
        assert_eq!(dog.look(second(12), 3, 7), Verdict::Hung);
    }
}
