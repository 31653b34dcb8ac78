//! The driver: [`VirtioNet`] and the trait [`NetDevice`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU16;

use toro_core::driver::net::{Burst, Changes, Frame, LinkState, MacAddress, NetDevice, NetLimits, ReceiveFilter};
use toro_core::driver::{Armed, AttachError, Attached, DeviceFault, DeviceId, Driver, Resources};
use toro_core::{Clock, Dma};
use virtio_queue_rt::attach::{BoxedTransport, Opened, matches, open_divided};
use virtio_queue_rt::transport::Signalling;
use virtio_queue_rt::{DeviceType, Running, Transport};

use crate::control::Control;
use crate::features;
use crate::filter::Switch;
use crate::pair::Pair;
use crate::setup::{Card, Platform, take_into_service};
use crate::watch::{Watch, link_of, status};
use crate::wire::config;

/// Choices that a platform makes once.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most descriptors to use in the receive queue, and buffers to keep in it.
    pub receive_slots: u16,
    /// The most descriptors to use in the transmit queue.
    pub transmit_slots: u16,
    /// Receive buffers beyond those in the ring: how many frames may be held by the stack at once. And frames to transmit
    /// beyond those in their ring.
    pub receive_spare: u16,
    /// The interface's address where the device names none.
    pub fallback_mac: MacAddress,
    /// The largest maximum transmission unit that is accepted, in bytes; with a device that names a larger one it is 1500,
    /// as with one that names none. Where it is larger than that there are fewer buffers, of the same size together.
    pub largest_mtu: u16,
    /// Whether packets may come in uncut that are longer than the link's, in several buffers each
    /// ([`Notes::continues`](toro_core::driver::net::Notes::continues)), where the device can do that. Not without the feature
    /// `merging`.
    pub large_receive: Switch,
    /// The size of receive buffers in bytes where a packet may take several: 128 bytes of headroom included, and at least
    /// what an ordinary frame takes.
    pub merged_buffer: u16,
    /// How many frames of 64 KiB there are for segments that the device is to cut, where it can; with 0 it is not asked to.
    pub large_frames: u16,
    /// Whether frames with a VLAN tag are received only if [`VirtioNet::set_vlan`] said so, where the device can do that.
    pub vlan_filter: Switch,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            receive_slots: 256,
            transmit_slots: 256,
            receive_spare: 64,
            // Locally administered; unique only as far as one such device is on the link.
            fallback_mac: MacAddress([0x02, 0x74, 0x6f, 0x72, 0x6f, 0x01]),
            largest_mtu: 9216,
            large_receive: Switch::On,
            // A packet of 64 KiB takes 35 of these. Those of a page would be half as many, and take twice the memory: they
            // wait in the ring empty, and most frames are short.
            merged_buffer: 2048,
            large_frames: 16,
            vlan_filter: Switch::Off,
        }
    }
}

/// What did not go as it should since the device was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Received packets whose length, header or number of buffers cannot be true.
    pub malformed: u64,
    /// Frames to transmit that were too short, too long, without headroom for the header, or that asked for more than the
    /// device can do.
    pub refused: u64,
    /// Commands that the device refused or did not answer.
    pub failed_commands: u64,
}

/// How fast the link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// Megabits per second, if it is known.
    pub megabits: Option<u32>,
    /// Whether both directions can be used at once, if it is known.
    pub duplex: Option<Duplex>,
}

/// Whether both directions of a link can be used at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplex {
    /// One at a time.
    Half,
    /// Both.
    Full,
}

/// The device has nothing by which it could be told that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotNegotiated;

impl fmt::Display for NotNegotiated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not negotiated with the device")
    }
}

impl core::error::Error for NotNegotiated {}

/// A network interface, or one queue pair of one.
///
/// `D` is how it holds the device: by itself, or together with the other pairs ([`QueuePair`]).
pub struct VirtioNet<T: Transport, D: Borrow<Running<T>> = Running<T>> {
    device: D,
    pair: Pair,
    mac: MacAddress,
    watch: Watch,
    /// The first pair's alone.
    control: Option<Control>,
    signalling: Signalling,
    /// Whether the caller was last told that it cannot transmit now, and waits for a completion.
    is_starved: bool,
    counters: Counters,
    transport: PhantomData<fn() -> T>,
}

/// One queue pair of an interface that has several: all that they share is the device's registers, and what the first
/// one has seen of the link.
pub type QueuePair<T> = VirtioNet<T, Arc<Running<T>>>;

impl<T: Transport> VirtioNet<T> {
    /// Initialises the device behind a transport and fills its receive queue. Of a device with several queue pairs the
    /// first one is used.
    ///
    /// # Errors
    ///
    /// Why the device cannot be used; it is left marked FAILED or reset.
    pub fn new(transport: T, memory: Dma, clock: &'static dyn Clock, options: &Options) -> Result<Self, AttachError> {
        let Card { running, pairs, mac, link, control } =
            take_into_service(transport, Platform { memory, clock, options }, 1)?;
        let pair = pairs.into_iter().next().ok_or(AttachError::Resources("a queue"))?;
        Ok(Self::assemble(running, pair, mac, Watch::first(link, clock), control))
    }
}

impl<T: Transport> QueuePair<T> {
    /// Initialises the device behind a transport with as many queue pairs as there are owners, or as can be had, which
    /// is at least one, and fills their receive queues. Pair *k* is for owner *k*. The first one has the control queue:
    /// what is asked of the others that needs it is done by nobody.
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
        let Card { running, pairs, mac, link, mut control } =
            take_into_service(transport, Platform { memory, clock, options }, owners.get())?;
        let running = Arc::new(running);
        let mut made = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let watch = match made.is_empty() {
                true => Watch::first(link.clone(), clock),
                false => Watch::other(link.clone()),
            };
            made.push(Self::assemble(running.clone(), pair, mac, watch, control.take()));
        }
        Ok(made)
    }
}

impl<T: Transport, D: Borrow<Running<T>>> VirtioNet<T, D> {
    fn assemble(device: D, pair: Pair, mac: MacAddress, watch: Watch, control: Option<Control>) -> Self {
        let signalling = device.borrow().signalling();
        let counters = Counters::default();
        Self { device, pair, mac, watch, control, signalling, is_starved: false, counters, transport: PhantomData }
    }

    /// A frame that some completed transmission gives back.
    #[cold]
    fn frame_after_reclaiming(&mut self, len: usize) -> Option<Frame> {
        let transmit = &mut self.pair.transmit;
        if len > transmit.longest() {
            return None;
        }
        self.is_starved = true;
        transmit.reclaim().ok()?;
        transmit.buffer(len).map(Frame::from_buffer)
    }

    fn running(&self) -> &Running<T> {
        self.device.borrow()
    }

    /// What did not go as it should.
    pub fn counters(&self) -> Counters {
        let failed_commands = self.control.as_ref().map_or(0, |control| control.failed);
        Counters { failed_commands, ..self.counters }
    }

    /// How fast the link is now, as far as the device says.
    pub fn speed(&self) -> Speed {
        let unknown = Speed { megabits: None, duplex: None };
        if !self.running().features().contains(features::SPEED_DUPLEX) {
            return unknown;
        }
        let read =
            self.running().config(|registers| (registers.read32(config::SPEED), registers.read8(config::DUPLEX)));
        read.map_or(unknown, |(megabits, duplex)| Speed {
            megabits: (megabits <= i32::MAX as u32).then_some(megabits),
            duplex: match duplex {
                0 => Some(Duplex::Half),
                1 => Some(Duplex::Full),
                _ => None,
            },
        })
    }

    /// Says whether frames with the tag of this VLAN, a number below 4,096, are to be received. At first those of none are.
    /// It may take effect some time later.
    ///
    /// # Errors
    ///
    /// `Ok(Err(NotNegotiated))` without [`Options::vlan_filter`], with a device that cannot choose, or of another pair than
    /// the first: those of all VLANs are received, or what the first pair says. The outer error: the device broke the
    /// protocol.
    pub fn set_vlan(&mut self, id: u16, switch: Switch) -> Result<Result<(), NotNegotiated>, DeviceFault> {
        self.command(features::CTRL_VLAN, |control| {
            if id < 4096 {
                control.wishes.vlan(id, switch);
            }
        })
    }

    /// Says whether long packets may come in uncut from now on; at first they may, if that was negotiated
    /// ([`Options::large_receive`]). It may take effect some time later.
    ///
    /// # Errors
    ///
    /// `Ok(Err(NotNegotiated))` if the device cannot be told, or for another pair than the first. The outer error: the
    /// device broke the protocol.
    pub fn set_large_receive(&mut self, switch: Switch) -> Result<Result<(), NotNegotiated>, DeviceFault> {
        // NET-28: nothing that was not negotiated.
        let all = self.running().features() & (features::GUEST_CSUM | features::MERGING | features::GUEST_ECN);
        let wanted = match switch {
            Switch::On => all,
            Switch::Off => all & features::GUEST_CSUM,
        };
        self.command(features::CTRL_GUEST_OFFLOADS, |control| control.wishes.offloads(wanted.bits()))
    }

    /// Changes what the device shall do, and tells it as far as it can be told now.
    fn command(
        &mut self,
        needed: virtio_queue_rt::FeatureBits,
        change: impl FnOnce(&mut Control),
    ) -> Result<Result<(), NotNegotiated>, DeviceFault> {
        let running = self.device.borrow();
        match &mut self.control {
            Some(control) if running.features().contains(needed) => {
                change(control);
                control.advance(running).map(Ok)
            }
            _ => Ok(Err(NotNegotiated)),
        }
    }
}

impl<T: Transport, D: Borrow<Running<T>> + Send> NetDevice for VirtioNet<T, D> {
    fn mac(&self) -> MacAddress {
        self.mac
    }

    fn limits(&self) -> NetLimits {
        let rules = &self.pair.transmit.rules;
        NetLimits {
            max_frame: rules.max_frame,
            transmit_slots: usize::from(self.pair.transmit.queue.capacity()),
            offloads: rules.offloads,
        }
    }

    fn link(&mut self) -> LinkState {
        link_of(status(self.running()))
    }

    fn changes(&mut self) -> Result<Changes, DeviceFault> {
        let running = self.device.borrow();
        let changes = self.watch.changes(running);
        if let Some(control) = &mut self.control {
            if changes.announce {
                control.wishes.announced();
            }
            if changes.announce || control.is_busy() {
                control.advance(running)?;
            }
        }
        Ok(changes)
    }

    fn set_filter(&mut self, filter: &ReceiveFilter<'_>) -> Result<(), DeviceFault> {
        // A device that cannot be told passes everything; the other pairs have the first one's filter.
        self.command(features::CTRL_RX, |control| control.wishes.filter(filter)).map(|_| ())
    }

    fn receive(&mut self, out: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        let before = out.len();
        let malformed = self.pair.receive.receive(out, self.device.borrow())?;
        self.counters.malformed += malformed;
        if out.len() > before {
            self.watch.saw_frames();
        }
        Ok(())
    }

    fn transmit(&mut self, frames: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        self.counters.refused += self.pair.transmit.transmit(frames, self.device.borrow())?;
        self.is_starved |= !frames.is_empty();
        Ok(())
    }

    fn frame(&mut self, len: usize) -> Option<Frame> {
        match self.pair.transmit.buffer(len) {
            Some(buffer) => Some(Frame::from_buffer(buffer)),
            None => self.frame_after_reclaiming(len),
        }
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        // Before the look: what arrives after it raises the line again.
        let cause = self.running().acknowledge_interrupt()?;
        let Pair { receive, transmit } = &mut self.pair;
        if let Some(fault) = receive.fault.or(receive.queue.fault()).or(transmit.queue.fault()) {
            return Err(fault);
        }
        let is_by_line = self.signalling == Signalling::Line;
        if is_by_line && cause.configuration && self.watch.is_changed(self.device.borrow()) {
            return Ok(Armed::WorkPending);
        }
        if receive.assembly.is_waiting() {
            return Ok(Armed::WorkPending);
        }
        // Whoever holds all frames himself waits for no completion, and must not be woken by one.
        self.is_starved &= !transmit.queue.is_empty();
        // Somebody waits for room to transmit: a completion there must wake too.
        if self.is_starved && transmit.queue.arm() == Armed::WorkPending {
            self.is_starved = false;
            transmit.reclaim()?;
            return Ok(Armed::WorkPending);
        }
        self.watch.sleeps(self.signalling);
        Ok(receive.queue.arm())
    }
}

impl<T: Transport, D: Borrow<Running<T>>> fmt::Debug for VirtioNet<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtioNet({}, {:?}, {:?})", self.mac, self.pair.receive.queue, self.pair.transmit.queue)
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
        // There may be little memory: what takes most of it is halved.
        let options = Options { large_frames: 8, ..Options::default() };
        // One pair is divided, too: the driver is in the image once.
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
