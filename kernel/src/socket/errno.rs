//! [`Errno`]: why a call did not succeed, as POSIX says it.

use crate::io::Error;
use crate::net::NetError;

/// An error number. The values are those of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errno(pub(super) i32);

/// The error numbers of this interface, with the names of POSIX and the values of Linux.
macro_rules! numbers {
    ($($name:ident = $value:literal, $what:literal;)*) => {
        $(#[doc = $what]
        pub const $name: i32 = $value;)*

        impl Errno {
            $(pub(super) const $name: Self = Self($value);)*
        }
    };
}

numbers! {
    EBADF = 9, "This core has no such socket.";
    EAGAIN = 11, "It would have to wait, or has waited as long as it may.";
    EACCES = 13, "The socket may not send to everybody (`SO_BROADCAST`).";
    EINVAL = 22, "An argument makes no sense, or not in this state.";
    ENFILE = 23, "There are as many sockets as the limits of the network allow.";
    EMFILE = 24, "There are as many descriptors as a core may have.";
    EPIPE = 32, "The sending half is closed.";
    EDESTADDRREQ = 89, "A datagram needs an address.";
    EMSGSIZE = 90, "The datagram is too long.";
    ENOPROTOOPT = 92, "There is no such option.";
    EPROTONOSUPPORT = 93, "There is no such protocol.";
    ESOCKTNOSUPPORT = 94, "There is no such type of socket.";
    EOPNOTSUPP = 95, "Sockets of this type cannot do that.";
    EAFNOSUPPORT = 97, "There are no such addresses, or not for this socket.";
    EADDRINUSE = 98, "Another socket has the port.";
    EADDRNOTAVAIL = 99, "The address is none of this interface.";
    ENETDOWN = 100, "The network device has failed, or there is none.";
    ENETUNREACH = 101, "There is no way there, or the interface has no address yet.";
    ECONNRESET = 104, "The peer broke the connection off.";
    ENOBUFS = 105, "There is no memory for another socket, or no free port.";
    EISCONN = 106, "It is connected already.";
    ENOTCONN = 107, "It is not connected.";
    ETIMEDOUT = 110, "The peer did not answer.";
    ECONNREFUSED = 111, "Nobody listens there.";
    EALREADY = 114, "It is being connected already.";
    EINPROGRESS = 115, "The connection is being opened: `POLLOUT` says when `SO_ERROR` knows more.";
}

/// The same as [`EAGAIN`].
pub const EWOULDBLOCK: i32 = EAGAIN;

impl From<NetError> for Errno {
    fn from(error: NetError) -> Self {
        match error {
            NetError::WouldBlock => Self::EAGAIN,
            NetError::AddressInUse => Self::EADDRINUSE,
            NetError::AddressNotAvailable => Self::EADDRNOTAVAIL,
            NetError::NetworkUnreachable => Self::ENETUNREACH,
            NetError::NetworkDown => Self::ENETDOWN,
            NetError::ConnectionRefused => Self::ECONNREFUSED,
            NetError::ConnectionReset => Self::ECONNRESET,
            NetError::TimedOut => Self::ETIMEDOUT,
            NetError::NotConnected => Self::ENOTCONN,
            NetError::BrokenPipe => Self::EPIPE,
            NetError::MessageTooLong => Self::EMSGSIZE,
            NetError::InvalidInput => Self::EINVAL,
            NetError::Exhausted => Self::ENOBUFS,
            NetError::LimitReached => Self::ENFILE,
            NetError::PermissionDenied => Self::EACCES,
        }
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_host() {
        // `std` knows the host's words for its numbers.
        for (errno, words) in [
            (EBADF, "Bad file descriptor"),
            (EAGAIN, "Resource temporarily unavailable"),
            (EACCES, "Permission denied"),
            (EINVAL, "Invalid argument"),
            (ENFILE, "Too many open files in system"),
            (EMFILE, "Too many open files"),
            (EPIPE, "Broken pipe"),
            (EDESTADDRREQ, "Destination address required"),
            (EMSGSIZE, "Message too long"),
            (ENOPROTOOPT, "Protocol not available"),
            (EPROTONOSUPPORT, "Protocol not supported"),
            (ESOCKTNOSUPPORT, "Socket type not supported"),
            (EOPNOTSUPP, "Operation not supported"),
            (EAFNOSUPPORT, "Address family not supported by protocol"),
            (EADDRINUSE, "Address already in use"),
            (EADDRNOTAVAIL, "Cannot assign requested address"),
            (ENETDOWN, "Network is down"),
            (ENETUNREACH, "Network is unreachable"),
            (ECONNRESET, "Connection reset by peer"),
            (ENOBUFS, "No buffer space available"),
            (EISCONN, "Transport endpoint is already connected"),
            (ENOTCONN, "Transport endpoint is not connected"),
            (ETIMEDOUT, "Connection timed out"),
            (ECONNREFUSED, "Connection refused"),
            (EALREADY, "Operation already in progress"),
            (EINPROGRESS, "Operation now in progress"),
        ] {
            let known = std::io::Error::from_raw_os_error(errno).to_string();
            assert_eq!(known, std::format!("{words} (os error {errno})"));
        }
    }

    #[test]
    fn an_error_keeps_its_number_and_has_its_category() {
        let error = Error::from(Errno::from(NetError::ConnectionRefused));
        assert_eq!(error.raw_os_error(), Some(ECONNREFUSED));
        assert_eq!(error.kind(), crate::io::ErrorKind::ConnectionRefused);
        assert_eq!(Error::from(Errno::EINPROGRESS).raw_os_error(), Some(115));
    }
}
