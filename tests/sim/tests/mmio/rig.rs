//! A register block that is traced, and a request that goes through.

pub use toro_core::{DmaBuf, DmaPool, Registers};
pub use virtio_queue_rt::attach::BoxedTransport;
pub use virtio_queue_rt::transport::{Interface, InterruptStatus, Probe, SharedMemory, Transport, TransportError};
pub use virtio_queue_rt::{
    Direction, FeatureBits, InitError, LegacyMmioTransport, MmioTransport, Negotiated, QueueIndex, Reset, Running,
    TransitionalMmio, Virtqueue,
};
pub use virtio_sim::device::Lies;
pub use virtio_sim::{Device, DeviceQueue, LegacyMmioModel, MmioModel, SimMemory};

pub use crate::common::{HASTE, ask};
pub use crate::trace::{Access, Kind, Trace, Traced};

pub type Queue = Virtqueue<DmaBuf, u32>;

/// What the devices here offer beside ring features.
pub const OWN: FeatureBits = FeatureBits::from_bits(1 << 5);
pub const EVENT_IDX: FeatureBits = FeatureBits::EVENT_IDX;

/// Which version of the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Legacy,
    Modern,
}

pub const VERSIONS: [Version; 2] = [Version::Legacy, Version::Modern];

/// A device and the registers that it has.
pub struct Block {
    pub version: Version,
    pub device: Device,
    pub trace: Trace,
}

impl Block {
    pub fn new(version: Version) -> Self {
        Self::with(version, FeatureBits::EMPTY)
    }

    pub fn with(version: Version, offered: FeatureBits) -> Self {
        let offered = OWN
            | EVENT_IDX
            | offered
            | if version == Version::Modern { FeatureBits::VERSION_1 } else { FeatureBits::EMPTY };
        let device = Device::new(1, offered.bits(), &[8, 100], &[1, 2, 3, 4, 5, 6, 7, 8]);
        Self { version, device, trace: Trace::default() }
    }

    pub fn try_open(&self) -> Result<BoxedTransport, TransportError> {
        let (device, trace) = (self.device.clone(), self.trace.clone());
        Ok(match self.version {
            Version::Legacy => {
                Box::new(TransitionalMmio::new(Traced { registers: LegacyMmioModel::new(device), trace })?)
            }
            Version::Modern => Box::new(TransitionalMmio::new(Traced { registers: MmioModel::new(device), trace })?),
        })
    }

    pub fn open(&self) -> BoxedTransport {
        self.try_open().expect("a sound device")
    }

    pub fn negotiated(&self, transport: BoxedTransport) -> Negotiated<BoxedTransport> {
        let reset = Reset::new(transport, &HASTE).expect("it resets");
        reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees")
    }

    /// A device in service with its first queue.
    pub fn serve(&self, memory: &'static SimMemory) -> (Running<BoxedTransport>, Queue) {
        let mut negotiated = self.negotiated(self.open());
        let queue = negotiated.queue(QueueIndex(0), 8, memory).expect("it is there");
        (negotiated.run(), queue)
    }

    /// An obedient device can be taken into service, used and released, and holds no memory afterwards.
    pub fn works(&self) {
        let memory = SimMemory::leak();
        let (running, mut queue) = self.serve(memory);
        let mut pool = DmaPool::new(memory, 2, 64).expect("memory");
        ask(&self.device, &running, &mut queue, &mut pool, memory);
        let (_, proof) = running.quiesce(&HASTE).expect("it resets");
        assert!(queue.retire(&proof, |_, _| {}).is_ok());
        drop(pool);
        assert_eq!(memory.blocks(), 0);
    }

    /// Makes the first queue of a device that lies; the error.
    pub fn refuses(&self) -> TransportError {
        let memory = SimMemory::leak();
        let mut negotiated = self.negotiated(self.open());
        let error = match negotiated.queue::<DmaBuf, (), (), ()>(QueueIndex(0), 8, memory) {
            Err(InitError::Transport(error)) => error,
            other => panic!("{other:?}"),
        };
        negotiated.abandon(&HASTE).expect("it resets");
        assert_eq!(memory.blocks(), 0, "HD-G-5");
        self.device.lie(|lies| *lies = Lies::default());
        self.works();
        error
    }

    /// What was accessed since the last call: where, and what was written.
    pub fn accesses(&self) -> Vec<(usize, Option<u32>)> {
        let write = |access: Access| (access.kind == Kind::Write).then_some(access.value);
        self.trace.take().into_iter().map(|access| (access.offset, write(access))).collect()
    }
}
