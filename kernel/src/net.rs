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
//! IPv4, from DHCP or from the command line: see [`Addressing`] for the word `ip=`. IPv6 will need more in `dispatch`;
//! smoltcp has the rest.
//!
//! # Loopback
//!
//! 127.0.0.0/8, ::1 and the interface's own addresses lead back to the same core, also to one without a network device:
//! `loopback` says how. Each core talks to itself only. What listens on another core cannot be reached in this way, just as
//! that core's sockets are not this one's; for messages between cores there is [`sync::mpsc`](crate::sync::mpsc).
//!
//! # Failure
//!
//! Peers can do no more than end their own connections. A device that breaks the protocol ends all of them with
//! `NetworkDown`. What waits has a deadline: see the timeouts in [`Config`].
#![deny(unsafe_code)]

mod address;
mod checksum;
#[cfg(target_os = "none")]
mod company;
mod config;
mod connection;
#[cfg(target_os = "none")]
mod datagram;
mod dispatch;
mod dns;
mod error;
mod flow;
mod headers;
#[cfg(target_os = "none")]
mod interface;
mod key_queue;
mod limits;
mod link;
mod listener;
mod loopback;
#[cfg(target_os = "none")]
mod no_wire;
mod offload;
#[cfg(target_os = "none")]
mod patience;
#[cfg(target_os = "none")]
mod poll;
mod pool;
mod port;
mod ports;
mod readiness;
mod share;
mod signal;
mod slab;
mod split;
pub mod stack;
mod system;
#[cfg(target_os = "none")]
mod tcp;
#[cfg(test)]
mod testing;
mod time_wait;
mod timers;
mod udp;

pub use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

pub use address::{Addressing, AddressingError, StaticAddress};
pub use config::{BufferSizes, Config};
pub use connection::KeepAlive;
#[cfg(target_os = "none")]
pub use datagram::UdpSocket;
pub use error::NetError;
#[cfg(target_os = "none")]
pub use interface::{
    attach, attach_queues, counters, is_attached, local_address, set_limits, usage, wait_until_configured,
};
pub use limits::{LimitError, Limits};
#[cfg(target_os = "none")]
pub use poll::{PollEntry, Pollable, poll};
pub use readiness::Readiness;
pub use share::{Search, Seat, Stray};
pub use signal::Signal;
#[cfg(target_os = "none")]
pub use tcp::{Incoming, Linger, Shutdown, TcpListener, TcpStream};
pub use udp::Broadcast;
