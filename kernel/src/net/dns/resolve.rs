//! [`lookup_host`]: finds the addresses of a name while the calling thread waits.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::{IpAddr, Ipv6Addr};

use super::cache::Cache;
use super::inquiry::{Failure, Inquiry, Step};
use super::message::{LONGEST, Name};
use super::{IS_THERE, known};
use crate::core_local;
use crate::io::{Error, ErrorKind, Result};
use crate::net::UdpSocket;
use crate::net::interface::{Interface, seed};
use crate::time::{Duration, Instant};

core_local! {
    /// What this core has found.
    static CACHE: RefCell<Cache> = RefCell::new(Cache::new());
}

/// The addresses of a host, those of IPv4 first: of a name, `localhost`, or an address as text. What DNS servers say is
/// remembered for as long as they say it is good, on each core by itself. At most some thirty seconds are waited for them.
///
/// The servers are those of the word `dns=` of the command line (addresses with commas between them, and a port if it is not
/// 53), and those that DHCP servers and routers name.
///
/// # Errors
///
/// - [`ErrorKind::NotFound`]: there is no such name, or it has no address;
/// - [`ErrorKind::InvalidInput`]: it is no name;
/// - [`ErrorKind::TimedOut`]: no server has answered;
/// - [`ErrorKind::NetworkUnreachable`]: no server is known;
/// - [`ErrorKind::Other`]: no server could answer;
/// - [`ErrorKind::Unsupported`]: it is no address, and the image is without the feature `dns`.
pub fn lookup_host(host: &str) -> Result<Vec<IpAddr>> {
    if let Some(addresses) = known(host) {
        return Ok(addresses);
    }
    if !IS_THERE {
        return Err(Error::new(ErrorKind::Unsupported, "names are not looked up"));
    }
    let name = Name::parse(host).ok_or_else(|| Error::new(ErrorKind::InvalidInput, "not the name of a host"))?;
    if let Some(addresses) = CACHE.get().borrow().get(Instant::now().into(), &name) {
        return Ok(addresses.to_vec());
    }
    let servers = Interface::current().stack().dns_servers().to_vec();
    if servers.is_empty() {
        return Err(Error::new(ErrorKind::NetworkUnreachable, "no DNS server is known"));
    }
    let (addresses, seconds) = inquire(Inquiry::new(Instant::now().into(), &name, &servers, seed([0; 6])))?;
    CACHE.get().borrow_mut().put(Instant::now().into(), name, addresses.clone(), seconds);
    Ok(addresses)
}

/// Asks until it is known, or is not going to be.
fn inquire(mut inquiry: Inquiry) -> Result<(Vec<IpAddr>, u32)> {
    // A port of its own, which nobody can know beforehand.
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    socket.set_write_timeout(Some(Duration::from_secs(1)))?;
    let mut buffer = [0; LONGEST];
    loop {
        let now = Instant::now();
        match inquiry.step(now.into()) {
            Step::Send(server, question) => {
                if socket.send_to(&question, server).is_err() {
                    inquiry.cannot_ask(now.into(), server);
                }
            }
            Step::Wait(until) => {
                let patience = Instant::from(until).saturating_duration_since(now);
                socket.set_read_timeout(Some(patience.max(Duration::from_nanos(1))))?;
                match socket.recv_from(&mut buffer) {
                    Ok((len, from)) => inquiry.take(Instant::now().into(), from, &buffer[..len]),
                    Err(error) if error.kind() == ErrorKind::TimedOut => {}
                    Err(error) => return Err(error),
                }
            }
            Step::Done(outcome) => return outcome.map_err(Into::into),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotFound => Self::new(ErrorKind::NotFound, "there is no such host"),
            Failure::TimedOut => Self::new(ErrorKind::TimedOut, "no DNS server has answered"),
            Failure::ServerFailed => Self::new(ErrorKind::Other, "no DNS server could answer"),
        }
    }
}
