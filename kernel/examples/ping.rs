//! Asks a host whether it is there, as the tool of that name does (ICMP echo, over IPv4 or IPv6).
//!
//! ```text
//!   cargo xtask run ping --append host=10.0.2.2
//!
//!   PING 10.0.2.2: 56 bytes of data
//!   64 bytes from 10.0.2.2: seq=1 time=0.421 ms
//!   ...
//!   --- 10.0.2.2 ping statistics ---
//!   4 packets transmitted, 4 received, 0% packet loss
//!   rtt min/avg/max/mdev = 0.301/0.355/0.421/0.046 ms
//! ```
//!
//! The exit status is 0 if there was a reply, 1 if there was none, 2 if nothing could be asked. Words of the guest's command
//! line: see [`USAGE`].

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "network/address.rs"]
mod address;
#[path = "network/words.rs"]
mod words;

use alloc::{format, string::String, vec::Vec};
use core::net::IpAddr;

use toro::{
    env,
    io::ErrorKind,
    net::{self, IcmpSocket},
    println, process, thread,
    time::{Duration, Instant},
};

toro::entry!(main);

const USAGE: &str = "\
ping: asks a host whether it is there
  help           print this
  host=          a name or an address; without it, the gateway
  count=4        how many requests are sent
  size=56        how many bytes of data each carries
  interval=1000  how many milliseconds lie between two of them
  timeout=1000   how many milliseconds a reply may take
  ipv4, ipv6     of a name, only addresses of this family
";

/// Bytes of a header of ICMP.
const HEADER: usize = 8;

struct Options {
    count: u16,
    size: usize,
    interval: Duration,
    timeout: Duration,
}

fn main() {
    if words::asks_for_help(USAGE) {
        return;
    }
    match run() {
        Ok(received) if received > 0 => {}
        Ok(_) => process::exit(1),
        Err(reason) => {
            println!("ping: {reason}");
            process::exit(2);
        }
    }
}

/// Says how many replies there were.
fn run() -> Result<usize, String> {
    let milliseconds = |name, usual| words::number(name, 1..=600_000, usual).map(Duration::from_millis);
    let options = Options {
        count: words::number("count", 1..=u16::MAX, 4)?,
        size: words::number("size", 0..=65_507, 56)?,
        interval: milliseconds("interval", 1000)?,
        timeout: milliseconds("timeout", 1000)?,
    };
    let host = env::option("host");
    if host.is_none_or(|host| net::lookup_host(host).is_err()) {
        // Neither an address nor known without asking: it takes a network.
        address::await_address()?;
    }
    let (shown, address) = match host {
        Some(host) => (host.into(), address_of(host)?),
        None => {
            let gateway = net::configuration().ok().and_then(|configuration| configuration.ipv4?.gateway);
            let gateway = IpAddr::from(gateway.ok_or("there is no gateway; whom to ask? (host=)")?);
            (format!("{gateway}"), gateway)
        }
    };
    if !address.is_loopback() {
        address::await_address()?;
    }
    match shown == format!("{address}") {
        true => println!("PING {address}: {} bytes of data", options.size),
        false => println!("PING {shown} ({address}): {} bytes of data", options.size),
    }
    ask(address, &shown, &options).map_err(|error| format!("{address}: {error}"))
}

/// The first address of a host, of the family that the command line asks for.
fn address_of(host: &str) -> Result<IpAddr, String> {
    let addresses = net::lookup_host(host).map_err(|error| format!("{host}: {error}"))?;
    let (only4, only6) = (env::flag("ipv4"), env::flag("ipv6"));
    let fitting = addresses.into_iter().find(|address| !(only4 && address.is_ipv6() || only6 && address.is_ipv4()));
    fitting.ok_or_else(|| format!("{host}: no address of this family"))
}

fn ask(address: IpAddr, shown: &str, options: &Options) -> toro::io::Result<usize> {
    let socket = IcmpSocket::connect(address)?;
    let data: Vec<u8> = (0..options.size).map(|at| at as u8).collect();
    let mut times = Vec::new();
    for sequence in 1..=options.count {
        let start = Instant::now();
        socket.send(sequence, &data)?;
        match reply(&socket, sequence, &data, start, options.timeout)? {
            Some(time) => {
                let bytes = options.size + HEADER;
                println!("{bytes} bytes from {address}: seq={sequence} time={} ms", Milliseconds(time));
                times.push(time);
            }
            None => println!("no reply: seq={sequence}"),
        }
        if sequence < options.count {
            thread::sleep_until(start.saturating_add(options.interval));
        }
    }
    println!("--- {shown} ping statistics ---");
    let (sent, received) = (usize::from(options.count), times.len());
    let lost = 100 * (sent - received) / sent;
    println!("{sent} packets transmitted, {received} received, {lost}% packet loss");
    summarize(&times);
    Ok(received)
}

/// Waits for the reply to this request; replies to others came too late.
fn reply(
    socket: &IcmpSocket,
    sequence: u16,
    data: &[u8],
    start: Instant,
    timeout: Duration,
) -> toro::io::Result<Option<u64>> {
    let mut buffer = alloc::vec![0; data.len()];
    loop {
        let Some(left) = timeout.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else { return Ok(None) };
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(reply) if reply.sequence == sequence && reply.len == data.len() && buffer == data => {
                return Ok(Some(start.elapsed().as_nanos() as u64));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// The shortest, the mean and the longest time in nanoseconds, and how far they lie apart.
fn summarize(times: &[u64]) {
    let (Some(least), Some(most)) = (times.iter().min(), times.iter().max()) else { return };
    let count = times.len() as u128;
    let mean = times.iter().map(|&time| u128::from(time)).sum::<u128>() / count;
    let variance = times.iter().map(|&time| u128::from(time).abs_diff(mean).pow(2)).sum::<u128>() / count;
    let [least, mean, most, deviation] = [*least, mean as u64, *most, variance.isqrt() as u64].map(Milliseconds);
    println!("rtt min/avg/max/mdev = {least}/{mean}/{most}/{deviation} ms");
}

/// Nanoseconds, shown as milliseconds.
#[derive(Clone, Copy)]
struct Milliseconds(u64);

impl core::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000_000, self.0 / 1000 % 1000)
    }
}
