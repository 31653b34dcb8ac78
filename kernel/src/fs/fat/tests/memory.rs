//! Disks in memory, that make threads wait, refuse writes, or fail.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use toro_fat::{SECTOR, Storage, StorageError};

use crate::fs::scheduler::{Event, Scheduler};
use crate::fs::tests::threads::Crew;

/// Sectors in a test's disk: 4 MiB, and a FAT16 volume with as many clusters.
pub const SECTORS: u64 = 8192;

/// A disk in memory. Another one over the same bytes is the disk after the next boot.
#[derive(Clone)]
pub struct Memory {
    pub bytes: Rc<RefCell<Vec<u8>>>,
    /// Announced by nobody: what a thread waits with for the disk.
    wait: Option<Rc<Wait>>,
    is_read_only: bool,
    pub is_broken: Rc<Cell<bool>>,
    pub flushes: Rc<Cell<usize>>,
}

struct Wait(Box<dyn Scheduler>, Rc<dyn Event>);

impl Memory {
    /// With an empty volume.
    pub fn formatted() -> Self {
        Self::of(format_volume())
    }

    /// With these bytes.
    pub fn of(bytes: Vec<u8>) -> Self {
        let bytes = Rc::new(RefCell::new(bytes));
        Self { bytes, wait: None, is_read_only: false, is_broken: Rc::default(), flushes: Rc::default() }
    }

    /// The same disk, on which each request takes a millisecond, in which others run.
    pub fn slow(&self, crew: &Crew) -> Self {
        let wait = Some(Rc::new(Wait(crew.scheduler(), crew.scheduler().event())));
        Self { wait, ..self.clone() }
    }

    /// The same disk, which nobody may write to.
    pub fn read_only(&self) -> Self {
        Self { is_read_only: true, ..self.clone() }
    }

    fn access(&self, sector: u64, length: usize) -> Result<core::ops::Range<usize>, StorageError> {
        if let Some(wait) = &self.wait {
            wait.1.wait_until(wait.0.now().saturating_add(Duration::from_millis(1)));
        }
        let start = usize::try_from(sector).map_err(|_| StorageError::OutOfRange)? * SECTOR;
        let end = start + length;
        if self.is_broken.get() {
            return Err(StorageError::Failed);
        }
        if end > self.bytes.borrow().len() || !length.is_multiple_of(SECTOR) {
            return Err(StorageError::OutOfRange);
        }
        Ok(start..end)
    }
}

impl Storage for Memory {
    fn sectors(&self) -> u64 {
        (self.bytes.borrow().len() / SECTOR) as u64
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let range = self.access(sector, buffer.len())?;
        buffer.copy_from_slice(&self.bytes.borrow()[range]);
        Ok(())
    }

    fn write(&self, sector: u64, data: &[u8]) -> Result<(), StorageError> {
        assert!(!self.is_read_only, "nobody writes to a disk that is read-only");
        let range = self.access(sector, data.len())?;
        self.bytes.borrow_mut()[range].copy_from_slice(data);
        Ok(())
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.access(0, 0)?;
        self.flushes.set(self.flushes.get() + 1);
        Ok(())
    }
}

/// An empty FAT16 volume with clusters of a sector.
pub fn format_volume() -> Vec<u8> {
    const TABLE: u16 = 32;
    let mut bytes = vec![0; SECTORS as usize * SECTOR];
    let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
    put(0, &[0xEB, 0x3C, 0x90]);
    put(3, b"TORO    ");
    put(11, &512_u16.to_le_bytes());
    put(13, &[1]); // sectors in a cluster
    put(14, &1_u16.to_le_bytes()); // reserved
    put(16, &[2]); // tables
    put(17, &512_u16.to_le_bytes()); // entries of the root directory
    put(19, &(SECTORS as u16).to_le_bytes());
    put(21, &[0xF8]);
    put(22, &TABLE.to_le_bytes());
    put(38, &[0x29, 1, 2, 3, 4]);
    put(43, b"NO NAME    FAT16   ");
    put(510, &[0x55, 0xAA]);
    for table in 0..2 {
        put((1 + table * usize::from(TABLE)) * SECTOR, &[0xF8, 0xFF, 0xFF, 0xFF]);
    }
    bytes
}
