//! [`FdSet`]: the sets of `select`, as lists for `poll`.

use alloc::vec::Vec;

use super::Socket;
use super::constants::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT};
use super::errno::Errno;
use super::ready::PollFd;

/// How many descriptors a set can hold: those with lower numbers.
pub const FD_SETSIZE: usize = 1024;

const BITS: usize = u64::BITS as usize;

/// `fd_set`: a set of sockets. Numbers from [`FD_SETSIZE`] cannot be in it; elsewhere putting them in destroys memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FdSet {
    bits: [u64; FD_SETSIZE / BITS],
}

impl FdSet {
    /// The empty set: `FD_ZERO`.
    pub const fn new() -> Self {
        Self { bits: [0; FD_SETSIZE / BITS] }
    }

    /// `FD_SET`; false if the number is too large.
    pub const fn insert(&mut self, socket: Socket) -> bool {
        match Self::place(socket.as_raw()) {
            Some((word, bit)) => {
                self.bits[word] |= bit;
                true
            }
            None => false,
        }
    }

    /// `FD_CLR`.
    pub const fn remove(&mut self, socket: Socket) {
        if let Some((word, bit)) = Self::place(socket.as_raw()) {
            self.bits[word] &= !bit;
        }
    }

    /// `FD_ISSET`.
    pub const fn contains(&self, socket: Socket) -> bool {
        match Self::place(socket.as_raw()) {
            Some((word, bit)) => self.bits[word] & bit != 0,
            None => false,
        }
    }

    const fn place(fd: i32) -> Option<(usize, u64)> {
        if fd < 0 || fd as usize >= FD_SETSIZE {
            return None;
        }
        Some((fd as usize / BITS, 1 << (fd as usize % BITS)))
    }
}

/// An end can be read, an error can be read and written, as on Linux. Nothing is exceptional: there is no urgent data.
const READ: i16 = POLLIN | POLLHUP | POLLERR;
const WRITE: i16 = POLLOUT | POLLERR;

/// The three sets of a call. `None` is as good as empty.
pub(super) struct Sets<'a> {
    pub(super) read: Option<&'a mut FdSet>,
    pub(super) write: Option<&'a mut FdSet>,
    pub(super) except: Option<&'a mut FdSet>,
}

impl Sets<'_> {
    /// The descriptors below `nfds` as a list for `poll`.
    pub(super) fn list(&self, nfds: i32) -> Result<Vec<PollFd>, Errno> {
        if !(0..=FD_SETSIZE as i32).contains(&nfds) {
            return Err(Errno::EINVAL);
        }
        let is_in = |set: &Option<&mut FdSet>, fd| set.as_ref().is_some_and(|set| set.contains(Socket::from_raw(fd)));
        let list = (0..nfds).filter_map(|fd| {
            let (read, write, except) = (is_in(&self.read, fd), is_in(&self.write, fd), is_in(&self.except, fd));
            let events = if read { POLLIN } else { 0 } | if write { POLLOUT } else { 0 };
            (read || write || except).then_some(PollFd { fd, events, revents: 0 })
        });
        Ok(list.collect())
    }

    /// How many members the sets would have together with what was found; a number that is no socket counts, too.
    pub(super) fn count(&self, found: &[PollFd]) -> usize {
        let is_in = |set: &Option<&mut FdSet>, entry: &PollFd| {
            set.as_ref().is_some_and(|set| set.contains(Socket::from_raw(entry.fd)))
        };
        let count = |entry: &PollFd| {
            usize::from(entry.revents & POLLNVAL != 0)
                + usize::from(entry.revents & READ != 0 && is_in(&self.read, entry))
                + usize::from(entry.revents & WRITE != 0 && is_in(&self.write, entry))
        };
        found.iter().map(count).sum()
    }

    /// Leaves in the sets what was found, and says how many members they have together.
    pub(super) fn fill(&mut self, found: &[PollFd]) -> Result<usize, Errno> {
        if found.iter().any(|entry| entry.revents & POLLNVAL != 0) {
            return Err(Errno::EBADF);
        }
        let count = self.count(found);
        for (set, events) in [(&mut self.read, READ), (&mut self.write, WRITE), (&mut self.except, 0)] {
            let Some(set) = set else { continue };
            found
                .iter()
                .filter(|entry| entry.revents & events == 0)
                .for_each(|entry| set.remove(Socket::from_raw(entry.fd)));
        }
        Ok(count)
    }
}
