//! Files and directories in use.
//!
//! ```text
//!   lookup, create --> held, 1 --> retain: + 1, forget: - 1 --> 0: gone from memory
//!                        |                                       |  not yet, if its entry has to be written
//!                      remove                                    |
//!                        v                                       v
//!                     orphan, held as before  ----------------> 0: its clusters are freed
//! ```
//!
//! A node is known by the place of its short entry, so that everybody who looks a file up gets the same node. What the
//! entry will say is here, and newer than the disk, until it is published.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::chain::{Chain, Pending};
use crate::entry::Record;
use crate::error::Error;

/// A file or a directory in use. Valid until as many [`forget`](crate::Volume::forget) as it was returned or retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    index: u32,
    generation: u32,
}

impl NodeId {
    pub(crate) const ROOT: Self = Self { index: 0, generation: 0 };
}

/// Where a slot is: sector, and offset in it.
pub(crate) type SlotPlace = (u64, usize);

/// How a node hangs in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// The root directory, which has no entry.
    Root,
    /// Its short entry is there.
    Linked(SlotPlace),
    /// It was removed.
    Orphan,
}

/// Whether an entry has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Written,
    Changed,
}

/// A file or a directory.
#[derive(Debug)]
pub(crate) struct Node {
    pub whereabouts: Whereabouts,
    /// What the entry says or shall say; but the first cluster is in `chain`.
    pub record: Record,
    pub chain: Chain,
    pub entry: Entry,
    /// The size in the entry.
    pub published_size: u32,
    references: u32,
}

impl Node {
    pub fn new(whereabouts: Whereabouts, record: Record) -> Self {
        let (chain, published_size) = (Chain::new(record.first), record.size);
        Self { whereabouts, record, chain, entry: Entry::Written, published_size, references: 0 }
    }

    /// Whether what the disk has must be stable before the entry may be written.
    pub fn is_ahead(&self) -> bool {
        self.chain.pending != Pending::Nothing || self.record.size > self.published_size
    }
}

/// How many nodes that nobody holds may wait for their entry to be written.
const MAX_IDLE: usize = 64;

/// All nodes.
#[derive(Debug)]
pub(crate) struct Nodes {
    slots: Vec<(u32, Option<Node>)>,
    free: Vec<u32>,
    by_place: BTreeMap<SlotPlace, u32>,
    /// Nodes that nobody holds and whose entry has to be written.
    idle: Vec<u32>,
}

impl Nodes {
    pub fn new(root: Node) -> Self {
        Self { slots: [(0, Some(root))].into(), free: Vec::new(), by_place: BTreeMap::new(), idle: Vec::new() }
    }

    /// Where a node is.
    pub fn index(&self, id: NodeId) -> Result<usize, Error> {
        let index = id.index as usize;
        match self.slots.get(index) {
            Some((generation, Some(node))) if *generation == id.generation && (node.references > 0 || index == 0) => {
                Ok(index)
            }
            _ => Err(Error::Stale),
        }
    }

    /// The handle of a node.
    pub fn id(&self, index: usize) -> NodeId {
        NodeId { index: index as u32, generation: self.slots[index].0 }
    }

    pub fn get(&self, index: usize) -> &Node {
        self.slots[index].1.as_ref().expect("indices are those of nodes that are in use")
    }

    pub fn get_mut(&mut self, index: usize) -> &mut Node {
        self.slots[index].1.as_mut().expect("indices are those of nodes that are in use")
    }

    /// The node whose entry is at `place`.
    pub fn at(&self, place: SlotPlace) -> Option<usize> {
        self.by_place.get(&place).map(|&index| index as usize)
    }

    /// Adds a node that nobody holds yet.
    pub fn insert(&mut self, node: Node) -> usize {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None => {
                self.slots.push((0, None));
                self.slots.len() - 1
            }
        };
        if let Whereabouts::Linked(place) = node.whereabouts {
            self.by_place.insert(place, index as u32);
        }
        self.slots[index].1 = Some(node);
        index
    }

    /// Moves a node in the tree, or out of it.
    pub fn relocate(&mut self, index: usize, whereabouts: Whereabouts) {
        if let Whereabouts::Linked(place) = self.get(index).whereabouts {
            self.by_place.remove(&place);
        }
        if let Whereabouts::Linked(place) = whereabouts {
            self.by_place.insert(place, index as u32);
        }
        self.get_mut(index).whereabouts = whereabouts;
    }

    pub fn hold(&mut self, index: usize) {
        let node = self.get_mut(index);
        node.references = node.references.saturating_add(1);
        self.idle.retain(|&idle| idle as usize != index);
    }

    /// Whether nobody holds a node any more.
    pub fn release(&mut self, index: usize) -> bool {
        let node = self.get_mut(index);
        node.references = node.references.saturating_sub(1);
        let is_idle = node.references == 0 && index != 0;
        if is_idle && node.entry == Entry::Changed && node.whereabouts != Whereabouts::Orphan {
            self.idle.push(index as u32);
        }
        is_idle
    }

    pub fn is_held(&self, index: usize) -> bool {
        self.get(index).references > 0 || index == 0
    }

    /// Forgets a node.
    pub fn remove(&mut self, index: usize) -> Node {
        self.relocate(index, Whereabouts::Orphan);
        self.idle.retain(|&idle| idle as usize != index);
        let (generation, node) = &mut self.slots[index];
        *generation = generation.wrapping_add(1);
        self.free.push(index as u32);
        node.take().expect("indices are those of nodes that are in use")
    }

    /// Whether more nodes wait for their entry to be written than should.
    pub fn has_many_idle(&self) -> bool {
        self.idle.len() > MAX_IDLE
    }

    /// All nodes whose entry has to be written.
    pub fn changed(&self) -> Vec<usize> {
        let is_changed = |node: &Node| node.entry == Entry::Changed && node.whereabouts != Whereabouts::Orphan;
        let nodes = self.slots.iter().enumerate();
        nodes.filter(|(_, (_, node))| node.as_ref().is_some_and(is_changed)).map(|(index, _)| index).collect()
    }

    /// All nodes that were removed from the tree.
    pub fn orphans(&self) -> Vec<usize> {
        let is_orphan = |node: &Node| node.whereabouts == Whereabouts::Orphan;
        let nodes = self.slots.iter().enumerate();
        nodes.filter(|(_, (_, node))| node.as_ref().is_some_and(is_orphan)).map(|(index, _)| index).collect()
    }

    /// Forgets the nodes that nobody holds and whose entry is written.
    pub fn sweep(&mut self) {
        for index in core::mem::take(&mut self.idle) {
            if self.get(index as usize).entry == Entry::Changed {
                self.idle.push(index);
            } else {
                self.remove(index as usize);
            }
        }
    }
}
