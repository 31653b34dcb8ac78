//! The heap: the global allocator of the kernel and its application. Each core has one of its own.
//!
//! ```text
//!                            core 0                                core 1
//!   up to 1 KiB              slabs of one class of size            slabs
//!   below 128 KiB            pool, by talc                         pool
//!   freed by others          inbox  <-------- a block of core 0 that core 1 frees
//!                              |                                     |
//!   from 128 KiB on            +--- frame allocator, one lock -------+
//! ```
//!
//! `class` says which way a request goes, `slab` and `small` are the small blocks, `pool` those of middle size,
//! `owner` and `remote` how a block finds its way home, and `local` puts it all together.
//!
//! # Cost
//!
//! A small block is taken and given back with twenty instructions each, none of them atomic. Giving it back on another core
//! is one compare-and-exchange, and a few cache lines change sides. The frame allocator's lock is taken for a
//! slab, an extent of the pool, or a large piece.
//!
//! # Ownership
//!
//! A slab and a granule of the pool have one owner for as long as any block of them is out. Large pieces have none:
//! whoever frees one gives its frames back. All RAM is identity mapped (see [`super`]), so the address of a run of frames is
//! a usable pointer.
//!
//! # Failure
//!
//! The heap grows until there are no frames left; then an allocation gives up what its core had in reserve, and if that
//! does not help returns null, and Rust's allocation error ends the machine with a panic that says how much was asked for.
//! What other cores have in reserve stays theirs: see `small` for how much that can be.

mod class;
mod local;
mod machine;
mod owner;
mod pool;
mod remote;
mod slab;
mod small;
#[cfg(test)]
mod tests;

#[cfg(target_os = "none")]
mod global;
#[cfg(target_os = "none")]
pub(super) use global::initialise_owners;
#[cfg(target_os = "none")]
pub use global::{allocated, collect};
#[cfg(target_os = "none")]
pub(super) use owner::OwnerTable;
