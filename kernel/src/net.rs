//! The network: TCP, UDP, ICMP, ARP and DHCP over one Ethernet device, and sockets with the API of `std::net`.
//!
//! ```text
//!   TcpListener TcpStream UdpSocket     block the calling thread only                        (on bare metal)
//!   -----------------------------------------------------------------
//!   Stack                               never blocks; one per core; knows nothing of threads
//!     flow table, listeners, timers     finds the one socket that a frame or a deadline concerns
//!     Link                              an smoltcp interface, a socket at a time
//!     Port                              frames of a NetDevice, read and written where they lie
//!   -----------------------------------------------------------------
//!   dyn NetDevice                       a driver
//! ```
//!
//! The upper half needs the scheduler; the lower half ([`stack`]) is tested on a host, against itself and against
//! plain smoltcp, over a cable that loses and holds back frames.
//!
//! # Ownership
//!
//! All of it belongs to one core. Streams and sockets are handles into that core's stack, hence not `Send`. Where a
//! device has a queue pair for each core, each core has a stack of its own with the same address, and frames that
//! arrive at the wrong one are carried to the right one: `share` says which that is.
//!
//! # Addresses
//!
//! IPv4, from DHCP or from the command line: see [`Addressing`] for the word `ip=`. A connection to the guest's own
//! address or to 127.0.0.1 is not possible: there is no loopback interface. IPv6 will need a wider address in the
//! flow table, in `dispatch` and in the public API; smoltcp has the rest.
//!
//! # Failure
//!
//! Peers can do no more than end their own connections. A device that breaks the protocol ends all of them with
//! `NetworkDown`. What waits has a deadline: see the timeouts in [`Config`].
#![deny(unsafe_code)]

mod address;
#[cfg(target_os = "none")]
mod company;
mod config;
mod connection;
#[cfg(target_os = "none")]
mod datagram;
mod dispatch;
mod error;
mod flow;
#[cfg(target_os = "none")]
mod interface;
mod key_queue;
mod link;
mod listener;
mod pool;
mod port;
mod ports;
mod share;
mod signal;
mod slab;
pub mod stack;
mod system;
#[cfg(target_os = "none")]
mod tcp;
#[cfg(test)]
mod testing;
mod time_wait;
mod timers;
mod udp;

pub use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

pub use address::{Addressing, AddressingError, StaticAddress};
pub use config::{BufferSizes, Config};
#[cfg(target_os = "none")]
pub use datagram::UdpSocket;
pub use error::NetError;
#[cfg(target_os = "none")]
pub use interface::{attach, attach_queues, counters, is_attached, local_address, usage, wait_until_configured};
pub use share::{Search, Seat, Stray};
pub use signal::Signal;
#[cfg(target_os = "none")]
pub use tcp::{Incoming, Shutdown, TcpListener, TcpStream};
