#![no_std]
#![forbid(unsafe_code)]
//! ATA

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
pub use registers::ChannelRegisters;
