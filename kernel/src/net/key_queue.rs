//! [`KeyQueue`]: a queue in which each socket stands at most once.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// A first-in, first-out queue of socket numbers without duplicates.
///
/// The number of a socket that is no more may stay in it; whoever takes it out has to look. If the number has been
/// given to another socket meanwhile, that one gets a turn that it did not need.
pub(super) struct KeyQueue {
    queue: VecDeque<u32>,
    queued: Vec<bool>,
}

impl KeyQueue {
    pub(super) const fn new() -> Self {
        Self { queue: VecDeque::new(), queued: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds a socket at the end, unless it is in the queue.
    #[inline]
    pub(super) fn push(&mut self, key: u32) {
        if self.enter(key) {
            self.queue.push_back(key);
        }
    }

    /// Puts a socket in front, unless it is in the queue.
    pub(super) fn unpop(&mut self, key: u32) {
        if self.enter(key) {
            self.queue.push_front(key);
        }
    }

    /// Takes the first one.
    pub(super) fn pop(&mut self) -> Option<u32> {
        let key = self.queue.pop_front()?;
        self.queued[key as usize] = false;
        Some(key)
    }

    #[inline]
    fn enter(&mut self, key: u32) -> bool {
        match self.queued.get_mut(key as usize) {
            Some(queued) => !core::mem::replace(queued, true),
            None => self.enter_first(key),
        }
    }

    #[cold]
    fn enter_first(&mut self, key: u32) -> bool {
        self.queued.resize(key as usize + 1, false);
        self.queued[key as usize] = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_stands_in_the_queue_once() {
        let mut queue = KeyQueue::new();
        for key in [5, 1, 5, 1, 2] {
            queue.push(key);
        }
        assert_eq!(queue.pop(), Some(5));
        queue.unpop(2);
        queue.unpop(5);
        assert_eq!(queue.len(), 3);
        assert_eq!(core::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), [5, 1, 2]);
        assert!(queue.is_empty());
    }
}
