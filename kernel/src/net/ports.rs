//! [`EphemeralPorts`]: local ports for connections and sockets that asked for none.
//!
//! The dynamic range of RFC 6335 §6, from a random start and in random steps, so that a peer can neither guess the
//! next port nor meet the same one soon again after a restart (RFC 6056 §3). Stacks that share an address divide the
//! range among them ([`Seat`]), so that a port says whose it is.

use super::flow::mix;
use super::share::Seat;

/// First port of the dynamic range.
pub(super) const FIRST: u16 = 49_152;
/// How many ports it has.
const COUNT: u16 = u16::MAX - FIRST + 1;

/// Picks local ports.
pub(super) struct EphemeralPorts {
    state: u64,
    seat: Seat,
}

impl EphemeralPorts {
    pub(super) const fn new(seed: u64, seat: Seat) -> Self {
        Self { state: seed, seat }
    }

    /// A port of this stack's share for which `is_free` holds; `None` when there is none.
    pub(super) fn pick(&mut self, mut is_free: impl FnMut(u16) -> bool) -> Option<u16> {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let random = mix(self.state);
        let start = (random % u64::from(COUNT)) as u16;
        // An odd step visits each port of a power-of-two range once.
        let step = (random >> 32) as u16 | 1;
        let seat = self.seat;
        (0..COUNT)
            .map(|i| FIRST + start.wrapping_add(i.wrapping_mul(step)) % COUNT)
            .find(|&port| seat.may_take(port) && is_free(port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_free_port_is_found_and_none_is_invented() {
        let mut ports = EphemeralPorts::new(3, Seat::ALONE);
        assert_eq!(ports.pick(|port| port == 60_001), Some(60_001));
        assert_eq!(ports.pick(|port| port < FIRST), None);
    }

    #[test]
    fn consecutive_picks_differ() {
        let mut ports = EphemeralPorts::new(3, Seat::ALONE);
        let (a, b) = (ports.pick(|_| true), ports.pick(|_| true));
        assert!(a.is_some() && a != b);
    }

    #[test]
    fn stacks_that_share_an_address_take_each_their_own_ports() {
        let of = core::num::NonZeroU16::new(3).expect("not zero");
        for index in 0..3 {
            let mut ports = EphemeralPorts::new(3, Seat::new(index, of).expect("there are three"));
            for _ in 0..100 {
                let port = ports.pick(|_| true).expect("there are thousands");
                assert_eq!((port - FIRST) % 3, index);
            }
            // The last one that is left is found.
            let last = u16::MAX - (u16::MAX - FIRST - index) % 3;
            assert_eq!(ports.pick(|port| port == last), Some(last));
        }
    }
}
