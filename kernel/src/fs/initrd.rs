//! Initial RAM disks: archives that the boot loader has put into memory, mounted when all devices have been attached.
//!
//! The first is called `initrd`, further ones `initrd1`, `initrd2` and so on. The word `mount=NAME:/PATH` says where one is
//! mounted. One that no word names is mounted at `/` if nothing is there yet, and else at `/NAME`. They are mounted by the boot core.
//!
//! The archive's bytes are the loader's: RAM that was reserved before anything was allocated, mapped read-only for ever.
//!
//! Whatever is wrong with an archive is said in the log, and never keeps the machine from booting.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use fuse_proto::Errno;
use toro_core::{DmaBuf, DmaPool};

use super::archive::{Archive, Platform, READ_LIMIT};
use super::kernel_scheduler::KernelScheduler;
use super::system::{mount_word, namespace, place};
use super::vfs::FileSystem;
use crate::mm::dma::DMA;
use crate::{boot, mm};

/// What the first is called, and how others begin.
const NAME: &str = "initrd";
/// The part of the free memory that names and objects may take.
const SHARE_OF_MEMORY: u64 = 2;
/// About what one of them takes: an object and an entry in a directory.
const OBJECT_BYTES: u64 = 256;
/// How many buffers are made at first, when somebody reads into one.
const BUFFERS: usize = 4;

/// The names of all of them, whether they are mounted or not.
pub(super) fn names() -> Vec<String> {
    (0..boot::modules().len()).map(name).collect()
}

fn name(index: usize) -> String {
    if index == 0 { String::from(NAME) } else { format!("{NAME}{index}") }
}

/// Mounts what there is.
pub(crate) fn mount_archives() {
    for (index, module) in boot::modules().iter().enumerate() {
        let name = name(index);
        let default = || if namespace().has_mount(b"/") { format!("/{name}") } else { String::from("/") };
        let path = mount_word(name.as_bytes()).map_or_else(default, String::from);
        mount(&name, module.bytes, &path);
    }
}

fn mount(name: &str, image: &'static [u8], path: &str) {
    let buffers = RefCell::new(Vec::new());
    let buffer = move |bytes| buffer(&mut buffers.borrow_mut(), bytes).ok_or(Errno::ENOMEM);
    let platform = Platform { scheduler: Box::new(KernelScheduler), buffer: Box::new(buffer) };
    let most = usize::try_from(mm::free_memory() / SHARE_OF_MEMORY / OBJECT_BYTES).unwrap_or(usize::MAX);
    let archive = match Archive::open(Box::new(image), most, platform) {
        Ok(archive) => archive,
        Err(error) => {
            log::error!("fs: \"{name}\" is not mounted: {error}");
            return;
        }
    };
    match place(path.as_bytes(), &(Rc::clone(&archive) as Rc<dyn FileSystem>)) {
        Ok(()) => log::info!("fs: \"{name}\" is mounted at {path}, read-only, {} files", archive.objects()),
        Err(error) => log::error!("fs: \"{name}\" is not mounted at {path}: {error}"),
    }
}

/// A buffer of so many bytes, of a pool that has one.
fn buffer(pools: &mut Vec<DmaPool>, bytes: usize) -> Option<DmaBuf> {
    if bytes > READ_LIMIT {
        return None;
    }
    if let Some(buffer) = pools.iter_mut().find_map(DmaPool::take) {
        return Some(buffer);
    }
    let mut pool = DmaPool::new(DMA, BUFFERS << pools.len().min(8), READ_LIMIT).ok()?;
    let buffer = pool.take();
    pools.push(pool);
    buffer
}
