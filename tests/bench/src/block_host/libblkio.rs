//! The crate `blkio`, as its own benchmark uses it: a poll queue, and `do_io` that waits for at least one.

use std::mem::MaybeUninit;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use blkio::{Blkio, Blkioq, Completion, MemoryRegion, ReqFlags};

use super::BYTES;
use super::contender::{Contender, DESCRIPTORS, Load, Meter, Places, READ, Run};

/// A disk and its only queue.
pub struct Libblkio {
    queue: Blkioq,
    buffers: MemoryRegion,
    depth: usize,
    places: Places,
    /// Dropped last.
    _device: Blkio,
}

impl Libblkio {
    /// Connects, with room for `depth` reads.
    ///
    /// # Errors
    ///
    /// What the crate says.
    pub fn new(socket: &Path, depth: u32) -> Result<Self> {
        let text = |error: blkio::Error| anyhow!("{error}");
        let mut device = Blkio::new("virtio-blk-vhost-user").map_err(text)?;
        let path = socket.to_str().context("a path that is no text")?;
        device.set_str("path", path).map_err(text)?;
        // It does not wait for the daemon to listen.
        let mut attempts = 0;
        while let Err(error) = device.connect() {
            attempts += 1;
            ensure!(attempts < 5000, "{error}");
            std::thread::sleep(Duration::from_millis(1));
        }
        device.set_i32("num-queues", 0).map_err(text)?;
        device.set_i32("num-poll-queues", 1).map_err(text)?;
        device.set_i32("queue-size", DESCRIPTORS.into()).map_err(text)?;
        let mut queues = device.start().map_err(text)?;
        let queue = queues.poll_queues.pop().context("no queue")?;
        let depth = depth as usize;
        let buffers = device.alloc_mem_region(depth * READ).map_err(text)?;
        device.map_mem_region(&buffers).map_err(text)?;
        Ok(Self { queue, buffers, depth, places: Places::new(BYTES), _device: device })
    }

    #[inline]
    fn submit(&mut self, index: usize) {
        let buffer = (self.buffers.addr + index * READ) as *mut u8;
        self.queue.read(self.places.next() * READ as u64, buffer, READ, index, ReqFlags::empty());
    }

    /// Shows the device what is new and waits until at least one read is finished.
    #[inline]
    fn finish(&mut self, finished: &mut [MaybeUninit<Completion>]) -> Result<usize> {
        self.queue.do_io(finished, 1, None, None).map_err(|error| anyhow!("{error}"))
    }
}

impl Contender for Libblkio {
    fn read(&mut self, load: Load) -> Result<Run> {
        let mut finished: Vec<_> = (0..self.depth).map(|_| MaybeUninit::<Completion>::uninit()).collect();
        let mut meter = Meter::start(load);
        for index in 0..self.depth {
            self.submit(index);
        }
        let mut in_flight = self.depth;
        while in_flight > 0 {
            let count = self.finish(&mut finished)?;
            let goes_on = meter.goes_on(count);
            for completion in &finished[..count] {
                // SAFETY: `do_io` has filled in the first `count`.
                let completion = unsafe { completion.assume_init_ref() };
                ensure!(completion.ret == 0, "a read failed: {}", completion.ret);
                if goes_on {
                    self.submit(completion.user_data);
                } else {
                    in_flight -= 1;
                }
            }
        }
        Ok(meter.finish())
    }
}
