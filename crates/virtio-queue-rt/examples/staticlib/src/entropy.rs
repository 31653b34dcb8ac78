//! The entropy device (VIRTIO 1.3 §5.4): one queue, whose buffers the device fills with random bytes.
//!
//! # Ownership
//!
//! The slots are an array inside the queue, which is inside the driver: no storage is borrowed, and a driver that was
//! stopped can be started again. Buffers belong to the caller's pool and come back to it with their bytes.
//!
//! # Hostile devices
//!
//! A length beyond a buffer is cut to it by the queue; a length of nothing is skipped. Bytes that the device did not
//! claim to have written are never handed out.
#![forbid(unsafe_code)]

use toro_core::driver::{AttachError, DeviceFault};
use toro_core::io::Mmio;
use toro_core::{Clock, Dma, DmaBuf, DmaPool};
use virtio_queue_rt::{
    DeviceType, Direction, FeatureBits, MmioTransport, QueueIndex, Reset, Running, Slot, Transport, Virtqueue,
};

/// How many buffers can be with the device.
pub const SLOTS: usize = 8;
/// How many bytes each of them holds.
pub const BUFFER_SIZE: usize = 256;

/// The device type (§5.4.1).
const ENTROPY: DeviceType = DeviceType(4);

type Queue = Virtqueue<DmaBuf, (), (), (), [Slot<DmaBuf, ()>; SLOTS]>;

/// An entropy device in service.
#[derive(Debug)]
pub struct Entropy {
    running: Running<MmioTransport<Mmio>>,
    queue: Queue,
}

impl Entropy {
    /// Initialises the device behind these registers.
    ///
    /// # Errors
    ///
    /// Why it cannot be used; it is left marked FAILED or reset.
    pub fn start(registers: Mmio, memory: Dma, clock: &'static dyn Clock) -> Result<Self, AttachError> {
        let transport = MmioTransport::new(registers)?;
        if transport.device_type() != ENTROPY {
            return Err(AttachError::Resources("another device type"));
        }
        let reset = Reset::new(transport, clock)?;
        let mut device = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |accepted| accepted)?;
        let slots = |_| core::array::from_fn(|_| Slot::default());
        let queue = device.queue_in(QueueIndex(0), SLOTS as u16, memory, slots)?;
        Ok(Self { running: device.run(), queue })
    }

    /// Gives the device all free buffers, with one notification; returns how many it has now.
    ///
    /// # Errors
    ///
    /// The device broke the protocol earlier.
    pub fn request(&mut self, pool: &mut DmaPool) -> Result<u8, DeviceFault> {
        while self.queue.room() > 0 {
            let Some(mut buffer) = pool.take() else { break };
            buffer.set_len(BUFFER_SIZE).expect("the pool's buffers are that long");
            self.queue.submit((), buffer, Direction::FromDevice, (), ()).expect("there is room");
        }
        let wish = self.queue.publish();
        self.running.notify(&self.queue, wish);
        self.queue.fault().map_or(Ok(self.queue.len() as u8), Err)
    }

    /// The next random bytes, if any have come.
    ///
    /// # Errors
    ///
    /// The device broke the protocol, now or earlier.
    pub fn take(&mut self) -> Result<Option<DmaBuf>, DeviceFault> {
        while let Some(mut done) = self.queue.poll()? {
            done.payload.set_len(done.written as usize).expect("never more than there was room for");
            if done.written > 0 {
                return Ok(Some(done.payload));
            }
        }
        Ok(None)
    }

    /// The fault that put it out of service, if one did.
    pub fn fault(&self) -> Option<DeviceFault> {
        self.queue.fault()
    }

    /// Takes the device out of service. All buffers go back to `pool`.
    ///
    /// # Errors
    ///
    /// Gives the driver back if the device does not confirm its reset.
    #[allow(clippy::result_large_err)]
    pub fn stop(self, pool: &mut DmaPool, clock: &'static dyn Clock) -> Result<(), Self> {
        let Self { running, queue } = self;
        match running.quiesce(clock) {
            Ok((_, proof)) => {
                let retired = queue.retire(&proof, |buffer, ()| pool.recycle(buffer));
                retired.expect("the proof is of the device that the queue belongs to");
                Ok(())
            }
            Err((running, _)) => Err(Self { running, queue }),
        }
    }
}
