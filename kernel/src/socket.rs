//! Berkeley sockets: descriptors that are numbers, error numbers, and the constants of POSIX.
//!
//! ```ignore
//! let listener = socket(AF_INET, SOCK_STREAM, 0)?;
//! bind(listener, "0.0.0.0:7".parse()?)?;
//! listen(listener, SOMAXCONN)?;
//! loop {
//!     let (client, _) = accept(listener)?;
//!     thread::spawn(move || {
//!         let mut buffer = [0; 1024];
//!         while let Ok(len @ 1..) = recv(client, &mut buffer, 0) {
//!             send(client, &buffer[..len], 0)?;
//!         }
//!         close(client)
//!     });
//! }
//! ```
//!
//! This is for programs that are written for this interface. Others are better off with [`crate::net`], whose sockets
//! close themselves; both use the same stack, the same waiting and the same limits.
//!
//! ```text
//!   calls       block the thread                                       (on bare metal)
//!   ----------------------------------------------------------------
//!   Table       descriptors and what they are; never waits
//!     naming transfer options ready select
//!   ----------------------------------------------------------------
//!   net::stack  sockets without names
//! ```
//!
//! # Against POSIX.1-2017
//!
//! | function | difference |
//! |---|---|
//! | `socket` | `AF_INET`, `AF_INET6`; `SOCK_STREAM`, `SOCK_DGRAM`, each with `SOCK_NONBLOCK`; protocol 0 or the one there is. `SOCK_CLOEXEC` is nothing. Works without a network device. |
//! | `bind` | An IPv6 socket does not take IPv4-mapped addresses. |
//! | `listen` | Without `bind` it takes a free port, as on Linux. The backlog counts handshakes, too; 0 is 1. A connection beyond it waits, and is not refused. |
//! | `accept`, `accept4` | The new socket has the options of the listening one; whether it waits, only `accept4` says. |
//! | `connect` | A socket for streams that failed can be used again. For one for datagrams, [`disconnect`] is what C says with `AF_UNSPEC`; that nobody listens there is not noticed (`ECONNREFUSED`), as ICMP is not looked at. The second call after a non-blocking one answers 0, as on Linux, then `EISCONN`. |
//! | `send`, `sendto` | `MSG_DONTWAIT`, `MSG_NOSIGNAL`. There are no signals: `EPIPE` comes alone. No `MSG_OOB`, no `sendmsg`. |
//! | `recv`, `recvfrom` | `MSG_PEEK`, `MSG_DONTWAIT`, `MSG_WAITALL` (not together with `MSG_PEEK`), `MSG_TRUNC` for datagrams, as on Linux. The error of a broken connection is told each time, not once. No `MSG_OOB`, no `recvmsg`. |
//! | `shutdown` | Only of connections; a datagram socket with a peer answers `EOPNOTSUPP`. |
//! | `close` | With `SO_LINGER`, a connection whose time is over is reset, and the answer is `EAGAIN`; on Linux it goes on in the background. A thread that waits with the socket wakes up with `EBADF`. |
//! | `getsockname`, `getpeername` | None. |
//! | `setsockopt`, `getsockopt` | Values are typed ([`OptionValue`]). See the next table. |
//! | `poll` | `POLLPRI` and the bands never come. `POLLHUP` and `POLLOUT` come together, as on Linux: writing fails at once. Without a socket and a timeout the answer is `EINVAL`: nothing could end it. |
//! | `select` | Sets have [`FD_SETSIZE`] members, larger numbers cannot be put in. The timeout is not changed. Nothing is ever exceptional. |
//! | `fcntl`, `ioctl` | [`set_nonblocking`] and [`nonblocking`]. |
//! | `read`, `write`, `dup`, `socketpair`, `sockatmark`, `sendmsg`, `recvmsg` | There are none. |
//!
//! | option | |
//! |---|---|
//! | `SO_REUSEADDR` | Kept, and without effect: what it allows is always allowed. Two sockets never have the same port. |
//! | `SO_KEEPALIVE`, `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT` | One time for both: the time before the first question and that between questions. The first question comes at once. |
//! | `TCP_NODELAY` | On from the start. |
//! | `SO_LINGER` | See `close`. |
//! | `SO_RCVTIMEO`, `SO_SNDTIMEO` | A call whose time is over answers `EAGAIN`, `connect` answers `EINPROGRESS`. |
//! | `SO_RCVBUF`, `SO_SNDBUF` | To be read only: [`Config`](crate::net::Config) chooses. |
//! | `SO_ERROR`, `SO_TYPE`, `SO_ACCEPTCONN`, `SO_DOMAIN`, `SO_PROTOCOL` | To be read only. |
//! | `SO_BROADCAST` | As it should be. |
//! | `IP_TTL`, `IPV6_UNICAST_HOPS` | 1 to 255; -1 stands for 64. |
//! | `IPV6_V6ONLY` | Always on. |
//!
//! # Cores
//!
//! Each core has a table of its own, as it has a network of its own. A [`Socket`] is a number, but cannot be sent to
//! another core, where it would be another socket. A core may have 1024, or as many as the word `net.descriptors=` of
//! the command line says; beyond that the answer is `EMFILE`.
//!
//! # Failure
//!
//! Every error has a number: [`Error::raw_os_error`](crate::io::Error::raw_os_error) gives it, with the values of Linux.
//! A number that is no socket is `EBADF`. Nothing panics.

mod constants;
mod errno;
mod naming;
mod options;
mod ready;
mod select;
mod table;
mod transfer;

#[cfg(target_os = "none")]
mod calls;
#[cfg(test)]
mod tests;

use core::fmt;
use core::marker::PhantomData;

#[cfg(target_os = "none")]
pub use calls::{
    accept, accept4, bind, close, connect, disconnect, getpeername, getsockname, getsockopt, listen, nonblocking, poll,
    recv, recvfrom, select, send, sendto, set_nonblocking, setsockopt, shutdown, socket,
};
pub use constants::*;
pub use errno::*;
pub use options::{Linger, OptionValue, Timeval};
pub use ready::PollFd;
pub use select::{FD_SETSIZE, FdSet};

/// A socket of the calling core, by its number. It closes nothing when it is dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Socket {
    number: i32,
    /// The number means nothing on another core.
    of_this_core: PhantomData<*const ()>,
}

impl Socket {
    /// The socket with this number, if there is one.
    pub const fn from_raw(number: i32) -> Self {
        Self { number, of_this_core: PhantomData }
    }

    /// Its number.
    pub const fn as_raw(self) -> i32 {
        self.number
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.number)
    }
}
