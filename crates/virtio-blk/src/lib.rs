#![doc = include_str!("../README.md")]
//!
//! # A request
//!
//! ```text
//!   | header 16: type, sector |  data: 0, 1 or several buffers  | status 1 |
//!     queue's memory             the caller's, owned by the queue  queue's memory, 0xff until the device has written it
//!     read by the device         read or written by the device     written by the device
//! ```
//!
//! Header, each buffer and status have a descriptor of their own, which is what legacy devices demand (§5.2.6.4) and some
//! modern ones. Where INDIRECT_DESC was negotiated they lie in a table that each slot of the queue has of its own, so that
//! the queue takes as many requests as it has descriptors; where it was not, in the descriptors of the queue, a third as
//! many.
//!
//! # The disk may change
//!
//! The configuration is read when the device is taken into service; the capacity and the mode of the write cache are read
//! again when the device says that it has changed, where it can be told what it interrupts for, and at every
//! [`refresh`]. A request is checked against what was read last: one that was sent before a disk shrank may fail.
//!
//! # Order and durability
//!
//! Requests complete in any order, and nothing orders those in flight. What was written is stable after a flush that was
//! submitted when the write had completed, or at once where the disk says that it has no cache. Neither a switch of the cache
//! nor a reset makes anything stable.
//!
//! # Ownership
//!
//! The queue owns the buffers from [`submit`] to completion. A reset that the device confirms hands back what is
//! unfinished; if it does not confirm, the buffers stay where it may write to them, for ever.
//!
//! # Hostile devices
//!
//! Success is one value of the status byte, and the byte starts as another. The reported number of bytes is not looked
//! at: old devices say anything, and a buffer's bytes are the caller's own where the device wrote none, never somebody
//! else's. Fields of the configuration are bounded before they are used. A used ring that makes no sense is a
//! [`DeviceFault`], and only [`reset`] gets out of it.
//!
//! A device that never answers is for the caller to notice: the driver waits for nothing but a reset.
//!
//! [`refresh`]: toro_core::driver::block::BlockDevice::refresh
//! [`submit`]: toro_core::driver::block::BlockDevice::submit
//! [`reset`]: toro_core::driver::block::BlockDevice::reset
//! [`DeviceFault`]: toro_core::driver::DeviceFault
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod config;
pub mod conformance;
#[cfg(feature = "alloc")]
mod divided;
mod driver;
pub mod features;
mod hold;
mod in_flight;
mod request;
mod setup;
pub mod wire;

#[cfg(feature = "alloc")]
pub use divided::{DRIVER, DiskQueue};
pub use driver::{Command, CommandCompletion, Finished, Options, RequestSlot, VirtioBlk, WriteCache};
pub use in_flight::InFlight;
pub use request::RangeOperation;
