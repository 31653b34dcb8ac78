//! Several stacks with one address: the test is the card, which puts each frame on a pair of its choice, and carries
//! strays from stack to stack.

use core::num::NonZeroU16;

use smoltcp::wire::{ArpOperation, ArpPacket, EthernetFrame, EthernetProtocol, IpProtocol, Ipv6Packet};

use super::*;
use crate::net::ipv6::neighbor;
use crate::net::neighbor::NeighborKind;
use crate::net::share::{Seat, Stray};
use crate::net::udp::Broadcast;

const STACKS: u16 = 3;

/// Which pair a frame is put on.
pub(super) type Steer = fn(&[u8]) -> usize;

/// Three stacks, and a client at the other end of the wire.
pub(super) struct Company {
    pub(super) stacks: Vec<Stack<Count>>,
    /// The stacks' pairs: end 1 of each.
    pub(super) pairs: Vec<Cable>,
    client: Stack<Count>,
    /// The client is end 0.
    wire: Cable,
    steer: Steer,
    /// Questions for a neighbour's hardware address, and answers, that the stacks have sent.
    resolutions: [usize; 2],
    pub(super) now: Instant,
}

pub(super) fn seat(index: u16) -> Seat {
    Seat::new(index, NonZeroU16::new(STACKS).expect("not zero")).expect("there are so many")
}

/// 0 for a frame that asks for a neighbour's hardware address, 1 for an answer.
fn resolution(frame: &[u8]) -> Option<usize> {
    let ethernet = EthernetFrame::new_checked(frame).expect("stacks send frames");
    match ethernet.ethertype() {
        EthernetProtocol::Arp => {
            let arp = ArpPacket::new_checked(ethernet.payload()).expect("and ARP packets");
            Some(usize::from(arp.operation() == ArpOperation::Reply))
        }
        EthernetProtocol::Ipv6 => {
            let ip = Ipv6Packet::new_checked(ethernet.payload()).expect("and IPv6 packets");
            match neighbor::parse(&ip).filter(|_| ip.next_header() == IpProtocol::Icmpv6)?.kind {
                NeighborKind::Solicitation => Some(0),
                NeighborKind::Advertisement => Some(1),
                NeighborKind::Probe => None,
            }
        }
        _ => None,
    }
}

impl Company {
    /// All have the address from the start.
    fn new(steer: Steer) -> Self {
        Self::with(steer, |index| Config { seat: seat(index), ..fixed(SERVER) })
    }

    pub(super) fn with(steer: Steer, config: impl Fn(u16) -> Config) -> Self {
        let now = Instant::from_nanos(5_000_000_000);
        let (wire, client_end, _) = Cable::new();
        let (mut stacks, mut pairs) = (Vec::new(), Vec::new());
        for index in 0..STACKS {
            let (pair, _, end) = Cable::new();
            stacks.push(Stack::new(Box::new(end), config(index), Count::default(), now));
            pairs.push(pair);
        }
        let client = Stack::new(Box::new(client_end), fixed(CLIENT), Count::default(), now);
        Self { stacks, pairs, client, wire, steer, resolutions: [0; 2], now }
    }

    /// Does what the owners of stacks do with strays.
    pub(super) fn carry(&mut self) {
        for from in 0..self.stacks.len() {
            if let Some(groups) = self.stacks[from].take_groups() {
                self.stacks[0].set_groups_of(from as u16, groups);
            }
            while let Some(stray) = self.stacks[from].take_stray() {
                match stray {
                    Stray::Lease(frame) => self.stacks[0].deliver(self.now, frame),
                    Stray::Lost(mut search, frame) => {
                        let mut frame = Some(frame);
                        while let Some(lost) = frame.take() {
                            let Some(asked) = search.next() else {
                                self.stacks[usize::from(search.origin())].deliver(self.now, lost);
                                break;
                            };
                            frame = self.stacks[usize::from(asked)].claim(self.now, lost).err();
                        }
                    }
                    Stray::News(bytes) => {
                        for to in (0..self.stacks.len()).filter(|&to| to != from) {
                            self.stacks[to].overhear(self.now, &bytes);
                        }
                    }
                }
            }
        }
    }

    fn exchange(&mut self) {
        while let Some(frame) = self.wire.take_from(0) {
            self.pairs[(self.steer)(&frame)].inject(0, &frame);
        }
        for pair in &self.pairs {
            while let Some(frame) = pair.take_from(1) {
                if let Some(kind) = resolution(&frame) {
                    self.resolutions[kind] += 1;
                }
                self.wire.inject(1, &frame);
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut activity = self.client.poll(self.now) == Activity::Some;
            for stack in &mut self.stacks {
                activity |= stack.poll(self.now) == Activity::Some;
                activity |= stack.arm() == Armed::WorkPending;
            }
            self.carry();
            self.exchange();
            activity |= self.client.arm() == Armed::WorkPending;
            if !activity && self.stacks.iter_mut().all(|stack| stack.arm() == Armed::Idle) {
                return;
            }
        }
        panic!("they never come to rest");
    }

    /// Lets time pass, stopping at each deadline.
    fn pass(&mut self, duration: Duration) {
        let end = self.now.saturating_add(duration);
        self.settle();
        while self.now < end {
            let deadlines = self.stacks.iter().map(Stack::next_deadline).chain([self.client.next_deadline()]);
            let next = deadlines.flatten().min().unwrap_or(end);
            self.now = next.clamp(self.now, end);
            self.settle();
        }
    }

    fn listen(&mut self, index: usize) -> ListenerId {
        let any = SocketAddr::from((ANY, PORT));
        self.stacks[index].listen(any, 8, Count::default()).expect("the port is free").0
    }

    fn connect(&mut self) -> ConnectionId {
        let server = SocketAddr::from((SERVER, PORT));
        let (client, _) = self.client.connect(server, Count::default()).expect("there is room");
        self.pass(Duration::from_millis(20));
        client
    }

    /// A request and an answer over a connection that stack `index` has.
    fn talk(&mut self, client: &ConnectionId, index: usize, server: &ConnectionId) {
        let mut buffer = [0; 8000];
        let bytes = pattern(3000);
        assert_eq!(self.client.send(client, &bytes), Ok(3000));
        self.pass(Duration::from_millis(20));
        assert_eq!(self.stacks[index].receive(server, &mut buffer), Ok(3000));
        assert_eq!(buffer[..3000], bytes);
        assert_eq!(self.stacks[index].send(server, b"200"), Ok(3));
        self.pass(Duration::from_millis(20));
        assert_eq!(self.client.receive(client, &mut buffer), Ok(3));
    }
}

#[test]
fn a_connection_that_a_stack_opens_works_wherever_the_answers_arrive() {
    let steers: [Steer; 4] = [|_| 0, |_| 1, |_| 2, |frame| frame.len() % 3];
    for steer in steers {
        for index in 0..3 {
            let mut company = Company::new(steer);
            let any = SocketAddr::from((ANY, PORT));
            let (listener, _) = company.client.listen(any, 8, Count::default()).expect("the port is free");
            let there = SocketAddr::from((CLIENT, PORT));
            let (opened, local) = company.stacks[index].connect(there, Count::default()).expect("there is room");
            assert_eq!(seat(0).owner_of_port(local.port()), Some(index as u16));
            company.pass(Duration::from_millis(100));
            assert_eq!(company.stacks[index].established(&opened), Ok(()));
            let accepted = company.client.accept(&listener).expect("the handshake is complete");
            company.talk(&accepted.id, index, &opened);
        }
    }
}

#[test]
fn a_connection_lives_where_its_syn_arrived_and_outlives_a_device_that_changes_its_mind() {
    let mut company = Company::new(|_| 1);
    let listeners = [0, 1, 2].map(|index| company.listen(index));
    // The client makes sure of its addresses first.
    company.pass(Duration::from_millis(1));
    let before = company.stacks[1].counters().strays;
    let client = company.connect();
    assert_eq!(company.client.established(&client), Ok(()));
    let accepted = company.stacks[1].accept(&listeners[1]).expect("its SYN arrived there");
    assert!(company.stacks[0].accept(&listeners[0]).is_err() && company.stacks[2].accept(&listeners[2]).is_err());
    company.talk(&client, 1, &accepted.id);
    assert_eq!(
        company.stacks[1].counters().strays - before,
        1,
        "everybody was told of the client's question, and no more"
    );
    for steer in [(|_| 2) as Steer, |_| 0, |frame| frame.len() % 2] {
        company.steer = steer;
        company.talk(&client, 1, &accepted.id);
    }
    company.client.close(client);
    company.stacks[1].close(accepted.id);
    company.pass(Duration::from_secs(30));
    assert!(company.stacks.iter().all(|stack| stack.usage().flows == 0), "the end arrives, too");
}

#[test]
fn whoever_listens_alone_is_found() {
    for at in 0..3 {
        let mut company = Company::new(|_| 0);
        let listener = company.listen(at);
        let client = company.connect();
        assert_eq!(company.client.established(&client), Ok(()));
        let accepted = company.stacks[at].accept(&listener).expect("it was found");
        company.talk(&client, at, &accepted.id);
    }
    // In the range of chosen ports, and not by the stack that such a port would be given to.
    for at in 0..3 {
        let mut company = Company::new(|_| 2);
        let local = SocketAddr::from((ANY, 50_000));
        let (listener, _) = company.stacks[at].listen(local, 8, Count::default()).expect("the port is free");
        let there = SocketAddr::from((SERVER, 50_000));
        let _client = company.client.connect(there, Count::default()).expect("there is room");
        company.pass(Duration::from_millis(20));
        assert!(company.stacks[at].accept(&listener).is_ok());
    }
}

#[test]
fn where_nobody_listens_one_stack_refuses() {
    let mut company = Company::new(|frame| frame.len() % 3);
    let client = company.connect();
    assert_eq!(company.client.established(&client), Err(NetError::ConnectionRefused));
}

#[test]
fn datagrams_find_the_stack_that_has_their_port() {
    for steer in [(|_| 0) as Steer, |_| 1, |_| 2] {
        let mut company = Company::new(steer);
        let any = |port| SocketAddr::from((ANY, port));
        let (server, _) = company.stacks[1].bind_udp(any(53), Count::default()).expect("the port is free");
        let (client, from) = company.client.bind_udp(any(0), Count::default()).expect("a port is free");
        company.client.send_to(&client, b"question", SocketAddr::from((SERVER, 53))).expect("there is room");
        company.pass(Duration::from_millis(20));
        let mut buffer = [0; 100];
        let from = SocketAddr::from((CLIENT, from.port()));
        assert_eq!(company.stacks[1].receive_from(&server, &mut buffer), Ok((8, from)));
        // To everyone: each that has the port.
        company.client.set_broadcast(&client, Broadcast::Allowed).expect("it is bound");
        let others = [0, 2].map(|i| company.stacks[i].bind_udp(any(53), Count::default()).expect("it is free here").0);
        company.client.send_to(&client, b"all", SocketAddr::from((EVERYBODY, 53))).expect("there is room");
        company.pass(Duration::from_millis(20));
        // In IPv6 it comes from the link-local address.
        let heard = company.stacks[1].receive_from(&server, &mut buffer).expect("it is to everyone");
        assert_eq!((heard.0, heard.1.port()), (3, from.port()));
        for (index, socket) in [0, 2].into_iter().zip(&others) {
            assert_eq!(company.stacks[index].receive_from(socket, &mut buffer), Ok(heard));
            assert!(company.stacks[index].receive_from(socket, &mut buffer).is_err(), "once");
        }
    }
}

#[test]
fn a_request_for_our_address_is_answered_once_and_teaches_everybody_who_asks() {
    let mut company = Company::new(|_| 1);
    let listener = company.listen(1);
    let client = company.connect();
    let accepted = company.stacks[1].accept(&listener).expect("the handshake is complete");
    company.talk(&client, 1, &accepted.id);
    assert_eq!(company.resolutions, [0, 1], "one reply, and nobody had to ask back");
    let there = SocketAddr::from((CLIENT, PORT));
    let any = SocketAddr::from((ANY, PORT));
    let _listener = company.client.listen(any, 8, Count::default()).expect("the port is free");
    for index in [0, 2] {
        let (opened, _) = company.stacks[index].connect(there, Count::default()).expect("there is room");
        company.pass(Duration::from_millis(20));
        assert_eq!(company.stacks[index].established(&opened), Ok(()));
    }
    assert_eq!(company.resolutions, [0, 1], "everybody knows the client");
}

#[test]
fn the_answer_to_one_stacks_request_teaches_everybody() {
    // Of what the client says the first stack never sees anything but what is carried to it.
    let mut company = Company::new(|_| 2);
    let there = SocketAddr::from((CLIENT, PORT));
    let (opened, _) = company.stacks[0].connect(there, Count::default()).expect("there is room");
    company.pass(Duration::from_millis(100));
    assert_eq!(company.stacks[0].established(&opened), Err(NetError::ConnectionRefused), "nobody listens there");
    let (opened, _) = company.stacks[1].connect(there, Count::default()).expect("there is room");
    company.pass(Duration::from_millis(100));
    assert_eq!(company.stacks[1].established(&opened), Err(NetError::ConnectionRefused));
    assert_eq!(company.resolutions[0], 1, "asked once");
}

#[test]
fn strays_that_nobody_comes_for_are_lost_and_counted() {
    let mut company = Company::new(|_| 0);
    let any = SocketAddr::from((ANY, 0));
    let (client, _) = company.client.bind_udp(any, Count::default()).expect("a port is free");
    company.pass(Duration::from_millis(1));
    for _ in 0..400 {
        company.client.send_to(&client, b"?", SocketAddr::from((SERVER, 53))).expect("there is room");
        for _ in 0..4 {
            let _ = company.client.poll(company.now);
            company.exchange();
            let _ = company.stacks[0].poll(company.now);
        }
    }
    assert_eq!(company.stacks[0].arm(), Armed::WorkPending, "somebody has to come");
    let counters = company.stacks[0].counters();
    assert!(counters.strays >= 400 && counters.strays_lost == counters.strays - 256, "{counters:?}");
    assert_eq!(core::iter::from_fn(|| company.stacks[0].take_stray()).count(), 256);
    assert_eq!(company.stacks[0].arm(), Armed::Idle);
}

#[test]
fn a_group_that_any_stack_is_in_is_received_by_the_device() {
    let mut company = Company::new(|_| 1);
    company.pass(Duration::from_millis(1));
    let receives = |company: &Company| company.pairs[0].from(1).filter.contains(&GROUP_MAC);
    assert!(!receives(&company));
    let local = SocketAddr::new(ANY, 5353);
    let members = [1, 2].map(|index| {
        let (socket, _) = company.stacks[index].bind_udp(local, Count::default()).expect("the port is free here");
        company.stacks[index].join_multicast(&socket, GROUP).expect("there is room");
        company.pass(Duration::from_millis(20));
        assert!(receives(&company));
        (index, socket)
    });
    let (client, _) = company.client.bind_udp(SocketAddr::new(ANY, 0), Count::default()).expect("a port is free");
    company.client.send_to(&client, b"all", SocketAddr::new(GROUP, 5353)).expect("there is room");
    company.pass(Duration::from_millis(20));
    let mut buffer = [0; 8];
    for (left, (index, socket)) in members.into_iter().enumerate() {
        assert!(company.stacks[index].receive_from(&socket, &mut buffer).is_ok(), "wherever it arrived");
        company.stacks[index].close_udp(socket);
        company.pass(Duration::from_millis(20));
        assert_eq!(receives(&company), left == 0);
    }
}
