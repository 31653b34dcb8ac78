//! Memory: who has which frame, and where it is mapped.
//!
//! ```text
//!   start information --> MemoryMap --> FrameAllocator --+--> heap (global allocator)
//!                         (validated)   (bitmap)         +--> page tables
//!                                                        +--> thread stacks
//!                                                        +--> DMA blocks
//! ```
//!
//! All RAM above 1 MiB is identity mapped, read-write and never executable; the low megabyte, full of firmware's
//! remains, is not used at all. Device registers and firmware tables are mapped when somebody asks, at the address that
//! equals their physical one. So within this kernel `virtual address == physical address`, except for thread stacks,
//! which have a window of their own because they need unmapped pages between them.
//!
//! # Order at boot
//!
//! `initialise_frames` first, on the early identity map of 4 GiB; from then on the heap works. Then
//! `initialise_address_space`, which builds the final page tables and switches to them.
//!
//! # Locks
//!
//! The frame allocator and the address space have a spin lock each, taken in the order address space, then frames. Interrupt
//! handlers take neither. Any allocation may need frames: who holds the frame allocator does not allocate.

pub mod memory_map;
pub mod physical;

#[cfg(target_os = "none")]
pub mod address_space;
#[cfg(target_os = "none")]
pub mod dma;
#[cfg(any(target_os = "none", test))]
pub mod frame;
#[cfg(any(target_os = "none", test))]
pub mod heap;
#[cfg(target_os = "none")]
pub mod image;
#[cfg(target_os = "none")]
pub mod page_table;
#[cfg(target_os = "none")]
pub mod stack;
#[cfg(target_os = "none")]
pub(crate) mod tlb;

#[cfg(target_os = "none")]
pub use address_space::*;

/// Bytes in a page and in a frame.
pub const PAGE_SIZE: u64 = 4096;
