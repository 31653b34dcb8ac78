//! ICMPv6 by hand: a router that announces a network, and pings.
//!
//! Both are made here and not by programs, because few hosts have `radvd`, and many no `ping`. The kernel fills in checksums.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt};

/// How long an answer is waited for before the question is repeated.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long questions are repeated.
const LONGEST: Duration = Duration::from_secs(60);

/// A raw socket.
///
/// # Errors
///
/// What the host says.
fn socket() -> Result<OwnedFd, String> {
    let trouble = |error: rustix::io::Errno| format!("a raw socket: {error}");
    let kind = SocketType::RAW;
    let socket = rustix::net::socket_with(AddressFamily::INET6, kind, SocketFlags::CLOEXEC, Some(ipproto::ICMPV6));
    let socket = socket.map_err(trouble)?;
    sockopt::set_ipv6_multicast_hops(&socket, 255).map_err(trouble)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE)).map_err(trouble)?;
    Ok(socket)
}

fn send(socket: &OwnedFd, message: &[u8], to: SocketAddrV6) -> Result<(), String> {
    rustix::net::sendto(socket, message, SendFlags::empty(), &to).map(drop).map_err(|error| format!("to {to}: {error}"))
}

/// The number of an interface.
fn index(interface: &str) -> Result<u32, String> {
    // Not in /sys, which is mounted in another namespace.
    let said = super::succeed(std::process::Command::new("ip").args(["-o", "link", "show", "dev", interface]))?;
    let number = said.split(':').next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("no number of {interface} in {said:?}"))
}

/// Says once to all nodes at an interface that `prefix`, of 64 bits, is on the link, that hosts may take addresses in it, that
/// this host is a router, and that there is a DNS server. All for an hour.
///
/// # Errors
///
/// What the host says.
pub fn advertise(interface: &str, prefix: Ipv6Addr, dns_server: Ipv6Addr) -> Result<(), String> {
    // RFC 4861 §4.2, §4.6.2; RFC 8106 §5.1.
    let hour = 3600_u32.to_be_bytes();
    let head: &[u8] = &[134, 0, 0, 0, 64, 0, 0x0e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0];
    let network = [&[3, 4, 64, 0xc0][..], &hour, &hour, &[0; 4], &prefix.octets()].concat();
    let server = [&[25, 3, 0, 0][..], &hour, &dns_server.octets()].concat();
    let all_nodes = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, index(interface)?);
    send(&socket()?, &[head, &network, &server].concat(), all_nodes)
}

/// Pings a host until it answers, with `len` bytes of which each is compared.
///
/// # Errors
///
/// What happened instead.
pub fn ping(host: Ipv6Addr, len: usize) -> Result<(), String> {
    let socket = socket()?;
    let payload: Vec<u8> = (0..len).map(|i| (i ^ (i >> 8)) as u8).collect();
    let message = |kind: u8| [&[kind, 0, 0, 0, 0x12, 0x34, 0, 1][..], &payload].concat();
    let started = Instant::now();
    let mut buffer = vec![0; 1 << 16];
    while started.elapsed() < LONGEST {
        send(&socket, &message(128), SocketAddrV6::new(host, 0, 0, 0))?;
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            let Ok((count, _)) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty()) else { break };
            // The reply has another checksum than a message that is being made.
            let reply = &buffer[..count];
            if reply.len() > 4 && reply[0] == 129 && reply[4..] == message(129)[4..] {
                return Ok(());
            }
        }
    }
    Err(format!("no answer of {host} to a ping of {len} bytes"))
}
