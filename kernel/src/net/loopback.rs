//! [`Loopback`]: the interface without a wire, over which a host talks to itself.
//!
//! ```text
//!   connection --> egress --> queue of IP packets --> ingress --> connection
//!                                 ^                     |
//!                                 +------ answers ------+        (acknowledgements, resets, replies to pings)
//!
//!   datagram   --> deliver -----------------------------------> UDP socket
//! ```
//!
//! What goes to 127.0.0.0/8, to ::1 or to an address of the interface's own comes back here. A second smoltcp interface
//! does it, whose packets have no Ethernet header, no checksums (they stay in memory), and up to 64 KiB. There is no address
//! to resolve and no route to find. It accepts every address: what is given to it has been found to be the host's.
//!
//! The other interface knows nothing of all this. It has no loopback address, so none leaves by the wire, and what comes in
//! by the wire with one is dropped by [`classify`](super::dispatch::classify).
//!
//! # Bounds
//!
//! A socket may queue a packet while there are fewer than [`MOST_PACKETS`] and [`MOST_BYTES`]; beyond that it waits for its
//! next turn. A packet that is taken out makes at most one answer, for which its own place is then free. So the queue
//! neither grows without end nor ever loses a packet, which is why the ends of connections need no TIME-WAIT here. How many
//! packets are taken out in one turn is the stack's to limit.
//!
//! Datagrams go to their receiver at once. Where it has no room for one, it is lost, as with UDP everywhere.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::num::NonZeroU8;

use smoltcp::iface::{Config, Context, Interface, PollResult, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{HardwareAddress, IpProtocol, IpRepr, Ipv4Packet, TcpPacket, UdpPacket, UdpRepr};
use toro_core::Instant;

use super::dispatch::{Segment, describe};
use super::echo::{REPLY4, REPLY6, reply_identifier};
use super::ipv6;
use super::link::{STUCK, TURN, Turn, from_smol, to_smol};
use super::wire;

/// Whether this interface works: what is sent to ourselves is refused in an image without the feature `loopback`.
pub(super) const IS_THERE: bool = cfg!(feature = "loopback");

/// The longest packet: what the length field of IPv4 can say.
const LONGEST_PACKET: usize = 65_535;
/// How many packets may wait before sockets have to.
pub(super) const MOST_PACKETS: usize = 256;
/// How many bytes of packets may wait before sockets have to.
const MOST_BYTES: usize = 512 << 10;
/// How many empty buffers are kept for the next packets.
const MOST_SPARES: usize = 8;
/// The time to live of datagrams, unless something else is chosen.
const HOP_LIMIT: u8 = 64;

/// The address from which the host speaks to itself at `address`, if that is one of loopback.
pub(super) fn source_for(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) if address.is_loopback() => Some(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(address) if ipv6::IS_THERE && address.is_loopback() => Some(Ipv6Addr::LOCALHOST.into()),
        _ => None,
    }
}

/// The interface without a wire.
pub(super) struct Loopback {
    interface: Interface,
    queue: Queue,
}

impl Loopback {
    pub(super) fn new(seed: u64, now: Instant) -> Self {
        let mut queue = Queue { packets: VecDeque::new(), bytes: 0, spares: Vec::new(), refusing: false };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut Half { queue: &mut queue, offered: None }, to_smol(now));
        interface.set_any_ip(true);
        Self { interface, queue }
    }

    /// What some socket operations want to know of the interface.
    pub(super) fn context(&mut self) -> &mut Context {
        self.interface.context()
    }

    /// Whether no packet waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.packets.is_empty()
    }

    /// How many packets wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue.packets.len()
    }

    /// Takes the oldest packet, to be given to [`ingress`](Self::ingress).
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let packet = self.queue.packets.pop_front().filter(|_| IS_THERE)?;
        self.queue.bytes -= packet.len();
        Some(packet)
    }

    /// Lets the socket of `set` process a packet. Without a socket that wants it, smoltcp answers as a host does.
    pub(super) fn ingress(&mut self, now: Instant, packet: Vec<u8>, set: &mut SocketSet<'static>) {
        if !IS_THERE {
            return;
        }
        let mut half = Half { queue: &mut self.queue, offered: Some(&packet) };
        let _ = self.interface.poll_ingress_single(to_smol(now), &mut half, set);
        self.queue.recycle(packet);
    }

    /// Lets the socket of `set` send what it has to send, and there is room for.
    pub(super) fn egress(&mut self, now: Instant, set: &mut SocketSet<'static>) -> Turn {
        if !IS_THERE {
            return Turn::Done(None);
        }
        let at = to_smol(now);
        self.queue.refusing = false;
        let mut half = Half { queue: &mut self.queue, offered: None };
        for _ in 0..TURN {
            if self.interface.poll_egress(at, &mut half, set) == PollResult::None {
                if self.queue.refusing {
                    break;
                }
                let next = self.interface.poll_at(at, set);
                // A due time that has passed although the socket just had its turn: never spin on it.
                return Turn::Done(next.map(|due| if due <= at { now.saturating_add(STUCK) } else { from_smol(due) }));
            }
        }
        Turn::More
    }

    /// Queues a message of ICMP, or gives up while there is no room.
    pub(super) fn say(&mut self, source: IpAddr, destination: IpAddr, message: &[u8]) -> Result<(), Full> {
        if !IS_THERE || !self.queue.has_room() {
            return Err(Full);
        }
        let protocol = if destination.is_ipv4() { IpProtocol::Icmp } else { IpProtocol::Icmpv6 };
        let ip = IpRepr::new(wire::address(source), wire::address(destination), protocol, message.len(), HOP_LIMIT);
        let mut packet = self.queue.buffer(ip.buffer_len());
        ip.emit(&mut packet[..], &ChecksumCapabilities::ignored());
        packet[ip.header_len()..].copy_from_slice(message);
        self.queue.push(packet);
        Ok(())
    }

    /// Gives a datagram to the socket of `set`, in which it is lost if there is no room for it.
    pub(super) fn deliver(&mut self, ends: &Ends, bytes: &[u8], set: &mut SocketSet<'static>) {
        if !IS_THERE {
            return;
        }
        let udp = UdpRepr { src_port: ends.source.port(), dst_port: ends.destination.port() };
        let (source, destination) = (wire::address(ends.source.ip()), wire::address(ends.destination.ip()));
        let hop_limit = ends.hop_limit.map_or(HOP_LIMIT, NonZeroU8::get);
        let len = udp.header_len() + bytes.len();
        let ip = IpRepr::new(source, destination, IpProtocol::Udp, len, hop_limit);
        let mut packet = self.queue.buffer(ip.header_len() + len);
        let checksums = ChecksumCapabilities::ignored();
        ip.emit(&mut packet[..], &checksums);
        udp.emit(
            &mut UdpPacket::new_unchecked(&mut packet[ip.header_len()..]),
            &source,
            &destination,
            bytes.len(),
            |payload| payload.copy_from_slice(bytes),
            &checksums,
        );
        // Time is of no interest to a UDP socket that receives.
        let mut half = Half { queue: &mut self.queue, offered: Some(&packet) };
        let _ = self.interface.poll_ingress_single(SmolInstant::ZERO, &mut half, set);
        self.queue.recycle(packet);
    }
}

/// There is no room for another packet now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Between whom a datagram goes.
pub(super) struct Ends {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// `None`: the usual one.
    pub(super) hop_limit: Option<NonZeroU8>,
}

/// What a queued packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A TCP segment.
    Tcp(Segment),
    /// The reply to an echo request with this identifier.
    Echo(u16),
    /// What smoltcp handles without a socket of the application.
    System,
}

/// Reads the headers of a packet of our own making.
pub(super) fn kind_of(packet: &[u8]) -> Kind {
    let kind = match packet.first().map(|byte| byte >> 4) {
        Some(4) => Ipv4Packet::new_checked(packet).ok().and_then(|ip| {
            let reply = || reply_identifier(ip.payload(), REPLY4);
            upper(ip.next_header(), ip.payload(), ip.src_addr().into(), ip.dst_addr().into(), reply)
        }),
        Some(6) => ipv6::ends_and_payload(packet).and_then(|(protocol, [source, destination], payload)| {
            upper(protocol, payload, source, destination, || reply_identifier(payload, REPLY6))
        }),
        _ => None,
    };
    kind.unwrap_or(Kind::System)
}

fn upper(
    protocol: IpProtocol,
    payload: &[u8],
    source: IpAddr,
    destination: IpAddr,
    reply: impl Fn() -> Option<u16>,
) -> Option<Kind> {
    match protocol {
        IpProtocol::Tcp => {
            let tcp = TcpPacket::new_checked(payload).ok()?;
            Some(Kind::Tcp(describe(&tcp, source, destination)))
        }
        IpProtocol::Icmp | IpProtocol::Icmpv6 => reply().map(Kind::Echo),
        _ => None,
    }
}

/// Packets on their way from the host to itself.
struct Queue {
    packets: VecDeque<Vec<u8>>,
    /// Bytes of all packets.
    bytes: usize,
    /// Buffers for the next ones.
    spares: Vec<Vec<u8>>,
    /// There was no room for a packet since this was last cleared.
    refusing: bool,
}

impl Queue {
    fn has_room(&self) -> bool {
        self.packets.len() < MOST_PACKETS && self.bytes < MOST_BYTES
    }

    /// A buffer of so many bytes, which hold anything.
    fn buffer(&mut self, len: usize) -> Vec<u8> {
        let mut buffer = self.spares.pop().unwrap_or_default();
        buffer.resize(len, 0);
        buffer
    }

    fn push(&mut self, packet: Vec<u8>) {
        self.bytes += packet.len();
        self.packets.push_back(packet);
    }

    fn recycle(&mut self, buffer: Vec<u8>) {
        if self.spares.len() < MOST_SPARES {
            self.spares.push(buffer);
        }
    }
}

/// The queue as smoltcp wants to see it, with the packet that it shall process.
struct Half<'a> {
    queue: &'a mut Queue,
    offered: Option<&'a [u8]>,
}

impl Device for Half<'_> {
    type RxToken<'b>
        = Offered<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Place<'b>
    where
        Self: 'b;

    fn receive(&mut self, _now: SmolInstant) -> Option<(Offered<'_>, Place<'_>)> {
        let packet = self.offered.take()?;
        Some((Offered(packet), Place(self.queue)))
    }

    fn transmit(&mut self, _now: SmolInstant) -> Option<Place<'_>> {
        if self.queue.has_room() {
            Some(Place(self.queue))
        } else {
            self.queue.refusing = true;
            None
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = LONGEST_PACKET;
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}

/// A packet that has come back.
struct Offered<'a>(&'a [u8]);

impl RxToken for Offered<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// The right to queue a packet.
struct Place<'a>(&'a mut Queue);

impl TxToken for Place<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = self.0.buffer(len);
        let result = f(&mut packet);
        self.0.push(packet);
        result
    }
}
