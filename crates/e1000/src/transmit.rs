//! [`TransmitRing`]: frames to the device, and their buffers back.
//!
//! ```text
//!   reclaimed   head .......................... tail    free
//!               | ctx data | data | ctx data data data |
//!                            RS                    RS       device writes these back
//!                     frame   frame               frame      buffers are kept at their last descriptor
//! ```
//!
//! A frame takes a descriptor for each 16 KiB, and one for the context if that is not in force already. The device reports
//! at the end of each burst and, within long ones, of every [`REPORT_EVERY`]th frame; the tail is written once
//! per burst. Buffers are taken back in order, when descriptors or buffers run low: that a frame is gone is of no
//! interest to anybody sooner.
//!
//! # Contexts
//!
//! The device keeps one, or one of each kind where it is emulated. What was sent last is remembered, and sent again only if
//! another is wanted: all segments of a connection without segmentation have the same.

use alloc::boxed::Box;

use toro_core::driver::net::{Burst, Frame, Offloads};
use toro_core::{Dma, DmaBuf, DmaPool, OutOfDmaMemory, Registers};

use crate::descriptor::{self, Context, Orders};
use crate::offload::{Plan, plan};
use crate::registers::TRANSMIT_RING;
use crate::ring::Ring;

/// How many bytes go into one descriptor. Its field has 20 bits, of which some devices use 16, and hardware wants no more
/// than this.
const PIECE: usize = 16 * 1024;
/// The longest frame.
pub(crate) const LONGEST: usize = 64 * 1024 - 1;
/// A frame's descriptors at most: pieces and a context.
const MOST_DESCRIPTORS: usize = LONGEST.div_ceil(PIECE) + 1;
/// Of how many frames one is reported.
const REPORT_EVERY: u32 = 16;

/// The sending side.
pub(crate) struct TransmitRing {
    ring: Ring,
    slots: Box<[Slot]>,
    /// The oldest descriptor that is the device's, as far as is known.
    head: u32,
    /// Behind the last one.
    tail: u32,
    /// The context in force.
    context: Option<Context>,
}

/// What is known of a descriptor besides what is in it.
#[derive(Default)]
struct Slot {
    /// The buffer of the frame that ends here.
    buffer: Option<DmaBuf>,
    /// The device writes it back.
    reports: bool,
}

impl TransmitRing {
    pub(crate) fn new(memory: Dma, slots: u16) -> Result<Self, OutOfDmaMemory> {
        // Room for two of the longest frames, so that one can be filled in while the device has the other.
        let least = (2 * MOST_DESCRIPTORS + 1) as u16;
        let ring = Ring::new(memory, slots.max(least), TRANSMIT_RING)?;
        let slots = (0..ring.size()).map(|_| Slot::default()).collect();
        Ok(Self { ring, slots, head: 0, tail: 0, context: None })
    }

    /// Tells a device that was reset where the ring is. What was not sent is dropped, and counted.
    pub(crate) fn install<R: Registers>(&mut self, registers: &R) -> u64 {
        let mut lost = 0;
        for slot in &mut self.slots {
            lost += u64::from(core::mem::take(slot).buffer.is_some());
        }
        (self.head, self.tail, self.context) = (0, 0, None);
        self.ring.install(registers);
        lost
    }

    /// How many frames it holds at most.
    pub(crate) fn capacity(&self) -> usize {
        // As long as there may be too little room for the longest one, none is taken.
        self.descriptors() - (MOST_DESCRIPTORS - 1)
    }

    /// How many descriptors frames can use.
    fn descriptors(&self) -> usize {
        // One stays ours: see the ring.
        self.ring.size() - 1
    }

    /// Descriptors that the device has, as far as is known.
    pub(crate) fn in_flight(&self) -> usize {
        self.tail.wrapping_sub(self.head) as usize
    }

    /// How many descriptors were ever taken back: it stands still while the device does.
    pub(crate) fn progress(&self) -> u32 {
        self.head
    }

    fn room(&self) -> usize {
        self.descriptors() - self.in_flight()
    }

    /// Whether a burst of so many frames is sure to fit, if they are ordinary ones, and no more than half of the ring holds
    /// buffers, which others may miss.
    pub(crate) fn fits(&self, frames: usize) -> bool {
        self.room() >= (2 * frames + MOST_DESCRIPTORS).max(self.ring.size() / 2)
    }

    /// Takes back what has been sent; whether there was something.
    ///
    /// Most buffers are those of `pool`; others go home by themselves.
    pub(crate) fn reclaim(&mut self, pool: &mut DmaPool) -> Reclaimed {
        let before = self.head;
        let mut end = self.head;
        while end != self.tail {
            let slot = self.ring.slot(end);
            end = end.wrapping_add(1);
            if !self.slots[slot].reports {
                continue;
            }
            if !descriptor::is_sent(self.ring.status(end.wrapping_sub(1))) {
                break;
            }
            while self.head != end {
                let slot = self.ring.slot(self.head);
                if let Some(buffer) = core::mem::take(&mut self.slots[slot]).buffer {
                    pool.recycle(buffer);
                }
                self.head = self.head.wrapping_add(1);
            }
        }
        if self.head == before { Reclaimed::Nothing } else { Reclaimed::Some }
    }

    /// Fills in frames while there is room, and hands them to the device; says how many were senseless.
    pub(crate) fn transmit<R: Registers>(
        &mut self,
        registers: &R,
        frames: &mut Burst<Frame>,
        offloads: Offloads,
    ) -> u64 {
        let (before, mut refused, mut unreported) = (self.tail, 0, 0);
        while self.room() >= MOST_DESCRIPTORS {
            let Some(frame) = frames.pop() else { break };
            let notes = frame.notes();
            let mut buffer = frame.into_buffer();
            let Ok(plan) = plan(&mut buffer, notes, offloads) else {
                refused += 1;
                continue;
            };
            self.fill(plan, buffer);
            unreported += 1;
            if unreported == REPORT_EVERY {
                self.report();
                unreported = 0;
            }
        }
        if self.tail != before {
            if unreported > 0 {
                self.report();
            }
            self.ring.publish(registers, self.tail);
        }
        refused
    }

    /// Lets the device report the last descriptor that was filled in.
    fn report(&mut self) {
        let last = self.tail.wrapping_sub(1);
        self.ring.amend(last, descriptor::reporting);
        self.slots[self.ring.slot(last)].reports = true;
    }

    /// Leaves everything to the device for ever.
    pub(crate) fn leak(&mut self) {
        self.ring.leak();
        self.slots.iter_mut().filter_map(|slot| slot.buffer.take()).for_each(core::mem::forget);
    }

    fn push(&mut self, words: [u64; 2]) -> &mut Slot {
        self.ring.put(self.tail, words);
        let slot = self.ring.slot(self.tail);
        self.tail = self.tail.wrapping_add(1);
        &mut self.slots[slot]
    }

    /// Fills in one frame, for which there is room.
    fn fill(&mut self, Plan { context, orders }: Plan, buffer: DmaBuf) {
        if let Some(context) = context.filter(|context| self.context.as_ref() != Some(context)) {
            self.push(context.words());
            self.context = Some(context);
        }
        let (mut address, mut left) = (buffer.bus_addr().get(), buffer.len());
        while left > PIECE {
            self.push(descriptor::part(address, PIECE as u16, orders));
            address += PIECE as u64;
            left -= PIECE;
        }
        self.finish(address, left, orders, buffer);
    }

    fn finish(&mut self, address: u64, len: usize, orders: Orders, buffer: DmaBuf) {
        self.push(descriptor::last_part(address, len as u16, orders)).buffer = Some(buffer);
    }
}

/// What came of [`TransmitRing::reclaim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reclaimed {
    Nothing,
    Some,
}
