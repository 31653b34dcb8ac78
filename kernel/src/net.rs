//! The network: TCP, UDP, ICMP over IPv4 and IPv6 on one Ethernet device, and sockets with the API of `std::net`.
//!
//! ```text
//!   service, and `toro::socket`         callbacks; descriptors that are numbers               (on bare metal)
//!   TcpListener TcpStream UdpSocket     block the calling thread only
//!     poll                              waits for many of them
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
//! IPv4 from DHCP or from the command line ([`Addressing`], the word `ip=`), IPv6 from routers or from the command line
//! ([`Addressing6`], the word `ip6=`), besides a link-local address. Both families are there, and a socket that is bound to
//! `[::]` serves both. In an image without the feature `ipv6` there is IPv4 alone, as with `ip6=none`: `[::]` stands for all
//! addresses that there are, and others of IPv6 are those of nobody.
//!
//! Not there: putting fragments together, of either family; path MTU discovery (segments are as long as the link allows,
//! or as the peer's maximum segment size says, which routers in front of narrower links usually lower); the scope of
//! link-local addresses, because a core has one link.
//!
//! # Loopback
//!
//! 127.0.0.0/8, ::1 and the interface's own addresses lead back to the same core, also to one without a network device:
//! `loopback` says how. Each core talks to itself only. What listens on another core cannot be reached in this way, just as
//! that core's sockets are not this one's; for messages between cores there is [`sync::mpsc`](crate::sync::mpsc).
//!
//! # Limits
//!
//! How many sockets there may be, and how much memory for their buffers, is bounded: see [`Limits`] for the numbers and the
//! words of the command line. What reaches a limit is refused with an error, or waits.
//!
//! # Failure
//!
//! Peers can do no more than end their own connections. A device that breaks the protocol ends all of them with
//! `NetworkDown`. What waits has a deadline: see the timeouts in [`Config`].
#![deny(unsafe_code)]

mod acknowledgement;
mod address;
mod address6;
mod checksum;
#[cfg(target_os = "none")]
mod company;
mod config;
mod configuration;
mod connection;
#[cfg(target_os = "none")]
mod datagram;
mod dispatch;
mod dns;
mod echo;
mod error;
mod flow;
mod headers;
#[cfg(target_os = "none")]
mod icmp;
#[cfg(target_os = "none")]
mod interface;
#[cfg(feature = "ipv6")]
mod ipv6;
#[cfg(not(feature = "ipv6"))]
#[path = "net/no_ipv6.rs"]
mod ipv6;
mod key_queue;
mod limits;
mod link;
mod listener;
mod loopback;
mod membership;
mod neighbor;
#[cfg(target_os = "none")]
mod no_wire;
mod offload;
mod patience;
#[cfg(target_os = "none")]
mod poll;
mod pool;
mod port;
mod ports;
mod readiness;
mod recovery;
mod refusal;
#[cfg(feature = "segmentation")]
mod segmentation;
#[cfg(not(feature = "segmentation"))]
#[path = "net/no_segmentation.rs"]
mod segmentation;
#[cfg(target_os = "none")]
pub mod service;
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
#[cfg(target_os = "none")]
mod to_socket_addrs;
mod udp;
mod wire;

pub use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

pub use address::{Addressing, AddressingError, StaticAddress};
pub use address6::{Addressing6, Addressing6Error, StaticAddress6};
pub use config::{BufferSizes, Config, Congestion};
pub use configuration::{Configuration, MOST_ADDRESSES6, MOST_DNS_SERVERS, NetworkAddress6};
pub use connection::KeepAlive;
#[cfg(target_os = "none")]
pub use datagram::UdpSocket;
#[cfg(target_os = "none")]
pub use dns::lookup_host;
pub use echo::EchoReply;
pub use error::NetError;
#[cfg(target_os = "none")]
pub use icmp::{IcmpSocket, ping};
#[cfg(target_os = "none")]
pub(crate) use interface::{Interface, Queues};
#[cfg(target_os = "none")]
pub use interface::{
    attach, attach_queues, configuration, counters, is_attached, local_address, set_limits, usage,
    wait_until_configured, wait_until_configured_any, wait_until_configured6,
};
#[cfg(target_os = "none")]
pub(crate) use limits::number;
pub use limits::{LimitError, Limits};
pub(crate) use patience::Wait;
#[cfg(target_os = "none")]
pub(crate) use poll::Waiting;
#[cfg(target_os = "none")]
pub use poll::{PollEntry, Pollable, poll};
pub use readiness::Readiness;
pub use share::{Search, Seat, Stray};
pub use signal::Signal;
pub(crate) use stack::HOP_LIMIT;
#[cfg(target_os = "none")]
pub use tcp::{Incoming, Linger, Shutdown, TcpListener, TcpStream};
#[cfg(target_os = "none")]
pub use to_socket_addrs::ToSocketAddrs;
pub use udp::Broadcast;
pub(crate) use udp::CAPACITIES as UDP_CAPACITIES;
