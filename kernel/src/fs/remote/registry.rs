//! [`Registry`]: which core has mounted what, and where.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use fuse_proto::Errno;

use super::Carrier;
use super::exports::Number;
use crate::fs::mounts::mount_names;

/// Names a mount in a registry, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareId(u64);

/// A mount of one core, as the others see it.
#[derive(Clone)]
pub struct Share<C> {
    /// Which one.
    pub id: ShareId,
    /// The core.
    pub owner: usize,
    /// Its path, name by name.
    pub names: Vec<Box<[u8]>>,
    /// The way to the owner.
    pub carrier: C,
    /// The file system among the owner's exports.
    pub file_system: Number,
}

/// The mounts of all cores.
///
/// It changes when something is mounted or unmounted. Others notice by [`changes`](Self::changes), a load, and take a copy
/// then; so the lock is no matter.
pub struct Registry<C> {
    /// Changed while the lock is held.
    changes: AtomicU64,
    shares: spin::Mutex<Vec<Share<C>>>,
}

impl<C: Carrier> Registry<C> {
    /// Nothing is mounted.
    pub const fn new() -> Self {
        Self { changes: AtomicU64::new(0), shares: spin::Mutex::new(Vec::new()) }
    }

    /// How often it has changed.
    pub fn changes(&self) -> u64 {
        // Acquire: whoever waits for a mount, and sees that it is there, sees what was done before.
        self.changes.load(Ordering::Acquire)
    }

    /// Says that the core `owner` has mounted a file system at `path`.
    ///
    /// # Errors
    ///
    /// EBUSY if another one is there, of whatever core; EINVAL as [`MountTable::mount`](crate::fs::mounts::MountTable::mount).
    pub fn publish(&self, path: &[u8], owner: usize, carrier: C, file_system: Number) -> Result<(), Errno> {
        let names = mount_names(path)?;
        let mut shares = self.shares.lock();
        if shares.iter().any(|share| share.names == names) {
            return Err(Errno::EBUSY);
        }
        let id = ShareId(self.changes.fetch_add(1, Ordering::Release));
        shares.push(Share { id, owner, names, carrier, file_system });
        Ok(())
    }

    /// Takes everything out that the core `owner` has mounted.
    pub fn withdraw(&self, owner: usize) {
        let mut shares = self.shares.lock();
        let before = shares.len();
        shares.retain(|share| share.owner != owner);
        if shares.len() != before {
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// The core that has mounted something at this very path.
    pub fn owner(&self, path: &[u8]) -> Option<usize> {
        let names = mount_names(path).ok()?;
        self.shares.lock().iter().find(|share| share.names == names).map(|share| share.owner)
    }

    /// Takes out what the core `owner` has mounted at this very path, and returns its number.
    pub fn withdraw_at(&self, path: &[u8], owner: usize) -> Option<Number> {
        let names = mount_names(path).ok()?;
        let mut shares = self.shares.lock();
        let index = shares.iter().position(|share| share.owner == owner && share.names == names)?;
        self.changes.fetch_add(1, Ordering::Release);
        Some(shares.remove(index).file_system)
    }

    /// The mounts of all other cores than `core`, and after how many changes.
    pub fn of_others(&self, core: usize) -> (u64, Vec<Share<C>>) {
        let shares = self.shares.lock();
        let others = shares.iter().filter(|share| share.owner != core).cloned().collect();
        (self.changes.load(Ordering::Relaxed), others)
    }
}

impl<C: Carrier> Default for Registry<C> {
    fn default() -> Self {
        Self::new()
    }
}
