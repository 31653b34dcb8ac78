//! The queues for requests: which one a request goes to, and the numbers that say so.
//!
//! ```text
//!   queue           ids
//!   high priority   0x8000 + token
//!   requests 0      0 ..                        of a capacity of 1,024:  0 .. 1,023
//!   requests 1      behind those of queue 0                              1,024 .. 2,047
//!   ..              fewer than 0x8000 in all
//! ```
//!
//! # Which queue
//!
//! All queues have one owner, the core that has the device: several of them are for the *server*, which may have a thread
//! for each. A request goes where fewest are in flight, and to the first of these if there are several. So one request at
//! a time costs what it costs with one queue; many are spread evenly; and a queue that is stuck behind a slow request
//! gets no more than its share. Nothing orders requests, not even those of one queue (§5.11.6.1), so nothing is lost by
//! spreading them.
//!
//! # Whose turn
//!
//! Finished requests are taken out of one queue until it has no more, then of the next, and so on round.

use alloc::vec::Vec;

use toro_core::driver::fuse::{FuseCompletion, FuseRequest, Priority, RequestId};
use toro_core::driver::{Armed, DeviceFault, Refusal, Refused};
use virtio_queue_rt::queue::Token;
use virtio_queue_rt::{Chain, Quiesced, Running, Transport, Virtqueue};

use crate::request::{from_chain, into_chain};

/// A queue of requests.
pub(crate) type Queue = Virtqueue<Chain, ()>;

/// High-priority requests have this bit in their id.
const HIGH_PRIORITY_ID: u16 = 0x8000;

/// A queue, and the ids of what is in it.
struct Lane {
    queue: Queue,
    priority: Priority,
    /// The id of the request with token 0.
    first: u16,
}

impl Lane {
    fn id(&self, token: Token) -> RequestId {
        // The ids of all lanes together are fewer than there are numbers: see `Queues::add`.
        RequestId(self.first.wrapping_add(token.0))
    }

    fn complete(&mut self) -> Result<Option<FuseCompletion>, DeviceFault> {
        let Some(done) = self.queue.poll()? else { return Ok(None) };
        let id = self.id(done.token);
        Ok(from_chain(done.payload, self.priority).map(|request| FuseCompletion {
            id,
            request,
            written: done.written as usize,
        }))
    }

    fn publish<T: Transport>(&mut self, running: &Running<T>) {
        let wish = self.queue.publish();
        running.notify(&self.queue, wish);
    }
}

/// See the module.
pub(crate) struct Queues {
    high: Lane,
    /// At least one.
    requests: Vec<Lane>,
    /// Which of them is asked first for what has finished.
    turn: usize,
}

/// Queues, as they are being made.
#[derive(Default)]
pub(crate) struct Unfinished {
    high: Option<Queue>,
    requests: Vec<Lane>,
    next: u16,
}

impl Unfinished {
    pub fn set_high(&mut self, queue: Queue) {
        self.high = Some(queue);
    }

    pub fn has_high(&self) -> bool {
        self.high.is_some()
    }

    /// How many ids are left for one more queue.
    pub fn ids_left(&self) -> u16 {
        HIGH_PRIORITY_ID - self.next
    }

    /// Adds a queue for requests, of no more than [`ids_left`](Self::ids_left) of them.
    pub fn add(&mut self, queue: Queue) {
        let first = self.next;
        self.next = first.saturating_add(queue.capacity()).min(HIGH_PRIORITY_ID);
        self.requests.push(Lane { queue, priority: Priority::Normal, first });
    }

    /// All of them; `None` if one is missing without which there is no device.
    pub fn finish(&mut self) -> Option<Queues> {
        if self.requests.is_empty() {
            return None;
        }
        let high = Lane { queue: self.high.take()?, priority: Priority::High, first: HIGH_PRIORITY_ID };
        Some(Queues { high, requests: core::mem::take(&mut self.requests), turn: 0 })
    }

    /// Frees everything, the device having been reset.
    pub fn retire(self, proof: &Quiesced) {
        for queue in self.high.into_iter().chain(self.requests.into_iter().map(|lane| lane.queue)) {
            // It is this device's, so it is taken.
            let _ = queue.retire(proof, |_, ()| {});
        }
    }
}

impl Queues {
    /// How many requests can be in flight: ordinary ones, and others.
    pub fn capacity(&self) -> (usize, usize) {
        let ordinary = self.requests.iter().map(|lane| usize::from(lane.queue.capacity())).sum();
        (ordinary, self.high.queue.capacity().into())
    }

    /// How many queues there are for ordinary requests.
    pub fn count(&self) -> usize {
        self.requests.len()
    }

    /// Queues a request.
    pub fn submit(&mut self, request: FuseRequest) -> Result<RequestId, Refused<FuseRequest>> {
        let priority = request.priority;
        let lane = match priority {
            Priority::High => Some(&mut self.high),
            Priority::Normal => {
                let with_room = self.requests.iter_mut().filter(|lane| lane.queue.room() > 0);
                with_room.min_by_key(|lane| lane.queue.len())
            }
        };
        let Some(lane) = lane else {
            return Err(Refused { reason: self.fault().map_or(Refusal::Full, Refusal::Faulted), request });
        };
        match lane.queue.submit((), into_chain(request), (), (), ()) {
            Ok(token) => Ok(lane.id(token)),
            Err(Refused { reason, request: (chain, ()) }) => {
                let request = from_chain(chain, priority).expect("it was made of a request just now");
                Err(Refused { reason, request })
            }
        }
    }

    /// Shows the device all that is new: what needs no answer first.
    pub fn publish<T: Transport>(&mut self, running: &Running<T>) {
        self.high.publish(running);
        for lane in &mut self.requests {
            lane.publish(running);
        }
    }

    /// The next finished request.
    pub fn complete(&mut self) -> Result<Option<FuseCompletion>, DeviceFault> {
        for _ in 0..self.requests.len() {
            if let Some(lane) = self.requests.get_mut(self.turn)
                && let Some(done) = lane.complete()?
            {
                return Ok(Some(done));
            }
            self.turn = if self.turn + 1 < self.requests.len() { self.turn + 1 } else { 0 };
        }
        self.high.complete()
    }

    /// Arms them all, whatever one of them says.
    pub fn arm(&mut self) -> Armed {
        let mut armed = self.high.queue.arm();
        for lane in &mut self.requests {
            if lane.queue.arm() == Armed::WorkPending {
                armed = Armed::WorkPending;
            }
        }
        armed
    }

    /// A fault that one of them has found.
    pub fn fault(&self) -> Option<DeviceFault> {
        self.requests.iter().chain([&self.high]).find_map(|lane| lane.queue.fault())
    }

    /// Frees everything, the device having been reset, and hands back what was in flight.
    pub fn recover(self, proof: &Quiesced, unfinished: &mut dyn FnMut(RequestId, FuseRequest)) {
        for Lane { queue, priority, first } in self.requests.into_iter().chain([self.high]) {
            // It is this device's, so it is taken.
            let _ = queue.recover(proof, |token, chain, ()| {
                if let Some(request) = from_chain(chain, priority) {
                    unfinished(RequestId(first.wrapping_add(token.0)), request);
                }
            });
        }
    }
}
