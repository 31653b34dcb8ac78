//! Calls that do not wait, that wait for a while, and that wait until there is room.

use alloc::vec;
use alloc::vec::Vec;

use toro::io::{ErrorKind, IoSlice, IoSliceMut};
use toro::net::{Shutdown, TcpListener, TcpStream};
use toro::thread;
use toro::time::{Duration, Instant};

use super::{LONG, SHORT, listen, pair, through};

pub fn nonblocking() {
    let listener = listen();
    listener.set_nonblocking(true).expect("always");
    assert_eq!(listener.accept().expect_err("nobody is there").kind(), ErrorKind::WouldBlock);
    let client = TcpStream::connect(through()).expect("somebody listens");
    let server = loop {
        match listener.accept() {
            Ok((server, _)) => break server,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    };
    client.set_nonblocking(true).expect("always");
    assert_eq!(client.read(&mut [0; 8]).expect_err("nothing is there").kind(), ErrorKind::WouldBlock);
    assert_eq!(client.peek(&mut [0; 8]).expect_err("nothing is there").kind(), ErrorKind::WouldBlock);
    server.write(b"answer").expect("there is room");
    // Only trying lets the network work all the same.
    let mut buffer = [0; 8];
    let len = loop {
        match client.read(&mut buffer) {
            Ok(len) => break len,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    };
    assert!(b"answer".starts_with(&buffer[..len]) && len > 0);
    client.set_nonblocking(false).expect("always");
    client.set_read_timeout(Some(SHORT)).expect("it is not zero");
    let rest = client.read(&mut buffer).map_or_else(|error| error.kind(), |_| ErrorKind::TimedOut);
    assert_eq!(rest, ErrorKind::TimedOut, "it waits again");
}

/// What takes at least `least`, and answers that the time is over.
fn takes(least: Duration, call: impl FnOnce() -> ErrorKind) {
    let start = Instant::now();
    assert_eq!(call(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= least, "{:?}", start.elapsed());
}

pub fn timeouts() {
    let listener = listen();
    listener.set_timeout(Some(SHORT)).expect("it is not zero");
    assert!(listener.set_timeout(Some(Duration::ZERO)).is_err());
    takes(SHORT, || listener.accept().expect_err("nobody is there").kind());
    listener.set_timeout(None).expect("always");
    let (client, server) = pair(&listener);
    client.set_read_timeout(Some(SHORT)).expect("it is not zero");
    assert_eq!(client.read_timeout().ok(), Some(Some(SHORT)));
    // Other threads run meanwhile.
    let other = thread::spawn(|| {
        let start = Instant::now();
        thread::sleep(SHORT / 4);
        start.elapsed()
    });
    takes(SHORT, || client.read(&mut [0; 8]).expect_err("nothing is there").kind());
    takes(SHORT, || client.peek(&mut [0; 8]).expect_err("nothing is there").kind());
    assert!(other.is_finished(), "who waits does not keep others from running");
    let Ok(elapsed) = other.join();
    assert!(elapsed >= SHORT / 4);
    // Nobody reads: some time there is no room.
    server.set_write_timeout(Some(SHORT)).expect("it is not zero");
    let error = loop {
        if let Err(error) = server.write(&[7; 8192]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    server.set_nonblocking(true).expect("always");
    assert_eq!(server.write(&[7; 8192]).expect_err("there is no room").kind(), ErrorKind::WouldBlock);
}

pub fn failures() {
    let mut closed = through();
    closed.set_port(1);
    assert_eq!(TcpStream::connect(closed).expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
    let (_, port0) = (closed.set_port(0), closed);
    assert_eq!(TcpStream::connect(port0).expect_err("there is no such port").kind(), ErrorKind::InvalidInput);
    let taken = listen();
    let again = TcpListener::bind(super::here());
    assert_eq!(again.expect_err("the port is taken").kind(), ErrorKind::AddrInUse);
    drop(taken);
    if !through().ip().is_loopback() {
        // Nobody has this address.
        let nobody = "10.0.2.77:80".parse().expect("an address");
        takes(SHORT, || TcpStream::connect_timeout(&nobody, SHORT).expect_err("nobody is there").kind());
    }
}

pub fn pieces() {
    let listener = listen();
    let (client, server) = pair(&listener);
    let pieces = [IoSlice::new(b"one, "), IoSlice::new(b""), IoSlice::new(b"two, "), IoSlice::new(b"three")];
    assert_eq!(client.write_vectored(&pieces).expect("there is room"), 15);
    client.shutdown(Shutdown::Write).expect("it is open");
    let mut received = Vec::new();
    loop {
        let (mut first, mut second) = ([0; 3], [0; 4]);
        let mut look = [0; 7];
        let seen = server.peek(&mut look).expect("bytes or the end");
        let mut pieces = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let len = server.read_vectored(&mut pieces).expect("bytes or the end");
        assert!(len >= seen, "what was seen is there");
        if len == 0 {
            break;
        }
        let both = [&first[..], &second[..]].concat();
        assert_eq!(both[..seen], look[..seen]);
        received.extend_from_slice(&both[..len]);
    }
    assert_eq!(received, b"one, two, three");
}

/// Two megabytes to somebody who reads slowly, in odd pieces: every byte arrives, in order.
pub fn back_pressure() {
    const LEN: usize = 2_000_000;
    let byte = |at: usize| (at ^ (at >> 8) ^ (at >> 16)) as u8;
    let listener = listen();
    let (client, server) = pair(&listener);
    let writer = thread::spawn(move || {
        let mut sent = 0;
        let mut piece = vec![0; 10_000];
        while sent < LEN {
            let len = piece.len().min(LEN - sent);
            piece[..len].iter_mut().enumerate().for_each(|(index, into)| *into = byte(sent + index));
            let mut written = 0;
            while written < len {
                written += client.write(&piece[written..len]).expect("the peer reads");
            }
            sent += len;
        }
    });
    server.set_read_timeout(Some(LONG)).expect("it is not zero");
    let mut received = 0;
    let mut buffer = vec![0; 4999];
    loop {
        let len = server.read(&mut buffer).expect("bytes or the end");
        if len == 0 {
            break;
        }
        assert!(buffer[..len].iter().enumerate().all(|(index, &found)| found == byte(received + index)));
        received += len;
        if received / 100_000 != (received - len) / 100_000 {
            thread::sleep(Duration::from_millis(5));
        }
    }
    assert_eq!(received, LEN);
    let Ok(()) = writer.join();
}
