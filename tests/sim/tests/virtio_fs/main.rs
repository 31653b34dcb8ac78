//! The file system driver against a share that the test plays: which queue a request takes, that buffers come back
//! with their own request in whatever order, and what the driver does about a device that does not play along.
//!
//! [`exchange`] is the example of use: a real exchange, with `fuse-proto` on both sides.

#[path = "../common/mod.rs"]
mod common;

mod buffers;
mod configuration;
mod exchange;
mod faults;
mod framing;
mod in_flight;
mod lanes;
mod notifications;
mod protocol;
mod queues;
mod reset;
mod share;
mod waking;
mod window;
