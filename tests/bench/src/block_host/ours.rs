//! `virtio-blk` over `virtio-vhost-user`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use toro_core::dma::Segments;
use toro_core::driver::block::{BlockDevice, BlockOperation, BlockRequest, SECTOR};
use toro_core::{DmaBuf, DmaPool, Pace};
use virtio_blk::VirtioBlk;
use virtio_queue_rt::DeviceType;
use virtio_vhost_user::{CLOCK, GuestMemory, Options, VhostUser};

use super::BYTES;
use super::contender::{Contender, DESCRIPTORS, Load, Meter, Places, READ, Run};

/// How long nothing may be finished.
const PATIENCE: Duration = Duration::from_secs(20);
/// Memory for rings, their tables, and buffers.
const MEMORY: usize = 4 << 20;

/// A disk with one queue.
pub struct Ours {
    disk: VirtioBlk<VhostUser>,
    buffers: Vec<DmaBuf>,
    places: Places,
}

impl Ours {
    /// Connects, with room for `depth` reads.
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub fn new(socket: &Path, depth: u32) -> Result<Self> {
        let memory = GuestMemory::new(MEMORY)?;
        let transport = VhostUser::connect(socket, DeviceType::BLOCK, memory, Options::of(DeviceType::BLOCK))?;
        let options = virtio_blk::Options { descriptors: DESCRIPTORS, ..virtio_blk::Options::default() };
        let disk = VirtioBlk::new(transport, memory, &CLOCK, &options).map_err(|error| anyhow!("{error}"))?;
        let mut pool = DmaPool::new(memory, depth as usize, READ).map_err(|error| anyhow!("{error}"))?;
        let buffers: Option<Vec<_>> = (0..depth)
            .map(|_| {
                let mut buffer = pool.take()?;
                buffer.set_len(READ).ok()?;
                Some(buffer)
            })
            .collect();
        Ok(Self { disk, buffers: buffers.context("a buffer")?, places: Places::new(BYTES) })
    }

    #[inline]
    fn submit(&mut self, data: Segments) -> Result<()> {
        let sector = self.places.next() * (READ / SECTOR) as u64;
        let request = BlockRequest { unit: 0, operation: BlockOperation::Read { sector }, data };
        self.disk.submit(request).map(drop).map_err(|refused| anyhow!("{}", refused.reason))
    }
}

impl Contender for Ours {
    fn read(&mut self, load: Load) -> Result<Run> {
        let depth = self.buffers.len();
        let mut finished = Vec::with_capacity(depth);
        let (mut meter, mut pace) = (Meter::start(load), Pace::new());
        for buffer in std::mem::take(&mut self.buffers) {
            self.submit(buffer.into())?;
        }
        while self.buffers.len() < depth {
            self.disk.publish();
            // As many as are finished, and at least one.
            let (mut looks, mut start) = (0_u32, None);
            loop {
                pace.pause();
                while let Some(completion) = self.disk.complete()? {
                    ensure!(completion.result.is_ok(), "a read failed: {:?}", completion.result);
                    finished.push(completion.request.data);
                }
                pace.note(finished.len(), depth - self.buffers.len());
                if !finished.is_empty() {
                    break;
                }
                looks = looks.wrapping_add(1);
                if looks.is_multiple_of(1 << 16) {
                    let waited = start.get_or_insert_with(Instant::now).elapsed();
                    ensure!(waited < PATIENCE, "nothing is finished for {PATIENCE:?}");
                }
            }
            if meter.goes_on(finished.len()) {
                for data in finished.drain(..) {
                    self.submit(data)?;
                }
            } else {
                self.buffers.extend(finished.drain(..).filter_map(Segments::into_one));
            }
        }
        Ok(meter.finish())
    }
}
