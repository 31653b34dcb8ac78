// The example needs the feature; without it, it is shown and not tested.
#![cfg_attr(any(feature = "alloc", not(doctest)), doc = include_str!("../README.md"))]
//!
//! # Queues
//!
//! ```text
//!   queue 0, high priority   FORGET, BATCH_FORGET, INTERRUPT: they pass when ordinary requests are stuck
//!   queue 1, notifications   only where they were negotiated: what the server says of its own accord (feature `notifications`)
//!   then, requests           everything else, any number in flight, completed in any order; one or several
//!
//!   chain    [request] [data of a WRITE]  |  [reply header and fixed part] [data of a READ]
//!            read by the device              written by the device
//! ```
//!
//! Bulk data travels in buffers of its own, so that what the device writes is the copy that the caller gets.
//!
//! The driver moves requests; it does not know what they say. The protocol is in `fuse-proto`, the file system in
//! whoever uses this device through [`FuseDevice`].
//!
//! # Ownership
//!
//! Buffers belong to the queue from `submit` to completion. They come from pools that grow as they are needed, up
//! to a bound, and are never given back: the pools keep the high-water mark.
//!
//! # Hostile devices
//!
//! A tag that is empty, or no request queue, ends the attachment. The number of bytes written is cut to what
//! there was room for and is otherwise just passed on: some servers report none. A used ring that makes no sense is a
//! [`DeviceFault`], and so is a device that says that it needs a reset; only [`reset`] gets out of it. It hands back what
//! was in flight, so a request that is never answered costs a reset and no memory.
//!
//! A device that never answers is for the caller to notice: the driver waits for nothing but a reset.
//!
//! [`FuseDevice`]: toro_core::driver::fuse::FuseDevice
//! [`DeviceFault`]: toro_core::driver::DeviceFault
//! [`reset`]: toro_core::driver::fuse::FuseDevice::reset
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "alloc")]
mod buffers;
pub mod conformance;
#[cfg(feature = "alloc")]
mod driver;
pub mod features;
#[cfg(feature = "alloc")]
#[cfg_attr(not(feature = "notifications"), path = "no_notifications.rs")]
mod notifications;
#[cfg(feature = "alloc")]
mod queues;
#[cfg(feature = "alloc")]
mod request;
#[cfg(feature = "alloc")]
mod setup;
#[cfg(feature = "alloc")]
pub mod window;
pub mod wire;

#[cfg(feature = "alloc")]
pub use driver::{DRIVER, Options, VirtioFs};
#[cfg(feature = "alloc")]
pub use window::DaxWindow;
