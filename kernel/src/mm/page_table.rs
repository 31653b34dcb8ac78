//! The page tables: 4 levels, one address space, no page both writable and executable.
//!
//! ```text
//!   0x0000_0000_0000_0000  not mapped: a null pointer faults
//!   0x0000_0000_0010_0000  the image: text RX, constants R, data RW, boot stack above its guard page
//!   ...                    RAM, identity mapped, RW, 2 MiB or 1 GiB pages where the alignment allows
//!   ...                    device registers, identity mapped, RW, uncached, on demand
//!   ...                    firmware tables, identity mapped, R, on demand
//!   0xFFFF_9000_0000_0000  thread stacks, RW, each above its guard pages (see stack.rs)
//! ```
//!
//! The tables themselves lie in frames of identity mapped RAM, so a table's physical address is a pointer to it. They
//! are only ever extended; the one thing that is unmapped is a 4 KiB page of the stack window. Every walk goes through
//! `Table`, whose one invariant is that its address is that of a live table.

use core::ptr;

use super::PAGE_SIZE;
use super::frame::FrameAllocator;
use crate::arch::cpu;

/// What may be done with a page, and how the caches treat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Constants and firmware tables: read only, cached.
    ReadOnly,
    /// Memory: read and write, cached, never executed.
    ReadWrite,
    /// Code: read and execute, cached.
    Execute,
    /// Device registers: read and write, uncached, never executed.
    Device,
}

/// Why a range could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// There is no frame left for a page table.
    OutOfMemory,
    /// The range is not canonical, wraps around, contains page 0 or lies beyond the processor's physical addresses.
    Range,
}

impl core::fmt::Display for MapError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(match self {
            Self::OutOfMemory => "no memory for page tables",
            Self::Range => "address range cannot be mapped",
        })
    }
}

impl core::error::Error for MapError {}

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const WRITE_THROUGH: u64 = 1 << 3;
const UNCACHED: u64 = 1 << 4;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
const ENTRIES: usize = 512;
const LEVELS: u32 = 4;

/// Bytes that one entry of a table of `level` covers: 4 KiB at level 1, 512 GiB at level 4.
fn span(level: u32) -> u64 {
    PAGE_SIZE << (9 * (level - 1))
}

fn index(virtual_address: u64, level: u32) -> usize {
    (virtual_address / span(level)) as usize % ENTRIES
}

/// One page table.
///
/// Invariant: the address is that of a page-aligned, identity mapped frame, which holds a page table of the one address
/// space and is never freed. Only the owner of the [`AddressSpace`] holds these, one core at a time.
#[derive(Clone, Copy)]
struct Table(u64);

impl Table {
    fn allocate(frames: &mut FrameAllocator<'_>) -> Result<Self, MapError> {
        let address = frames.allocate(1, 1).ok_or(MapError::OutOfMemory)?;
        // SAFETY: the frame was allocated just now, so nothing else uses it; it is RAM, identity mapped and writable,
        // and a whole page long.
        unsafe { ptr::write_bytes(ptr::with_exposed_provenance_mut::<u8>(address as usize), 0, PAGE_SIZE as usize) };
        Ok(Self(address))
    }

    fn entry(self, index: usize) -> *mut u64 {
        debug_assert!(index < ENTRIES);
        ptr::with_exposed_provenance_mut::<u64>(self.0 as usize).wrapping_add(index % ENTRIES)
    }

    fn read(self, index: usize) -> u64 {
        // SAFETY: in bounds and aligned, as the index is below 512 and the table is a page (type invariant); volatile
        // because the processor sets accessed and dirty bits in it.
        unsafe { self.entry(index).read_volatile() }
    }

    fn write(self, index: usize, value: u64) {
        // SAFETY: in bounds and aligned as above. What the entry maps is the affair of the caller, all of which are in
        // this module and map RAM, the image or device ranges with the rights of [`Access`].
        unsafe { self.entry(index).write_volatile(value) }
    }

    /// The table below an entry of this table, which is one of `level`, if the entry names one.
    fn child(self, index: usize, level: u32) -> Option<Self> {
        let entry = self.read(index);
        (level > 1 && entry & (PRESENT | LARGE) == PRESENT).then_some(Self(entry & ADDRESS))
    }
}

/// One mapped page as a walk finds it.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// First virtual address, sign-extended.
    pub virtual_address: u64,
    /// First physical address.
    pub physical_address: u64,
    /// 4 KiB, 2 MiB or 1 GiB.
    pub size: u64,
    /// Whether it can be written.
    pub is_writable: bool,
    /// Whether it can be executed.
    pub is_executable: bool,
    /// Whether it bypasses the caches.
    pub is_uncached: bool,
}

/// The one address space.
pub struct AddressSpace {
    root: Table,
    /// The NX bit where the processor has it, else 0.
    no_execute: u64,
    /// The highest level at which a page may be mapped: 3 with 1 GiB pages, else 2.
    largest: u32,
    /// The bits that a physical address cannot have.
    beyond: u64,
}

impl AddressSpace {
    /// An empty address space. The tables can be filled before the processor uses them.
    ///
    /// # Errors
    ///
    /// [`MapError::OutOfMemory`].
    pub fn new(frames: &mut FrameAllocator<'_>) -> Result<Self, MapError> {
        let features = cpu::features();
        Ok(Self {
            root: Table::allocate(frames)?,
            no_execute: if features.no_execute { NO_EXECUTE } else { 0 },
            largest: if features.gigabyte_pages { 3 } else { 2 },
            beyond: u64::MAX.checked_shl(cpu::physical_address_bits()).unwrap_or(0),
        })
    }

    /// Physical address of the root table, for the page table base register.
    pub fn root(&self) -> u64 {
        self.root.0
    }

    fn leaf_flags(&self, access: Access) -> u64 {
        PRESENT
            | match access {
                Access::ReadOnly => self.no_execute,
                Access::ReadWrite => WRITABLE | self.no_execute,
                Access::Execute => 0,
                Access::Device => WRITABLE | UNCACHED | WRITE_THROUGH | self.no_execute,
            }
    }

    /// Maps the whole pages that `virtual_address..+length` touches to physical memory from `physical_address` on. Both
    /// addresses have the same offset in their page. Pages that are mapped already stay as they are.
    ///
    /// # Errors
    ///
    /// See [`MapError`]. Part of the range may be mapped then.
    pub fn map(
        &mut self,
        virtual_address: u64,
        physical_address: u64,
        length: u64,
        access: Access,
        frames: &mut FrameAllocator<'_>,
    ) -> Result<(), MapError> {
        let end = virtual_address.checked_add(length).ok_or(MapError::Range)?;
        let end = end.checked_next_multiple_of(PAGE_SIZE).ok_or(MapError::Range)?;
        let mut position = virtual_address & !(PAGE_SIZE - 1);
        let offset = physical_address.wrapping_sub(virtual_address);
        let is_canonical = |address: u64| ((address as i64) << 16 >> 16) as u64 == address;
        if position == 0 || !is_canonical(position) || !is_canonical(end - 1) || (position ^ (end - 1)) >> 63 != 0 {
            return Err(MapError::Range);
        }
        // What a device says of its registers may be any address.
        if (end - 1).wrapping_add(offset) & self.beyond != 0 {
            return Err(MapError::Range);
        }
        while position < end {
            position += self.map_some(position, position.wrapping_add(offset), end - position, access, frames)?;
        }
        Ok(())
    }

    /// Maps pages of one size, the largest that fits, as far as they lie in one table; returns how far that reaches.
    fn map_some(
        &mut self,
        virtual_address: u64,
        physical_address: u64,
        room: u64,
        access: Access,
        frames: &mut FrameAllocator<'_>,
    ) -> Result<u64, MapError> {
        let mut table = self.root;
        let mut level = LEVELS;
        loop {
            let index = index(virtual_address, level);
            let entry = table.read(index);
            if let Some(child) = table.child(index, level) {
                table = child;
                level -= 1;
                continue;
            }
            let span = span(level);
            if entry & PRESENT != 0 {
                // Mapped already, perhaps by a page that begins before: skip to its end.
                return Ok(span - virtual_address % span);
            }
            let fits = (virtual_address | physical_address).is_multiple_of(span) && room >= span;
            if level == 1 || (level <= self.largest && fits) {
                let size = if level > 1 { LARGE } else { 0 };
                let flags = size | self.leaf_flags(access);
                let last = (index + (room / span).max(1) as usize).min(ENTRIES);
                let mut mapped = 0;
                // The first is absent, as seen above; who comes upon one that is not starts again from the root.
                for index in (index..last).take_while(|&index| table.read(index) & PRESENT == 0) {
                    table.write(index, ((physical_address + mapped) & ADDRESS) | flags);
                    mapped += span;
                }
                return Ok(mapped);
            }
            let child = Table::allocate(frames)?;
            table.write(index, child.0 | PRESENT | WRITABLE);
            table = child;
            level -= 1;
        }
    }

    /// Unmaps the 4 KiB page at `virtual_address` on this core and returns the frame it stood for.
    pub fn unmap_page(&mut self, virtual_address: u64) -> Option<u64> {
        let mut table = self.root;
        for level in (2..=LEVELS).rev() {
            table = table.child(index(virtual_address, level), level)?;
        }
        let index = index(virtual_address, 1);
        let entry = table.read(index);
        if entry & PRESENT == 0 {
            return None;
        }
        table.write(index, 0);
        cpu::flush_page(virtual_address);
        Some(entry & ADDRESS)
    }

    /// Calls `visit` for every mapped page in ascending order of entries.
    pub fn walk(&self, visit: &mut dyn FnMut(Mapping)) {
        self.walk_table(self.root, LEVELS, 0, Inherited { is_writable: true, is_executable: true }, visit);
    }

    fn walk_table(&self, table: Table, level: u32, base: u64, above: Inherited, visit: &mut dyn FnMut(Mapping)) {
        for index in 0..ENTRIES {
            let entry = table.read(index);
            if entry & PRESENT == 0 {
                continue;
            }
            let address = base + index as u64 * span(level);
            let rights = Inherited {
                is_writable: above.is_writable && entry & WRITABLE != 0,
                is_executable: above.is_executable && entry & self.no_execute == 0,
            };
            match table.child(index, level) {
                Some(child) => self.walk_table(child, level - 1, address, rights, visit),
                None => visit(Mapping {
                    virtual_address: ((address << 16) as i64 >> 16) as u64,
                    physical_address: entry & ADDRESS & !(span(level) - 1),
                    size: span(level),
                    is_writable: rights.is_writable,
                    is_executable: rights.is_executable,
                    is_uncached: entry & UNCACHED != 0,
                }),
            }
        }
    }
}

/// Rights that the levels above leave to a page.
#[derive(Clone, Copy)]
struct Inherited {
    is_writable: bool,
    is_executable: bool,
}
