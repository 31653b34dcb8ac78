//! A server for iperf3, as the tool of that name is with `-s`: how fast the network is, measured from outside.
//!
//! ```text
//!   cargo xtask run iperf3-server --port 5201:5201
//!   iperf3 -c 127.0.0.1               what we receive
//!   iperf3 -c 127.0.0.1 -R            what we send
//! ```
//!
//! ```text
//!   client ---- control ----> desk --> session: parameters, states, results            `protocol`, `session`
//!          ==== data   =====> desk --> streams: a thread for each, which counts        `tcp_streams`, `udp_streams`
//! ```
//!
//! All of it runs on the first core that has a network interface. One test runs at a time; others are denied until it has
//! ended, as iperf3 does it. TCP, UDP, several streams, both directions and both at once work; what concerns the other side's
//! sockets only (window, congestion control, marks) is heard and has no meaning here. Retransmissions and the use of the
//! processor are not known to applications of Toro, so they are reported as unknown and as nothing.
//!
//! Data is copied to and from the application, as it is with iperf3; the word `in-place` does without. A client that says
//! nothing while nothing moves is given up, so that others can be served. Words of the guest's command line: see [`USAGE`].

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "network/address.rs"]
mod address;
#[path = "network/homes.rs"]
mod homes;
#[path = "iperf3-server/parameters.rs"]
mod parameters;
#[path = "iperf3-server/protocol.rs"]
mod protocol;
#[path = "iperf3-server/results.rs"]
mod results;
#[path = "iperf3-server/session.rs"]
mod session;
#[path = "iperf3-server/tcp_streams.rs"]
mod tcp_streams;
#[path = "iperf3-server/udp_streams.rs"]
mod udp_streams;
#[path = "network/words.rs"]
mod words;

use alloc::{collections::VecDeque, format, rc::Rc, string::String};
use core::cell::{Cell, RefCell};
use core::net::{Ipv6Addr, SocketAddr};

use toro::{
    env, io,
    net::{TcpListener, TcpStream},
    sched::{WaitQueue, Wake},
    thread::{self, Builder},
    time::{Duration, Instant},
};

toro::entry!(main);

const USAGE: &str = "\
iperf3-server: a server for iperf3
  help       print this
  port=5201  the port, of TCP and of UDP
  tests=N    end after so many tests; without it, serve for ever
  in-place   count and make data where it lies, without a copy to or from the application
";

/// Stack of a thread, in bytes.
const STACK: usize = 64 * 1024;
/// How long the accepting thread waits after a failure that may pass.
const PAUSE: Duration = Duration::from_millis(50);

/// Whether data is copied between the network and the application.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Copying {
    /// It is, as with any other system.
    Copied,
    /// It is looked at where it lies.
    InPlace,
}

fn main() -> Result<(), String> {
    if words::asks_for_help(USAGE) {
        return Ok(());
    }
    let port = words::number("port", 1..=u16::MAX, 5201)?;
    let tests = words::number("tests", 1..=u64::MAX, u64::MAX)?;
    let copying = if env::flag("in-place") { Copying::InPlace } else { Copying::Copied };
    let core = homes::homes()[0];
    let server = Builder::new().name(String::from("server")).spawn_on(core, move || serve(port, tests, copying));
    let Ok(outcome) = server.map_err(|error| format!("cannot start the server: {error}"))?.join();
    outcome
}

/// What a new connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// To begin a test.
    Free,
    /// To be a stream of the test that is being set up.
    Gathering,
    /// To be denied.
    Busy,
}

/// Where connections arrive: what each is for depends on the test that runs.
pub struct Desk {
    port: u16,
    copying: Copying,
    stage: Cell<Stage>,
    gathered: RefCell<VecDeque<TcpStream>>,
    arrival: WaitQueue,
    /// Tests that have ended.
    ended: Cell<u64>,
}

impl Desk {
    /// From now on connections are streams of the test.
    pub fn gather(&self) {
        self.stage.set(Stage::Gathering);
    }

    /// There are enough streams; connections are denied.
    pub fn stop_gathering(&self) {
        self.stage.set(Stage::Busy);
        self.gathered.borrow_mut().clear();
    }

    /// The next stream, if it comes in time.
    pub fn next_stream(&self, deadline: Instant) -> Option<TcpStream> {
        loop {
            if let Some(stream) = self.gathered.borrow_mut().pop_front() {
                return Some(stream);
            }
            if self.arrival.wait_until(Some(deadline)) == Wake::TimedOut && self.gathered.borrow().is_empty() {
                return None;
            }
        }
    }
}

fn serve(port: u16, tests: u64, copying: Copying) -> Result<(), String> {
    address::await_address()?;
    let listener =
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).map_err(|error| format!("cannot listen: {error}"))?;
    listener.set_timeout(Some(Duration::from_secs(1))).map_err(|error| format!("cannot set a timeout: {error}"))?;
    toro::println!("iperf3-server: listening on port {port}");
    let desk = Rc::new(Desk {
        port,
        copying,
        stage: Cell::new(Stage::Free),
        gathered: RefCell::default(),
        arrival: WaitQueue::new(),
        ended: Cell::new(0),
    });
    while desk.ended.get() < tests {
        match listener.accept() {
            Ok((stream, peer)) => admit(&desk, stream, peer),
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => return Err(format!("cannot accept: {error}")),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            // A lack of memory, perhaps; it may pass.
            Err(_) => thread::sleep(PAUSE),
        }
    }
    Ok(())
}

/// Does with a connection what it is for.
fn admit(desk: &Rc<Desk>, stream: TcpStream, peer: SocketAddr) {
    match desk.stage.get() {
        Stage::Gathering => {
            desk.gathered.borrow_mut().push_back(stream);
            desk.arrival.wake_one();
        }
        // Best effort: it is closed in any case.
        Stage::Busy => drop(protocol::deny(&stream)),
        Stage::Free => {
            desk.stage.set(Stage::Busy);
            let test = Rc::clone(desk);
            let started = Builder::new().name(String::from("session")).stack_size(STACK).spawn(move || {
                match session::run(&test, stream) {
                    Ok(summary) => toro::println!("iperf3-server: {peer}: {summary}"),
                    Err(reason) => toro::println!("iperf3-server: {peer}: {reason}"),
                }
                test.stop_gathering();
                test.ended.set(test.ended.get() + 1);
                test.stage.set(Stage::Free);
            });
            if started.is_err() {
                desk.stage.set(Stage::Free);
            }
        }
    }
}
