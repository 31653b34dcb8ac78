//! Disks in memory: one that counts its requests and can be cut off, and what it would hold after a crash.

use std::cell::{Cell, RefCell};

use toro_fat::{SECTOR, Storage, StorageError};

use crate::random::Random;

/// A disk in memory.
#[derive(Debug, Default)]
pub struct Memory {
    bytes: RefCell<Vec<u8>>,
    /// What a flush made stable, if somebody wants to know.
    stable: RefCell<Option<Vec<u8>>>,
    /// Writes after the last flush: sector and contents.
    unstable: RefCell<Vec<(u64, Vec<u8>)>>,
    reads: Cell<u64>,
    writes: Cell<u64>,
    flushes: Cell<u64>,
    /// How many more writes and flushes there will be before the power fails.
    until_cut: Cell<Option<u64>>,
}

impl Memory {
    /// A disk that holds `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: RefCell::new(bytes), ..Self::default() }
    }

    /// A disk that keeps apart what is stable, and loses power after `requests` more writes and flushes.
    pub fn with_cut(bytes: Vec<u8>, requests: u64) -> Self {
        let disk = Self::new(bytes);
        disk.stable.replace(Some(disk.image()));
        disk.until_cut.set(Some(requests));
        disk
    }

    /// What it holds.
    pub fn image(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    /// What it holds after the power failed: everything that was stable, and each other sector as it was at one moment since
    /// the last flush.
    pub fn image_after_cut(&self, random: &mut Random) -> Vec<u8> {
        let mut image = self.stable.borrow().clone().expect("made by `with_cut`");
        // Each sector keeps the order of its own writes: drawing a prefix of them is drawing the last one that counted.
        let unstable = self.unstable.borrow();
        let mut sectors: Vec<_> = unstable.iter().map(|(sector, _)| *sector).collect();
        sectors.sort_unstable();
        sectors.dedup();
        // All, none or some: the extremes are where the mistakes are.
        let style = random.below(4);
        for sector in sectors {
            let versions: Vec<_> = unstable.iter().filter(|(at, _)| *at == sector).collect();
            let kept = match style {
                0 => versions.len(),
                1 => random.below(8).saturating_sub(6) as usize,
                _ => random.below(versions.len() as u64 + 1) as usize,
            };
            if let Some((_, data)) = kept.checked_sub(1).and_then(|last| versions.get(last)) {
                let start = sector as usize * SECTOR;
                image[start..start + SECTOR].copy_from_slice(data);
            }
        }
        image
    }

    /// Whether the power failed.
    pub fn is_cut(&self) -> bool {
        self.until_cut.get() == Some(0)
    }

    /// Reads, writes and flushes so far.
    pub fn requests(&self) -> [u64; 3] {
        [self.reads.get(), self.writes.get(), self.flushes.get()]
    }

    /// Counts one more write or flush, if there is still power.
    fn change(&self) -> Result<(), StorageError> {
        match self.until_cut.get() {
            Some(0) => return Err(StorageError::Failed),
            Some(left) => self.until_cut.set(Some(left - 1)),
            None => {}
        }
        Ok(())
    }

    fn range(&self, sector: u64, len: usize) -> Result<std::ops::Range<usize>, StorageError> {
        let start = usize::try_from(sector).ok().and_then(|sector| sector.checked_mul(SECTOR));
        let range = start.and_then(|start| Some(start..start.checked_add(len)?)).ok_or(StorageError::OutOfRange)?;
        let fits = range.end <= self.bytes.borrow().len() && len.is_multiple_of(SECTOR);
        if fits { Ok(range) } else { Err(StorageError::OutOfRange) }
    }
}

impl Storage for Memory {
    fn sectors(&self) -> u64 {
        (self.bytes.borrow().len() / SECTOR) as u64
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.reads.set(self.reads.get() + 1);
        let range = self.range(sector, buffer.len())?;
        buffer.copy_from_slice(&self.bytes.borrow()[range]);
        Ok(())
    }

    fn write(&self, sector: u64, data: &[u8]) -> Result<(), StorageError> {
        let range = self.range(sector, data.len())?;
        self.change()?;
        self.writes.set(self.writes.get() + 1);
        self.bytes.borrow_mut()[range].copy_from_slice(data);
        if self.stable.borrow().is_some() {
            let sectors = (sector..).zip(data.chunks(SECTOR)).map(|(sector, data)| (sector, data.to_vec()));
            self.unstable.borrow_mut().extend(sectors);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.change()?;
        self.flushes.set(self.flushes.get() + 1);
        if let Some(stable) = &mut *self.stable.borrow_mut() {
            for (sector, data) in self.unstable.borrow_mut().drain(..) {
                let start = sector as usize * SECTOR;
                stable[start..start + SECTOR].copy_from_slice(&data);
            }
        }
        Ok(())
    }
}
