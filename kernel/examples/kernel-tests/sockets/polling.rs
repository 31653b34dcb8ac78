//! `poll`: one socket of many, in many threads.

use alloc::rc::Rc;
use alloc::vec::Vec;

use toro::io::ErrorKind;
use toro::net::{PollEntry, Readiness, Shutdown, TcpStream, UdpSocket, poll};
use toro::thread;
use toro::time::{Duration, Instant};

use super::{LONG, SHORT, listen, pair, through};

pub fn one() {
    assert_eq!(poll(&mut [], None).expect_err("nothing could end it").kind(), ErrorKind::InvalidInput);
    let start = Instant::now();
    assert_eq!(poll(&mut [], Some(SHORT)).ok(), Some(0));
    let listener = listen();
    let mut entries = [PollEntry::new(&listener, Readiness::READABLE)];
    assert_eq!(poll(&mut entries, Some(SHORT)).ok(), Some(0));
    assert!(start.elapsed() >= SHORT * 2, "{:?}", start.elapsed());
    assert_eq!(poll(&mut entries, Some(Duration::ZERO)).ok(), Some(0));
    let client = thread::spawn(|| TcpStream::connect(through()).expect("somebody listens"));
    assert_eq!(poll(&mut entries, Some(LONG)).ok(), Some(1));
    assert_eq!(entries[0].found(), Readiness::READABLE);
    let (server, _) = listener.accept().expect("it was ready");
    let Ok(client) = client.join();
    let mut entries = [
        PollEntry::new(&server, Readiness::READABLE | Readiness::READ_CLOSED),
        PollEntry::new(&client, Readiness::WRITABLE),
        PollEntry::new(&listener, Readiness::READABLE),
    ];
    assert_eq!(poll(&mut entries, Some(LONG)).ok(), Some(1));
    assert_eq!(entries.map(|entry| entry.found()), [Readiness::NONE, Readiness::WRITABLE, Readiness::NONE]);
    let talker = thread::spawn(move || {
        thread::sleep(SHORT);
        client.write(b"x").expect("there is room");
        client
    });
    let mut entries = [
        PollEntry::new(&server, Readiness::READABLE | Readiness::READ_CLOSED),
        PollEntry::new(&listener, Readiness::WRITABLE),
    ];
    entries[1].want(Readiness::READABLE);
    assert_eq!(poll(&mut entries, Some(LONG)).ok(), Some(1));
    assert_eq!(entries[0].found(), Readiness::READABLE);
    assert_eq!(server.read(&mut [0; 8]).ok(), Some(1));
    let Ok(client) = talker.join();
    client.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(poll(&mut entries, Some(LONG)).ok(), Some(1));
    assert_eq!(entries[0].found(), Readiness::READABLE | Readiness::READ_CLOSED);
}

/// One of many says something; exactly that one is found, many times over.
pub fn many() {
    const SOCKETS: usize = 40;
    const ROUNDS: u64 = 200;
    let listener = listen();
    let pairs: Vec<_> = (0..SOCKETS).map(|_| pair(&listener)).collect();
    let idle = UdpSocket::bind((core::net::Ipv4Addr::UNSPECIFIED, 0)).expect("a port is free");
    let mut entries: Vec<_> = pairs.iter().map(|(_, server)| PollEntry::new(server, Readiness::READABLE)).collect();
    entries.push(PollEntry::new(&idle, Readiness::READABLE));
    let mut random = 88_172_645_463_325_252_u64;
    for round in 0..ROUNDS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let chosen = random as usize % SOCKETS;
        pairs[chosen].0.write(&round.to_be_bytes()).expect("there is room");
        let mut heard = Vec::new();
        while heard.len() < 8 {
            assert_eq!(poll(&mut entries, Some(LONG)).ok(), Some(1), "round {round}");
            let found = entries.iter().position(|entry| !entry.found().is_empty());
            assert_eq!(found, Some(chosen), "round {round}");
            let mut buffer = [0; 8];
            let len = pairs[chosen].1.read(&mut buffer).expect("it was ready");
            heard.extend_from_slice(&buffer[..len]);
        }
        assert_eq!(heard, round.to_be_bytes());
    }
    assert_eq!(poll(&mut entries, Some(Duration::ZERO)).ok(), Some(0));
}

/// Many threads poll, some of them the same socket; each is woken.
pub fn threads() {
    const THREADS: usize = 16;
    let listener = listen();
    let pairs: Vec<_> = (0..THREADS).map(|_| pair(&listener)).collect();
    let (clients, servers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let shared = Rc::new(servers);
    let each: Vec<_> = (0..THREADS)
        .map(|number| {
            let servers = Rc::clone(&shared);
            thread::spawn(move || {
                // Its own, and the first one, which all of them watch.
                let mut entries = [
                    PollEntry::new(&servers[number], Readiness::READABLE),
                    PollEntry::new(&servers[0], Readiness::READABLE),
                ];
                let ready = poll(&mut entries, Some(LONG)).expect("there are sockets");
                assert!(ready > 0, "thread {number} was not woken");
                let own = entries[0].found();
                assert!(number == 0 || own.is_empty() || own == Readiness::READABLE);
                !own.is_empty()
            })
        })
        .collect();
    thread::sleep(SHORT);
    for client in clients.iter().skip(THREADS / 2) {
        client.write(b"x").expect("there is room");
    }
    thread::sleep(SHORT);
    clients[0].write(b"x").expect("there is room");
    let own = each.into_iter().map(|thread| match thread.join() {
        Ok(own) => own,
    });
    let own: Vec<_> = own.collect();
    assert!(own[0] && own[THREADS / 2..].iter().all(|&own| own), "{own:?}");
    assert!(own[1..THREADS / 2].iter().all(|&own| !own), "{own:?}");
}

pub fn broken() {
    let listener = listen();
    let (client, server) = pair(&listener);
    let waiting = thread::spawn(move || {
        let mut entries = [PollEntry::new(&server, Readiness::NONE)];
        assert_eq!(poll(&mut entries, Some(SHORT)).ok(), Some(0), "that there is room was not asked for");
        let ready = poll(&mut entries, Some(LONG)).expect("there is a socket");
        (ready, entries[0].found(), server.take_error(), server.take_error())
    });
    thread::sleep(SHORT * 2);
    let is_exact = through().ip().is_loopback();
    client.shutdown(Shutdown::Both).expect("it is open");
    client.abort();
    if is_exact {
        let Ok((ready, found, first, second)) = waiting.join();
        assert_eq!(ready, 1);
        assert!(found.contains(Readiness::HANG_UP | Readiness::ERROR), "{found:?}");
        let kind = first.expect("always").map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::ConnectionReset));
        assert!(second.expect("always").is_none(), "once");
    } else {
        // What passes a reset on makes an end of it, which was not asked for; the thread ends with its patience.
        drop(waiting);
    }
}
