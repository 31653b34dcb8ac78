//! Streams over TCP: connections to the server's own port that begin with the cookie of the test.

use alloc::{format, rc::Rc, string::String, vec, vec::Vec};

use toro::io::{self, ErrorKind};
use toro::net::TcpStream;
use toro::thread::Builder;
use toro::time::{Duration, Instant};

use crate::parameters::{Direction, Parameters};
use crate::protocol::{self, COOKIE, Control, State};
use crate::results::{Counts, Course, Pace};
use crate::session::Streams;
use crate::{Copying, Desk, STACK};

/// How long the client may take to make all streams.
const GATHERING: Duration = Duration::from_secs(30);
/// How often a stream that waits looks whether the test goes on.
const LOOK: Duration = Duration::from_millis(100);

/// Asks for the streams and takes them in.
///
/// # Errors
///
/// They did not come.
pub fn gather(
    desk: &Desk,
    control: &Control,
    parameters: &Parameters,
    cookie: &[u8; COOKIE],
) -> Result<Vec<TcpStream>, String> {
    desk.gather();
    control.say(State::CreateStreams)?;
    let deadline = Instant::now().saturating_add(GATHERING);
    let mut streams = Vec::new();
    while streams.len() < parameters.streams() {
        let stream = desk.next_stream(deadline).ok_or("the client did not make its streams")?;
        match protocol::read_cookie(&stream) {
            Ok(other) if other == *cookie => streams.push(stream),
            // Somebody else's. Best effort: it is closed in any case.
            Ok(_) => drop(protocol::deny(&stream)),
            Err(_) => {}
        }
    }
    Ok(streams)
}

/// Lets them run.
///
/// # Errors
///
/// There is no memory for a thread.
pub fn start(streams: Vec<TcpStream>, parameters: &Parameters, copying: Copying) -> Result<Streams, String> {
    let course = Rc::new(Course::default());
    let mut started = Streams { counts: Vec::new(), threads: Vec::new(), course: Rc::clone(&course) };
    for (stream, direction) in streams.into_iter().zip(parameters.directions()) {
        let counts = Rc::new(Counts::default());
        started.counts.push(Rc::clone(&counts));
        let (course, parameters) = (Rc::clone(&course), *parameters);
        let thread = Builder::new().name(String::from("stream")).stack_size(STACK).spawn(move || {
            let outcome = match direction {
                Direction::Receive => receive(&stream, &parameters, copying, &counts, &course),
                Direction::Send => send(&stream, &parameters, copying, &counts, &course),
            };
            if let Err(error) = outcome
                && course.goes_on()
            {
                // It is set once, here.
                let _ = counts.failure.set(error);
            }
        });
        started.threads.push(thread.map_err(|error| format!("cannot start a stream: {error}"))?);
    }
    Ok(started)
}

/// Counts what comes.
fn receive(
    stream: &TcpStream,
    parameters: &Parameters,
    copying: Copying,
    counts: &Counts,
    course: &Course,
) -> io::Result<()> {
    stream.set_read_timeout(Some(LOOK))?;
    let mut buffer = vec![0; if copying == Copying::Copied { parameters.block } else { 0 }];
    while course.goes_on() {
        let received = match copying {
            Copying::Copied => stream.read(&mut buffer),
            Copying::InPlace => stream.read_with(|bytes| (bytes.len(), bytes.len())),
        };
        match received {
            Ok(0) => return Ok(()),
            Ok(len) => {
                counts.add(len);
                counts.last.set(Some(Instant::now()));
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends as much as there is room for, or as the rate allows.
fn send(
    stream: &TcpStream,
    parameters: &Parameters,
    copying: Copying,
    counts: &Counts,
    course: &Course,
) -> io::Result<()> {
    stream.set_write_timeout(Some(LOOK))?;
    stream.set_nodelay(parameters.no_delay)?;
    let block: Vec<u8> = (0..parameters.block).map(|at| b'0' + (at % 10) as u8).collect();
    let mut pace = Pace::new(parameters);
    let mut place = 0;
    while course.goes_on() {
        if place == 0 {
            pace.wait();
        }
        let rest = &block[place..];
        let sent = match copying {
            Copying::Copied => stream.write(rest),
            // What lies there was sent before, or is zero.
            Copying::InPlace => stream.write_with(|space| {
                let len = space.len().min(rest.len());
                (len, len)
            }),
        };
        match sent {
            Ok(len) => {
                counts.add(len);
                place += len;
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) => return Err(error),
        }
        if place == block.len() {
            pace.sent(place);
            place = 0;
        }
    }
    Ok(())
}
