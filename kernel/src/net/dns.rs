//! Names of hosts: what addresses they have, asked of DNS servers (RFC 1034, RFC 1035).
//!
//! ```text
//!   lookup_host("example.org")                                    waits, on bare metal       `resolve`
//!      |-- an address, or "localhost" ----------> known without asking
//!      |-- cache: addresses, until they expire                                               `cache`
//!      +-- inquiry: two questions, A and AAAA; which server when; which answers count        `inquiry`
//!             +-- message: bytes of questions and answers                                    `message`
//! ```
//!
//! All but `resolve` knows neither threads nor sockets nor clocks, and is tested on a host.
//!
//! smoltcp's own DNS socket is not used: it does not say how long an answer is good for, speaks to port 53 only, and takes
//! the answer of any of its servers to any of its questions of the same number. Its parser of messages is: it follows
//! pointers to earlier places only, so that no message makes it run in circles.
//!
//! # What is believed
//!
//! Whoever guesses or sees a question can forge its answer; DNS offers nothing better. What can be made hard is: numbers and
//! source ports are drawn at random (RFC 5452), and an answer counts only if it comes from the very address and port that
//! were asked, has the number that was sent there, and repeats the question. Everything else is passed over, and the waiting
//! goes on. So is what cannot be parsed. Aliases are followed [`MOST_ALIASES`](inquiry::MOST_ALIASES) steps far.
//!
//! # Limits
//!
//! Answers come over UDP, with 512 bytes at most, some 28 addresses. Of a truncated answer its addresses are used; one
//! without any counts as no answer, since there is no way to ask over TCP. Names are ASCII (letters, digits, `-` and `_`), and
//! complete: there is no list of domains to append. That a name does not exist is not remembered.

mod cache;
mod inquiry;
mod message;
#[cfg(target_os = "none")]
mod resolve;

pub(super) use message::Kind;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
#[cfg(target_os = "none")]
pub use resolve::lookup_host;

/// Whether names are looked up.
pub(super) const IS_THERE: bool = cfg!(feature = "dns");

/// The addresses that a name has without anybody being asked: it is one, or the host's own (RFC 6761 §6.3).
pub(super) fn known(host: &str) -> Option<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Some(alloc::vec![address]);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost").then(|| alloc::vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_the_host_itself_are_known() {
        assert_eq!(known("10.0.2.3"), Some(alloc::vec!["10.0.2.3".parse().expect("an address")]));
        assert_eq!(known("fe80::1"), Some(alloc::vec!["fe80::1".parse().expect("an address")]));
        for name in ["localhost", "LocalHost.", "www.localhost"] {
            assert_eq!(known(name).map(|addresses| addresses.len()), Some(2), "{name}");
        }
        for name in ["localhost.example", "mylocalhost", "10.0.2", ""] {
            assert_eq!(known(name), None, "{name}");
        }
    }
}
