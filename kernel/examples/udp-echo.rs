//! Sends UDP datagrams back to whoever sent them (RFC 862).
//!
//! ```text
//!   cargo xtask run udp-echo
//! ```
//!
//! One thread of each core that has a network interface receives a datagram and sends it back before it receives the next.
//! While the network takes no more, datagrams wait in the socket, and those beyond its room are lost, as with UDP everywhere.
//! Words of the guest's command line: see [`USAGE`].

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "network/address.rs"]
mod address;
#[path = "network/everywhere.rs"]
mod everywhere;
#[path = "network/homes.rs"]
mod homes;
#[path = "network/words.rs"]
mod words;

use alloc::{format, string::String, vec};
use core::net::Ipv6Addr;

use toro::{core as cores, io::ErrorKind, net::UdpSocket, thread, time::Duration};

toro::entry!(main);

const USAGE: &str = "\
udp-echo: sends UDP datagrams back to whoever sent them
  help    print this
  port=7  the port
";

/// The longest datagram there is.
const LONGEST: usize = 65_507;
/// How long to wait after a failure that may pass.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the network may take to make room for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> Result<(), String> {
    if words::asks_for_help(USAGE) {
        return Ok(());
    }
    let port = words::number("port", 1..=u16::MAX, 7)?;
    everywhere::serve_everywhere(move || serve(port))
}

/// Serves on the calling core.
fn serve(port: u16) -> Result<(), String> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).map_err(|error| format!("cannot bind: {error}"))?;
    socket.set_write_timeout(Some(PATIENCE)).map_err(|error| format!("cannot set a timeout: {error}"))?;
    toro::println!("udp-echo: port {port} on core {}", cores::current());
    let mut buffer = vec![0; LONGEST];
    loop {
        match socket.recv_from(&mut buffer) {
            // A sender at port 0, or one that cannot be reached any more, gets no answer.
            Ok((len, sender)) => drop(socket.send_to(&buffer[..len], sender)),
            Err(error) if error.kind() == ErrorKind::NetworkDown => return Err(format!("cannot receive: {error}")),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
