//! Receiving: which frames are let in, and where they go.

use super::Nature;
use super::registers::offsets::*;
use super::registers::{Chip, causes};

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is in a buffer.
    Taken,
    /// It is for somebody else, or too long.
    Filtered,
    /// Not now: switched off, paused, or no buffers.
    Refused,
}

const ENABLE: u32 = 1 << 1;
const ALL_UNICAST: u32 = 1 << 3;
const ALL_GROUPS: u32 = 1 << 4;
const BROADCAST: u32 = 1 << 15;
const STRIP_CHECK: u32 = 1 << 26;
const BUFFER: usize = 2048;
const LONGEST: usize = 1522;
const DD: u64 = 1 << 32;
const EOP: u64 = 1 << 33;
const IXSM: u64 = 1 << 34;
const TCPCS: u64 = 1 << 37;
const IPCS: u64 = 1 << 38;
const TCPE: u64 = 1 << 45;

impl Chip {
    /// Buffers that the device has.
    fn buffers(&self) -> u32 {
        let size = self.ring_size(RDLEN);
        match size {
            0 => 0,
            _ => (self.peek(RDT) + size - self.peek(RDH)) % size,
        }
    }

    pub(super) fn write_receive_tail(&mut self, value: u32) {
        let size = self.ring_size(RDLEN).max(1);
        self.require(value < size, "E1-7: a tail beyond its ring");
        if self.peek(RCTL) & ENABLE == 0 && value == self.peek(RDH) {
            // Whatever was in the ring is not any more.
            return self.set(RDT, value);
        }
        let before = self.peek(RDT);
        let added = (value + size - before) % size;
        self.require(self.buffers() + added < size, "E1-7: a full ring looks like an empty one");
        if self.is_strict {
            for place in 0..added {
                let at = self.base(RDBAL) + u64::from((before + place) % size) * 16;
                let [address, status] = self.fetch(at);
                assert_ne!(address, 0, "E1-13: a buffer at 0");
                assert_eq!(status, 0, "E1-10: a descriptor whose status is left from before");
                assert!(self.memory.extent(address) >= BUFFER, "E1-9: less memory than receive control says");
            }
        }
        self.set(RDT, value & 0xffff);
    }

    /// Whether the frame's destination is one of those that are let in.
    fn admits(&self, frame: &[u8]) -> bool {
        let control = self.peek(RCTL);
        let destination: [u8; 6] = frame[..6].try_into().expect("six bytes");
        if destination == [0xff; 6] {
            return control & BROADCAST != 0;
        }
        let is_group = destination[0] & 1 != 0;
        if control & if is_group { ALL_GROUPS } else { ALL_UNICAST } != 0 {
            return true;
        }
        let is_exact = (0..16).any(|index| {
            let [low, high] = [RA + 8 * index, RA + 8 * index + 4].map(|at| self.peek(at));
            high >> 31 != 0
                && (low.to_le_bytes(), high as u16) == {
                    let [a, b, c, d, e, f] = destination;
                    ([a, b, c, d], u16::from_le_bytes([e, f]))
                }
        });
        let shift = [4, 3, 2, 0][(control >> 12 & 3) as usize];
        let hash = (usize::from(destination[5]) << 8 | usize::from(destination[4])) >> shift & 0xfff;
        is_exact || is_group && self.peek(MTA + (hash >> 5) * 4) >> (hash & 31) & 1 != 0
    }

    pub(super) fn deliver(&mut self, frame: &[u8]) -> Delivery {
        if !self.is_master() || self.peek(RCTL) & ENABLE == 0 || self.is_paused() {
            return Delivery::Refused;
        }
        let mut bytes = frame.to_vec();
        bytes.resize(bytes.len().max(60), 0);
        if bytes.len() > LONGEST || !self.admits(&bytes) {
            return Delivery::Filtered;
        }
        if self.peek(RCTL) & STRIP_CHECK == 0 {
            bytes.extend([0xfc; 4]);
        }
        let word = self.status(&bytes) | bytes.len() as u64;
        self.put(&bytes, word)
    }

    /// Puts bytes into the next buffer and says about them whatever is asked for; nothing is filtered.
    pub fn put(&mut self, bytes: &[u8], word: u64) -> Delivery {
        if self.buffers() == 0 {
            self.raise(causes::RXO);
            return Delivery::Refused;
        }
        let (head, size) = (self.peek(RDH), self.ring_size(RDLEN));
        let at = self.base(RDBAL) + u64::from(head) * 16;
        let [address, _] = self.fetch(at);
        self.store_bytes(address, bytes);
        self.write_back(at, word);
        self.set(RDH, (head + 1) % size);
        let is_low = self.buffers() <= size / 2;
        self.raise(causes::RXT0 | if is_low { causes::RXDMT0 } else { 0 });
        Delivery::Taken
    }

    /// Writes into a descriptor of the receive ring, whosever it is.
    pub fn scribble(&mut self, index: u32, word: u64) {
        let size = self.ring_size(RDLEN);
        if size > 0 && self.memory.extent(self.base(RDBAL)) > 0 {
            self.write_back(self.base(RDBAL) + u64::from(index % size) * 16, word);
        }
    }

    /// The same in the transmit ring.
    pub fn scribble_transmit(&mut self, index: u32, word: u64) {
        let size = self.ring_size(TDLEN);
        if size > 0 && self.memory.extent(self.base(TDBAL)) > 0 {
            self.write_back(self.base(TDBAL) + u64::from(index % size) * 16, word);
        }
    }

    /// Says of a transmit descriptor that it was sent, whether it was or not.
    pub fn mark_sent(&mut self, index: u32) {
        let size = self.ring_size(TDLEN);
        if size > 0 && self.memory.extent(self.base(TDBAL)) > 0 {
            let at = self.base(TDBAL) + u64::from(index % size) * 16;
            let [_, word] = self.fetch(at);
            self.write_back(at, word | DD);
        }
    }

    /// What the device says about a good frame.
    fn status(&self, frame: &[u8]) -> u64 {
        if self.nature == Nature::Emulated || self.peek(RXCSUM) & 1 << 9 == 0 {
            return DD | EOP | IXSM;
        }
        match tcp_sum(frame) {
            None => DD | EOP,
            Some(0xffff) => DD | EOP | IPCS | TCPCS,
            Some(_) => DD | EOP | IPCS | TCPCS | TCPE,
        }
    }
}

/// The sum of a TCP segment over IPv4 and its pseudo header, which is all ones if it is right.
fn tcp_sum(frame: &[u8]) -> Option<u16> {
    let ip = frame.get(14..).filter(|_| frame[12..14] == [8, 0])?;
    let (header, total) = (usize::from(ip[0] & 15) * 4, usize::from(u16::from_be_bytes([ip[2], ip[3]])));
    let segment = ip.get(header..total).filter(|_| ip[9] == 6)?;
    Some(super::transmit::sum(&[&ip[12..20], &[0, 6], &(segment.len() as u16).to_be_bytes(), segment]))
}
