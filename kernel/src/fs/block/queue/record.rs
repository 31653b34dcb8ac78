//! Requests as their callers made them, and the table that they lie in.
//!
//! Places are used again and never given back, so a request costs no allocation once as many as now have been under way
//! before. What links requests to each other, in a chain that goes to the device as one or in the list of free places, is
//! the number of a place.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use toro_core::DmaBuf;
use toro_core::driver::block::{BlockOperation, SECTOR};

use crate::fs::block::error::DiskError;
use crate::fs::scheduler::Event;

/// The end of a list of places.
pub const NONE: u32 = u32::MAX;

/// How a request ended.
#[derive(Debug)]
pub struct Finished {
    /// The caller's buffer, as long as it was; `None` if there was none, or if a device that is lost has kept it.
    pub buffer: Option<DmaBuf>,
    /// Whether it was done.
    pub result: Result<(), DiskError>,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There is none in this place.
    Free,
    /// In a chain that the device has not been given.
    Waiting,
    /// With the device.
    InFlight,
    /// Finished.
    Done,
}

/// Whether a reset may be followed by another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tries {
    /// None has been interrupted.
    First,
    /// One has.
    Second,
}

/// Who wants to know how it ends.
pub enum Target {
    /// A thread with a ticket.
    Ticket,
    /// Nobody any more.
    Nobody,
    /// Somebody on another core.
    Away(Box<dyn FnOnce(Finished) + Send>),
}

/// A caller's request.
pub struct Record {
    pub phase: Phase,
    /// The next request of the chain, or the next free place.
    pub next: u32,
    pub unit: u8,
    pub tries: Tries,
    pub operation: BlockOperation,
    /// The caller's buffer, unless the device has it.
    pub buffer: Option<DmaBuf>,
    /// Where the caller's data begins in its buffer, and how long it is.
    headroom: usize,
    pub length: usize,
    /// How much of it is done, and how much the device has been given.
    pub done: usize,
    pub piece: usize,
    pub result: Result<(), DiskError>,
    pub target: Target,
    pub event: Rc<dyn Event>,
}

impl Record {
    /// What the device is asked for next: the operation on the next piece.
    pub fn next_operation(&self) -> BlockOperation {
        let done = (self.done / SECTOR) as u64;
        match self.operation {
            BlockOperation::Read { sector } => BlockOperation::Read { sector: sector.saturating_add(done) },
            BlockOperation::Write { sector } => BlockOperation::Write { sector: sector.saturating_add(done) },
            other => other,
        }
    }

    /// Takes the buffer for the device, showing the next piece of at most `longest` bytes.
    pub fn take_piece(&mut self, longest: usize) -> Option<DmaBuf> {
        let mut buffer = self.buffer.take()?;
        self.piece = (self.length - self.done).min(longest);
        if self.piece < self.length {
            // It fits: these bytes were the caller's.
            let shown = buffer.reset(self.headroom + self.done).and_then(|()| buffer.set_len(self.piece));
            debug_assert!(shown.is_ok(), "a piece lies within the buffer");
        }
        Some(buffer)
    }

    /// The buffer, showing what its caller showed.
    pub fn take_whole(&mut self) -> Option<DmaBuf> {
        let mut buffer = self.buffer.take()?;
        if buffer.len() != self.length || buffer.headroom() != self.headroom {
            let shown = buffer.reset(self.headroom).and_then(|()| buffer.set_len(self.length));
            debug_assert!(shown.is_ok(), "the caller's data lies within its buffer");
        }
        Some(buffer)
    }
}

/// All requests of a queue.
pub struct Records {
    places: Vec<Record>,
    free: u32,
}

impl Records {
    pub const fn new() -> Self {
        Self { places: Vec::new(), free: NONE }
    }

    pub fn get_mut(&mut self, place: u32) -> Option<&mut Record> {
        self.places.get_mut(place as usize)
    }

    pub fn get(&self, place: u32) -> Option<&Record> {
        self.places.get(place as usize)
    }

    /// Enters a request; its place.
    pub fn enter(
        &mut self,
        unit: u8,
        operation: BlockOperation,
        buffer: Option<DmaBuf>,
        target: Target,
        event: impl FnOnce() -> Rc<dyn Event>,
    ) -> u32 {
        let (headroom, length) = buffer.as_ref().map_or((0, 0), |buffer| (buffer.headroom(), buffer.len()));
        let place = self.free;
        if let Some(record) = self.places.get_mut(place as usize) {
            self.free = record.next;
            record.phase = Phase::Waiting;
            record.next = NONE;
            record.unit = unit;
            record.tries = Tries::First;
            record.operation = operation;
            record.buffer = buffer;
            record.headroom = headroom;
            record.length = length;
            record.done = 0;
            record.piece = 0;
            record.result = Ok(());
            record.target = target;
            return place;
        }
        self.places.push(Record {
            phase: Phase::Waiting,
            next: NONE,
            unit,
            tries: Tries::First,
            operation,
            buffer,
            headroom,
            length,
            done: 0,
            piece: 0,
            result: Ok(()),
            target,
            event: event(),
        });
        (self.places.len() - 1) as u32
    }

    /// Frees the place of a request that has finished, and says how it ended.
    pub fn leave(&mut self, place: u32) -> Option<Finished> {
        let free = self.free;
        let record = self.get_mut(place)?;
        let finished = Finished { buffer: record.take_whole(), result: record.result };
        record.phase = Phase::Free;
        record.target = Target::Nobody;
        record.next = free;
        self.free = place;
        Some(finished)
    }
}
