// The example needs the feature; without it, it is shown and not tested.
#![cfg_attr(any(feature = "alloc", not(doctest)), doc = include_str!("../README.md"))]
//!
//! # Queues
//!
//! ```text
//!   queue 0, receive     the driver keeps it full of empty buffers; the device fills them
//!   queue 1, transmit    the driver puts frames in; the device takes them
//!   queue 2, control     commands, if there is something to command
//!
//!   buffer   | headroom .. header      | destination, source, type, payload |
//!                           ^ descriptor starts here                        ^ and ends here
//! ```
//!
//! The virtio header lies directly in front of the frame, so that a frame is one descriptor in either direction; with
//! legacy devices that want it so, two. The header has 12 bytes, and 10 in a legacy device that merges no buffers.
//!
//! A device may have several pairs of the first two, each for an owner of its own (`VirtioNet::divide`), and the control
//! queue behind all pairs, which is the first owner's:
//!
//! ```text
//!   queue 2k       receive of pair k       both interrupt owner k, if they have messages
//!   queue 2k + 1   transmit of pair k
//!   queue 2 max    control                 interrupts nobody
//! ```
//!
//! # Work on frames
//!
//! What the device does is negotiated ([`features`] has a table with reasons), promised in
//! [`NetDevice::limits`](toro_core::driver::net::NetDevice::limits), asked for in the notes of each frame to transmit, and
//! said in those of each received one:
//!
//! | | to transmit | received |
//! |---|---|---|
//! | checksum | `Partial`: the device completes it | `Verified`, or `Partial`: nobody has looked, and nobody needs to |
//! | segmentation | the device cuts a frame of up to 64 KiB | a packet of up to 64 KiB, in as many frames as it took buffers |
//!
//! Frames that ask for more than was promised are dropped and counted.
//!
//! # Ownership
//!
//! Receive buffers come from a pool of this driver and go to the caller as [`Frame`]s; a dropped frame goes back
//! to the pool. Frames to transmit come from a second pool, those too long for the link from a third, and belong to the
//! queue until the device has sent them. Completions of transmissions are only looked at when slots run low: they say
//! nothing worth knowing.
//!
//! # Commands and changes
//!
//! Nothing waits for the device: what is wanted of it is kept, told as far as there is room, and answers are looked at
//! when the interface is used the next time. Changes of the link, and wishes for an announcement, are looked for when
//! there is reason to, since a look costs a register.
//!
//! # Hostile devices
//!
//! A received length is believed between "header and Ethernet header" and "the whole buffer", a header as far as it is
//! about what came with it and was negotiated, a number of buffers as far as a burst holds them; everything else is dropped
//! and counted. Only a packet of more buffers than the queue has is a fault.
//!
//! A command is waited for with a deadline, and only the answers of the specification count as one. A number of pairs
//! beyond what queue numbers allow is as none, and of pairs that are not there nothing is used. A link that is never the
//! same twice, or a wish that never goes away, costs a bounded number of looks.
//!
//! [`Frame`]: toro_core::driver::net::Frame
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod conformance;
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
