// The example needs the feature; without it, it is shown and not tested.
#![cfg_attr(any(feature = "alloc", not(doctest)), doc = include_str!("../README.md"))]
//!
//! # The pieces
//!
//! ```text
//!   init        Reset --negotiate--> Negotiated --queue, run--> Running --quiesce--> Quiesced
//!                 |                       |                        |                    |
//!   transport     +---- Transport: registers over PCI or MMIO -----+                    |
//!                                         |                                             |
//!   queue                             Virtqueue: submit, publish, poll, arm ------- retire
//!                                         |
//!   ring                              descriptor table, available ring, used ring in shared memory
//! ```
//!
//! # Ownership
//!
//! What is submitted belongs to the queue until it completes. A live queue that is dropped leaks its memory, since
//! the device may still write to it; [`Virtqueue::retire`] frees it on presentation of a [`Quiesced`], which only
//! a completed reset yields.
//!
//! # Ordering
//!
//! Four orderings matter, and each is written once, with its partner on the device's side; [`queue`] names them.
//!
//! # Hostile devices
//!
//! Whatever a device writes is read once, checked against what this driver knows from its own memory, and turned
//! into a value or a [`DeviceFault`](toro_core::driver::DeviceFault). A fault poisons the queue; a reset mends it.
//! Nothing a device writes panics, indexes out of bounds, loops without end, or hands a buffer to two owners.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;

pub mod conformance;
pub mod features;
pub mod guide;
mod handshake;
pub mod init;
pub mod queue;
mod ring;
pub mod status;
pub mod storm;
pub mod transport;

#[cfg(feature = "async")]
pub mod asynchronous;
#[cfg(feature = "alloc")]
pub mod attach;

pub use features::FeatureBits;
pub use init::{InitError, Negotiated, Quiesced, Reset, Running};
pub use queue::{Chain, Direction, Divided, Done, Notify, Slot, Virtqueue, Wanted};
pub use status::DeviceStatus;
pub use storm::StormGuard;
pub use transport::{
    DeviceType, Doorbell, Interrupts, LegacyMmioTransport, LegacyPciTransport, MmioTransport, PciTransport, QueueIndex,
    Transitional, TransitionalMmio, TransitionalPci, Transport, TransportError,
};
