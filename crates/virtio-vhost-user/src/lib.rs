#![doc = include_str!("../README.md")]
//!
//! # Where the unsafe code is
//!
//! In [`memory`], which maps the memory and hands it out, and nowhere else.
#![deny(unsafe_code)]
#![cfg(target_os = "linux")]

mod call;
mod clock;
mod config;
mod connection;
pub mod memory;
mod options;
mod transport;
mod wire;

pub use call::{Call, WaitError};
pub use clock::{CLOCK, HostClock};
pub use memory::GuestMemory;
pub use options::{Configuration, ConnectError, Options};
pub use transport::VhostUser;
