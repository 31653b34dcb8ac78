//! Ends of connections, and their beginnings.

use alloc::vec;

use toro::io::ErrorKind;
use toro::net::{KeepAlive, Linger, Shutdown, TcpStream};
use toro::thread;
use toro::time::{Duration, Instant};

use super::{LONG, SHORT, listen, pair, through};

pub fn halves() {
    let listener = listen();
    let (client, server) = pair(&listener);
    client.write(b"question").expect("there is room");
    client.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(client.write(b"more").expect_err("this half is closed").kind(), ErrorKind::BrokenPipe);
    let mut heard = vec![];
    let mut buffer = [0; 5];
    while let len @ 1.. = server.read(&mut buffer).expect("bytes or the end") {
        heard.extend_from_slice(&buffer[..len]);
    }
    assert_eq!(heard, b"question");
    server.write(b"answer").expect("the other half is open");
    drop(server);
    let mut heard = vec![];
    while let len @ 1.. = client.read(&mut buffer).expect("bytes or the end") {
        heard.extend_from_slice(&buffer[..len]);
    }
    assert_eq!(heard, b"answer");
    assert!(client.take_error().expect("always").is_none());
}

pub fn linger() {
    let listener = listen();
    // Somebody who takes everything: closing waits for that, and no longer.
    let (client, server) = pair(&listener);
    assert_eq!(client.linger().ok(), Some(Linger::Background));
    client.set_linger(Linger::AtMost(LONG)).expect("always");
    client.write(b"last words").expect("there is room");
    let reader = thread::spawn(move || {
        let mut heard = vec![];
        let mut buffer = [0; 16];
        while let len @ 1.. = server.read(&mut buffer).expect("bytes or the end") {
            heard.extend_from_slice(&buffer[..len]);
        }
        heard
    });
    drop(client);
    let Ok(heard) = reader.join();
    assert_eq!(heard, b"last words");

    // Somebody who takes nothing: closing waits as long as it may, then breaks the connection off.
    let (client, server) = pair(&listener);
    let time = Duration::from_millis(300);
    client.set_linger(Linger::AtMost(time)).expect("always");
    client.set_write_timeout(Some(SHORT)).expect("it is not zero");
    let mut written = 0;
    while let Ok(len) = client.write(&[7; 8192]) {
        written += len;
    }
    let start = Instant::now();
    drop(client);
    assert!(start.elapsed() >= time, "{:?}", start.elapsed());
    let mut heard = 0;
    let mut buffer = vec![0; 8192];
    while let Ok(len @ 1..) = server.read(&mut buffer) {
        heard += len;
    }
    assert!(heard < written, "{heard} of {written} bytes: what was not acknowledged is lost");

    // No time at all.
    let (client, server) = pair(&listener);
    client.set_linger(Linger::AtMost(Duration::ZERO)).expect("always");
    drop(client);
    // What passes a reset on may make an end of it.
    match server.read(&mut buffer) {
        Ok(len) => assert_eq!(len, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

/// What a client says before anybody accepts it is heard; and options are kept.
pub fn early() {
    let listener = listen();
    let clients: [TcpStream; 3] = [0, 1, 2].map(|number| {
        let client = TcpStream::connect(through()).expect("somebody listens");
        client.write(&[number; 100]).expect("there is room");
        client.shutdown(Shutdown::Write).expect("it is open");
        client
    });
    thread::sleep(SHORT);
    let mut seen = [false; 3];
    for _ in 0..3 {
        let (server, _) = listener.accept().expect("three have connected");
        server.set_read_timeout(Some(LONG)).expect("it is not zero");
        let mut bytes = vec![];
        let mut buffer = [0; 64];
        while let len @ 1.. = server.read(&mut buffer).expect("bytes or the end") {
            bytes.extend_from_slice(&buffer[..len]);
        }
        assert_eq!(bytes, [bytes[0]; 100]);
        assert!(!core::mem::replace(&mut seen[usize::from(bytes[0])], true));
    }
    let client = &clients[0];
    client.set_ttl(5).expect("it can be that");
    assert_eq!(client.ttl().ok(), Some(5));
    assert!(client.set_ttl(0).is_err() && client.set_ttl(256).is_err());
    let keep_alive = KeepAlive::every(Duration::from_secs(5));
    client.set_keepalive(Some(keep_alive)).expect("it is not zero");
    assert_eq!(client.keepalive().ok(), Some(Some(keep_alive)));
    client.set_nodelay(false).expect("always");
    assert_eq!(client.nodelay().ok(), Some(false));
}
