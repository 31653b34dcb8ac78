//! The calls of the interface: [`Table`] and the waiting.
//!
//! A call that finds nothing to do waits in the queues of its socket, which the network wakes, and tries again. It holds
//! neither the table nor the stack meanwhile, so other threads may use the same socket, or close it: then the waiting
//! call answers `EBADF`.

use core::cell::RefCell;
use core::iter;
use core::net::SocketAddr;

use super::Socket;
use super::constants::{MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL};
use super::errno::Errno;
use super::options::{OptionValue, Timeval};
use super::ready::PollFd;
use super::select::{FdSet, Sets};
use super::table::{Closing, Direction, Kind, Mode, Table};
use crate::core_local;
use crate::env;
use crate::io::Result;
use crate::net::stack::Stack;
use crate::net::{Interface, Queues, Wait, Waiting, number};
use crate::sched::Wake;
use crate::time::Duration;

core_local! {
    static TABLE: RefCell<Table<Queues>> = RefCell::new(Table::new(DESCRIPTORS));
}

/// How many sockets a core may have, unless the word `net.descriptors=` says otherwise.
const DESCRIPTORS: usize = 1024;

/// Whether a call waits although its socket does not, or the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// As the socket says.
    Socket,
    /// `MSG_DONTWAIT`.
    Not,
}

impl Own {
    const fn of(flags: i32) -> Self {
        if flags & MSG_DONTWAIT != 0 { Self::Not } else { Self::Socket }
    }
}

/// One operation on the table.
fn with_table<T>(
    operate: impl FnOnce(&mut Table<Queues>) -> core::result::Result<T, Errno>,
) -> core::result::Result<T, Errno> {
    operate(&mut TABLE.get().borrow_mut())
}

/// One operation on the table and the stack.
fn with_stack<T>(
    operate: impl FnOnce(&mut Table<Queues>, &mut Stack<Queues>) -> core::result::Result<T, Errno>,
) -> core::result::Result<T, Errno> {
    let interface = Interface::current();
    with_table(|table| operate(table, &mut interface.stack()))
}

/// Tries until the answer is not `EAGAIN`, or there is no time left.
fn wait<T>(
    socket: Socket,
    direction: Direction,
    own: Own,
    mut attempt: impl FnMut(&mut Table<Queues>, &mut Stack<Queues>) -> core::result::Result<T, Errno>,
) -> core::result::Result<T, Errno> {
    let (serial, queues, wait) = with_table(|table| table.waiting(socket.as_raw(), direction))?;
    let mut waiting = Waiting::new(if own == Own::Not { Wait::Not } else { wait });
    let mut last = Wake::Notified;
    loop {
        let outcome =
            with_stack(
                |table, stack| {
                    if table.is_still(socket.as_raw(), serial) { attempt(table, stack) } else { Err(Errno::EBADF) }
                },
            );
        match outcome {
            Err(Errno::EAGAIN) if last == Wake::Notified => {}
            other => return other,
        }
        let queue = if direction == Direction::In { queues.readable() } else { queues.writable() };
        last = waiting.wait(iter::once(queue));
    }
}

/// Makes a socket of this core. It needs no network yet.
///
/// # Errors
///
/// `EAFNOSUPPORT`, `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`: there is no such thing; `EMFILE`: the core has as many as it may.
pub fn socket(domain: i32, kind: i32, protocol: i32) -> Result<Socket> {
    let fd = with_table(|table| {
        table.set_limit(number("net.descriptors", &env::option).ok().flatten().unwrap_or(DESCRIPTORS));
        table.socket(domain, kind, protocol)
    })?;
    Ok(Socket::from_raw(fd))
}

/// Gives the socket an address of ours; port 0 stands for one that is free.
///
/// # Errors
///
/// `EADDRINUSE`: another socket has the port; `EADDRNOTAVAIL`: the address is none of ours; `EAFNOSUPPORT`: it is of the
/// other family; `EINVAL`: the socket has one already; `ENOBUFS`, `ENFILE`: no memory or no port is left, or there are
/// as many sockets as the limits allow; `ENETDOWN`, `EBADF`.
pub fn bind(socket: Socket, address: SocketAddr) -> Result<()> {
    Ok(with_stack(|table, stack| table.bind(stack, socket.as_raw(), address))?)
}

/// Begins to listen; at most `backlog` connections wait to be accepted. Called again, it changes the backlog. A socket
/// without an address gets a free port.
///
/// # Errors
///
/// `EOPNOTSUPP`: it is for datagrams; `EINVAL`: it is connected; as for [`bind`].
pub fn listen(socket: Socket, backlog: i32) -> Result<()> {
    Ok(with_stack(|table, stack| table.listen(stack, socket.as_raw(), backlog))?)
}

/// Waits for a connection. The new socket has the options of the listening one, but waits even if that one does not.
///
/// # Errors
///
/// `EAGAIN`: there is none (yet); `EINVAL`: the socket does not listen; `EOPNOTSUPP`: it is for datagrams; `EMFILE`: the
/// core has as many as it may, and the connection goes on waiting; `ENETDOWN`, `EBADF`.
pub fn accept(socket: Socket) -> Result<(Socket, SocketAddr)> {
    accept4(socket, 0)
}

/// The same; with `SOCK_NONBLOCK` the new socket does not wait.
///
/// # Errors
///
/// As for [`accept`]; `EINVAL`: other flags.
pub fn accept4(socket: Socket, flags: i32) -> Result<(Socket, SocketAddr)> {
    let (fd, peer) =
        wait(socket, Direction::In, Own::Socket, |table, stack| table.accept(stack, socket.as_raw(), flags))?;
    Ok((Socket::from_raw(fd), peer))
}

/// Opens a connection and waits until the peer has answered, or, if the socket does not wait, only begins to. Names the
/// peer of a socket for datagrams.
///
/// # Errors
///
/// `EINPROGRESS`: it has begun, or has not come to an end within `SO_SNDTIMEO`; `EALREADY`: it has begun before;
/// `EISCONN`: it is open; `ECONNREFUSED`, `ETIMEDOUT`: nobody listens, nobody answers; `ENETUNREACH`: there is no way;
/// `EAFNOSUPPORT`, `EADDRINUSE`, `EINVAL`, `ENOBUFS`, `ENFILE`, `ENETDOWN`, `EBADF`.
pub fn connect(socket: Socket, address: SocketAddr) -> Result<()> {
    let fd = socket.as_raw();
    let begun = with_stack(|table, stack| {
        let mode = table.entry(fd)?.mode;
        table.connect(stack, fd, address).map_err(|errno| (errno, mode)).map_or_else(
            |(errno, mode)| {
                let waits = errno == Errno::EINPROGRESS && mode == Mode::Blocking;
                if waits { Ok(Begun::Waits) } else { Err(errno) }
            },
            |()| Ok(Begun::Done),
        )
    })?;
    if begun == Begun::Done {
        return Ok(());
    }
    match wait(socket, Direction::Out, Own::Socket, |table, stack| table.connected(stack, fd)) {
        Err(Errno::EAGAIN) => Err(Errno::EINPROGRESS.into()),
        other => Ok(other?),
    }
}

/// What has become of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Done,
    Waits,
}

/// Ends what [`connect`] has begun for a socket for datagrams: what C says with `AF_UNSPEC`.
///
/// # Errors
///
/// `EOPNOTSUPP`: it is a socket for streams; `ENETDOWN`, `EBADF`.
pub fn disconnect(socket: Socket) -> Result<()> {
    Ok(with_stack(|table, stack| table.disconnect(stack, socket.as_raw()))?)
}

/// Sends bytes. A socket that waits, waits until all of them have been taken; another one sends what there is room for.
///
/// # Errors
///
/// `EAGAIN`: there is no room; `EPIPE`: the sending half is closed (there is no `SIGPIPE`); `ENOTCONN`,
/// `EDESTADDRREQ`: there is no peer; `ECONNRESET`, `ETIMEDOUT`: the connection broke; `EMSGSIZE`: the datagram is too
/// long; `EOPNOTSUPP`: other flags than `MSG_DONTWAIT` and `MSG_NOSIGNAL`; `EACCES`, `ENETUNREACH`, `ENETDOWN`, `EBADF`.
pub fn send(socket: Socket, bytes: &[u8], flags: i32) -> Result<usize> {
    send_all(socket, bytes, flags, None)
}

/// As [`send`], a datagram to this address. A socket without one of its own gets a free port.
///
/// # Errors
///
/// As for [`send`]; `EISCONN`: it is a socket for streams.
pub fn sendto(socket: Socket, bytes: &[u8], flags: i32, address: SocketAddr) -> Result<usize> {
    send_all(socket, bytes, flags, Some(address))
}

fn send_all(socket: Socket, bytes: &[u8], flags: i32, to: Option<SocketAddr>) -> Result<usize> {
    let (own, fd) = (Own::of(flags), socket.as_raw());
    let entry_waits = with_table(|table| table.entry(fd).map(|entry| entry.mode == Mode::Blocking))?;
    let mut sent = 0;
    loop {
        let result = wait(socket, Direction::Out, own, |table, stack| {
            table.send(stack, fd, bytes.get(sent..).unwrap_or_default(), flags, to)
        });
        match result {
            Ok(count) => sent += count,
            Err(_) if sent > 0 => return Ok(sent),
            Err(errno) => return Err(errno.into()),
        }
        if sent >= bytes.len() || own == Own::Not || !entry_waits {
            return Ok(sent);
        }
    }
}

/// Receives bytes, as many as there are and fit; 0 is the end of the stream. Or a datagram, of which the rest is lost if it
/// does not fit. `MSG_PEEK`: they stay; `MSG_WAITALL`: a stream waits until the buffer is full; `MSG_TRUNC`: the answer is
/// the datagram's whole length.
///
/// # Errors
///
/// `EAGAIN`: there is nothing (yet); `ENOTCONN`: it is not connected; `ECONNRESET`, `ETIMEDOUT`: the connection broke;
/// `EOPNOTSUPP`: other flags; `ENETDOWN`, `EBADF`.
pub fn recv(socket: Socket, buffer: &mut [u8], flags: i32) -> Result<usize> {
    Ok(recvfrom(socket, buffer, flags)?.0)
}

/// As [`recv`], and says whose datagram it was; `None` for streams.
///
/// # Errors
///
/// As for [`recv`].
pub fn recvfrom(socket: Socket, buffer: &mut [u8], flags: i32) -> Result<(usize, Option<SocketAddr>)> {
    let (own, fd) = (Own::of(flags), socket.as_raw());
    let (kind, mode) = with_table(|table| table.entry(fd).map(|entry| (entry.kind, entry.mode)))?;
    let fills = flags & MSG_WAITALL != 0
        && flags & MSG_PEEK == 0
        && own == Own::Socket
        && (kind, mode) == (Kind::Stream, Mode::Blocking);
    let mut received = 0;
    loop {
        let result = wait(socket, Direction::In, own, |table, stack| {
            table.receive(stack, fd, buffer.get_mut(received..).unwrap_or_default(), flags)
        });
        match result {
            Ok((count, from)) if !fills => return Ok((count, from)),
            Ok((0, _)) => return Ok((received, None)),
            Ok((count, _)) => received += count,
            Err(_) if received > 0 => return Ok((received, None)),
            Err(errno) => return Err(errno.into()),
        }
        if received >= buffer.len() {
            return Ok((received, None));
        }
    }
}

/// Closes one half of a connection (`SHUT_RD`, `SHUT_WR`) or both (`SHUT_RDWR`).
///
/// # Errors
///
/// `ENOTCONN`: it is not connected; `EINVAL`: `how` is none of these; `EOPNOTSUPP`: it is for datagrams; `ENETDOWN`,
/// `EBADF`.
pub fn shutdown(socket: Socket, how: i32) -> Result<()> {
    Ok(with_stack(|table, stack| table.shutdown(stack, socket.as_raw(), how))?)
}

/// Closes the socket; its number may be given to another one. Threads that wait with it answer `EBADF`. With `SO_LINGER`
/// it waits until the peer has acknowledged everything; without, that happens in the background.
///
/// # Errors
///
/// `EBADF`; `EAGAIN`: the time of `SO_LINGER` was not enough, and the connection has been reset. The number is free in any
/// case but the first.
pub fn close(socket: Socket) -> Result<()> {
    let interface = Interface::existing();
    let closing = with_table(|table| {
        let mut stack = interface.map(Interface::stack);
        table.close(stack.as_deref_mut(), socket.as_raw())
    })?;
    let (Closing::Linger { id, signal, time }, Some(interface)) = (closing, interface) else { return Ok(()) };
    let finished = interface.wait(signal.writable(), Wait::AtMost(time), |stack| stack.finished(&id));
    if finished.is_ok() {
        interface.stack().close(id);
        return Ok(());
    }
    interface.stack().abort(id);
    Err(Errno::EAGAIN.into())
}

/// The address of this end; unspecified before there is one.
///
/// # Errors
///
/// `EBADF`.
pub fn getsockname(socket: Socket) -> Result<SocketAddr> {
    Ok(with_table(|table| table.local(socket.as_raw()))?)
}

/// The address of the other end.
///
/// # Errors
///
/// `ENOTCONN`: there is none; `ENETDOWN`, `EBADF`.
pub fn getpeername(socket: Socket) -> Result<SocketAddr> {
    Ok(with_stack(|table, stack| table.peer(stack, socket.as_raw()))?)
}

/// Changes an option.
///
/// # Errors
///
/// `ENOPROTOOPT`: there is no such option, or it can only be read; `EINVAL`: it cannot have such a value; `EBADF`.
pub fn setsockopt(socket: Socket, level: i32, option: i32, value: impl Into<OptionValue>) -> Result<()> {
    let interface = Interface::existing();
    Ok(with_table(|table| {
        let mut stack = interface.map(Interface::stack);
        table.set_option(stack.as_deref_mut(), socket.as_raw(), level, option, value.into())
    })?)
}

/// What an option is. Asking for `SO_ERROR` takes it.
///
/// # Errors
///
/// `ENOPROTOOPT`: there is no such option; `EBADF`.
pub fn getsockopt(socket: Socket, level: i32, option: i32) -> Result<OptionValue> {
    let interface = Interface::existing();
    Ok(with_table(|table| {
        let mut stack = interface.map(Interface::stack);
        table.option(stack.as_deref_mut(), socket.as_raw(), level, option)
    })?)
}

/// Whether calls answer `EAGAIN` instead of waiting: `fcntl` with `F_SETFL` and `O_NONBLOCK`, or `ioctl` with `FIONBIO`.
///
/// # Errors
///
/// `EBADF`.
pub fn set_nonblocking(socket: Socket, nonblocking: bool) -> Result<()> {
    let mode = if nonblocking { Mode::NonBlocking } else { Mode::Blocking };
    Ok(with_table(|table| table.set_nonblocking(socket.as_raw(), mode))?)
}

/// Whether calls answer `EAGAIN` instead of waiting.
///
/// # Errors
///
/// `EBADF`.
pub fn nonblocking(socket: Socket) -> Result<bool> {
    Ok(with_table(|table| table.entry(socket.as_raw()).map(|entry| entry.mode == Mode::NonBlocking))?)
}

/// Waits until one of the sockets is ready, at most `timeout` milliseconds; a negative number: for ever; 0: not at all.
/// Returns how many are ready. See [`crate::net::poll`] for how it waits and what it costs.
///
/// # Errors
///
/// `EINVAL`: there are no sockets and no timeout, so that nothing could end the wait.
pub fn poll(fds: &mut [PollFd], timeout: i32) -> Result<usize> {
    let wait = u64::try_from(timeout).map_or(Wait::Forever, |millis| Wait::AtMost(Duration::from_millis(millis)));
    Ok(poll_until(fds, wait, |fds| fds.iter().filter(|entry| entry.revents != 0).count())?)
}

/// As [`poll`], with sets: waits until one of the first `nfds` numbers is ready that is in a set, and leaves those in the
/// sets that are. `timeout` `None`: for ever.
///
/// # Errors
///
/// `EBADF`: there is no such socket; `EINVAL`: `nfds` is negative or larger than [`FD_SETSIZE`](super::FD_SETSIZE), the
/// timeout makes no sense, or nothing could end the wait.
pub fn select(
    nfds: i32,
    read: Option<&mut FdSet>,
    write: Option<&mut FdSet>,
    except: Option<&mut FdSet>,
    timeout: Option<Timeval>,
) -> Result<usize> {
    let wait = match timeout {
        None => Wait::Forever,
        Some(time) => Wait::AtMost(time.duration().ok_or(Errno::EINVAL)?),
    };
    let mut sets = Sets { read, write, except };
    let mut fds = sets.list(nfds)?;
    // An end or an error of a socket that is in the last set only is no reason to return.
    poll_until(&mut fds, wait, |fds| sets.count(fds))?;
    Ok(sets.fill(&fds)?)
}

/// Looks at the sockets until `count` finds something, or there is no time left.
fn poll_until(
    fds: &mut [PollFd],
    wait: Wait,
    count: impl Fn(&[PollFd]) -> usize,
) -> core::result::Result<usize, Errno> {
    let interface = Interface::existing();
    let mut queues: alloc::vec::Vec<(Queues, crate::net::Readiness)> = alloc::vec::Vec::new();
    queues.try_reserve(fds.len()).map_err(|_| Errno::ENOBUFS)?;
    with_table(|table| {
        queues.extend(fds.iter().filter_map(|entry| Some((table.signal(entry.fd)?.clone(), entry.wanted()))));
        Ok(())
    })?;
    if queues.is_empty() && wait == Wait::Forever && fds.iter().all(|entry| entry.fd < 0) {
        return Err(Errno::EINVAL);
    }
    let mut waiting = Waiting::new(wait);
    let mut last = Wake::Notified;
    loop {
        with_table(|table| {
            let mut stack = interface.map(Interface::stack);
            table.look(stack.as_deref_mut(), fds);
            Ok(())
        })?;
        let ready = count(fds);
        if ready > 0 || last == Wake::TimedOut {
            return Ok(ready);
        }
        last = waiting.wait(queues.iter().flat_map(|(queues, wanted)| queues.wanted(*wanted)));
    }
}
