//! Sockets, against each other: what blocks, for how long, and what ends it.
//!
//! ```text
//!   a client here --> through=ADDRESS:PORT --> port 7000 here
//! ```
//!
//! The word `through=` says how a connection of this machine gets to port 7000 of this machine: by QEMU's user network and a
//! port of the host that is forwarded (`10.0.2.2:PORT`), or without leaving it (`127.0.0.1:7000`).

use core::net::{Ipv4Addr, SocketAddr};

use toro::net::{self, TcpListener, TcpStream};
use toro::time::Duration;

#[path = "sockets/berkeley.rs"]
mod berkeley;
#[path = "sockets/datagrams.rs"]
mod datagrams;
#[path = "sockets/ends.rs"]
mod ends;
#[path = "sockets/limits.rs"]
pub mod limits;
#[path = "sockets/polling.rs"]
mod polling;
#[path = "sockets/served.rs"]
mod served;
#[path = "sockets/waiting.rs"]
mod waiting;

const PORT: u16 = 7000;
/// Long enough for anything that must happen.
const LONG: Duration = Duration::from_secs(60);
/// Long enough to notice that something does not happen.
const SHORT: Duration = Duration::from_millis(100);

/// Where port 7000 is for a client.
fn through() -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    toro::env::option("through").map_or(usual, |word| word.parse().expect("through= is an address and a port"))
}

fn here() -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, PORT).into()
}

fn listen() -> TcpListener {
    TcpListener::bind_with_backlog(here(), 64).expect("the port is free")
}

/// Both ends of a connection: the client's, the server's.
fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(through()).expect("somebody listens");
    let (server, _) = listener.accept().expect("somebody has connected");
    (client, server)
}

/// All of it.
pub fn run() {
    if !through().ip().is_loopback() {
        net::wait_until_configured(LONG).expect("an address");
    }
    for (name, test) in [
        ("calls that do not wait", waiting::nonblocking as fn()),
        ("calls that wait for a while", waiting::timeouts),
        ("connections that fail", waiting::failures),
        ("pieces", waiting::pieces),
        ("a slow reader", waiting::back_pressure),
        ("ends", ends::halves),
        ("lingering", ends::linger),
        ("early data", ends::early),
        ("one socket ready", polling::one),
        ("many sockets", polling::many),
        ("many threads", polling::threads),
        ("errors and hang-ups", polling::broken),
        ("datagrams", datagrams::run),
        ("opening without waiting", berkeley::connecting),
        ("descriptors", berkeley::descriptors),
        ("streams by number", berkeley::streams),
        ("selecting", berkeley::selecting),
        ("closing by number", berkeley::closing),
        ("a service", served::run),
    ] {
        toro::println!("sockets: {name}");
        test();
    }
}
