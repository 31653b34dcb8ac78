//! Memory that devices reach, and who may touch it when.
//!
//! ```text
//!   platform            DmaMemory::allocate -> DmaBlock      contiguous for the device, zeroed
//!                            |
//!             +--------------+---------------+
//!             |                              |
//!        SharedRegion                     DmaPool --take--> DmaBuf --drop--> back to its pool
//!        rings: atomics only              bulk data: a plain slice for its one owner
//! ```
//!
//! # Ownership
//!
//! A [`DmaBuf`] is owned like a `Box`. To lend it to a device, a driver moves it into the queue, and gets it back
//! with the completion; meanwhile no safe code can name it. Nothing has to be promised about lifetimes, and a request that
//! is abandoned cannot dangle: its buffer stays with the queue. Memory that is only borrowed can be lent for the time of one
//! call, which does not return before it is home: [`lend`].
//!
//! A [`SharedRegion`] is touched by both sides at the same time and is reached through atomics only; as
//! [`SharedArrays`], whose indices wrap, without a comparison.
//!
//! # What is unsafe
//!
//! A platform implements [`DmaMemory`], an `unsafe` trait: it promises that the memory is real, zeroed, reachable
//! under the bus address it names, and nobody else's. Everything above is safe to call.
#![allow(unsafe_code)]

mod arrays;
mod buf;
mod lend;
mod memory;
mod pool;
mod segments;
mod shared;

pub use arrays::SharedArrays;
pub use buf::{DmaBuf, TooLong};
pub use lend::lend;
pub use memory::{Dma, DmaBlock, DmaMemory, OutOfDmaMemory};
pub use pool::{DmaPool, LARGEST_BUFFER, PoolStorage, Whole};
pub use segments::{LONGEST_TRANSFER, Segments};
pub use shared::{SharedCell, SharedRegion};

#[cfg(test)]
pub(crate) mod testing;
