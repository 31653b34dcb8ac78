//! [`SocketPool`]: TCP sockets with their buffers, made within a budget and used again.
//!
//! A socket of smoltcp owns its buffers from beginning to end, so what is pooled is the whole socket, in a
//! [`SocketSet`] of its own. A used buffer is not zeroed before its next use: what it holds can only be read after
//! it has been overwritten.
//!
//! # How large
//!
//! A long answer wants a large transmit buffer, an idle connection wants none, and nobody knows at the SYN which it
//! will be. So the first connections are given [large](Config::large) buffers, as long as these take up no more
//! than half of the budget; the others are given [small](Config::small) ones. A server with few connections is
//! then fast, and one with many has room for all.
//!
//! Memory that was once allocated stays with the pool. An allocation that fails is as good as an exhausted budget:
//! the kernel's heap may be smaller than the budget hoped.

use alloc::vec::Vec;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;

use super::config::{BufferSizes, Config};

/// A TCP socket with a set to itself.
pub(super) struct PooledSocket {
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
    class: Class,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Large,
    Small,
}

impl PooledSocket {
    #[inline]
    pub(super) fn get(&self) -> &tcp::Socket<'static> {
        self.set.get(self.handle)
    }

    #[inline]
    pub(super) fn get_mut(&mut self) -> &mut tcp::Socket<'static> {
        self.set.get_mut(self.handle)
    }
}

/// Where sockets come from, and memory for other sockets is accounted.
pub(super) struct SocketPool {
    budget: usize,
    large: BufferSizes,
    small: BufferSizes,
    /// Bytes of all buffers that exist, in use or not.
    allocated: usize,
    free_large: Vec<PooledSocket>,
    free_small: Vec<PooledSocket>,
    in_use: usize,
}

impl SocketPool {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            budget: config.memory,
            large: config.large,
            small: config.small,
            allocated: 0,
            free_large: Vec::new(),
            free_small: Vec::new(),
            in_use: 0,
        }
    }

    /// How many sockets are out.
    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    /// Bytes of all buffers.
    pub(super) fn allocated(&self) -> usize {
        self.allocated
    }

    /// A closed socket with default settings; `None` when the budget is used up.
    pub(super) fn take(&mut self) -> Option<PooledSocket> {
        let mut socket = match self.free_large.pop() {
            Some(socket) => socket,
            None => self.make_large().or_else(|| self.free_small.pop()).or_else(|| self.make_small())?,
        };
        self.in_use += 1;
        let tcp = socket.get_mut();
        // Answers are written in whole pieces; holding the last one back only adds delay.
        tcp.set_nagle_enabled(false);
        tcp.set_timeout(None);
        tcp.set_keep_alive(None);
        tcp.set_hop_limit(None);
        Some(socket)
    }

    /// Takes a socket back, in whatever state it is.
    pub(super) fn give_back(&mut self, mut socket: PooledSocket) {
        socket.get_mut().abort();
        // A set remembers which neighbour its socket waited for; a fresh place in it does not.
        if let smoltcp::socket::Socket::Tcp(tcp) = socket.set.remove(socket.handle) {
            socket.handle = socket.set.add(tcp);
            match socket.class {
                Class::Large => self.free_large.push(socket),
                Class::Small => self.free_small.push(socket),
            }
        }
        self.in_use -= 1;
    }

    /// Sets bytes of the budget aside for buffers of another kind.
    pub(super) fn reserve(&mut self, bytes: usize) -> Result<(), OverBudget> {
        if bytes > self.budget.saturating_sub(self.allocated) {
            return Err(OverBudget);
        }
        self.allocated += bytes;
        Ok(())
    }

    /// Gives back what was set aside.
    pub(super) fn unreserve(&mut self, bytes: usize) {
        self.allocated -= bytes;
    }

    fn make_large(&mut self) -> Option<PooledSocket> {
        if self.allocated + self.large.total() > self.budget / 2 {
            return None;
        }
        self.make(self.large, Class::Large)
    }

    fn make_small(&mut self) -> Option<PooledSocket> {
        self.make(self.small, Class::Small)
    }

    fn make(&mut self, sizes: BufferSizes, class: Class) -> Option<PooledSocket> {
        self.reserve(sizes.total()).ok()?;
        let Some((receive, transmit)) = buffer(sizes.receive).zip(buffer(sizes.transmit)) else {
            self.unreserve(sizes.total());
            return None;
        };
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(tcp::Socket::new(tcp::SocketBuffer::new(receive), tcp::SocketBuffer::new(transmit)));
        Some(PooledSocket { set, handle, class })
    }
}

/// The budget does not allow for that much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OverBudget;

/// A buffer of this size, unless the heap is exhausted.
pub(super) fn buffer(size: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).ok()?;
    bytes.resize(size, 0);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(budget: usize) -> SocketPool {
        SocketPool::new(&Config {
            memory: budget,
            large: BufferSizes { receive: 1000, transmit: 3000 },
            small: BufferSizes { receive: 200, transmit: 300 },
            ..Config::default()
        })
    }

    #[test]
    fn buffers_get_small_when_half_of_the_budget_is_used_and_end_with_it() {
        let mut pool = pool(20_000);
        let sockets: Vec<_> = core::iter::from_fn(|| pool.take()).collect();
        let large = sockets.iter().filter(|socket| socket.get().send_capacity() == 3000).count();
        assert_eq!((large, sockets.len() - large), (2, 24));
        assert_eq!(pool.allocated(), 20_000);
    }

    #[test]
    fn a_socket_that_comes_back_is_given_out_again_and_costs_nothing() {
        let mut pool = pool(4_500);
        let first = pool.take().expect("the budget is untouched");
        let allocated = pool.allocated();
        pool.give_back(first);
        assert_eq!(pool.in_use(), 0);
        let _second = pool.take().expect("one is free");
        assert_eq!((pool.allocated(), pool.in_use()), (allocated, 1));
    }
}
