//! How often to look at a device that is polled.
//!
//! ```text
//!   looks as often as it can          the device's core:  done . done . done . done .     every line comes back first
//!                                     the driver's core:     ?      ?      ?      ?
//!
//!   looks when there is something     the device's core:  done done done done done done
//!                                     the driver's core:                               ????
//! ```
//!
//! A look at a ring fetches the very line of the cache that the device is about to write, and so does a look at what the
//! device asks to be told. Where the device is another core, a driver that looks without a pause takes these lines from it
//! for each request, and the device spends its time on waiting for them. So whoever has many requests in flight is served
//! faster by looking less often: [`Pace`] learns how long to wait until about a quarter of them is finished. Whoever has a
//! few in flight waits for the next one and for nothing else, and looks without a pause.
//!
//! ```
//! use toro_core::Pace;
//!
//! # struct Device(usize);
//! # impl Device {
//! #     fn publish(&mut self) {}
//! #     fn complete(&mut self) -> Option<u32> { self.0 = self.0.checked_sub(1)?; Some(0) }
//! # }
//! # let (mut device, in_flight) = (Device(8), 32);
//! let mut pace = Pace::new();
//! // For each round:
//! device.publish();
//! let mut found = 0;
//! while found == 0 {
//!     pace.pause();
//!     while let Some(_finished) = device.complete() {
//!         found += 1;
//!     }
//!     pace.note(found, in_flight);
//! }
//! # assert_eq!(found, 8);
//! ```

/// The most hints to the processor in a pause: about two microseconds, more or less by the processor. What is in flight
/// where this matters is finished at a rate of millions a second.
const MOST: u16 = 64;

/// The length of the pauses between looks at a device, as looks have shown that it should be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Hints to the processor that it spins, beyond the first one.
    hints: u16,
}

impl Pace {
    /// Begins without pauses.
    pub const fn new() -> Self {
        Self { hints: 0 }
    }

    /// Lets time pass before a look: at least as much as a processor needs to see that it spins.
    #[inline]
    pub fn pause(self) {
        (0..=self.hints).for_each(|_| core::hint::spin_loop());
    }

    /// Takes note of a look: `found` requests of the `in_flight` ones that there were before it were finished. Pauses become
    /// longer where fewer than a quarter are, and shorter where half of them or more are.
    #[inline]
    pub const fn note(&mut self, found: usize, in_flight: usize) {
        if found >= in_flight.div_ceil(2) || in_flight < 4 {
            self.hints /= 2;
        } else if found < in_flight / 4 && self.hints < MOST {
            self.hints = self.hints * 2 + (self.hints == 0) as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that finishes a request in as much time as so many hints take, up to all that are in flight.
    fn found_at_last(hints_for_one: u16, in_flight: usize) -> usize {
        let mut pace = Pace::new();
        let mut found = 0;
        for _ in 0..100 {
            // A look takes time as well.
            found = usize::from((pace.hints + 1) / hints_for_one).min(in_flight);
            pace.note(found, in_flight);
        }
        found
    }

    #[test]
    fn a_quarter_to_a_half_of_many_is_found_at_once() {
        for hints_for_one in [1, 2, 3, 5] {
            let found = found_at_last(hints_for_one, 32);
            assert!((8..=16).contains(&found), "{found} of 32, each in {hints_for_one}");
        }
    }

    #[test]
    fn a_slow_device_is_looked_at_again_after_a_bounded_pause() {
        let mut pace = Pace::new();
        (0..100).for_each(|_| pace.note(0, 32));
        assert_eq!(pace.hints, MOST);
        (0..100).for_each(|_| pace.note(32, 32));
        assert_eq!(pace.hints, 0);
    }

    #[test]
    fn few_in_flight_are_waited_for_without_a_pause() {
        for in_flight in 0..4 {
            let mut pace = Pace { hints: MOST };
            (0..10).for_each(|_| pace.note(0, in_flight));
            assert_eq!(pace.hints, 0, "{in_flight} in flight");
        }
    }
}
