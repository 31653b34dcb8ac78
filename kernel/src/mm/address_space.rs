//! The two global objects, the frame allocator and the address space, and what the rest of the kernel does with them.

use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use toro_core::Mmio;

use super::PAGE_SIZE;
use super::frame::FrameAllocator;
use super::heap;
use super::image;
use super::memory_map::{MAX_PHYSICAL, MemoryMap};
use super::page_table::{Access, AddressSpace, MapError, Mapping};
use super::physical::PhysicalMemory;
use crate::arch::cpu;

/// RAM below this is left alone.
const LOW_MEMORY: u64 = 0x10_0000;
/// Where a page of low memory is looked for: above what firmware keeps at the bottom, below its data area.
const LOW_PAGES: Range<u64> = 0x8000..0x9_0000;
/// What the early page tables map.
const EARLY_LIMIT: u64 = 4 << 30;

/// Nothing before [`initialise_frames`]; an allocator without frames would not be all zeroes, and so in the file.
static FRAMES: spin::Mutex<Option<FrameAllocator<'static>>> = spin::Mutex::new(None);
static ADDRESS_SPACE: spin::Mutex<Option<AddressSpace>> = spin::Mutex::new(None);
/// A page of RAM below 640 KiB that is nobody's, for code that has to lie there; 0 where there is none.
static LOW_PAGE: AtomicU64 = AtomicU64::new(0);
/// All RAM of the machine, for telling RAM from device ranges.
static RAM: spin::Once<MemoryMap> = spin::Once::new();
/// The RAM that the kernel writes to: all but the pages that are [kept](initialise_frames) as the boot loader left them.
static WRITABLE_RAM: spin::Once<MemoryMap> = spin::Once::new();

/// Runs `action` with the frame allocator.
///
/// # Panics
///
/// Before [`initialise_frames`].
pub(crate) fn with_frames<R>(action: impl FnOnce(&mut FrameAllocator<'static>) -> R) -> R {
    action(FRAMES.lock().as_mut().expect("there is memory before anything is allocated"))
}

/// Runs `action` with the address space and the frame allocator.
///
/// # Panics
///
/// Before [`initialise_address_space`].
pub(crate) fn with_address_space<R>(action: impl FnOnce(&mut AddressSpace, &mut FrameAllocator<'static>) -> R) -> R {
    let mut space = ADDRESS_SPACE.lock();
    let space = space.as_mut().expect("the address space exists before anything is mapped into it");
    with_frames(|frames| action(space, frames))
}

/// Gives the RAM of `map` to the frame allocator, except for the low megabyte, the image, and the pages that the ranges
/// of `kept` touch: these stay as they are for good, and can be read through [`FirmwareMemory`].
///
/// # Errors
///
/// [`MapError::OutOfMemory`] where no range has room for the bitmap.
pub(crate) fn initialise_frames(
    map: &MemoryMap,
    kept: impl Iterator<Item = Range<u64>> + Clone,
) -> Result<(), MapError> {
    let without_kept = |map: &MemoryMap| {
        let mut map = map.clone();
        for range in kept.clone().filter(|range| !range.is_empty()) {
            map.remove(range.start, range.end);
        }
        map
    };
    let low = without_kept(map);
    let low_page = LOW_PAGES.step_by(PAGE_SIZE as usize).find(|&page| low.contains(page, page + PAGE_SIZE));
    LOW_PAGE.store(low_page.unwrap_or(0), Ordering::Relaxed);

    let mut ram = map.clone();
    ram.remove(0, LOW_MEMORY);
    let mut usable = without_kept(&ram);
    RAM.call_once(|| ram);
    WRITABLE_RAM.call_once(|| usable.clone());

    let image = image::whole();
    usable.remove(image.start, image.end);

    // The bitmap and behind it the heap's table of owners lie at the start of the lowest range with room. Taking them out
    // of the map can only lessen the need.
    let words = FrameAllocator::words_needed(&usable) + 1;
    let (lowest, highest) = (usable.ranges().first(), usable.ranges().last());
    let (lowest, highest) =
        lowest.zip(highest).map(|(low, high)| (low.start, high.end)).ok_or(MapError::OutOfMemory)?;
    let entries = heap::OwnerTable::entries_for(lowest as usize, highest as usize);
    let bytes = (words * size_of::<u64>() + entries).next_multiple_of(PAGE_SIZE as usize) as u64;
    let place = usable
        .ranges()
        .iter()
        .map(|range| range.start)
        .find(|&start| usable.contains(start, start + bytes) && start + bytes <= EARLY_LIMIT)
        .ok_or(MapError::OutOfMemory)?;
    usable.remove(place, place + bytes);
    let start: *mut u64 = ptr::with_exposed_provenance_mut(place as usize);
    // SAFETY: within this range, which is RAM (it is in the memory map), mapped read-write by the early page
    // tables (below their limit) and by the final ones, and not used by anything: neither image nor kept.
    unsafe { ptr::write_bytes(start.cast::<u8>(), 0, bytes as usize) };
    // SAFETY: aligned, initialised just now, and exclusively this slice's for ever, as the range has been taken out of
    // the map that the allocator hands out.
    let bitmap = unsafe { core::slice::from_raw_parts_mut(start, words) };
    *FRAMES.lock() = Some(FrameAllocator::new(&usable, bitmap));
    // SAFETY: in bounds of the range, which is longer than the bitmap.
    let owners = unsafe { start.add(words) }.cast::<AtomicU8>();
    // SAFETY: as for the bitmap, behind which it begins; the range is long enough for both.
    let owners = unsafe { core::slice::from_raw_parts(owners, entries) };
    heap::initialise_owners(lowest, owners);
    Ok(())
}

/// Builds the final page tables and switches to them.
///
/// # Errors
///
/// See [`MapError`].
pub(crate) fn initialise_address_space() -> Result<(), MapError> {
    let ram = WRITABLE_RAM.get().ok_or(MapError::Range)?;
    let space = with_frames(|frames| {
        let mut space = AddressSpace::new(frames)?;
        let mut map = |range: Range<u64>, access| {
            if range.is_empty() {
                Ok(())
            } else {
                space.map(range.start, range.start, range.end - range.start, access, frames)
            }
        };
        map(image::text(), Access::Execute)?;
        map(image::rodata(), Access::ReadOnly)?;
        map(image::data(), Access::ReadWrite)?;
        map(image::boot_stack(), Access::ReadWrite)?;
        let mut rest = ram.clone();
        let image = image::whole();
        rest.remove(image.start, image.end);
        for range in rest.ranges() {
            map(range.start..range.end, Access::ReadWrite)?;
        }
        Ok::<_, MapError>(space)
    })?;
    // SAFETY: the new tables map everything that is in use: the running code, constants, data, the current (boot) stack,
    // and all RAM that is written to, in which the heap and the tables themselves lie. They are never freed.
    unsafe { cpu::activate_page_tables(space.root()) };
    *ADDRESS_SPACE.lock() = Some(space);
    Ok(())
}

/// Why a device or firmware range was not mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapMmioError {
    /// The range is empty, wraps around, contains page 0 or lies beyond the identity map.
    Range,
    /// Part of the range is RAM.
    Ram,
    /// There is no frame left for a page table.
    OutOfMemory,
}

impl core::fmt::Display for MapMmioError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(match self {
            Self::Range => "address range cannot be mapped",
            Self::Ram => "address range contains memory",
            Self::OutOfMemory => "no memory for page tables",
        })
    }
}

impl core::error::Error for MapMmioError {}

impl From<MapError> for MapMmioError {
    fn from(error: MapError) -> Self {
        match error {
            MapError::OutOfMemory => Self::OutOfMemory,
            MapError::Range => Self::Range,
        }
    }
}

/// Maps `length` bytes of device registers at physical address `physical`, uncached, and returns their virtual address.
/// The mapping stays for good; mapping a range again gives the same address.
///
/// # Errors
///
/// See [`MapMmioError`]; a range that overlaps RAM is refused, so what a device's registers claim can never alias
/// memory.
pub fn map_mmio(physical: u64, length: u64) -> Result<*mut u8, MapMmioError> {
    map_identical(physical, length, Access::Device)?;
    Ok(ptr::with_exposed_provenance_mut(physical as usize))
}

/// Interrupt controllers, whose registers are not for drivers: writing there can raise any vector.
const INTERRUPT_CONTROLLERS: [Range<u64>; 2] = [0xFEC0_0000..0xFEC1_0000, 0xFEE0_0000..0xFEF0_0000];

/// Maps a device's registers as [`map_mmio`] does, for a driver that is to own them. `physical` is a multiple of 8.
///
/// # Errors
///
/// See [`MapMmioError`]; a range that overlaps the interrupt controllers or is not aligned is a
/// [`Range`](MapMmioError::Range) error.
pub fn device_registers(physical: u64, length: u64) -> Result<Mmio, MapMmioError> {
    let end = physical.checked_add(length).ok_or(MapMmioError::Range)?;
    let is_reserved = INTERRUPT_CONTROLLERS.iter().any(|range| physical < range.end && range.start < end);
    if is_reserved || !physical.is_multiple_of(8) {
        return Err(MapMmioError::Range);
    }
    let base = NonNull::new(map_mmio(physical, length)?).ok_or(MapMmioError::Range)?;
    let length = usize::try_from(length).map_err(|_| MapMmioError::Range)?;
    // SAFETY: mapped uncached for good by `map_mmio`; not RAM, so no Rust object lies there; aligned to 8 and outside the
    // interrupt controllers, as checked above.
    Ok(unsafe { Mmio::new(base, length) })
}

fn map_identical(physical: u64, length: u64, access: Access) -> Result<(), MapMmioError> {
    let end =
        physical.checked_add(length).filter(|&end| end <= MAX_PHYSICAL && length > 0).ok_or(MapMmioError::Range)?;
    let (first, last) = (physical & !(PAGE_SIZE - 1), end.next_multiple_of(PAGE_SIZE));
    // What is kept may be read, and is no place for registers.
    let ram = if access == Access::ReadOnly { &WRITABLE_RAM } else { &RAM };
    if ram.get().is_some_and(|ram| ram.overlaps(first, last)) {
        return Err(MapMmioError::Ram);
    }
    let image = image::whole();
    if first < image.end && image.start < last {
        return Err(MapMmioError::Range);
    }
    Ok(with_address_space(|space, frames| space.map(physical, physical, length, access, frames))?)
}

/// The address of a page below 640 KiB for [`place_low_code`].
pub(crate) fn low_page() -> Option<u64> {
    Some(LOW_PAGE.load(Ordering::Relaxed)).filter(|&page| page != 0)
}

/// Puts `code` at the beginning of the [low page](low_page) and makes the page executable: writable first, then not
/// any more.
///
/// # Errors
///
/// See [`MapMmioError`]; the code has to fit into the page.
pub(crate) fn place_low_code(code: &[u8]) -> Result<(), MapMmioError> {
    let page = low_page().filter(|_| code.len() as u64 <= PAGE_SIZE).ok_or(MapMmioError::Range)?;
    map_identical(page, PAGE_SIZE, Access::ReadWrite)?;
    let place: *mut u8 = ptr::with_exposed_provenance_mut(page as usize);
    // SAFETY: RAM below 1 MiB that nobody uses (`initialise_frames`), mapped for writing just now; the code fits.
    unsafe { ptr::copy_nonoverlapping(code.as_ptr(), place, code.len()) };
    unmap_low_page();
    map_identical(page, PAGE_SIZE, Access::Execute)
}

/// Unmaps the [low page](low_page). Another core may have executed it, but will not again.
pub(crate) fn unmap_low_page() {
    if let Some(page) = low_page() {
        with_address_space(|space, _| space.unmap_page(page));
    }
}

/// Page-aligned memory of at least `size` bytes, for good; `None` where there is not enough.
pub(crate) fn allocate_for_ever(size: usize) -> Option<*mut u8> {
    let address = with_frames(|frames| frames.allocate(size.div_ceil(PAGE_SIZE as usize), 1))?;
    Some(ptr::with_exposed_provenance_mut(address as usize))
}

/// Calls `visit` for every page of the address space. It may allocate, but not map anything.
pub fn walk_address_space(visit: &mut dyn FnMut(Mapping)) {
    // The heap takes the lock of the frames.
    if let Some(space) = &*ADDRESS_SPACE.lock() {
        space.walk(visit);
    }
}

/// Bytes of RAM that the kernel can use, the image among them.
pub fn memory() -> u64 {
    RAM.get().map_or(0, MemoryMap::total)
}

/// Bytes of RAM that nobody has allocated.
pub fn free_memory() -> u64 {
    with_frames(|frames| frames.free_frames()) as u64 * PAGE_SIZE
}

/// Physical memory through the early identity map, before the final page tables exist.
///
/// Invariant: made only by [`crate::boot`] and dropped before [`initialise_address_space`].
pub(crate) struct EarlyMemory;

impl PhysicalMemory for EarlyMemory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let end = address.checked_add(length as u64)?;
        if address == 0 || end > EARLY_LIMIT {
            return None;
        }
        // SAFETY: not null; mapped, as it ends below the early map's limit; any bytes are valid `u8`s; and nothing
        // writes what firmware left while this borrow lives: boot only reads, and the frame allocator, which might
        // hand the bytes out, is told to reserve what is still borrowed when it starts.
        Some(unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance(address as usize), length) })
    }
}

impl EarlyMemory {
    /// Copies what lies there, also from the page at zero, which nothing can refer to. Needs the heap.
    pub(crate) fn copy(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        if address.checked_add(length as u64)? > EARLY_LIMIT {
            return None;
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(length).ok()?;
        let target: *mut u8 = copy.as_mut_ptr();
        // SAFETY: the source ends below the early map's limit, so it is mapped, and it is only read; a null address means nothing to
        // the instruction. The target was reserved just now, `length` bytes long, and is nobody else's. The direction flag is
        // clear, as the ABI says.
        unsafe {
            core::arch::asm!(
                "rep movsb",
                inout("rcx") length => _,
                inout("rsi") address => _,
                inout("rdi") target => _,
                options(nostack, preserves_flags)
            );
        }
        // SAFETY: as many bytes were reserved, and written by the instruction above.
        unsafe { copy.set_len(length) };
        Some(copy)
    }
}

/// What firmware and boot loader left, through the final page tables, mapped read-only as it is asked for.
pub(crate) struct FirmwareMemory;

impl PhysicalMemory for FirmwareMemory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        map_identical(address, length as u64, Access::ReadOnly).ok()?;
        // SAFETY: mapped just now (or earlier, with at least read access); no RAM but what is kept, so neither heap nor
        // stacks nor any Rust object lies there; neither firmware tables nor what is kept change while the kernel runs.
        Some(unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance(address as usize), length) })
    }
}
