//! Peers of another make: smoltcp by itself, with ports and sequence numbers that a test can choose.

use smoltcp::iface::{Config as InterfaceConfig, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, IpEndpoint};

use super::*;
use crate::net::port::Port;

/// An ordinary user of smoltcp.
struct Peer {
    interface: Interface,
    port: Port,
    set: SocketSet<'static>,
}

impl Peer {
    fn new(end: CableEnd, seed: u64) -> Self {
        let mut port = Port::new(Box::new(end));
        let mut config = InterfaceConfig::new(HardwareAddress::Ethernet(EthernetAddress(port.mac().0)));
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut port, SmolInstant::ZERO);
        interface.update_ip_addrs(|list| list.push(IpCidr::new(CLIENT.into(), 24)).expect("one fits"));
        Self { interface, port, set: SocketSet::new(Vec::new()) }
    }

    fn connect(&mut self, from: u16) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(alloc::vec![0; 8192]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        let there = IpEndpoint::new(SERVER.into(), PORT);
        socket.connect(self.interface.context(), there, from).expect("the socket is closed");
        self.set.add(socket)
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.set.get_mut(handle)
    }

    fn poll(&mut self, now: Instant) {
        let at = SmolInstant::from_micros((now.as_nanos() / 1000) as i64);
        self.port.fetch();
        while let Some(frame) = self.port.receive_frame() {
            self.port.offer(frame);
            let _ = self.interface.poll_ingress_single(at, &mut self.port, &mut self.set);
        }
        let _ = self.interface.poll(at, &mut self.port, &mut self.set);
        self.port.flush();
    }
}

struct Pair {
    server: Stack<Count>,
    peer: Peer,
    cable: Cable,
    now: Instant,
}

impl Pair {
    fn new() -> (Self, ListenerId) {
        let (cable, client_end, server_end) = Cable::new();
        let now = Instant::from_nanos(5_000_000_000);
        let mut server = Stack::new(Box::new(server_end), fixed(SERVER), Count::default(), now);
        let any = SocketAddr::from((ANY, PORT));
        let (listener, _) = server.listen(any, 8, Count::default()).expect("the port is free");
        (Self { server, peer: Peer::new(client_end, 1), cable, now }, listener)
    }

    /// Lets time pass in steps of a millisecond.
    fn pass(&mut self, millis: u64) {
        for _ in 0..=millis {
            for _ in 0..6 {
                self.peer.poll(self.now);
                let _ = self.server.poll(self.now);
            }
            self.now = self.now.saturating_add(Duration::from_millis(1));
        }
    }

    /// A connection that the server has closed first, so that it waits.
    fn server_closes_first(&mut self, listener: &ListenerId, port: u16) -> SocketHandle {
        let client = self.peer.connect(port);
        self.pass(5);
        let server = self.server.accept(listener).expect("the handshake is complete").id;
        self.server.close(server);
        self.pass(5);
        assert_eq!(self.peer.socket(client).state(), tcp::State::CloseWait);
        self.peer.socket(client).close();
        client
    }
}

#[test]
fn a_lost_last_acknowledgement_is_given_again_by_a_time_wait_entry() {
    let (mut pair, listener) = Pair::new();
    let client = pair.server_closes_first(&listener, 50_000);
    // The acknowledgement of the client's FIN is the next thing that leaves the server.
    pair.cable.from(1).lose_if = Some(Box::new(|_| true));
    pair.pass(20);
    assert_eq!(pair.server.usage().pooled_in_use, 0, "the socket is free already");
    assert_eq!(pair.server.usage().flows, 1, "and remembered");
    assert_eq!(pair.peer.socket(client).state(), tcp::State::LastAck);
    pair.cable.from(1).lose_if = None;
    pair.pass(2_000);
    assert_eq!(pair.peer.socket(client).state(), tcp::State::Closed);
    // The peer's second FIN started the time again.
    pair.pass(8_000);
    assert_eq!(pair.server.usage().flows, 1);
    pair.pass(2_000);
    assert_eq!(pair.server.usage().flows, 0);
}

#[test]
fn a_new_connection_may_follow_on_the_same_ports_during_time_wait() {
    let (mut pair, listener) = Pair::new();
    // The peer's sequence numbers are random; in a dozen attempts some are later, some earlier than before. An
    // earlier one is answered with an acknowledgement, on which the peer resets the old connection.
    for _ in 0..12 {
        pair.server_closes_first(&listener, 50_000);
        pair.pass(20);
        assert_eq!(pair.server.usage().flows, 1);
        let again = pair.peer.connect(50_000);
        pair.pass(3_000);
        assert_eq!(pair.peer.socket(again).state(), tcp::State::Established);
        let server = pair.server.accept(&listener).expect("the handshake is complete").id;
        pair.peer.socket(again).abort();
        pair.pass(5);
        pair.server.close(server);
        pair.pass(5);
        assert_eq!(pair.server.usage().pooled_in_use, 0);
        assert_eq!(pair.server.usage().flows, 0);
    }
}

#[test]
fn a_peer_that_restarted_gets_through_on_the_ports_of_its_former_life() {
    let (mut pair, listener) = Pair::new();
    let client = pair.peer.connect(50_000);
    pair.pass(5);
    assert_eq!(pair.peer.socket(client).state(), tcp::State::Established);
    let old = pair.server.accept(&listener).expect("the handshake is complete").id;
    pair.peer.set.remove(client);
    let again = pair.peer.connect(50_000);
    pair.pass(5_000);
    assert_eq!(pair.peer.socket(again).state(), tcp::State::Established);
    let mut buffer = [0; 4];
    assert_eq!(pair.server.receive(&old, &mut buffer), Err(NetError::ConnectionReset));
    assert!(pair.server.accept(&listener).is_ok());
}

#[test]
fn a_plain_smoltcp_client_exchanges_data_with_the_stack() {
    let (mut pair, listener) = Pair::new();
    let client = pair.peer.connect(50_000);
    pair.pass(5);
    let server = pair.server.accept(&listener).expect("the handshake is complete");
    assert_eq!(server.remote, SocketAddr::from((CLIENT, 50_000)));
    let bytes = pattern(100_000);
    let (mut sent, mut received) = (0, Vec::new());
    while received.len() < bytes.len() {
        sent += pair.server.send(&server.id, &bytes[sent..]).unwrap_or(0);
        pair.pass(1);
        let mut buffer = [0; 4000];
        let len = pair.peer.socket(client).recv_slice(&mut buffer).expect("it is open");
        received.extend_from_slice(&buffer[..len]);
        if sent == bytes.len() && received.len() == sent {
            break;
        }
    }
    assert_eq!(received, bytes);
}
