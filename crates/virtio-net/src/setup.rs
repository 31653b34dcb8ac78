//! From a transport to an interface in service: what the device says of itself, its queues, their buffers, and the one
//! command that several queue pairs need.
//!
//! ```text
//!   queue     0         1          2         3          ...  2 max                 max: what the configuration says
//!             receive   transmit   receive   transmit        control, once
//!   pair      0                    1                    ...
//! ```
//!
//! # How many pairs
//!
//! As many as the platform has owners for, if the device has so many, and if each can interrupt its owner by a message
//! of its own; where all queues share one line, as those of virtio-mmio do, that is one pair. A device that cannot be
//! had with so many, because a queue, a vector or memory is missing, or because it refuses the command, is reset and
//! tried with fewer; with one it is asked for nothing that is about several.
//!
//! # Order
//!
//! Queues are made before the device runs; receive queues are filled before the command, since it lets the device use
//! them at once; frames are only transmitted after it, when there are objects that could (§5.1.6.5.5.1).
//!
//! # Failure
//!
//! Whatever goes wrong ends with a reset. One that is confirmed frees all memory; one that is not leaves the device
//! marked FAILED, and what it knows of allocated for ever.

use alloc::vec::Vec;

use toro_core::driver::AttachError;
use toro_core::driver::net::MacAddress;
use toro_core::{Clock, Dma, Registers};
use virtio_queue_rt::transport::{Interface, Signalling};
use virtio_queue_rt::{FeatureBits, InitError, Negotiated, QueueIndex, Quiesced, Reset, Running, Transport};

use crate::control::{Answer, Control};
use crate::driver::Options;
use crate::features;
use crate::pair::{DEFAULT_MTU, Pair, Queue, retire};
use crate::wire::{ETHERNET_HEADER_LEN, HEADER_LEN, LEGACY_HEADER_LEN, config};

/// The least that IPv4 asks of a link.
const LEAST_MTU: u16 = 68;
/// The most pairs: the control queue comes behind them, and queue numbers have 16 bits.
const MOST_PAIRS: u16 = 0x7fff;

/// What the platform provides.
#[derive(Clone, Copy)]
pub(crate) struct Platform<'a> {
    pub(crate) memory: Dma,
    pub(crate) clock: &'static dyn Clock,
    pub(crate) options: &'a Options,
}

/// What is the same for all pairs of an interface.
#[derive(Clone, Copy)]
pub(crate) struct Traits {
    pub(crate) mac: MacAddress,
    pub(crate) max_frame: usize,
    /// Bytes in front of each frame.
    pub(crate) header_len: usize,
}

/// An interface in service.
pub(crate) struct Card<T: Transport> {
    pub(crate) running: Running<T>,
    /// At least one, by number, their receive queues filled.
    pub(crate) pairs: Vec<Pair>,
    pub(crate) traits: Traits,
}

/// Takes a device into service, with at most `most` queue pairs.
pub(crate) fn take_into_service<T: Transport>(
    mut transport: T,
    platform: Platform<'_>,
    mut most: u16,
) -> Result<Card<T>, AttachError> {
    loop {
        match attempt(transport, platform, most) {
            Ok(card) => return Ok(card),
            // Fewer each time, so that it ends.
            Err(Failure { again: Some((reset, fewer)), .. }) if fewer < most => (transport, most) = (reset, fewer),
            Err(Failure { error, .. }) => return Err(error),
        }
    }
}

/// Why an attempt failed.
struct Failure<T> {
    error: AttachError,
    /// The device, which has been reset, and with how many pairs it is worth another attempt.
    again: Option<(T, u16)>,
}

impl<T, E: Into<AttachError>> From<E> for Failure<T> {
    fn from(error: E) -> Self {
        Self { error: error.into(), again: None }
    }
}

fn attempt<T: Transport>(transport: T, platform: Platform<'_>, most: u16) -> Result<Card<T>, Failure<T>> {
    let interface = transport.interface();
    let most = match transport.signalling() {
        Signalling::Polled => most,
        Signalling::Line => 1,
        Signalling::Messages(messages) => most.min(messages),
    };
    let reset = Reset::new(transport, platform.clock)?;
    if interface != Interface::Modern && !reset.offered().contains(FeatureBits::ANY_LAYOUT) {
        // It wants the header in a descriptor of its own.
        return Err(AttachError::Resources("a legacy device without ANY_LAYOUT").into());
    }
    let offer = Offer::read(&reset, most)?;
    let mut device = reset.negotiate(offer.accepted(), FeatureBits::EMPTY, |accepted| accepted)?;
    let mut made = Made::default();
    let traits = match made.complete(&mut device, platform, offer) {
        Ok(mac) => Traits {
            mac,
            max_frame: usize::from(offer.mtu.unwrap_or(DEFAULT_MTU)) + ETHERNET_HEADER_LEN,
            header_len: if interface == Interface::Modern { HEADER_LEN } else { LEGACY_HEADER_LEN },
        },
        Err(error) => {
            let fewer = made.usable_pairs(offer.pairs);
            return Err(match device.abandon(platform.clock) {
                Ok((transport, proof)) => {
                    made.retire(&proof);
                    Failure { error, again: (fewer > 0).then_some((transport, fewer)) }
                }
                // What it knows stays allocated.
                Err(_) => error.into(),
            });
        }
    };
    let running = device.run();
    for pair in &mut made.pairs {
        pair.refill(&running);
    }
    let answer = match &mut made.control {
        Some(control) => control.set_queue_pairs(&running, platform.clock, offer.pairs),
        None => Ok(Answer::Done),
    };
    let (error, fewer) = match answer {
        // The control queue has served its purpose. Its rings stay allocated, as the device may look at them.
        Ok(Answer::Done) => return Ok(Card { running, pairs: made.pairs, traits }),
        Ok(Answer::Refused) => (AttachError::Configuration("number of queue pairs"), Some(1)),
        Err(error) => (error, None),
    };
    match running.quiesce(platform.clock) {
        Ok((transport, proof)) => {
            made.retire(&proof);
            Err(Failure { error, again: fewer.map(|fewer| (transport, fewer)) })
        }
        // Marked FAILED; what it knows stays allocated.
        Err(_) => Err(error.into()),
    }
}

/// What the device says of itself before features are accepted, as far as it is believed.
#[derive(Clone, Copy)]
struct Offer {
    mtu: Option<u16>,
    /// How many pairs to use.
    pairs: u16,
    /// How many the device has: the number of the control queue follows from it.
    device_pairs: u16,
}

impl Offer {
    fn read<T: Transport>(reset: &Reset<T>, most: u16) -> Result<Self, InitError> {
        let offered = reset.offered();
        let field = |at| reset.config(|registers| registers.read16(at));
        // NET-4, HD-CFG-10: a unit is accepted if it is one of IPv4, and buffers for plain Ethernet hold it.
        let mtu = if offered.contains(features::MTU) { Some(field(config::MTU)?) } else { None };
        let mtu = mtu.filter(|mtu| (LEAST_MTU..=DEFAULT_MTU).contains(mtu));
        // HD-CFG-11: a number that cannot be is as none. The commands of a legacy device would be in the guest's byte
        // order; those few devices are used with one pair.
        let has_several = offered.contains(features::SEVERAL_PAIRS | FeatureBits::VERSION_1);
        let device_pairs = if has_several && most > 1 { field(config::MAX_VIRTQUEUE_PAIRS)? } else { 1 };
        let device_pairs = if (1..=MOST_PAIRS).contains(&device_pairs) { device_pairs } else { 1 };
        Ok(Self { mtu, pairs: device_pairs.min(most).max(1), device_pairs })
    }

    /// What is accepted of what is offered.
    fn accepted(self) -> FeatureBits {
        let known = if self.mtu.is_some() { features::KNOWN } else { features::KNOWN & !features::MTU };
        if self.pairs > 1 { known | features::SEVERAL_PAIRS } else { known }
    }
}

/// What has been made of a device so far, and what the device knows of it.
#[derive(Default)]
struct Made {
    pairs: Vec<Pair>,
    /// The queues of a pair that is not complete.
    loose: Vec<Queue>,
    control: Option<Control>,
}

impl Made {
    /// Makes everything, and says the interface's address; what was made before an error stays here.
    fn complete<T: Transport>(
        &mut self,
        device: &mut Negotiated<T>,
        platform: Platform<'_>,
        offer: Offer,
    ) -> Result<MacAddress, AttachError> {
        let fallback = platform.options.fallback_mac;
        let mac = match device.features().contains(features::MAC) {
            true => device.config(read_mac)?,
            false => fallback,
        };
        for number in 0..offer.pairs {
            self.add_pair(device, platform, number)?;
        }
        if offer.pairs > 1 {
            let index = QueueIndex(2 * offer.device_pairs);
            self.control = Some(Control::new(device, index, platform.memory)?);
        }
        // HD-CFG-9: an address that no interface can have.
        Ok(if mac.is_unicast() { mac } else { fallback })
    }

    fn add_pair<T: Transport>(
        &mut self,
        device: &mut Negotiated<T>,
        Platform { memory, options, .. }: Platform<'_>,
        number: u16,
    ) -> Result<(), AttachError> {
        let [receive, transmit] = Pair::indices(number);
        self.loose.push(device.queue(receive, options.receive_slots, memory)?);
        self.loose.push(device.queue(transmit, options.transmit_slots, memory)?);
        let [receive, transmit] = &self.loose[..] else { return Err(AttachError::Resources("a queue")) };
        let [receive_pool, transmit_pool] = Pair::pools(receive, transmit, memory, options)?;
        if let (Some(transmit), Some(receive)) = (self.loose.pop(), self.loose.pop()) {
            self.pairs.push(Pair { receive, transmit, receive_pool, transmit_pool });
        }
        Ok(())
    }

    /// How many pairs there could be if what is missing were not asked for; 0 if there is no use in trying.
    fn usable_pairs(&self, wanted: u16) -> u16 {
        let pairs = self.pairs.len() as u16;
        // With all pairs there it was the control queue, which several pairs cannot do without.
        if pairs == wanted { 1 } else { pairs }
    }

    /// Frees everything, the device having been reset.
    fn retire(self, proof: &Quiesced) {
        self.pairs.into_iter().for_each(|pair| pair.retire(proof));
        self.loose.into_iter().for_each(|queue| retire(queue, proof));
        if let Some(control) = self.control {
            control.retire(proof);
        }
    }
}

fn read_mac(registers: &dyn Registers) -> MacAddress {
    MacAddress(core::array::from_fn(|i| registers.read8(config::MAC + i)))
}
