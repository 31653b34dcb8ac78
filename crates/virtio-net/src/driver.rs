//! The driver: two queues, two pools, and the trait [`NetDevice`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU16;

use toro_core::driver::net::{Burst, Changes, Frame, LinkState, MacAddress, NetDevice, NetLimits, ReceiveFilter};
use toro_core::driver::{Armed, AttachError, Attached, DeviceFault, DeviceId, Driver, Resources};
use toro_core::{Clock, Dma, DmaBuf};
use virtio_queue_rt::attach::{BoxedTransport, Opened, matches, open_divided};
use virtio_queue_rt::{DeviceType, Direction, Running, Transport};
use zerocopy::FromBytes;

use crate::features;
use crate::pair::Pair;
use crate::setup::{Platform, Traits, take_into_service};
use crate::wire::{ETHERNET_HEADER_LEN, HEADER_LEN, Header, config};

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

/// A network interface, or one queue pair of one.
///
/// `D` is how it holds the device: by itself, or together with the other pairs ([`QueuePair`]).
pub struct VirtioNet<T: Transport, D: Borrow<Running<T>> = Running<T>> {
    device: D,
    pair: Pair,
    traits: Traits,
    /// Whether the caller was last told that it cannot transmit now, and waits for a completion.
    is_starved: bool,
    counters: Counters,
    transport: PhantomData<fn() -> T>,
}

/// One queue pair of an interface that has several: all that they share is the device's registers.
pub type QueuePair<T> = VirtioNet<T, Arc<Running<T>>>;

impl<T: Transport> VirtioNet<T> {
    /// Initialises the device behind a transport and fills its receive queue. Of a device with several queue pairs the
    /// first one is used.
    ///
    /// # Errors
    ///
    /// Why the device cannot be used; it is left marked FAILED or reset.
    pub fn new(transport: T, memory: Dma, clock: &'static dyn Clock, options: &Options) -> Result<Self, AttachError> {
        let card = take_into_service(transport, Platform { memory, clock, options }, 1)?;
        let pair = card.pairs.into_iter().next().ok_or(AttachError::Resources("a queue"))?;
        Ok(Self::assemble(card.running, pair, card.traits))
    }
}

impl<T: Transport> QueuePair<T> {
    /// Initialises the device behind a transport with as many queue pairs as there are owners, or as can be had, which
    /// is at least one, and fills their receive queues. Pair *k* is for owner *k*.
    ///
    /// A transport that interrupts has to interrupt that owner: over PCI, by messages that are
    /// [`Assigned`](virtio_queue_rt::Interrupts::Assigned) so that queues 2*k* and 2*k* + 1 have number *k*. There are
    /// never more pairs than messages, and one only where all queues share a line, as those of virtio-mmio do.
    ///
    /// # Errors
    ///
    /// Why the device cannot be used; it is left marked FAILED or reset. [`AttachError::TimedOut`] also if it does not
    /// answer the command that sets the number of pairs.
    pub fn divide(
        transport: T,
        memory: Dma,
        clock: &'static dyn Clock,
        options: &Options,
        owners: NonZeroU16,
    ) -> Result<Vec<Self>, AttachError> {
        let card = take_into_service(transport, Platform { memory, clock, options }, owners.get())?;
        let running = Arc::new(card.running);
        Ok(card.pairs.into_iter().map(|pair| Self::assemble(running.clone(), pair, card.traits)).collect())
    }
}

impl<T: Transport, D: Borrow<Running<T>>> VirtioNet<T, D> {
    fn assemble(device: D, pair: Pair, traits: Traits) -> Self {
        let counters = Counters::default();
        Self { device, pair, traits, is_starved: false, counters, transport: PhantomData }
    }

    fn running(&self) -> &Running<T> {
        self.device.borrow()
    }

    /// What did not go as it should.
    pub fn counters(&self) -> Counters {
        self.counters
    }
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

impl<T: Transport, D: Borrow<Running<T>> + Send> NetDevice for VirtioNet<T, D> {
    fn mac(&self) -> MacAddress {
        self.traits.mac
    }

    fn limits(&self) -> NetLimits {
        NetLimits::plain(self.traits.max_frame, usize::from(self.pair.transmit.capacity()))
    }

    fn link(&mut self) -> LinkState {
        if !self.running().features().contains(features::STATUS) {
            return LinkState::Up;
        }
        match self.running().config(|registers| registers.read16(config::STATUS)) {
            Ok(status) if status & config::LINK_UP != 0 => LinkState::Up,
            _ => LinkState::Down,
        }
    }

    fn changes(&mut self) -> Result<Changes, DeviceFault> {
        Ok(Changes::default())
    }

    fn set_filter(&mut self, _: &ReceiveFilter<'_>) -> Result<(), DeviceFault> {
        // Without the control queue's commands the device passes everything.
        Ok(())
    }

    fn receive(&mut self, out: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        let mut taken = 0;
        while out.room() > 0 {
            let Some(done) = self.pair.receive.poll()? else { break };
            taken += 1;
            match received(done.payload, done.written as usize, self.traits.header_len, self.traits.max_frame) {
                Some(frame) => out.push(frame).expect("there is room, as just checked"),
                None => self.counters.malformed += 1,
            }
        }
        // Also when nothing came: frames that were held before may have come home.
        if taken > 0 || self.pair.receive.room() > self.pair.receive.capacity() / 2 {
            self.pair.refill(self.device.borrow());
        }
        Ok(())
    }

    fn transmit(&mut self, frames: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        if usize::from(self.pair.transmit.room()) < frames.len() {
            self.pair.reclaim()?;
        }
        while self.pair.transmit.room() > 0 {
            let Some(frame) = frames.pop() else { break };
            if frame.len() < ETHERNET_HEADER_LEN || frame.len() > self.traits.max_frame {
                self.counters.refused += 1;
                continue;
            }
            let Ok(buffer) = with_header(frame, self.traits.header_len) else {
                self.counters.refused += 1;
                continue;
            };
            if let Err(refused) = self.pair.transmit.submit((), buffer, Direction::ToDevice, (), ()) {
                // Cannot be: there is room and the buffer is not empty. The frame stays the caller's all the same.
                let mut buffer = refused.request.0;
                let _ = buffer.pull_front(self.traits.header_len);
                let _ = frames.unpop(Frame::from_buffer(buffer));
                break;
            }
        }
        let wish = self.pair.transmit.publish();
        self.running().notify(&self.pair.transmit, wish);
        self.is_starved |= !frames.is_empty();
        self.pair.transmit.fault().map_or(Ok(()), Err)
    }

    fn frame(&mut self, len: usize) -> Option<Frame> {
        if len > self.traits.max_frame {
            return None;
        }
        let mut buffer = match self.pair.transmit_pool.take() {
            Some(buffer) => buffer,
            None => {
                self.is_starved = true;
                self.pair.reclaim().ok()?;
                self.pair.transmit_pool.take()?
            }
        };
        buffer.reset(self.traits.header_len).ok()?;
        Some(Frame::from_buffer(buffer))
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        // Before the look: what arrives after it raises the line again.
        self.running().acknowledge_interrupt()?;
        if let Some(fault) = self.pair.receive.fault().or(self.pair.transmit.fault()) {
            return Err(fault);
        }
        // Whoever holds all frames himself waits for no completion, and must not be woken by one.
        self.is_starved &= !self.pair.transmit.is_empty();
        // Somebody waits for room to transmit: a completion there must wake too.
        if self.is_starved && self.pair.transmit.arm() == Armed::WorkPending {
            self.is_starved = false;
            self.pair.reclaim()?;
            return Ok(Armed::WorkPending);
        }
        Ok(self.pair.receive.arm())
    }
}

impl<T: Transport, D: Borrow<Running<T>>> fmt::Debug for VirtioNet<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtioNet({}, {:?}, {:?})", self.traits.mac, self.pair.receive, self.pair.transmit)
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
        // The queues of a pair are its owner's; the control queue, behind all pairs, interrupts nobody.
        let opened = open_divided(resources, DeviceType::NETWORK, |queue| queue.0 / 2)?;
        let Opened { transport, memory, clock, owners } = opened;
        let options = Options::default();
        if owners == NonZeroU16::MIN {
            let net: VirtioNet<BoxedTransport> = VirtioNet::new(transport, memory, clock, &options)?;
            return Ok(Attached::Net(Box::new(net)));
        }
        let pairs = QueuePair::<BoxedTransport>::divide(transport, memory, clock, &options, owners)?;
        let mut pairs: Vec<Box<dyn NetDevice>> =
            pairs.into_iter().map(|pair| Box::new(pair) as Box<dyn NetDevice>).collect();
        Ok(match pairs.pop() {
            Some(only) if pairs.is_empty() => Attached::Net(only),
            last => {
                pairs.extend(last);
                Attached::NetQueues(pairs)
            }
        })
    }
}
