//! A device behind traced registers, and what a driver does with it.

use toro_core::pci::msix::MsiMessage;
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::attach::BoxedTransport;
use virtio_queue_rt::transport::TransportError;
use virtio_queue_rt::{
    Direction, FeatureBits, Interrupts, LegacyMmioTransport, LegacyPciTransport, MmioTransport, Negotiated,
    PciTransport, QueueIndex, Reset, Running, Virtqueue,
};
use virtio_sim::pci::Vectors;
use virtio_sim::{Device, DeviceQueue, LegacyMmioModel, MmioModel, PciModel, SimMemory, StrictMmio};

pub use crate::common::HASTE;
use crate::common::transports::{Bus, message};
use crate::trace::{Layout, Trace, Traced, layout};

pub type Queue = Virtqueue<DmaBuf, u32>;

/// What the devices here offer beside ring features.
pub const OWN: FeatureBits = FeatureBits::from_bits(1 << 5);
pub const FAILED: u8 = 128;
pub const NEEDS_RESET: u8 = 64;

/// A device, its registers, and memory that both sides reach.
pub struct Rig {
    pub bus: Bus,
    pub device: Device,
    pub trace: Trace,
    pub memory: &'static SimMemory,
}

impl Rig {
    /// A device that offers its own feature and EVENT_IDX, and VERSION_1 unless it is a legacy one.
    pub fn new(bus: Bus) -> Self {
        let version = if bus.is_legacy() { FeatureBits::EMPTY } else { FeatureBits::VERSION_1 };
        let offered = OWN | version | FeatureBits::EVENT_IDX;
        Self::with(bus, offered, &[1, 2, 3, 4, 5, 6, 7, 8])
    }

    pub fn with(bus: Bus, offered: FeatureBits, config: &[u8]) -> Self {
        let device = Device::new(4, offered.bits(), &[8, 16], config);
        Self { bus, device, trace: Trace::default(), memory: SimMemory::leak() }
    }

    pub fn layout(&self) -> Layout {
        layout(self.bus)
    }

    pub fn transport(&self) -> BoxedTransport {
        self.try_transport().expect("a sound device")
    }

    pub fn try_transport(&self) -> Result<BoxedTransport, TransportError> {
        let trace = self.trace.clone();
        match self.bus {
            Bus::Mmio => {
                let registers = MmioModel::new(self.device.clone());
                Ok(Box::new(MmioTransport::new(Traced { registers, trace })?))
            }
            Bus::Strict => {
                let registers = StrictMmio::new(self.device.clone());
                Ok(Box::new(MmioTransport::new(Traced { registers, trace })?))
            }
            Bus::LegacyMmio => {
                let registers = LegacyMmioModel::new(self.device.clone());
                Ok(Box::new(LegacyMmioTransport::new(Traced { registers, trace })?))
            }
            Bus::LegacyPci => {
                let (config, bars) = PciModel::legacy(self.device.clone(), Vectors::Some(4));
                let bars = traced(bars, &trace);
                let interrupts = [message()];
                Ok(Box::new(LegacyPciTransport::new(&config, &bars, Interrupts::Messages(&interrupts))?))
            }
            Bus::Pci => {
                let (config, bars) = PciModel::new(self.device.clone());
                let bars = traced(bars, &trace);
                // SAFETY: nothing writes it anywhere.
                #[allow(unsafe_code)]
                let message = unsafe { MsiMessage::new(0xfee0_0000, 0x41) };
                let messages = [message; 3];
                Ok(Box::new(PciTransport::new(&config, &bars, Interrupts::Messages(&messages))?))
            }
        }
    }

    pub fn reset(&self) -> Reset<BoxedTransport> {
        Reset::new(self.transport(), &HASTE).expect("it resets")
    }

    pub fn negotiated(&self) -> Negotiated<BoxedTransport> {
        self.reset().negotiate(OWN, FeatureBits::EMPTY, |accepted| accepted).expect("it agrees")
    }

    /// Everything up to a device in service with its first queue.
    pub fn service(&self) -> Service {
        self.serve(self.negotiated())
    }

    pub fn serve(&self, mut negotiated: Negotiated<BoxedTransport>) -> Service {
        let queue = negotiated.queue(QueueIndex(0), 8, self.memory).expect("it is there");
        let running = negotiated.run();
        let other = DeviceQueue::negotiated(self.memory, self.device.queue(0), running.features().bits());
        let pool = DmaPool::new(self.memory, 16, 64).expect("memory");
        Service { running, queue, other, pool }
    }

    /// An honest device can be taken into service, used and released, and holds no memory afterwards.
    pub fn works(&self) {
        let before = self.memory.blocks();
        self.service().works().end();
        assert_eq!(self.memory.blocks(), before);
    }
}

/// BARs whose accesses are remembered.
pub fn traced<R>(bars: [Option<R>; 6], trace: &Trace) -> [Option<Traced<R>>; 6] {
    bars.map(|bar| bar.map(|registers| Traced { registers, trace: trace.clone() }))
}

/// A device in service, both sides of it.
pub struct Service {
    pub running: Running<BoxedTransport>,
    pub queue: Queue,
    pub other: DeviceQueue,
    pub pool: DmaPool,
}

impl Service {
    /// Submits a request for `len` bytes of the device's.
    pub fn ask(&mut self, len: usize, cookie: u32) {
        let mut buffer = self.pool.take().expect("there are twice as many as descriptors");
        buffer.set_len(len).expect("buffers have 64 bytes");
        self.queue.submit((), buffer, Direction::FromDevice, (), cookie).expect("there is room");
    }

    /// One request to the device and its answer.
    pub fn works(mut self) -> Self {
        self.ask(5, 7);
        let wish = self.queue.publish();
        self.running.notify(&self.queue, wish);
        let chain = self.other.pop().expect("it was published");
        let written = self.other.write(&chain, b"hello");
        self.other.push(u32::from(chain.head), written);
        let done = self.queue.poll().expect("an obedient device").expect("it is done");
        assert_eq!((&done.payload[..], done.cookie, done.written), (&b"hello"[..], 7, 5));
        drop(done);
        self
    }

    /// Resets the device and frees everything; gives the transport, and the cookies of what was in flight.
    pub fn end(mut self) -> (BoxedTransport, Vec<u32>) {
        let (transport, proof) = self.running.quiesce(&HASTE).expect("it resets");
        let mut unfinished = Vec::new();
        assert!(self.queue.retire(&proof, |_, cookie| unfinished.push(cookie)).is_ok());
        assert_eq!(self.pool.available(), self.pool.count(), "every buffer came home");
        (transport, unfinished)
    }
}

/// Random numbers that are the same in each run (xorshift).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A set of bits, some of them dense and some sparse.
    pub fn bits(&mut self) -> u64 {
        match self.next() % 4 {
            0 => self.next() & self.next(),
            1 => self.next() | self.next(),
            _ => self.next(),
        }
    }
}
