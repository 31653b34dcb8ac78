#![doc = include_str!("../README.md")]
//!
//! # Three kinds of memory
//!
//! A driver meets memory that somebody else changes. What may be done with it depends on who and when, so each
//! kind has a type of its own:
//!
//! | kind | type | access |
//! |---|---|---|
//! | registers | [`Registers`] ([`Mmio`], [`PortIo`], or a model in a test) | one volatile access each, with side effects |
//! | rings, touched by both sides at once | [`SharedRegion`] | atomics only; no `&[u8]` into it ever exists |
//! | bulk data, touched by one side at a time | [`DmaBuf`] | a plain slice, while you own it |
//!
//! # Where the unsafe code is
//!
//! In [`dma`] and [`io`], and nowhere else in any driver. What a platform promises is said by two contracts: the
//! `unsafe` trait [`DmaMemory`] and the `unsafe` constructors [`Mmio::new`] and [`PortIo::new`]. A device crate
//! built on this one is `#![forbid(unsafe_code)]`.
//!
//! That attribute alone does not make DMA safe: a bus address is a pointer that the compiler cannot see. So a
//! [`BusAddr`] cannot be made from a number in safe code; only buffers and regions mint them.
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod addr;
pub mod dma;
pub mod driver;
pub mod io;
pub mod pace;
pub mod pci;
pub mod time;

pub use addr::{BusAddr, PhysAddr};
pub use dma::{Dma, DmaBlock, DmaBuf, DmaMemory, DmaPool, OutOfDmaMemory, SharedArrays, SharedRegion};
pub use io::{IoWindow, Mmio, PortIo, Reg, Registers};
pub use pace::Pace;
pub use time::{Clock, Deadline, Instant};
