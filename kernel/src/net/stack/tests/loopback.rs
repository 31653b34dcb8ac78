//! A host that talks to itself.

use toro_core::driver::DeviceFault;

use super::*;
use crate::net::configuration::Configuration;
use crate::net::loopback::MOST_PACKETS;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const OTHER_LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 1, 2, 3));
const OWN: IpAddr = V4::SERVER;

/// A stack whose other end of the cable nobody holds.
struct Hermit {
    stack: Stack<Count>,
    cable: Cable,
    now: Instant,
}

impl Hermit {
    fn new() -> Self {
        Self::with(fixed(OWN))
    }

    fn with(config: Config) -> Self {
        let (cable, end, _) = Cable::new();
        let now = Instant::from_nanos(5_000_000_000);
        let mut hermit = Self { stack: Stack::new(Box::new(end), config, Count::default(), now), cable, now };
        hermit.settle();
        while hermit.cable.take_from(0).is_some() {}
        hermit
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.stack.poll(self.now) == Activity::None {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now.saturating_add(duration);
        self.settle();
        while let Some(next) = self.stack.next_deadline().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    fn listen(&mut self, address: IpAddr) -> ListenerId {
        self.stack.listen(SocketAddr::new(address, PORT), 8, Count::default()).expect("the port is free").0
    }

    fn connect(&mut self, address: IpAddr) -> (ConnectionId, SocketAddr) {
        self.stack.connect(SocketAddr::new(address, PORT), Count::default()).expect("there is a way")
    }

    /// A connection from both sides, without any time passing.
    fn pair(&mut self, listener: &ListenerId, address: IpAddr) -> (ConnectionId, Accepted<Count>) {
        let (client, local) = self.connect(address);
        self.settle();
        assert_eq!(self.stack.established(&client), Ok(()), "{address}");
        let accepted = self.stack.accept(listener).expect("the handshake is complete");
        assert_eq!((accepted.remote, accepted.local), (local, SocketAddr::new(address, PORT)));
        (client, accepted)
    }

    /// Sends `bytes` one way while no time passes, until all have arrived.
    fn transfer(&mut self, bytes: &[u8], from: &ConnectionId, into: &ConnectionId) {
        let (mut sent, mut received, mut buffer) = (0, Vec::new(), alloc::vec![0; 10_000]);
        for _ in 0..10_000 {
            match self.stack.send(from, &bytes[sent..]) {
                Ok(len) => sent += len,
                Err(error) => assert!(error == NetError::WouldBlock || sent == bytes.len(), "{error}"),
            }
            self.settle();
            while let Ok(len) = self.stack.receive(into, &mut buffer) {
                received.extend_from_slice(&buffer[..len]);
            }
            if received.len() == bytes.len() {
                assert_eq!(received, bytes);
                return;
            }
        }
        panic!("{} of {} bytes have arrived", received.len(), bytes.len());
    }

    fn udp(&mut self, address: IpAddr, port: u16) -> (UdpId, SocketAddr) {
        self.stack.bind_udp(SocketAddr::new(address, port), Count::default()).expect("the port is free")
    }

    /// Nothing has left by the wire.
    fn assert_silent(&mut self) {
        assert_eq!(self.cable.take_from(0), None);
    }
}

#[test]
fn every_address_of_ours_leads_to_our_listeners_and_nothing_leaves_by_the_wire() {
    let mut hermit = Hermit::new();
    let any = hermit.listen(Ipv4Addr::UNSPECIFIED.into());
    let bytes = pattern(300_000);
    for (address, source) in
        [(LOCALHOST, LOCALHOST), (OTHER_LOCALHOST, LOCALHOST), (OWN, OWN), (LOCALHOST6, LOCALHOST6)]
    {
        // The unspecified address of IPv4 may or may not stand for IPv6 as well.
        let Ok((client, local)) = hermit.stack.connect(SocketAddr::new(address, PORT), Count::default()) else {
            panic!("no way to {address}");
        };
        assert_eq!(local.ip(), source);
        hermit.settle();
        if address == LOCALHOST6 && hermit.stack.established(&client) == Err(NetError::ConnectionRefused) {
            continue;
        }
        let server = hermit.stack.accept(&any).expect("the handshake is complete").id;
        hermit.transfer(&bytes, &client, &server);
        hermit.transfer(&bytes, &server, &client);
        hermit.stack.close(client);
        hermit.settle();
        assert_eq!(hermit.stack.receive(&server, &mut [0; 1]), Ok(0), "the end of the stream");
        hermit.stack.close(server);
        hermit.pass(Duration::from_secs(1));
        assert_eq!((hermit.stack.usage().sockets, hermit.stack.usage().flows), (0, 0), "nothing is left of it");
    }
    hermit.assert_silent();
}

#[test]
fn ipv6_has_a_loopback_of_its_own() {
    let mut hermit = Hermit::new();
    let listener = hermit.listen(LOCALHOST6);
    let (client, server) = hermit.pair(&listener, LOCALHOST6);
    hermit.transfer(&pattern(100_000), &client, &server.id);
    hermit.assert_silent();
}

#[test]
fn listeners_on_one_address_do_not_hear_the_others() {
    let mut hermit = Hermit::new();
    let listener = hermit.listen(LOCALHOST);
    for address in [OWN, OTHER_LOCALHOST, LOCALHOST6] {
        let (client, _) = hermit.connect(address);
        hermit.settle();
        assert_eq!(hermit.stack.established(&client), Err(NetError::ConnectionRefused), "{address}");
    }
    hermit.pair(&listener, LOCALHOST);
    hermit.assert_silent();
}

#[test]
fn a_connection_to_itself_is_impossible_by_its_port() {
    let mut hermit = Hermit::new();
    let (id, local) = hermit.stack.reserve(SocketAddr::new(LOCALHOST, 0), Count::default()).expect("a port is free");
    let refused = hermit.stack.connect_from(&id, local, Count::default());
    assert_eq!(refused.map(drop), Err(NetError::AddressInUse));
}

#[test]
fn loopback_needs_no_address_and_no_wire() {
    let mut hermit = Hermit::with(Config { addressing: Addressing::Shared, ..Config::default() });
    let listener = hermit.listen(LOCALHOST);
    let (client, server) = hermit.pair(&listener, LOCALHOST);
    hermit.transfer(&pattern(50_000), &client, &server.id);
    let nowhere = hermit.stack.connect(SocketAddr::new(OWN, PORT), Count::default());
    assert_eq!(nowhere.map(drop), Err(NetError::NetworkUnreachable));
}

#[test]
fn what_nobody_reads_fills_the_buffers_and_no_more() {
    let mut hermit = Hermit::with(Config { memory: 64 << 20, ..fixed(OWN) });
    let listener = hermit.listen(LOCALHOST);
    let pairs: Vec<_> = (0..200).map(|_| hermit.pair(&listener, LOCALHOST)).collect();
    for _ in 0..20 {
        for (client, _) in &pairs {
            while hermit.stack.send(client, &[7; 60_000]).is_ok() {}
        }
        let before = hermit.stack.loopback.waiting();
        let _ = hermit.stack.poll(hermit.now);
        let waiting = hermit.stack.loopback.waiting();
        assert!(waiting <= MOST_PACKETS && before <= MOST_PACKETS, "{before}, then {waiting} packets wait");
    }
    hermit.settle();
    // All of it can still be read.
    let mut buffer = alloc::vec![0; 1 << 20];
    for (_, server) in &pairs {
        assert!(matches!(hermit.stack.receive(&server.id, &mut buffer), Ok(1..)));
    }
    hermit.settle();
}

#[test]
fn a_poll_lets_a_bounded_number_of_packets_come_back() {
    let mut hermit = Hermit::new();
    let listener = hermit.listen(LOCALHOST);
    for _ in 0..100 {
        hermit.connect(LOCALHOST);
    }
    let mut polls = 0;
    while hermit.stack.poll(hermit.now) == Activity::Some {
        polls += 1;
    }
    // Three segments for each handshake that the backlog of 8 has room for, one for each other.
    assert!(polls > 1, "{polls}");
    assert!(hermit.stack.accept(&listener).is_ok());
}

#[test]
fn a_full_backlog_is_tried_again_over_loopback() {
    let mut hermit = Hermit::new();
    let listener = hermit.stack.listen(SocketAddr::new(LOCALHOST, PORT), 1, Count::default()).expect("it is free").0;
    let (first, second) = (hermit.connect(LOCALHOST).0, hermit.connect(LOCALHOST).0);
    hermit.settle();
    assert_eq!(hermit.stack.established(&first), Ok(()));
    assert_eq!(hermit.stack.established(&second), Err(NetError::WouldBlock));
    assert!(hermit.stack.accept(&listener).is_ok());
    hermit.pass(Duration::from_secs(3));
    assert_eq!(hermit.stack.established(&second), Ok(()));
    assert!(hermit.stack.accept(&listener).is_ok());
}

#[test]
fn a_lost_address_ends_its_own_connections_only() {
    let shared = Config { addressing: Addressing::Shared, ..Config::default() };
    let mut hermit = Hermit::with(shared);
    let ipv4 = Some(StaticAddress { address: SERVER, prefix: 24, gateway: None });
    hermit.stack.set_configuration(&Configuration { ipv4, ..Configuration::default() });
    let listener = hermit.listen(Ipv4Addr::UNSPECIFIED.into());
    let (stays, _stays) = hermit.pair(&listener, LOCALHOST);
    let (ends, _ends) = hermit.pair(&listener, OWN);
    hermit.stack.set_configuration(&Configuration::default());
    hermit.settle();
    assert_eq!(hermit.stack.receive(&ends, &mut [0; 1]), Err(NetError::NetworkDown));
    assert_eq!(hermit.stack.receive(&stays, &mut [0; 1]), Err(NetError::WouldBlock));
}

#[test]
fn a_fault_of_the_device_ends_these_connections_too() {
    let mut hermit = Hermit::new();
    let listener = hermit.listen(LOCALHOST);
    let (client, _server) = hermit.pair(&listener, LOCALHOST);
    hermit.cable.from(0).fault = Some(DeviceFault::UsedIdOutOfRange { id: 99 });
    hermit.settle();
    assert_eq!(hermit.stack.receive(&client, &mut [0; 1]), Err(NetError::NetworkDown));
}

#[test]
fn datagrams_come_back_from_the_address_that_they_went_to() {
    for (any, ways) in [
        (Ipv4Addr::UNSPECIFIED.into(), &[(LOCALHOST, LOCALHOST), (OTHER_LOCALHOST, LOCALHOST), (OWN, OWN)][..]),
        (Ipv6Addr::UNSPECIFIED.into(), &[(LOCALHOST6, LOCALHOST6)]),
    ] {
        let mut hermit = Hermit::new();
        let (server, _) = hermit.udp(any, 53);
        let (client, from) = hermit.udp(any, 0);
        let mut buffer = [0; 2000];
        for (&(address, source), len) in ways.iter().flat_map(|way| [0, 1, 1999].map(|len| (way, len))) {
            let bytes = pattern(len);
            assert_eq!(hermit.stack.send_to(&client, &bytes, SocketAddr::new(address, 53)), Ok(()));
            let received = hermit.stack.receive_from(&server, &mut buffer);
            assert_eq!(received, Ok((len, SocketAddr::new(source, from.port()))), "{address}");
            assert_eq!(buffer[..len], bytes);
        }
        hermit.settle();
        hermit.assert_silent();
    }
}

#[test]
fn datagrams_that_nobody_wants_or_has_room_for_are_lost() {
    let mut hermit = Hermit::new();
    let (client, _) = hermit.udp(LOCALHOST, 0);
    assert_eq!(hermit.stack.send_to(&client, b"nobody", SocketAddr::new(LOCALHOST, 9)), Ok(()));
    let (server, _) = hermit.udp(LOCALHOST, 9);
    for number in 0..200_u8 {
        assert_eq!(hermit.stack.send_to(&client, &[number; 1000], SocketAddr::new(LOCALHOST, 9)), Ok(()));
    }
    let mut buffer = [0; 2000];
    for number in 0..30 {
        let received = hermit.stack.receive_from(&server, &mut buffer).map(|(len, _)| len);
        assert_eq!((received, buffer[0]), (Ok(1000), number), "the oldest stay");
    }
    let too_long = hermit.stack.send_to(&client, &[0; 20_000], SocketAddr::new(LOCALHOST, 9));
    assert_eq!(too_long, Err(NetError::MessageTooLong));
    hermit.settle();
    hermit.assert_silent();
}

#[test]
fn a_socket_of_loopback_does_not_speak_on_the_wire() {
    let mut hermit = Hermit::new();
    let (socket, _) = hermit.udp(LOCALHOST, 0);
    let sent = hermit.stack.send_to(&socket, b"x", SocketAddr::new(V4::CLIENT, 9));
    assert_eq!(sent, Err(NetError::NetworkUnreachable));
    hermit.settle();
    hermit.assert_silent();
}

#[test]
fn loopback_addresses_are_not_believed_on_the_wire() {
    // A frame of a real client, with one of its addresses changed.
    let mut world = World::<V4>::new();
    let _listener = world.listen(8);
    world.client.connect(SocketAddr::new(OWN, PORT), Count::default()).expect("there is room");
    world.cable.from(0).full = false;
    let mut syn = None;
    for _ in 0..10 {
        let _ = world.client.poll(world.now);
        while let Some(frame) = world.cable.take_from(0) {
            if frame[12..14] == [8, 0] {
                syn = Some(frame);
            } else {
                world.cable.inject(0, &frame);
            }
            if syn.is_some() {
                break;
            }
            let _ = world.server.poll(world.now);
            let _ = world.client.poll(world.now);
        }
    }
    let syn = syn.expect("it says SYN");
    let (source, destination) = (26..30, 30..34);
    for (place, address) in [(source.clone(), [127, 0, 0, 1]), (destination, [127, 0, 0, 1]), (source, [10, 0, 2, 15])]
    {
        let mut forged = syn.clone();
        let old = forged[place.clone()].to_vec();
        forged[place].copy_from_slice(&address);
        // Both checksums are sums: what changes in one place can be made good in another.
        for field in [24, 50] {
            fix_checksum(&mut forged, field, &old, &address);
        }
        let answers = world.cable.from(1).count;
        world.cable.inject(0, &forged);
        let _ = world.server.poll(world.now);
        assert_eq!(world.server.usage().sockets, 0, "{address:?}");
        assert_eq!(world.cable.from(1).count, answers, "{address:?}");
    }
    // As it was, it would have been believed.
    world.cable.inject(0, &syn);
    let _ = world.server.poll(world.now);
    assert_eq!(world.server.usage().sockets, 1);
}

/// Corrects an Internet checksum for four bytes that have changed (RFC 1624).
fn fix_checksum(frame: &mut [u8], at: usize, old: &[u8], new: &[u8]) {
    let word = |bytes: &[u8], at: usize| u32::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let mut sum = 0xffff - word(frame, at);
    for place in [0, 2] {
        sum += (0xffff - word(old, place)) + word(new, place);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}
