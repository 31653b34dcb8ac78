//! The driver under test, and the device that the test plays.

pub use std::collections::HashMap;
pub use std::mem::take;

pub use crate::common::transports::{BUSES, Bus, LEGACY_BUSES, transport};
pub use crate::common::{EVENT_IDX, VERSION_1};
pub use fuse_proto::attr::WireAttributes;
pub use fuse_proto::entry::WireEntry;
pub use fuse_proto::header::{ReplyHeader, RequestHeader};
pub use fuse_proto::init::WireInitReply;
pub use fuse_proto::ops::{BatchForget, Forget, GetAttr, Init, Lookup, LookupReply};
pub use fuse_proto::{
    Caller, Entry, Errno, FileType, InitFlags, Name, NodeId, Opcode, Operation, ReplyError, Request, Unique,
    UniqueAllocator,
};
pub use toro_core::driver::fuse::{FuseCompletion, FuseDevice, FuseRequest, Priority, RequestId};
pub use toro_core::driver::{Armed, AttachError, DeviceFault, DeviceId, Refusal};
pub use toro_core::{DmaBuf, DmaPool};
pub use virtio_fs::{DRIVER, Options, VirtioFs};
pub use virtio_queue_rt::attach::BoxedTransport;
pub use virtio_sim::clock::CLOCK;
pub use virtio_sim::{Device, DeviceQueue, PoppedChain, SimMemory};
pub use zerocopy::little_endian::{I32, U32, U64};
pub use zerocopy::{FromBytes, FromZeros, IntoBytes};

pub const FAILED: u8 = 0x80;
pub const NOTIFICATION: u64 = 1;
pub const INDIRECT_DESC: u64 = 1 << 28;
pub const MIB: usize = 1 << 20;

/// The device's configuration: tag, number of request queues, size of notification buffers.
pub fn config(tag: &[u8], queues: u32) -> Vec<u8> {
    let mut bytes = vec![0; 36];
    bytes[..tag.len()].copy_from_slice(tag);
    bytes.extend(queues.to_le_bytes());
    bytes.extend(4096_u32.to_le_bytes());
    bytes
}

/// What to vary; the rest is an ordinary device.
pub struct Setup {
    pub bus: Bus,
    pub features: u64,
    pub config: Vec<u8>,
    pub sizes: Vec<u16>,
    pub options: Options,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            bus: Bus::Mmio,
            features: EVENT_IDX,
            config: config(b"share", 1),
            sizes: vec![1024, 1024],
            options: Options::default(),
        }
    }
}

impl Setup {
    pub fn small(size: u16) -> Self {
        Self { sizes: vec![size, size], ..Self::default() }
    }

    pub fn attach(self) -> Result<Share, AttachError> {
        self.attach_with(SimMemory::leak()).1
    }

    pub fn attach_with(self, memory: &'static SimMemory) -> (Device, Result<Share, AttachError>) {
        let device = Device::new(26, VERSION_1 | self.features, &self.sizes, &self.config);
        let share = VirtioFs::new(transport(&device, self.bus), memory, &CLOCK, &self.options).map(|fs| {
            let Sides { high, notifications, requests, more } = Sides::of(memory, &device);
            Share { memory, device: device.clone(), fs, high, notifications, requests, more }
        });
        (device, share)
    }

    pub fn share(self) -> Share {
        self.attach().expect("a sound device")
    }
}

/// The device's sides of its queues.
struct Sides {
    high: DeviceQueue,
    notifications: Option<DeviceQueue>,
    requests: DeviceQueue,
    more: Vec<DeviceQueue>,
}

impl Sides {
    /// Those that the driver has set up.
    fn of(memory: &'static SimMemory, device: &Device) -> Self {
        let accepted = device.state().accepted;
        let ready: Vec<_> = device.state().queues.iter().take_while(|queue| queue.is_ready).copied().collect();
        let mut sides = ready.into_iter().map(|queue| DeviceQueue::negotiated(memory, queue, accepted));
        let mut next = || sides.next().expect("the driver has said that it runs");
        let high = next();
        let notifications = (accepted & NOTIFICATION != 0).then(&mut next);
        let requests = next();
        Self { high, notifications, requests, more: sides.collect() }
    }
}

/// The driver, and the device behind it.
pub struct Share {
    pub memory: &'static SimMemory,
    pub device: Device,
    pub fs: VirtioFs<BoxedTransport>,
    pub high: DeviceQueue,
    pub notifications: Option<DeviceQueue>,
    pub requests: DeviceQueue,
    /// The queues for requests behind the first.
    pub more: Vec<DeviceQueue>,
}

/// A request as servers see it, with nothing in it but an operation and a number behind the header.
pub fn numbered(code: u32, number: u64) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    bytes[..4].copy_from_slice(&48_u32.to_le_bytes());
    bytes[4..8].copy_from_slice(&code.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes
}

/// The number in it.
pub fn number_of(request: &[u8]) -> u64 {
    u64::from_le_bytes(request[40..48].try_into().expect("eight bytes"))
}

impl Share {
    pub fn kicks(&self) -> Vec<u16> {
        take(&mut self.device.state().kicks)
    }

    pub fn buffer(&mut self, bytes: &[u8]) -> DmaBuf {
        let mut buffer = self.fs.buffer(bytes.len()).expect("far below the bound");
        buffer.copy_from_slice(bytes);
        buffer
    }

    /// The device has been reset and set up anew: these are its queues now.
    pub fn look_again(&mut self) {
        let Sides { high, notifications, requests, more } = Sides::of(self.memory, &self.device);
        (self.high, self.notifications, self.requests, self.more) = (high, notifications, requests, more);
    }

    /// The queue for requests with this number, from 0.
    pub fn lane(&mut self, number: usize) -> &mut DeviceQueue {
        match number {
            0 => &mut self.requests,
            number => &mut self.more[number - 1],
        }
    }

    /// An ordinary request with room for a reply of 16 bytes.
    pub fn request(&mut self, number: u64) -> FuseRequest {
        let request = self.buffer(&numbered(Opcode::Lookup.raw(), number));
        let reply = self.buffer(&[0; 16]);
        FuseRequest { priority: Priority::Normal, request, data: None, reply: Some(reply), payload: None }
    }

    pub fn submit(&mut self, number: u64) -> RequestId {
        let request = self.request(number);
        self.fs.submit(request).expect("there is room")
    }

    /// A request that is sent and not answered.
    pub fn one_way(&mut self) -> FuseRequest {
        self.request_of(Priority::High, 1)
    }

    pub fn completion(&mut self) -> FuseCompletion {
        self.fs.complete().expect("an obedient device").expect("it completed")
    }

    /// A request of either kind.
    pub fn request_of(&mut self, priority: Priority, number: u64) -> FuseRequest {
        match priority {
            Priority::Normal => self.request(number),
            Priority::High => {
                let request = self.buffer(&numbered(Opcode::Forget.raw(), number));
                FuseRequest { priority, request, data: None, reply: None, payload: None }
            }
        }
    }

    /// A request as `fuse-proto` encodes it, with a zeroed reply of the right size.
    pub fn encoded<O: Operation>(&mut self, operation: &O, unique: Unique) -> FuseRequest {
        let mut request = self.encoded_one_way(operation, unique);
        request.priority = Priority::Normal;
        let mut reply = self.fs.buffer(operation.reply_capacity()).expect("far below the bound");
        reply.fill(0);
        request.reply = Some(reply);
        request
    }

    pub fn encoded_one_way<R: Request>(&mut self, operation: &R, unique: Unique) -> FuseRequest {
        let len = operation.request_len().expect("a sound request");
        let mut request = self.fs.buffer(len).expect("far below the bound");
        operation.encode(unique, Caller::SUPERUSER, &mut request).expect("it fits");
        FuseRequest { priority: Priority::High, request, data: None, reply: None, payload: None }
    }
}

/// The device takes everything that was published.
pub fn popped(queue: &mut DeviceQueue) -> Vec<PoppedChain> {
    std::iter::from_fn(|| queue.pop()).collect()
}

pub fn opcode(queue: &DeviceQueue, chain: &PoppedChain) -> Option<Opcode> {
    let bytes = queue.read(chain);
    let (header, _) = RequestHeader::read_from_prefix(&bytes).expect("a whole header");
    assert_eq!(header.len.get() as usize, bytes.len(), "FU-FR-2");
    Opcode::from_raw(header.opcode.get())
}
