//! A function behind traced registers, and a request that goes through.

pub use toro_core::pci::msix::MsiMessage;
pub use toro_core::{DmaBuf, DmaPool};
pub use virtio_queue_rt::attach::BoxedTransport;
pub use virtio_queue_rt::transport::{Interface, InterruptStatus, SharedMemory, Signalling, Transport, TransportError};
pub use virtio_queue_rt::{
    Direction, FeatureBits, InitError, Interrupts, LegacyPciTransport, Negotiated, PciTransport, QueueIndex, Reset,
    Running, TransitionalPci, Virtqueue,
};
pub use virtio_sim::device::Lies;
pub use virtio_sim::pci::{PciConfig, Vectors, capability, shared_memory};
pub use virtio_sim::{Device, DeviceQueue, PciModel, SimMemory};

pub use crate::common::{HASTE, ask};
pub use crate::trace::{Access, Kind, Trace, Traced};

pub type Queue = Virtqueue<DmaBuf, u32>;
pub type Bars = [Option<Traced<PciModel>>; 6];

/// What the devices here offer beside ring features.
pub const OWN: FeatureBits = FeatureBits::from_bits(1 << 5);
pub const EVENT_IDX: FeatureBits = FeatureBits::EVENT_IDX;

/// A device and the function that it is.
pub struct Function {
    pub device: Device,
    pub config: PciConfig,
    pub bars: Bars,
    /// What was accessed, by BAR.
    pub traces: [Trace; 6],
}

/// A network device with three queues.
pub fn device(offered: FeatureBits) -> Device {
    Device::new(1, (OWN | EVENT_IDX | offered).bits(), &[8, 100, 16], &[1, 2, 3, 4, 5, 6, 7, 8])
}

impl Function {
    pub fn new((config, bars): (PciConfig, [Option<PciModel>; 6]), device: Device) -> Self {
        let traces: [Trace; 6] = Default::default();
        let mut index = 0;
        let bars = bars.map(|bar| {
            let trace = traces[index].clone();
            index += 1;
            bar.map(|registers| Traced { registers, trace })
        });
        Self { device, config, bars, traces }
    }

    pub fn modern() -> Self {
        Self::modern_with(FeatureBits::EMPTY, Vectors::Some(4))
    }

    pub fn modern_with(offered: FeatureBits, vectors: Vectors) -> Self {
        let device = device(FeatureBits::VERSION_1 | offered);
        Self::new(PciModel::modern(device.clone(), vectors), device)
    }

    pub fn legacy(vectors: Vectors) -> Self {
        let device = Device::new(1, (OWN | EVENT_IDX).bits(), &[8, 64, 16], &[1, 2, 3, 4, 5, 6, 7, 8]);
        Self::new(PciModel::legacy(device.clone(), vectors), device)
    }

    pub fn transitional() -> Self {
        let device = device(FeatureBits::VERSION_1);
        Self::new(PciModel::transitional(device.clone()), device)
    }

    pub fn open(&self, interrupts: Interrupts<'_>) -> Result<BoxedTransport, TransportError> {
        Ok(Box::new(TransitionalPci::new(&self.config, &self.bars, interrupts)?))
    }

    /// With so many messages.
    pub fn with_messages(&self, count: usize) -> BoxedTransport {
        self.open(Interrupts::Messages(&messages(count))).expect("a sound function")
    }

    pub fn polled(&self) -> BoxedTransport {
        self.open(Interrupts::Polled).expect("a sound function")
    }

    pub fn negotiated(&self, transport: BoxedTransport) -> Negotiated<BoxedTransport> {
        let reset = Reset::new(transport, &HASTE).expect("it resets");
        reset.negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees")
    }

    /// An obedient function can be taken into service, used and released, and holds no memory afterwards.
    pub fn works(&self) {
        self.exchange(self.polled());
    }

    /// The same through this transport.
    pub fn exchange(&self, transport: BoxedTransport) -> BoxedTransport {
        let memory = SimMemory::leak();
        let negotiated = self.negotiated(transport);
        assert_eq!(negotiated.config(|config| (config.read8(0), config.read32(4))), Ok((1, 0x0807_0605)));
        let (running, mut queue) = self.serve(negotiated, memory);
        let mut pool = DmaPool::new(memory, 2, 64).expect("memory");
        ask(&self.device, &running, &mut queue, &mut pool, memory);
        let (transport, proof) = running.quiesce(&HASTE).expect("it resets");
        assert!(queue.retire(&proof, |_, _| {}).is_ok());
        drop(pool);
        assert_eq!(memory.blocks(), 0);
        transport
    }

    /// A device in service with its first queue.
    pub fn serve(
        &self,
        mut negotiated: Negotiated<BoxedTransport>,
        memory: &'static SimMemory,
    ) -> (Running<BoxedTransport>, Queue) {
        let queue = negotiated.queue(QueueIndex(0), 8, memory).expect("it is there");
        (negotiated.run(), queue)
    }

    /// Makes a queue of a device that lies; the error, and what becomes of its memory.
    pub fn refuses(&self, transport: BoxedTransport, index: u16) -> TransportError {
        let memory = SimMemory::leak();
        let mut negotiated = self.negotiated(transport);
        let error = match negotiated.queue::<DmaBuf, (), (), ()>(QueueIndex(index), 16, memory) {
            Err(InitError::Transport(error)) => error,
            other => panic!("{other:?}"),
        };
        let (transport, _) = negotiated.abandon(&HASTE).expect("it resets");
        assert_eq!(memory.blocks(), 0, "HD-G-5");
        self.device.lie(|lies| *lies = Lies::default());
        self.exchange(transport);
        error
    }

    /// What was written to the registers of a modern function, in order.
    pub fn writes(&self) -> Vec<Access> {
        let mut accesses = self.traces[4].take();
        accesses.retain(|access| access.kind == Kind::Write);
        accesses
    }
}

#[allow(unsafe_code)]
pub fn messages(count: usize) -> Vec<MsiMessage> {
    // SAFETY: nothing writes them anywhere.
    (0..count).map(|i| unsafe { MsiMessage::new(0xfee0_0000, 0x40 + i as u32) }).collect()
}
