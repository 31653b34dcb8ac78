//! A service of callbacks, and clients of every kind.

use alloc::vec;
use alloc::vec::Vec;

use toro::io::{ErrorKind, Write};
use toro::net::service::{self, Client, End, Next, Options, Service};
use toro::net::{Shutdown, TcpStream};
use toro::thread;
use toro::time::Duration;

use super::{LONG, SHORT, listen, through};

/// Says what it hears; `q` ends the session, `s` the service, `b` brings a lot.
#[derive(Default)]
struct Tester {
    accepted: usize,
    ends: Vec<End>,
    idle: usize,
}

const MUCH: usize = 300_000;

impl Service for Tester {
    type Session = usize;

    fn accept(&mut self, client: &mut Client) -> Option<usize> {
        self.accepted += 1;
        if self.accepted == 2 {
            client.send(b"full");
            return None;
        }
        Some(self.accepted)
    }

    fn receive(&mut self, _: &mut usize, client: &mut Client, bytes: &[u8]) -> Next {
        match bytes.last() {
            Some(b'q') => {
                client.send(b"bye");
                Next::Close
            }
            Some(b's') => {
                client.send(b"stopped");
                Next::Stop
            }
            Some(b'b') => {
                client.send(&vec![b'.'; MUCH]);
                Next::Close
            }
            _ => {
                client.send(bytes);
                Next::Continue
            }
        }
    }

    fn idle(&mut self, _: &mut usize, client: &mut Client) -> Next {
        self.idle += 1;
        client.send(b"idle");
        Next::Close
    }

    fn close(&mut self, _: usize, end: End) {
        self.ends.push(end);
    }
}

fn client() -> TcpStream {
    let stream = TcpStream::connect(through()).expect("somebody listens");
    stream.set_read_timeout(Some(LONG)).expect("it is not zero");
    stream
}

/// All that is said up to the end.
fn rest(stream: &TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut buffer = [0; 1000];
    while let len @ 1.. = stream.read(&mut buffer).expect("bytes or the end") {
        heard.extend_from_slice(&buffer[..len]);
    }
    heard
}

pub fn run() {
    let listener = listen();
    let server = thread::spawn(move || {
        let mut tester = Tester::default();
        let options = Options { most_clients: 8, most_output: 10_000, idle: Some(Duration::from_secs(1)) };
        service::serve(&listener, &mut tester, options).expect("the network is there");
        tester
    });
    let mut echo = client();
    echo.write_all(b"hello").expect("there is room");
    let mut heard = [0; 5];
    toro::io::Read::read_exact(&mut echo, &mut heard).expect("it is said back");
    assert_eq!(&heard, b"hello");
    assert_eq!(rest(&client()), b"full", "the second one is turned away");
    let quitter = client();
    quitter.write(b"q").expect("there is room");
    assert_eq!(rest(&quitter), b"bye");
    echo.write_all(b"bye").expect("there is room");
    echo.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(rest(&echo), b"bye");
    // Much for somebody who does not listen at first, while others are served.
    let slow = client();
    slow.write(b"b").expect("there is room");
    thread::sleep(SHORT);
    let quitter = client();
    quitter.write(b"q").expect("there is room");
    assert_eq!(rest(&quitter), b"bye");
    assert_eq!(rest(&slow).len(), MUCH);
    // Somebody who says nothing; and somebody who never listens, who shall not take a part for the whole.
    let deaf = client();
    deaf.write(b"b").expect("there is room");
    assert_eq!(rest(&client()), b"idle");
    thread::sleep(SHORT * 10);
    let mut total = 0;
    let mut buffer = [0; 1000];
    let end = loop {
        match deaf.read(&mut buffer) {
            Ok(0) => break None,
            Ok(len) => total += len,
            Err(error) => break Some(error.kind()),
        }
    };
    // A network in between may have taken it all.
    assert!(total == MUCH || end == Some(ErrorKind::ConnectionReset), "{total} bytes, then {end:?}");
    // More than may come at a time.
    let crowd: Vec<_> = (0..12).map(|_| client()).collect();
    for client in &crowd {
        client.write(b"q").expect("there is room");
    }
    for client in &crowd {
        assert_eq!(rest(client), b"bye");
    }
    let stopper = client();
    let other = client();
    other.write(b"x").expect("there is room");
    assert_eq!(other.read(&mut heard).ok(), Some(1));
    stopper.write(b"s").expect("there is room");
    assert_eq!(rest(&stopper), b"stopped");
    assert_eq!(rest(&other), b"");
    let Ok(tester) = server.join();
    assert_eq!(tester.accepted, 21);
    assert_eq!((tester.ends.len(), tester.idle), (20, 1), "all but the one that was turned away");
    let of = |end: End| tester.ends.iter().filter(|&&other| other == end).count();
    assert_eq!((of(End::Peer), of(End::Service)), (1, 19));
    let gone = TcpStream::connect_timeout(&through(), LONG).map(|stream| stream.read(&mut [0; 1]).unwrap_or(0));
    assert!(gone.map_or_else(|error| error.kind() == ErrorKind::ConnectionRefused, |len| len == 0), "nobody listens");
}
