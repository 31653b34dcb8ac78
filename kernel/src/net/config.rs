//! [`Config`]: what can be chosen about a stack.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::address::Addressing;
use super::address6::Addressing6;
use super::limits::Limits;
use super::share::Seat;

/// What can be chosen about a stack.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the interface's IPv4 address comes from.
    pub addressing: Addressing,
    /// Where its IPv6 addresses come from.
    pub addressing6: Addressing6,
    /// DNS servers that are known beforehand; those that a DHCP server or a router names come behind them.
    pub dns_servers: Vec<SocketAddr>,
    /// Which of the stacks with this address it is.
    pub seat: Seat,
    /// What sequence numbers, ports and the hash of flows are derived from. It should differ from boot to boot and
    /// be unknown to peers.
    pub seed: u64,
    /// Bytes that the buffers of all sockets may take up together.
    pub memory: usize,
    /// How many sockets there may be.
    pub limits: Limits,
    /// Buffers of a connection while memory is plentiful.
    pub large: BufferSizes,
    /// Buffers of a connection while it is not.
    pub small: BufferSizes,
    /// How long a peer may take to complete a handshake that it began.
    pub handshake_timeout: Duration,
    /// How long a peer may take to answer a connection attempt.
    pub connect_timeout: Duration,
    /// How long a peer may be silent while data waits for its acknowledgement.
    pub peer_timeout: Duration,
    /// How long a connection that nobody holds any more may go without progress before it is reset.
    pub linger: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addressing: Addressing::Dhcp,
            addressing6: Addressing6::Auto,
            dns_servers: Vec::new(),
            seat: Seat::ALONE,
            seed: 0,
            memory: 12 << 20,
            limits: Limits::default(),
            large: BufferSizes { receive: 16 << 10, transmit: 64 << 10 },
            small: BufferSizes { receive: 4 << 10, transmit: 16 << 10 },
            handshake_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(20),
            peer_timeout: Duration::from_secs(60),
            linger: Duration::from_secs(20),
        }
    }
}

/// Sizes of a connection's two buffers, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSizes {
    /// How much may arrive before it is read; this is also the window that the peer sees.
    pub receive: usize,
    /// How much may be written before it is acknowledged.
    pub transmit: usize,
}

impl BufferSizes {
    /// Both together.
    pub const fn total(&self) -> usize {
        self.receive + self.transmit
    }
}
