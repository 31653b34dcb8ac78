//! The block layer against a model of a device that is as obedient, slow, broken or forgetful as a test wants it.

use alloc::rc::Rc;
use core::time::Duration;
use std::boxed::Box;

use toro_core::DmaBuf;
use toro_core::driver::block::BlockOperation;

use self::device::Model;
use super::DiskError;
use super::buffers::Buffers;
use super::queue::{Finished, PATIENCE, Queue, Ticket};
use super::volume::{Volume, Window};
use crate::fs::fuse::tests::memory::Heap;
use crate::fs::scheduler::pump::Pump;

mod caching;
mod contention;
pub mod device;
mod handles;
mod queueing;
mod resizing;
mod trouble;

const SECOND: Duration = Duration::from_secs(1);

/// A disk, and what a test needs around it.
pub struct Machine {
    pub model: Model,
    pub pump: Pump,
    queue: Rc<Queue>,
    buffers: Rc<Buffers>,
}

impl Machine {
    /// Around this disk.
    pub fn new(model: Model) -> Self {
        let pump = Pump::default();
        let queue = Queue::new("model", model.device(), Box::new(pump.clone()), PATIENCE);
        let driven = Rc::clone(&queue);
        pump.drive(move |now| driven.poll(now));
        Self { model, pump, queue, buffers: Rc::new(Buffers::new(&Heap, 64 << 20)) }
    }

    /// A disk of so many sectors, each filled with its number.
    fn with_sectors(sectors: u64) -> Self {
        Self::new(Model::new(sectors))
    }

    fn buffer(&self, sectors: usize) -> DmaBuf {
        self.buffers.take(sectors * 512).expect("there is memory")
    }

    fn read(&self, sector: u64, sectors: usize) -> Ticket {
        self.queue.submit(0, BlockOperation::Read { sector }, Some(self.buffer(sectors)))
    }

    fn write(&self, sector: u64, sectors: usize, byte: u8) -> Ticket {
        let mut buffer = self.buffer(sectors);
        buffer.fill(byte);
        self.queue.submit(0, BlockOperation::Write { sector }, Some(buffer))
    }

    /// A part of the disk.
    pub fn volume(&self, first: u64, sectors: u64) -> Volume {
        let window = Window::new(first, sectors).expect("small");
        Volume::new(Rc::clone(&self.queue), 0, window, Rc::clone(&self.buffers))
    }
}

/// The bytes of what was done.
fn bytes(finished: Finished) -> Vec<u8> {
    assert_eq!(finished.result, Ok(()));
    finished.buffer.expect("a read has a buffer").to_vec()
}
