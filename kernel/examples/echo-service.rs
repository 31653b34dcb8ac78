//! A server that says what it hears, as a set of callbacks that one thread calls for all clients.
//!
//! ```text
//!   cargo xtask run echo-service --port 7000:7
//!   nc 127.0.0.1 7000
//! ```
//!
//! The same with a thread for each connection is in the documentation of `toro::net`. Here a connection costs no stack,
//! and the service may keep something for each: how many bytes it has heard, which it says at the end. The word `port=` of
//! the guest's command line is the port (7), and with `clients=N` the machine ends after so many clients.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use core::net::{Ipv4Addr, SocketAddr};

use toro::env;
use toro::net::service::{Client, End, Next, Options, Service};
use toro::net::{self, TcpListener, service};
use toro::time::Duration;

toro::entry!(main);

/// What is remembered of a client.
struct Heard {
    peer: SocketAddr,
    bytes: u64,
}

struct Echo {
    /// How many clients are still to come, if there is an end.
    left: Option<u64>,
}

impl Service for Echo {
    type Session = Heard;

    fn accept(&mut self, client: &mut Client) -> Option<Heard> {
        Some(Heard { peer: client.peer(), bytes: 0 })
    }

    fn receive(&mut self, heard: &mut Heard, client: &mut Client, bytes: &[u8]) -> Next {
        client.send(bytes);
        heard.bytes += bytes.len() as u64;
        Next::Continue
    }

    fn close(&mut self, heard: Heard, end: End) {
        toro::println!(
            "{}: {} bytes, {}",
            heard.peer,
            heard.bytes,
            match end {
                End::Peer => "finished",
                End::Service => "idle",
                End::Broken(_) => "broken",
            }
        );
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
    }

    fn served(&mut self) -> Next {
        if self.left == Some(0) { Next::Stop } else { Next::Continue }
    }
}

fn main() -> Result<(), String> {
    let port = number("port")?.unwrap_or(7);
    let port = u16::try_from(port).map_err(|_| String::from("port= is at most 65535"))?;
    let listener =
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(|error| alloc::format!("cannot listen: {error}"))?;
    let address = net::wait_until_configured(Duration::from_secs(60))
        .map_err(|error| alloc::format!("no network address: {error}"))?;
    toro::println!("echo-service: port {port} of {address}");
    let mut echo = Echo { left: number("clients")? };
    service::serve(&listener, &mut echo, Options::default()).map_err(|error| alloc::format!("cannot serve: {error}"))
}

/// A number on the command line.
fn number(word: &str) -> Result<Option<u64>, String> {
    let Some(text) = env::option(word) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| alloc::format!("{word}={text}: expected a number"))
}
