//! Names that the server has told us about, and for how long they hold.
//!
//! ```text
//!   table: hash of a directory and a name     slots (at most `limit`)                    hand: next to be looked at
//!     "f" in a -> 0  -------------------->    [0] parent a, "f", -> node 7,  until ..       when a place is needed
//!                                             [1] free
//!     "g" in a -> 2  -------------------->    [2] parent a, "g", nothing there, until ..
//!
//!   FuseNode "a", first name: 2 --> 0         slots of one directory are in a list
//! ```
//!
//! A slot holds its node strongly, so the server keeps the node too; that is what makes the next walk along the
//! same path cheap. A directory knows its slots by index and does not own its children, so a chain of
//! directories as deep as you like comes apart without recursion.
//!
//! # Validity
//!
//! A name may be used until the server's promise runs out ([`Entry::name_lifetime`](fuse_proto::Entry)); then
//! LOOKUP is asked again. A name that has run out stays in its slot all the same, because a node that is known
//! already costs nothing when it comes back, where FORGET and a new node would.
//!
//! # Eviction
//!
//! The second-chance clock: a slot that was used since the hand last passed is passed over once.

use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::RefCell;

use toro_core::Instant;

use super::node::FuseNode;
use super::table::{Hasher, Table};

/// What the cache knows about a name.
pub enum Known {
    /// It means this node.
    Node(Rc<FuseNode>),
    /// There is no such name.
    Absent,
    /// Nothing that still holds.
    Nothing,
}

/// A node that has a name, as far as is known.
pub struct CachedNode {
    /// The node.
    pub node: Rc<FuseNode>,
    /// Until when the name means it.
    pub until: Instant,
}

/// The names of one mount.
pub struct NameCache {
    slots: RefCell<Slots>,
    hasher: Hasher,
    limit: usize,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Option<CachedName>>,
    /// Which slot has which name.
    table: Table<usize>,
    free: Vec<usize>,
    hand: usize,
}

struct CachedName {
    /// It has this address as long as the slot is taken, since this keeps its memory.
    parent: Weak<FuseNode>,
    name: Box<[u8]>,
    hash: u64,
    /// `None`: the server says that there is no such name.
    node: Option<Rc<FuseNode>>,
    until: Instant,
    used: bool,
    /// The slots of the same directory that come before it and after it.
    before: Option<usize>,
    after: Option<usize>,
}

impl NameCache {
    /// A cache of at most `limit` names, at least one.
    pub fn new(limit: usize, hasher: Hasher) -> Self {
        Self { slots: RefCell::default(), hasher, limit: limit.max(1) }
    }

    /// How many names are known.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let slots = self.slots.borrow();
        slots.slots.len() - slots.free.len()
    }

    fn hash(&self, parent: &FuseNode, name: &[u8]) -> u64 {
        self.hasher.number_and_bytes(core::ptr::from_ref(parent).addr() as u64, name)
    }

    /// What is known about `name` in `parent`.
    pub fn get(&self, parent: &FuseNode, name: &[u8], now: Instant) -> Known {
        if parent.first_name.get().is_none() {
            return Known::Nothing;
        }
        let mut slots = self.slots.borrow_mut();
        let Some(index) = slots.find(self.hash(parent, name), parent, name) else { return Known::Nothing };
        let Some(Some(cached)) = slots.slots.get_mut(index) else { return Known::Nothing };
        if now >= cached.until {
            return Known::Nothing;
        }
        cached.used = true;
        cached.node.as_ref().map_or(Known::Absent, |node| Known::Node(Rc::clone(node)))
    }

    /// The node that `name` in `parent` meant last, even if it may mean something else by now.
    pub fn peek(&self, parent: &FuseNode, name: &[u8]) -> Option<CachedNode> {
        let slots = self.slots.borrow();
        let index = slots.find(self.hash(parent, name), parent, name)?;
        let cached = slots.slots.get(index)?.as_ref()?;
        Some(CachedNode { node: Rc::clone(cached.node.as_ref()?), until: cached.until })
    }

    /// Remembers what `name` in `parent` means until then.
    pub fn insert(&self, parent: &FuseNode, name: &[u8], node: Option<Rc<FuseNode>>, until: Instant) {
        let hash = self.hash(parent, name);
        let replaced = {
            let mut slots = self.slots.borrow_mut();
            let known = slots.find(hash, parent, name);
            match known.and_then(|index| slots.slots.get_mut(index)) {
                Some(Some(cached)) => {
                    cached.until = until;
                    cached.used = true;
                    core::mem::replace(&mut cached.node, node)
                }
                _ => {
                    let evicted = (slots.len() >= self.limit).then(|| slots.evict()).flatten();
                    let cached = CachedName {
                        parent: parent.weak_handle(),
                        name: name.into(),
                        hash,
                        node,
                        until,
                        used: true,
                        before: None,
                        after: parent.first_name.get(),
                    };
                    parent.first_name.set(Some(slots.place(cached)));
                    evicted
                }
            }
        };
        // Outside of the borrow: a node that goes takes the names below it out of the cache.
        drop(replaced);
    }

    /// Forgets what `name` in `parent` means.
    pub fn remove(&self, parent: &FuseNode, name: &[u8]) {
        let removed = {
            let mut slots = self.slots.borrow_mut();
            let index = slots.find(self.hash(parent, name), parent, name);
            index.and_then(|index| slots.take(index))
        };
        drop(removed);
    }

    /// Takes the slots of a directory that is gone out of the cache, the first of which is `first`, and returns what they
    /// held.
    pub fn take(&self, first: usize) -> Vec<Rc<FuseNode>> {
        let mut slots = self.slots.borrow_mut();
        let mut nodes = Vec::new();
        let mut next = Some(first);
        while let Some(cached) = next.and_then(|index| slots.take(index)) {
            next = cached.after;
            nodes.extend(cached.node);
        }
        nodes
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let slots = core::mem::take(&mut *self.slots.borrow_mut());
        for cached in slots.slots.iter().flatten() {
            if let Some(parent) = cached.parent.upgrade() {
                parent.first_name.set(None);
            }
        }
        // Outside of the borrow, and when no directory believes any more that it has names here.
        drop(slots);
    }
}

impl Slots {
    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn find(&self, hash: u64, parent: &FuseNode, name: &[u8]) -> Option<usize> {
        let is_it = |&index: &usize| match self.slots.get(index) {
            Some(Some(cached)) => core::ptr::eq(cached.parent.as_ptr(), parent) && *cached.name == *name,
            _ => false,
        };
        self.table.get(hash, is_it).copied()
    }

    fn get_mut(&mut self, index: Option<usize>) -> Option<&mut CachedName> {
        self.slots.get_mut(index?)?.as_mut()
    }

    /// Fills a slot; which.
    fn place(&mut self, cached: CachedName) -> usize {
        let index = self.free.pop().unwrap_or(self.slots.len());
        self.table.insert(cached.hash, index);
        if let Some(after) = self.get_mut(cached.after) {
            after.before = Some(index);
        }
        match self.slots.get_mut(index) {
            Some(slot) => *slot = Some(cached),
            None => self.slots.push(Some(cached)),
        }
        index
    }

    /// Empties a slot.
    fn take(&mut self, index: usize) -> Option<CachedName> {
        let cached = self.slots.get_mut(index)?.take()?;
        self.free.push(index);
        self.table.remove(cached.hash, |&other| other == index);
        if let Some(after) = self.get_mut(cached.after) {
            after.before = cached.before;
        }
        match self.get_mut(cached.before) {
            Some(before) => before.after = cached.after,
            // If it is still there.
            None => {
                if let Some(parent) = cached.parent.upgrade() {
                    // This was not the last handle on the directory: someone had one for us to copy.
                    parent.first_name.set(cached.after);
                }
            }
        }
        Some(cached)
    }

    /// Empties the slot that was not used for the longest time, roughly, and returns the node it held.
    fn evict(&mut self) -> Option<Rc<FuseNode>> {
        // Two rounds: the first may do no more than take second chances away.
        for _ in 0..2 * self.slots.len() {
            let index = if self.hand < self.slots.len() { self.hand } else { 0 };
            self.hand = index + 1;
            match self.slots.get_mut(index) {
                Some(Some(cached)) if cached.used => cached.used = false,
                Some(Some(_)) => return self.take(index)?.node,
                _ => {}
            }
        }
        None
    }
}
