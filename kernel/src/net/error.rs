//! [`NetError`]: why an operation on the stack did not succeed.

use core::fmt;

use crate::io::{Error, ErrorKind};

/// Why an operation on the stack did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetError {
    /// Nothing can be done now; the socket's [`Signal`](super::Signal) says when to try again.
    WouldBlock,
    /// Another socket has this port.
    AddressInUse,
    /// The address is none of this interface.
    AddressNotAvailable,
    /// There is no route to the address, or the interface has no address yet.
    NetworkUnreachable,
    /// The network device has failed, or the interface lost the address that the connection used.
    NetworkDown,
    /// The peer refused the connection: it answered with a reset.
    ConnectionRefused,
    /// The peer broke the connection off: it sent a reset.
    ConnectionReset,
    /// The peer did not answer in time.
    TimedOut,
    /// The socket is not connected.
    NotConnected,
    /// The sending half has been closed.
    BrokenPipe,
    /// The datagram can never be sent through this socket.
    MessageTooLong,
    /// An address or a size makes no sense here.
    InvalidInput,
    /// No memory for another socket, or no free port.
    Exhausted,
    /// There are as many sockets as [`Limits`](super::Limits) allow.
    LimitReached,
    /// The socket may not send to everybody: see [`Stack::set_broadcast`](super::stack::Stack::set_broadcast).
    PermissionDenied,
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBlock => "the operation would block",
            Self::AddressInUse => "the address is in use",
            Self::AddressNotAvailable => "the address is not available",
            Self::NetworkUnreachable => "the network is unreachable",
            Self::NetworkDown => "the network is down",
            Self::ConnectionRefused => "the connection was refused",
            Self::ConnectionReset => "the connection was reset by the peer",
            Self::TimedOut => "the peer did not answer in time",
            Self::NotConnected => "the socket is not connected",
            Self::BrokenPipe => "the sending half of the connection is closed",
            Self::MessageTooLong => "the datagram is too long",
            Self::InvalidInput => "invalid address or size",
            Self::Exhausted => "no memory or port for another socket",
            Self::LimitReached => "there are as many sockets as allowed",
            Self::PermissionDenied => "the socket may not send to everybody",
        })
    }
}

impl core::error::Error for NetError {}

impl From<NetError> for Error {
    fn from(error: NetError) -> Self {
        match error {
            NetError::WouldBlock => ErrorKind::WouldBlock.into(),
            NetError::AddressInUse => ErrorKind::AddrInUse.into(),
            NetError::AddressNotAvailable => ErrorKind::AddrNotAvailable.into(),
            NetError::NetworkUnreachable => ErrorKind::NetworkUnreachable.into(),
            NetError::NetworkDown => ErrorKind::NetworkDown.into(),
            NetError::ConnectionRefused => ErrorKind::ConnectionRefused.into(),
            NetError::ConnectionReset => ErrorKind::ConnectionReset.into(),
            NetError::TimedOut => ErrorKind::TimedOut.into(),
            NetError::NotConnected => ErrorKind::NotConnected.into(),
            NetError::BrokenPipe => ErrorKind::BrokenPipe.into(),
            NetError::InvalidInput => ErrorKind::InvalidInput.into(),
            NetError::PermissionDenied => ErrorKind::PermissionDenied.into(),
            NetError::LimitReached => Self::new(ErrorKind::QuotaExceeded, "there are as many sockets as allowed"),
            NetError::MessageTooLong => Self::new(ErrorKind::InvalidInput, "the datagram is too long"),
            NetError::Exhausted => Self::new(ErrorKind::OutOfMemory, "no memory or port for another socket"),
        }
    }
}
