//! Which volumes of disks are mounted where, when all devices have been attached.
//!
//! The word `mount=NAME:/PATH` says where the disk or partition with that name is mounted: `virtio-blk0` for a disk
//! without partitions, `virtio-blk0p1` for one. Of the FAT volumes that no word names the first is mounted at `/` if nothing
//! is there yet, and others at `/NAME`. A volume is mounted by the core that owns its disk, or its first one.
//!
//! Whatever is wrong with a volume is said in the log, and never keeps the machine from booting.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;

use fuse_proto::Errno;
use toro_fat::{Error, Storage, StorageError, Timestamp, Unsupported};

use super::block::{self, Disk, DiskInfo};
use super::fat::{Fat, Platform};
use super::system::{KernelScheduler, mount_word, namespace, place};
use super::vfs::FileSystem;
use crate::core::{CoreId, run_on};
use crate::io::{self, ErrorKind, Result};
use crate::time::{SystemTime, UNIX_EPOCH};

/// How many sectors of tables and directories a volume keeps in memory, beside the cache of its disk.
const CACHED_SECTORS: usize = 64;

/// Mounts what there is.
pub(crate) fn mount_all() {
    let disks = block::disks();
    for disk in &disks {
        let word = mount_word(disk.name.as_bytes());
        if word.is_none() && has_partitions(&disks, disk) {
            continue;
        }
        let Some(owner) = disk.owners.first().and_then(|&core| CoreId::new(core)) else { continue };
        let default = || if namespace().has_mount(b"/") { format!("/{}", disk.name) } else { String::from("/") };
        let path = word.map_or_else(default, String::from);
        let is_named = word.is_some();
        let name = disk.name.clone();
        run_on(owner, move || match mount(&name, &path) {
            Ok(()) => {}
            Err(Failure::Volume(Error::Unsupported(Unsupported::NotFat))) if !is_named => {
                log::debug!("fs: \"{name}\" holds no FAT volume");
            }
            Err(Failure::Volume(error)) => log::error!("fs: \"{name}\" is not mounted: {error}"),
            Err(Failure::Place(error)) => log::error!("fs: \"{name}\" is not mounted at {path}: {error}"),
        });
    }
}

/// Why a volume is not mounted.
enum Failure {
    /// It cannot be used.
    Volume(Error),
    /// Its disk or its place in the tree is taken, or there is no such place.
    Place(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Place(error)
    }
}

/// Mounts a volume of this core.
fn mount(name: &str, path: &str) -> core::result::Result<(), Failure> {
    let disk = Rc::new(open(name)?);
    let is_read_only = disk.is_read_only();
    let buffers = Rc::clone(&disk);
    let platform = Platform {
        scheduler: Box::new(KernelScheduler),
        buffer: Box::new(move |bytes| buffers.buffer(bytes).map_err(|_| Errno::ENOMEM)),
        now,
    };
    let storage = Box::new(DiskStorage(disk));
    let file_system = Fat::mount(storage, CACHED_SECTORS, platform).map_err(Failure::Volume)?;
    if !file_system.was_clean() {
        log::warn!("fs: \"{name}\" was not unmounted the last time; what was not stable then is lost");
    }
    let placed = place(path.as_bytes(), &(Rc::clone(&file_system) as Rc<dyn FileSystem>));
    placed.inspect_err(|_| file_system.shutdown())?;
    let kind = if is_read_only { ", read-only" } else { "" };
    log::info!("fs: \"{name}\" is mounted at {path}{kind}");
    Ok(())
}

/// A disk as a volume wants it.
struct DiskStorage(Rc<Disk>);

fn open(name: &str) -> Result<Disk> {
    match Disk::open(name) {
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => Disk::open_read_only(name),
        opened => opened,
    }
}

impl Storage for DiskStorage {
    fn sectors(&self) -> u64 {
        self.0.sectors()
    }

    fn is_read_only(&self) -> bool {
        self.0.is_read_only()
    }

    fn read(&self, sector: u64, buffer: &mut [u8]) -> core::result::Result<(), StorageError> {
        self.0.read_at(buffer, sector).map_err(storage_error)
    }

    fn write(&self, sector: u64, data: &[u8]) -> core::result::Result<(), StorageError> {
        self.0.write_at(data, sector).map_err(storage_error)
    }

    fn flush(&self) -> core::result::Result<(), StorageError> {
        self.0.flush().map_err(storage_error)
    }
}

fn storage_error(error: io::Error) -> StorageError {
    match error.kind() {
        ErrorKind::InvalidInput => StorageError::OutOfRange,
        ErrorKind::ReadOnlyFilesystem => StorageError::ReadOnly,
        _ => StorageError::Failed,
    }
}

/// The wall clock.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() }
}

/// Whether one of the others is a part of this disk.
fn has_partitions(disks: &[DiskInfo], disk: &DiskInfo) -> bool {
    let is_part = |other: &DiskInfo| {
        let rest = other.name.strip_prefix(&*disk.name).and_then(|rest| rest.strip_prefix('p'));
        other.is_partition && rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    disks.iter().any(is_part)
}
