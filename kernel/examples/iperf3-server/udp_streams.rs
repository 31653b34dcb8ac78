//! Streams over UDP: datagrams between the server's port and one port of the client for each stream.
//!
//! ```text
//!   connection   "6789" -----> the stream is known by its sender's address
//!                       <----- "9876", in the same order of bytes
//!   data         seconds, microseconds, number (each 4 bytes, the number 8 if so agreed), filled up to the block's length
//! ```
//!
//! One socket serves all streams; one thread receives for all of them, and each stream that sends has its own. A datagram
//! with a number beyond the next says that those between are lost, until they come after all.

use alloc::{collections::BTreeMap, format, rc::Rc, string::String, vec, vec::Vec};
use core::net::{Ipv6Addr, SocketAddr};

use toro::io::{self, ErrorKind};
use toro::net::UdpSocket;
use toro::thread::{self, Builder};
use toro::time::{Duration, Instant};

use crate::parameters::{Direction, Parameters};
use crate::protocol::{Control, State};
use crate::results::{Counts, Course, Pace};
use crate::session::Streams;
use crate::{Desk, STACK};

/// How long the client may take to make all streams.
const GATHERING: Duration = Duration::from_secs(30);
/// How often a stream that waits looks whether the test goes on.
const LOOK: Duration = Duration::from_millis(100);
/// What a client asks for a stream with, and the answer: by versions since 3.10, and before.
const GREETINGS: [(u32, u32); 2] = [(0x3637_3839, 0x3938_3736), (123_456_789, 987_654_321)];

/// The clients' ends of the streams, in the order in which they were made.
pub struct Peers {
    socket: UdpSocket,
    addresses: Vec<SocketAddr>,
}

/// The answer to a greeting, in the order of bytes that the client has.
fn answer(greeting: &[u8]) -> Option<[u8; 4]> {
    let greeting: [u8; 4] = greeting.try_into().ok()?;
    GREETINGS.iter().find_map(|&(asked, answered)| match greeting {
        little if little == asked.to_le_bytes() => Some(answered.to_le_bytes()),
        big if big == asked.to_be_bytes() => Some(answered.to_be_bytes()),
        _ => None,
    })
}

/// Asks for the streams and takes them in.
///
/// # Errors
///
/// They did not come, or the port is taken.
pub fn gather(desk: &Desk, control: &Control, parameters: &Parameters) -> Result<Peers, String> {
    let socket =
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, desk.port)).map_err(|error| format!("cannot bind: {error}"))?;
    socket.set_write_timeout(Some(LOOK)).map_err(text)?;
    socket.set_read_timeout(Some(LOOK)).map_err(text)?;
    control.say(State::CreateStreams)?;
    let deadline = Instant::now().saturating_add(GATHERING);
    let (mut addresses, mut buffer) = (Vec::new(), [0; 64]);
    while addresses.len() < parameters.streams() {
        match socket.recv_from(&mut buffer) {
            Ok((len, sender)) => {
                let Some(answer) = answer(&buffer[..len]) else { continue };
                if !addresses.contains(&sender) {
                    addresses.push(sender);
                }
                // If it is lost, or there is no room, the client asks again or gives up.
                let _ = socket.send_to(&answer, sender);
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                if Instant::now() >= deadline {
                    return Err(String::from("the client did not make its streams"));
                }
            }
            Err(error) => return Err(text(error)),
        }
    }
    Ok(Peers { socket, addresses })
}

fn text(error: io::Error) -> String {
    format!("the data socket: {error}")
}

/// Lets them run.
///
/// # Errors
///
/// There is no memory for a thread.
pub fn start(peers: Peers, parameters: &Parameters) -> Result<Streams, String> {
    let course = Rc::new(Course::default());
    let mut started = Streams { counts: Vec::new(), threads: Vec::new(), course: Rc::clone(&course) };
    let socket = Rc::new(peers.socket);
    let mut receiving = BTreeMap::new();
    for (peer, direction) in peers.addresses.into_iter().zip(parameters.directions()) {
        let counts = Rc::new(Counts::default());
        started.counts.push(Rc::clone(&counts));
        if direction == Direction::Receive {
            receiving.insert(peer, Stream { counts, last_transit: None });
            continue;
        }
        let (socket, course, parameters) = (Rc::clone(&socket), Rc::clone(&course), *parameters);
        let thread = Builder::new().name(String::from("stream")).stack_size(STACK).spawn(move || {
            if let Err(error) = send(&socket, peer, &parameters, &counts, &course) {
                // It is set once, here.
                let _ = counts.failure.set(error);
            }
        });
        started.threads.push(thread.map_err(|error| format!("cannot start a stream: {error}"))?);
    }
    let (course, parameters) = (Rc::clone(&course), *parameters);
    let thread = Builder::new().name(String::from("receiver")).stack_size(STACK).spawn(move || {
        if let Err(error) = receive(&socket, &mut receiving, &parameters, &course) {
            // It is set once, here, or by the stream itself.
            let _ = receiving.values().next().map(|stream| stream.counts.failure.set(error));
        }
    });
    started.threads.push(thread.map_err(|error| format!("cannot start the receiver: {error}"))?);
    Ok(started)
}

/// A stream that is received.
struct Stream {
    counts: Rc<Counts>,
    /// How long the last datagram took, by two clocks that do not agree.
    last_transit: Option<f64>,
}

impl Stream {
    fn take(&mut self, datagram: &[u8], parameters: &Parameters, now: Instant) {
        let Some((sent, number)) = read_header(datagram, parameters) else { return };
        let counts = &self.counts;
        counts.add(datagram.len());
        let seen = counts.datagrams.get();
        if number > seen {
            counts.lost.set(counts.lost.get() + (number - seen - 1));
            counts.datagrams.set(number);
        } else {
            counts.lost.set(counts.lost.get().saturating_sub(1));
        }
        let transit = Duration::from_nanos(now.as_nanos()).as_secs_f64() - sent;
        if let Some(last) = self.last_transit.replace(transit) {
            let jitter = counts.jitter.get();
            counts.jitter.set(jitter + ((transit - last).abs() - jitter) / 16.0);
        }
    }
}

/// When a datagram was sent, in seconds by the sender's clock, and its number.
fn read_header(datagram: &[u8], parameters: &Parameters) -> Option<(f64, u64)> {
    let word = |at: usize| Some(u32::from_be_bytes(datagram.get(at..at + 4)?.try_into().ok()?));
    let sent = f64::from(word(0)?) + f64::from(word(4)?) / 1e6;
    let number = match parameters.wide_numbers {
        true => u64::from(word(8)?) << 32 | u64::from(word(12)?),
        false => word(8)?.into(),
    };
    Some((sent, number))
}

/// Counts what comes, and answers greetings whose answer was lost.
fn receive(
    socket: &UdpSocket,
    streams: &mut BTreeMap<SocketAddr, Stream>,
    parameters: &Parameters,
    course: &Course,
) -> io::Result<()> {
    let mut buffer = vec![0; parameters.block];
    while course.goes_on() {
        match socket.recv_from(&mut buffer) {
            Ok((len, sender)) => match (answer(&buffer[..len]), streams.get_mut(&sender)) {
                (Some(answer), _) => drop(socket.send_to(&answer, sender)),
                (None, Some(stream)) => stream.take(&buffer[..len], parameters, Instant::now()),
                (None, None) => {}
            },
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends as much as there is room for, or as the rate allows.
fn send(
    socket: &UdpSocket,
    peer: SocketAddr,
    parameters: &Parameters,
    counts: &Counts,
    course: &Course,
) -> io::Result<()> {
    let mut datagram: Vec<u8> = (0..parameters.block).map(|at| b'0' + (at % 10) as u8).collect();
    let mut pace = Pace::new(parameters);
    let mut number = 0_u64;
    while course.goes_on() {
        pace.wait();
        number += 1;
        let now = Duration::from_nanos(Instant::now().as_nanos());
        datagram[0..4].copy_from_slice(&(now.as_secs() as u32).to_be_bytes());
        datagram[4..8].copy_from_slice(&now.subsec_micros().to_be_bytes());
        match parameters.wide_numbers {
            true => datagram[8..16].copy_from_slice(&number.to_be_bytes()),
            false => datagram[8..12].copy_from_slice(&(number as u32).to_be_bytes()),
        }
        loop {
            match socket.send_to(&datagram, peer) {
                Ok(len) => {
                    pace.sent(len);
                    counts.add(len);
                    counts.datagrams.set(number);
                    break;
                }
                Err(error) if error.kind() == ErrorKind::TimedOut && course.goes_on() => thread::yield_now(),
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
