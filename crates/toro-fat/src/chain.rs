//! The clusters of one file or directory, in order.
//!
//! ```text
//!   first --> 7 --> 8 --> 9      in the table, and on the disk others can see it
//!                         :
//!                         +..> 20 --> 21     pending: in the table, but 9 does not say so yet
//! ```
//!
//! New clusters hang on to nothing until their contents and their own links are stable: a crash then leaves clusters that
//! belong to nobody, and never a file that leads into something else. Meanwhile the one missing link is here
//! ([`Pending`]); [`publish`](crate::volume::Volume) writes it.
//!
//! # Finding the cluster of an offset
//!
//! A chain can only be followed. The last place is remembered, and every 256th cluster that was passed, so that a random
//! access costs at most 256 steps once the file was read through. No more than four bytes per 256 clusters are kept.

use alloc::vec::Vec;

use crate::boot_sector::Layout;
use crate::disk::Disk;
use crate::error::{Corruption, Error};
use crate::storage::Storage;
use crate::table::{Link, Table};

/// Clusters between two that are remembered.
const STRIDE: u32 = 256;

/// What the disk does not say yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Nothing.
    Nothing,
    /// That there are clusters at all: the entry says none.
    First,
    /// That `head` follows `tail`.
    Link { tail: u32, head: u32 },
}

/// A chain of clusters.
#[derive(Debug)]
pub(crate) struct Chain {
    /// The first cluster; 0 if there is none.
    pub first: u32,
    pub pending: Pending,
    /// A place: how many clusters are before it, and which it is.
    position: Option<(u32, u32)>,
    /// The clusters number 0, 256, 512, ... as far as they were passed.
    marks: Vec<u32>,
}

/// What is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// This cluster.
    At(u32),
    /// Nothing: the chain has `length` clusters, and `tail` is the last; 0 if there is none.
    End { length: u32, tail: u32 },
}

impl Chain {
    pub fn new(first: u32) -> Self {
        Self { first, pending: Pending::Nothing, position: None, marks: Vec::new() }
    }

    /// What follows `cluster` in this chain.
    pub fn next<S: Storage>(&self, disk: &mut Disk<S>, table: &Table, cluster: u32) -> Result<Option<u32>, Error> {
        match self.pending {
            Pending::Link { tail, head } if tail == cluster => return Ok(Some(head)),
            _ => {}
        }
        follower(table.get(disk, cluster)?)
    }

    /// Finds cluster number `index`.
    pub fn seek<S: Storage>(
        &mut self,
        disk: &mut Disk<S>,
        table: &Table,
        layout: &Layout,
        index: u32,
    ) -> Result<Place, Error> {
        if self.first == 0 {
            return Ok(Place::End { length: 0, tail: 0 });
        }
        if index > layout.clusters {
            return Err(Corruption::ChainLoop.into());
        }
        let (mut at, mut cluster) = self.nearest(index);
        if at == 0 && self.marks.is_empty() {
            if !layout.is_cluster(cluster) {
                return Err(Corruption::ClusterOutOfRange.into());
            }
            self.marks.push(cluster);
        }
        while at < index {
            let Some(next) = self.advance(disk, table, (at, cluster), index - at)? else {
                return Ok(Place::End { length: at + 1, tail: cluster });
            };
            (at, cluster) = next;
        }
        self.position = Some((at, cluster));
        Ok(Place::At(cluster))
    }

    /// How many clusters follow each other on the disk from number `index` on, which is `cluster`; at most `most`.
    pub fn run<S: Storage>(
        &mut self,
        disk: &mut Disk<S>,
        table: &Table,
        (index, cluster): (u32, u32),
        most: u32,
    ) -> Result<u32, Error> {
        let mut count = 1;
        while count < most {
            let last = (index + count - 1, cluster + count - 1);
            match self.advance(disk, table, last, most - count)? {
                Some((at, next)) if next.wrapping_sub(cluster) == at - index => count = at - index + 1,
                _ => break,
            }
        }
        Ok(count)
    }

    /// Goes on from a place: over at most `most` clusters that follow each other on the disk, or to one that lies elsewhere.
    /// Nothing at the end of the chain.
    fn advance<S: Storage>(
        &mut self,
        disk: &mut Disk<S>,
        table: &Table,
        (at, cluster): (u32, u32),
        most: u32,
    ) -> Result<Option<(u32, u32)>, Error> {
        let most = match self.pending {
            // The table does not say yet what follows the tail.
            Pending::Link { tail, .. } if tail >= cluster => most.min(tail - cluster),
            _ => most,
        };
        let next = match table.follow(disk, cluster, most)? {
            (0, None) => self.next(disk, table, cluster)?.map(|next| (at + 1, next)),
            (0, Some(link)) => follower(link)?.map(|next| (at + 1, next)),
            (steps, _) => Some((at + steps, cluster + steps)),
        };
        let (to, place) = next.unwrap_or((at, cluster));
        self.position = Some((to, place));
        // Those that were passed; all but the last lie together.
        let mut mark = self.marks.len() as u32 * STRIDE;
        while (at + 1..=to).contains(&mark) {
            self.marks.push(place - (to - mark));
            mark += STRIDE;
        }
        Ok(next)
    }

    /// Forgets everything from cluster number `length` on.
    pub fn truncate(&mut self, length: u32) {
        self.position = self.position.filter(|&(at, _)| at < length);
        self.marks.truncate(length.div_ceil(STRIDE) as usize);
    }

    /// The best place to begin with, not behind `index`.
    fn nearest(&self, index: u32) -> (u32, u32) {
        let mark = (index / STRIDE).min((self.marks.len() as u32).saturating_sub(1));
        let marked = self.marks.get(mark as usize).map_or((0, self.first), |&cluster| (mark * STRIDE, cluster));
        self.position.filter(|&(at, _)| (marked.0..=index).contains(&at)).unwrap_or(marked)
    }
}

/// The cluster that a link leads to, if it leads on.
fn follower(link: Link) -> Result<Option<u32>, Error> {
    match link {
        Link::Next(next) => Ok(Some(next)),
        Link::End => Ok(None),
        Link::Free | Link::Invalid => Err(Corruption::BrokenChain.into()),
    }
}
