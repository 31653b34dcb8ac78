//! `poll` and `select`: [`Table::look`](super::table::Table::look) and the waiting, in the queues of all sockets at once.
//!
//! A call keeps what it waits for by itself, so a socket that is closed meanwhile wakes it and is found to be none.

use alloc::vec::Vec;

use super::calls::with_table;
use super::errno::Errno;
use super::options::Timeval;
use super::ready::PollFd;
use super::select::{FdSet, Sets};
use crate::io::Result;
use crate::net::{Interface, Queues, Readiness, Wait, Waiting};
use crate::sched::Wake;
use crate::time::Duration;

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
    let mut queues: Vec<(Queues, Readiness)> = Vec::new();
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
