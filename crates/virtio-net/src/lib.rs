// The example needs the feature; without it, it is shown and not tested.
#![cfg_attr(any(feature = "alloc", not(doctest)), doc = include_str!("../README.md"))]
//!
//! # Queues
//!
//! ```text
//!   queue 0, receive     the driver keeps it full of empty buffers; the device fills them
//!   queue 1, transmit    the driver puts frames in; the device takes them
//!
//!   buffer   | headroom .. header      | destination, source, type, payload |
//!                           ^ descriptor starts here                        ^ and ends here
//! ```
//!
//! The virtio header lies directly in front of the frame, so that a frame is one descriptor in either direction. It
//! has 12 bytes, and 10 in a legacy device, which has to leave the layout of requests open for that.
//!
//! A device may have several pairs of these, each for an owner of its own (`VirtioNet::divide`), and behind all pairs a
//! control queue, in which a single command is sent before the pairs are handed out:
//!
//! ```text
//!   queue 2k       receive of pair k       both interrupt owner k, if they have messages
//!   queue 2k + 1   transmit of pair k
//!   queue 2 max    control
//! ```
//!
//! # Ownership
//!
//! Receive buffers come from a pool of this driver and go to the caller as [`Frame`]s; a dropped frame goes back
//! to the pool. Frames to transmit come from a second pool and belong to the queue until the device has sent
//! them. Completions of transmissions are only looked at when slots run low: they say nothing worth knowing.
//!
//! # Hostile devices
//!
//! A received length is believed between "header and Ethernet header" and "the whole buffer"; everything else is
//! dropped and counted. Fields of the header are not used, since no offload is negotiated.
//!
//! The command is waited for with a deadline, and only the answers of the specification count as one. A number of pairs
//! beyond what queue numbers allow is as none, and of pairs that are not there nothing is used.
//!
//! [`Frame`]: toro_core::driver::net::Frame
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "alloc")]
mod control;
#[cfg(feature = "alloc")]
mod driver;
pub mod features;
#[cfg(feature = "alloc")]
mod filter;
#[cfg(feature = "alloc")]
mod framing;
#[cfg(feature = "alloc")]
mod header;
#[cfg(feature = "alloc")]
mod pair;
#[cfg(feature = "alloc")]
mod receive;
#[cfg(feature = "alloc")]
mod setup;
#[cfg(feature = "alloc")]
mod transmit;
#[cfg(feature = "alloc")]
mod watch;
pub mod wire;

#[cfg(feature = "alloc")]
pub use driver::{Counters, DRIVER, Duplex, NotNegotiated, Options, QueuePair, Speed, VirtioNet};
#[cfg(feature = "alloc")]
pub use filter::{MOST_ADDRESSES, Switch};
