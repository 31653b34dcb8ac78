//! The files that the boot loader has put into memory along with the kernel.
//!
//! They lie in RAM that is kept as it was left ([`crate::mm`]), and can be read where they are for as long as the machine
//! runs; nothing is copied but what lies in the page at zero. [`Found`] notes them while the loader's own list can still be read, and makes them readable once
//! the final page tables are there.

use alloc::string::String;
use alloc::vec::Vec;

use super::information;
use crate::mm::physical::PhysicalMemory;
use crate::mm::{EarlyMemory, FirmwareMemory, PAGE_SIZE};

static MODULES: spin::Once<Vec<Module>> = spin::Once::new();
/// Without anything of its own, so that what it shows lives as long as the machine.
static MEMORY: FirmwareMemory = FirmwareMemory;

/// A file that the boot loader has put into memory.
#[derive(Clone, Debug)]
pub struct Module {
    /// What is in the file. Where it is in memory is the loader's choice: it may be aligned to nothing.
    pub bytes: &'static [u8],
    /// What the loader says about it; empty where it says nothing.
    pub command_line: String,
}

/// The modules in the loader's order.
pub fn modules() -> &'static [Module] {
    MODULES.get().map_or(&[], Vec::as_slice)
}

/// Modules that cannot be read yet.
pub(super) struct Found(Vec<(Contents, String)>);

/// Where a module's bytes are.
enum Contents {
    /// Where the loader has put them.
    Kept { address: u64, size: usize },
    /// On the heap.
    Copied(Vec<u8>),
}

impl Found {
    /// Notes the loader's modules. Needs the heap, and memory as it is mapped early: what begins in the page at zero is copied. (GRUB
    /// puts the first module there under UEFI, where that page is as good as others.)
    pub(super) fn new(modules: &information::Modules<'_>, memory: &EarlyMemory) -> Self {
        if modules.omitted() > 0 {
            log::warn!("boot: modules are empty, not in memory, or too many: {}", modules.omitted());
        }
        let note = |module: &information::Module<'_>| {
            let command_line = String::from_utf8_lossy(module.command_line.bytes).into_owned();
            let (address, size) = (module.address, usize::try_from(module.size).ok()?);
            let contents = if address >= PAGE_SIZE {
                Contents::Kept { address, size }
            } else if let Some(copy) = memory.copy(address, size) {
                Contents::Copied(copy)
            } else {
                log::warn!("boot: there is no memory to copy the module at {address:#x} to");
                return None;
            };
            Some((contents, command_line))
        };
        Self(modules.as_slice().iter().filter_map(note).collect())
    }

    /// Makes them readable. Needs the final page tables.
    pub(super) fn map(self) {
        MODULES.call_once(|| self.0.into_iter().filter_map(map).collect());
    }
}

fn map((contents, command_line): (Contents, String)) -> Option<Module> {
    let bytes = match contents {
        Contents::Copied(copy) => Vec::leak(copy),
        Contents::Kept { address, size } => {
            let Some(bytes) = MEMORY.bytes(address, size) else {
                log::warn!("boot: the module at {address:#x} cannot be mapped");
                return None;
            };
            bytes
        }
    };
    log::debug!("boot: module of {} bytes: {command_line}", bytes.len());
    Some(Module { bytes, command_line })
}
