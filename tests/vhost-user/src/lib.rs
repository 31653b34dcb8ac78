//! The drivers against devices that nobody here wrote, and without a virtual machine: daemons that speak vhost-user.
//!
//! ```text
//!   test process                                     daemon
//!   VirtioBlk, VirtioFs  over VhostUser  --socket--> qemu-storage-daemon, virtiofsd
//!   toro::fs, over this VirtioFs         --socket--> virtiofsd, in C and in Rust
//!   VirtioNet            over VhostUser  --socket--> DPDK's testpmd
//!   GuestMemory          <----- shared memory -----> the same rings and buffers
//! ```
//!
//! What a simulated device cannot show, these do: that somebody else reads the specification as we do. Their number of
//! requests is fixed and they sleep until the device interrupts: on a machine with few cores two sides that both spin
//! are in each other's way.

mod daemon;
mod file_server;
mod share;
mod testpmd;
pub mod twin;

use std::time::Duration;

pub use daemon::{Access, Backing, Daemon, Disk};
pub use file_server::{Caching, FileServer, FileServerKind, Serving, Xattrs};
pub use share::{Share, Waiting, connect, share_memory};
pub use testpmd::{Forwarding, Rate, Testpmd};

/// How long a device may take for anything. What needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);
