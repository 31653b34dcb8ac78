//! The limits that the command line sets: `net.sockets=6 net.udp-sockets=2 net.descriptors=5`, and what it leaves to the
//! application.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use toro::io::ErrorKind;
use toro::net::{self, Limits, TcpListener, TcpStream, UdpSocket};
use toro::socket::{AF_INET, EMFILE, SOCK_STREAM, socket};
use toro::thread;

use super::{SHORT, here, pair, through};

pub fn run() {
    let listener = TcpListener::bind(here()).expect("the port is free");
    // Both ends are this machine's.
    let pairs: Vec<_> = (0..3).map(|_| pair(&listener)).collect();
    let error = TcpStream::connect(through()).expect_err("there are six");
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    let any = (Ipv4Addr::UNSPECIFIED, 0);
    let bind = || UdpSocket::bind(any);
    let (first, _second) = (bind().expect("the first"), bind().expect("the second"));
    assert_eq!(bind().expect_err("there are two").kind(), ErrorKind::QuotaExceeded);
    drop(first);
    let _third = bind().expect("one has gone");

    let mut descriptors = Vec::new();
    let error = loop {
        match socket(AF_INET, SOCK_STREAM, 0) {
            Ok(socket) => descriptors.push(socket),
            Err(error) => break error,
        }
    };
    assert_eq!((descriptors.len(), error.raw_os_error()), (5, Some(EMFILE)));

    // What the command line says stays; what it does not say is the application's.
    net::set_limits(Limits { tcp_sockets: 100, udp_sockets: 100, half_open: 100, backlog: 1 });
    assert_eq!(bind().expect_err("there are two").kind(), ErrorKind::QuotaExceeded);
    assert_eq!(TcpStream::connect(through()).expect_err("there are six").kind(), ErrorKind::QuotaExceeded);
    // A connection that has ended makes room.
    for (client, server) in pairs {
        client.abort();
        server.abort();
    }
    // Their resets leave when this thread waits.
    thread::sleep(SHORT);
    drop(listener);
    let listener = TcpListener::bind(here()).expect("the port is free");
    let _one = TcpStream::connect(through()).expect("the backlog is one");
    let more = TcpStream::connect_timeout(&through(), SHORT * 3);
    assert_eq!(more.expect_err("the backlog is full").kind(), ErrorKind::TimedOut);
    let _server = listener.accept().expect("the first one waits");
    let _two = TcpStream::connect(through()).expect("there is room again");
}
