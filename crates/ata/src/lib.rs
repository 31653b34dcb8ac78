#![doc = include_str!("../README.md")]
//!
//! # Where things are
//!
//! | module | what |
//! |---|---|
//! | `device` | [`Ata`]: what is accepted, and from which channel the next completion comes |
//! | `channel`, `queue` | one channel: its requests, and what it is busy with |
//! | `setup` | which drives there are; resets |
//! | `attempt` | a request as commands, and what is tried when they fail |
//! | `engine` | one command, step by step |
//! | `command`, `packet` | codes and registers of commands; packets |
//! | `identity`, `drive` | what a drive says about itself; what is known of it |
//! | `memory`, `prd` | where bytes go, and how the bus master is told |
//! | `registers` | names |
//!
//! # Hostile drives
//!
//! What a channel is in the middle of is known from what was asked for, not from what the drive shows. A status that
//! contradicts it ends the command, and the channel is reset. A bus master that does not stop is a
//! [`DeviceFault`](toro_core::driver::DeviceFault): its memory stays where it is until a reset has stopped it, and for ever if
//! none does.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod attempt;
mod channel;
mod command;
mod device;
mod drive;
#[cfg(feature = "alloc")]
mod driver;
mod engine;
mod identity;
mod memory;
mod packet;
mod prd;
mod queue;
mod registers;
mod setup;

pub use device::{Ata, Options};
pub use drive::Transfer;
#[cfg(feature = "alloc")]
pub use driver::{DRIVER, PIO_DRIVER};
pub use engine::Interrupts;
pub use registers::{ChannelRegisters, DataWidth};
