//! The driver: two queues, two pools, and the trait [`NetDevice`].

use alloc::boxed::Box;
use core::fmt;

use toro_core::driver::net::{Burst, Frame, LinkState, MacAddress, NetDevice, NetLimits};
use toro_core::driver::{Armed, AttachError, Attached, DeviceFault, DeviceId, Driver, Resources};
use toro_core::{Clock, Dma, DmaBuf, DmaPool, Registers};
use virtio_queue_rt::attach::{BoxedTransport, matches, open};
use virtio_queue_rt::transport::Interface;
use virtio_queue_rt::{
    DeviceType, Direction, FeatureBits, Negotiated, QueueIndex, Reset, Running, Transport, Virtqueue,
};
use zerocopy::FromBytes;

use crate::features;
use crate::wire::{ETHERNET_HEADER_LEN, HEADER_LEN, Header, LEGACY_HEADER_LEN, config};

const RECEIVE: QueueIndex = QueueIndex(0);
const TRANSMIT: QueueIndex = QueueIndex(1);

/// The MTU of plain Ethernet, used unless the device names a smaller one.
const DEFAULT_MTU: u16 = 1500;
/// The least that IPv4 asks of a link.
const LEAST_MTU: u16 = 68;

/// Header and longest frame: what a frame to transmit needs.
const TRANSMIT_BUFFER: usize = HEADER_LEN + ETHERNET_HEADER_LEN + DEFAULT_MTU as usize;
/// Longer by at least one byte, so that a length beyond the longest frame still is one after the queue has cut it
/// down to the buffer, and is not taken for a frame of just that length (HD-NET-3). Whole cache lines: a pool
/// spaces its buffers by those anyway.
const RECEIVE_BUFFER: usize = (TRANSMIT_BUFFER + 1).next_multiple_of(64);

/// Choices that a platform makes once.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most descriptors to use in the receive queue, and buffers to keep in it.
    pub receive_slots: u16,
    /// The most descriptors to use in the transmit queue.
    pub transmit_slots: u16,
    /// Receive buffers beyond those in the ring: how many frames may be held by the stack at once.
    pub receive_spare: u16,
    /// The interface's address where the device names none.
    pub fallback_mac: MacAddress,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            receive_slots: 256,
            transmit_slots: 256,
            receive_spare: 64,
            // Locally administered; unique only as far as one such device is on the link.
            fallback_mac: MacAddress([0x02, 0x74, 0x6f, 0x72, 0x6f, 0x01]),
        }
    }
}

/// What did not go as it should since the device was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Received buffers whose length cannot be that of a frame.
    pub malformed: u64,
    /// Frames to transmit that were too short, too long, or without headroom for the header.
    pub refused: u64,
}

type Queue = Virtqueue<DmaBuf, ()>;

/// A network interface with one queue pair.
pub struct VirtioNet<T: Transport> {
    running: Running<T>,
    receive: Queue,
    transmit: Queue,
    receive_pool: DmaPool,
    transmit_pool: DmaPool,
    mac: MacAddress,
    max_frame: usize,
    /// Bytes in front of each frame.
    header_len: usize,
    /// Whether the caller was last told that it cannot transmit now, and waits for a completion.
    is_starved: bool,
    counters: Counters,
}

impl<T: Transport> VirtioNet<T> {
    /// Initialises the device behind a transport and fills its receive queue.
    ///
    /// # Errors
    ///
    /// Why the device cannot be used; it is left marked FAILED or reset.
    pub fn new(transport: T, memory: Dma, clock: &'static dyn Clock, options: &Options) -> Result<Self, AttachError> {
        let interface = transport.interface();
        let reset = Reset::new(transport, clock)?;
        if interface != Interface::Modern && !reset.offered().contains(FeatureBits::ANY_LAYOUT) {
            // It wants the header in a descriptor of its own.
            return Err(AttachError::Resources("a legacy device without ANY_LAYOUT"));
        }
        // NET-4, HD-CFG-10: a unit is accepted if it is one of IPv4, and buffers for plain Ethernet hold it.
        let mtu = match reset.offered().contains(features::MTU) {
            true => Some(reset.config(|registers| registers.read16(config::MTU))?),
            false => None,
        };
        let mtu = mtu.filter(|mtu| (LEAST_MTU..=DEFAULT_MTU).contains(mtu));
        let known = if mtu.is_some() { features::KNOWN } else { features::KNOWN & !features::MTU };
        let mut device = reset.negotiate(known, FeatureBits::EMPTY, |accepted| accepted)?;
        let mut made = Made::default();
        let parts = match made.complete(&mut device, memory, options) {
            Ok(parts) => parts,
            Err(error) => {
                made.give_up(device, clock);
                return Err(error);
            }
        };
        let mut net = Self {
            running: device.run(),
            receive: parts.receive,
            transmit: parts.transmit,
            receive_pool: parts.receive_pool,
            transmit_pool: parts.transmit_pool,
            mac: parts.mac,
            max_frame: usize::from(mtu.unwrap_or(DEFAULT_MTU)) + ETHERNET_HEADER_LEN,
            header_len: if interface == Interface::Modern { HEADER_LEN } else { LEGACY_HEADER_LEN },
            is_starved: false,
            counters: Counters::default(),
        };
        net.refill();
        Ok(net)
    }

    /// What did not go as it should.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Gives the device empty buffers until the queue is full or the pool is empty, and publishes once.
    fn refill(&mut self) {
        while self.receive.room() > 0 {
            let Some(mut buffer) = self.receive_pool.take() else { break };
            let whole = buffer.total_capacity();
            buffer.set_len(whole).expect("a buffer can be as long as it is");
            if self.receive.submit((), buffer, Direction::FromDevice, (), ()).is_err() {
                break;
            }
        }
        let wish = self.receive.publish();
        self.running.notify(&self.receive, wish);
    }

    /// Takes sent frames back.
    fn reclaim(&mut self) -> Result<u16, DeviceFault> {
        let pool = &mut self.transmit_pool;
        self.transmit.drain(|done| pool.recycle(done.payload))
    }
}

/// What is made of a device before it runs.
struct Parts {
    mac: MacAddress,
    receive: Queue,
    transmit: Queue,
    receive_pool: DmaPool,
    transmit_pool: DmaPool,
}

/// The queues made so far, which the device knows.
#[derive(Default)]
struct Made {
    receive: Option<Queue>,
    transmit: Option<Queue>,
}

impl Made {
    /// Makes everything; what was made before an error stays here.
    fn complete<T: Transport>(
        &mut self,
        device: &mut Negotiated<T>,
        memory: Dma,
        options: &Options,
    ) -> Result<Parts, AttachError> {
        let mac = match device.features().contains(features::MAC) {
            true => device.config(read_mac)?,
            false => options.fallback_mac,
        };
        // HD-CFG-9: an address that no interface can have.
        let mac = if mac.is_unicast() { mac } else { options.fallback_mac };
        let receive = self.receive.insert(device.queue(RECEIVE, options.receive_slots, memory)?);
        let transmit = self.transmit.insert(device.queue(TRANSMIT, options.transmit_slots, memory)?);
        let receive_buffers = usize::from(receive.capacity()) + usize::from(options.receive_spare);
        let transmit_buffers = usize::from(transmit.capacity()) + usize::from(options.receive_spare);
        let receive_pool = DmaPool::new(memory, receive_buffers, RECEIVE_BUFFER)?;
        let transmit_pool = DmaPool::new(memory, transmit_buffers, TRANSMIT_BUFFER)?;
        let missing = AttachError::Resources("a queue");
        let (receive, transmit) = (self.receive.take().ok_or(missing)?, self.transmit.take().ok_or(missing)?);
        Ok(Parts { mac, receive, transmit, receive_pool, transmit_pool })
    }

    /// Gives the device up. If it confirms, nothing stays allocated; if not, what it knows does.
    fn give_up<T: Transport>(self, device: Negotiated<T>, clock: &'static dyn Clock) {
        let Ok((_, proof)) = device.abandon(clock) else { return };
        for queue in [self.receive, self.transmit].into_iter().flatten() {
            // It is this device's, so it is taken.
            let _ = queue.retire(&proof, |_, ()| {});
        }
    }
}

fn read_mac(registers: &dyn Registers) -> MacAddress {
    MacAddress(core::array::from_fn(|i| registers.read8(config::MAC + i)))
}

/// Cuts a received buffer down to its frame, if its length can be that of one.
fn received(mut buffer: DmaBuf, written: usize, header_len: usize, max_frame: usize) -> Option<Frame> {
    // HD-NET-1, 2, 3: no header, no frame behind it, or more than a frame can be, which the length is also when it
    // was beyond the buffer: the queue cuts it to the buffer, and that is longer than any frame.
    if written < header_len + ETHERNET_HEADER_LEN || written > header_len + max_frame {
        return None;
    }
    buffer.set_len(written).ok()?;
    buffer.pull_front(header_len).ok()?;
    Some(Frame::from_buffer(buffer))
}

/// Puts an empty header in front of a frame; `None` if there is no room for it.
fn with_header(frame: Frame, header_len: usize) -> Result<DmaBuf, Frame> {
    let mut buffer = frame.into_buffer();
    if buffer.push_front(header_len).is_err() {
        return Err(Frame::from_buffer(buffer));
    }
    if header_len != HEADER_LEN {
        buffer[..header_len].fill(0);
    } else if let Ok((header, _)) = Header::mut_from_prefix(&mut buffer)
        && *header != Header::default()
    {
        // Most buffers come back with the header they left with: nothing is written then.
        *header = Header::default();
    }
    Ok(buffer)
}

impl<T: Transport + Send> NetDevice for VirtioNet<T> {
    fn mac(&self) -> MacAddress {
        self.mac
    }

    fn limits(&self) -> NetLimits {
        NetLimits { max_frame: self.max_frame, transmit_slots: usize::from(self.transmit.capacity()) }
    }

    fn link(&mut self) -> LinkState {
        if !self.running.features().contains(features::STATUS) {
            return LinkState::Up;
        }
        match self.running.config(|registers| registers.read16(config::STATUS)) {
            Ok(status) if status & config::LINK_UP != 0 => LinkState::Up,
            _ => LinkState::Down,
        }
    }

    fn receive(&mut self, out: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        let mut taken = 0;
        while out.room() > 0 {
            let Some(done) = self.receive.poll()? else { break };
            taken += 1;
            match received(done.payload, done.written as usize, self.header_len, self.max_frame) {
                Some(frame) => out.push(frame).expect("there is room, as just checked"),
                None => self.counters.malformed += 1,
            }
        }
        // Also when nothing came: frames that were held before may have come home.
        if taken > 0 || self.receive.room() > self.receive.capacity() / 2 {
            self.refill();
        }
        Ok(())
    }

    fn transmit(&mut self, frames: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        if usize::from(self.transmit.room()) < frames.len() {
            self.reclaim()?;
        }
        while self.transmit.room() > 0 {
            let Some(frame) = frames.pop() else { break };
            if frame.len() < ETHERNET_HEADER_LEN || frame.len() > self.max_frame {
                self.counters.refused += 1;
                continue;
            }
            let Ok(buffer) = with_header(frame, self.header_len) else {
                self.counters.refused += 1;
                continue;
            };
            if let Err(refused) = self.transmit.submit((), buffer, Direction::ToDevice, (), ()) {
                // Cannot be: there is room and the buffer is not empty. The frame stays the caller's all the same.
                let mut buffer = refused.request.0;
                let _ = buffer.pull_front(self.header_len);
                let _ = frames.unpop(Frame::from_buffer(buffer));
                break;
            }
        }
        let wish = self.transmit.publish();
        self.running.notify(&self.transmit, wish);
        self.is_starved |= !frames.is_empty();
        self.transmit.fault().map_or(Ok(()), Err)
    }

    fn frame(&mut self) -> Option<Frame> {
        let mut buffer = match self.transmit_pool.take() {
            Some(buffer) => buffer,
            None => {
                self.is_starved = true;
                self.reclaim().ok()?;
                self.transmit_pool.take()?
            }
        };
        buffer.reset(self.header_len).ok()?;
        Some(Frame::from_buffer(buffer))
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        // Before the look: what arrives after it raises the line again.
        self.running.acknowledge_interrupt()?;
        if let Some(fault) = self.receive.fault().or(self.transmit.fault()) {
            return Err(fault);
        }
        // Whoever holds all frames himself waits for no completion, and must not be woken by one.
        self.is_starved &= !self.transmit.is_empty();
        // Somebody waits for room to transmit: a completion there must wake too.
        if self.is_starved && self.transmit.arm() == Armed::WorkPending {
            self.is_starved = false;
            self.reclaim()?;
            return Ok(Armed::WorkPending);
        }
        Ok(self.receive.arm())
    }
}

impl<T: Transport> fmt::Debug for VirtioNet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtioNet({}, {:?}, {:?})", self.mac, self.receive, self.transmit)
    }
}

struct VirtioNetDriver;

/// The entry for a kernel's list of drivers.
pub static DRIVER: &dyn Driver = &VirtioNetDriver;

impl Driver for VirtioNetDriver {
    fn name(&self) -> &'static str {
        "virtio-net"
    }

    fn matches(&self, id: &DeviceId) -> bool {
        matches(id, DeviceType::NETWORK)
    }

    fn attach(&self, resources: Resources) -> Result<Attached, AttachError> {
        let opened = open(resources, DeviceType::NETWORK)?;
        let options = Options::default();
        let net: VirtioNet<BoxedTransport> = VirtioNet::new(opened.transport, opened.memory, opened.clock, &options)?;
        Ok(Attached::Net(Box::new(net)))
    }
}
