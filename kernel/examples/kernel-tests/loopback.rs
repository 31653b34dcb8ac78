//! Every core talks to itself, over TCP and UDP, whether it has a network device or not.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use toro::core as cores;
use toro::io::{ErrorKind, Read, Write};
use toro::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use toro::thread;
use toro::time::Duration;

/// Connections at once. An image that is not optimised takes ten times as long, and who has closed waits for the last
/// acknowledgement for some seconds only.
const CONNECTIONS: usize = if cfg!(debug_assertions) { 2 } else { 8 };
/// Bytes that each of them carries, both ways: more than all buffers hold, and so little that eight cores, which do this at
/// once and have all the bytes three times, find the memory for it.
const BYTES: usize = 512 << 10;
/// How long any one call may take.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// Does it on all cores at once.
pub fn run() {
    thread::scope(|scope| {
        for core in cores::all() {
            scope.spawn_on(core, on_this_core).expect("memory for a thread");
        }
    });
}

fn on_this_core() {
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        streams(address);
        datagrams(address);
    }
    let nobody = TcpStream::connect((Ipv4Addr::LOCALHOST, 9)).map(drop);
    assert_eq!(nobody.expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
}

/// What number `number` of the connections carries.
fn pattern(number: usize) -> Vec<u8> {
    (0..BYTES).map(|at| (at ^ (at >> 8) ^ (at >> 16) ^ number) as u8).collect()
}

fn streams(address: IpAddr) {
    let listener = TcpListener::bind(SocketAddr::new(address, 0)).expect("a free port");
    let there = listener.local_addr().expect("it is bound");
    let echo = thread::spawn(move || {
        for _ in 0..CONNECTIONS {
            let (stream, _) = listener.accept().expect("there are so many");
            thread::spawn(move || echo(&stream));
        }
    });
    let clients: Vec<_> = (0..CONNECTIONS).map(|number| thread::spawn(move || client(there, number))).collect();
    for client in clients {
        let Ok(()) = client.join();
    }
    let Ok(()) = echo.join();
}

fn echo(mut stream: &TcpStream) {
    let mut buffer = vec![0; 10_000];
    loop {
        match stream.read(&mut buffer).expect("it is not broken off") {
            0 => return,
            len => stream.write_all(&buffer[..len]).expect("it is read"),
        }
    }
}

fn client(there: SocketAddr, number: usize) {
    let stream = TcpStream::connect(there).expect("somebody listens");
    stream.set_read_timeout(PATIENCE).expect("it is not zero");
    stream.set_write_timeout(PATIENCE).expect("it is not zero");
    assert_eq!(stream.peer_addr().expect("it is connected"), there);
    assert_eq!(stream.local_addr().expect("it is connected").ip(), there.ip());
    let bytes = pattern(number);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut out = &stream;
            out.write_all(&bytes).expect("it is read");
            out.shutdown(Shutdown::Write).expect("it is open");
        });
        let (mut input, mut received) = (&stream, Vec::new());
        input.read_to_end(&mut received).expect("it comes back");
        assert!(received == bytes, "{} of {BYTES} bytes came back, or others", received.len());
    });
}

fn datagrams(address: IpAddr) {
    let bind = || UdpSocket::bind(SocketAddr::new(address, 0)).expect("a free port");
    let (one, other) = (bind(), bind());
    other.set_read_timeout(PATIENCE).expect("it is not zero");
    let there = other.local_addr().expect("it is bound");
    let mut buffer = [0; 4000];
    for len in [0, 1, 1472, 1473, 4000] {
        let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
        assert_eq!(one.send_to(&bytes, there).expect("there is a way"), len);
        let (received, from) = other.recv_from(&mut buffer).expect("it arrives");
        assert_eq!((received, from), (len, one.local_addr().expect("it is bound")));
        assert_eq!(buffer[..len], bytes);
    }
}
