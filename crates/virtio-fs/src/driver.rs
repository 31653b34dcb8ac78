//! The driver: two queues, and the trait [`FuseDevice`].

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use toro_core::driver::fuse::{FuseCompletion, FuseDevice, FuseLimits, FuseRequest, Priority, RequestId};
use toro_core::driver::{Armed, AttachError, Attached, DeviceFault, DeviceId, Driver, Refusal, Refused, Resources};
use toro_core::{Clock, Dma, DmaBuf, Registers};
use virtio_queue_rt::attach::{BoxedTransport, matches, open};
use virtio_queue_rt::{
    Chain, DeviceType, Done, FeatureBits, Negotiated, QueueIndex, Reset, Running, Transport, Virtqueue,
};

use crate::buffers::{Buffers, LARGEST};
use crate::wire::{self, NUM_REQUEST_QUEUES, TAG, TAG_LEN};

const HIGH_PRIORITY: QueueIndex = QueueIndex(0);
/// Request queues start behind the high-priority queue: the notification queue that the specification puts there
/// exists only where its feature was negotiated, and no device offers it.
const REQUESTS: QueueIndex = QueueIndex(1);

/// High-priority requests have this bit in their id.
const HIGH_PRIORITY_ID: u16 = 0x8000;

/// Choices that a platform makes once.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most descriptors to use in each queue. A request takes four.
    pub descriptors: u16,
    /// The most bytes that all buffers together may take.
    pub buffer_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { descriptors: 1024, buffer_bytes: 24 << 20 }
    }
}

type Queue = Virtqueue<Chain, ()>;

/// A file system device with one request queue.
pub struct VirtioFs<T: Transport> {
    running: Running<T>,
    high_priority: Queue,
    requests: Queue,
    buffers: Buffers,
    tag: Vec<u8>,
}

impl<T: Transport> VirtioFs<T> {
    /// Initialises the device behind a transport.
    ///
    /// # Errors
    ///
    /// Why the device cannot be used; it is left marked FAILED or reset.
    pub fn new(transport: T, memory: Dma, clock: &'static dyn Clock, options: &Options) -> Result<Self, AttachError> {
        let reset = Reset::new(transport, clock)?;
        let mut device = reset.negotiate(FeatureBits::EMPTY, FeatureBits::VERSION_1, |accepted| accepted)?;
        let mut made = Made::default();
        match made.complete(&mut device, memory, options) {
            Ok((tag, high_priority, requests)) => {
                let buffers = Buffers::new(memory, options.buffer_bytes);
                Ok(Self { running: device.run(), high_priority, requests, buffers, tag })
            }
            Err(error) => {
                made.give_up(device, clock);
                Err(error)
            }
        }
    }
}

/// The queues made so far, which the device knows.
#[derive(Default)]
struct Made {
    high_priority: Option<Queue>,
    requests: Option<Queue>,
}

impl Made {
    /// Reads the configuration and makes the queues; what was made before an error stays here.
    fn complete<T: Transport>(
        &mut self,
        device: &mut Negotiated<T>,
        memory: Dma,
        options: &Options,
    ) -> Result<(Vec<u8>, Queue, Queue), AttachError> {
        let (field, queues) = device.config(|registers| (read_tag(registers), registers.read32(NUM_REQUEST_QUEUES)))?;
        let Some(tag) = wire::tag(&field).map(Vec::from) else {
            return Err(AttachError::Configuration("the tag is empty"));
        };
        if queues == 0 {
            return Err(AttachError::Configuration("there is no request queue"));
        }
        self.high_priority = Some(device.queue(HIGH_PRIORITY, options.descriptors, memory)?);
        self.requests = Some(device.queue(REQUESTS, options.descriptors, memory)?);
        let missing = AttachError::Resources("a queue");
        let (high_priority, requests) =
            (self.high_priority.take().ok_or(missing)?, self.requests.take().ok_or(missing)?);
        Ok((tag, high_priority, requests))
    }

    /// Gives the device up. If it confirms, nothing stays allocated; if not, what it knows does.
    fn give_up<T: Transport>(self, device: Negotiated<T>, clock: &'static dyn Clock) {
        let Ok((_, proof)) = device.abandon(clock) else { return };
        for queue in [self.high_priority, self.requests].into_iter().flatten() {
            // It is this device's, so it is taken.
            let _ = queue.retire(&proof, |_, ()| {});
        }
    }
}

fn read_tag(registers: &dyn Registers) -> [u8; TAG_LEN] {
    core::array::from_fn(|i| registers.read8(TAG + i))
}

/// Whether a buffer is longer than [`FuseDevice::limits`] says. Ours never are; somebody else's may be.
fn is_too_long(request: &FuseRequest) -> bool {
    let FuseRequest { priority: _, request, data, reply, payload } = request;
    [data, reply, payload].into_iter().flatten().chain([request]).any(|buffer| buffer.len() > LARGEST)
}

/// A request with its buffers in the order in which the device sees them.
fn into_chain(request: FuseRequest) -> Chain {
    Chain { readable: [Some(request.request), request.data], writable: [request.reply, request.payload] }
}

/// The reverse; `None` for a chain without a request, which cannot be, since only `into_chain` makes them.
fn from_chain(chain: Chain, priority: Priority) -> Option<FuseRequest> {
    let [request, data] = chain.readable;
    let [reply, payload] = chain.writable;
    Some(FuseRequest { priority, request: request?, data, reply, payload })
}

fn completion(done: Done<Chain, (), ()>, priority: Priority) -> Option<FuseCompletion> {
    let bit = match priority {
        Priority::Normal => 0,
        Priority::High => HIGH_PRIORITY_ID,
    };
    let request = from_chain(done.payload, priority)?;
    Some(FuseCompletion { id: RequestId(done.token.0 | bit), request, written: done.written as usize })
}

impl<T: Transport + Send> FuseDevice for VirtioFs<T> {
    fn tag(&self) -> &[u8] {
        &self.tag
    }

    fn limits(&self) -> FuseLimits {
        FuseLimits {
            in_flight: usize::from(self.requests.capacity()),
            high_priority_in_flight: usize::from(self.high_priority.capacity()),
            max_payload: LARGEST,
        }
    }

    fn buffer(&mut self, size: usize) -> Option<DmaBuf> {
        self.buffers.take(size)
    }

    fn recycle(&mut self, buffer: DmaBuf) {
        self.buffers.recycle(buffer);
    }

    fn submit(&mut self, request: FuseRequest) -> Result<RequestId, Refused<FuseRequest>> {
        if is_too_long(&request) {
            return Err(Refused { reason: Refusal::Invalid, request });
        }
        let priority = request.priority;
        let (queue, bit) = match priority {
            Priority::Normal => (&mut self.requests, 0),
            Priority::High => (&mut self.high_priority, HIGH_PRIORITY_ID),
        };
        match queue.submit((), into_chain(request), (), (), ()) {
            Ok(token) => Ok(RequestId(token.0 | bit)),
            Err(Refused { reason, request: (chain, ()) }) => {
                let request = from_chain(chain, priority).expect("it was made of a request just now");
                Err(Refused { reason, request })
            }
        }
    }

    fn publish(&mut self) {
        for queue in [&mut self.high_priority, &mut self.requests] {
            let wish = queue.publish();
            self.running.notify(queue, wish);
        }
    }

    fn complete(&mut self) -> Result<Option<FuseCompletion>, DeviceFault> {
        if let Some(done) = self.requests.poll()? {
            return Ok(completion(done, Priority::Normal));
        }
        Ok(self.high_priority.poll()?.and_then(|done| completion(done, Priority::High)))
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        // Before the look: what arrives after it raises the line again.
        self.running.acknowledge_interrupt()?;
        if let Some(fault) = self.requests.fault().or(self.high_priority.fault()) {
            return Err(fault);
        }
        // Both, whatever the first one says: each has to be armed.
        let armed = [self.requests.arm(), self.high_priority.arm()];
        Ok(if armed.contains(&Armed::WorkPending) { Armed::WorkPending } else { Armed::Idle })
    }
}

impl<T: Transport> fmt::Debug for VirtioFs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtioFs({}, {:?})", self.tag.escape_ascii(), self.requests)
    }
}

struct VirtioFsDriver;

/// The entry for a kernel's list of drivers.
pub static DRIVER: &dyn Driver = &VirtioFsDriver;

impl Driver for VirtioFsDriver {
    fn name(&self) -> &'static str {
        "virtio-fs"
    }

    fn matches(&self, id: &DeviceId) -> bool {
        matches(id, DeviceType::FILE_SYSTEM)
    }

    fn attach(&self, resources: Resources) -> Result<Attached, AttachError> {
        let opened = open(resources, DeviceType::FILE_SYSTEM)?;
        let fs: VirtioFs<BoxedTransport> =
            VirtioFs::new(opened.transport, opened.memory, opened.clock, &Options::default())?;
        Ok(Attached::Fuse(Box::new(fs)))
    }
}
