//! The write cache: [`WriteCache`], and from when on what was written counts as stable.
//!
//! ```text
//!                 switched off                     a flush that was submitted since has completed
//!   WriteBack ------------------> Draining -----------------------------------------------------> None
//!       ^                            |                                                              |
//!       +----------------------------+------------------------ switched on ------------------------+
//! ```
//!
//! Switched off, the cache still holds what was written before (VIRTIO 1.3 §5.2.6.1), so a disk goes on having one until a flush
//! has emptied it. A flush that counts for this remembers which switch it followed: one that was submitted before an earlier
//! switch, or that failed, empties nothing for a later one.
//!
//! The device may switch by itself, and is believed when its configuration is read again. A reset is no flush: the cache is what
//! it was before, or has been switched off since.

use core::borrow::Borrow;

use toro_core::dma::Segments;
use toro_core::driver::block::BlockError;
#[cfg(doc)]
use toro_core::driver::block::Disk;
use virtio_queue_rt::queue::SlotStorage;
use virtio_queue_rt::{Running, Transport};

use super::{Live, VirtioBlk};
use crate::config::{Cache, Traits};
use crate::features;
use crate::in_flight::InFlight;
use crate::setup::read_again;
use crate::wire;

/// How the disk shall treat writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteCache {
    /// A completed write may be lost until a flush.
    WriteBack,
    /// A completed write is stable.
    WriteThrough,
}

impl<T: Transport, S: SlotStorage<Segments, InFlight>> VirtioBlk<T, S> {
    /// Switches the write cache on or off.
    ///
    /// Switched off, it holds what was written before until a flush, so [`Disk::has_cache`] stays true until one that
    /// was submitted afterwards has completed.
    ///
    /// # Errors
    ///
    /// [`BlockError::Unsupported`] if the device has no switch, [`BlockError::Failed`] if it does not move, and
    /// [`BlockError::Interrupted`] if the device is gone.
    pub fn set_write_cache(&mut self, mode: WriteCache) -> Result<(), BlockError> {
        let Some(Live { device, .. }) = &self.live else { return Err(BlockError::Interrupted) };
        if !self.traits.features.contains(features::CONFIG_WCE) {
            return Err(BlockError::Unsupported);
        }
        let byte = u8::from(mode == WriteCache::WriteBack);
        device.write_config(|registers| registers.write8(wire::config::WRITEBACK, byte));
        let (_, now) = read_again(device).map_err(|_| BlockError::Failed)?;
        self.note_cache(now);
        let is_done = (now == Cache::WriteBack) == (mode == WriteCache::WriteBack);
        if is_done { Ok(()) } else { Err(BlockError::Failed) }
    }
}

impl<T, S, D> VirtioBlk<T, S, D>
where
    T: Transport,
    S: SlotStorage<Segments, InFlight>,
    D: Borrow<Running<T>>,
{
    /// Takes note of what the cache is like now.
    pub(super) fn note_cache(&mut self, now: Cache) {
        self.traits.cache = match (self.traits.cache, now) {
            (Cache::WriteBack, Cache::None) => {
                self.switches = self.switches.wrapping_add(1);
                Cache::Draining
            }
            (Cache::Draining, Cache::None) => Cache::Draining,
            (_, now) => now,
        };
    }

    /// Takes note of what the disk is like after a reset, which makes nothing stable. One that can no longer be flushed is
    /// believed.
    pub(super) fn note_reset(&mut self, traits: Traits) {
        let before = self.traits;
        self.traits = traits;
        if traits.features.contains(features::FLUSH) {
            self.traits.cache = before.cache;
            self.note_cache(traits.cache);
        }
        self.is_changed |= before.disk() != self.traits.disk();
    }

    /// A flush has completed that was submitted after the cache was switched off.
    #[cold]
    pub(super) fn settle(&mut self, switch: u32, result: Result<(), BlockError>) {
        if result.is_ok() && switch == self.switches && self.traits.cache == Cache::Draining {
            self.traits.cache = Cache::None;
        }
    }
}
