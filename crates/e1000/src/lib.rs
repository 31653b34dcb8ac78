// The example needs the feature; without it, it is shown and not tested.
#![cfg_attr(any(feature = "alloc", not(doctest)), doc = include_str!("../README.md"))]
//!
//! # Where things are
//!
//! | module | what |
//! |---|---|
//! | `driver`, `options`, `attach` | [`E1000`], the interface; what is chosen and counted; the entry for a kernel's list |
//! | `card` | the device as a whole: reset, start, stop |
//! | `receive`, `transmit`, `ring` | the two rings |
//! | `offload` | what a frame's notes ask for, as orders to the device |
//! | `filter` | which frames are let through |
//! | `watchdog` | whether the device still sends |
//! | `eeprom`, `phy` | where the address comes from; what negotiates the link |
//! | `model` | the controllers, and in what they differ |
//! | `registers`, `descriptor` | names and bytes |
//!
//! # Hostile devices
//!
//! Where the device is in a ring is known from what it was given and the one descriptor that comes next, never from its
//! registers. Lengths and flags are held against what a frame can be. A device that sends nothing any more, or interrupts for
//! nothing, is reset, without anybody waiting for it; if that does not help three times in a row, or if its registers read as
//! all ones, it is a [`DeviceFault`](toro_core::driver::DeviceFault).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(feature = "alloc")]
mod attach;
#[cfg(feature = "alloc")]
mod card;
#[cfg(feature = "alloc")]
mod descriptor;
#[cfg(feature = "alloc")]
mod driver;
#[cfg(feature = "alloc")]
mod eeprom;
#[cfg(feature = "alloc")]
mod filter;
mod model;
#[cfg(feature = "alloc")]
mod offload;
#[cfg(feature = "alloc")]
mod options;
#[cfg(feature = "alloc")]
mod phy;
#[cfg(feature = "alloc")]
mod receive;
#[cfg(feature = "alloc")]
mod registers;
#[cfg(feature = "alloc")]
mod ring;
#[cfg(feature = "alloc")]
mod transmit;
#[cfg(feature = "alloc")]
mod watchdog;

#[cfg(feature = "alloc")]
pub use attach::DRIVER;
#[cfg(feature = "alloc")]
pub use driver::E1000;
pub use model::Model;
#[cfg(feature = "alloc")]
pub use options::{Counters, Options, Segmenting};
