//! The driver under test, with what it expects of each request.

use toro_core::DmaPool;
use toro_core::driver::Armed;
use virtio_queue_rt::attach::BoxedTransport;
use virtio_queue_rt::{
    FeatureBits, Interrupts, LegacyMmioTransport, LegacyPciTransport, MmioTransport, Notify, PciTransport, QueueIndex,
    Reset, Running, Virtqueue, Wanted,
};
use virtio_sim::clock::CLOCK;
use virtio_sim::pci::Vectors;
use virtio_sim::{Device, LegacyMmioModel, MmioModel, PciModel};

use crate::device::OracleDevice;
use crate::exchange::{Random, answer};
use crate::memory::GuestRam;
use crate::shapes::{Field, Shape};

/// Bytes in a buffer.
const BUFFER: usize = 128;

/// What a request must come back with.
pub struct Expected<D> {
    direction: D,
    /// What the device can read, which must not change.
    readable: Vec<u8>,
    /// What the device writes.
    answer: Vec<u8>,
    /// What lies where the device can write, and stays there behind the answer.
    before: Vec<u8>,
}

/// A running driver with one queue.
pub struct DriverSide<P: Shape, H: Field, T: Field> {
    running: Running<BoxedTransport>,
    queue: Virtqueue<P, Expected<P::Direction>, H, T>,
    pool: DmaPool,
    random: Random,
    submitted: u64,
    finished: u64,
}

/// Both sides of a queue, and the registers between them.
pub struct Rig<P: Shape, H: Field, T: Field> {
    /// The driver.
    pub driver: DriverSide<P, H, T>,
    /// The device behind the queue.
    pub oracle: OracleDevice,
    /// The device behind the registers.
    pub device: Device,
    /// What both use.
    pub memory: &'static GuestRam,
}

/// What lies between driver and device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// Registers in memory.
    Mmio,
    /// A PCI function.
    Pci,
    /// Registers in memory, as before VIRTIO 1.0.
    LegacyMmio,
    /// A PCI function of before VIRTIO 1.0.
    LegacyPci,
}

impl Bus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mmio, Self::Pci, Self::LegacyMmio, Self::LegacyPci];

    /// The feature that tells a modern device from a legacy one, where it is one.
    pub const fn version(self) -> u64 {
        match self {
            Self::Mmio | Self::Pci => 1 << 32,
            Self::LegacyMmio | Self::LegacyPci => 0,
        }
    }

    fn transport(self, device: Device) -> BoxedTransport {
        const SOUND: &str = "a sound device";
        match self {
            Self::Mmio => Box::new(MmioTransport::new(MmioModel::new(device)).expect(SOUND)),
            Self::LegacyMmio => Box::new(LegacyMmioTransport::new(LegacyMmioModel::new(device)).expect(SOUND)),
            Self::Pci => {
                let (config, bars) = PciModel::modern(device, Vectors::None);
                Box::new(PciTransport::new(&config, &bars, Interrupts::Polled).expect(SOUND))
            }
            Self::LegacyPci => {
                let (config, bars) = PciModel::legacy(device, Vectors::None);
                Box::new(LegacyPciTransport::new(&config, &bars, Interrupts::Polled).expect(SOUND))
            }
        }
    }
}

/// Sets a modern device up that offers `features` and has one queue of `size` descriptors. All that is random follows
/// from `seed`.
pub fn rig<P: Shape, H: Field, T: Field>(size: u16, features: u64, seed: u64) -> Rig<P, H, T> {
    rig_over(Bus::Mmio, size, features, seed)
}

/// As [`rig`], behind any kind of registers; a device of before VIRTIO 1.0 behind those that are as old.
pub fn rig_over<P: Shape, H: Field, T: Field>(bus: Bus, size: u16, features: u64, seed: u64) -> Rig<P, H, T> {
    let memory = GuestRam::leak();
    let device = Device::new(1, bus.version() | features, &[size], &[]);
    let reset = Reset::new(bus.transport(device.clone()), &CLOCK).expect("it resets");
    let mut negotiated =
        reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("nothing is missing");
    assert_eq!(negotiated.features().bits(), bus.version() | features, "all of them are known");
    let wanted = Wanted { descriptors: size, segments: P::BUFFERS as u16 };
    let queue: Virtqueue<P, _, H, T> = negotiated.queue(QueueIndex(0), wanted, memory).expect("the queue is there");
    let running = negotiated.run();
    let accepted = device.state().accepted;
    let oracle = OracleDevice::new(memory, device.queue(0), size, accepted);
    let buffers = usize::from(queue.capacity()) * P::BUFFERS;
    let pool = DmaPool::new(memory, buffers, BUFFER).expect("memory");
    let driver = DriverSide { running, queue, pool, random: Random::new(seed), submitted: 0, finished: 0 };
    Rig { driver, oracle, device, memory }
}

impl<P: Shape, H: Field, T: Field> DriverSide<P, H, T> {
    /// How many requests can be submitted now.
    pub fn room(&self) -> u16 {
        self.queue.room()
    }

    /// How many can be in flight.
    pub fn capacity(&self) -> u16 {
        self.queue.capacity()
    }

    /// How many were submitted.
    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    /// How many came back.
    pub fn finished(&self) -> u64 {
        self.finished
    }

    /// Submits a request at random. There is room.
    pub fn submit(&mut self) {
        let (payload, direction) = P::make(&mut self.pool, &mut self.random);
        let (header, trailer) = (H::make(&mut self.random), T::make(&mut self.random));
        let readable = [H::bytes(header), payload.readable(direction)].concat();
        let before = [payload.writable(direction), T::bytes(trailer)].concat();
        let answer = answer(self.submitted, &readable, before.len());
        let expected = Expected { direction, readable, answer, before };
        let submitted = self.queue.submit(header, payload, direction, trailer, expected);
        assert!(submitted.is_ok(), "there is room");
        self.submitted += 1;
    }

    /// Shows what was submitted to the device, and notifies it if it wants that.
    pub fn publish(&mut self) -> Notify {
        let wish = self.queue.publish();
        self.running.notify(&self.queue, wish);
        wish
    }

    /// Takes one finished request out; `None` if there is none.
    pub fn poll(&mut self) -> Option<()> {
        let done = self.queue.poll().expect("an honest device")?;
        self.finished += 1;
        Self::check(&done.cookie, &done.payload, done.written, done.trailer);
        done.payload.recycle(&mut self.pool);
        Some(())
    }

    /// Takes all finished requests out; returns how many there were.
    pub fn drain(&mut self) -> u16 {
        let pool = &mut self.pool;
        let count = self.queue.drain(|done| {
            Self::check(&done.cookie, &done.payload, done.written, done.trailer);
            done.payload.recycle(pool);
        });
        let count = count.expect("an honest device");
        self.finished += u64::from(count);
        count
    }

    /// Asks for an interrupt, then looks once more.
    pub fn arm(&mut self) -> Armed {
        self.queue.arm()
    }

    /// Every byte is what it must be.
    fn check(expected: &Expected<P::Direction>, payload: &P, written: u32, trailer: T::Value) {
        let Expected { direction, readable, answer, before } = expected;
        assert_eq!(written as usize, answer.len(), "the length of the answer");
        assert!(readable.ends_with(&payload.readable(*direction)), "what the device only reads has changed");
        let after = [payload.writable(*direction), T::bytes(trailer)].concat();
        assert_eq!(after[..answer.len()], answer[..], "another answer");
        assert_eq!(after[answer.len()..], before[answer.len()..], "VQ-24: bytes behind the answer have changed");
    }

    /// Resets the device and takes everything apart; returns how many requests were unfinished. Every buffer comes
    /// home.
    pub fn retire(mut self) -> usize {
        let (_, proof) = self.running.quiesce(&CLOCK).expect("it resets");
        let mut unfinished = 0;
        let pool = &mut self.pool;
        let retired = self.queue.retire(&proof, |payload, _| {
            payload.recycle(pool);
            unfinished += 1;
        });
        assert!(retired.is_ok(), "the proof is for this device");
        assert_eq!(self.pool.available(), self.pool.count(), "every buffer came home");
        unfinished
    }
}
