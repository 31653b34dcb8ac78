//! The words by which the two sides of a ring tell each other how far they are, and in which order they are touched.
//!
//! ```text
//!   driver                                        device
//!   descriptors, ring entry                       buffers, used element
//!   available.idx = new          (release)  1     used.idx = new              (release)
//!       -- full fence --                    2         -- full fence --
//!   does it want to hear of it?                   does it want to hear of it?
//!   used.flags, avail_event                       available.flags, used_event
//!
//!   "wake me for the next"                        "notify me of the next"
//!       -- full fence --                    3         -- full fence --
//!   used.idx: anything there?                     available.idx: anything there?
//!   (acquire) used element, buffers         4     (acquire) ring entry, descriptors
//! ```
//!
//! 1. *Descriptors and ring entry before the available index* (VIRTIO 1.3 §2.7.13.3): the index is stored with release.
//! 2. *The available index before the look at the device's wish* (§2.7.13.4): otherwise both sides can miss each other,
//!    the device going to sleep while the driver believes it awake. Release and acquire do not order a store before a
//!    later load; both accesses are sequentially consistent, which costs one `xchg` on x86.
//! 3. *The wish for interrupts before the last look at the used index* (§2.7.14): the same pattern with the roles
//!    swapped.
//! 4. *The used index before elements and buffers*: it is loaded with acquire.
//!
//! All of them are here and nowhere else, over any kind of [`Word`], so that a model checker can run this very file.

use core::sync::atomic::{AtomicU16, Ordering};

/// Available ring flag: no interrupts, please. Used ring flag: no notifications, please.
const SUPPRESS: u16 = 1;

/// A 16-bit word that both sides reach.
pub(crate) trait Word {
    /// Loads it.
    fn load(&self, ordering: Ordering) -> u16;

    /// Stores to it.
    fn store(&self, value: u16, ordering: Ordering);

    /// Stores to it with release, then loads another with acquire, in this order for everyone who does the same.
    #[inline(always)]
    fn store_then_load(&self, value: u16, other: &Self) -> u16 {
        self.store(value, Ordering::SeqCst);
        other.load(Ordering::SeqCst)
    }
}

impl Word for AtomicU16 {
    #[inline(always)]
    fn load(&self, ordering: Ordering) -> u16 {
        self.load(ordering)
    }

    #[inline(always)]
    fn store(&self, value: u16, ordering: Ordering) {
        self.store(value, ordering);
    }
}

/// Whether the device asked to hear about what was just published.
#[must_use = "a needed notification that is not sent stalls the queue"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// It did, or may have: ring its doorbell.
    Needed,
    /// It looks by itself.
    Suppressed,
}

/// The words of one ring. `convert` turns the shared byte order into the guest's, and back.
pub(crate) struct Handshake<'a, W, C> {
    pub available_flags: &'a W,
    pub available_index: &'a W,
    pub used_flags: &'a W,
    pub used_index: &'a W,
    /// Where the device says after which buffer it wants a notification, if it does so by index (EVENT_IDX).
    pub avail_event: Option<&'a W>,
    pub convert: C,
}

impl<W: Word, C: Fn(u16) -> u16> Handshake<'_, W, C> {
    /// Shows the device everything before the available index `new`, having shown what is before `old` earlier.
    #[inline(always)]
    pub fn publish(&self, old: u16, new: u16) -> Notify {
        let shared = (self.convert)(new);
        let is_needed = match self.avail_event {
            Some(avail_event) => {
                let event = self.available_index.store_then_load(shared, avail_event);
                need_event((self.convert)(event), new, old)
            }
            None => {
                let flags = self.available_index.store_then_load(shared, self.used_flags);
                (self.convert)(flags) & SUPPRESS == 0
            }
        };
        if is_needed { Notify::Needed } else { Notify::Suppressed }
    }

    /// Asks to be woken by index when the device uses the buffer at `next`; returns the used index after that.
    #[inline(always)]
    pub fn arm_event(&self, used_event: &W, next: u16) -> u16 {
        (self.convert)(used_event.store_then_load((self.convert)(next), self.used_index))
    }

    /// Asks to be woken, by flag; returns the used index after that.
    #[inline(always)]
    pub fn arm_flag(&self) -> u16 {
        (self.convert)(self.available_flags.store_then_load(0, self.used_index))
    }

    /// Asks not to be woken any more, by flag. A hint: nothing is ordered by it.
    #[inline(always)]
    pub fn disarm_flag(&self) {
        self.available_flags.store((self.convert)(SUPPRESS), Ordering::Relaxed);
    }

    /// How far the device is. What it wrote before may be read afterwards.
    #[inline(always)]
    pub fn used(&self) -> u16 {
        (self.convert)(self.used_index.load(Ordering::Acquire))
    }
}

/// Whether an index that moved from `old` to `new` passed `event`, the place after which the other side wants to
/// hear of it (§2.7.7.2, §2.7.10). All three are free-running and wrap at 65,536, so they are compared by distances: the
/// naive `new > event` fails once a lap.
#[inline(always)]
const fn need_event(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests {
    use super::need_event;

    /// What the formula means, walked step by step.
    fn passes(event: u16, new: u16, old: u16) -> bool {
        let mut index = old;
        while index != new {
            if index == event {
                return true;
            }
            index = index.wrapping_add(1);
        }
        false
    }

    #[test]
    fn vq_18_an_event_is_due_exactly_when_its_index_is_passed() {
        let step = if cfg!(miri) { 32_767 } else { 37 };
        for old in (0..=u16::MAX).step_by(step) {
            for batch in [0, 1, 2, 31, 32, 255, 256] {
                let new = old.wrapping_add(batch);
                for distance in -40_i16..300 {
                    let event = old.wrapping_add_signed(distance);
                    assert_eq!(need_event(event, new, old), passes(event, new, old), "{event} {new} {old}");
                }
            }
        }
    }

    #[test]
    fn vq_18_the_wrap_is_not_special() {
        assert!(need_event(65_535, 0, 65_535));
        assert!(need_event(65_530, 10, 65_520));
        assert!(need_event(3, 10, 65_520));
        assert!(!need_event(10, 10, 65_520));
        assert!(!need_event(65_519, 10, 65_520));
    }
}
