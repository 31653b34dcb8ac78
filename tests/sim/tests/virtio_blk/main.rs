//! The block driver against a disk that is strict about what it is sent, and answers as a test likes: what the driver
//! believes of the configuration, what requests look like, whose bytes come back, and what survives a loss of power.
//!
//! Everything that depends on registers runs over all transports; the rings are the same behind each.

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod cache;
mod changes;
mod commands;
mod configuration;
mod divided;
mod firecracker;
mod framing;
mod legacy;
mod limits;
mod reset;
mod rig;
mod stamps;
mod storage;
mod waking;
