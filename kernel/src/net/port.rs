//! [`Port`]: a [`NetDevice`] as smoltcp wants to see one.
//!
//! ```text
//!   NetDevice::receive --> incoming (burst) --> offered --> RxToken: smoltcp reads the frame where it lies
//!   NetDevice::frame   --> spare            --> TxToken: smoltcp writes the frame where it will be sent from
//!                                                  |
//!   NetDevice::transmit <-- outgoing (burst) <-----+
//! ```
//!
//! No byte of a frame is copied here, in neither direction.
//!
//! # Back-pressure
//!
//! Frames that the device does not take stay in `outgoing`, in order. While that burst is full, or the device has
//! no empty frame, [`transmit`](Device::transmit) gives no token: smoltcp keeps its data, and
//! [`is_refusing`](Port::is_refusing) tells the stack to come back. Only answers to a received frame (ARP and ICMP
//! replies, resets, duplicate acknowledgements) have nowhere to wait: without a frame they are written to scratch
//! memory and forgotten, which their protocols survive, and counted.
//!
//! # Snooping
//!
//! smoltcp does not tell a socket's sequence numbers. What the last transmitted TCP segment said is read from the
//! frame ([`Sent`]); a TIME-WAIT entry needs it.
//!
//! # Failure
//!
//! A [`DeviceFault`] is remembered. From then on nothing is received and nothing transmitted.

use alloc::boxed::Box;
use alloc::vec::Vec;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Message, IpProtocol, Ipv4Packet,
    Ipv6Packet, TcpPacket, TcpSeqNumber,
};
use toro_core::driver::net::{Burst, Changes, Frame, MacAddress, NetDevice, ReceiveFilter};
use toro_core::driver::{Armed, DeviceFault};

use super::membership::correct_report;
use super::stack::Counters;

/// Shortest and longest Ethernet frame that the stack works with: the least that every IPv4 link carries, and
/// a jumbo frame.
const FRAME_RANGE: (usize, usize) = (576 + 14, 9216 + 14);

/// What a transmitted TCP segment said about the state of its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// The sequence number after the segment.
    pub(super) next: TcpSeqNumber,
    /// What it acknowledged.
    pub(super) acknowledged: TcpSeqNumber,
}

/// A network device with its two bursts.
pub(super) struct Port {
    device: Box<dyn NetDevice>,
    max_frame: usize,
    incoming: Burst<Frame>,
    outgoing: Burst<Frame>,
    /// The received frame that smoltcp shall process next.
    offered: Option<Frame>,
    /// An empty frame that a token did not use.
    spare: Option<Frame>,
    /// Where answers go that have no frame.
    scratch: Vec<u8>,
    refusing: bool,
    fault: Option<DeviceFault>,
    /// The last TCP segment that was written.
    sent: Option<Sent>,
    /// An ARP request or a neighbour solicitation was written since this was last asked.
    neighbor_wanted: bool,
    pub(super) counters: Counters,
}

impl Port {
    pub(super) fn new(device: Box<dyn NetDevice>) -> Self {
        let max_frame = device.limits().max_frame.clamp(FRAME_RANGE.0, FRAME_RANGE.1);
        Self {
            device,
            max_frame,
            incoming: Burst::new(),
            outgoing: Burst::new(),
            offered: None,
            spare: None,
            scratch: alloc::vec![0; max_frame],
            refusing: false,
            fault: None,
            sent: None,
            neighbor_wanted: false,
            counters: Counters::default(),
        }
    }

    pub(super) fn mac(&self) -> MacAddress {
        self.device.mac()
    }

    /// The longest frame that smoltcp writes.
    pub(super) fn max_frame(&self) -> usize {
        self.max_frame
    }

    /// How the device failed, if it did.
    pub(super) fn fault(&self) -> Option<DeviceFault> {
        self.fault
    }

    /// Takes the oldest frame that was fetched.
    pub(super) fn receive_frame(&mut self) -> Option<Frame> {
        self.incoming.pop()
    }

    /// Fetches received frames from the device.
    pub(super) fn fetch(&mut self) {
        if self.fault.is_none()
            && let Err(fault) = self.device.receive(&mut self.incoming)
        {
            self.fault = Some(fault);
        }
    }

    /// Lets smoltcp process this frame at its next look.
    pub(super) fn offer(&mut self, frame: Frame) {
        self.offered = Some(frame);
    }

    /// A copy of a frame, as if it had been received; `None` while no frame is free.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Option<Frame> {
        let mut frame = self.spare.take().or_else(|| self.device.frame(self.max_frame))?;
        frame.set_len(bytes.len()).ok()?;
        frame.copy_from_slice(bytes);
        Some(frame)
    }

    /// Takes back an offered frame that smoltcp did not look at.
    pub(super) fn withdraw(&mut self) {
        self.offered = None;
    }

    /// Hands written frames to the device. What it does not take stays.
    pub(super) fn flush(&mut self) {
        if self.outgoing.is_empty() {
            return;
        }
        if self.fault.is_none()
            && let Err(fault) = self.device.transmit(&mut self.outgoing)
        {
            self.fault = Some(fault);
        }
        if self.fault.is_some() {
            self.outgoing = Burst::new();
        }
    }

    /// Whether written frames wait for the device.
    pub(super) fn is_backed_up(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether there was no room for a frame since this was last cleared.
    pub(super) fn is_refusing(&self) -> bool {
        self.refusing
    }

    /// Forgets that there was no room.
    pub(super) fn clear_refusal(&mut self) {
        self.refusing = false;
    }

    /// What the last TCP segment said, once.
    pub(super) fn take_sent(&mut self) -> Option<Sent> {
        self.sent.take()
    }

    /// Whether an ARP request or a neighbour solicitation was written since the last call.
    pub(super) fn take_neighbor_wanted(&mut self) -> bool {
        core::mem::take(&mut self.neighbor_wanted)
    }

    /// Asks the device to receive these groups.
    pub(super) fn receive_groups(&mut self, groups: &[MacAddress]) {
        let filter = ReceiveFilter { multicast: groups, ..ReceiveFilter::default() };
        if self.fault.is_none()
            && let Err(fault) = self.device.set_filter(&filter)
        {
            self.fault = Some(fault);
        }
    }

    /// What has changed about the link since the last call.
    pub(super) fn changes(&mut self) -> Changes {
        if self.fault.is_some() {
            return Changes::default();
        }
        self.device.changes().unwrap_or_else(|fault| {
            self.fault = Some(fault);
            Changes::default()
        })
    }

    pub(super) fn arm(&mut self) -> Armed {
        if !self.incoming.is_empty() {
            return Armed::WorkPending;
        }
        if self.fault.is_some() {
            return Armed::Idle;
        }
        self.device.arm().unwrap_or_else(|fault| {
            self.fault = Some(fault);
            // The fault is work: the sockets have to hear of it.
            Armed::WorkPending
        })
    }

    /// Makes sure that there is an empty frame and room to queue it.
    fn prepare(&mut self) -> bool {
        if self.fault.is_some() {
            return false;
        }
        if self.outgoing.room() == 0 {
            self.flush();
        }
        if self.spare.is_none() {
            self.spare = self.device.frame(self.max_frame);
        }
        if self.spare.is_none() && self.is_backed_up() {
            // Handing frames over may let the device return some.
            self.flush();
            self.spare = self.device.frame(self.max_frame);
        }
        self.spare.is_some() && self.outgoing.room() > 0
    }

    /// Lets `write` fill a frame of `len` bytes and queues it, or has it fill scratch memory in vain.
    pub(super) fn write<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        if self.prepare()
            && let Some(mut frame) = self.spare.take()
            && frame.set_len(len).is_ok()
        {
            let result = write(&mut frame);
            correct_report(&mut frame);
            self.snoop(&frame);
            self.counters.transmitted += 1;
            if self.outgoing.push(frame).is_err() {
                // `prepare` saw room; even so, losing a frame is what networks do.
                self.counters.answers_lost += 1;
            }
            return result;
        }
        self.counters.answers_lost += 1;
        if self.scratch.len() < len {
            self.scratch.resize(len, 0);
        }
        write(&mut self.scratch[..len])
    }

    fn snoop(&mut self, frame: &[u8]) {
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return };
        match ethernet.ethertype() {
            EthernetProtocol::Ipv4 => {
                if let Ok(ip) = Ipv4Packet::new_checked(ethernet.payload())
                    && ip.next_header() == IpProtocol::Tcp
                {
                    self.snoop_tcp(ip.payload());
                }
            }
            EthernetProtocol::Ipv6 => {
                let Ok(ip) = Ipv6Packet::new_checked(ethernet.payload()) else { return };
                match ip.next_header() {
                    IpProtocol::Tcp => self.snoop_tcp(ip.payload()),
                    IpProtocol::Icmpv6 => {
                        let kind = ip.payload().first().map(|&kind| Icmpv6Message::from(kind));
                        self.neighbor_wanted |= kind == Some(Icmpv6Message::NeighborSolicit);
                    }
                    _ => {}
                }
            }
            EthernetProtocol::Arp => {
                if let Ok(arp) = ArpPacket::new_checked(ethernet.payload()) {
                    self.neighbor_wanted |= arp.operation() == ArpOperation::Request;
                }
            }
            _ => {}
        }
    }

    fn snoop_tcp(&mut self, segment: &[u8]) {
        if let Ok(tcp) = TcpPacket::new_checked(segment)
            && tcp.ack()
            && !tcp.rst()
        {
            let next = tcp.seq_number() + tcp.segment_len();
            self.sent = Some(Sent { next, acknowledged: tcp.ack_number() });
        }
    }
}

impl Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _now: SmolInstant) -> Option<(Received, Room<'_>)> {
        let frame = self.offered.take()?;
        Some((Received { frame }, Room { port: self }))
    }

    fn transmit(&mut self, _now: SmolInstant) -> Option<Room<'_>> {
        if self.prepare() {
            Some(Room { port: self })
        } else {
            self.refusing = true;
            None
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.max_frame;
        capabilities
    }
}

/// A received frame. It goes back to its pool when smoltcp has looked at it.
pub(super) struct Received {
    frame: Frame,
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.frame)
    }
}

/// The right to write a frame.
pub(super) struct Room<'a> {
    port: &'a mut Port,
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.port.write(len, f)
    }
}

/// A MAC address in smoltcp's words.
pub(super) fn ethernet_address(mac: MacAddress) -> EthernetAddress {
    EthernetAddress(mac.0)
}
