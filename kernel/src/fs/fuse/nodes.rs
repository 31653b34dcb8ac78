//! All nodes that somebody has a handle to, by their numbers.
//!
//! A node is in the table from the answer that names it first until its last handle is dropped. Where the server has given
//! its number to something else meanwhile, that is in the table, and dropping the old node leaves it there.

use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::RefCell;

use fuse_proto::NodeId;

use super::node::FuseNode;
use super::table::{Hasher, Table};

/// See the module.
pub struct Nodes {
    table: RefCell<Table<Entry>>,
    hasher: Hasher,
}

struct Entry {
    number: NodeId,
    node: Weak<FuseNode>,
}

impl Nodes {
    /// None.
    pub fn new(hasher: Hasher) -> Self {
        Self { table: RefCell::default(), hasher }
    }

    /// The node with this number.
    pub fn get(&self, number: NodeId) -> Option<Rc<FuseNode>> {
        let table = self.table.borrow();
        table.get(self.hasher.number(number.get()), |entry| entry.number == number)?.node.upgrade()
    }

    /// Adds a node, in place of the one that had its number.
    pub fn insert(&self, node: &FuseNode) {
        let number = node.number();
        let hash = self.hasher.number(number.get());
        let mut table = self.table.borrow_mut();
        table.remove(hash, |entry| entry.number == number);
        table.insert(hash, Entry { number, node: node.weak_handle() });
    }

    /// Takes a node that is being dropped out of it, if it is still in there.
    pub fn remove(&self, node: &FuseNode) {
        let hash = self.hasher.number(node.number().get());
        self.table.borrow_mut().remove(hash, |entry| core::ptr::eq(entry.node.as_ptr(), node));
    }

    /// All of them.
    pub fn all(&self) -> Vec<Rc<FuseNode>> {
        self.table.borrow().values().filter_map(|entry| entry.node.upgrade()).collect()
    }
}
