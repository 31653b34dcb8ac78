//! What a boot loader tells the kernel, whichever protocol it speaks.
//!
//! ```text
//!   entry code --> (Protocol, address) --> parse --> BootInformation
//!                                            |         memory map      which RAM there is
//!               pvh | linux | multiboot2 <---+         command line
//!                                                      root pointer    of ACPI, if the loader knows it
//!                                                      modules         files that were loaded along
//! ```
//!
//! All of it is written by the loader and read once, at boot, through [`PhysicalMemory`]. The parsers are total: whatever
//! memory holds, the result is a value or a [`BootError`], and loops are bounded. Without a memory map there is nothing to
//! boot with, so that is an error; a command line, root pointer or module that cannot be had is simply absent.
//!
//! # Who owns what is read
//!
//! The loader leaves its structures in RAM that its memory map calls free. Everything that a [`BootInformation`] still
//! refers to is listed by [`reserved`](BootInformation::reserved), and the frame allocator is told to keep off before it
//! hands out its first frame. The structures that have been turned into values are free for the taking.

use core::fmt;
use core::ops::Range;

use super::{linux, multiboot2, pvh};
use crate::mm::memory_map::MemoryMap;
use crate::mm::physical::PhysicalMemory;

/// The longest command line that is looked at, its terminator included: as long as Cloud Hypervisor passes.
pub const MAX_COMMAND_LINE: usize = 64 * 1024;
/// Modules beyond this number are left out.
pub const MAX_MODULES: usize = 16;

/// A way in which a boot loader enters a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The direct boot of Xen's PVH guests, which QEMU, Firecracker and Cloud Hypervisor have, too.
    Pvh,
    /// The 64-bit boot protocol of Linux.
    Linux,
    /// Multiboot2, the protocol of GRUB.
    Multiboot2,
}

impl Protocol {
    /// The protocol that the entry code has seen, by the magic number of each.
    pub fn from_magic(magic: u32) -> Option<Self> {
        match magic {
            pvh::MAGIC => Some(Self::Pvh),
            linux::MAGIC => Some(Self::Linux),
            multiboot2::MAGIC => Some(Self::Multiboot2),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pvh => "PVH",
            Self::Linux => "Linux, 64 bits",
            Self::Multiboot2 => "Multiboot2",
        })
    }
}

/// Why what the loader says was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The entry code was given the magic number of no protocol.
    Loader,
    /// The structure is not where the entry register says.
    Unreachable,
    /// The structure does not have its magic number.
    Magic,
    /// The structure is too old to have a memory map.
    Version,
    /// The memory map is missing, unreachable or holds no RAM.
    MemoryMap,
}

impl fmt::Display for BootError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Loader => "unknown boot protocol",
            Self::Unreachable => "boot information is not readable",
            Self::Magic => "boot information has the wrong magic number",
            Self::Version => "boot information is too old a version",
            Self::MemoryMap => "no usable memory map",
        })
    }
}

impl core::error::Error for BootError {}

/// A text that the loader has put into memory: a command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text<'a> {
    /// Physical address of its first byte.
    pub address: u64,
    /// The text without its terminator; empty where there is none.
    pub bytes: &'a [u8],
}

impl<'a> Text<'a> {
    /// The text at `address`, up to a NUL, at most [`MAX_COMMAND_LINE`] with it; empty where `address` is 0, or there is no
    /// NUL within reach.
    pub(super) fn at(memory: &'a dyn PhysicalMemory, address: u64) -> Self {
        // The text may end close to the end of what can be read, so it is reached for byte by byte.
        let byte = |offset: usize| memory.bytes(address.checked_add(offset as u64)?, 1)?.first().copied();
        let length = (0..MAX_COMMAND_LINE).take_while(|_| address != 0).map_while(byte).position(|byte| byte == 0);
        Self { address, bytes: length.and_then(|length| memory.bytes(address, length)).unwrap_or_default() }
    }

    /// Where it lies.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.saturating_add(self.bytes.len() as u64)
    }
}

/// A file that the loader has put into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module<'a> {
    /// Physical address of its first byte.
    pub address: u64,
    /// Length in bytes, not 0.
    pub size: u64,
    /// The module's own command line; empty where the protocol has none.
    pub command_line: Text<'a>,
}

impl Module<'_> {
    const NONE: Self = Self { address: 0, size: 0, command_line: Text { address: 0, bytes: &[] } };

    /// Where it lies.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.saturating_add(self.size)
    }
}

/// The modules in the loader's order, up to [`MAX_MODULES`].
#[derive(Clone, Copy, Debug)]
pub struct Modules<'a> {
    modules: [Module<'a>; MAX_MODULES],
    used: usize,
    omitted: usize,
}

impl<'a> Modules<'a> {
    /// No module.
    pub(super) const fn new() -> Self {
        Self { modules: [Module::NONE; MAX_MODULES], used: 0, omitted: 0 }
    }

    /// The modules.
    pub fn as_slice(&self) -> &[Module<'a>] {
        self.modules.get(..self.used).unwrap_or_default()
    }

    /// How many the loader names that are not listed: they are empty, not in RAM, or too many.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Counts modules that cannot be listed.
    pub(super) fn omit(&mut self, count: usize) {
        self.omitted = self.omitted.saturating_add(count);
    }

    /// Lists `module` if it is one: not empty, every byte of it in RAM.
    pub(super) fn add(&mut self, module: Module<'a>, memory_map: &MemoryMap) {
        let end = module.address.checked_add(module.size);
        let is_memory = end.is_some_and(|end| module.size > 0 && memory_map.contains(module.address, end));
        match self.modules.get_mut(self.used).filter(|_| is_memory) {
            Some(place) => {
                *place = module;
                self.used += 1;
            }
            None => self.omit(1),
        }
    }
}

/// What the loader told us.
#[derive(Clone)]
pub struct BootInformation<'a> {
    /// How it was told.
    pub protocol: Protocol,
    /// The usable RAM. The boot information itself may lie in it.
    pub memory_map: MemoryMap,
    /// The guest command line.
    pub command_line: Text<'a>,
    /// Physical address of the ACPI root pointer, or of a copy of it, if the loader passes one.
    pub rsdp: Option<u64>,
    /// What was loaded along with the kernel.
    pub modules: Modules<'a>,
    /// The structure of the loader that the above refers to; empty where it refers to none.
    pub structure: Range<u64>,
}

impl BootInformation<'_> {
    /// Every range of physical addresses that this refers to. They may overlap, be empty, and need not be RAM.
    pub fn reserved(&self) -> impl Iterator<Item = Range<u64>> + Clone + '_ {
        let modules = self.modules.as_slice().iter();
        [self.structure.clone(), self.command_line.range()]
            .into_iter()
            .chain(modules.flat_map(|module| [module.range(), module.command_line.range()]))
    }
}

/// Reads what a loader that speaks `protocol` has left at physical address `address`.
///
/// # Errors
///
/// See [`BootError`].
pub fn parse(protocol: Protocol, memory: &dyn PhysicalMemory, address: u64) -> Result<BootInformation<'_>, BootError> {
    match protocol {
        Protocol::Pvh => pvh::parse(memory, address),
        Protocol::Linux => linux::parse(memory, address),
        Protocol::Multiboot2 => multiboot2::parse(memory, address),
    }
}
