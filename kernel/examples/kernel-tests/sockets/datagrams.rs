//! Datagrams from this machine to itself.

use core::net::{Ipv4Addr, SocketAddr};

use toro::io::ErrorKind;
use toro::net::{PollEntry, Readiness, UdpSocket, poll};
use toro::time::Instant;

use super::{LONG, SHORT, here, through};

pub fn run() {
    let server = UdpSocket::bind(here()).expect("the port is free");
    let client = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port is free");
    assert_eq!(client.send(b"x").expect_err("there is no peer").kind(), ErrorKind::NotConnected);
    assert_eq!(client.peer_addr().expect_err("there is no peer").kind(), ErrorKind::NotConnected);

    server.set_nonblocking(true).expect("always");
    assert_eq!(server.recv_from(&mut [0; 8]).expect_err("nothing is there").kind(), ErrorKind::WouldBlock);
    server.set_nonblocking(false).expect("always");
    server.set_read_timeout(Some(SHORT)).expect("it is not zero");
    let start = Instant::now();
    assert_eq!(server.recv_from(&mut [0; 8]).expect_err("nothing is there").kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= SHORT);
    server.set_read_timeout(None).expect("always");

    client.connect(through()).expect("there is a way");
    assert_eq!(client.peer_addr().ok(), Some(through()));
    let mut buffer = [0; 16];
    for text in [&b"question"[..], b""] {
        assert_eq!(client.send(text).ok(), Some(text.len()));
        let mut entries = [PollEntry::new(&server, Readiness::READABLE), PollEntry::new(&client, Readiness::READABLE)];
        assert_eq!(poll(&mut entries, Some(LONG)).ok(), Some(1));
        assert_eq!(entries[0].found(), Readiness::READABLE);
        let (len, from) = server.peek_from(&mut buffer).expect("it was ready");
        assert_eq!(&buffer[..len], text);
        assert_eq!(server.recv_from(&mut buffer).ok(), Some((len, from)));
        assert_eq!(server.send_to(b"answer", from).ok(), Some(6));
        assert_eq!(client.recv(&mut buffer).ok(), Some(6));
        assert_eq!(&buffer[..6], b"answer");
    }

    assert_eq!(client.broadcast().ok(), Some(false));
    let everybody = SocketAddr::from((Ipv4Addr::BROADCAST, 9));
    let refused = client.send_to(b"all", everybody).expect_err("it may not");
    // Without a network there is no everybody.
    assert!([ErrorKind::PermissionDenied, ErrorKind::NetworkUnreachable].contains(&refused.kind()), "{refused}");
    client.set_broadcast(true).expect("always");
    assert_eq!(client.broadcast().ok(), Some(true));
    client.set_ttl(3).expect("it can be that");
    assert_eq!(client.ttl().ok(), Some(3));
    assert!(client.take_error().expect("always").is_none());
}
