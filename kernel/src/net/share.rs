//! Several stacks behind one address: which of them a received frame concerns.
//!
//! A network device with several queue pairs gives each core a pair and, on top of it, a stack of its own. All have the
//! same hardware and IP address, and share no memory. So each must hear what concerns everybody, and of everything else
//! what is for its own sockets:
//!
//! ```text
//!   frame arrives at pair k         who must see it
//!   ARP about our address           everybody: the answer to one stack's request arrives at any pair
//!   neighbour solicitation for it   everybody
//!   neighbour advertisement         everybody
//!   probe for an IPv6 address       the stack that finds the addresses, which is number 0
//!   router advertisement            the same
//!   UDP over IPv4 to port 68        the same: it has the DHCP client
//!   UDP to a group                  everybody
//!   which groups are you in?        everybody: the stacks may be in different ones
//!   TCP, UDP to a socket here       this stack
//!   ICMP about a datagram of ours   this stack, if it has the socket
//!   TCP, UDP to no socket here      whoever has it: see below
//!   all else                        this stack: pings, fragments, what nobody understands
//! ```
//!
//! # Whose socket it is
//!
//! The device chooses the pair. It keeps to the pair on which we last transmitted for a flow (Linux's tun does, for
//! some seconds after), and goes by a hash of the flow otherwise. Therefore:
//!
//! - A connection that a peer opens lives where its SYN arrived. Our answer teaches the device, and the hash that chose
//!   this pair for the SYN chooses it again when the device has forgotten: the flow stays.
//! - A connection that we open may well have another pair's hash. Its local port says whose it is: stack *k* of *n*
//!   takes ports whose place in the dynamic range is *k* modulo *n* ([`Seat::owner_of_port`]), which also keeps two
//!   stacks from taking the same one. The same goes for sockets that are bound to no particular port.
//!
//! A segment that finds no socket where it arrives is therefore carried to the stack that its port names, and if that
//! one does not know it either, because somebody listens in the dynamic range or the device has changed its mind about
//! a flow, to the others in turn ([`Search`]). Where nobody knows it, the stack where it arrived answers, with the
//! reset or the ICMP message that there always was. A search costs at most one look-up per stack; peers can cause them
//! only by segments that belong to nothing.
//!
//! # Ownership
//!
//! This module decides; whoever owns the stacks carries. A frame that is carried moves, and goes home to its pool when
//! it has been looked at. Copies are made only of what everybody hears, which is seldom.
//!
//! # Hostile peers
//!
//! Every decision is a total function of the frame's bytes: whatever they are, it names stacks that there are.

use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr};
use core::num::NonZeroU16;

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetFrame};
use toro_core::driver::net::Frame;

use super::dispatch::Traffic;
use super::ipv6;
use super::neighbor::{Neighbor, NeighborKind};
use super::ports::FIRST;

/// The port of DHCP clients, to which servers answer.
const DHCP_CLIENT: u16 = 68;
/// The stack that finds the addresses: it has the DHCP client, and listens to routers.
const LEASEHOLDER: u16 = 0;

/// Which one of how many stacks with the same address a stack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Less than `of`.
    index: u16,
    of: NonZeroU16,
}

impl Seat {
    /// The only one.
    pub const ALONE: Self = Self { index: 0, of: NonZeroU16::MIN };

    /// Number `index` of `of`; `None` if there are not so many.
    pub const fn new(index: u16, of: NonZeroU16) -> Option<Self> {
        if index < of.get() { Some(Self { index, of }) } else { None }
    }

    /// Its number, from 0.
    pub const fn index(self) -> u16 {
        self.index
    }

    /// How many there are.
    pub const fn of(self) -> NonZeroU16 {
        self.of
    }

    /// Whether there are others.
    pub(super) const fn is_shared(self) -> bool {
        self.of.get() > 1
    }

    /// The stack that takes this port if it is free to choose; `None` for ports that nobody is given.
    pub const fn owner_of_port(self, port: u16) -> Option<u16> {
        match port.checked_sub(FIRST) {
            Some(place) => Some(place % self.of.get()),
            None => None,
        }
    }

    /// Whether this stack may take a port that it is free to choose.
    pub(super) fn may_take(self, port: u16) -> bool {
        self.owner_of_port(port) == Some(self.index)
    }
}

impl Default for Seat {
    fn default() -> Self {
        Self::ALONE
    }
}

/// A search for the stack that has the socket of a frame.
///
/// ```text
///   carrier: loop { match search.next() { Some(k) => ask stack k to `claim`, None => the first one must `deliver` } }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    origin: Seat,
    /// Who is asked next, if there is somebody left.
    next: u16,
    left: u16,
}

impl Search {
    /// For a frame that arrived at `origin`, for this local port.
    fn new(origin: Seat, port: u16) -> Self {
        let next = match origin.owner_of_port(port) {
            Some(owner) if owner != origin.index => owner,
            _ => Self::after(origin, origin.index),
        };
        Self { origin, next, left: origin.of.get() - 1 }
    }

    /// The stack where the frame arrived, which answers if nobody knows it.
    pub const fn origin(&self) -> u16 {
        self.origin.index
    }

    /// The next stack to ask, each of the others once; `None` when all have been asked.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<u16> {
        self.left = self.left.checked_sub(1)?;
        let asked = self.next;
        self.next = Self::after(self.origin, asked);
        if self.next == self.origin.index {
            self.next = Self::after(self.origin, self.next);
        }
        Some(asked)
    }

    fn after(seat: Seat, index: u16) -> u16 {
        (index + 1) % seat.of.get()
    }
}

/// A frame that has arrived at one stack and concerns others.
#[derive(Debug)]
pub enum Stray {
    /// Stack number 0 must have it ([`Stack::deliver`](super::stack::Stack::deliver)).
    Lease(Frame),
    /// Some stack may know its socket ([`Stack::claim`](super::stack::Stack::claim)).
    Lost(Search, Frame),
    /// Every other stack must hear of it, too ([`Stack::overhear`](super::stack::Stack::overhear)).
    News(Box<[u8]>),
}

/// Which stacks must see a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipients {
    /// The one where it arrived.
    Here,
    /// The one that finds the addresses, which is another.
    Leaseholder,
    /// The one that has its socket, which is another, if any.
    Holder(Search),
    /// All of them.
    Everyone,
}

/// Decides which stacks must see a frame that arrived at `seat`. `is_own` says whether an address is ours, `knows` whether
/// this stack has a socket for it.
pub(super) fn recipients(
    seat: Seat,
    frame: &[u8],
    traffic: &Traffic,
    is_own: impl Fn(IpAddr) -> bool,
    knows: impl FnOnce() -> bool,
) -> Recipients {
    if !seat.is_shared() {
        return Recipients::Here;
    }
    let is_to_group = frame.first().is_some_and(|byte| byte & 1 != 0);
    let leaseholder = if seat.index == LEASEHOLDER { Recipients::Here } else { Recipients::Leaseholder };
    let port = match traffic {
        Traffic::Arp if arp_target(frame).is_some_and(|target| is_own(target.into())) => return Recipients::Everyone,
        Traffic::Arp | Traffic::System | Traffic::Foreign => return Recipients::Here,
        Traffic::Neighbor(Neighbor { kind, target }) => match kind {
            NeighborKind::Probe => return leaseholder,
            NeighborKind::Solicitation if !is_own((*target).into()) => return Recipients::Here,
            NeighborKind::Solicitation | NeighborKind::Advertisement => return Recipients::Everyone,
        },
        Traffic::Router => return leaseholder,
        Traffic::Query => return Recipients::Everyone,
        Traffic::Udp(local) if local.is_ipv4() && local.port() == DHCP_CLIENT => return leaseholder,
        Traffic::Udp(_) if is_to_group => return Recipients::Everyone,
        Traffic::Udp(local) => local.port(),
        Traffic::Refusal(datagram) => datagram.local.port(),
        // Drawn as ports are.
        Traffic::Echo(identifier) => *identifier,
        Traffic::Tcp(segment) => segment.flow.local.port(),
    };
    if knows() { Recipients::Here } else { Recipients::Holder(Search::new(seat, port)) }
}

/// Which address an ARP packet is about.
pub(super) fn arp_target(frame: &[u8]) -> Option<Ipv4Addr> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let packet = ArpPacket::new_checked(ethernet.payload()).ok()?;
    match ArpRepr::parse(&packet).ok()? {
        ArpRepr::EthernetIpv4 { target_protocol_addr, .. } => Some(target_protocol_addr),
        _ => None,
    }
}

/// Turns the copy of an ARP request into the reply that says the same, and that of a neighbour solicitation into such an
/// advertisement: whoever overhears it learns who asks, and leaves the answer to the stack that was asked. Anything else
/// stays as it is.
pub(super) fn silence(frame: &mut [u8]) {
    ipv6::silence(frame);
    if let Ok(mut ethernet) = EthernetFrame::new_checked(frame)
        && ethernet.ethertype() == smoltcp::wire::EthernetProtocol::Arp
        && let Ok(mut packet) = ArpPacket::new_checked(ethernet.payload_mut())
        && packet.operation() == ArpOperation::Request
    {
        packet.set_operation(ArpOperation::Reply);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::SocketAddr;

    use proptest::prelude::*;
    use smoltcp::wire::{EthernetAddress, EthernetProtocol, EthernetRepr, TcpSeqNumber};
    use toro_core::driver::net::MacAddress;

    use super::*;
    use crate::net::dispatch::{Segment, SegmentKind, classify};
    use crate::net::flow::Flow;

    const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
    const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

    fn seat(index: u16, of: u16) -> Seat {
        NonZeroU16::new(of).and_then(|of| Seat::new(index, of)).expect("there are so many")
    }

    fn arp(operation: ArpOperation, target: Ipv4Addr) -> Vec<u8> {
        let arp = ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: EthernetAddress([2, 0, 0, 0, 0, 9]),
            source_protocol_addr: THERE,
            target_hardware_addr: EthernetAddress(OURS.0),
            target_protocol_addr: target,
        };
        let ethernet = EthernetRepr {
            src_addr: EthernetAddress([2, 0, 0, 0, 0, 9]),
            dst_addr: EthernetAddress::BROADCAST,
            ethertype: EthernetProtocol::Arp,
        };
        let mut bytes = alloc::vec![0; 14 + arp.buffer_len()];
        ethernet.emit(&mut EthernetFrame::new_unchecked(&mut bytes[..]));
        arp.emit(&mut ArpPacket::new_unchecked(&mut bytes[14..]));
        bytes
    }

    fn is_here(address: IpAddr) -> bool {
        address == HERE
    }

    fn datagram(port: u16) -> Traffic {
        Traffic::Udp(SocketAddr::from((HERE, port)))
    }

    fn segment(port: u16) -> Traffic {
        let flow = Flow { local: SocketAddr::from((HERE, port)), remote: SocketAddr::from((THERE, 5000)) };
        let sequence = TcpSeqNumber(0);
        Traffic::Tcp(Segment { flow, kind: SegmentKind::Other, sequence, len: 1, acknowledged: None, window: 0 })
    }

    /// Who is asked for a frame to this port that arrived at `seat`, in order.
    fn asked(seat: Seat, port: u16) -> Vec<u16> {
        match recipients(seat, &OURS.0, &segment(port), is_here, || false) {
            Recipients::Holder(mut search) => core::iter::from_fn(|| search.next()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stack_that_is_alone_sees_everything() {
        for frame in [arp(ArpOperation::Reply, HERE), arp(ArpOperation::Request, HERE)] {
            let traffic = classify(&frame, OURS);
            assert_eq!(recipients(Seat::ALONE, &frame, &traffic, is_here, || false), Recipients::Here);
        }
        for traffic in [segment(80), segment(60_000), datagram(68), datagram(53), Traffic::Router] {
            assert_eq!(recipients(Seat::ALONE, &[], &traffic, is_here, || false), Recipients::Here);
        }
        assert!((FIRST..=u16::MAX).all(|port| Seat::ALONE.may_take(port)));
    }

    #[test]
    fn arp_about_our_address_is_everyones_and_about_others_nobodys() {
        for operation in [ArpOperation::Reply, ArpOperation::Request] {
            for (target, own, expected) in
                [(HERE, HERE, Recipients::Everyone), (THERE, HERE, Recipients::Here), (HERE, THERE, Recipients::Here)]
            {
                let frame = arp(operation, target);
                let traffic = classify(&frame, OURS);
                assert_eq!(
                    recipients(seat(1, 3), &frame, &traffic, |address| address == own, || unreachable!()),
                    expected
                );
            }
        }
    }

    #[test]
    fn who_overhears_a_request_does_not_answer_it() {
        let mut request = arp(ArpOperation::Request, HERE);
        silence(&mut request);
        assert_eq!(request, arp(ArpOperation::Reply, HERE));
        silence(&mut request);
        assert_eq!(request, arp(ArpOperation::Reply, HERE));
        let mut other = alloc::vec![8; 60];
        silence(&mut other);
        assert_eq!(other, [8; 60]);
    }

    #[test]
    fn leases_are_for_the_first_stack_wherever_they_arrive() {
        let lease = |index, destination: &[u8]| {
            recipients(seat(index, 3), destination, &datagram(68), |_| false, || unreachable!())
        };
        for destination in [OURS.0, [0xff; 6]] {
            assert_eq!(lease(0, &destination), Recipients::Here);
            assert_eq!(lease(1, &destination), Recipients::Leaseholder);
            assert_eq!(lease(2, &destination), Recipients::Leaseholder);
        }
    }

    #[test]
    fn datagrams_to_a_group_are_everyones_and_others_their_sockets() {
        let to =
            |destination: [u8; 6], knows: bool| recipients(seat(1, 2), &destination, &datagram(53), is_here, || knows);
        for group in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
            assert_eq!(to(group, true), Recipients::Everyone);
            assert_eq!(to(group, false), Recipients::Everyone);
        }
        assert_eq!(to(OURS.0, true), Recipients::Here);
        assert!(matches!(to(OURS.0, false), Recipients::Holder(search) if search.origin() == 1));
    }

    #[test]
    fn the_stack_that_the_port_names_is_asked_first() {
        assert_eq!(asked(seat(0, 4), FIRST + 2), [2, 3, 1]);
        assert_eq!(asked(seat(2, 4), FIRST + 1), [1, 3, 0]);
        assert_eq!(asked(seat(2, 4), FIRST + 2), [3, 0, 1], "it is this one, and does not know it");
        assert_eq!(asked(seat(3, 4), 80), [0, 1, 2], "a port that nobody is given");
        assert_eq!(asked(seat(1, 2), 80), [0]);
        let known = recipients(seat(0, 4), &OURS.0, &segment(FIRST + 2), is_here, || true);
        assert_eq!(known, Recipients::Here);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_search_asks_each_other_stack_once(of in 2_u16..300, index in 0_u16..300, port: u16) {
            let seat = seat(index % of, of);
            let mut all = asked(seat, port);
            prop_assert_eq!(all.len(), usize::from(of) - 1);
            if let Some(owner) = seat.owner_of_port(port).filter(|&owner| owner != seat.index()) {
                prop_assert_eq!(all[0], owner);
            }
            all.push(seat.index());
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..of));
        }

        #[test]
        fn every_chosen_port_is_one_stacks(of in 1_u16..300, port in FIRST..=u16::MAX) {
            let owners = (0..of).filter(|&index| seat(index, of).may_take(port));
            prop_assert_eq!(owners.count(), 1);
        }

        #[test]
        fn any_bytes_have_recipients(mut frame: Vec<u8>, kind in 0_usize..4, of in 1_u16..9, knows: bool) {
            // Mostly what looks like something.
            let types: [&[u8]; 4] = [&[], &[8, 6, 0, 1, 8, 0, 6, 4, 0], &[8, 0, 0x45], &[0x86, 0xdd]];
            if kind > 0 && frame.len() >= 14 + types[kind].len() {
                frame[12..12 + types[kind].len()].copy_from_slice(types[kind]);
            }
            let traffic = classify(&frame, OURS);
            for index in 0..of {
                let found = recipients(seat(index, of), &frame, &traffic, is_here, || knows);
                match found {
                    Recipients::Here => {}
                    Recipients::Leaseholder => prop_assert!(index != 0),
                    Recipients::Holder(search) => prop_assert!(!knows && of > 1 && search.origin() == index),
                    Recipients::Everyone => prop_assert!(of > 1),
                }
            }
            silence(&mut frame);
        }
    }
}
