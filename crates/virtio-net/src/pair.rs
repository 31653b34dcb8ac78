//! [`Pair`]: one receive queue and one transmit queue, with the buffers that go through them.
//!
//! # Memory
//!
//! | | bytes each | how many |
//! |---|---|---|
//! | transmit | header and longest frame | slots, and those that the owner may hold |
//! | receive | header and longest frame, and one | the same |
//! | receive, merged | [`Options::merged_buffer`], or more if a frame needs it | the same |
//! | transmit, large | 64 KiB | [`Options::large_frames`] |
//!
//! Where frames are longer than on plain Ethernet there are fewer buffers, so that they take about as much memory; but
//! never fewer than [`LEAST_BUFFERS`].

use toro_core::driver::AttachError;
use toro_core::{Dma, DmaPool};
use virtio_queue_rt::{Negotiated, QueueIndex, Quiesced, Transport};

use crate::driver::Options;
use crate::framing::Queue;
use crate::header::{Receiving, Sending};
use crate::receive::{Assembly, Reading, Receiver};
use crate::setup::Plan;
use crate::transmit::Transmitter;
use crate::wire::HEADER_LEN;

/// A large frame and its header: what one piece of a page allocator holds, and one IP packet hardly exceeds.
pub(crate) const LARGE_BUFFER: usize = 64 * 1024;
/// Unused bytes in front of each part of a merged packet, for headers that make a segment of it.
pub(crate) const MERGED_HEADROOM: usize = 128;
/// The longest frame of plain Ethernet.
const PLAIN_FRAME: usize = 1514;
/// The length of buffers for such frames, about.
const PLAIN_BUFFER: usize = 2048;
/// How many buffers a queue has at least, if it has so many slots.
const LEAST_BUFFERS: usize = 16;

/// One queue pair.
#[derive(Debug)]
pub(crate) struct Pair {
    pub receive: Receiver,
    pub transmit: Transmitter,
}

/// The queues of a pair: receive, then transmit (§5.1.2).
pub(crate) fn indices(pair: u16) -> [QueueIndex; 2] {
    [QueueIndex(2 * pair), QueueIndex(2 * pair + 1)]
}

/// How many buffers of this size go with so many slots.
fn buffers(slots: u16, size: usize) -> usize {
    let slots = usize::from(slots);
    slots.min((slots * PLAIN_BUFFER / size).max(LEAST_BUFFERS))
}

impl Pair {
    /// Makes pair number `number`. Queues that were made before an error go to `keep`.
    pub fn new<T: Transport>(
        device: &mut Negotiated<T>,
        number: u16,
        memory: Dma,
        plan: &Plan,
        options: &Options,
        mut keep: impl FnMut(Queue),
    ) -> Result<Self, AttachError> {
        let [receive, transmit] = indices(number);
        let receive = Queue::new(device, receive, options.receive_slots, memory, plan.layout)?;
        let transmit = match Queue::new(device, transmit, options.transmit_slots, memory, plan.layout) {
            Ok(transmit) => transmit,
            Err(error) => {
                keep(receive);
                return Err(error.into());
            }
        };
        // Whatever the unit, what a frame of plain Ethernet takes (NET-16).
        let frame = HEADER_LEN + plan.max_frame.max(PLAIN_FRAME);
        let (reading, headroom, size) = match plan.reading {
            Reading::Merged => {
                let least = MERGED_HEADROOM + frame + 1;
                (Reading::Merged, MERGED_HEADROOM, usize::from(options.merged_buffer).max(least).next_multiple_of(64))
            }
            // Longer by at least one byte than what is received. Whole cache lines: a pool spaces its buffers by those
            // anyway.
            reading => (reading, 0, (frame + 1).next_multiple_of(64)),
        };
        let spare = |count: usize| count + usize::from(options.receive_spare);
        let given = buffers(receive.capacity(), size);
        let receive_pool = DmaPool::new(memory, spare(given), size);
        let transmit_pool = DmaPool::new(memory, spare(buffers(transmit.capacity(), frame)), frame);
        let (receive_pool, transmit_pool) = match (receive_pool, transmit_pool) {
            (Ok(receive_pool), Ok(transmit_pool)) => (receive_pool, transmit_pool),
            (Err(error), _) | (_, Err(error)) => {
                keep(receive);
                keep(transmit);
                return Err(error.into());
            }
        };
        let mut offloads = plan.offloads;
        // Without memory for them there are none: nothing has to be cut.
        let large = match offloads.max_tcp4.max(offloads.max_tcp6) {
            0 => None,
            _ => DmaPool::new(memory, options.large_frames.into(), LARGE_BUFFER).ok(),
        };
        if large.is_none() {
            (offloads.max_tcp4, offloads.max_tcp6) = (0, 0);
        }
        let receive = Receiver {
            queue: receive,
            pool: receive_pool,
            reading,
            headroom,
            header_len: plan.header_len,
            rules: Receiving { max_frame: plan.max_frame, features: plan.features },
            assembly: Assembly::default(),
            few: (given / 2) as u16,
            fault: None,
        };
        let transmit = Transmitter {
            queue: transmit,
            pool: transmit_pool,
            large,
            header_len: plan.header_len,
            rules: Sending { max_frame: plan.max_frame, offloads, has_ecn: plan.has_ecn },
        };
        Ok(Self { receive, transmit })
    }

    /// Frees everything, the device having been reset.
    pub fn retire(self, proof: &Quiesced) {
        self.receive.queue.retire(proof);
        self.transmit.queue.retire(proof);
    }
}
