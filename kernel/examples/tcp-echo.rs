//! Sends back what TCP connections bring (RFC 862).
//!
//! ```text
//!   cargo xtask run tcp-echo --port 7007:7
//!   nc 127.0.0.1 7007
//! ```
//!
//! Each connection has a thread. It reads with one hand and writes with the other: what is read is written before more is
//! read, so a client that does not read its echo is not read from either, and nothing has to be stored for it. A connection
//! ends when its client ends it, after the last byte was sent back, or when it has been silent for too long.
//!
//! Every core that has a network interface serves. Words of the guest's command line: see [`USAGE`].

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

use alloc::{format, rc::Rc, string::String, vec};
use core::net::Ipv6Addr;

use toro::{
    core as cores, io,
    io::Write as _,
    net::{TcpListener, TcpStream},
    thread::{self, Builder},
    time::Duration,
};

toro::entry!(main);

const USAGE: &str = "\
tcp-echo: sends back what TCP connections bring
  help              print this
  port=7            the port
  connections=1024  how many each core serves at once; more are closed at once
  buffer=4096       how many bytes are read at once
  idle=300          how many seconds a connection may be silent, or leave its echo unread
";

/// Stack of a thread that serves a connection, in bytes.
const STACK: usize = 32 * 1024;
/// How long the accepting thread waits after a failure that may pass.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy)]
struct Options {
    port: u16,
    connections: usize,
    buffer: usize,
    idle: Duration,
}

fn main() -> Result<(), String> {
    if words::asks_for_help(USAGE) {
        return Ok(());
    }
    let options = Options {
        port: words::number("port", 1..=u16::MAX, 7)?,
        connections: words::number("connections", 1..=100_000, 1024)?,
        buffer: words::number("buffer", 1..=1 << 20, 4096)?,
        idle: Duration::from_secs(words::number("idle", 1..=86_400, 300)?),
    };
    everywhere::serve_everywhere(move || serve(options))
}

/// Serves on the calling core.
fn serve(options: Options) -> Result<(), String> {
    let listener =
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, options.port)).map_err(|error| format!("cannot listen: {error}"))?;
    toro::println!("tcp-echo: port {} on core {}", options.port, cores::current());
    // This thread has one, and each connection.
    let places = Rc::new(());
    loop {
        match listener.accept() {
            Ok((stream, _)) if Rc::strong_count(&places) <= options.connections => {
                let place = Rc::clone(&places);
                // Where there is no memory for a thread, this closes the connection.
                let _ = Builder::new().stack_size(STACK).spawn(move || {
                    // A connection that has broken needs no more.
                    let _ = echo(&stream, &options);
                    drop(place);
                });
            }
            Ok((stream, _)) => drop(stream),
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => return Err(format!("cannot accept: {error}")),
            // A lack of memory, perhaps; it may pass.
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Sends everything back, up to the end of the stream.
fn echo(mut stream: &TcpStream, options: &Options) -> io::Result<()> {
    stream.set_read_timeout(Some(options.idle))?;
    stream.set_write_timeout(Some(options.idle))?;
    let mut buffer = vec![0; options.buffer];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            len => stream.write_all(&buffer[..len])?,
        }
    }
}
