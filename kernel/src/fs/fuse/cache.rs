//! Names that the server has told us about, and for how long they hold.
//!
//! ```text
//!   FuseNode "a"                       slots (at most `limit`)                    hand: next to be looked at
//!     names: "f" -> 0  ------------->  [0] parent a, "f", -> node 7,  until ..       when a place is needed
//!            "g" -> 2  ------------->  [1] free
//!                                      [2] parent a, "g", nothing there, until ..
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

use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::RefCell;

use toro_core::Instant;

use super::node::FuseNode;

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
    limit: usize,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Option<CachedName>>,
    free: Vec<usize>,
    hand: usize,
}

struct CachedName {
    parent: Weak<FuseNode>,
    name: Rc<[u8]>,
    /// `None`: the server says that there is no such name.
    node: Option<Rc<FuseNode>>,
    until: Instant,
    used: bool,
}

impl NameCache {
    /// A cache of at most `limit` names, at least one.
    pub fn new(limit: usize) -> Self {
        Self { slots: RefCell::default(), limit: limit.max(1) }
    }

    /// How many names are known.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let slots = self.slots.borrow();
        slots.slots.len() - slots.free.len()
    }

    /// What is known about `name` in `parent`.
    pub fn get(&self, parent: &FuseNode, name: &[u8], now: Instant) -> Known {
        let Some(&index) = parent.names.borrow().get(name) else { return Known::Nothing };
        let mut slots = self.slots.borrow_mut();
        let Some(Some(cached)) = slots.slots.get_mut(index) else { return Known::Nothing };
        if now >= cached.until {
            return Known::Nothing;
        }
        cached.used = true;
        cached.node.as_ref().map_or(Known::Absent, |node| Known::Node(Rc::clone(node)))
    }

    /// The node that `name` in `parent` meant last, even if it may mean something else by now.
    pub fn peek(&self, parent: &FuseNode, name: &[u8]) -> Option<CachedNode> {
        let index = *parent.names.borrow().get(name)?;
        let slots = self.slots.borrow();
        let cached = slots.slots.get(index)?.as_ref()?;
        Some(CachedNode { node: Rc::clone(cached.node.as_ref()?), until: cached.until })
    }

    /// Remembers what `name` in `parent` means until then.
    pub fn insert(&self, parent: &Rc<FuseNode>, name: &[u8], node: Option<Rc<FuseNode>>, until: Instant) {
        let known = parent.names.borrow().get(name).copied();
        let replaced = {
            let mut slots = self.slots.borrow_mut();
            match known.and_then(|index| slots.slots.get_mut(index)) {
                Some(Some(cached)) => {
                    cached.until = until;
                    cached.used = true;
                    core::mem::replace(&mut cached.node, node)
                }
                _ => {
                    let evicted = (slots.len() >= self.limit).then(|| slots.evict()).flatten();
                    let name: Rc<[u8]> = name.into();
                    parent.names.borrow_mut().insert(Rc::clone(&name), slots.next_index());
                    let parent = Rc::downgrade(parent);
                    slots.place(CachedName { parent, name, node, until, used: true });
                    evicted
                }
            }
        };
        // Outside of the borrow: a node that goes takes the names below it out of the cache.
        drop(replaced);
    }

    /// Forgets what `name` in `parent` means.
    pub fn remove(&self, parent: &FuseNode, name: &[u8]) {
        let index = parent.names.borrow_mut().remove(name);
        let removed = index.and_then(|index| self.slots.borrow_mut().take(index));
        drop(removed);
    }

    /// Takes the slots of a directory that is gone out of the cache, and returns what they held.
    pub fn take(&self, indices: impl Iterator<Item = usize>) -> Vec<Rc<FuseNode>> {
        let mut slots = self.slots.borrow_mut();
        indices.filter_map(|index| slots.take(index)?.node).collect()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let slots = core::mem::take(&mut *self.slots.borrow_mut());
        for cached in slots.slots.into_iter().flatten() {
            if let Some(parent) = cached.parent.upgrade() {
                parent.names.borrow_mut().remove(&*cached.name);
            }
        }
    }
}

impl Slots {
    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn next_index(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    /// Fills the slot that [`next_index`](Self::next_index) named.
    fn place(&mut self, cached: CachedName) {
        match self.free.pop().and_then(|index| self.slots.get_mut(index)) {
            Some(slot) => *slot = Some(cached),
            None => self.slots.push(Some(cached)),
        }
    }

    fn take(&mut self, index: usize) -> Option<CachedName> {
        let cached = self.slots.get_mut(index)?.take()?;
        self.free.push(index);
        Some(cached)
    }

    /// Empties the slot that was not used for the longest time, roughly, and returns the node it held.
    fn evict(&mut self) -> Option<Rc<FuseNode>> {
        // Two rounds: the first may do no more than take second chances away.
        for _ in 0..2 * self.slots.len() {
            let index = self.hand % self.slots.len();
            self.hand = index + 1;
            match self.slots.get_mut(index) {
                Some(Some(cached)) if cached.used => cached.used = false,
                Some(Some(_)) => {
                    let cached = self.take(index)?;
                    if let Some(parent) = cached.parent.upgrade() {
                        parent.names.borrow_mut().remove(&*cached.name);
                        // This was not the last handle on the directory: someone had one for us to copy.
                    }
                    return cached.node;
                }
                _ => {}
            }
        }
        None
    }
}
