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
use toro_fat::{Error, Timestamp, Unsupported};

use super::block::{self, CachedDisk};
use super::fat::{Fat, Platform};
use super::kernel_scheduler::KernelScheduler;
use super::system::{mount_word, namespace, place};
use super::vfs::FileSystem;
use crate::core::{CoreId, run_on};
use crate::io;
use crate::time::{SystemTime, UNIX_EPOCH};

/// How many sectors of tables and directories a volume keeps in memory, beside the cache of its disk.
const CACHED_SECTORS: usize = 64;

/// Mounts what there is.
pub(crate) fn mount_all() {
    let volumes = block::volumes();
    for disk in block::disks() {
        let word = mount_word(disk.name.as_bytes());
        let is_volume = volumes.iter().any(|volume| volume.name == disk.name);
        if word.is_none() && !is_volume {
            continue;
        }
        let Some(owner) = disk.owners.first().and_then(|&core| CoreId::new(core)) else { continue };
        let default = || if namespace().has_mount(b"/") { format!("/{}", disk.name) } else { String::from("/") };
        let path = word.map_or_else(default, String::from);
        let is_named = word.is_some();
        let name = disk.name;
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
fn mount(name: &str, path: &str) -> Result<(), Failure> {
    let disk = CachedDisk::open(name)?;
    let is_read_only = disk.is_read_only();
    let buffers = disk.clone();
    let platform = Platform {
        scheduler: Box::new(KernelScheduler),
        buffer: Box::new(move |bytes| buffers.buffer(bytes).map_err(|_| Errno::ENOMEM)),
        now,
    };
    let file_system = Fat::mount(Box::new(disk), CACHED_SECTORS, platform).map_err(Failure::Volume)?;
    if !file_system.was_clean() {
        log::warn!("fs: \"{name}\" was not unmounted the last time; what was not stable then is lost");
    }
    let placed = place(path.as_bytes(), &(Rc::clone(&file_system) as Rc<dyn FileSystem>));
    placed.inspect_err(|_| file_system.shutdown())?;
    let kind = if is_read_only { ", read-only" } else { "" };
    log::info!("fs: \"{name}\" is mounted at {path}{kind}");
    Ok(())
}

/// The wall clock.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() }
}
