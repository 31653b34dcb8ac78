//! [`SocketPool`]: TCP sockets with their buffers, made within a budget and used again.
//!
//! A socket of smoltcp owns its buffers from beginning to end, so what is pooled is the whole socket, in a
//! [`SocketSet`] of its own. A used buffer is not zeroed before its next use: what it holds can only be read after
//! it has been overwritten.
//!
//! # How large
//!
//! A long answer wants a large transmit buffer, an idle connection wants none, nobody knows at the SYN which it will be,
//! and smoltcp cannot change a buffer later. So it depends on how much is left:
//!
//! | buffers | while all take up no more than |
//! |---|---|
//! | [bulk](Config::bulk) | a quarter of the budget |
//! | [large](Config::large) | half of it |
//! | [small](Config::small) | all of it |
//!
//! A server with few connections is then fast, and one with many has room for all. Buffers that come back are given out
//! again largest first.
//!
//! Memory that was once allocated stays with the pool. An allocation that fails is as good as an exhausted budget:
//! the kernel's heap may be smaller than the budget hoped.

use alloc::vec::Vec;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, CongestionControl};

use super::config::{BufferSizes, Config, Congestion};

/// A TCP socket with a set to itself.
pub(super) struct PooledSocket {
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
    class: Class,
    /// The set may remember a neighbour whom its socket waited for.
    pub(super) may_wait: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Bulk,
    Large,
    Small,
}

impl Class {
    /// Largest first.
    const ALL: [Self; 3] = [Self::Bulk, Self::Large, Self::Small];

    /// One of this class may be made while all buffers take up no more than the budget divided by this.
    const fn share(self) -> usize {
        match self {
            Self::Bulk => 4,
            Self::Large => 2,
            Self::Small => 1,
        }
    }
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
    /// By class.
    sizes: [BufferSizes; 3],
    congestion: CongestionControl,
    /// Bytes of all buffers that exist, in use or not.
    allocated: usize,
    /// By class.
    free: [Vec<PooledSocket>; 3],
    in_use: usize,
}

impl SocketPool {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            budget: config.memory,
            sizes: [config.bulk, config.large, config.small],
            congestion: match config.congestion {
                Congestion::None => CongestionControl::None,
                Congestion::Reno => CongestionControl::Reno,
            },
            allocated: 0,
            free: [const { Vec::new() }; 3],
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
        let mut socket =
            Class::ALL.into_iter().find_map(|class| self.free[class as usize].pop().or_else(|| self.make(class)))?;
        self.in_use += 1;
        let tcp = socket.get_mut();
        // Answers are written in whole pieces; holding the last one back only adds delay.
        tcp.set_nagle_enabled(false);
        tcp.set_congestion_control(self.congestion);
        tcp.set_timeout(None);
        tcp.set_keep_alive(None);
        tcp.set_hop_limit(None);
        Some(socket)
    }

    /// Takes a socket back, in whatever state it is.
    pub(super) fn give_back(&mut self, mut socket: PooledSocket) {
        socket.get_mut().abort();
        if core::mem::take(&mut socket.may_wait) {
            // A fresh place in the set remembers no neighbour.
            let tcp = socket.set.remove(socket.handle);
            if let smoltcp::socket::Socket::Tcp(tcp) = tcp {
                socket.handle = socket.set.add(tcp);
            }
        }
        self.free[socket.class as usize].push(socket);
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

    fn make(&mut self, class: Class) -> Option<PooledSocket> {
        let sizes = self.sizes[class as usize];
        if self.allocated.saturating_add(sizes.total()) > self.budget / class.share() {
            return None;
        }
        self.reserve(sizes.total()).ok()?;
        let Some((receive, transmit)) = buffer(sizes.receive).zip(buffer(sizes.transmit)) else {
            self.unreserve(sizes.total());
            return None;
        };
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(tcp::Socket::new(tcp::SocketBuffer::new(receive), tcp::SocketBuffer::new(transmit)));
        Some(PooledSocket { set, handle, class, may_wait: false })
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
            bulk: BufferSizes { receive: 2000, transmit: 3000 },
            large: BufferSizes { receive: 1000, transmit: 3000 },
            small: BufferSizes { receive: 200, transmit: 300 },
            ..Config::default()
        })
    }

    #[test]
    fn buffers_get_smaller_as_the_budget_is_used_up_and_end_with_it() {
        let mut pool = pool(20_000);
        let sockets: Vec<_> = core::iter::from_fn(|| pool.take()).collect();
        let count = |receive| sockets.iter().filter(|socket| socket.get().recv_capacity() == receive).count();
        // 5,000 of 20,000 bytes, then up to 10,000, then the rest.
        assert_eq!([count(2000), count(1000), count(200)], [1, 1, 22]);
        assert_eq!(pool.allocated(), 20_000);
    }

    #[test]
    fn where_memory_is_scarce_nobody_gets_much_of_it() {
        let mut pool = pool(4_000);
        let first = pool.take().expect("there is room for small ones");
        assert_eq!(first.get().recv_capacity(), 200);
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
