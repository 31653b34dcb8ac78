//! The driver under test, and the disk behind it.

pub use crate::common::transports::{ALL_BUSES, BUSES, Bus, LEGACY_BUSES, transport};
pub use crate::common::{EVENT_IDX, HASTE, VERSION_1};
pub use toro_core::dma::Segments;
pub use toro_core::driver::block::{
    BlockCompletion, BlockDevice, BlockError, BlockLimits, BlockOperation, BlockRequest, Disk,
};
pub use toro_core::driver::{Armed, AttachError, DeviceFault, Refusal, RequestId};
pub use toro_core::{DmaBuf, DmaPool};
pub use virtio_blk::{Command, Finished, Options, RangeOperation, VirtioBlk, WriteCache};
pub use virtio_queue_rt::attach::BoxedTransport;
pub use virtio_sim::SimMemory;
pub use virtio_sim::block::config::*;
pub use virtio_sim::block::{BlockConfig, BlockModel, Framing, Lie, Manner, kind};
pub use virtio_sim::clock::CLOCK;
pub use virtio_sim::queue::feature::{IN_ORDER, INDIRECT_DESC};

/// Everything of its own that a disk with one queue can have and that can be written to.
pub const EVERYTHING: u64 =
    SIZE_MAX | SEG_MAX | BLK_SIZE | FLUSH | TOPOLOGY | CONFIG_WCE | DISCARD | WRITE_ZEROES | LIFETIME | SECURE_ERASE;

/// What to vary; the rest is an ordinary disk of 64 sectors.
#[derive(Clone, Copy)]
pub struct Setup {
    pub bus: Bus,
    pub features: u64,
    pub config: BlockConfig,
    pub size: u16,
    pub options: Options,
    pub framing: Framing,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            bus: Bus::Mmio,
            features: EVENT_IDX | INDIRECT_DESC | EVERYTHING,
            config: BlockConfig::default(),
            size: 64,
            options: Options::default(),
            framing: Framing::Separate,
        }
    }
}

impl Setup {
    pub fn with_features(features: u64) -> Self {
        Self { features, ..Self::default() }
    }

    pub fn with_config(config: BlockConfig) -> Self {
        Self { config, ..Self::default() }
    }

    pub fn model(&self, memory: &'static SimMemory) -> BlockModel {
        let version = if self.bus.is_legacy() { 0 } else { VERSION_1 };
        let mut model = BlockModel::new(memory, version | self.features, &[self.size], self.config);
        model.framing = self.framing;
        model
    }

    pub fn attach(self) -> Result<Rig, AttachError> {
        let memory = SimMemory::leak();
        let model = self.model(memory);
        let disk = VirtioBlk::new(transport(model.device(), self.bus), memory, &CLOCK, &self.options)?;
        let buffers = if cfg!(miri) { 40 } else { 130 };
        let pool = DmaPool::new(memory, buffers, 4096).expect("memory");
        Ok(Rig { memory, model, disk, pool })
    }

    pub fn rig(self) -> Rig {
        self.attach().expect("a sound disk")
    }
}

/// The driver, the disk behind it, and buffers of 4096 bytes.
pub struct Rig {
    pub memory: &'static SimMemory,
    pub model: BlockModel,
    pub disk: VirtioBlk<BoxedTransport>,
    pub pool: DmaPool,
}

impl Rig {
    pub fn buffer(&mut self, len: usize) -> DmaBuf {
        let mut buffer = self.pool.take().expect("there are enough");
        buffer.set_len(len).expect("not more than 4096");
        buffer
    }

    /// Buffers of these lengths, every byte of them `fill`.
    pub fn segments(&mut self, lengths: &[usize], fill: u8) -> Segments {
        let filled = |len: &usize| {
            let mut buffer = self.buffer(*len);
            buffer.fill(fill);
            buffer
        };
        let mut buffers: Vec<_> = lengths.iter().map(filled).collect();
        match buffers.len() {
            0 => Segments::None,
            1 => Segments::One(buffers.remove(0)),
            _ => buffers.into(),
        }
    }

    pub fn request(&mut self, operation: BlockOperation, lengths: &[usize]) -> BlockRequest {
        BlockRequest { unit: 0, operation, data: self.segments(lengths, 0xee) }
    }

    pub fn read(&mut self, sector: u64, lengths: &[usize]) -> BlockRequest {
        self.request(BlockOperation::Read { sector }, lengths)
    }

    pub fn write(&mut self, sector: u64, bytes: &[u8]) -> BlockRequest {
        let mut request = self.request(BlockOperation::Write { sector }, &[bytes.len()]);
        request.data.as_mut_slice()[0].copy_from_slice(bytes);
        request
    }

    /// Why the driver refuses a request, whose buffers come back as they were.
    pub fn refusal(&mut self, request: BlockRequest) -> Refusal {
        let before: Vec<Vec<u8>> = request.data.as_slice().iter().map(|buffer| buffer.to_vec()).collect();
        let refused = self.disk.submit(request).expect_err("no disk takes it");
        let after: Vec<Vec<u8>> = refused.request.data.as_slice().iter().map(|buffer| buffer.to_vec()).collect();
        assert_eq!(before, after, "the request, unchanged");
        refused.reason
    }

    /// Submits, shows and serves; the disk answers one way or the other.
    pub fn run(&mut self, request: BlockRequest) -> BlockCompletion {
        let id = self.disk.submit(request).expect("the disk takes it");
        self.disk.publish();
        self.model.serve();
        let done = self.completion();
        assert_eq!(done.id, id);
        done
    }

    pub fn completion(&mut self) -> BlockCompletion {
        self.disk.complete().expect("the rings are sound").expect("it completed")
    }

    /// What a request without data gives.
    pub fn result_of(&mut self, operation: BlockOperation, lengths: &[usize]) -> Result<(), BlockError> {
        let request = self.request(operation, lengths);
        self.run(request).result
    }

    pub fn flush(&mut self) -> Result<(), BlockError> {
        self.result_of(BlockOperation::Flush, &[])
    }
}

/// The bytes of a request's buffers.
pub fn bytes(request: &BlockRequest) -> Vec<u8> {
    request.data.as_slice().iter().flat_map(|buffer| buffer.to_vec()).collect()
}
