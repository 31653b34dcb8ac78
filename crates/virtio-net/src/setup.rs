//! From a transport to an interface in service: what the device says of itself, its queues, their buffers, and the one
//! command that is waited for.
//!
//! ```text
//!   queue     0         1          2         3          ...  2 max                 max: what the configuration says, or 1 where
//!                                                                        the device has no several pairs
//!             receive   transmit   receive   transmit        control
//!   pair      0                    1                    ...
//! ```
//!
//! # How many pairs
//!
//! As many as the platform has owners for, if the device has so many, and if each can interrupt its owner by a message
//! of its own; where all queues share one line, as those of virtio-mmio do, that is one pair. A device that cannot be
//! had with so many, because a queue, a vector or memory is missing, or because it refuses the command, is reset and
//! tried with fewer; with one it is asked for nothing that is about several, and at last not for a control queue either.
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

use alloc::sync::Arc;
use alloc::vec::Vec;

use toro_core::driver::AttachError;
use toro_core::driver::net::{MacAddress, Offloads};
use toro_core::{Clock, Dma, Registers};
use virtio_queue_rt::transport::{Interface, Signalling};
use virtio_queue_rt::{FeatureBits, InitError, Negotiated, QueueIndex, Quiesced, Reset, Running, Transport};

use crate::control::{Answer, Control};
use crate::driver::Options;
use crate::features;
use crate::filter::{Switch, Wishes};
use crate::framing::{Layout, Queue};
use crate::pair::{LARGE_BUFFER, Pair};
use crate::receive::{IS_MERGING_THERE, Reading};
use crate::watch::{Link, link_of};
use crate::wire::{ETHERNET_HEADER_LEN, HEADER_LEN, LEGACY_HEADER_LEN, config};

/// The MTU of plain Ethernet, used unless the device names another one.
const DEFAULT_MTU: u16 = 1500;
/// The least that IPv4 asks of a link.
const LEAST_MTU: u16 = 68;
/// The most pairs: the control queue comes behind them, and queue numbers have 16 bits.
const MOST_PAIRS: u16 = 0x7fff;

/// What the platform provides.
#[derive(Clone, Copy)]
pub(crate) struct Platform<'a> {
    pub memory: Dma,
    pub clock: &'static dyn Clock,
    pub options: &'a Options,
}

/// What was agreed, as far as the pairs need to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub features: FeatureBits,
    pub layout: Layout,
    pub max_frame: usize,
    /// Bytes in front of each frame.
    pub header_len: usize,
    pub reading: Reading,
    pub offloads: Offloads,
    pub has_ecn: bool,
}

/// An interface in service.
pub(crate) struct Card<T: Transport> {
    pub running: Running<T>,
    /// At least one, by number, their receive queues filled.
    pub pairs: Vec<Pair>,
    pub mac: MacAddress,
    pub link: Arc<Link>,
    pub control: Option<Control>,
}

/// How much is asked of a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ask {
    /// At most so many queue pairs.
    pairs: u16,
    control: WithControl,
}

/// Whether the control queue is used, if there is something to command.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum WithControl {
    No,
    Yes,
}

/// Takes a device into service, with at most `most` queue pairs.
pub(crate) fn take_into_service<T: Transport>(
    mut transport: T,
    platform: Platform<'_>,
    most: u16,
) -> Result<Card<T>, AttachError> {
    let mut ask = Ask { pairs: most, control: WithControl::Yes };
    loop {
        match attempt(transport, platform, ask) {
            Ok(card) => return Ok(card),
            // Less each time, so that it ends.
            Err(Failure { again: Some((reset, less)), .. }) if less < ask => (transport, ask) = (reset, less),
            Err(Failure { error, .. }) => return Err(error),
        }
    }
}

/// Why an attempt failed.
struct Failure<T> {
    error: AttachError,
    /// The device, which has been reset, and with what it is worth another attempt.
    again: Option<(T, Ask)>,
}

impl<T, E: Into<AttachError>> From<E> for Failure<T> {
    fn from(error: E) -> Self {
        Self { error: error.into(), again: None }
    }
}

fn attempt<T: Transport>(transport: T, platform: Platform<'_>, ask: Ask) -> Result<Card<T>, Failure<T>> {
    let interface = transport.interface();
    let most = match transport.signalling() {
        Signalling::Polled => ask.pairs,
        Signalling::Line => 1,
        Signalling::Messages(messages) => ask.pairs.min(messages),
    };
    let reset = Reset::new(transport, platform.clock)?;
    let offer = Offer::read(&reset, most, platform.options)?;
    let accepted = offer.accepted(reset.offered(), platform.options, interface, ask.control);
    let mut device = reset.negotiate(accepted, FeatureBits::EMPTY, |accepted| accepted)?;
    let plan = offer.plan(device.features(), interface);
    let mut made = Made::default();
    let mac = match made.complete(&mut device, platform, offer, &plan) {
        Ok(mac) => mac,
        Err(error) => {
            let again = made.worth_asking(offer.pairs, ask);
            return Err(match device.abandon(platform.clock) {
                Ok((transport, proof)) => {
                    made.retire(&proof);
                    Failure { error, again: again.map(|ask| (transport, ask)) }
                }
                // What it knows stays allocated.
                Err(_) => error.into(),
            });
        }
    };
    let running = device.run();
    for pair in &mut made.pairs {
        pair.receive.refill(&running);
    }
    let answer = match &mut made.control {
        Some(control) if offer.pairs > 1 => control.set_queue_pairs(&running, offer.pairs),
        _ => Ok(Answer::Done),
    };
    let (error, fewer) = match answer {
        Ok(Answer::Done) => {
            let link = Arc::new(Link::new(link_of(offer.status)));
            return Ok(Card { running, pairs: made.pairs, mac, link, control: made.control });
        }
        Ok(Answer::Refused) => (AttachError::Configuration("number of queue pairs"), Some(Ask { pairs: 1, ..ask })),
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
    status: u16,
    mtu: Option<u16>,
    /// How many pairs to use.
    pairs: u16,
    /// How many the device has: the number of the control queue follows from it.
    device_pairs: u16,
}

impl Offer {
    fn read<T: Transport>(reset: &Reset<T>, most: u16, options: &Options) -> Result<Self, InitError> {
        let offered = reset.offered();
        let field = |at| reset.config(|registers| registers.read16(at));
        // NET-3.
        let status = if offered.contains(features::STATUS) { field(config::STATUS)? } else { config::LINK_UP };
        // NET-4, HD-CFG-10: a unit is accepted if it is one of IPv4, and buffers are made that hold it.
        let mtu = if offered.contains(features::MTU) { Some(field(config::MTU)?) } else { None };
        let mtu = mtu.filter(|mtu| (LEAST_MTU..=options.largest_mtu).contains(mtu));
        // HD-CFG-11: a number that cannot be is as none. Legacy devices are used with one pair.
        let has_several = offered.contains(features::SEVERAL_PAIRS | FeatureBits::VERSION_1);
        let device_pairs = if has_several && most > 1 { field(config::MAX_VIRTQUEUE_PAIRS)? } else { 1 };
        let device_pairs = if (1..=MOST_PAIRS).contains(&device_pairs) { device_pairs } else { 1 };
        Ok(Self { status, mtu, pairs: device_pairs.min(most).max(1), device_pairs })
    }

    /// What is accepted of what is offered. The table in [`features`] has the reasons.
    fn accepted(
        self,
        offered: FeatureBits,
        options: &Options,
        interface: Interface,
        control: WithControl,
    ) -> FeatureBits {
        let mut accepted = features::MAC | features::STATUS;
        if self.mtu.is_some() {
            accepted |= features::MTU;
        }
        let is_modern = interface == Interface::Modern;
        if !is_modern && cfg!(target_endian = "big") {
            // Its numbers would be in the other byte order.
            return accepted;
        }
        accepted |= features::STANDBY | features::SPEED_DUPLEX | features::CSUM | features::GUEST_CSUM;
        let segmenting = offered & features::SEGMENTING;
        if offered.contains(features::CSUM) && !segmenting.is_empty() && options.large_frames > 0 {
            accepted |= segmenting | features::HOST_ECN | features::GUEST_HDRLEN;
        }
        let merging = offered & features::MERGING;
        // Where headers have a descriptor of their own, so would those of merged buffers.
        let can_merge = is_modern || offered.contains(FeatureBits::ANY_LAYOUT);
        let has_merging = offered.contains(features::GUEST_CSUM | features::MRG_RXBUF) && !merging.is_empty();
        if IS_MERGING_THERE && can_merge && has_merging && options.large_receive == Switch::On {
            accepted |= merging | features::GUEST_ECN | features::MRG_RXBUF;
        }
        if offered.contains(features::CTRL_VQ) && control == WithControl::Yes {
            let mut commands = features::CTRL_RX | features::CTRL_GUEST_OFFLOADS;
            if offered.contains(features::STATUS) {
                commands |= features::GUEST_ANNOUNCE;
            }
            if options.vlan_filter == Switch::On {
                commands |= features::CTRL_VLAN;
            }
            if self.pairs > 1 {
                commands |= features::MQ;
            }
            if !(offered & commands).is_empty() {
                accepted |= commands | features::CTRL_VQ;
            }
        }
        accepted
    }

    /// What follows from what was agreed.
    fn plan(self, features: FeatureBits, interface: Interface) -> Plan {
        let has = |bit| features.contains(bit);
        let is_modern = interface == Interface::Modern;
        let reading = match () {
            () if has(features::MRG_RXBUF) => Reading::Merged,
            () if has(features::GUEST_CSUM) => Reading::Checked,
            () => Reading::Plain,
        };
        let longest = |bit| if has(bit) { LARGE_BUFFER - HEADER_LEN } else { 0 };
        Plan {
            features,
            layout: if is_modern || has(FeatureBits::ANY_LAYOUT) { Layout::Whole } else { Layout::Divided },
            max_frame: usize::from(self.mtu.unwrap_or(DEFAULT_MTU)) + ETHERNET_HEADER_LEN,
            header_len: if is_modern || reading == Reading::Merged { HEADER_LEN } else { LEGACY_HEADER_LEN },
            reading,
            offloads: Offloads {
                checksum: has(features::CSUM),
                max_tcp4: longest(features::HOST_TSO4),
                max_tcp6: longest(features::HOST_TSO6),
            },
            has_ecn: has(features::HOST_ECN),
        }
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
        plan: &Plan,
    ) -> Result<MacAddress, AttachError> {
        let Platform { memory, clock, options } = platform;
        let named = match plan.features.contains(features::MAC) {
            true => Some(device.config(read_mac)?),
            false => None,
        };
        // HD-CFG-9: an address that no interface can have is as none.
        let named = named.filter(MacAddress::is_unicast);
        let mac = named.unwrap_or(options.fallback_mac);
        for number in 0..offer.pairs {
            let pair = Pair::new(device, number, memory, plan, options, |queue| self.loose.push(queue))?;
            self.pairs.push(pair);
        }
        if plan.features.contains(features::CTRL_VQ) {
            let device_pairs = if plan.features.contains(features::MQ) { offer.device_pairs } else { 1 };
            let index = QueueIndex(2 * device_pairs);
            let wishes = Wishes::new(if named.is_none() { Some(mac) } else { None });
            self.control = Some(Control::new(device, index, memory, clock, wishes)?);
        }
        Ok(mac)
    }

    /// What there could be if what is missing were not asked for; nothing if there is no use in trying.
    fn worth_asking(&self, wanted: u16, ask: Ask) -> Option<Ask> {
        let pairs = self.pairs.len() as u16;
        match pairs == wanted {
            // All pairs are there, so it was the control queue, which several pairs cannot do without.
            true if wanted > 1 => Some(Ask { pairs: 1, ..ask }),
            true => Some(Ask { pairs: 1, control: WithControl::No }),
            false => (pairs > 0).then_some(Ask { pairs, ..ask }),
        }
    }

    /// Frees everything, the device having been reset.
    fn retire(self, proof: &Quiesced) {
        self.pairs.into_iter().for_each(|pair| pair.retire(proof));
        self.loose.into_iter().for_each(|queue| queue.retire(proof));
        if let Some(control) = self.control {
            control.retire(proof);
        }
    }
}

fn read_mac(registers: &dyn Registers) -> MacAddress {
    MacAddress(core::array::from_fn(|i| registers.read8(config::MAC + i)))
}
