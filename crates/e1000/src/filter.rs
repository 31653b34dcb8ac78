//! [`Filter`]: which frames the device lets through, and how little has to be written to change that (manual §13.5).
//!
//! ```text
//!   exact address 0         the interface's own
//!   exact addresses 1..15   other addresses; more than fit: all addresses
//!   table of groups         4,096 bits; a group's is at a hash of its last twelve bits: others may share it
//!   receive control         everyone, all groups, all addresses
//! ```
//!
//! What the device was told last is remembered, and only what differs is written. Receive control matters most: where the
//! device is emulated by QEMU, each write of it stops reception for a second. It is written at most once for a change,
//! and not at all for one of groups or addresses alone.

use toro_core::Registers;
use toro_core::driver::net::{MacAddress, ReceiveFilter};

use crate::registers::{
    ADDRESS_VALID, EXACT_ADDRESSES, GROUP_WORDS, RECEIVE_CONTROL, ReceiveControl, exact_address, group_word,
};

/// What the device has been told, or shall be.
pub(crate) struct Filter {
    control: ReceiveControl,
    groups: [u32; GROUP_WORDS],
    /// The first is the interface's own.
    exact: [Option<MacAddress>; EXACT_ADDRESSES],
}

/// Always on: an interface without buffers receives nothing anyway.
const BASIS: ReceiveControl =
    ReceiveControl::ENABLE.union(ReceiveControl::BROADCAST).union(ReceiveControl::STRIP_CHECK);

impl Filter {
    /// Frames to this address, and to everyone.
    pub(crate) fn new(own: MacAddress) -> Self {
        let mut exact = [None; EXACT_ADDRESSES];
        exact[0] = Some(own);
        Self { control: BASIS, groups: [0; GROUP_WORDS], exact }
    }

    /// The filter that lets at least these frames through.
    pub(crate) fn of(own: MacAddress, wanted: &ReceiveFilter<'_>) -> Self {
        let mut filter = Self::new(own);
        let others = wanted.unicast.iter().filter(|&&address| address != own);
        let mut places = filter.exact[1..].iter_mut();
        let mut fits = true;
        for &address in others {
            match places.next() {
                Some(place) => *place = Some(address),
                None => fits = false,
            }
        }
        for address in wanted.multicast {
            let hash = hash(address);
            filter.groups[hash >> 5] |= 1 << (hash & 31);
        }
        filter.control.set(ReceiveControl::ALL_UNICAST, wanted.promiscuous || !fits);
        filter.control.set(ReceiveControl::ALL_GROUPS, wanted.promiscuous || wanted.all_multicast);
        filter
    }

    /// Tells a device of which nothing is known the addresses, and no more: [`Filter::start`] does the rest.
    pub(crate) fn install<R: Registers>(&self, registers: &R) {
        for (index, &address) in self.exact.iter().enumerate() {
            write_exact(registers, index, address);
        }
        for (index, &word) in self.groups.iter().enumerate() {
            group_word(index).write(registers, word);
        }
    }

    /// Lets frames in.
    pub(crate) fn start<R: Registers>(&self, registers: &R) {
        RECEIVE_CONTROL.write(registers, self.control.bits());
    }

    /// Tells a device that knows `self` how `next` differs.
    pub(crate) fn replace<R: Registers>(&mut self, registers: &R, next: Self) {
        for (index, (&before, &address)) in self.exact.iter().zip(&next.exact).enumerate() {
            if before != address {
                write_exact(registers, index, address);
            }
        }
        for (index, (&before, &word)) in self.groups.iter().zip(&next.groups).enumerate() {
            if before != word {
                group_word(index).write(registers, word);
            }
        }
        if self.control != next.control {
            next.start(registers);
        }
        *self = next;
    }
}

/// Writes an exact address so that the device never compares with half of one.
fn write_exact<R: Registers>(registers: &R, index: usize, address: Option<MacAddress>) {
    let [low, high] = exact_address(index);
    high.write(registers, 0);
    if let Some(MacAddress([a, b, c, d, e, f])) = address {
        low.write(registers, u32::from_le_bytes([a, b, c, d]));
        high.write(registers, ADDRESS_VALID | u32::from_le_bytes([e, f, 0, 0]));
    }
}

/// The bit of a group in the table: with the filter's offset 0, bits 47 to 36 of the address.
fn hash(MacAddress([.., e, f]): &MacAddress) -> usize {
    usize::from(u16::from_le_bytes([*e, *f]) >> 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_manual() {
        // §13.5.1: 12:34:56:78:9a:bc has 0xbc9 at offset 0.
        assert_eq!(hash(&MacAddress([0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc])), 0xbc9);
    }
}
